package ivr

import (
	"context"
	"time"
)

// beOnTime lets through a client who dials in at the time of their appointment, or who
// has none. Who is too early or too late chooses by key what is to be done.
func (s *Service) beOnTime(ctx context.Context, call *Call) error {
	a := call.Loan.Appointment
	if a == nil {
		return nil
	}
	if early := time.Until(a.At); early > 0 {
		return s.tooEarly(ctx, call, early)
	}
	if time.Now().After(a.Until) {
		return s.tooLate(ctx, call)
	}
	return nil
}

// tooEarly lets the client wait on the line, or be called at the time.
func (s *Service) tooEarly(ctx context.Context, call *Call, early time.Duration) error {
	question := append([]Prompt{"pause", "appointment-begins-in"}, sayDuration(max(early, time.Second))...)
	switch key, err := s.choice(ctx, call, append(question, "press-1-to-wait", "press-2-to-be-called-then")); {
	case err != nil:
		return err
	case key == "1":
		return s.waitUntil(ctx, call, call.Loan.Appointment.At)
	case key == "2":
		return s.toBeCalled(s.Desk.CallAtTime(ctx, call.Loan.ID))
	}
	return ErrTooEarly
}

// tooLate lets the client talk all the same, if the advisor is free, or be called when
// they are: on the terms of any other talk.
func (s *Service) tooLate(ctx context.Context, call *Call) error {
	switch key, err := s.choice(ctx, call, []Prompt{"pause", "appointment-is-over", "press-1-to-talk-now", "press-2-to-be-called-back"}); {
	case err != nil:
		return err
	case key == "1":
		call.Loan.Appointment = nil
		return nil
	case key == "2":
		return s.toBeCalled(s.Desk.CallBack(ctx, call.Loan.ID))
	}
	return ErrTooLate
}

// choice asks the client to press a key, until they have or the tries are over.
func (s *Service) choice(ctx context.Context, call *Call, question []Prompt) (key string, err error) {
	for try := 0; key == "" && try < call.Plan.Limits.EntryTries; try++ {
		key, err = call.Client.Gather(ctx, call.language(), Entry{Prompts: question, Most: 1, First: firstKey})
		if err != nil {
			return "", err
		}
	}
	return key, nil
}

func (s *Service) toBeCalled(err error) error {
	if err != nil {
		return err
	}
	return ErrToBeCalled
}

// waitUntil lets the client wait on the line.
func (s *Service) waitUntil(ctx context.Context, call *Call, at time.Time) error {
	call.at(AwaitingTime)
	if err := call.Client.CutAfter(ctx, time.Until(at)+setUpMost); err != nil {
		return err
	}
	defer s.entertain(ctx, call, call.Client, "")()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(at)):
		return nil
	}
}
