package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
)

// ErrPast: what is to be done at a time was asked for after it.
var ErrPast = errors.New("this time is over")

// PlanActivation is one move of the pointer to the plan in force.
type PlanActivation struct {
	Version   int64
	By        string    `db:"by_whom"`
	At        time.Time // when it was decided
	HoldsFrom time.Time `db:"holds_from"`
}

// ActivatePlan makes a version the one for calls that begin from now on. Rolling
// back is activating an older one.
func (s *Store) ActivatePlan(ctx context.Context, version int64, by string) error {
	_, err := s.RequestActivation(ctx, Request{}, version, by, time.Time{})
	return err
}

// RequestActivation makes a version hold from a time on, or from now on where that is
// zero. It returns [ErrNotFound], or [ErrPast].
func (s *Store) RequestActivation(ctx context.Context, request Request, version int64, by string, at time.Time) (a PlanActivation, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a = PlanActivation{}
		return s.onceIfAsked(ctx, tx, request, &a, func() error {
			a, err = s.activate(ctx, tx, version, by, at)
			return err
		})
	})
	if violated(err) == "plan_activations_version_fkey" {
		err = ErrNotFound
	}
	if err != nil {
		return PlanActivation{}, fmt.Errorf("activate plan %d: %w", version, err)
	}
	s.Notify(ctx, TopicPlan)
	s.Notify(ctx, TopicEvents)
	return a, nil
}

// activate writes nothing where it would change nothing.
func (s *Store) activate(ctx context.Context, tx *sqlx.Tx, version int64, by string, at time.Time) (a PlanActivation, err error) {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, plansLock); err != nil {
		return a, err
	}
	from := sql.NullTime{Time: at, Valid: !at.IsZero()}
	var found struct {
		Before int64
		Past   bool
	}
	if err := tx.GetContext(ctx, &found, `
		SELECT coalesce((`+selectActive+`), 0) AS before, coalesce($1::timestamptz <= statement_timestamp(), false) AS past`, from); err != nil {
		return a, err
	}
	if found.Past {
		return a, ErrPast
	}
	err = tx.GetContext(ctx, &a, `
		SELECT version, by_whom, at, holds_from FROM standing_activations
		WHERE version = $1 AND CASE WHEN $2::timestamptz IS NULL THEN version = $3 AND holds_from <= statement_timestamp() ELSE holds_from = $2 END
		ORDER BY holds_from DESC, id DESC LIMIT 1`, version, from, found.Before)
	if !errors.Is(err, sql.ErrNoRows) {
		return a, err
	}
	if err := tx.GetContext(ctx, &a, `
		INSERT INTO plan_activations (version, by_whom, at, holds_from)
		SELECT $1, $2, clock, coalesce($3, clock) FROM clock_timestamp() AS clock
		RETURNING version, by_whom, at, holds_from`, version, by, from); err != nil {
		return a, err
	}
	act := Act{Who: by, What: "plan activated", Subject: fmt.Sprint("plan ", version), Detail: map[string]string{"before": fmt.Sprint(found.Before)}}
	if from.Valid {
		act.Detail["from"] = a.HoldsFrom.UTC().Format(time.RFC3339)
	}
	if err := s.emit(ctx, tx, Event{Type: "plan.activated", Data: map[string]any{"version": version, "from": a.HoldsFrom}}); err != nil {
		return a, err
	}
	return a, s.log(ctx, tx, act)
}

// RequestRollback activates the version that was active before the active one, or
// returns [ErrNoPlanBefore].
func (s *Store) RequestRollback(ctx context.Context, request Request, by string) (a PlanActivation, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a = PlanActivation{}
		return s.onceIfAsked(ctx, tx, request, &a, func() error {
			before, err := planBefore(ctx, tx)
			if err == nil {
				a, err = s.activate(ctx, tx, before, by, time.Time{})
			}
			return err
		})
	})
	if err != nil {
		return PlanActivation{}, fmt.Errorf("roll the plan back: %w", err)
	}
	s.Notify(ctx, TopicPlan)
	s.Notify(ctx, TopicEvents)
	return a, nil
}

// PlanBefore is the version that a rollback activates.
func (s *Store) PlanBefore(ctx context.Context) (version int64, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		version, err = planBefore(ctx, s.db)
		return err
	})
	return version, err
}

func planBefore(ctx context.Context, q sqlx.QueryerContext) (version int64, err error) {
	err = sqlx.GetContext(ctx, q, &version, `
		SELECT version FROM standing_activations WHERE holds_from <= statement_timestamp() AND version <> (`+selectActive+`)
		ORDER BY holds_from DESC, id DESC LIMIT 1`)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoPlanBefore
	}
	return version, err
}

// WithdrawPlan takes back that a version is to be active: its activations whose time
// has not come. Where there are none, none is what was asked for. [ErrNotFound] means
// that there is no such version.
func (s *Store) WithdrawPlan(ctx context.Context, version int64, by string) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, plansLock); err != nil {
			return err
		}
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM plans WHERE version = $1)`, version); err != nil {
			return err
		}
		if !known {
			return ErrNotFound
		}
		done, err := tx.ExecContext(ctx, `
			INSERT INTO plan_activations (version, by_whom, holds_from, withdraws)
			SELECT version, $2, holds_from, id FROM standing_activations WHERE version = $1 AND holds_from > statement_timestamp()`, version, by)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "plan activation withdrawn", Subject: fmt.Sprint("plan ", version)})
	})
	if err != nil {
		return fmt.Errorf("withdraw the activation of plan %d: %w", version, err)
	}
	s.Notify(ctx, TopicPlan)
	return nil
}

// PlanHistory lists the activations that hold, held or are to hold, the latest first.
func (s *Store) PlanHistory(ctx context.Context) (list []PlanActivation, err error) {
	err = s.list(ctx, &list, `
		SELECT version, by_whom, at, holds_from FROM standing_activations ORDER BY holds_from DESC, id DESC`)
	return list, err
}

// plansLooked is how often it is looked whether a plan's time has come. Only notices
// wait for it: calls ask for the plan in force themselves.
const plansLooked = 5 * time.Second

// AnnouncePlans tells those who listen when the time of an activation comes, until ctx
// ends.
func (s *Store) AnnouncePlans(ctx context.Context) {
	for known := int64(-1); ; {
		var row struct {
			Last int64         // whose time has come
			Next sql.NullInt64 // milliseconds until another's does
		}
		wait := plansLooked
		err := s.get(ctx, &row, `
			SELECT coalesce((SELECT id FROM standing_activations
					WHERE holds_from <= statement_timestamp() AND holds_from > at ORDER BY holds_from DESC, id DESC LIMIT 1), 0) AS last,
				(SELECT ceil(extract(epoch FROM min(holds_from) - statement_timestamp()) * 1000)
					FROM standing_activations WHERE holds_from > statement_timestamp())::bigint AS next`)
		switch {
		case err != nil && ctx.Err() == nil:
			slog.Warn("whether a plan's time has come is not known", "err", err)
		case err == nil:
			if known >= 0 && row.Last != known {
				s.Notify(ctx, TopicPlan)
			}
			known = row.Last
			if row.Next.Valid {
				wait = min(wait, time.Duration(row.Next.Int64)*time.Millisecond)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// NextActivation is the next whose time comes, or [ErrNotFound].
func (s *Store) NextActivation(ctx context.Context) (a PlanActivation, err error) {
	err = s.get(ctx, &a, `
		SELECT version, by_whom, at, holds_from FROM standing_activations
		WHERE holds_from > statement_timestamp() ORDER BY holds_from, id DESC LIMIT 1`)
	return a, err
}
