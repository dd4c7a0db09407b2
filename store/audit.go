package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr/money"
)

// Report is what an audit found.
type Report struct {
	Accounts, Transfers, Calls, Acts int
	LogRow                           int64  // the last of the audit log,
	LogHash                          string // and its hash: to compare with what was noted elsewhere
	Faults                           []Fault
}

// Fault is a row that is not as it must be. Another row may be the cause: the remedy
// says where to look.
type Fault struct {
	Table, Row, Problem, Remedy string
}

func (f Fault) String() string {
	return fmt.Sprintf("%s %s: %s. Remedy: %s.", f.Table, f.Row, f.Problem, f.Remedy)
}

func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d accounts, %d transfers, %d calls, %d acts in the audit log\n", r.Accounts, r.Transfers, r.Calls, r.Acts)
	fmt.Fprintf(&b, "audit log: row %d, %s\n", r.LogRow, nonempty(r.LogHash, "empty"))
	for _, f := range r.Faults {
		fmt.Fprintln(&b, f)
	}
	if len(r.Faults) == 0 {
		b.WriteString("no fault\n")
	} else {
		fmt.Fprintln(&b, count(len(r.Faults), "fault"))
	}
	return b.String()
}

// Audit reads everything as it was at one moment, while calls go on, and compares
// what must agree: accounts with transfers and holds, holds with calls, calls with
// their talk and their rate, the plans and the audit log with their hashes.
func (s *Store) Audit(ctx context.Context) (r Report, err error) {
	err = s.reading(ctx, func(tx *sqlx.Tx) error {
		r, err = s.audit(ctx, tx)
		return err
	})
	return r, err
}

func (s *Store) audit(ctx context.Context, tx *sqlx.Tx) (r Report, err error) {
	if err := tx.QueryRowxContext(ctx, `
		SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM transfers), (SELECT count(*) FROM calls),
			(SELECT count(*) FROM audit_log)`).Scan(&r.Accounts, &r.Transfers, &r.Calls, &r.Acts); err != nil {
		return r, err
	}
	for _, c := range slices.Concat(auditChecks, adjustmentChecks, appointmentChecks) {
		var found []struct{ Row, Problem string }
		if err := tx.SelectContext(ctx, &found, c.query); err != nil {
			return r, fmt.Errorf("audit %s: %w", c.table, err)
		}
		for _, f := range found {
			r.Faults = append(r.Faults, Fault{c.table, f.Row, f.Problem, c.remedy})
		}
	}
	charges, err := auditCharges(ctx, tx)
	if err != nil {
		return r, err
	}
	last, hash, broken, err := s.followChain(ctx, tx)
	r.LogRow, r.LogHash = last, hash
	r.Faults = append(append(r.Faults, charges...), broken...)
	return r, err
}

// reading runs fn on one unchanging view of the database, over a connection of its
// own that may take long.
func (s *Store) reading(ctx context.Context, fn func(tx *sqlx.Tx) error) error {
	db, err := connect(s.config.DSN, s.config.Node, 10*time.Minute)
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTxx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return fn(tx)
}

// auditCharges computes every charge again from the call's terms and talk, with the
// functions that calls use.
func auditCharges(ctx context.Context, tx *sqlx.Tx) (faults []Fault, err error) {
	rows, err := tx.QueryxContext(ctx, selectCalls+`, coalesce(c.talk_ms, 0) AS talk_ms FROM calls c WHERE ended_at IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var row struct {
			callRow
			TalkMS int64 `db:"talk_ms"`
		}
		if err := rows.StructScan(&row); err != nil {
			return nil, err
		}
		c, err := row.call()
		if err != nil {
			return nil, err
		}
		fault := func(format string, args ...any) {
			faults = append(faults, Fault{"calls", string(c.ID), fmt.Sprintf(format, args...),
				"see its receipt; if the client paid too much, pay it back with a transfer of its own"})
		}
		if talk := c.Talk(); talk.Milliseconds() != row.TalkMS {
			fault("its talk time is %d ms, its segments are %v", row.TalkMS, talk)
		}
		if c.Terms == nil {
			if c.Talk() > 0 || c.Charge != 0 || c.Held != 0 {
				fault("it talked for %v and was charged %v without terms", c.Talk(), c.Charge)
			}
			continue
		}
		charge := min(c.Terms.Rate.Charge(c.Talk()), c.Held)
		if c.Charge != charge {
			fault("it was charged %v; its talk of %v costs %v by its terms, within the hold of %v", c.Charge, c.Talk(), charge, c.Held)
		}
		if shares := money.Split(c.Charge, c.Terms.AdvisorPercent); c.Shares != shares {
			fault("its shares are %+v; by its terms they are %+v", c.Shares, shares)
		}
	}
	return faults, rows.Err()
}
