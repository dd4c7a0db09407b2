package ivr

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"parley/dialplan"
)

// Recover takes over what an earlier process left behind: talks go on and are
// metered again, all else ends, and calls that are gone are settled with the talk
// that was proved. It is the only way to start, after a crash or not. Where it
// could not ask, it concludes nothing and returns an error: try again.
//
// New calls are served only after it; adopted talks run on after it returns.
func (s *Service) Recover(ctx context.Context) error {
	open, err := s.Ledger.OpenCalls(ctx)
	if err != nil {
		return fmt.Errorf("list open calls: %w", err)
	}
	survivors, err := s.Switch.Survivors(ctx)
	if err != nil {
		return fmt.Errorf("list what is up: %w", err)
	}
	up := map[CallID]Survivor{}
	for _, left := range survivors {
		if left.Talk == nil {
			left.hangUp() // only a talk goes on without its program
			s.recovered(HungUpOn)
			continue
		}
		up[left.Call] = left
	}
	for _, o := range open {
		left, talks := up[o.Call]
		delete(up, o.Call)
		if talks {
			call := o.call()
			call.Client, call.Advisor = left.Client, left.Advisor
			s.recovered(Adopted)
			go s.frame(call, func(ctx context.Context, call *Call) error {
				return s.talks(ctx, call, func(context.Context, *Call) (*talking, error) { return s.adopt(call, o, left), nil })
			})
			continue
		}
		s.recovered(Closed)
		go s.closeOrphan(o)
	}
	for _, left := range up { // talks of which the ledger knows nothing
		left.hangUp()
		s.recovered(HungUpOn)
	}
	s.Log.Info("recovered", "open", len(open), "up", len(survivors))
	return nil
}

// adopt is the segment of talk that outlived its program.
func (s *Service) adopt(call *Call, o OpenCall, left Survivor) *talking {
	t := &talking{Talk: left.Talk, number: segmentOf(left.Client.ID()), began: o.Began}
	// The switch knows since when they talk. Where it has that from a clock that can be
	// set, the ledger's word goes before, since the two may disagree; but it may lack the
	// segment, whose program died before it was written, and was written as late as a
	// proof may take.
	joined := left.Talk.JoinedAt()
	if late := t.began.Sub(joined); left.Exact || t.number > len(o.Segments) || 0 < late && late <= proofTimeout {
		t.began = joined
	}
	call.segments = o.Segments[:min(t.number-1, len(o.Segments))]
	if plan, err := s.Plan(); err == nil { // what the record does not hold: whom we may call, what a key adds
		now := *plan
		now.Version, now.Language = call.Plan.Version, call.Plan.Language
		call.Plan = &now
	}
	_, deadline, _ := call.allowed(t)
	s.Log.Info("talk adopted", "call", call.ID, "left", time.Until(deadline).Round(time.Second))
	return t
}

// closeOrphan settles a call whose program died and of which nothing talks any
// more: what was proved is charged, what nobody can prove is not.
func (s *Service) closeOrphan(o OpenCall) {
	call := o.call()
	call.segments = o.Segments
	end := outcomeOf(ErrOrphaned)
	if talkTime(call.segments) > 0 {
		end.Disposition = Completed
	}
	s.Log.Info("call closed for a dead process", "call", call.ID, "talk", talkTime(call.segments))
	cdr := call.cdr(end)
	s.settle(call, cdr)
	s.report(call, cdr, nil, false)
}

// CloseOrphans settles the calls of a ledger that nobody can ask about any more: their switch
// is another node's, which nobody serves. What is found to be up there later, of a call that
// is closed, is hung up.
func (s *Service) CloseOrphans(ctx context.Context) error {
	open, err := s.Ledger.OpenCalls(ctx)
	if err != nil {
		return fmt.Errorf("list open calls: %w", err)
	}
	var all sync.WaitGroup
	for _, o := range open {
		all.Go(func() { s.closeOrphan(o) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// call is the call as its dead program knew it.
func (o OpenCall) call() *Call {
	c := &Call{
		ID: o.Call, Kind: o.Kind, DID: o.DID, ANI: o.ANI, StartedAt: o.StartedAt,
		Line: o.Line, Terms: o.Terms, Held: o.Held, holds: o.Holds,
		Plan: &dialplan.Plan{Version: o.Plan, Language: o.Terms.Language},
	}
	c.Loan.ID, c.Loan.Client, c.Loan.Advisor, c.Loan.ClientLine = o.Loan, o.Client, o.Advisor, o.ClientLine
	return c
}

// hangUp ends all legs of a call that cannot go on.
func (left Survivor) hangUp() {
	for _, leg := range append([]Leg{left.Client, left.Advisor}, left.Others...) {
		if leg != nil {
			leg.TurnAway()
		}
	}
}

// RecoverUntilDone tries until it has recovered, or ctx ends.
func (s *Service) RecoverUntilDone(ctx context.Context) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := s.Recover(ctx)
		if err == nil {
			return nil
		}
		s.Log.Warn("not recovered; will try again", "in", wait, "err", err)
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}
