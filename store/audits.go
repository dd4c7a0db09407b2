package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// ErrAuditRuns: another audit is under way.
var ErrAuditRuns = errors.New("an audit is under way")

// LedgerAudit is what an audit found, as it is kept.
type LedgerAudit struct {
	ID     string
	At     time.Time
	By     string
	Took   time.Duration
	Report // its faults are the first of Count
	Count  int
}

// faultsKept is how many faults of an audit are kept.
const faultsKept = 1000

// auditLock is the advisory lock of those who audit without being told to by a person
// at the machine, so that they do so one at a time.
const auditLock = 0x61756474 // "audt"

// KeepAudit is [Store.Audit], and keeps what was found.
func (s *Store) KeepAudit(ctx context.Context, by string) (a LedgerAudit, err error) {
	return s.keepAudit(ctx, by, func(tx *sqlx.Tx) error { return nil }, func(ctx context.Context, a *LedgerAudit) error {
		return s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return writeAudit(ctx, tx, *a, "") })
	})
}

// RequestAudit is [Store.KeepAudit] for whoever may ask twice. It returns
// [ErrAuditRuns] where another runs.
func (s *Store) RequestAudit(ctx context.Context, request Request, by string) (LedgerAudit, error) {
	return s.keepAudit(ctx, by, s.auditAlone(ctx), func(ctx context.Context, a *LedgerAudit) error {
		made := *a
		return s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			*a = made
			return s.once(ctx, tx, request, a, func() error { return writeAudit(ctx, tx, *a, "") })
		})
	})
}

// errDone: another copy of the program was first.
var errDone = errors.New("tonight's audit is done")

// nightBegins is when a night's audit is due, in UTC.
const nightBegins = "3 hours"

// AuditNightly audits once a night, of all copies of the program; done says that this
// one did. One that died in it leaves the night to another.
func (s *Store) AuditNightly(ctx context.Context, by string) (a LedgerAudit, done bool, err error) {
	var night string
	due := `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC' - interval '` + nightBegins + `', 'YYYY-MM-DD') AS night`
	unless := `SELECT night FROM (` + due + `) AS due WHERE NOT EXISTS (SELECT FROM ledger_audits a WHERE a.night = due.night::date)`
	if err := s.get(ctx, &night, unless); err != nil {
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return a, false, err
	}
	alone := s.auditAlone(ctx)
	a, err = s.keepAudit(ctx, by, func(tx *sqlx.Tx) error {
		if err := alone(tx); err != nil {
			return err
		}
		// Whoever had the lock before may have done it just now: what tx sees is older.
		err := s.get(ctx, &night, unless)
		if errors.Is(err, ErrNotFound) {
			err = errDone
		}
		return err
	}, func(ctx context.Context, a *LedgerAudit) error {
		return s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return writeAudit(ctx, tx, *a, night) })
	})
	if errors.Is(err, errDone) || errors.Is(err, ErrAuditRuns) {
		return LedgerAudit{}, false, nil
	}
	return a, err == nil, err
}

// auditAlone takes the lock of audits for as long as tx lasts, or returns [ErrAuditRuns].
func (s *Store) auditAlone(ctx context.Context) func(tx *sqlx.Tx) error {
	return func(tx *sqlx.Tx) error {
		var alone bool
		if err := tx.GetContext(ctx, &alone, `SELECT pg_try_advisory_xact_lock($1)`, auditLock); err != nil {
			return err
		}
		if !alone {
			return ErrAuditRuns
		}
		return nil
	}
}

// keepAudit audits once begin says that it may, and has what it found kept before
// another can begin.
func (s *Store) keepAudit(ctx context.Context, by string, begin func(*sqlx.Tx) error, keep func(context.Context, *LedgerAudit) error) (a LedgerAudit, err error) {
	err = s.reading(ctx, func(tx *sqlx.Tx) error {
		if err := begin(tx); err != nil {
			return err
		}
		begun := time.Now()
		report, err := s.audit(ctx, tx)
		if err != nil {
			return err
		}
		a = LedgerAudit{ID: ivr.NewID("audit"), At: begun, By: by, Took: time.Since(begun), Report: report, Count: len(report.Faults)}
		a.Faults = a.Faults[:min(len(a.Faults), faultsKept)]
		return keep(ctx, &a)
	})
	if err != nil {
		return LedgerAudit{}, fmt.Errorf("audit the ledger: %w", err)
	}
	return a, nil
}

func writeAudit(ctx context.Context, tx *sqlx.Tx, a LedgerAudit, night string) error {
	faults := a.Faults
	if faults == nil {
		faults = []Fault{}
	}
	first, err := json.Marshal(faults)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO ledger_audits (id, at, by_whom, night, took_ms, accounts, transfers, calls, acts, log_row, log_hash, faults, first)
		VALUES ($1, $2, $3, nullif($4, '')::date, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING`,
		a.ID, a.At, a.By, night, a.Took.Milliseconds(), a.Accounts, a.Transfers, a.Calls, a.Acts, a.LogRow, a.LogHash, a.Count, string(first))
	return err
}

// Audits lists what the last audits found, the newest first, with at most so many
// faults of each.
func (s *Store) Audits(ctx context.Context, limit, faults int) ([]LedgerAudit, error) {
	var rows []struct {
		ID                               string
		At                               time.Time
		By                               string `db:"by_whom"`
		TookMS                           int64  `db:"took_ms"`
		Accounts, Transfers, Calls, Acts int
		LogRow                           int64  `db:"log_row"`
		LogHash                          string `db:"log_hash"`
		Count                            int    `db:"faults"`
		First                            []byte
	}
	if err := s.list(ctx, &rows, `
		SELECT id, at, by_whom, took_ms, accounts, transfers, calls, acts, log_row, log_hash, faults, first
		FROM ledger_audits ORDER BY id DESC LIMIT $1`, limit); err != nil {
		return nil, fmt.Errorf("list audits: %w", err)
	}
	list := make([]LedgerAudit, len(rows))
	for i, r := range rows {
		list[i] = LedgerAudit{ID: r.ID, At: r.At, By: r.By, Took: time.Duration(r.TookMS) * time.Millisecond, Count: r.Count,
			Report: Report{Accounts: r.Accounts, Transfers: r.Transfers, Calls: r.Calls, Acts: r.Acts, LogRow: r.LogRow, LogHash: r.LogHash}}
		if err := json.Unmarshal(r.First, &list[i].Faults); err != nil {
			return nil, fmt.Errorf("read audit %s: %w", r.ID, err)
		}
		list[i].Faults = list[i].Faults[:min(len(list[i].Faults), faults)]
	}
	return list, nil
}
