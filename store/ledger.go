package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// All that moves money is in this file, settle.go and the SQL function open_call.
// They lock in one order: the advisor, then the client's account, then the call; so
// that callers take turns and never deadlock. What is held is within what the SQL
// function may_hold allows: what is available, and the client's own caps. Each finds what it did before by the
// ID that its caller made.

// Hold implements [ivr.Ledger]. The hold is the call's number 1. The same opening
// again, while the call is open, returns what was held at first.
func (s *Store) Hold(ctx context.Context, o ivr.Opening) (held money.Amount, err error) {
	if o.Terms.SetBy == appointmentTerms {
		err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			if err := returnForCall(ctx, tx, o); err != nil {
				return err
			}
			held, err = s.openCall(ctx, tx, o)
			return err
		})
	} else {
		err = s.retry(ctx, func(ctx context.Context) error { // one statement, one round trip
			held, err = s.openCall(ctx, s.prepared, o)
			return err
		})
	}
	if err != nil {
		return 0, err
	}
	s.Notify(ctx, TopicEvents)
	return held, nil
}

// WouldHold implements [ivr.Ledger]: it is Hold, rolled back.
func (s *Store) WouldHold(ctx context.Context, o ivr.Opening) (held money.Amount, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		tx, err := s.db.BeginTxx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if err := returnForCall(ctx, tx, o); err != nil {
			return err
		}
		held, err = s.openCall(ctx, tx, o)
		return err
	})
	return held, err
}

// openCallQuestion is what the SQL function open_call is asked: one value with named
// parts, since eighteen parameters would take Postgres as long to read as to answer.
type openCallQuestion struct {
	Asterisk   string         `json:"asterisk"` // that is owned; "" where none need be
	Epoch      int64          `json:"epoch"`
	ID         ivr.CallID     `json:"id"`
	Kind       ivr.Kind       `json:"kind"`
	DID        string         `json:"did"`
	ANI        string         `json:"ani"`
	Loan       ivr.LoanID     `json:"loan"`
	Client     ivr.ClientID   `json:"client"`
	Advisor    ivr.AdvisorID  `json:"advisor"`
	Line       ivr.LineID     `json:"line"`
	Plan       int64          `json:"plan"`
	Terms      dialplan.Terms `json:"terms"`
	StartedAt  time.Time      `json:"started_at"`
	Least      int64          `json:"least"`
	Most       int64          `json:"most"`
	All        int            `json:"all"`
	PerClient  int            `json:"per_client"`
	PerAdvisor int            `json:"per_advisor"`
}

func (s *Store) openCall(ctx context.Context, q rowQueryer, o ivr.Opening) (money.Amount, error) {
	if o.Least < 0 || o.Most < o.Least || o.Most == 0 {
		return 0, fmt.Errorf("call %s: cannot hold from %v to %v", o.Call, o.Least, o.Most)
	}
	if c := o.Concurrent; c.All <= 0 || c.PerClient <= 0 || c.PerAdvisor <= 0 {
		return 0, fmt.Errorf("call %s: a limit on concurrent calls is missing: %+v", o.Call, c)
	}
	owned := s.tenure.Load()
	if owned == nil {
		owned = &tenure{}
	}
	question, err := json.Marshal(openCallQuestion{
		owned.asterisk, owned.epoch,
		o.Call, o.Kind, o.DID, o.ANI, o.Loan, o.Client, o.Advisor, o.Line, o.Plan, o.Terms, o.StartedAt,
		int64(o.Least), int64(o.Most), o.Concurrent.All, o.Concurrent.PerClient, o.Concurrent.PerAdvisor,
	})
	if err != nil {
		return 0, err
	}
	var outcome string
	var found sql.NullInt64
	err = q.QueryRowxContext(ctx, `SELECT outcome, amount FROM open_call($1)`, string(question)).Scan(&outcome, &found)
	if err != nil {
		return 0, fmt.Errorf("hold for call %s: %w", o.Call, err)
	}
	amount := money.Amount(found.Int64)
	switch outcome {
	case "held":
		return amount, nil
	case "no funds", "cap reached":
		return 0, &ivr.NoFunds{Available: amount, Missing: o.Least - amount, Predetermined: o.Terms.Predetermined, ByCap: outcome == "cap reached"}
	case "not owner":
		return 0, ErrNotOwner
	case "client busy":
		return 0, ivr.ErrClientBusy
	case "advisor busy":
		return 0, ivr.ErrAdvisorBusy
	case "all busy":
		return 0, ivr.ErrAllBusy
	case "loan over":
		return 0, ivr.ErrLoanExpired
	case "conflict":
		return 0, fmt.Errorf("call %s was opened otherwise, or has ended: %w", o.Call, ErrConflict)
	case "no client":
		return 0, fmt.Errorf("client %s has no account: add the client", o.Client)
	case "no advisor":
		return 0, fmt.Errorf("advisor %s is not known: add the advisor", o.Advisor)
	case "currency":
		return 0, fmt.Errorf("the plan counts in %s, client %s has another currency", o.Terms.Currency, o.Client)
	}
	return 0, fmt.Errorf("hold for call %s: outcome %q", o.Call, outcome)
}

// Extend sets aside more of the client's money for an open call: money first, then
// the later deadline. number counts the call's holds from 2 and is chosen by the
// caller; the same again returns what was held. It returns [*ivr.NoFunds].
func (s *Store) Extend(ctx context.Context, call ivr.CallID, number int, least, most money.Amount) (held money.Amount, err error) {
	if number < 2 || least < 0 || most < least || most == 0 {
		return 0, fmt.Errorf("call %s: cannot extend by hold %d from %v to %v", call, number, least, most)
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		held, err = extend(ctx, tx, call, number, least, most)
		return err
	})
	return held, err
}

func extend(ctx context.Context, tx *sqlx.Tx, call ivr.CallID, number int, least, most money.Amount) (money.Amount, error) {
	var account string
	err := tx.GetContext(ctx, &account, `
		SELECT a.id FROM calls c JOIN accounts a ON a.client = c.client WHERE c.id = $1 FOR NO KEY UPDATE OF a`, call)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return 0, fmt.Errorf("extend call %s: %w", call, err)
	}
	// Under the account's lock, which Close takes too, the call stays open.
	var earlier struct {
		Open, Same bool
		Amount     sql.Null[money.Amount]
		allowance
	}
	err = tx.GetContext(ctx, &earlier, `
		SELECT c.ended_at IS NULL AS open, h.amount, coalesce((h.least, h.most) = ($3, $4), false) AS same,
			m.amount AS may_hold, m.cap_left
		FROM calls c LEFT JOIN holds h ON h.call = c.id AND h.number = $2, may_hold(c.client) m WHERE c.id = $1`,
		call, number, least, most)
	switch {
	case err != nil:
		return 0, fmt.Errorf("extend call %s: %w", call, err)
	case !earlier.Open || earlier.Amount.Valid && !earlier.Same:
		return 0, fmt.Errorf("call %s has hold %d of another size, or has ended: %w", call, number, ErrConflict)
	case earlier.Amount.Valid:
		return earlier.Amount.V, nil
	}
	if err := earlier.covers(least, 0); err != nil {
		return 0, err
	}
	amount := min(most, earlier.MayHold)
	return amount, changeOne(ctx, tx, `
		WITH hold AS (
			INSERT INTO holds (call, number, account, least, most, amount) VALUES ($1, $2, $3, $4, $5, $6)
		)
		UPDATE accounts SET held = held + $6 WHERE id = $3 AND posted - held >= $6`,
		call, number, account, least, most, amount)
}

// Deposit credits a client with a payment. A payment credits once.
func (s *Store) Deposit(ctx context.Context, by, payment string, client ivr.ClientID, amount money.Amount) error {
	if amount <= 0 || payment == "" {
		return fmt.Errorf("payment %q of %v: a deposit needs an ID and more than nothing", payment, amount)
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return s.deposit(ctx, tx, by, payment, client, amount)
	})
	if err == nil {
		s.Notify(ctx, TopicEvents)
	}
	return err
}

func (s *Store) deposit(ctx context.Context, tx *sqlx.Tx, by, payment string, client ivr.ClientID, amount money.Amount) error {
	currency, err := lockClient(ctx, tx, client)
	if err != nil {
		return fmt.Errorf("client %s has no account: %w", client, err)
	}
	account := "client/" + string(client)
	done, err := tx.ExecContext(ctx, `
		WITH moved AS (
			INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			VALUES ('deposit', $1, 'outside/' || $3, $2, $3, $4)
			ON CONFLICT (key, kind) DO NOTHING RETURNING amount
		)
		UPDATE accounts SET posted = posted + moved.amount FROM moved WHERE id = $2`,
		payment, account, currency, amount)
	if err != nil {
		return fmt.Errorf("deposit %s: %w", payment, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, sameDeposit(ctx, tx, payment, account, amount))
	}
	if err := s.emit(ctx, tx, Event{Type: "deposit.made", Client: client,
		Data: map[string]any{"payment": payment, "amount": amount, "currency": currency}}); err != nil {
		return err
	}
	return s.log(ctx, tx, Act{Who: by, What: "deposit", Subject: payment,
		Detail: map[string]string{"account": account, "amount": fmt.Sprint(int64(amount)), "currency": currency}})
}

func sameDeposit(ctx context.Context, tx *sqlx.Tx, payment, account string, amount money.Amount) error {
	var same bool
	err := tx.GetContext(ctx, &same, `
		SELECT (credit, amount) = ($2, $3) FROM transfers WHERE kind = 'deposit' AND key = $1`, payment, account, amount)
	if err == nil && !same {
		err = fmt.Errorf("payment %s went to another client, or was of another amount: %w", payment, ErrConflict)
	}
	return err
}

// Prove implements [ivr.Ledger]. A call that is being closed needs no more proof and
// is passed over.
func (s *Store) Prove(ctx context.Context, proofs []ivr.Proof) error {
	calls, numbers, talks := make([]string, len(proofs)), make([]int32, len(proofs)), make([]int64, len(proofs))
	for i, p := range proofs {
		calls[i], numbers[i], talks[i] = string(p.Call), int32(p.Segment), int64(p.Talk)
	}
	var told int64
	err := s.retry(ctx, func(ctx context.Context) error {
		done, err := s.prepared.ExecContext(ctx, `
			WITH proof AS (
				SELECT call, number, max(talk_ns) AS talk_ns
				FROM unnest($1::text[], $2::int[], $3::bigint[]) AS p (call, number, talk_ns) GROUP BY call, number
			), live AS (
				SELECT id FROM calls WHERE id = ANY ($1::text[]) AND ended_at IS NULL
				FOR NO KEY UPDATE SKIP LOCKED
			), written AS (
				INSERT INTO segments (call, number, joined_at, talk_ns)
				SELECT call, number, now() - talk_ns / 1000 * interval '1 microsecond', talk_ns
				FROM proof JOIN live ON id = call
				ON CONFLICT (call, number) DO UPDATE SET talk_ns = greatest(segments.talk_ns, excluded.talk_ns)
				RETURNING call, number, xmax = 0 AS first -- an updated row was locked before, an inserted one was not
			)
			INSERT INTO events (type, client, advisor, data)
			SELECT 'call.talking', client, advisor, jsonb_build_object('call', id, 'segment', number)
			FROM written JOIN calls ON id = call WHERE first`,
			pq.Array(calls), pq.Array(numbers), pq.Array(talks))
		if err == nil {
			told, err = done.RowsAffected()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("prove the talk of %d calls: %w", len(proofs), err)
	}
	if told > 0 {
		s.Notify(ctx, TopicEvents)
	}
	return nil
}

// OpenCalls implements [ivr.Ledger]: those of the node that this store's program owns, or of
// all where it never owned any. What it returns lacks the limits on concurrent
// calls, which counted only when the call opened.
func (s *Store) OpenCalls(ctx context.Context) (open []ivr.OpenCall, err error) {
	node := ""
	if t := s.tenure.Load(); t != nil {
		node = t.asterisk
	}
	err = s.retry(ctx, func(ctx context.Context) error {
		var rows []struct {
			callRow
			Least   money.Amount
			Most    money.Amount
			OnHold  money.Amount `db:"on_hold"`
			Holds   int
			Phone   []byte `db:"phone_sealed"`
			Agreed  string // the call's appointment, where it has a phone of its own
			Other   []byte `db:"agreed_phone"`
			SinceUS int64  `db:"since_us"`
			revision
		}
		if err := s.db.SelectContext(ctx, &rows, selectCalls+`,
				h.least, h.most, (SELECT phone_sealed FROM clients WHERE id = c.client) AS phone_sealed,
				coalesce(p.id, '') AS agreed, p.phone_sealed AS agreed_phone,
				(SELECT sum(amount) FROM holds WHERE call = c.id)::bigint AS on_hold,
				(SELECT max(number) FROM holds WHERE call = c.id) AS holds,
				(SELECT terms FROM call_revisions WHERE call = c.id ORDER BY at DESC LIMIT 1) AS revised,
				coalesce((SELECT extract(epoch FROM clock_timestamp() - joined_at) * 1000000
					FROM segments WHERE call = c.id ORDER BY number DESC LIMIT 1), 0)::bigint AS since_us
			FROM calls c JOIN holds h ON h.call = c.id AND h.number = 1
			LEFT JOIN appointments p ON p.loan = c.loan AND p.phone_sealed IS NOT NULL
			WHERE c.ended_at IS NULL AND $1 IN ('', c.node) ORDER BY c.id`, node); err != nil {
			return fmt.Errorf("list open calls: %w", err)
		}
		open = make([]ivr.OpenCall, len(rows))
		for i, r := range rows {
			c, err := r.call()
			if err != nil {
				return err
			}
			if r.Agreed != "" {
				r.Client, r.Phone = r.Agreed, r.Other
			}
			phone, err := s.vault.open(r.Client, r.Phone)
			if err != nil {
				return err
			}
			terms, err := r.latestTerms(c)
			if err != nil {
				return err
			}
			open[i] = ivr.OpenCall{
				Opening: ivr.Opening{
					Call: c.ID, Kind: c.Kind, Loan: c.Loan, DID: c.DID, ANI: c.ANI, Client: c.Client, Advisor: c.Advisor, Line: c.Line,
					Plan: c.Plan, Terms: terms, StartedAt: c.StartedAt, Least: r.Least, Most: r.Most,
				},
				ClientLine: ivr.Line{Kind: ivr.Phone, Address: phone},
				Held:       r.OnHold, Holds: r.Holds, Segments: c.Segments, Began: time.Now().Add(-time.Duration(r.SinceUS) * time.Microsecond),
			}
		}
		return nil
	})
	return open, err
}

// changeOne runs a statement that must change exactly one row.
func changeOne(ctx context.Context, tx *sqlx.Tx, statement string, args ...any) error {
	done, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("%d rows changed, not one: %.80s", n, statement))
	}
	return nil
}
