package ivrtest

import (
	"context"
	"errors"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// paymentTakes is how long a payment's provider thinks.
const paymentTakes = time.Second

// Revise implements [ivr.Ledger].
func (p *Program) Revise(ctx context.Context, call ivr.CallID, plan int64, terms dialplan.Terms) error {
	lost, err := p.suffer(ctx, "Revise")
	if err := firstOf(err, p.sleep(ctx, ledgerLatency), p.LedgerErr); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.calls[call]
	if open == nil {
		return ivr.ErrConflict
	}
	open.Terms = terms
	p.note("the call follows plan %d: %v at most", plan, terms.LongestTalk)
	return lost
}

// CallAtTime implements [ivr.Desk].
func (p *Program) CallAtTime(ctx context.Context, _ ivr.LoanID) error {
	return p.desk(ctx, "the host is to call at the appointment's time")
}

// CallBack implements [ivr.Desk].
func (p *Program) CallBack(ctx context.Context, _ ivr.LoanID) error {
	return p.desk(ctx, "the host is to call back")
}

// Rate implements [ivr.Desk].
func (p *Program) Rate(ctx context.Context, _ ivr.CallID, stars int) error {
	return p.desk(ctx, "rated %d", stars)
}

func (p *Program) desk(ctx context.Context, what string, args ...any) error {
	if err := firstOf(p.dead(), context.Cause(ctx)); err != nil {
		return err
	}
	p.Note(what, args...)
	return nil
}

// CanBuy implements [ivr.Payments].
func (p *Program) CanBuy(ctx context.Context, _ ivr.ClientID) (bool, error) {
	return p.Card != "", firstOf(p.dead(), context.Cause(ctx))
}

// Buy implements [ivr.Payments].
func (p *Program) Buy(ctx context.Context, call ivr.CallID, number int, _ ivr.ClientID, amount money.Amount, _ string) error {
	lost, err := p.suffer(ctx, "Buy")
	if err := firstOf(err, p.sleep(ctx, paymentTakes)); err != nil {
		return err
	}
	switch p.Card {
	case "declined":
		p.Note("the payment is declined")
		return ivr.ErrPaymentDeclined
	case "lost":
		p.Note("nobody knows of the payment")
		return errors.New("the provider does not answer")
	}
	p.mu.Lock()
	bought := p.bought[purchase{call, number}]
	p.bought[purchase{call, number}] = true
	p.mu.Unlock()
	if !bought {
		p.Deposit(amount)
	}
	return lost
}

// purchase names what is bought once.
type purchase struct {
	call   ivr.CallID
	number int
}
