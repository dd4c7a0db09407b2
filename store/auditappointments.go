package store

// appointmentChecks compare what is set aside for appointments with how they stand.
var appointmentChecks = []auditCheck{{
	"transfers", "find out who moved it, and move it back with an adjustment", `
	SELECT t.id::text AS row, CASE WHEN p.id IS NULL THEN format('the %s is of %s, which is no appointment', t.kind, t.key)
		ELSE format('the %s of %s from %s to %s is not what appointment %s, which is %s, says', t.kind, t.amount, t.debit, t.credit, t.key, p.state) END AS problem
	FROM transfers t LEFT JOIN appointments p ON p.id = t.key
	WHERE t.kind LIKE 'appointment %' AND (p.id IS NULL OR t.currency <> p.terms ->> 'currency' OR CASE t.kind
		WHEN 'appointment held' THEN (t.debit, t.credit, t.amount) <> ('client/' || p.client, 'appointments/' || t.currency, p.held)
		WHEN 'appointment released' THEN (t.debit, t.credit, t.amount) <> ('appointments/' || t.currency, 'client/' || p.client, p.held)
		WHEN 'appointment fee' THEN (t.debit, t.credit) <> ('client/' || p.client, 'advisor/' || p.advisor || '/' || t.currency)
		WHEN 'appointment compensation' THEN (t.debit, t.credit, t.amount) <> ('platform/' || t.currency, 'client/' || p.client, p.compensation)
		ELSE (t.debit, t.credit) <> ('client/' || p.client, 'platform/' || t.currency) END)`,
}, {
	"transfers", "only appointments move money through this account: move it back with an adjustment", `
	SELECT id::text AS row, format('a %s from %s to %s', kind, debit, credit) AS problem
	FROM transfers WHERE 'appointments/' || currency IN (debit, credit) AND kind NOT IN ('appointment held', 'appointment released')`,
}, {
	"appointments", "a transfer was taken out or changed: restore it from a backup", `
	SELECT p.id AS row, format('%s were held for it, and no transfer says so', p.held) AS problem
	FROM appointments p WHERE p.held > 0 AND NOT EXISTS (SELECT FROM transfers WHERE kind = 'appointment held' AND key = p.id)`,
}, {
	"appointments", "give the client back what is held, with an adjustment, and find out how it ended without", `
	SELECT p.id AS row, format('it is %s, and %s are held for it still', p.state, p.held) AS problem
	FROM appointments p WHERE p.held > 0 AND p.state NOT IN ('asked', 'proposed', 'accepted', 'calling', 'open')
	  AND NOT EXISTS (SELECT FROM transfers WHERE kind = 'appointment released' AND key = p.id)`,
}, {
	"appointments", "what was held for it came back too soon: find out who moved it", `
	SELECT p.id AS row, format('it is %s, no call was made for it, and what was held is not held any more', p.state) AS problem
	FROM appointments p WHERE p.state IN ('asked', 'proposed', 'accepted', 'calling', 'open')
	  AND EXISTS (SELECT FROM transfers WHERE kind = 'appointment released' AND key = p.id)
	  AND NOT EXISTS (SELECT FROM calls WHERE terms IS NOT NULL
		AND loan IN (SELECT loan FROM appointment_changes WHERE appointment = p.id))`,
}, {
	"appointments", "compare it with its transfers; correct the difference with an adjustment", `
	SELECT p.id AS row, format('the client paid %s for not coming, of which the advisor has %s%% by its terms; its transfers are %s and %s',
		p.fee, p.terms ->> 'advisor_percent', coalesce(t.advisor, 0), coalesce(t.platform, 0)) AS problem
	FROM appointments p LEFT JOIN (
		SELECT key, sum(amount) FILTER (WHERE kind = 'appointment fee') AS advisor,
			sum(amount) FILTER (WHERE kind = 'appointment platform fee') AS platform
		FROM transfers WHERE kind IN ('appointment fee', 'appointment platform fee') GROUP BY key
	) t ON t.key = p.id
	WHERE p.fee <> coalesce(t.advisor, 0) + coalesce(t.platform, 0) OR p.fee > p.no_show OR p.no_show > p.held
	   OR coalesce(t.advisor, 0) <> p.fee * (p.terms ->> 'advisor_percent')::bigint / 100`,
}, {
	"appointments", "compare it with its transfers; correct the difference with an adjustment", `
	SELECT p.id AS row, format('it says that the client was paid %s for the advisor who did not come, and no transfer does', p.compensation) AS problem
	FROM appointments p WHERE p.compensation > 0 AND NOT EXISTS (SELECT FROM transfers WHERE kind = 'appointment compensation' AND key = p.id)`,
}, {
	"appointments", "see its changes: someone wrote to the database", `
	SELECT p.id AS row, format('it is %s, its last change says %s', p.state, coalesce(h.state, 'nothing')) AS problem
	FROM appointments p LEFT JOIN LATERAL (
		SELECT state FROM appointment_changes WHERE appointment = p.id ORDER BY id DESC LIMIT 1) h ON true
	WHERE p.state IS DISTINCT FROM h.state`,
}}
