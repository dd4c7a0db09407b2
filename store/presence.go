package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// SetPresence puts an advisor on line, where clients may ask for a talk, or off line.
// What is up or reserved goes on.
func (s *Store) SetPresence(ctx context.Context, advisor ivr.AdvisorID, onLine bool) error {
	var known string
	err := s.get(ctx, &known, `
		UPDATE advisors SET on_line_since = CASE WHEN $2 THEN coalesce(on_line_since, now()) END
		WHERE id = $1 RETURNING id`, advisor, onLine)
	if err != nil {
		return fmt.Errorf("presence of advisor %s: %w", advisor, err)
	}
	return nil
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
	Away State = "away" // off line, without a verified line, or not for this client
)

// AdvisorState is an advisor as a client sees them.
type AdvisorState struct {
	Advisor
	State State
}

// AdvisorStates lists advisors as a client sees them, or as anyone does where client
// is "": the newest first, older than before unless that is "".
func (s *Store) AdvisorStates(ctx context.Context, client ivr.ClientID, before ivr.AdvisorID, limit int) ([]AdvisorState, error) {
	var rows []struct {
		advisorRow
		State State
	}
	err := s.list(ctx, &rows, `
		SELECT id, name, per_minute, predetermined_ms, CASE
			WHEN on_line_since IS NULL
				OR NOT EXISTS (SELECT FROM lines WHERE advisor = a.id AND verified_at IS NOT NULL)
				OR EXISTS (SELECT FROM blocks WHERE advisor = a.id AND client = $1 AND blocked) THEN 'away'
			WHEN EXISTS (SELECT FROM calls WHERE advisor = a.id AND ended_at IS NULL)
				OR EXISTS (SELECT FROM loans WHERE advisor = a.id AND client <> $1
					AND reserves AND until > clock_timestamp()) THEN 'busy'
			ELSE 'free' END AS state
		FROM advisors a WHERE $2 = '' OR id < $2 ORDER BY id DESC LIMIT $3`, client, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list advisors: %w", err)
	}
	states := make([]AdvisorState, len(rows))
	for i, r := range rows {
		states[i] = AdvisorState{r.advisor(), r.State}
	}
	return states, nil
}
