package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// ErrUsed: an assertion was used before.
var ErrUsed = errors.New("this assertion was used before")

// SiteKeyID names a site's key: skey_...
type SiteKeyID string

// SiteKey is by what a site's assertions are checked.
type SiteKey struct {
	ID        SiteKeyID
	Name      string
	PublicKey string    `db:"public_key"` // PEM
	MadeAt    time.Time `db:"made_at"`
	RevokedAt time.Time `db:"revoked_at"` // zero: it was not
}

const selectSiteKeys = `
	SELECT id, name, public_key, made_at, coalesce(revoked_at, '0001-01-01Z') AS revoked_at FROM site_keys`

// AddSiteKey believes from now on what is signed with the private part of a key.
func (s *Store) AddSiteKey(ctx context.Context, by, name, publicKey string) (k SiteKey, err error) {
	id := SiteKeyID(ivr.NewID("skey"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) (err error) {
		k, err = s.addSiteKey(ctx, tx, by, id, name, publicKey)
		return err
	})
	if err != nil {
		return k, fmt.Errorf("add a site's key: %w", err)
	}
	return k, nil
}

// RequestSiteKey is [Store.AddSiteKey] for whoever may ask twice.
func (s *Store) RequestSiteKey(ctx context.Context, request Request, by, name, publicKey string) (k SiteKey, err error) {
	id := SiteKeyID(ivr.NewID("skey"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		k = SiteKey{}
		return s.once(ctx, tx, request, &k, func() (err error) {
			k, err = s.addSiteKey(ctx, tx, by, id, name, publicKey)
			return err
		})
	})
	if err != nil {
		return k, fmt.Errorf("add a site's key: %w", err)
	}
	return k, nil
}

func (s *Store) addSiteKey(ctx context.Context, tx *sqlx.Tx, by string, id SiteKeyID, name, publicKey string) (k SiteKey, err error) {
	if name == "" {
		return k, errors.New("a site's key needs a name")
	}
	done, err := tx.ExecContext(ctx, `
		INSERT INTO site_keys (id, name, public_key) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING`, id, name, publicKey)
	if err != nil {
		return k, err
	}
	n, err := done.RowsAffected()
	if err == nil && n == 1 { // else it was done before: the reply was lost
		err = s.log(ctx, tx, Act{Who: by, What: "site key added", Subject: string(id), Detail: map[string]string{"name": name}})
	}
	if err != nil {
		return k, err
	}
	return k, tx.GetContext(ctx, &k, selectSiteKeys+` WHERE id = $1`, id)
}

// SiteKeys lists all of them, the newest first.
func (s *Store) SiteKeys(ctx context.Context) (list []SiteKey, err error) {
	return list, s.list(ctx, &list, selectSiteKeys+` ORDER BY id DESC`)
}

// SiteKey returns [ErrNotFound] where there is none, or it was revoked.
func (s *Store) SiteKey(ctx context.Context, id SiteKeyID) (k SiteKey, err error) {
	return k, s.get(ctx, &k, selectSiteKeys+` WHERE id = $1 AND revoked_at IS NULL`, id)
}

// RevokeSiteKey believes a key no more, and ends the sessions that were made by it.
func (s *Store) RevokeSiteKey(ctx context.Context, by string, id SiteKeyID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE site_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL`, id)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			var known bool
			if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM site_keys WHERE id = $1)`, id); err != nil || known {
				return err
			}
			return ErrNotFound
		}
		// A session that was exchanged for another keeps its holder.
		if _, err := tx.ExecContext(ctx, `
			UPDATE tokens SET revoked_at = now() WHERE role = 'client' AND holder = $1 AND revoked_at IS NULL`, id); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "site key revoked", Subject: string(id)})
	})
	if err != nil {
		return fmt.Errorf("revoke the site's key %s: %w", id, err)
	}
	return nil
}

// UseAssertion makes a session of a client, once, by what a site has signed with a key.
// It returns [ErrUsed], or [ErrNotFound] where the key or the client is not there.
func (s *Store) UseAssertion(ctx context.Context, key SiteKeyID, jti string, client ivr.ClientID, lasts time.Duration) (t Token, secret string, err error) {
	bits := make([]byte, 32)
	rand.Read(bits)
	secret = "parley_" + base64.RawURLEncoding.EncodeToString(bits)
	made, hash := TokenID(ivr.NewID("tok")), sha256.Sum256([]byte(jti))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		// Whoever revokes the key waits for this, and finds its session.
		if err := tx.GetContext(ctx, new(bool), `SELECT true FROM site_keys WHERE id = $1 AND revoked_at IS NULL FOR SHARE`, key); err != nil {
			if errors.Is(err, sql.ErrNoRows) {
				err = ErrNotFound
			}
			return err
		}
		if err := s.insertToken(ctx, tx, string(key), Token{ID: made, Role: RoleClient, Client: client, Holder: string(key)}, secret, lasts); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO assertions (site_key, jti_hash, token) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, key, hash[:], made); err != nil {
			return err
		}
		var by TokenID
		if err := tx.GetContext(ctx, &by, `SELECT token FROM assertions WHERE site_key = $1 AND jti_hash = $2`, key, hash[:]); err != nil {
			return err
		}
		if by != made { // the session is undone with the transaction
			return ErrUsed
		}
		return tx.GetContext(ctx, &t, selectTokens+` WHERE id = $1`, made)
	})
	if err != nil {
		return Token{}, "", fmt.Errorf("use an assertion: %w", err)
	}
	return t, secret, nil
}
