package store

// auditCheck is a comparison that SQL makes: its query returns the rows that are wrong.
type auditCheck struct{ table, remedy, query string }

// adjustmentChecks compare what administrators moved with what they asked for, what
// others approved, and what was charged.
var adjustmentChecks = []auditCheck{{
	"transfers", "find out who moved it, and move it back with an adjustment", `
	SELECT t.id::text AS row, CASE
		WHEN a.id IS NULL THEN format('the %s is of adjustment %s, which there is not', t.kind, t.key)
		WHEN (t.kind, t.debit, t.credit, t.currency, t.amount) <> (a.kind, a.debit, a.credit, a.currency, a.amount)
			THEN format('the %s of %s from %s to %s is not what adjustment %s says', t.kind, t.amount, t.debit, t.credit, t.key)
		ELSE format('nobody approved adjustment %s', t.key) END AS problem
	FROM transfers t LEFT JOIN adjustments a ON a.id = t.key
		LEFT JOIN adjustment_decisions d ON d.adjustment = a.id AND d.decision = 'approved'
	WHERE t.kind IN ('refund', 'adjustment', 'payout') AND (a.id IS NULL
		OR (t.kind, t.debit, t.credit, t.currency, t.amount) <> (a.kind, a.debit, a.credit, a.currency, a.amount)
		OR a.until IS NOT NULL AND d.adjustment IS NULL)`,
}, {
	"adjustments", "its transfer was taken out or changed: restore it from a backup", `
	SELECT a.id AS row, format('%s of %s from %s to %s was made and has no transfer', a.kind, a.amount, a.debit, a.credit) AS problem
	FROM adjustments a LEFT JOIN adjustment_decisions d ON d.adjustment = a.id
	WHERE (a.until IS NULL OR d.decision = 'approved')
	  AND NOT EXISTS (SELECT FROM transfers t WHERE (t.key, t.kind) = (a.id, a.kind))`,
}, {
	"adjustments", "find out who asked for it: large sums need two", `
	SELECT id AS row, format('%s was moved by one person, who might move %s', amount, second_above) AS problem
	FROM adjustments WHERE until IS NULL AND amount > second_above`,
}, {
	"adjustment_decisions", "find out who approved it; move it back with an adjustment", `
	SELECT d.adjustment AS row, CASE
		WHEN a.id IS NULL THEN 'there is no such adjustment'
		WHEN a.until IS NULL THEN 'it did not wait for anybody'
		WHEN d.at > a.until THEN format('it was approved at %s, after it expired at %s', d.at, a.until)
		ELSE format('%s approved what %s asked for', d.by_whom, a.asked_by) END AS problem
	FROM adjustment_decisions d LEFT JOIN adjustments a ON a.id = d.adjustment
	WHERE a.id IS NULL OR a.until IS NULL OR d.decision = 'approved'
	  AND (d.at > a.until OR lower(btrim(d.by_whom)) = lower(btrim(a.asked_by)))`,
}, {
	"adjustments", "take it back with an adjustment: a refund is paid to the client of its call, by the platform or by the call's advisor", `
	SELECT a.id AS row, format('it pays %s from %s for call %s', a.credit, a.debit, a.call) AS problem
	FROM adjustments a LEFT JOIN calls c ON c.id = a.call
	WHERE a.kind = 'refund' AND (c.id IS NULL OR a.credit <> 'client/' || c.client
		OR a.debit NOT IN ('platform/' || a.currency, 'advisor/' || c.advisor || '/' || a.currency))`,
}, {
	"calls", "more was paid back than was charged: take it back with an adjustment", `
	SELECT c.id AS row, format('its charge is %s, %s of it the advisor''s; %s were paid back, %s of it by the advisor',
		c.charge, c.advisor_share, t.paid, t.by_advisor) AS problem
	FROM calls c JOIN (
		SELECT a.call, sum(t.amount) AS paid, coalesce(sum(t.amount) FILTER (WHERE t.debit <> 'platform/' || t.currency), 0) AS by_advisor
		FROM transfers t JOIN adjustments a ON a.id = t.key WHERE t.kind = 'refund' GROUP BY a.call
	) t ON t.call = c.id
	WHERE t.paid > coalesce(c.charge, 0) OR t.by_advisor > coalesce(c.advisor_share, 0)`,
}, {
	"transfers", "find out who moved it; what is not in the audit log, nobody was asked about", `
	SELECT t.id::text AS row, format('adjustment %s of %s is not in the audit log so', t.key, t.amount) AS problem
	FROM transfers t
	WHERE t.kind IN ('refund', 'adjustment', 'payout') AND NOT EXISTS (SELECT FROM audit_log WHERE subject = t.key AND what = 'adjustment made'
		AND (detail ->> 'from', detail ->> 'to', detail ->> 'amount') = (t.debit, t.credit, t.amount::text))`,
}, {
	"audit_log", "a transfer was taken out or changed: restore it from a backup", `
	SELECT l.id::text AS row, format('adjustment %s has no transfer', l.subject) AS problem
	FROM audit_log l
	WHERE l.what = 'adjustment made' AND NOT EXISTS (SELECT FROM transfers t
		WHERE t.kind IN ('refund', 'adjustment', 'payout') AND t.key = l.subject
		AND (t.debit, t.credit, t.amount::text) = (l.detail ->> 'from', l.detail ->> 'to', l.detail ->> 'amount'))`,
}}
