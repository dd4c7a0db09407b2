package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/ivr/money"
)

// Payment is money that a client's means of payment was, or is, asked for.
type Payment struct {
	ID        string // made by the caller: the same again is the same payment
	Client    ivr.ClientID
	Call      ivr.CallID // for which it was bought; "" for none
	Amount    money.Amount
	Currency  string
	State     PaymentState
	Reference string // the provider's name for it; "" until it is known
	Reason    string // why it was declined
	Means     Means  // while it is asked: with what, without the label
	Late      bool   // asked so long ago that its provider may not remember
}

// PaymentState is what came of a payment.
type PaymentState string

const (
	PaymentAsked    PaymentState = "asked" // nobody knows yet
	PaymentPaid     PaymentState = "paid"  // the money is in the client's account
	PaymentDeclined PaymentState = "declined"
)

// paymentLate is when a payment is not asked for any more: providers remember by which
// ID they were asked for a day.
const paymentLate = 20 * time.Hour

const selectPayments = `
	SELECT id, client, coalesce(call, '') AS call, amount, currency, provider, sealed, state, reference, reason,
		asked_at < clock_timestamp() - $1 * interval '1 ms' AS late
	FROM payments`

type paymentRow struct {
	ID, Client, Call   string
	Amount             money.Amount
	Currency, Provider string
	Sealed             []byte
	State              PaymentState
	Reference, Reason  string
	Late               bool
}

func (s *Store) payment(r paymentRow) (p Payment, err error) {
	p = Payment{ID: r.ID, Client: ivr.ClientID(r.Client), Call: ivr.CallID(r.Call), Amount: r.Amount, Currency: r.Currency,
		State: r.State, Reference: r.Reference, Reason: r.Reason, Late: r.Late}
	if r.Sealed != nil {
		p.Means, err = s.openMeans(r.ID, Means{Provider: r.Provider}, r.Sealed)
	}
	return p, err
}

// AskPayment writes that a payment is to be asked of the client's provider, before it is.
// The same payment again is returned as it is by now; another with its ID is
// [ErrConflict]. It returns [ErrNoMeans] where the client has saved none with this
// provider. An empty currency is that of the client's account.
func (s *Store) AskPayment(ctx context.Context, by, provider string, p Payment) (Payment, error) {
	if p.ID == "" || p.Amount <= 0 {
		return p, fmt.Errorf("payment %q of %v: it needs an ID and more than nothing", p.ID, p.Amount)
	}
	var row paymentRow
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		currency, err := lockClient(ctx, tx, p.Client)
		if err != nil {
			return err
		}
		if p.Currency != "" && p.Currency != currency {
			return fmt.Errorf("the account is in %s, not %s: %w", currency, p.Currency, ErrConflict)
		}
		row = paymentRow{}
		err = tx.GetContext(ctx, &row, selectPayments+` WHERE id = $2`, paymentLate.Milliseconds(), p.ID)
		if errors.Is(err, sql.ErrNoRows) {
			if err := s.insertPayment(ctx, tx, by, provider, currency, p); err != nil {
				return err
			}
			err = tx.GetContext(ctx, &row, selectPayments+` WHERE id = $2`, paymentLate.Milliseconds(), p.ID)
		}
		if err == nil && (row.Client != string(p.Client) || row.Call != string(p.Call) || row.Amount != p.Amount) {
			err = ErrConflict
		}
		return err
	})
	if err != nil {
		return p, fmt.Errorf("ask client %s for payment %s: %w", p.Client, p.ID, err)
	}
	return s.payment(row)
}

func (s *Store) insertPayment(ctx context.Context, tx *sqlx.Tx, by, provider, currency string, p Payment) error {
	var r meansRow
	err := tx.GetContext(ctx, &r, `
		SELECT provider, label, sealed FROM payment_means WHERE client = $1 AND provider = $2`, p.Client, provider)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoMeans
	}
	if err != nil {
		return err
	}
	m, err := s.means(string(p.Client), r)
	if err != nil {
		return err
	}
	sealed, err := s.sealMeans(p.ID, m)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO payments (id, client, call, amount, currency, provider, sealed, asked_by)
		VALUES ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8)`,
		p.ID, p.Client, p.Call, p.Amount, currency, provider, sealed, by)
	return err
}

// NotePayment remembers the provider's name for a payment of which nobody knows yet what
// became of it.
func (s *Store) NotePayment(ctx context.Context, id, reference string) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `UPDATE payments SET reference = $2 WHERE id = $1 AND state = 'asked'`, id, reference)
		return err
	})
	if err != nil {
		return fmt.Errorf("note what payment %s is called: %w", id, err)
	}
	return nil
}

// DeclinePayment ends a payment that was not made. One that was paid meanwhile stays so.
func (s *Store) DeclinePayment(ctx context.Context, id, reference, reason string) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var p struct {
			Client   ivr.ClientID
			Call     string
			Amount   money.Amount
			Currency string
			AskedBy  string `db:"asked_by"`
		}
		err := tx.GetContext(ctx, &p, `
			UPDATE payments SET state = 'declined', reason = $3, sealed = NULL, ended_at = now(),
				reference = coalesce(nullif($2, ''), reference)
			WHERE id = $1 AND state = 'asked'
			RETURNING client, coalesce(call, '') AS call, amount, currency, asked_by`, id, reference, reason)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.emit(ctx, tx, Event{Type: "payment.declined", Client: p.Client,
			Data: map[string]any{"payment": id, "amount": p.Amount, "currency": p.Currency, "call": p.Call, "reason": reason}}); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: p.AskedBy, What: "payment declined", Subject: id,
			Detail: map[string]string{"client": string(p.Client), "amount": fmt.Sprint(int64(p.Amount)), "currency": p.Currency, "reason": reason}})
	})
	if err != nil {
		return fmt.Errorf("decline payment %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	return nil
}

// PaidIn is a payment that a provider says came in.
type PaidIn struct {
	Payment   string // its ID, or the provider's name for one that was not asked for here
	Reference string // the provider's name for it
	Client    ivr.ClientID
	Amount    money.Amount
	Currency  string
}

// CreditPayment credits a client with a payment that came in, once, whoever says so:
// the provider's answer, its notice, or both at the same time. It returns [ErrNotFound]
// where there is no such client, and [ErrConflict] where the payment was asked for
// otherwise, credited otherwise, or is in another currency.
func (s *Store) CreditPayment(ctx context.Context, by string, in PaidIn) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		currency, err := lockClient(ctx, tx, in.Client)
		if err != nil {
			return err
		}
		var p struct {
			Same, Paid bool
			Call       string
		}
		err = tx.GetContext(ctx, &p, `
			SELECT (client, amount, currency) = ($2, $3, $4) AS same, state = 'paid' AS paid, coalesce(call, '') AS call
			FROM payments WHERE id = $1 FOR NO KEY UPDATE`, in.Payment, in.Client, in.Amount, in.Currency)
		switch asked := !errors.Is(err, sql.ErrNoRows); {
		case asked && err != nil:
			return err
		case asked && !p.Same || currency != in.Currency:
			return ErrConflict
		case asked && p.Paid:
			return nil
		case asked:
			if err := changeOne(ctx, tx, `
				UPDATE payments SET state = 'paid', reason = '', reference = $2, sealed = NULL, ended_at = now()
				WHERE id = $1`, in.Payment, in.Reference); err != nil {
				return err
			}
		default:
			var credited bool
			if err := tx.GetContext(ctx, &credited, `
				SELECT EXISTS (SELECT FROM transfers WHERE kind = 'deposit' AND key = $1)`, in.Payment); err != nil {
				return err
			}
			if credited {
				return sameDeposit(ctx, tx, in.Payment, "client/"+string(in.Client), in.Amount)
			}
		}
		if err := s.emit(ctx, tx, Event{Type: "payment.paid", Client: in.Client,
			Data: map[string]any{"payment": in.Payment, "amount": in.Amount, "currency": in.Currency, "call": p.Call}}); err != nil {
			return err
		}
		return s.deposit(ctx, tx, by, in.Payment, in.Client, in.Amount)
	})
	if err != nil {
		return fmt.Errorf("credit client %s with payment %s: %w", in.Client, in.Payment, err)
	}
	s.Notify(ctx, TopicEvents)
	return nil
}

// LogUncredited writes, once, that a payment came in that nobody could be credited with:
// someone has to look.
func (s *Store) LogUncredited(ctx context.Context, by string, in PaidIn, why error) error {
	const what = "payment not credited"
	return s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var known bool
		if err := tx.GetContext(ctx, &known, `
			SELECT EXISTS (SELECT FROM audit_log WHERE subject = $1 AND what = $2)`, in.Payment, what); err != nil || known {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: what, Subject: in.Payment, Detail: map[string]string{
			"client": string(in.Client), "reference": in.Reference, "amount": fmt.Sprint(int64(in.Amount)), "currency": in.Currency, "why": why.Error()}})
	})
}

// UnansweredPayments are payments that were asked for some time ago, and of which nobody
// knows what became of them. Where there are more than limit, which of them is up to
// chance, so that those that stay unanswered do not stand in the way of others.
func (s *Store) UnansweredPayments(ctx context.Context, since time.Duration, limit int) ([]Payment, error) {
	var rows []paymentRow
	err := s.list(ctx, &rows, selectPayments+`
		WHERE state = 'asked' AND asked_at <= clock_timestamp() - $2 * interval '1 ms' ORDER BY random() LIMIT $3`,
		paymentLate.Milliseconds(), since.Milliseconds(), limit)
	if err != nil {
		return nil, fmt.Errorf("list payments without an answer: %w", err)
	}
	payments := make([]Payment, len(rows))
	for i, r := range rows {
		if payments[i], err = s.payment(r); err != nil {
			return nil, err
		}
	}
	return payments, nil
}
