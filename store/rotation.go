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

// rotatedLasts is how long a token is good once it was exchanged: for requests that are
// under way, and to ask again for an answer that was lost.
const rotatedLasts = time.Minute

// RequestToken is [Store.CreateToken] for whoever may ask twice: the same request again
// gets the same token. Its secret is kept nowhere all the same: it is made again.
func (s *Store) RequestToken(ctx context.Context, request Request, by string, t Token, lasts time.Duration) (Token, string, error) {
	if err := checkToken(t, lasts); err != nil {
		return Token{}, "", err
	}
	return s.tokenOnce(ctx, request, func(ctx context.Context, tx *sqlx.Tx, id TokenID, secret string) error {
		t.ID = id
		return s.insertToken(ctx, tx, by, t, secret, lasts)
	})
}

// RotateToken exchanges the asking token for a new one with the same rights and what is
// left of its time, or less; 0 is all that is left. The old one is good for a minute
// more.
func (s *Store) RotateToken(ctx context.Context, request Request, lasts time.Duration) (Token, string, error) {
	return s.tokenOnce(ctx, request, func(ctx context.Context, tx *sqlx.Tx, id TokenID, secret string) error {
		var old struct {
			Token
			LeftMS int64 `db:"left_ms"`
		}
		err := tx.GetContext(ctx, &old, `
			SELECT t.*, floor(extract(epoch FROM until - now()) * 1000)::bigint AS left_ms
			FROM (`+selectTokens+` WHERE id = $1 AND revoked_at IS NULL AND until > now() FOR NO KEY UPDATE) t`, request.Token)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNoToken
		}
		if err != nil {
			return err
		}
		keeps := time.Duration(old.LeftMS) * time.Millisecond
		if lasts > 0 {
			keeps = min(keeps, lasts)
		}
		if err := changeOne(ctx, tx, `
			UPDATE tokens SET until = least(until, now() + $2 * interval '1 ms') WHERE id = $1`,
			old.ID, rotatedLasts.Milliseconds()); err != nil {
			return err
		}
		return s.insertToken(ctx, tx, old.Who(), Token{ID: id, Role: old.Role, Client: old.Client, Advisor: old.Advisor, Holder: old.Holder}, secret, keeps)
	})
}

// tokenOnce has insert make a token, unless the same request did before.
func (s *Store) tokenOnce(ctx context.Context, request Request, insert func(ctx context.Context, tx *sqlx.Tx, id TokenID, secret string) error) (t Token, secret string, err error) {
	id := TokenID(ivr.NewID("tok"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var asker []byte
		if err := tx.GetContext(ctx, &asker, `SELECT hash FROM tokens WHERE id = $1`, request.Token); err != nil {
			return err
		}
		t = Token{}
		if err := s.once(ctx, tx, request, &t, func() error {
			if err := insert(ctx, tx, id, s.vault.token(id, asker)); err != nil {
				return err
			}
			return tx.GetContext(ctx, &t, selectTokens+` WHERE id = $1`, id)
		}); err != nil {
			return err
		}
		secret = s.vault.token(t.ID, asker)
		return nil
	})
	if err != nil {
		return Token{}, "", fmt.Errorf("make a token: %w", err)
	}
	return t, secret, nil
}
