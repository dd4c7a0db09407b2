package store

import (
	"context"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// PushSubscription is where, and with which keys, a browser's push service takes messages
// for one app (RFC 8030, 8291).
type PushSubscription struct {
	Token    TokenID `json:"-"` // whose it is
	Endpoint string
	P256dh   string // base64url
	Auth     string // likewise
}

// PushKey is the key by which push services know this host (RFC 8292): made of the secret
// key, so that it need not be kept.
func (s *Store) PushKey() *ecdh.PrivateKey {
	for n := 0; ; n++ { // one in 2^32 is no key of the curve
		bits, err := hkdf.Key(sha256.New, s.config.Key, nil, fmt.Sprintf("parley store: web push %d", n), 32)
		if err != nil {
			panic(err) // only for impossible lengths
		}
		if key, err := ecdh.P256().NewPrivateKey(bits); err == nil {
			return key
		}
	}
}

func pushRow(token TokenID) string { return "push of " + string(token) }

// SavePush has a token's app be told by push, until the token ends; where the app is the
// phone of a line, until that leads to another device. It takes the place of what the
// token, or this browser, had before. It returns [ErrNotFound] for a line of another's.
func (s *Store) SavePush(ctx context.Context, advisor ivr.AdvisorID, line ivr.LineID, p PushSubscription) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	hash, sealed := s.vault.numberHash("push", p.Endpoint), s.vault.seal(pushRow(p.Token), string(text))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var generation sql.NullInt64
		if line != "" {
			err := tx.GetContext(ctx, &generation, `
				SELECT generation FROM lines WHERE id = $1 AND advisor = $2 AND retired_at IS NULL`, line, advisor)
			if errors.Is(err, sql.ErrNoRows) {
				return ErrNotFound
			}
			if err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE push_subscriptions SET endpoint_hash = NULL, sealed = NULL, changed_at = now()
			WHERE endpoint_hash = $1 AND token <> $2`, hash, p.Token); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
			INSERT INTO push_subscriptions (token, advisor, line, generation, endpoint_hash, sealed) VALUES ($1, $2, nullif($3, ''), $4, $5, $6)
			ON CONFLICT (token) DO UPDATE SET line = excluded.line, generation = excluded.generation,
				endpoint_hash = excluded.endpoint_hash, sealed = excluded.sealed, changed_at = now()`,
			p.Token, advisor, line, generation, hash, sealed)
		return err
	})
	if err != nil {
		return fmt.Errorf("save where %s is told by push: %w", advisor, err)
	}
	return nil
}

// EndPush tells a token's app no more.
func (s *Store) EndPush(ctx context.Context, token TokenID) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `
			UPDATE push_subscriptions SET endpoint_hash = NULL, sealed = NULL, changed_at = now() WHERE token = $1 AND sealed IS NOT NULL`, token)
		return err
	})
	if err != nil {
		return fmt.Errorf("end what is pushed to %s: %w", token, err)
	}
	return nil
}

// Pushes are where an advisor is told now.
func (s *Store) Pushes(ctx context.Context, advisor ivr.AdvisorID) ([]PushSubscription, error) {
	var rows []struct {
		Token  TokenID
		Sealed []byte
	}
	err := s.often(ctx, &rows, `
		SELECT p.token, p.sealed FROM push_subscriptions p JOIN tokens t ON t.id = p.token
		WHERE p.advisor = $1 AND p.sealed IS NOT NULL AND t.revoked_at IS NULL AND t.until > now()
			AND (p.line IS NULL OR EXISTS (SELECT FROM lines l WHERE (l.id, l.generation) = (p.line, p.generation) AND l.retired_at IS NULL))`, advisor)
	if err != nil {
		return nil, fmt.Errorf("list where %s is told by push: %w", advisor, err)
	}
	list := make([]PushSubscription, len(rows))
	for i, r := range rows {
		text, err := s.vault.open(pushRow(r.Token), r.Sealed)
		if err == nil {
			err = json.Unmarshal([]byte(text), &list[i])
		}
		if err != nil {
			return nil, err
		}
		list[i].Token = r.Token
	}
	return list, nil
}

// pushRead is how many events are read on at once.
const pushRead = 500

// PushEvents reads on in the events, for whoever tells of them by push: each is read once,
// of all copies of the program by one; more says that there may be more. What is read and
// not told, because the program died, is not told: an app that is opened sees all of it.
func (s *Store) PushEvents(ctx context.Context) (events []Event, more bool, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		events, more = nil, false
		var from struct {
			XID string `db:"read_xid"`
			ID  int64  `db:"read_id"`
		}
		err := tx.GetContext(ctx, &from, `SELECT read_xid::text, read_id FROM push_progress FOR NO KEY UPDATE SKIP LOCKED`)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // another copy does it
		}
		if err != nil {
			return err
		}
		var rows []eventRow
		if err := tx.SelectContext(ctx, &rows, `SELECT `+selectEvent+` FROM events e
			WHERE (xid, id) > ($1::xid8, $2) AND `+readable+` ORDER BY e.xid, e.id LIMIT $3`, from.XID, from.ID, pushRead); err != nil || len(rows) == 0 {
			return err
		}
		for _, r := range rows {
			e, err := r.event()
			if err != nil {
				return err
			}
			events = append(events, e)
		}
		last := rows[len(rows)-1]
		more = len(rows) == pushRead
		return changeOne(ctx, tx, `UPDATE push_progress SET read_xid = $1::xid8, read_id = $2`, last.XID, int64(last.Event))
	})
	if err != nil {
		return nil, false, fmt.Errorf("read the events to tell of by push: %w", err)
	}
	return events, more, nil
}
