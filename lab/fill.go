package lab

import (
	"context"
	"database/sql"
	"fmt"
)

// Fill adds clients with accounts to a program's database, and a closed call with its hold,
// segment, transfers and event for each: those numbered from up to, and not with, to. The
// superuser does it without triggers, which would take longer than all that is measured.
func Fill(ctx context.Context, db *sql.DB, from, to int) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	series := fmt.Sprintf("FROM generate_series(%d, %d) AS i", from, to-1)
	const terms = `'{"rate_name": "standard", "advisor_percent": 60, "currency": "EUR"}'`
	const began = `now() - interval '1 year' + i * interval '30 s'`
	for _, statement := range []string{
		`SET session_replication_role = replica`,
		`INSERT INTO clients (id, alias, phone_sealed, phone_hash, phone_mask)
			SELECT 'cli_s' || i, 'Client', '', decode(md5('size' || i), 'hex'), '+49...' ` + series,
		`INSERT INTO advisors (id, name) SELECT 'adv_s' || i, 'Advisor' ` + series + ` WHERE i % 100 = 0`,
		`INSERT INTO accounts (id, kind, client, currency, posted, held)
			SELECT 'client/cli_s' || i, 'client', 'cli_s' || i, 'EUR', 1000000, 0 ` + series,
		`INSERT INTO calls (id, kind, did, ani, client, advisor, plan, terms, started_at, opened_at, ended_at, ended_by,
			disposition, cause, ring_ms, talk_ms, held, charge, advisor_share, platform_share)
			SELECT 'call_s' || i, 'client', '+4930551', '+49...', 'cli_s' || i, 'adv_s' || i / 100 * 100, 1, ` + terms + `,
			` + began + `, ` + began + `, ` + began + `, 'client', 'completed', 16, 5000, 90000, 18000, 900, 540, 360 ` + series,
		`INSERT INTO holds (call, number, account, least, most, amount)
			SELECT 'call_s' || i, 1, 'client/cli_s' || i, 50, 18000, 18000 ` + series,
		`INSERT INTO hold_resolutions (call, number, amount, captured, released)
			SELECT 'call_s' || i, 1, 18000, 900, 17100 ` + series,
		`INSERT INTO segments (call, number, joined_at, talk_ns) SELECT 'call_s' || i, 1, ` + began + `, 90000000000 ` + series,
		`INSERT INTO transfers (kind, key, debit, credit, currency, amount, at)
			SELECT 'advisor share', 'call_s' || i, 'client/cli_s' || i, 'advisor/adv_s' || i / 100 * 100 || '/EUR', 'EUR', 540, ` + began + ` ` + series,
		`INSERT INTO events (type, client, advisor, data)
			SELECT 'call.ended', 'cli_s' || i, 'adv_s' || i / 100 * 100, '{}' ` + series,
		`SET session_replication_role = DEFAULT`,
		`ANALYZE`,
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return nil
}
