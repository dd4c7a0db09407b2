package ivr

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Timings of the client's call that no plan needs to change.
const (
	pinDigits  = 6
	firstKey   = 6 * time.Second // silence after a question
	betweenKey = 4 * time.Second

	// A leg that this program no longer watches is cut by the switch itself. Until
	// the two are joined, no step takes longer than this; ringing and accepting no longer
	// than the plan lets them, and this for joining.
	setUpMost   = 5 * time.Minute
	joiningMost = 20 * time.Second
)

// clientCall connects a client to the advisor for whom they were lent the number,
// and lets the two talk for as long as money and limits allow. Whatever it returns,
// the frame says the last words, hangs up and settles.
func (s *Service) clientCall(ctx context.Context, call *Call) error {
	return s.talks(ctx, call, s.welcome)
}

// welcome takes a client from the answer to the talk. A client who hangs up ends ctx, so
// whichever step is waiting returns and the call unwinds from there.
func (s *Service) welcome(ctx context.Context, call *Call) (*talking, error) {
	if err := s.answer(ctx, call); err != nil {
		return nil, err
	}
	if err := s.identify(ctx, call); err != nil {
		return nil, err
	}
	if err := s.beOnTime(ctx, call); err != nil {
		return nil, err
	}
	if err := s.hold(ctx, call); err != nil {
		return nil, err
	}
	return s.putThrough(ctx, call)
}

func (s *Service) answer(ctx context.Context, call *Call) error {
	defer s.stage(call, Answered)()
	return call.Client.Answer(ctx)
}

// putThrough rings the advisor for a client whose money is held, and joins the two.
func (s *Service) putThrough(ctx context.Context, call *Call) (*talking, error) {
	if err := s.tellPrice(ctx, call); err != nil {
		return nil, err
	}
	if err := s.ring(ctx, call); err != nil {
		return nil, err
	}
	return s.join(ctx, call)
}

// identify finds whom the number is lent to and for which advisor, by the number
// that calls, or by the loan's PIN.
func (s *Service) identify(ctx context.Context, call *Call) (err error) {
	call.at(Identifying)
	defer s.stage(call, Identified)()
	if err := s.ask(call); err != nil {
		return err
	}
	if _, listed := call.Plan.Number(call.DID); !listed {
		return ErrNoLoan
	}
	call.Loan, err = s.Directory.LoanByANI(ctx, call.DID, call.ANI)
	ask := []Prompt{"pause", "enter-pin"}
	for try := 0; errors.Is(err, ErrNotIdentified) && try < call.Plan.Limits.EntryTries; try++ {
		pin, gatherErr := call.Client.Gather(ctx, call.language(),
			Entry{Prompts: ask, Most: pinDigits, First: firstKey, Between: betweenKey})
		if gatherErr != nil {
			return gatherErr
		}
		if ask = []Prompt{"nothing-keyed", "enter-pin"}; pin == "" {
			continue
		}
		call.Loan, err = s.Directory.LoanByPIN(ctx, call.DID, pin)
		ask = []Prompt{"wrong-pin", "enter-pin"}
	}
	return err
}

// hold sets the price of the longest talk aside, or all the client has where that
// is less but covers the predetermined length.
func (s *Service) hold(ctx context.Context, call *Call) error {
	opening, err := admit(call)
	if err != nil {
		return err
	}
	call.Terms, call.Line = opening.Terms, opening.Line
	over := s.stage(call, Held)
	call.Held, err = s.Ledger.Hold(ctx, opening)
	over()
	call.holds = 1
	var poor *NoFunds
	if errors.As(err, &poor) && !poor.ByCap && call.Client != nil {
		if playErr := call.Client.Play(ctx, call.language(), sayMissing(call.Terms, poor)...); playErr != nil {
			return playErr
		}
	}
	return err
}

// admit decides, without touching anything, whether the call may go on, and what
// to hold for it. [Service.Explain] asks the same.
func admit(call *Call) (Opening, error) {
	terms := call.Plan.Terms(string(call.Loan.Advisor), call.Loan.Wish)
	if !call.Loan.Line.Verified {
		return Opening{}, ErrNotVerified
	}
	if err := call.mayRing(call.Loan.Line); err != nil {
		return Opening{}, err
	}
	switch {
	case call.Loan.Appointment != nil:
		terms = call.Loan.Appointment.Terms
	case !call.Loan.FreeUntil.IsZero():
		free := time.Until(call.Loan.FreeUntil) - call.Plan.Limits.Ring - call.Plan.Limits.Accept
		if free = free.Truncate(time.Second); free < terms.Predetermined {
			return Opening{}, ErrAdvisorBusy
		}
		terms.LongestTalk = min(terms.LongestTalk, free)
	}
	if terms.Least() <= 0 || terms.Most() < terms.Least() {
		return Opening{}, fmt.Errorf("%w: rate %q of plan %d asks no money for %v of talk",
			ErrNotInPlan, terms.RateName, call.Plan.Version, terms.Predetermined)
	}
	return Opening{
		Call: call.ID, Kind: call.Kind, Loan: call.Loan.ID, DID: call.DID, ANI: Mask(call.ANI),
		Client: call.Loan.Client, Advisor: call.Loan.Advisor, Line: call.Loan.Line.ID,
		Plan: call.Plan.Version, Terms: terms, StartedAt: call.StartedAt,
		Least: terms.Least(), Most: terms.Most(), Concurrent: call.Plan.Limits.Concurrent,
	}, nil
}

// tellPrice says what a minute costs and what the client's money buys, before
// anyone is rung. A key cuts it short.
func (s *Service) tellPrice(ctx context.Context, call *Call) error {
	call.at(TellingPrice)
	if s.Unspoken {
		return nil
	}
	defer s.stage(call, PriceTold)()
	longest, _ := call.Terms.Talk(call.Held)
	_, err := call.Client.Gather(ctx, call.language(),
		Entry{Prompts: sayPrice(call.Terms, call.Loan.AdvisorName, longest), Most: 1})
	return err
}

// ring rings the advisor's line while the client hears music or a ringing tone,
// until the advisor has accepted.
func (s *Service) ring(ctx context.Context, call *Call) error {
	call.at(Ringing)
	// A call nobody is left to watch must not ring on; the talk sets it anew.
	longest := call.Plan.Limits.Ring + call.Plan.Limits.Accept + joiningMost
	if err := call.Client.CutAfter(ctx, longest); err != nil {
		return err
	}
	defer s.entertain(ctx, call, call.Client, call.Loan.Greeting)()
	if err := s.dialAdvisor(ctx, call, call.Loan.Line, longest); err != nil {
		return err
	}
	return s.accept(ctx, call)
}

// dialAdvisor rings an advisor's line until it answers; the switch ends the leg after
// cutAfter.
func (s *Service) dialAdvisor(ctx context.Context, call *Call, line Line, cutAfter time.Duration) (err error) {
	defer s.stage(call, Dialled)()
	rung := time.Now()
	longest, _ := call.Terms.Talk(call.Held)
	call.Advisor, err = s.dial(ctx, call, DialRequest{
		LegID: string(call.ID) + ".advisor-1", To: line,
		CallerID: call.Plan.CallerID, Ring: call.Plan.Limits.Ring, CutAfter: cutAfter,
		About: About{Kind: call.Kind, Alias: call.Loan.ClientAlias, Topic: call.Loan.Topic, Talk: longest},
	})
	call.Ring, call.advisorCut = time.Since(rung), cutAfter
	return err
}

// dial rings a line, if the plan allows it.
func (s *Service) dial(ctx context.Context, call *Call, r DialRequest) (Leg, error) {
	if err := call.mayRing(r.To); err != nil {
		return nil, err
	}
	return s.Switch.Dial(ctx, r)
}

// mayRing asks the plan about a telephone number: whoever gave it to us, nobody can have
// us ring a toll trap.
func (c *Call) mayRing(line Line) error {
	if line.Kind != Phone {
		return nil
	}
	if err := c.Plan.MayCall(line.Address); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// entertain lets a party hear something while they wait, until stop returns.
func (s *Service) entertain(ctx context.Context, call *Call, leg Leg, first Prompt) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if first != "" && leg.Play(ctx, call.language(), first) != nil {
			return // they, or the waiting, are over
		}
		if err := leg.Entertain(ctx, call.waiting()); err != nil && ctx.Err() == nil && leg.Context().Err() == nil {
			s.Log.Warn("a party waits in silence", "call", call.ID, "leg", leg.ID(), "err", err)
		}
	}()
	return func() { cancel(); <-done }
}

// accept tells the advisor who wants what and waits for a key: a voicemail
// presses none. The client's leg ends ctx, the advisor's ends Gather.
func (s *Service) accept(ctx context.Context, call *Call) error {
	if s.Unspoken {
		return nil
	}
	defer s.stage(call, Accepted)()
	ctx, cancel := context.WithTimeoutCause(ctx, call.Plan.Limits.Accept, ErrNotAccepted)
	defer cancel()
	ask := []Prompt{"pause", "advisor-call-from", Text(call.Loan.ClientAlias)}
	if call.Loan.Topic != "" {
		ask = append(ask, "advisor-call-about", Text(call.Loan.Topic))
	}
	ask = append(ask, "advisor-press-1-or-2")
	for {
		key, err := call.Advisor.Gather(ctx, call.language(), Entry{Prompts: ask, Most: 1, First: call.Plan.Limits.Accept})
		switch {
		case err != nil && ctx.Err() == nil: // the advisor hung up instead
			return ErrDeclined
		case err != nil:
			return err
		case key == "1":
			return nil
		case key == "2":
			return ErrDeclined
		}
	}
}

// join begins a segment of talk. At no instant may it be without an end of the switch's
// own: what the advisor's leg was given to ring is one, unless the talk must end before. The
// meter gives both legs their own, now that the talk's beginning is known.
func (s *Service) join(ctx context.Context, call *Call) (*talking, error) {
	defer s.stage(call, Joined)()
	left, _ := call.left()
	if call.advisorCut == 0 || call.advisorCut > left {
		if err := call.cutAdvisor(ctx, left+advisorCutGrace); err != nil {
			return nil, call.notJoined(ctx, err)
		}
	}
	talk, err := s.Switch.Bridge(ctx, call.ID, call.Client, call.Advisor)
	if err != nil {
		return nil, call.notJoined(ctx, err)
	}
	return &talking{Talk: talk, number: len(call.segments) + 1, began: talk.JoinedAt()}, nil
}

// notJoined is why: an advisor who accepted, and hung up all the same, has declined.
func (c *Call) notJoined(ctx context.Context, err error) error {
	if ctx.Err() == nil && c.Advisor.Context().Err() != nil {
		return ErrDeclined
	}
	return err
}
