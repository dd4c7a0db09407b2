package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/ivr/money"
)

// ErrKeyReused: another request came with this key before.
var ErrKeyReused = errors.New("this key was used for another request")

// Request is something that is to be done once, however often it is asked for.
type Request struct {
	Token   TokenID // who asks
	Key     string  // chosen by whoever asks
	Content string  // what is asked for: another with the same key is refused
}

// answersLock is the first half of the advisory locks under which the answer to a
// request is looked for; the second is a hash of whose it is.
const answersLock = 0x616e7377 // "answ"

// once runs do, and keeps the answer that it left behind in the same transaction; or
// it finds the answer that was kept before. What failed is not kept. It is the first
// thing that a transaction does: its lock comes before all others.
func (s *Store) once(ctx context.Context, tx *sqlx.Tx, r Request, answer any, do func() error) error {
	if r.Key == "" {
		return errors.New("a request needs a key")
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1, hashtext($2))`,
		answersLock, string(r.Token)+"/"+r.Key); err != nil {
		return err
	}
	row, hash := "answer to "+string(r.Token)+"/"+r.Key, sha256.Sum256([]byte(r.Content))
	var kept struct {
		RequestHash  []byte `db:"request_hash"`
		AnswerSealed []byte `db:"answer_sealed"`
	}
	err := tx.GetContext(ctx, &kept, `SELECT request_hash, answer_sealed FROM answers WHERE token = $1 AND key = $2`, r.Token, r.Key)
	switch {
	case err == nil && !hmac.Equal(kept.RequestHash, hash[:]):
		return ErrKeyReused
	case err == nil:
		text, err := s.vault.open(row, kept.AnswerSealed)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(text), answer)
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	if err := do(); err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO answers (token, key, request_hash, answer_sealed) VALUES ($1, $2, $3, $4)`,
		r.Token, r.Key, hash[:], s.vault.seal(row, string(text)))
	return err
}

// RequestDeposit is [Store.Deposit] for whoever may ask twice. It returns the client
// as they were just after. It returns [ErrNotFound], or [ErrConflict] where the
// payment credited otherwise.
func (s *Store) RequestDeposit(ctx context.Context, request Request, payment string, client ivr.ClientID, amount money.Amount) (c Client, err error) {
	if amount <= 0 || payment == "" {
		return c, fmt.Errorf("payment %q of %v: a deposit needs an ID and more than nothing", payment, amount)
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		c = Client{}
		return s.once(ctx, tx, request, &c, func() error {
			if err := s.deposit(ctx, tx, string(request.Token), payment, client, amount); err != nil {
				return err
			}
			return tx.GetContext(ctx, &c, selectClients+` WHERE c.id = $1`, client)
		})
	})
	if err != nil {
		return Client{}, fmt.Errorf("payment %s for client %s: %w", payment, client, err)
	}
	s.Notify(ctx, TopicEvents)
	return c, nil
}
