package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// meeting is a client and an advisor who are to talk, and what stands in the way: read
// under the locks of both. A tap, a place in the queue and a turn ask it the same.
type meeting struct {
	plan    dialplan.Plan
	client  ivr.ClientID
	advisor ivr.AdvisorID

	onLine   bool
	hours    Hours
	terms    dialplan.Terms
	currency string
	reservations
}

// reservations are those of either. "" and 0 where there is none.
type reservations struct {
	Mine          string       // the client's own loan for the advisor
	MineIsLent    bool         `db:"mine_is_lent"`   // a number, by it
	ReservedUntil sql.NullTime `db:"reserved_until"` // for another client
	OpenCall      string       `db:"open_call"`      // of the advisor
	Line          string       // of the advisor, verified
	Blocked       bool
	Others        int    // of the client's loans that reserve other advisors
	Other         string // the oldest of them
	Now           time.Time
	nextAppointment
}

// meet takes the locks of everything that moves money, in its order: the advisor, then
// the client's account. So whoever else taps, dials or pays waits, and nothing changes
// between its being read and a loan's being made.
func meet(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, client ivr.ClientID, advisor ivr.AdvisorID) (m meeting, err error) {
	var a struct {
		wishRow
		OnLine bool `db:"on_line"`
		Hours  Hours
	}
	err = tx.GetContext(ctx, &a, `
		SELECT per_minute, predetermined_ms, on_line_since IS NOT NULL AS on_line, hours FROM advisors
		WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, advisor)
	if errors.Is(err, sql.ErrNoRows) {
		return m, fmt.Errorf("advisor %s: %w", advisor, ErrNotFound)
	}
	if err != nil {
		return m, err
	}
	m = meeting{plan: plan, client: client, advisor: advisor, onLine: a.OnLine, hours: a.Hours, terms: plan.Terms(string(advisor), a.wish())}
	if m.currency, err = lockClient(ctx, tx, client); err != nil {
		return m, fmt.Errorf("client %s: %w", client, err)
	}
	// It reads the clock, not the transaction's beginning: what ended while the locks
	// were waited for is over.
	return m, tx.GetContext(ctx, &m.reservations, `
		WITH live AS (
			SELECT id, did, client, advisor, until FROM loans
			WHERE `+reserved+` AND (advisor = $1 OR client = $2)
		)
		SELECT
			coalesce((SELECT id FROM live WHERE advisor = $1 AND client = $2), '') AS mine,
			EXISTS (SELECT FROM live WHERE advisor = $1 AND client = $2 AND did IS NOT NULL) AS mine_is_lent,
			(SELECT until FROM live WHERE advisor = $1 AND client <> $2) AS reserved_until,
			coalesce((SELECT min(id) FROM calls WHERE advisor = $1 AND ended_at IS NULL), '') AS open_call,
			coalesce((SELECT max(id) FROM lines WHERE advisor = $1 AND verified_at IS NOT NULL), '') AS line,
			EXISTS (SELECT FROM blocks WHERE advisor = $1 AND client = $2 AND blocked) AS blocked,
			(SELECT count(*) FROM live WHERE advisor <> $1) AS others,
			coalesce((SELECT min(id) FROM live WHERE advisor <> $1), '') AS other,
			clock_timestamp() AS now, `+selectNextAppointment, advisor, client)
}

// allowed asks for the money first, then whether the advisor takes calls.
func (m meeting) allowed(ctx context.Context, tx *sqlx.Tx) error {
	switch {
	case m.terms.Least() <= 0:
		return fmt.Errorf("%w: rate %q of plan %d asks no money for %v of talk", ivr.ErrNotInPlan, m.terms.RateName, m.plan.Version, m.terms.Predetermined)
	case m.currency != m.terms.Currency:
		return fmt.Errorf("the plan counts in %s, client %s has another currency: %w", m.terms.Currency, m.client, ivr.ErrNotInPlan)
	}
	if err := mayHold(ctx, tx, m.client, m.terms); err != nil {
		return err
	}
	switch next := m.hours.Next(m.Now); {
	case !next.Equal(m.Now): // told before a block, which then looks no other than being off line
		return &OutOfHours{next}
	case m.Blocked:
		return ErrBlocked
	case !m.onLine:
		return ErrAdvisorAway
	case m.Line == "":
		return ivr.ErrNotVerified
	}
	return nil
}

// busyUntil is until when another reservation or a call keeps the advisor, at the
// latest; zero where they are free.
func (m meeting) busyUntil(ctx context.Context, tx *sqlx.Tx) (time.Time, error) {
	switch {
	case m.ReservedUntil.Valid:
		return m.ReservedUntil.Time, nil
	case m.OpenCall != "":
		return callEnds(ctx, tx, m.OpenCall, m.plan.Limits)
	case m.lasts(m.plan.Limits.Turn) < m.plan.Limits.Turn:
		return m.NextEnd, nil
	}
	return time.Time{}, nil
}

// callEnds is when the money that is held for an open call is spent, had everyone taken
// as long to answer and to accept as the plan allows.
func callEnds(ctx context.Context, q sqlx.QueryerContext, call string, limits dialplan.Limits) (time.Time, error) {
	var row struct {
		Kind     ivr.Kind
		OpenedAt time.Time `db:"opened_at"`
		Terms    []byte
		Held     money.Amount
	}
	if err := sqlx.GetContext(ctx, q, &row, `
		SELECT kind, opened_at, terms, (SELECT sum(amount) FROM holds WHERE call = c.id)::bigint AS held
		FROM calls c WHERE id = $1`, call); err != nil {
		return time.Time{}, err
	}
	var terms dialplan.Terms
	if err := json.Unmarshal(row.Terms, &terms); err != nil {
		return time.Time{}, fmt.Errorf("read the terms of call %s: %w", call, err)
	}
	longest, _ := terms.Talk(row.Held)
	return row.OpenedAt.Add(putThrough(limits, row.Kind != ivr.ClientCall) + longest), nil
}

// listening is what a party who is to press a key hears before, at most.
const listening = 15 * time.Second

// putThrough is how long it takes until the two talk, at most: the advisor is rung, and
// the client before where the call is placed.
func putThrough(limits dialplan.Limits, placed bool) time.Duration {
	one := listening + limits.Ring + limits.Accept
	if placed {
		return 2 * one
	}
	return one
}

// request is the loan that a client is to get, of a number in a country; anywhere where
// that is "".
func (m meeting) request(topic, country string, lasts time.Duration) (LoanRequest, error) {
	r := LoanRequest{Client: m.client, Advisor: m.advisor, Line: ivr.LineID(m.Line), Topic: topic, For: m.lasts(lasts), Quarantine: m.plan.Limits.Quarantine}
	for _, n := range m.plan.Numbers {
		if country == "" || country == n.Country {
			r.Pool = append(r.Pool, n.DID)
		}
	}
	if len(r.Pool) == 0 {
		return r, ErrNoCountry
	}
	return r, nil
}
