package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// CapLoosens is how long a client who raises or removes a cap waits for it: longer than
// the mood in which caps are raised.
const CapLoosens = 24 * time.Hour

// Period is the time in which a cap counts what was charged.
type Period string

const (
	Day  Period = "day"  // any 24 hours
	Week Period = "week" // any 7 days
)

// Caps are how much a client lets themselves spend.
type Caps struct {
	Currency  string
	Held      money.Amount // for calls that are up, which counts as spent
	MayHold   money.Amount // now, by the caps and by what is available
	Day, Week Cap
}

// Cap is one of them.
type Cap struct {
	Amount  *money.Amount // that holds now; nil: none
	Charged money.Amount  // in its time until now
	Next    *NextCap      // nil: it stays
}

// NextCap is what a cap will be.
type NextCap struct {
	Amount *money.Amount // nil: none
	From   time.Time
}

// looser says whether cap a lets more be spent than b.
func looser(a, b *money.Amount) bool { return b != nil && (a == nil || *a > *b) }

// mayHold returns [*ivr.NoFunds] where what may be set aside of a client's money does not
// cover the least of these terms: by a cap, where more money would not help. The account
// is locked.
func mayHold(ctx context.Context, tx *sqlx.Tx, client ivr.ClientID, terms dialplan.Terms) error {
	var may allowance
	if err := tx.GetContext(ctx, &may, `SELECT amount AS may_hold, cap_left FROM may_hold($1)`, client); err != nil {
		return err
	}
	return may.covers(terms.Least(), terms.Predetermined)
}

// allowance is an answer of the SQL function may_hold.
type allowance struct {
	MayHold money.Amount           `db:"may_hold"`
	CapLeft sql.Null[money.Amount] `db:"cap_left"`
}

func (a allowance) covers(least money.Amount, predetermined time.Duration) error {
	if a.MayHold >= least {
		return nil
	}
	return &ivr.NoFunds{Available: a.MayHold, Missing: least - a.MayHold, Predetermined: predetermined,
		ByCap: a.CapLeft.Valid && a.CapLeft.V < least}
}

// Caps returns [ErrNotFound] where there is no such client.
func (s *Store) Caps(ctx context.Context, client ivr.ClientID) (c Caps, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		c, err = readCaps(ctx, tx, client)
		return err
	})
	if err != nil {
		return Caps{}, fmt.Errorf("caps of client %s: %w", client, err)
	}
	return c, nil
}

func readCaps(ctx context.Context, tx *sqlx.Tx, client ivr.ClientID) (c Caps, err error) {
	// One statement: what ends meanwhile is held no more and charged, never both.
	err = tx.QueryRowxContext(ctx, `
		SELECT a.currency, a.held, (SELECT amount FROM may_hold(c.id)),
			coalesce((SELECT charged FROM caps_of(c.id) WHERE period = $2), 0),
			coalesce((SELECT charged FROM caps_of(c.id) WHERE period = $3), 0)
		FROM clients c JOIN accounts a ON a.client = c.id WHERE c.id = $1 AND c.deleted_at IS NULL`, client, Day, Week).
		Scan(&c.Currency, &c.Held, &c.MayHold, &c.Day.Charged, &c.Week.Charged)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return c, err
	}
	for period, into := range map[Period]*Cap{Day: &c.Day, Week: &c.Week} {
		set, err := readCap(ctx, tx, client, period)
		if err != nil {
			return c, err
		}
		into.Amount = set.now
		if len(set.coming) > 0 {
			into.Next = &set.coming[0]
		}
	}
	return c, nil
}

// setCap is what was set of one cap: what holds now, and what was set since and is yet
// to come, the last that was set first.
type setCap struct {
	now    *money.Amount
	coming []NextCap
}

func readCap(ctx context.Context, tx *sqlx.Tx, client ivr.ClientID, period Period) (c setCap, err error) {
	var rows []struct {
		Amount *money.Amount
		From   time.Time `db:"holds_from"`
		Holds  bool
	}
	// What holds, and all that was set later: ever since the last day.
	err = tx.SelectContext(ctx, &rows, `
		SELECT amount, holds_from, holds_from <= clock_timestamp() AS holds FROM caps
		WHERE client = $1 AND period = $2 AND id >= coalesce((
			SELECT max(id) FROM caps WHERE client = $1 AND period = $2 AND holds_from <= clock_timestamp()), 0)
		ORDER BY id DESC`, client, period)
	for _, r := range rows {
		if r.Holds {
			c.now = r.Amount
			break
		}
		c.coming = append(c.coming, NextCap{r.Amount, r.From})
	}
	return c, err
}

// SetCaps sets what a client lets themselves spend in any 24 hours and any 7 days; nil
// is no cap. What is tighter than before holds at once, also for calls that ask for
// more; what is looser only after [CapLoosens].
func (s *Store) SetCaps(ctx context.Context, by string, client ivr.ClientID, day, week *money.Amount) (c Caps, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := lockClient(ctx, tx, client); err != nil {
			return err
		}
		detail := map[string]string{}
		for period, amount := range map[Period]*money.Amount{Day: day, Week: week} {
			if err := setOneCap(ctx, tx, client, period, amount, detail); err != nil {
				return err
			}
		}
		if c, err = readCaps(ctx, tx, client); err != nil || len(detail) == 0 {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "cap set", Subject: string(client), Detail: detail})
	})
	if err != nil {
		return Caps{}, fmt.Errorf("set the caps of client %s: %w", client, err)
	}
	return c, nil
}

func setOneCap(ctx context.Context, tx *sqlx.Tx, client ivr.ClientID, period Period, amount *money.Amount, detail map[string]string) error {
	if amount != nil && *amount < 0 {
		return errors.New("a cap is not negative")
	}
	set, err := readCap(ctx, tx, client, period)
	if err != nil {
		return err
	}
	last := set.now
	if len(set.coming) > 0 {
		last = set.coming[0].Amount
	}
	if !looser(amount, last) && !looser(last, amount) {
		return nil // it was set so before
	}
	var from time.Time
	if err := tx.GetContext(ctx, &from, `SELECT clock_timestamp()`); err != nil {
		return err
	}
	if looser(amount, set.now) {
		from = from.Add(CapLoosens)
		for _, next := range set.coming { // no later than what is looser still
			if !looser(amount, next.Amount) && next.From.Before(from) {
				from = next.From
			}
		}
	}
	detail[string(period)] = "none"
	if amount != nil {
		detail[string(period)] = fmt.Sprint(int64(*amount))
	}
	detail[string(period)+" from"] = from.UTC().Format(time.RFC3339)
	_, err = tx.ExecContext(ctx, `
		INSERT INTO caps (client, period, amount, holds_from) VALUES ($1, $2, $3, $4)`, client, period, amount, from)
	return err
}

// lockClient locks the account of a client who has not been deleted, and returns its
// currency, or [ErrNotFound].
func lockClient(ctx context.Context, tx *sqlx.Tx, client ivr.ClientID) (currency string, err error) {
	err = tx.GetContext(ctx, &currency, `SELECT currency FROM accounts WHERE id = 'client/' || $1 FOR NO KEY UPDATE`, client)
	if err == nil { // asked once the lock is there: it may have been waited for
		err = tx.GetContext(ctx, new(bool), `SELECT true FROM clients WHERE id = $1 AND deleted_at IS NULL`, client)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return currency, err
}

// CapsAllow says whether the client's caps leave anything to spend now.
func (s *Store) CapsAllow(ctx context.Context, client ivr.ClientID) (allow bool, err error) {
	err = s.get(ctx, &allow, `SELECT cap_left IS NULL OR cap_left > 0 FROM may_hold($1)`, client)
	if err != nil {
		return false, fmt.Errorf("caps of client %s: %w", client, err)
	}
	return allow, nil
}
