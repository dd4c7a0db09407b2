package ivrtest

import (
	"context"
	"errors"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

// record is an open call in the town's ledger.
type record struct {
	ivr.Opening
	held     money.Amount
	holds    int
	last     [2]money.Amount // the last hold's least and most
	more     money.Amount    // and what it was
	segments []ivr.Segment
	since    time.Time // the last segment was joined
}

// Hold implements [ivr.Ledger].
func (p *Program) Hold(ctx context.Context, o ivr.Opening) (money.Amount, error) {
	lost, err := p.suffer(ctx, "Hold")
	if err != nil {
		return 0, err
	}
	held, err := p.WouldHold(ctx, o)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[o.Call] = &record{Opening: o, held: held, holds: 1}
	p.hold(held)
	p.Opened = true
	p.note("%v held", held)
	return held, lost
}

// WouldHold implements [ivr.Ledger].
func (p *Program) WouldHold(ctx context.Context, o ivr.Opening) (money.Amount, error) {
	if err := firstOf(p.sleep(ctx, ledgerLatency), p.LedgerErr); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.calls) >= o.Concurrent.PerClient {
		return 0, ivr.ErrClientBusy
	}
	available := p.Balance - p.held
	if available < o.Least {
		return 0, &ivr.NoFunds{Available: available, Missing: o.Least - available, Predetermined: o.Terms.Predetermined}
	}
	return min(available, o.Most), nil
}

// Extend implements [ivr.Ledger].
func (p *Program) Extend(ctx context.Context, id ivr.CallID, number int, least, most money.Amount) (money.Amount, error) {
	lost, err := p.suffer(ctx, "Extend")
	if err := firstOf(err, p.sleep(ctx, ledgerLatency), p.LedgerErr); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	call := p.calls[id]
	if call == nil || number > call.holds+1 || number == call.holds && call.last != [2]money.Amount{least, most} || number < call.holds {
		return 0, ivr.ErrConflict
	}
	if number == call.holds {
		return call.more, lost
	}
	available := p.Balance - p.held
	if available < least {
		return 0, &ivr.NoFunds{Available: available, Missing: least - available}
	}
	more := min(available, most)
	call.holds, call.last, call.more = number, [2]money.Amount{least, most}, more
	call.held += more
	p.hold(more)
	p.note("%v more held", more)
	return more, lost
}

// hold sets money aside. The town is locked.
func (t *Town) hold(amount money.Amount) {
	t.held += amount
	t.Funded += amount
	if t.held > t.Balance {
		t.Faults = append(t.Faults, "more is held than there is")
	}
}

// Deposit is money that the client adds.
func (t *Town) Deposit(amount money.Amount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Balance += amount
	t.note("%s adds %v", t.Client.Name, amount)
}

// Prove implements [ivr.Ledger].
func (p *Program) Prove(ctx context.Context, proofs []ivr.Proof) error {
	lost, err := p.suffer(ctx, "Prove")
	if err := firstOf(err, p.dead(), context.Cause(ctx)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, proof := range proofs {
		call := p.calls[proof.Call]
		if call == nil {
			continue
		}
		if len(call.segments) < proof.Segment {
			call.since = time.Now().Add(-proof.Talk)
			call.segments = append(call.segments, ivr.Segment{JoinedAt: call.since})
		}
		last := &call.segments[proof.Segment-1]
		last.Talk = max(last.Talk, proof.Talk)
	}
	return lost
}

// Close implements [ivr.Ledger].
func (p *Program) Close(ctx context.Context, cdr ivr.CDR) error {
	lost, err := p.suffer(ctx, "Close")
	if err := firstOf(err, p.sleep(ctx, ledgerLatency)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, earlier := range p.CDRs {
		if earlier.Call == cdr.Call {
			if earlier.Charge != cdr.Charge {
				return ivr.ErrConflict
			}
			return lost
		}
	}
	if p.CloseErrs > 0 {
		p.CloseErrs--
		return errors.New("connection refused")
	}
	var held money.Amount
	if call := p.calls[cdr.Call]; call != nil {
		held = call.held
	}
	if cdr.Charge > held || cdr.Shares.Advisor+cdr.Shares.Platform != cdr.Charge {
		p.Faults = append(p.Faults, "a charge exceeds its hold, or its shares do not add up")
	}
	p.held -= held
	p.Balance -= cdr.Charge
	delete(p.calls, cdr.Call)
	p.CDRs = append(p.CDRs, cdr)
	var talk time.Duration
	for _, segment := range cdr.Segments {
		talk += segment.Talk
	}
	p.note("CDR: %s by %s, cause %d, talk %v, charge %v, released %v, balance %v",
		cdr.Disposition, cdr.EndedBy, cdr.Cause, talk.Round(100*time.Millisecond), cdr.Charge, held-cdr.Charge, p.Balance)
	return lost
}

// OpenCalls implements [ivr.Ledger].
func (p *Program) OpenCalls(ctx context.Context) (open []ivr.OpenCall, err error) {
	_, err = p.suffer(ctx, "OpenCalls")
	if err := firstOf(err, p.dead(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range p.calls {
		open = append(open, ivr.OpenCall{
			Opening: call.Opening, ClientLine: p.Loan.ClientLine, Held: call.held, Holds: call.holds,
			Segments: append([]ivr.Segment(nil), call.segments...), Began: call.since,
		})
	}
	return open, nil
}

// LoanByANI implements [ivr.Directory].
func (p *Program) LoanByANI(ctx context.Context, _, ani string) (ivr.Loan, error) {
	_, err := p.suffer(ctx, "LoanByANI")
	if err := firstOf(err, p.dead(), context.Cause(ctx), p.LoanErr); err != nil {
		return ivr.Loan{}, err
	}
	if ani != p.ANI {
		return ivr.Loan{}, ivr.ErrNotIdentified
	}
	return p.Loan, nil
}

// LoanByPIN implements [ivr.Directory].
func (p *Program) LoanByPIN(ctx context.Context, _, pin string) (ivr.Loan, error) {
	_, err := p.suffer(ctx, "LoanByPIN")
	if err := firstOf(err, p.dead(), context.Cause(ctx), p.LoanErr); err != nil {
		return ivr.Loan{}, err
	}
	if pin != p.PIN {
		return ivr.Loan{}, ivr.ErrNotIdentified
	}
	return p.Loan, nil
}

// Check implements [ivr.Verifications].
func (p *Program) Check(ctx context.Context, _, digits string, _ ivr.CallID) error {
	if err := firstOf(p.dead(), context.Cause(ctx)); err != nil {
		return err
	}
	if p.CodeErr != nil {
		return p.CodeErr
	}
	if digits != p.Code {
		return ivr.ErrWrongCode
	}
	p.Note("the line is verified")
	return nil
}
