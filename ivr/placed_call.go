package ivr

import (
	"context"
	"fmt"
)

// Place runs a call that we place and returns how it ended, when it is hung up and
// settled.
func (s *Service) Place(p Placed) Disposition {
	call := s.begin(p.Kind, p.Loan.DID, "")
	call.ID, call.Loan = p.Call, p.Loan
	return outcomeOf(s.frame(call, s.placedCall)).Disposition
}

// placedCall calls the client, then the advisor, and lets them talk as in a call that
// the client makes. The money is held before a phone rings.
func (s *Service) placedCall(ctx context.Context, call *Call) error {
	if err := s.ask(call); err != nil {
		return err
	}
	if call.DID == "" { // it lends no number
		call.DID = call.Plan.CallerID
	}
	if err := s.hold(ctx, call); err != nil {
		return err
	}
	if err := s.reachClient(ctx, call); err != nil {
		return err
	}
	return s.talks(ctx, call, s.putThrough)
}

// reachClient rings the client's phone until they press 1: a voicemail presses none,
// so it is never put through.
func (s *Service) reachClient(ctx context.Context, call *Call) error {
	call.at(CallingClient)
	defer s.stage(call, ClientRung)()
	client, err := s.dial(ctx, call, DialRequest{
		LegID: clientLegID(call.ID, 1), To: call.Loan.ClientLine,
		CallerID: call.Plan.CallerID, Ring: call.Plan.Limits.Ring, CutAfter: setUpMost,
	})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("%w: %w", ErrNotReached, err)
	}
	key, err := client.Gather(ctx, call.language(), Entry{
		Prompts: []Prompt{"pause", "placed-call-to", Text(call.Loan.AdvisorName), "placed-press-1"},
		Most:    1, First: call.Plan.Limits.Accept,
	})
	if err == nil && key == "1" {
		call.Client = client
		return nil
	}
	client.Hangup(NormalClearing)
	if ctx.Err() != nil {
		return err
	}
	return ErrNotConsented
}
