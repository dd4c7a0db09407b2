package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// TopicOwner is noticed when the ownership of an Asterisk is given back or asked for.
const TopicOwner = "owner"

var (
	// ErrNotOwner: another copy of the program owns Asterisk, or may. Nothing was
	// written.
	ErrNotOwner = errors.New("another copy of the program owns Asterisk")

	// ErrWanted: another copy asks to take over.
	ErrWanted = errors.New("another copy of the program asks to take over")
)

// ownerTakes bounds a question about ownership. It has connections of its own: a pool
// that calls have used up must not cost the lease.
const ownerTakes = time.Second

// Ownership is one copy's part in who owns an Asterisk: it waits for it, keeps it, and
// gives it back. One goroutine at a time uses it, but for Announce and Draining.
type Ownership struct {
	Epoch int64         // counts the changes of hands
	Idle  time.Duration // for how long nobody had served when it became ours, as far as is known

	store    *Store
	db       *sqlx.DB
	asterisk string
	log      *slog.Logger
	holder   string    // this copy, this time
	until    time.Time // of the lease, by our own clock
	draining atomic.Bool
}

// tenure is what proves an ownership in a transaction.
type tenure struct {
	asterisk string
	epoch    int64
}

// Ownership of this node's Asterisk. Disconnect it.
func (s *Store) Ownership(log *slog.Logger) (*Ownership, error) {
	db, err := connect(s.config.DSN, s.config.Node, ownerTakes)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(2)
	return &Ownership{store: s, db: db, asterisk: s.config.Node, log: log}, nil
}

// Disconnect gives the connections back, but not the ownership: see [Ownership.Release].
func (o *Ownership) Disconnect() error { return o.db.Close() }

// owns makes sure that tx is done by the owner of Asterisk, and that no other copy
// becomes it before tx ends. It comes first in every transaction that opens, claims or
// closes a call. A store that never was an owner's is nobody's rival: a command, a test.
func (s *Store) owns(ctx context.Context, tx *sqlx.Tx) error {
	t := s.tenure.Load()
	if t == nil {
		return nil
	}
	var epoch int64
	err := tx.GetContext(ctx, &epoch, `
		SELECT epoch FROM owners WHERE asterisk = $1 AND epoch = $2 FOR KEY SHARE`, t.asterisk, t.epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotOwner
	}
	return err
}

// lease is an ownership as others see it.
type lease struct {
	Holder    string    // "" when it was given back
	Epoch     int64     // 0 where nobody ever had it
	RenewedAt time.Time `db:"renewed_at"`
}

// look returns the lease as it is now, how old it is by the database's clock, and whether
// another copy asks for it.
func (o *Ownership) look(ctx context.Context) (l lease, age time.Duration, wanted bool, err error) {
	var r struct {
		lease
		AgeMS  int64 `db:"age_ms"`
		Wanted bool
	}
	err = o.db.GetContext(ctx, &r, `
		SELECT holder, epoch, renewed_at, (extract(epoch FROM clock_timestamp() - renewed_at) * 1000)::bigint AS age_ms,
			coalesce(wanted_by <> $2 AND `+stillWanted+`, false) AS wanted
		FROM owners AS o WHERE asterisk = $1`, o.asterisk, o.holder)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return r.lease, time.Duration(r.AgeMS) * time.Millisecond, r.Wanted, err
}

// stillWanted bounds how long it is waited for a copy that asked and may have died since:
// it asks every lookEvery.
const stillWanted = `clock_timestamp() - o.wanted_at BETWEEN interval '0' AND interval '3 s'`

// acquire takes a lease that was given back, or that has not changed since it was seen.
// Where two try, one gets it.
func (o *Ownership) acquire(ctx context.Context, seen lease) error {
	sent := time.Now()
	var epoch int64
	err := o.db.GetContext(ctx, &epoch, `
		INSERT INTO owners AS o (asterisk, holder, epoch, renewed_at) VALUES ($1, $2, 1, clock_timestamp())
		ON CONFLICT (asterisk) DO UPDATE SET holder = excluded.holder, epoch = o.epoch + 1,
			renewed_at = excluded.renewed_at, wanted_by = NULL, wanted_at = NULL
		WHERE (o.holder = '' OR o.epoch = $3 AND o.renewed_at = $4)
			AND coalesce(o.wanted_by = $2 OR NOT `+stillWanted+`, true)
		RETURNING epoch`, o.asterisk, o.holder, seen.Epoch, seen.RenewedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotOwner
	}
	if err != nil {
		return err
	}
	o.acquired(epoch, sent)
	return nil
}

func (o *Ownership) acquired(epoch int64, at time.Time) {
	o.Epoch, o.until = epoch, at.Add(leaseLasts)
	o.store.tenure.Store(&tenure{o.asterisk, epoch})
}

// ask lets the owner know that this copy wants to take over.
func (o *Ownership) ask(ctx context.Context) error {
	_, err := o.db.ExecContext(ctx, `
		UPDATE owners SET wanted_by = $2, wanted_at = clock_timestamp() WHERE asterisk = $1 AND holder NOT IN ('', $2)`,
		o.asterisk, o.holder)
	if err == nil {
		o.store.Notify(ctx, TopicOwner)
	}
	return err
}

// Announce tells the other nodes where they reach this node's Asterisk by SIP: host:port, or
// "" where they need not.
func (o *Ownership) Announce(ctx context.Context, sip string) error {
	_, err := o.db.ExecContext(ctx, `UPDATE owners SET sip = $2 WHERE asterisk = $1`, o.asterisk, sip)
	return err
}

// Draining says whether the node is to take no new calls, as the last renewal has shown.
func (o *Ownership) Draining() bool { return o.draining.Load() }

// Renew renews the lease, also one that has run out and that nobody else has taken. It
// returns [ErrWanted] where it is renewed and another copy asks for it, and
// [ErrNotOwner] where another copy has it.
func (o *Ownership) Renew(ctx context.Context) error {
	sent := time.Now()
	var r struct{ Wanted, Draining bool }
	err := o.db.GetContext(ctx, &r, `
		UPDATE owners AS o SET renewed_at = clock_timestamp() WHERE asterisk = $1 AND holder = $2 AND epoch = $3
		RETURNING coalesce(`+stillWanted+`, false) AS wanted, draining`, o.asterisk, o.holder, o.Epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotOwner
	}
	if err != nil {
		return fmt.Errorf("renew the ownership of Asterisk: %w", err)
	}
	o.until = sent.Add(leaseLasts)
	o.draining.Store(r.Draining)
	if r.Wanted {
		return ErrWanted
	}
	return nil
}

// Release gives the ownership back, if it still is ours, so that another copy has it at
// once. idle is for how long no call has been taken any more.
func (o *Ownership) Release(ctx context.Context, idle time.Duration) error {
	done, err := o.db.ExecContext(ctx, `
		UPDATE owners SET holder = '', renewed_at = clock_timestamp() - $4 * interval '1 ms'
		WHERE asterisk = $1 AND holder = $2 AND epoch = $3`, o.asterisk, o.holder, o.Epoch, idle.Milliseconds())
	if err != nil {
		return fmt.Errorf("give the ownership of Asterisk back; it ends by itself within %v: %w", leaseLasts, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	o.store.Notify(ctx, TopicOwner)
	return nil
}
