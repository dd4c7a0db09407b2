package store

// auditChecks are the comparisons that SQL makes. Each query returns the rows that
// are wrong and what is wrong with them; none when all is well.
var auditChecks = []auditCheck{{
	"accounts", "look through its transfers; what they say is right, the balance follows them", `
	SELECT a.id AS row, format('posted is %s, its transfers add up to %s', a.posted, t.sum) AS problem
	FROM accounts a LEFT JOIN LATERAL (
		SELECT coalesce(sum(amount) FILTER (WHERE credit = a.id), 0) - coalesce(sum(amount) FILTER (WHERE debit = a.id), 0) AS sum
		FROM transfers WHERE a.id IN (debit, credit)
	) t ON true
	WHERE a.kind = 'client' AND a.posted <> t.sum`,
}, {
	"accounts", "look through its holds; what they say is right, the account follows them", `
	SELECT a.id AS row, format('held is %s, its unresolved holds add up to %s', a.held, coalesce(h.sum, 0)) AS problem
	FROM accounts a LEFT JOIN (
		SELECT account, sum(h.amount) AS sum FROM holds h LEFT JOIN hold_resolutions r USING (call, number)
		WHERE r.call IS NULL GROUP BY account
	) h ON h.account = a.id
	WHERE a.kind = 'client' AND a.held <> coalesce(h.sum, 0)`,
}, {
	"accounts", "no client may be below zero: find the account's last transfers and holds", `
	SELECT id AS row, format('posted %s, held %s', posted, held) AS problem
	FROM accounts WHERE kind = 'client' AND (held < 0 OR posted - held < 0)`,
}, {
	"accounts", "an account of this currency has another balance than its transfers, see above", `
	SELECT 'of ' || currency AS row, format('all of them add up to %s, not to 0', sum(posted)) AS problem
	FROM balances GROUP BY currency HAVING sum(posted) <> 0`,
}, {
	"transfers", "it moved no money that is accounted for: restore its accounts, or correct it with a transfer back", `
	SELECT t.id::text AS row, CASE
		WHEN t.amount <= 0 THEN format('its amount is %s', t.amount)
		ELSE format('from %s to %s: not both are accounts of %s', t.debit, t.credit, t.currency) END AS problem
	FROM transfers t
	LEFT JOIN accounts d ON (d.id, d.currency) = (t.debit, t.currency)
	LEFT JOIN accounts c ON (c.id, c.currency) = (t.credit, t.currency)
	WHERE t.amount <= 0 OR d.id IS NULL OR c.id IS NULL`,
}, {
	"transfers", "pay it back with a transfer of its own", `
	SELECT t.id::text AS row, CASE
		WHEN c.id IS NULL THEN format('the %s is for call %s, which there is not', t.kind, t.key)
		WHEN c.ended_at IS NULL THEN format('the %s is for call %s, which is open', t.kind, t.key)
		ELSE format('the %s of call %s went from %s to %s', t.kind, t.key, t.debit, t.credit) END AS problem
	FROM transfers t LEFT JOIN calls c ON c.id = t.key
	WHERE t.kind IN ('advisor share', 'platform share') AND (c.ended_at IS NULL OR t.debit <> 'client/' || c.client OR t.credit <> CASE t.kind
		WHEN 'advisor share' THEN 'advisor/' || c.advisor || '/' || t.currency ELSE 'platform/' || t.currency END)`,
}, {
	"transfers", "find the payment's proof; a deposit that nobody made is taken back with a transfer of its own", `
	SELECT t.id::text AS row, format('payment %s of %s is not in the audit log so', t.key, t.amount) AS problem
	FROM transfers t
	WHERE t.kind = 'deposit' AND NOT EXISTS (SELECT FROM audit_log WHERE subject = t.key AND what = 'deposit'
		AND (detail ->> 'account', detail ->> 'amount') = (t.credit, t.amount::text))`,
}, {
	"audit_log", "a transfer was taken out or changed: restore it from a backup", `
	SELECT l.id::text AS row, format('payment %s has no transfer', l.subject) AS problem
	FROM audit_log l
	WHERE l.what = 'deposit' AND NOT EXISTS (SELECT FROM transfers t WHERE t.kind = 'deposit' AND t.key = l.subject
		AND (t.credit, t.amount::text) = (l.detail ->> 'account', l.detail ->> 'amount'))`,
}, {
	"calls", "compare the call's receipt with its transfers; correct the difference with a transfer", `
	SELECT c.id AS row, format('its shares are %s and %s, its transfers are %s and %s',
		c.advisor_share, c.platform_share, coalesce(t.advisor, 0), coalesce(t.platform, 0)) AS problem
	FROM calls c LEFT JOIN (
		SELECT key, sum(amount) FILTER (WHERE kind = 'advisor share') AS advisor,
			sum(amount) FILTER (WHERE kind = 'platform share') AS platform
		FROM transfers WHERE kind IN ('advisor share', 'platform share') GROUP BY key
	) t ON t.key = c.id
	WHERE c.ended_at IS NOT NULL
	  AND (c.advisor_share, c.platform_share) <> (coalesce(t.advisor, 0), coalesce(t.platform, 0))`,
}, {
	"calls", "compare the call's receipt with its holds", `
	SELECT c.id AS row, format('it says held %s, charge %s; its holds are %s, of which %s were captured',
		c.held, c.charge, coalesce(h.amount, 0), coalesce(h.captured, 0)) AS problem
	FROM calls c LEFT JOIN (
		SELECT call, sum(h.amount) AS amount, sum(r.captured) AS captured
		FROM holds h LEFT JOIN hold_resolutions r USING (call, number) GROUP BY call
	) h ON h.call = c.id
	WHERE c.ended_at IS NOT NULL AND (c.held, c.charge) <> (coalesce(h.amount, 0), coalesce(h.captured, 0))`,
}, {
	"calls", "shares must be the charge, and the charge within the hold: see its receipt", `
	SELECT id AS row, format('held %s, charge %s, shares %s and %s', held, charge, advisor_share, platform_share) AS problem
	FROM calls WHERE ended_at IS NOT NULL
	  AND (charge < 0 OR charge > held OR advisor_share < 0 OR platform_share < 0 OR advisor_share + platform_share <> charge)`,
}, {
	"calls", "start the program: it closes calls that it finds open and not up", `
	SELECT c.id AS row, format('it is open since %s, longer than a talk of %s s can last',
		c.opened_at, (c.terms ->> 'longest_talk_ns')::bigint / 1000000000) AS problem
	FROM calls c WHERE c.ended_at IS NULL
	  AND c.opened_at < now() - interval '1 hour' - (c.terms ->> 'longest_talk_ns')::bigint / 1000000000 * interval '1 s'`,
}, {
	"calls", "an open call must have a hold: end it with no charge, and find out who took its hold", `
	SELECT c.id AS row, 'it is open and has no unresolved hold' AS problem
	FROM calls c WHERE c.ended_at IS NULL AND NOT EXISTS (
		SELECT FROM holds h LEFT JOIN hold_resolutions r USING (call, number) WHERE h.call = c.id AND r.call IS NULL)`,
}, {
	"holds", "its resolution was taken out: restore it from a backup", `
	SELECT h.call || '/' || h.number AS row, format('%s are held and its call has ended', h.amount) AS problem
	FROM holds h JOIN calls c ON c.id = h.call LEFT JOIN hold_resolutions r USING (call, number)
	WHERE c.ended_at IS NOT NULL AND r.call IS NULL`,
}, {
	"holds", "a hold belongs to a call of its account's client: restore the call from a backup", `
	SELECT h.call || '/' || h.number AS row, coalesce('its call is of client ' || c.client, 'it has no call') AS problem
	FROM holds h LEFT JOIN calls c ON c.id = h.call
	WHERE h.account IS DISTINCT FROM 'client/' || c.client`,
}, {
	"hold_resolutions", "it must be all of its hold, captured or released: see the receipt of its call", `
	SELECT r.call || '/' || r.number AS row, format('captured %s and released %s of a hold of %s',
		r.captured, r.released, coalesce(h.amount::text, 'nothing')) AS problem
	FROM hold_resolutions r LEFT JOIN holds h USING (call, number)
	WHERE h.call IS NULL OR h.amount <> r.amount OR r.captured < 0 OR r.released < 0 OR r.captured + r.released <> h.amount`,
}, {
	"hold_resolutions", "its call was opened again: see the receipt of its call", `
	SELECT r.call || '/' || r.number AS row, 'it is resolved and its call is open' AS problem
	FROM hold_resolutions r JOIN calls c ON c.id = r.call WHERE c.ended_at IS NULL`,
}, {
	"plans", "restore its text from a backup: calls name this version", `
	SELECT version::text AS row, 'its text is not what was saved' AS problem
	FROM plans WHERE sha256(convert_to(text, 'UTF8')) <> sha256`,
}}
