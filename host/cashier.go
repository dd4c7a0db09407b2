package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"parley/host/payment"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// ErrPaymentsOff: there is no payment provider.
var ErrPaymentsOff = errors.New("payments are off")

// Cashier takes money from clients' saved means of payment: the store remembers what was
// asked, the provider is asked. It implements [ivr.Payments].
type Cashier struct {
	store    *store.Store
	provider payment.Provider // nil: payments are off
	log      *slog.Logger
}

var _ ivr.Payments = (*Cashier)(nil)

// NewCashier makes a cashier; without a provider nobody can pay.
func NewCashier(s *store.Store, provider payment.Provider, log *slog.Logger) *Cashier {
	return &Cashier{store: s, provider: provider, log: log}
}

// CanBuy implements [ivr.Payments]. Who has spent what their caps allow is offered
// nothing: what they bought could not be held.
func (c *Cashier) CanBuy(ctx context.Context, client ivr.ClientID) (bool, error) {
	if c.provider == nil {
		return false, nil
	}
	means, err := c.store.Means(ctx, client)
	if errors.Is(err, store.ErrNoMeans) || err == nil && means.Provider != c.provider.Name() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return c.store.CapsAllow(ctx, client)
}

// Buy implements [ivr.Payments].
func (c *Cashier) Buy(ctx context.Context, call ivr.CallID, number int, client ivr.ClientID, amount money.Amount, currency string) error {
	id := fmt.Sprintf("pay_%s_%d", strings.TrimPrefix(string(call), "call_"), number)
	p, err := c.Pay(ctx, "call "+string(call), store.Payment{ID: id, Client: client, Call: call, Amount: amount, Currency: currency})
	switch {
	case errors.Is(err, store.ErrNoMeans), errors.Is(err, ErrPaymentsOff):
		return fmt.Errorf("%w: %w", ivr.ErrPaymentDeclined, err) // nothing was asked for, so nothing will come
	case err != nil:
		return err
	case p.State == store.PaymentDeclined:
		return fmt.Errorf("%w: %s", ivr.ErrPaymentDeclined, p.Reason)
	case p.State != store.PaymentPaid:
		return fmt.Errorf("nobody knows yet whether payment %s is paid", id)
	}
	return nil
}

// Pay asks for a payment, once, and returns what is known of it.
func (c *Cashier) Pay(ctx context.Context, by string, p store.Payment) (store.Payment, error) {
	if c.provider == nil {
		return p, ErrPaymentsOff
	}
	p, err := c.store.AskPayment(ctx, by, c.provider.Name(), p)
	if err != nil || p.State != store.PaymentAsked {
		return p, err
	}
	return c.ask(ctx, by, p)
}

// ask asks the provider, and writes down what it says: also where nobody waits for it
// any more. A payment that is being asked for elsewhere at the same time is the same one.
func (c *Cashier) ask(ctx context.Context, by string, p store.Payment) (store.Payment, error) {
	answer, err := c.provider.Charge(ctx, payment.Charge{
		ID: p.ID, Reference: p.Reference, Client: string(p.Client),
		Means:  payment.Means{Customer: p.Means.Customer, Method: p.Means.Method},
		Amount: p.Amount, Currency: p.Currency,
	})
	ctx = context.WithoutCancel(ctx)
	switch {
	case err != nil:
		c.log.Warn("a payment is not answered yet", "payment", p.ID, "err", err)
		if answer.Reference != "" && answer.Reference != p.Reference {
			return p, c.store.NotePayment(ctx, p.ID, answer.Reference)
		}
		return p, nil
	case answer.Declined != "":
		p.State, p.Reason = store.PaymentDeclined, string(answer.Declined)
		return p, c.store.DeclinePayment(ctx, p.ID, answer.Reference, p.Reason)
	}
	p.State = store.PaymentPaid
	return p, c.store.CreditPayment(ctx, by, store.PaidIn{
		Payment: p.ID, Reference: answer.Reference, Client: p.Client, Amount: p.Amount, Currency: p.Currency})
}

const (
	sweepEvery = time.Minute
	sweepMost  = 100
	// askedElsewhere is how long whoever asked for a payment may still be waiting for
	// the answer.
	askedElsewhere = 30 * time.Second
	// unanswered is the reason of a payment that nobody answered for as long as its
	// provider remembers.
	unanswered = "unanswered"
)

// Serve asks again for payments whose answers were lost, at the start and from time to
// time, until ctx ends.
func (c *Cashier) Serve(ctx context.Context) {
	if c.provider == nil {
		return
	}
	for {
		if err := c.Sweep(ctx, askedElsewhere); err != nil && ctx.Err() == nil {
			c.log.Warn("payments wait for their answers", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
	}
}

// Sweep asks again for payments that were asked for so long ago and not answered. One
// that its provider may have forgotten would be charged a second time: it is given up,
// and may still be paid by a notice.
func (c *Cashier) Sweep(ctx context.Context, since time.Duration) error {
	payments, err := c.store.UnansweredPayments(ctx, since, sweepMost)
	if err != nil {
		return err
	}
	for _, p := range payments {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case p.Late && p.Reference == "":
			c.log.Error("a payment was given up: look it up at its provider", "payment", p.ID, "provider", p.Means.Provider)
			err = errors.Join(err, c.store.DeclinePayment(ctx, p.ID, "", unanswered))
		case p.Means.Provider == c.provider.Name():
			_, askErr := c.ask(ctx, c.provider.Name(), p)
			err = errors.Join(err, askErr)
		}
	}
	return err
}

// Notice credits what a provider's notice says came in. What nobody can be credited with
// is written to the audit log, and is no error: the provider has done its part.
func (c *Cashier) Notice(ctx context.Context, n payment.Notice) error {
	in := store.PaidIn{Payment: n.Payment, Reference: n.Reference, Client: ivr.ClientID(n.Client), Amount: n.Amount, Currency: n.Currency}
	if in.Client == "" { // the provider's account may be used for other things too
		c.log.Info("a payment came in that is for no client", "payment", in.Payment)
		return nil
	}
	err := c.store.CreditPayment(ctx, c.provider.Name(), in)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict) {
		c.log.Error("a payment came in and was not credited", "payment", in.Payment, "err", err)
		return c.store.LogUncredited(ctx, c.provider.Name(), in, err)
	}
	return err
}
