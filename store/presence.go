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

// SetPresence puts an advisor on line, where clients may ask for a talk, or off line.
// What is up or reserved goes on.
func (s *Store) SetPresence(ctx context.Context, advisor ivr.AdvisorID, onLine bool) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var was bool
		err := tx.GetContext(ctx, &was, `
			SELECT on_line_since IS NOT NULL FROM advisors WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, advisor)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil || was == onLine {
			return err
		}
		if err := changeOne(ctx, tx, `UPDATE advisors SET on_line_since = CASE WHEN $2 THEN now() END WHERE id = $1`, advisor, onLine); err != nil {
			return err
		}
		return s.emit(ctx, tx, Event{Type: "advisor.presence", Advisor: advisor, Data: map[string]any{"on_line": onLine}})
	})
	if err != nil {
		return fmt.Errorf("presence of advisor %s: %w", advisor, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicQueue)
	return nil
}

// missed puts an advisor off line who did not answer a client's call, or could not be
// rung, unless they have come on line since: or one client after another would wait for a
// telephone that nobody hears.
func (s *Store) missed(ctx context.Context, cdr ivr.CDR) error {
	if cdr.Kind == ivr.VerificationCall || cdr.Disposition != "no answer" && cdr.Disposition != "unreachable" {
		return nil
	}
	return s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE advisors SET on_line_since = NULL WHERE id = $1 AND on_line_since < $2`, cdr.Advisor, cdr.StartedAt)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return s.emit(ctx, tx, Event{Type: "advisor.presence", Advisor: cdr.Advisor, Data: map[string]any{"on_line": false, "why": cdr.Disposition}})
	})
}

// Side is which of the two wants a block.
type Side string

const (
	ByClient  Side = "client"
	ByAdvisor Side = "advisor"
)

// SetBlock keeps a client and an advisor apart, or lets them meet again as far as this
// side is concerned. Neither is told.
func (s *Store) SetBlock(ctx context.Context, who string, by Side, client ivr.ClientID, advisor ivr.AdvisorID, blocked bool) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `
			INSERT INTO blocks AS b (client, advisor, set_by, blocked) VALUES ($1, $2, $3, $4)
			ON CONFLICT (client, advisor, set_by) DO UPDATE SET blocked = excluded.blocked, changed_at = now()
			WHERE b.blocked <> excluded.blocked`, client, advisor, by, blocked)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		what := map[bool]string{true: "blocked", false: "block lifted"}[blocked]
		return s.log(ctx, tx, Act{Who: who, What: what, Subject: string(advisor),
			Detail: map[string]string{"client": string(client), "by": string(by)}})
	})
	switch violated(err) {
	case "blocks_client_fkey", "blocks_advisor_fkey":
		err = ErrNotFound
	case "blocks_set_by_check":
		err = fmt.Errorf("a block is set by the %s or the %s, not %q", ByClient, ByAdvisor, by)
	}
	if err != nil {
		return fmt.Errorf("block of client %s and advisor %s: %w", client, advisor, err)
	}
	return nil
}

// State is whether an advisor can be talked to now. It is computed whenever it is
// asked for.
type State string

const (
	Free State = "free"
	Busy State = "busy" // in a call, or reserved for another client
	Away State = "away" // off line, out of hours, without a verified line, or not for this client
)

// AdvisorState is an advisor as a client sees them, and whether they are on line.
type AdvisorState struct {
	Advisor
	Profile  Profile
	State    State
	NextAt   time.Time // outside of their hours: when they take calls next, where that is known
	OnLine   bool
	Stars    float64 // the mean of what clients gave; 0 where nobody has
	Rated    int     // by how many calls
	Picture  string  // its version; "" for none
	Greeting string  // likewise
}

// AdvisorStates lists advisors as a client sees them, or as anyone does where client
// is "": the newest first, older than before unless that is "".
func (s *Store) AdvisorStates(ctx context.Context, client ivr.ClientID, before ivr.AdvisorID, limit int) ([]AdvisorState, error) {
	var rows []advisorStateRow
	err := s.list(ctx, &rows, selectAdvisorStates+` WHERE $2 = '' OR id < $2 ORDER BY id DESC LIMIT $3`, client, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list advisors: %w", err)
	}
	states := make([]AdvisorState, len(rows))
	for i, r := range rows {
		states[i] = r.state()
	}
	return states, nil
}

// AdvisorState is one advisor as in [Store.AdvisorStates]. It returns [ErrNotFound].
func (s *Store) AdvisorState(ctx context.Context, client ivr.ClientID, advisor ivr.AdvisorID) (AdvisorState, error) {
	var r advisorStateRow
	if err := s.get(ctx, &r, selectAdvisorStates+` WHERE id = $2`, client, advisor); err != nil {
		return AdvisorState{}, fmt.Errorf("advisor %s: %w", advisor, err)
	}
	return r.state(), nil
}

const selectAdvisorStates = `
	SELECT id, name, per_minute, predetermined_ms, profile, hours, now() AS now, on_line_since IS NOT NULL AS on_line, CASE
		WHEN on_line_since IS NULL
			OR NOT EXISTS (SELECT FROM lines WHERE advisor = a.id AND verified_at IS NOT NULL)
			OR EXISTS (SELECT FROM blocks WHERE advisor = a.id AND client = $1 AND blocked) THEN 'away'
		WHEN EXISTS (SELECT FROM calls WHERE advisor = a.id AND ended_at IS NULL)
			OR EXISTS (SELECT FROM loans WHERE advisor = a.id AND client <> $1 AND ` + reserved + `)
			OR EXISTS (SELECT FROM appointments WHERE advisor = a.id AND client <> $1
				AND state IN ` + standing + ` AND starts_at <= clock_timestamp() AND until > clock_timestamp()) THEN 'busy'
		ELSE 'free' END AS state,
		coalesce((SELECT stars::float8 / rated FROM advisor_stars WHERE advisor = a.id), 0) AS stars,
		coalesce((SELECT rated FROM advisor_stars WHERE advisor = a.id), 0) AS rated,
		coalesce((SELECT left(sha256, 16) FROM advisor_files WHERE advisor = a.id AND kind = 'picture'), '') AS picture,
		coalesce((SELECT left(sha256, 16) FROM advisor_files WHERE advisor = a.id AND kind = 'greeting'), '') AS greeting
	FROM (SELECT * FROM advisors WHERE deleted_at IS NULL) a`

type advisorStateRow struct {
	advisorRow
	Profile           Profile
	Hours             Hours
	Now               time.Time
	OnLine            bool `db:"on_line"`
	State             State
	Stars             float64
	Rated             int
	Picture, Greeting string
}

// state is the row's, where it is within the advisor's hours.
func (r advisorStateRow) state() AdvisorState {
	s := AdvisorState{Advisor: r.advisor(), Profile: r.Profile, State: r.State, OnLine: r.OnLine,
		Stars: r.Stars, Rated: r.Rated, Picture: r.Picture, Greeting: r.Greeting}
	if next := r.Hours.Next(r.Now); !next.Equal(r.Now) {
		s.State, s.NextAt = Away, next
	}
	return s
}
