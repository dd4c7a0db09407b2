package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// ErrNoPlanBefore: no other version was ever active, so there is none to return to.
var ErrNoPlanBefore = errors.New("no other version was active before")

// PlanVersion is a saved plan without its text.
type PlanVersion struct {
	Version  int64
	Author   string
	Note     string
	SHA256   []byte    // of the text
	SavedAt  time.Time `db:"saved_at"`
	Active   bool
	StartsAt time.Time `db:"starts_at"` // when it is to be active; zero: that is not planned
}

// plansLock is the advisory lock under which versions are counted and activated.
const plansLock = 0x706c616e // "plan"

// SavePlan keeps a plan's text, which its caller has validated, as the next
// version. The text of the newest version again gives that version.
func (s *Store) SavePlan(ctx context.Context, text, author, note string) (version int64, err error) {
	return s.RequestPlan(ctx, Request{}, text, author, note)
}

// RequestPlan is [Store.SavePlan] for whoever may ask twice.
func (s *Store) RequestPlan(ctx context.Context, request Request, text, author, note string) (version int64, err error) {
	sum := sha256.Sum256([]byte(text))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return s.onceIfAsked(ctx, tx, request, &version, func() error {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, plansLock); err != nil {
				return err
			}
			return tx.GetContext(ctx, &version, `
				WITH newest AS (
					SELECT version, text FROM plans ORDER BY version DESC LIMIT 1
				), saved AS (
					INSERT INTO plans (version, text, sha256, author, note)
					SELECT coalesce((SELECT version FROM newest), 0) + 1, $1, $2, $3, $4
					WHERE NOT EXISTS (SELECT FROM newest WHERE text = $1)
					RETURNING version
				)
				SELECT coalesce((SELECT version FROM saved), (SELECT version FROM newest))`, text, sum[:], author, note)
		})
	})
	if err != nil {
		return 0, fmt.Errorf("save the plan: %w", err)
	}
	return version, nil
}

// onceIfAsked is once for a request; a command is nobody's, and just done.
func (s *Store) onceIfAsked(ctx context.Context, tx *sqlx.Tx, r Request, answer any, do func() error) error {
	if r == (Request{}) {
		return do()
	}
	return s.once(ctx, tx, r, answer, do)
}

// Plan is the text of a version.
func (s *Store) Plan(ctx context.Context, version int64) (text string, err error) {
	if err := s.get(ctx, &text, `SELECT text FROM plans WHERE version = $1`, version); err != nil {
		return "", fmt.Errorf("plan %d: %w", version, err)
	}
	return text, nil
}

// selectActive is the version whose time has come last. The statement's time is later
// than what committed while its transaction waited for a lock.
const selectActive = `SELECT version FROM standing_activations WHERE holds_from <= statement_timestamp() ORDER BY holds_from DESC, id DESC LIMIT 1`

const selectPlans = `
	SELECT version, author, note, sha256, saved_at, coalesce(version = (` + selectActive + `), false) AS active,
		coalesce((SELECT min(holds_from) FROM standing_activations s WHERE s.version = p.version AND holds_from > statement_timestamp()),
			'0001-01-01Z') AS starts_at
	FROM plans p`

// Plans lists versions, the newest first, older than before unless that is 0.
func (s *Store) Plans(ctx context.Context, before int64, limit int) (list []PlanVersion, err error) {
	err = s.list(ctx, &list, selectPlans+` WHERE $1 = 0 OR version < $1 ORDER BY version DESC LIMIT $2`, before, limit)
	return list, err
}

// PlanVersion returns [ErrNotFound] where there is none.
func (s *Store) PlanVersion(ctx context.Context, version int64) (p PlanVersion, err error) {
	if err := s.get(ctx, &p, selectPlans+` WHERE version = $1`, version); err != nil {
		return p, fmt.Errorf("plan %d: %w", version, err)
	}
	return p, nil
}

// ActivePlan is the version in force, or [ivr.ErrNoPlan]. The database's clock decides.
func (s *Store) ActivePlan(ctx context.Context) (version int64, err error) {
	err = s.retry(ctx, func(ctx context.Context) error { return s.prepared.GetContext(ctx, &version, selectActive) })
	if errors.Is(err, sql.ErrNoRows) {
		err = ivr.ErrNoPlan
	}
	return version, err
}
