package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// ErrSignInOver: the code has expired, was used, or was tried as often as it may be.
var ErrSignInOver = errors.New("this code is over")

const (
	signInLasts  = 10 * time.Minute
	signInChecks = 5  // of one code
	signInHour   = 5  // codes for one number
	signInDay    = 10 // likewise
)

// signInsLock is the first half of the advisory locks under which the codes for a number
// are counted; the second is a hash of it.
const signInsLock = 0x7369676e // "sign"

// SignInLater: as many codes were asked for this number as may be, until a time.
type SignInLater struct{ At time.Time }

func (e *SignInLater) Error() string { return "too many codes were asked for this number" }

// SignIn is a code by which whoever has a telephone signs in. Code is kept nowhere; it is
// to be sent to the number, and only where that is a client's.
type SignIn struct {
	ID     string
	Until  time.Time
	Client ivr.ClientID // "": nobody has this number
	Code   string
}

// CreateSignIn makes a code for a number, be it a client's or not: who asks is told the
// same. It returns a [*SignInLater].
func (s *Store) CreateSignIn(ctx context.Context, phone string) (in SignIn, err error) {
	in.ID = ivr.NewID("sign")
	in.Code = s.vault.sixDigits(in.ID)
	hash := s.vault.numberHash(string(ivr.Phone), phone)
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1, hashtext($2))`, signInsLock, hex.EncodeToString(hash)); err != nil {
			return err
		}
		if err := signInLater(ctx, tx, hash, in.ID); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO sign_ins (id, phone_hash, client, code_hash, until)
			VALUES ($1, $2, (SELECT id FROM clients WHERE phone_hash = $2 AND deleted_at IS NULL), $3, now() + $4 * interval '1 ms')
			ON CONFLICT (id) DO NOTHING`, in.ID, hash, s.vault.codeHash(in.ID, in.Code), signInLasts.Milliseconds()); err != nil {
			return err
		}
		return tx.QueryRowxContext(ctx, `SELECT until, coalesce(client, '') FROM sign_ins WHERE id = $1`, in.ID).Scan(&in.Until, &in.Client)
	})
	if err != nil {
		return SignIn{}, fmt.Errorf("make a code to sign in: %w", err)
	}
	return in, nil
}

// signInLater returns a [*SignInLater] where a number had its codes.
func signInLater(ctx context.Context, tx *sqlx.Tx, phoneHash []byte, but string) error {
	var at sql.NullTime
	err := tx.GetContext(ctx, &at, `
		SELECT max(again) FROM (VALUES ($2::int, interval '1 hour'), ($3, interval '1 day')) AS l (most, per)
		CROSS JOIN LATERAL (
			SELECT made_at + l.per AS again FROM sign_ins WHERE phone_hash = $1 AND id <> $4 AND made_at > now() - l.per
			ORDER BY made_at DESC OFFSET l.most - 1 LIMIT 1) s`, phoneHash, signInHour, signInDay, but)
	if err == nil && at.Valid {
		err = &SignInLater{at.Time}
	}
	return err
}

// UseSignIn exchanges a code for the token of its client's session. The same again within
// a minute, because the answer was lost, gets the same token. It returns [ErrSignInOver]
// or [ivr.ErrWrongCode]: that also for a number that is nobody's.
func (s *Store) UseSignIn(ctx context.Context, id, code string, lasts time.Duration) (t Token, secret string, err error) {
	row, err := s.countSignInCheck(ctx, id)
	if err != nil {
		return Token{}, "", err
	}
	if !hmac.Equal(row.CodeHash, s.vault.codeHash(id, code)) || row.Client == "" {
		return Token{}, "", ivr.ErrWrongCode
	}
	made := TokenID(ivr.NewID("tok"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var was string
		if err := tx.GetContext(ctx, &was, `SELECT coalesce(token, '') FROM sign_ins WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
			return err
		}
		t = Token{ID: made, Role: RoleClient, Client: row.Client, Holder: "signed in by code"}
		if was != "" {
			t.ID = TokenID(was)
		}
		secret = s.vault.token(t.ID, row.CodeHash)
		if was == "" {
			if err := s.insertToken(ctx, tx, string(row.Client), t, secret, lasts); err != nil {
				return err
			}
			if err := changeOne(ctx, tx, `UPDATE sign_ins SET used_at = now(), token = $2 WHERE id = $1`, id, t.ID); err != nil {
				return err
			}
		}
		return tx.GetContext(ctx, &t, selectTokens+` WHERE id = $1`, t.ID)
	})
	if errors.Is(err, ErrNotFound) { // deleted since
		err = ErrSignInOver
	}
	if err != nil {
		return Token{}, "", fmt.Errorf("sign in by code: %w", err)
	}
	return t, secret, nil
}

type signInRow struct {
	Client   ivr.ClientID
	CodeHash []byte `db:"code_hash"`
}

// countSignInCheck writes down that a code is about to be compared, and returns what with
// when that is on disk.
func (s *Store) countSignInCheck(ctx context.Context, id string) (row signInRow, err error) {
	err = s.get(ctx, &row, `
		UPDATE sign_ins SET checks = checks + 1
		WHERE id = $1 AND checks < $2 AND until > now() AND (used_at IS NULL OR used_at > now() - $3 * interval '1 ms')
		RETURNING coalesce(client, '') AS client, code_hash`, id, signInChecks, rotatedLasts.Milliseconds())
	if errors.Is(err, ErrNotFound) {
		return row, ErrSignInOver
	}
	if err != nil {
		return row, fmt.Errorf("count a check of %s: %w", id, err)
	}
	return row, nil
}
