package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
)

// Revise implements [ivr.Ledger]. The price of the terms must be that of the call.
func (s *Store) Revise(ctx context.Context, call ivr.CallID, plan int64, terms dialplan.Terms) error {
	text, err := json.Marshal(terms)
	if err != nil {
		return err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var open bool
		if err := tx.GetContext(ctx, &open, `
			SELECT ended_at IS NULL AND terms -> 'rate' = $2::jsonb -> 'rate' FROM calls WHERE id = $1 FOR NO KEY UPDATE`,
			call, string(text)); err != nil {
			return err
		}
		if !open {
			return fmt.Errorf("it has ended, or its price would change: %w", ErrConflict)
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO call_revisions (call, plan, terms)
			SELECT $1, $2, $3::jsonb WHERE NOT EXISTS (
				SELECT FROM (SELECT plan, terms FROM call_revisions WHERE call = $1 ORDER BY at DESC LIMIT 1) AS last
				WHERE (plan, terms) = ($2, $3::jsonb))`, call, plan, string(text))
		return err
	})
	if err != nil {
		return fmt.Errorf("call %s cannot follow plan %d: %w", call, plan, err)
	}
	return nil
}

// revision is the last plan that an open call follows.
type revision struct{ Revised []byte }

func (r revision) latestTerms(c Call) (terms dialplan.Terms, err error) {
	switch {
	case r.Revised != nil:
		err = json.Unmarshal(r.Revised, &terms)
	case c.Terms != nil:
		terms = *c.Terms
	}
	return terms, err
}

// Rate implements [ivr.Desk]. The first rating of a call stays.
func (s *Store) Rate(ctx context.Context, call ivr.CallID, stars int) error {
	if stars < 1 || stars > 5 {
		return errors.New("a rating is 1 to 5 stars")
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		// The call may be rated before it is settled: its record is made when it opens.
		var of struct {
			Client  ivr.ClientID
			Advisor ivr.AdvisorID
		}
		err := tx.GetContext(ctx, &of, `
			WITH rated AS (INSERT INTO ratings (call, stars) VALUES ($1, $2) ON CONFLICT (call) DO NOTHING RETURNING call)
			SELECT client, advisor FROM calls JOIN rated ON call = id`, call, stars)
		if errors.Is(err, sql.ErrNoRows) { // rated before
			return nil
		}
		if err != nil {
			return err
		}
		return s.emit(ctx, tx, Event{Type: "rating.given", Client: of.Client, Advisor: of.Advisor,
			Data: map[string]any{"call": call, "stars": stars}})
	})
	if err != nil {
		return fmt.Errorf("rate call %s: %w", call, err)
	}
	s.Notify(ctx, TopicEvents)
	return nil
}
