package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
)

// nextWait is who comes next.
type nextWait struct {
	ID             WaitID
	Client         ivr.ClientID
	Mode           WaitMode
	Topic, Country string
}

// nextInLine is the first who waits for an advisor and could talk now. Those who are in
// another call, or have another advisor reserved, keep their place meanwhile; so do
// those who are to be called while all lines are in use.
func nextInLine(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, advisor ivr.AdvisorID) (w nextWait, found bool, err error) {
	err = tx.GetContext(ctx, &w, `
		SELECT w.id, w.client, w.mode, w.topic, w.country FROM waits w
		WHERE w.advisor = $1 AND w.ended_at IS NULL AND w.state = 'waiting' AND w.ready_at <= clock_timestamp()
			AND NOT EXISTS (SELECT FROM blocks WHERE client = w.client AND advisor = $1 AND blocked)
			AND (SELECT count(*) FROM calls WHERE client = w.client AND ended_at IS NULL) < $2
			AND (SELECT count(*) FROM loans WHERE client = w.client AND advisor <> $1 AND `+reserved+`) < $2
			AND (w.mode = 'page' OR (SELECT count(*) FROM calls WHERE ended_at IS NULL) < $3)
		ORDER BY w.ticket LIMIT 1`, advisor, plan.Limits.Concurrent.PerClient, plan.Limits.Concurrent.All)
	if errors.Is(err, sql.ErrNoRows) {
		return w, false, nil
	}
	return w, err == nil, err
}

// GiveTurns gives the first in each line their turn, where the advisor takes calls and is
// free, and ends the turns that were missed. Any number of copies of the program may do
// so at once.
func (s *Store) GiveTurns(ctx context.Context, plan dialplan.Plan) error {
	var advisors []ivr.AdvisorID
	err := s.often(ctx, &advisors, `
		SELECT w.advisor FROM waits w JOIN advisors a ON a.id = w.advisor
		WHERE w.ended_at IS NULL AND (w.state = 'turn' OR a.on_line_since IS NOT NULL)
			AND NOT EXISTS (SELECT FROM calls WHERE advisor = a.id AND ended_at IS NULL)
			AND NOT EXISTS (SELECT FROM loans WHERE advisor = a.id AND `+reserved+`)
		GROUP BY w.advisor ORDER BY min(w.ticket)`)
	faults := []error{err}
	for _, advisor := range advisors {
		for again := true; again; {
			if again, err = s.giveTurn(ctx, plan, advisor); err != nil {
				faults = append(faults, fmt.Errorf("give a turn on advisor %s: %w", advisor, err))
			}
		}
	}
	return errors.Join(faults...)
}

// giveTurn looks at one client in an advisor's line; again says that another may come
// next at once.
func (s *Store) giveTurn(ctx context.Context, plan dialplan.Plan, advisor ivr.AdvisorID) (again bool, err error) {
	loan := ivr.LoanID(ivr.NewID("loan"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		again = false
		if _, err := tx.ExecContext(ctx, `SELECT FROM advisors WHERE id = $1 FOR NO KEY UPDATE`, advisor); err != nil {
			return err
		}
		if err := s.endMissedTurns(ctx, tx, advisor); err != nil {
			return err
		}
		next, found, err := nextInLine(ctx, tx, plan, advisor)
		if err != nil || !found {
			return err
		}
		m, err := meet(ctx, tx, plan, next.Client, advisor)
		if err != nil {
			return err
		}
		until, err := m.busyUntil(ctx, tx)
		if err != nil || !until.IsZero() || m.Mine != "" {
			return err
		}
		var poor *ivr.NoFunds
		switch err := m.allowed(ctx, tx); {
		case errors.As(err, &poor):
			again = true
			return s.endWait(ctx, tx, next.ID, NoFunds)
		case errors.Is(err, ErrAdvisorAway), errors.Is(err, ErrBlocked), errors.Is(err, ivr.ErrNotVerified):
			return nil // places are kept
		case err != nil:
			return err
		}
		err = s.take(ctx, tx, loan, m, next)
		if errors.Is(err, ErrNoCountry) { // the plan has no numbers there any more
			again = true
			return s.endWait(ctx, tx, next.ID, WaitFailed)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicPlacements)
	return again, nil
}

// take makes the loan of a turn: with a number, or with a call to be placed.
func (s *Store) take(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, m meeting, next nextWait) error {
	if next.Mode == OnPage {
		return s.lendTo(ctx, tx, loan, m, TalkRequest{Client: m.client, Advisor: m.advisor})
	}
	err := s.reserve(ctx, tx, loan, LoanRequest{Client: m.client, Advisor: m.advisor, Line: ivr.LineID(m.Line),
		Topic: next.Topic, For: m.plan.Limits.Turn})
	if err != nil {
		return err
	}
	until, err := s.itsTurn(ctx, tx, next.ID, loan)
	if err != nil {
		return err
	}
	return place(ctx, tx, loan, ivr.CallBack, until)
}

// lendTo lends a number to a client who may talk now. Where they wait for the advisor,
// this is their turn.
func (s *Store) lendTo(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, m meeting, r TalkRequest) error {
	var own nextWait
	err := tx.GetContext(ctx, &own, `SELECT id, topic, country FROM waits WHERE client = $1 AND advisor = $2 AND ended_at IS NULL AND state = 'waiting'`, m.client, m.advisor)
	lasts := m.plan.Limits.Turn
	if errors.Is(err, sql.ErrNoRows) {
		lasts, err = m.plan.Limits.Loan, nil
	}
	if err != nil {
		return err
	}
	request, err := m.request(cmp.Or(r.Topic, own.Topic), cmp.Or(r.Country, own.Country), lasts)
	if err != nil {
		return err
	}
	if err := s.lend(ctx, tx, loan, request, true); err != nil || own.ID == "" {
		return err
	}
	_, err = s.itsTurn(ctx, tx, own.ID, loan)
	return err
}

// itsTurn makes a wait a turn, as long as its loan is in force.
func (s *Store) itsTurn(ctx context.Context, tx *sqlx.Tx, id WaitID, loan ivr.LoanID) (until time.Time, err error) {
	var w struct {
		Client  ivr.ClientID
		Advisor ivr.AdvisorID
		Mode    WaitMode
		Until   time.Time
		Seconds float64 // since they joined
	}
	if err := tx.GetContext(ctx, &w, `
		UPDATE waits w SET state = 'turn', loan = l.id FROM loans l
		WHERE w.id = $1 AND w.state = 'waiting' AND l.id = $2
		RETURNING w.client, w.advisor, w.mode, l.until, extract(epoch FROM clock_timestamp() - w.joined_at)::float AS seconds`, id, loan); err != nil {
		return until, fmt.Errorf("give wait %s its turn: %w", id, err)
	}
	noteWaited(ctx, Turn, w.Seconds)
	return w.Until, s.emit(ctx, tx, Event{Type: "queue.turn", Client: w.Client, Advisor: w.Advisor,
		Data: map[string]any{"wait": id, "mode": w.Mode, "talk": loan, "until": w.Until}})
}

// endMissedTurns ends the turns that were not taken, under the advisor's lock: no call
// opens by their loans any more.
func (s *Store) endMissedTurns(ctx context.Context, tx *sqlx.Tx, advisor ivr.AdvisorID) error {
	var missed []WaitID
	if err := tx.SelectContext(ctx, &missed, `
		SELECT w.id FROM waits w JOIN loans l ON l.id = w.loan
		WHERE w.advisor = $1 AND w.ended_at IS NULL AND w.state = 'turn' AND l.until <= clock_timestamp()
			AND NOT EXISTS (SELECT FROM calls WHERE loan = l.id AND ended_at IS NULL)
			AND NOT EXISTS (SELECT FROM placements WHERE loan = l.id AND ended_at IS NULL)`, advisor); err != nil {
		return err
	}
	for _, id := range missed {
		if err := s.endWait(ctx, tx, id, MissedTurn); err != nil {
			return err
		}
	}
	return nil
}

// waitCalled is told how a call of a loan ended: where the loan was somebody's turn, that
// may be over.
func (s *Store) waitCalled(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, d ivr.Disposition, talk time.Duration) error {
	var w nextWait
	err := tx.GetContext(ctx, &w, `SELECT id, mode FROM waits WHERE loan = $1 AND state = 'turn'`, loan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	state := turnEnds(w.Mode, d, talk)
	if state == Turn {
		return nil
	}
	if err := s.endLoan(ctx, tx, loan, string(state)); err != nil {
		return err
	}
	return s.endWait(ctx, tx, w.ID, state)
}

// turnEnds is what a call makes of a turn. Who keeps the page open may dial again until
// it is over, but not where the advisor did not take the call: then others come first.
func turnEnds(mode WaitMode, d ivr.Disposition, talk time.Duration) WaitState {
	switch {
	case talk > 0:
		return Talked
	case d == "declined" || d == "no answer" || d == "busy" || d == "unreachable":
		return NotAccepted
	case mode == OnPage:
		return Turn
	case d == "client not reached" || d == "client busy":
		return NotReached
	case d == "no funds":
		return NoFunds
	case d == "abandoned":
		return Left
	}
	return WaitFailed
}

// leaveTurn gives a turn back; where a call by it is up, that decides.
func (s *Store) leaveTurn(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID) error {
	if err := s.endLoan(ctx, tx, loan, "cancelled"); err != nil {
		return err
	}
	var id WaitID
	err := tx.GetContext(ctx, &id, `
		SELECT id FROM waits WHERE loan = $1 AND state = 'turn' AND NOT EXISTS (SELECT FROM calls WHERE loan = $1 AND ended_at IS NULL)`, loan)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.endWait(ctx, tx, id, Left)
}

// endWait ends a wait that is not over, and tells the client how.
func (s *Store) endWait(ctx context.Context, tx *sqlx.Tx, id WaitID, state WaitState) error {
	e := Event{Type: "queue.left", Data: map[string]any{"wait": id, "state": state}}
	if state == MissedTurn {
		e.Type = "queue.missed"
	}
	var hadTurn bool
	var seconds float64
	err := tx.QueryRowxContext(ctx, `
		UPDATE waits SET state = $2, ended_at = clock_timestamp() WHERE id = $1 AND ended_at IS NULL
		RETURNING client, advisor, loan IS NOT NULL, extract(epoch FROM ended_at - joined_at)::float`, id, state).
		Scan(&e.Client, &e.Advisor, &hadTurn, &seconds)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end wait %s: %w", id, err)
	}
	if !hadTurn {
		noteWaited(ctx, state, seconds)
	}
	return s.emit(ctx, tx, e)
}

// endLoan ends a loan before its time, where it reserves an advisor: they are free. It
// reads the clock: the loan may have been made while a lock was waited for.
func (s *Store) endLoan(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, why string) error {
	e := Event{Type: "talk.over", Data: map[string]any{"talk": loan, "why": why}}
	err := tx.QueryRowxContext(ctx, `
		UPDATE loans SET until = at, kept_until = at + (kept_until - until)
		FROM (SELECT clock_timestamp() AS at) AS clock
		WHERE id = $1 AND reserves AND until > at RETURNING client, advisor`, loan).Scan(&e.Client, &e.Advisor)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end loan %s: %w", loan, err)
	}
	return s.emit(ctx, tx, e)
}
