package ivr

import (
	"context"
	"errors"
)

const codeDigits = 6

// Verify rings a line and asks for the code that its advisor's app shows. The
// line is verified when the call is [Completed].
func (s *Service) Verify(challenge Challenge) Disposition {
	call := s.begin(VerificationCall, "", "")
	call.Loan.Advisor, call.Line = challenge.Line.Advisor, challenge.Line.ID
	why := s.frame(call, func(ctx context.Context, call *Call) error {
		return s.verificationCall(ctx, call, challenge)
	})
	return outcomeOf(why).Disposition
}

// verificationCall proves that a line is the advisor's: whoever answers keys the
// code that only the advisor sees. A voicemail keys nothing.
func (s *Service) verificationCall(ctx context.Context, call *Call, challenge Challenge) error {
	if err := s.ask(call); err != nil {
		return err
	}
	call.DID = call.Plan.CallerID
	if err := s.dialAdvisor(ctx, call, challenge.Line, setUpMost); err != nil {
		return err
	}
	if err := s.askForCode(ctx, call, challenge); err != nil {
		return err
	}
	_ = call.Advisor.Play(ctx, call.language(), "verified") // they may hang up on it
	return nil
}

// askForCode lets the advisor try to key the code, as often as the plan allows in
// one call; the store bounds the tries of all calls together.
func (s *Service) askForCode(ctx context.Context, call *Call, challenge Challenge) error {
	defer s.stage(call, CodeAsked)()
	ask, why := []Prompt{"pause", "verification-intro", "enter-code"}, ErrNothingKeyed
	for range call.Plan.Limits.EntryTries {
		digits, err := call.Advisor.Gather(ctx, call.language(),
			Entry{Prompts: ask, Most: codeDigits + 1, First: firstKey, Between: betweenKey})
		if err != nil {
			return err
		}
		if ask = []Prompt{"nothing-keyed", "enter-code"}; digits == "" {
			continue
		}
		why = s.Verifications.Check(ctx, challenge.ID, digits, call.ID)
		if !errors.Is(why, ErrWrongCode) {
			return why
		}
		ask = []Prompt{"wrong-code", "enter-code"}
	}
	return why
}
