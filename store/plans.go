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

// PlanVersion is a saved plan without its text.
type PlanVersion struct {
	Version int64
	Author  string
	Note    string
	SHA256  []byte    // of the text
	SavedAt time.Time `db:"saved_at"`
	Active  bool
}

// plansLock is the advisory lock under which versions are counted and activated.
const plansLock = 0x706c616e // "plan"

// SavePlan keeps a plan's text, which its caller has validated, as the next
// version. The text of the newest version again gives that version.
func (s *Store) SavePlan(ctx context.Context, text, author, note string) (version int64, err error) {
	sum := sha256.Sum256([]byte(text))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
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
	if err != nil {
		return 0, fmt.Errorf("save the plan: %w", err)
	}
	return version, nil
}

// Plan is the text of a version.
func (s *Store) Plan(ctx context.Context, version int64) (text string, err error) {
	if err := s.get(ctx, &text, `SELECT text FROM plans WHERE version = $1`, version); err != nil {
		return "", fmt.Errorf("plan %d: %w", version, err)
	}
	return text, nil
}

// Plans lists all versions, the newest first.
func (s *Store) Plans(ctx context.Context) (list []PlanVersion, err error) {
	err = s.list(ctx, &list, `
		SELECT version, author, note, sha256, saved_at,
			coalesce(version = (SELECT version FROM plan_activations ORDER BY id DESC LIMIT 1), false) AS active
		FROM plans ORDER BY version DESC`)
	return list, err
}

// ActivatePlan makes a version the one for calls that begin from now on. Rolling
// back is activating an older one.
func (s *Store) ActivatePlan(ctx context.Context, version int64, by string) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, plansLock); err != nil {
			return err
		}
		var active int64
		err := tx.GetContext(ctx, &active, `SELECT version FROM plan_activations ORDER BY id DESC LIMIT 1`)
		if err != nil && !errors.Is(err, sql.ErrNoRows) || active == version {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO plan_activations (version, by_whom) VALUES ($1, $2)`, version, by); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "plan activated", Subject: fmt.Sprint("plan ", version),
			Detail: map[string]string{"before": fmt.Sprint(active)}})
	})
	if violated(err) == "plan_activations_version_fkey" {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("activate plan %d: %w", version, err)
	}
	s.Notify(ctx, TopicPlan)
	return nil
}

// ActivePlan is the version in force and its text, or [ivr.ErrNoPlan].
func (s *Store) ActivePlan(ctx context.Context) (version int64, text string, err error) {
	var row struct {
		Version int64
		Text    string
	}
	err = s.get(ctx, &row, `
		SELECT p.version, p.text FROM plan_activations a JOIN plans p USING (version) ORDER BY a.id DESC LIMIT 1`)
	if errors.Is(err, ErrNotFound) {
		err = ivr.ErrNoPlan
	}
	return row.Version, row.Text, err
}

// PlanActivation is one move of the pointer.
type PlanActivation struct {
	Version int64
	By      string `db:"by_whom"`
	At      time.Time
}

// PlanHistory lists all activations, the newest first.
func (s *Store) PlanHistory(ctx context.Context) (list []PlanActivation, err error) {
	err = s.list(ctx, &list, `SELECT version, by_whom, at FROM plan_activations ORDER BY id DESC`)
	return list, err
}
