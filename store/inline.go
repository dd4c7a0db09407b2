package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// lastTicket is after all others.
const lastTicket = math.MaxInt64

// inLine is the place in an advisor's line that a ticket has, and how long it takes
// until its turn, at most: see [Store.JoinQueue].
func inLine(ctx context.Context, q sqlx.QueryerContext, plan dialplan.Plan, advisor ivr.AdvisorID, terms dialplan.Terms, ticket int64) (place int, atMost time.Duration, err error) {
	var calls []string
	if err := sqlx.SelectContext(ctx, q, &calls, `SELECT id FROM calls WHERE advisor = $1 AND ended_at IS NULL`, advisor); err != nil {
		return 0, 0, err
	}
	for _, call := range calls {
		ends, err := callEnds(ctx, q, call, plan.Limits)
		if err != nil {
			return 0, 0, err
		}
		atMost = max(atMost, time.Until(ends))
	}
	// Before this ticket: who has the advisor reserved and has not called yet, and who
	// stands in line.
	var before []struct {
		LeftMS    int64 `db:"left_ms"` // of the turn; -1 for a whole one
		Placed    bool
		Available money.Amount
	}
	if err := sqlx.SelectContext(ctx, q, &before, `
		SELECT (extract(epoch FROM until - clock_timestamp()) * 1000)::bigint AS left_ms, did IS NULL AS placed,
			(SELECT amount FROM may_hold(client)) AS available
		FROM loans l WHERE advisor = $1 AND `+reserved+`
			AND NOT EXISTS (SELECT FROM calls WHERE loan = l.id AND ended_at IS NULL)
			AND NOT EXISTS (SELECT FROM appointments WHERE loan = l.id)
		UNION ALL
		SELECT -1, mode = 'call_back', (SELECT amount FROM may_hold(client))
		FROM waits WHERE advisor = $1 AND ended_at IS NULL AND state = 'waiting' AND ticket < $2`, advisor, ticket); err != nil {
		return 0, 0, err
	}
	place = 1
	for _, b := range before {
		turn := time.Duration(b.LeftMS) * time.Millisecond
		if b.LeftMS < 0 {
			turn = plan.Limits.Turn
			place++
		}
		longest, _ := terms.Talk(b.Available)
		atMost += turn + putThrough(plan.Limits, b.Placed) + longest
	}
	atMost, err = aroundAppointments(ctx, q, plan, advisor, terms, atMost)
	return place, atMost, err
}

// LongestWait is how long a client who joined the advisor's line now would wait for their
// turn, at most: see [Store.JoinQueue].
func (s *Store) LongestWait(ctx context.Context, plan dialplan.Plan, advisor ivr.AdvisorID, terms dialplan.Terms) (atMost time.Duration, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		_, atMost, err = inLine(ctx, s.db, plan, advisor, terms, lastTicket)
		return err
	})
	return atMost, err
}

// aroundAppointments is how long it takes until a turn where the advisor has appointments
// meanwhile: they go first, and shortly before one there is no turn that would not be
// over by then.
func aroundAppointments(ctx context.Context, q sqlx.QueryerContext, plan dialplan.Plan, advisor ivr.AdvisorID, terms dialplan.Terms, atMost time.Duration) (time.Duration, error) {
	var all []struct {
		InMS    int64 `db:"in_ms"`    // it begins; 0 where it should have
		LastsMS int64 `db:"lasts_ms"` // from then on, however late it is begun
	}
	if err := sqlx.SelectContext(ctx, q, &all, `
		SELECT (extract(epoch FROM begins - clock_timestamp()) * 1000)::bigint AS in_ms,
			(extract(epoch FROM until - begins + (ends_at - starts_at)) * 1000)::bigint AS lasts_ms
		FROM appointments a CROSS JOIN LATERAL (SELECT greatest(starts_at, clock_timestamp()) AS begins) b
		WHERE advisor = $1 AND state IN `+standing+` AND until > clock_timestamp()
			AND NOT EXISTS (SELECT FROM calls WHERE loan = a.loan AND ended_at IS NULL)
		ORDER BY starts_at`, advisor); err != nil {
		return 0, err
	}
	before := plan.Limits.Turn + putThrough(plan.Limits, false) + terms.Predetermined
	for _, a := range all {
		if in := time.Duration(a.InMS) * time.Millisecond; in-before <= atMost {
			atMost += before + time.Duration(a.LastsMS)*time.Millisecond + putThrough(plan.Limits, true)
		}
	}
	return atMost, nil
}

// advisorBusy is the refusal of a client who would have to wait, with what they can do
// instead.
func (s *Store) advisorBusy(ctx context.Context, tx *sqlx.Tx, m meeting, until time.Time) error {
	ticket := int64(lastTicket)
	err := tx.GetContext(ctx, &ticket, `SELECT ticket FROM waits WHERE client = $1 AND advisor = $2 AND ended_at IS NULL AND state = 'waiting'`, m.client, m.advisor)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	place, atMost, err := inLine(ctx, tx, m.plan, m.advisor, m.terms, ticket)
	if err != nil {
		return err
	}
	busy := &AdvisorBusy{Until: until, Place: place, AtMost: atMost}
	if place > 1 { // those before them go first
		busy.Until = time.Now().Add(atMost)
	}
	if ticket == lastTicket && place > m.plan.Limits.Queue {
		busy.Place = 0
	}
	busy.CallBack = busy.Place > 0 && s.mayCall(ctx, tx, m.plan, m.client) == nil
	return busy
}

// mayCall returns a [*dialplan.NotCallable] where the plan does not allow that we call a
// client.
func (s *Store) mayCall(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, client ivr.ClientID) error {
	var sealed []byte
	if err := tx.GetContext(ctx, &sealed, `SELECT phone_sealed FROM clients WHERE id = $1`, client); err != nil {
		return err
	}
	phone, err := s.vault.open(string(client), sealed)
	if err != nil {
		return err
	}
	return plan.MayCall(phone)
}
