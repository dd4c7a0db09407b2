package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// TopicPlacements is noticed when there are calls to place.
const TopicPlacements = "placements"

// place has a call placed for a loan that reserves its advisor, before until.
func place(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, kind ivr.Kind, until time.Time) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO placements (loan, kind, until) VALUES ($1, $2, $3) ON CONFLICT (loan) DO NOTHING`, loan, kind, until)
	if err != nil {
		return fmt.Errorf("have a call placed for loan %s: %w", loan, err)
	}
	return nil
}

// ClaimPlacement claims the call that has waited longest to be placed: of all copies of
// the program, one gets it.
func (s *Store) ClaimPlacement(ctx context.Context) (p ivr.Placed, found bool, err error) {
	p.Call = ivr.CallID(ivr.NewID("call")) // finds again what was claimed when the reply is lost
	var r loanRow
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.owns(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE placements SET call = $1, node = $2
			WHERE NOT EXISTS (SELECT FROM placements WHERE call = $1) AND loan = (
				SELECT loan FROM placements WHERE ended_at IS NULL AND call IS NULL AND until > clock_timestamp()
					AND `+preferred+`
				ORDER BY made_at LIMIT 1 FOR UPDATE SKIP LOCKED)`, p.Call, s.config.Node); err != nil {
			return err
		}
		if err := tx.GetContext(ctx, &p.Kind, `SELECT kind FROM placements WHERE call = $1`, p.Call); err != nil {
			return err
		}
		return tx.GetContext(ctx, &r, selectLoans+` JOIN placements p ON p.loan = l.id WHERE p.call = $1`, p.Call)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("claim a call to be placed: %w", err)
	}
	p.Loan, err = s.loan(r)
	return p, err == nil, err
}

// AbandonPlacements gives back what earlier processes of this node claimed and of which no
// call was opened. Call it when those processes are gone.
func (s *Store) AbandonPlacements(ctx context.Context) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `
			UPDATE placements p SET call = NULL
			WHERE node = $1 AND ended_at IS NULL AND call IS NOT NULL AND NOT EXISTS (SELECT FROM calls WHERE id = p.call)`, s.config.Node)
		return err
	})
	if err != nil {
		return fmt.Errorf("give back calls to be placed: %w", err)
	}
	return nil
}

// Missed is how a call ended that nobody placed in time.
const Missed ivr.Disposition = "missed"

// EndMissedPlacements ends the calls that nobody placed in time.
func (s *Store) EndMissedPlacements(ctx context.Context) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var missed []ivr.LoanID
		if err := tx.SelectContext(ctx, &missed, `
			UPDATE placements SET ended_at = now(), disposition = $1
			WHERE ended_at IS NULL AND call IS NULL AND until <= clock_timestamp() RETURNING loan`, Missed); err != nil {
			return err
		}
		for _, loan := range missed {
			if err := s.loanCalled(ctx, tx, loan, Missed, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("end calls that were not placed in time: %w", err)
	}
	return nil
}

// endPlacement ends the placement of a call that is being closed. Where its program
// stopped or died before the two could talk, the call is to be placed again: then it is
// not over, and nothing follows from its end.
func (s *Store) endPlacement(ctx context.Context, tx *sqlx.Tx, cdr ivr.CDR, talk time.Duration) error {
	again := cdr.Disposition == ivr.Interrupted && talk == 0
	var ended bool
	err := tx.GetContext(ctx, &ended, `
		UPDATE placements SET
			call        = CASE WHEN $2 AND until > clock_timestamp() THEN NULL ELSE call END,
			ended_at    = CASE WHEN $2 AND until > clock_timestamp() THEN NULL ELSE now() END,
			disposition = CASE WHEN $2 AND until > clock_timestamp() THEN NULL ELSE $3 END
		WHERE call = $1 AND ended_at IS NULL RETURNING ended_at IS NOT NULL`, cdr.Call, again, cdr.Disposition)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("end its placement: %w", err)
	}
	if err == nil && !ended || cdr.Loan == "" {
		return nil
	}
	return s.loanCalled(ctx, tx, cdr.Loan, cdr.Disposition, talk)
}

// loanCalled tells who waits for a loan's call how it ended: the queue and the
// appointments. talk is 0 where the two did not talk.
func (s *Store) loanCalled(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, d ivr.Disposition, talk time.Duration) error {
	if err := s.waitCalled(ctx, tx, loan, d, talk); err != nil {
		return err
	}
	return s.appointmentCalled(ctx, tx, loan, d, talk)
}
