package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
)

// ErrNoToken: nobody has this token, or it has expired or was revoked.
var ErrNoToken = errors.New("the token is not known, has expired or was revoked")

// TokenID names a token without being one: tok_...
type TokenID string

// Role is what a token's holder may do.
type Role string

const (
	RoleSite    Role = "site"    // the website's server: acts for every client
	RoleClient  Role = "client"  // a client's session: acts for that client alone
	RoleAdvisor Role = "advisor" // an advisor's app: acts for that advisor alone
	RoleAdmin   Role = "admin"   // an administrator
)

// Token is a right to ask, without the secret that proves it.
type Token struct {
	ID        TokenID
	Role      Role
	Client    ivr.ClientID  // whose session; "" for other roles
	Advisor   ivr.AdvisorID // whose app; "" for other roles
	Holder    string        // an administrator's name, or what the token is for
	MadeAt    time.Time     `db:"made_at"`
	Until     time.Time
	RevokedAt time.Time `db:"revoked_at"` // zero: it was not
}

// Who says who holds the token, in the log of what it does.
func (t Token) Who() string {
	switch t.Role {
	case RoleClient:
		return string(t.Client)
	case RoleAdvisor:
		return string(t.Advisor)
	}
	if t.Holder != "" {
		return t.Holder
	}
	return string(t.ID)
}

// CreateToken makes a token of t's role, client, advisor and holder, and returns its
// secret, which is kept nowhere.
func (s *Store) CreateToken(ctx context.Context, by string, t Token, lasts time.Duration) (_ Token, secret string, err error) {
	if err := checkToken(t, lasts); err != nil {
		return t, "", err
	}
	bits := make([]byte, 32)
	rand.Read(bits)
	secret = "parley_" + base64.RawURLEncoding.EncodeToString(bits)
	t.ID = TokenID(ivr.NewID("tok"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return s.insertToken(ctx, tx, by, t, secret, lasts) })
	if err == nil {
		err = s.get(ctx, &t, selectTokens+` WHERE id = $1`, t.ID)
	}
	if err != nil {
		return Token{}, "", fmt.Errorf("make a token: %w", err)
	}
	return t, secret, nil
}

func checkToken(t Token, lasts time.Duration) error {
	switch {
	case !slices.Contains([]Role{RoleSite, RoleClient, RoleAdvisor, RoleAdmin}, t.Role):
		return fmt.Errorf("a token's role is %s, %s, %s or %s, not %q", RoleSite, RoleClient, RoleAdvisor, RoleAdmin, t.Role)
	case (t.Role == RoleClient) != (t.Client != ""):
		return errors.New("a client's token names the client, no other does")
	case (t.Role == RoleAdvisor) != (t.Advisor != ""):
		return errors.New("an advisor's token names the advisor, no other does")
	case t.Role == RoleAdmin && t.Holder == "":
		return errors.New("an administrator's token says who holds it")
	case lasts <= 0:
		return errors.New("a token must expire after some time")
	}
	return nil
}

// insertToken makes a token of a client or an advisor who has not been deleted, and is
// not while it does.
func (s *Store) insertToken(ctx context.Context, tx *sqlx.Tx, by string, t Token, secret string, lasts time.Duration) error {
	for table, id := range map[string]string{"clients": string(t.Client), "advisors": string(t.Advisor)} {
		if id == "" {
			continue
		}
		err := tx.GetContext(ctx, new(bool), `SELECT true FROM `+table+` WHERE id = $1 AND deleted_at IS NULL FOR SHARE`, id)
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("%s: %w", id, ErrNotFound)
		}
		if err != nil {
			return err
		}
	}
	done, err := tx.ExecContext(ctx, `
		INSERT INTO tokens (id, hash, role, client, advisor, holder, until)
		VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), $6, now() + $7 * interval '1 ms') ON CONFLICT (id) DO NOTHING`,
		t.ID, tokenHash(secret), t.Role, t.Client, t.Advisor, t.Holder, lasts.Milliseconds())
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 { // done before: the reply was lost
		return err
	}
	return s.log(ctx, tx, Act{Who: by, What: "token made", Subject: string(t.ID),
		Detail: map[string]string{"role": string(t.Role), "client": string(t.Client), "advisor": string(t.Advisor),
			"holder": t.Holder, "lasts": lasts.String()}})
}

func tokenHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

const selectTokens = `
	SELECT id, role, coalesce(client, '') AS client, coalesce(advisor, '') AS advisor, holder, made_at, until, coalesce(revoked_at, '0001-01-01Z') AS revoked_at
	FROM tokens`

// Authenticate finds the token of a secret, or returns [ErrNoToken].
func (s *Store) Authenticate(ctx context.Context, secret string) (t Token, err error) {
	err = s.get(ctx, &t, selectTokens+` WHERE hash = $1 AND until > now() AND revoked_at IS NULL`, tokenHash(secret))
	if errors.Is(err, ErrNotFound) {
		err = ErrNoToken
	}
	return t, err
}

// RevokeToken ends a token for good.
func (s *Store) RevokeToken(ctx context.Context, by string, id TokenID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL`, id)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 1 {
			return errors.Join(err, s.log(ctx, tx, Act{Who: by, What: "token revoked", Subject: string(id)}))
		}
		var known bool
		if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM tokens WHERE id = $1)`, id); err != nil || known {
			return err
		}
		return ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("revoke token %s: %w", id, err)
	}
	return nil
}

// Tokens lists tokens, the newest first: only those older than before, unless it is "".
func (s *Store) Tokens(ctx context.Context, before TokenID, limit int) (list []Token, err error) {
	err = s.list(ctx, &list, selectTokens+` WHERE $1 = '' OR id < $1 ORDER BY id DESC LIMIT $2`, before, limit)
	return list, err
}

// LiveTokens is which of these tokens have neither expired nor been revoked.
func (s *Store) LiveTokens(ctx context.Context, ids []TokenID) (live []TokenID, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		live = nil
		return s.db.SelectContext(ctx, &live, `
			SELECT id FROM tokens WHERE id = ANY ($1) AND until > now() AND revoked_at IS NULL`, pq.Array(ids))
	})
	if err != nil {
		return nil, fmt.Errorf("look whether tokens are good: %w", err)
	}
	return live, nil
}
