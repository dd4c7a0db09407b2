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

// OwnClient is a client with whom an advisor has talked.
type OwnClient struct {
	ID       ivr.ClientID
	Alias    string
	LastCall ivr.CallID `db:"last_call"`
	LastAt   time.Time  `db:"last_at"`
	Talks    int
	TalkMS   int64 `db:"talk_ms"`
	Noted    bool  // the advisor has a note about them
	Blocked  bool  // by the advisor
}

// OwnClients lists those with whom an advisor has talked: who did last comes first, and
// only those who last did before a call, unless that is "".
func (s *Store) OwnClients(ctx context.Context, advisor ivr.AdvisorID, before ivr.CallID, limit int) (list []OwnClient, err error) {
	err = s.list(ctx, &list, `
		SELECT k.id, k.alias, c.last_call, c.last_at, c.talks, c.talk_ms,
			EXISTS (SELECT FROM client_notes WHERE advisor = $1 AND client = k.id) AS noted,
			EXISTS (SELECT FROM blocks WHERE advisor = $1 AND client = k.id AND set_by = 'advisor' AND blocked) AS blocked
		FROM (
			SELECT client, max(id) AS last_call, max(started_at) AS last_at, count(*) AS talks, sum(talk_ms)::bigint AS talk_ms
			FROM calls WHERE advisor = $1 AND talk_ms > 0 GROUP BY client
		) c JOIN clients k ON k.id = c.client AND k.deleted_at IS NULL
		WHERE $2 = '' OR c.last_call < $2 ORDER BY c.last_call DESC LIMIT $3`, advisor, before, limit)
	if err != nil {
		return nil, fmt.Errorf("clients of advisor %s: %w", advisor, err)
	}
	return list, nil
}

// acquainted is whether advisor $1 has to do with client $2.
const acquainted = `(
	EXISTS (SELECT FROM calls WHERE advisor = $1 AND client = $2)
	OR EXISTS (SELECT FROM loans WHERE advisor = $1 AND client = $2 AND until > now())
	OR EXISTS (SELECT FROM waits WHERE advisor = $1 AND client = $2 AND ended_at IS NULL)
	OR EXISTS (SELECT FROM appointments WHERE advisor = $1 AND client = $2
		AND state IN ('asked', 'proposed', 'accepted', 'calling', 'open')))`

// Note is what an advisor wrote down about a client; "" and no time where that is
// nothing. It returns [ErrNotFound] where the two have nothing to do with each other.
func (s *Store) Note(ctx context.Context, advisor ivr.AdvisorID, client ivr.ClientID) (note string, at time.Time, err error) {
	var r struct {
		Sealed []byte       `db:"note_sealed"`
		At     sql.NullTime `db:"changed_at"`
	}
	err = s.get(ctx, &r, `
		SELECT n.note_sealed, n.changed_at FROM clients k LEFT JOIN client_notes n ON n.advisor = $1 AND n.client = k.id
		WHERE k.id = $2 AND (n.client IS NOT NULL OR `+acquainted+`)`, advisor, client)
	if err == nil && r.Sealed != nil {
		note, err = s.vault.open(noteRow(advisor, client), r.Sealed)
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("note of advisor %s about client %s: %w", advisor, client, err)
	}
	return note, r.At.Time, nil
}

// SetNote writes it in the place of the one before. It returns [ErrNotFound] as
// [Store.Note] does.
func (s *Store) SetNote(ctx context.Context, advisor ivr.AdvisorID, client ivr.ClientID, note string) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `
			INSERT INTO client_notes (advisor, client, note_sealed)
			SELECT $1, $2, $3 WHERE `+acquainted+` OR EXISTS (SELECT FROM client_notes WHERE advisor = $1 AND client = $2)
			ON CONFLICT (advisor, client) DO UPDATE SET note_sealed = excluded.note_sealed, changed_at = now()`,
			advisor, client, s.vault.seal(noteRow(advisor, client), note))
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note of advisor %s about client %s: %w", advisor, client, err)
	}
	return nil
}

func noteRow(advisor ivr.AdvisorID, client ivr.ClientID) string {
	return "note of " + string(advisor) + " about " + string(client)
}

// Block is a client and an advisor whom one of the two keeps apart.
type Block struct {
	Client  ivr.ClientID
	Alias   string // the client's
	Advisor ivr.AdvisorID
	Name    string    // the advisor's
	Since   time.Time `db:"since"`
}

const selectBlocks = `
	SELECT b.client, k.alias, b.advisor, a.name, b.changed_at AS since
	FROM blocks b JOIN clients k ON k.id = b.client JOIN advisors a ON a.id = b.advisor WHERE b.blocked AND `

// BlocksByAdvisor lists whom an advisor blocks, the newest first.
func (s *Store) BlocksByAdvisor(ctx context.Context, advisor ivr.AdvisorID) (list []Block, err error) {
	err = s.list(ctx, &list, selectBlocks+`b.set_by = 'advisor' AND b.advisor = $1 ORDER BY b.changed_at DESC, b.client`, advisor)
	return list, err
}

// BlocksByClient lists whom a client blocks, the newest first.
func (s *Store) BlocksByClient(ctx context.Context, client ivr.ClientID) (list []Block, err error) {
	err = s.list(ctx, &list, selectBlocks+`b.set_by = 'client' AND b.client = $1 ORDER BY b.changed_at DESC, b.advisor`, client)
	return list, err
}
