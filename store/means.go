package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// ErrNoMeans: the client has saved nothing to pay with, or with another provider.
var ErrNoMeans = errors.New("the client has no saved means of payment")

// Means is what a client pays with who is not asked.
type Means struct {
	Provider         string
	Customer, Method string // the provider's names; kept sealed
	Label            string // the client's, such as "Visa 4242"
}

// sealedMeans is what is sealed of a Means.
type sealedMeans struct{ Customer, Method string }

func (s *Store) sealMeans(row string, m Means) ([]byte, error) {
	text, err := json.Marshal(sealedMeans{m.Customer, m.Method})
	return s.vault.seal("means of "+row, string(text)), err
}

func (s *Store) openMeans(row string, m Means, sealed []byte) (Means, error) {
	text, err := s.vault.open("means of "+row, sealed)
	if err != nil {
		return Means{}, err
	}
	var names sealedMeans
	err = json.Unmarshal([]byte(text), &names)
	m.Customer, m.Method = names.Customer, names.Method
	return m, err
}

// SaveMeans is what the client pays with from now on.
func (s *Store) SaveMeans(ctx context.Context, by string, client ivr.ClientID, m Means) error {
	if m.Provider == "" || m.Customer == "" || m.Method == "" || m.Label == "" {
		return errors.New("a means of payment needs its provider's names and a label")
	}
	sealed, err := s.sealMeans(string(client), m)
	if err != nil {
		return err
	}
	return s.changeMeans(ctx, by, "means of payment saved", client, m, sealed)
}

// RemoveMeans overwrites what the client pays with. What was asked for already goes on.
func (s *Store) RemoveMeans(ctx context.Context, by string, client ivr.ClientID) error {
	return s.changeMeans(ctx, by, "means of payment removed", client, Means{}, nil)
}

func (s *Store) changeMeans(ctx context.Context, by, what string, client ivr.ClientID, m Means, sealed []byte) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := lockClient(ctx, tx, client); err != nil {
			return err
		}
		if err := writeMeans(ctx, tx, client, m, sealed); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: what, Subject: string(client)})
	})
	if err != nil {
		return fmt.Errorf("%s of client %s: %w", what, client, err)
	}
	return nil
}

func writeMeans(ctx context.Context, tx *sqlx.Tx, client ivr.ClientID, m Means, sealed []byte) error {
	_, err := tx.ExecContext(ctx, `
		INSERT INTO payment_means (client, provider, label, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (client) DO UPDATE SET provider = excluded.provider, label = excluded.label, sealed = excluded.sealed,
			changed_at = now()`, client, m.Provider, m.Label, sealed)
	return err
}

// Means is what the client pays with; [ErrNoMeans] where there is nothing, [ErrNotFound]
// where there is no such client.
func (s *Store) Means(ctx context.Context, client ivr.ClientID) (Means, error) {
	var r meansRow
	err := s.get(ctx, &r, `
		SELECT coalesce(provider, '') AS provider, coalesce(label, '') AS label, sealed
		FROM clients LEFT JOIN payment_means ON client = id WHERE id = $1 AND deleted_at IS NULL`, client)
	if err != nil {
		return Means{}, fmt.Errorf("means of payment of client %s: %w", client, err)
	}
	return s.means(string(client), r)
}

type meansRow struct {
	Provider, Label string
	Sealed          []byte
}

func (s *Store) means(row string, r meansRow) (Means, error) {
	if r.Sealed == nil {
		return Means{}, ErrNoMeans
	}
	return s.openMeans(row, Means{Provider: r.Provider, Label: r.Label}, r.Sealed)
}
