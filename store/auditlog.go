package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// Act is a row of the audit log.
type Act struct {
	ID      int64
	At      time.Time
	Who     string // a person's name, or "call <ID>"
	What    string
	Subject string // the ID of what it was done to
	Detail  map[string]string
}

// auditLogLock is the advisory lock under which the chain grows.
const auditLogLock = 0x7061726c // "parl"

// log appends an act in tx. It is the last thing that a transaction does, since
// all who append wait for its end.
func (s *Store) log(ctx context.Context, tx *sqlx.Tx, a Act) error {
	if a.Detail == nil {
		a.Detail = map[string]string{}
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, auditLogLock); err != nil {
		return err
	}
	last := struct {
		ID   int64
		Hash []byte
	}{Hash: []byte{}}
	err := tx.GetContext(ctx, &last, `SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1`)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	a.ID = last.ID + 1
	if err := tx.GetContext(ctx, &a.At, `SELECT clock_timestamp()`); err != nil {
		return err
	}
	detail, err := json.Marshal(a.Detail)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO audit_log (id, at, who, what, subject, detail, prev_hash, hash)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		a.ID, a.At, a.Who, a.What, a.Subject, string(detail), last.Hash, s.vault.link(a, last.Hash))
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// link is the hash of an act that follows another. Maps of texts marshal in one
// way only, whatever jsonb does to their order.
func (v *vault) link(a Act, prev []byte) []byte {
	detail, err := json.Marshal(a.Detail)
	if err != nil {
		panic(err) // texts always marshal
	}
	return mac(v.chain, fmt.Sprint(a.ID), a.At.UTC().Format(time.RFC3339Nano), a.Who, a.What, a.Subject,
		string(detail), string(prev))
}

// Log lists acts, the newest first; of one subject, unless it is "".
func (s *Store) Log(ctx context.Context, subject string, limit int) ([]Act, error) {
	if subject == "" {
		return s.Acts(ctx, ActFilter{}, limit)
	}
	return s.Acts(ctx, ActFilter{Subjects: []string{subject}}, limit)
}

type actRow struct {
	ID                 int64
	At                 time.Time
	Who, What, Subject string
	Detail             []byte
	PrevHash           []byte `db:"prev_hash"`
	Hash               []byte
}

func (r actRow) act() (Act, error) {
	a := Act{ID: r.ID, At: r.At, Who: r.Who, What: r.What, Subject: r.Subject}
	if err := json.Unmarshal(r.Detail, &a.Detail); err != nil {
		return a, fmt.Errorf("read row %d of the audit log: %w", r.ID, err)
	}
	return a, nil
}

// VerifyAuditLog follows the chain of the audit log and names each row at which it
// breaks. That rows are missing at its end it cannot tell: keep the number and hash
// that it returns, and compare.
func (s *Store) VerifyAuditLog(ctx context.Context) (last int64, hash string, faults []Fault, err error) {
	err = s.reading(ctx, func(tx *sqlx.Tx) error {
		last, hash, faults, err = s.followChain(ctx, tx)
		return err
	})
	return last, hash, faults, err
}

func (s *Store) followChain(ctx context.Context, tx *sqlx.Tx) (last int64, hash string, faults []Fault, err error) {
	rows, err := tx.QueryxContext(ctx, `SELECT * FROM audit_log ORDER BY id`)
	if err != nil {
		return 0, "", nil, err
	}
	defer rows.Close()
	var prev []byte
	fault := func(row int64, format string, args ...any) {
		faults = append(faults, Fault{"audit_log", fmt.Sprint(row), fmt.Sprintf(format, args...),
			"someone wrote to the database: compare with a backup, and find out who"})
	}
	for rows.Next() {
		var r actRow
		if err := rows.StructScan(&r); err != nil {
			return 0, "", nil, err
		}
		a, err := r.act()
		switch {
		case err != nil || !hmac.Equal(r.Hash, s.vault.link(a, r.PrevHash)):
			fault(r.ID, "it was changed after it was written")
		case r.ID != last+1:
			fault(r.ID, "the row before it is %d: what was between is missing", last)
		case !hmac.Equal(r.PrevHash, prev):
			fault(r.ID, "it does not follow the row before it")
		}
		last, prev = r.ID, r.Hash
	}
	return last, hex.EncodeToString(prev), faults, rows.Err()
}
