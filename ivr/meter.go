package ivr

import (
	"context"
	"errors"
	"time"
)

const (
	// Should the program be dead when a talk's time is over, the switch itself cuts
	// the client's leg this long after, and the advisor's next: the two never race,
	// and neither talks for a quarter of a second that is not paid.
	cutGrace        = 200 * time.Millisecond
	advisorCutGrace = 230 * time.Millisecond

	// A program that lives to see the end come this near gives itself more, so that
	// it is not cut short in its last words.
	lastStretch = time.Second
	livingGrace = 1500 * time.Millisecond

	// extendMost bounds the question for more money; it also takes no more than
	// half of the time that is left.
	extendMost = 2 * time.Second
)

// meter watches a talk until someone leaves or its time is over, warns the client
// on the way, and adds the talk to the call's segments. The hold is the meter: the time it
// buys is known before anyone speaks, so only a deadline has to be watched.
func (s *Service) meter(ctx context.Context, call *Call, t *talking) error {
	ctx, enough := whileUp(ctx, call.Client)
	call.ended, call.cutBySwitch = nil, false
	t.since = time.Now()
	call.setTalking(t)
	defer call.setTalking(nil)
	call.at(Talking)
	s.cutBothAfter(ctx, call, t) // an adopted talk's advisor, too, may still have the timer that they rang with
	return s.tally(enough, call, t, s.watch(ctx, call, t))
}

// tally adds a talk to the call's segments, and says what ended it. enough ends whatever is
// still asked of the client. It is apart from meter because what it works with would lie on
// the stack of every talk for as long as that goes on.
func (s *Service) tally(enough func(), call *Call, t *talking, err error) error {
	defer s.staged(call, Talked, t.since)
	until := t.SeenAt()
	enough()
	call.asking.Lock() // until the leg is ours alone again
	call.asking.Unlock()
	if errors.Is(err, ErrShutdown) {
		return ErrHandedOver
	}
	left, deadline, over := call.allowed(t)
	if err == nil || errors.Is(err, ErrHungUp) || errors.Is(err, ErrLost) {
		err = nil // who leaves after talking has had their talk
		if call.ended = firstToLeave(call.Client, call.Advisor); call.ended != nil && call.ended.At.Before(until) {
			until = call.ended.At
		}
		if call.ended != nil && call.ended.Cause == 0 && !until.Before(deadline) {
			call.ended, err = nil, over
			call.cutBySwitch = true // its own timer came first
			s.Log.Warn("the switch's own timer ended a talk", "call", call.ID)
		}
	}
	call.segments = append(call.segments, Segment{
		JoinedAt: t.began,
		Talk:     max(0, min(t.length(until), left)),
	})
	return err
}

// left is how long a segment of talk may be after those that are over, and what will have
// ended it.
func (c *Call) left() (left time.Duration, over error) {
	longest, byMoney := c.Terms.Talk(c.Held)
	if over = ErrTimeLimit; byMoney {
		over = ErrFundsSpent
	}
	return longest - talkTime(c.segments), over
}

// allowed is what is left for this segment, and when that is over.
func (c *Call) allowed(t *talking) (left time.Duration, deadline time.Time, over error) {
	left, over = c.left()
	return left, t.began.Add(left), over
}

// watch waits for the talk's end. At each of the plan's warnings, and once more just
// before the end, it looks for money that has come in and moves the end away; where
// there is none, it tells the client alone how much time is left. It returns nil when
// someone has left.
func (s *Service) watch(ctx context.Context, call *Call, t *talking) error {
	for {
		wait, before := call.nextWake(t)
		select {
		case <-t.Over():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-call.wake:
			s.revise(ctx, call, t)
			s.extend(ctx, call, t)
		case <-time.After(wait):
			if err := s.comesNearer(ctx, call, t, before); err != nil {
				return err
			}
		}
		call.at(Talking)
	}
}

// comesNearer does what is to be done so long before the end of a talk. At the end itself
// it returns why it is over.
func (s *Service) comesNearer(ctx context.Context, call *Call, t *talking, before time.Duration) error {
	_, deadline, over := call.allowed(t)
	switch {
	case before == 0:
		return over
	case s.extend(ctx, call, t):
	case before == lastStretch:
		s.cutClientAfter(ctx, call, deadline, livingGrace)
	default:
		s.warn(ctx, call, before)
	}
	return nil
}

// nextWake is how long the meter may wait until it has to do something next, and how long
// before the talk's end that is; 0 is the end itself.
func (c *Call) nextWake(t *talking) (wait, before time.Duration) {
	_, deadline, _ := c.allowed(t)
	left := time.Until(deadline)
	for _, before := range c.Terms.Warnings { // the longest first
		if left > before {
			return left - before, before
		}
	}
	if left > lastStretch {
		return left - lastStretch, lastStretch
	}
	return left, 0
}

// extend holds what money has come in since the talk began, and then moves the
// talk's end: money first, time second. It reports whether the end has moved.
func (s *Service) extend(ctx context.Context, call *Call, t *talking) bool {
	longest, byMoney := call.Terms.Talk(call.Held)
	if !byMoney {
		return false
	}
	_, deadline, _ := call.allowed(t)
	rate := call.Terms.Rate
	least := rate.Charge(longest+rate.Increment) - call.Held // what buys one increment more
	asking, cancel := context.WithTimeout(ctx, min(extendMost, time.Until(deadline)/2))
	defer cancel()
	more, err := s.Ledger.Extend(asking, call.ID, call.holds+1, least, call.Terms.Most()-call.Held)
	if errors.As(err, new(*NoFunds)) {
		return false
	}
	if err != nil {
		// Whether it was written nobody knows: the same is asked again at the next wake.
		// A revision in between makes it another, which the same number cannot be.
		if errors.Is(err, ErrConflict) {
			call.holds++
		}
		s.Log.Warn("could not ask for more money", "call", call.ID, "err", err)
		return false
	}
	call.holds++
	call.Held += more
	left := s.cutBothAfter(ctx, call, t)
	s.Log.Info("talk extended", "call", call.ID, "by", more, "left", left.Round(time.Second))
	return true
}

// cutBothAfter sets the switch's own timers: when the end of a talk is known, and when it has
// moved.
func (s *Service) cutBothAfter(ctx context.Context, call *Call, t *talking) (left time.Duration) {
	_, deadline, _ := call.allowed(t)
	s.cutAdvisorAfter(ctx, call, deadline)
	s.cutClientAfter(ctx, call, deadline, cutGrace)
	return time.Until(deadline)
}

func (s *Service) cutAdvisorAfter(ctx context.Context, call *Call, deadline time.Time) {
	if err := call.cutAdvisor(ctx, max(0, time.Until(deadline))+advisorCutGrace); err != nil && ctx.Err() == nil {
		s.Log.Warn("the switch keeps the advisor's earlier timer", "call", call.ID, "err", err)
	}
}

// cutAdvisor has the switch end the advisor's leg after d, from now on.
func (c *Call) cutAdvisor(ctx context.Context, d time.Duration) error {
	err := c.Advisor.CutAfter(ctx, d)
	if err == nil {
		c.advisorCut = d
	}
	return err
}

// cutClientAfter sets the switch's own timer on the client's leg, for the end of a
// talk and some grace.
func (s *Service) cutClientAfter(ctx context.Context, call *Call, deadline time.Time, grace time.Duration) {
	if err := call.Client.CutAfter(ctx, max(0, time.Until(deadline))+grace); err != nil && ctx.Err() == nil {
		s.Log.Warn("only the advisor's leg will be cut if this program dies", "call", call.ID, "err", err)
	}
}

// leavingTakes is how long after the end of a talk the news may come of whose leg
// ended, and why.
const leavingTakes = time.Second

// firstToLeave is the departure that ended a talk, or nil where none is known.
func firstToLeave(a, b Leg) *Departure {
	select {
	case <-a.Context().Done():
	case <-b.Context().Done():
	case <-time.After(leavingTakes):
	}
	var first *Departure
	for _, leg := range []Leg{a, b} {
		if d := departureOf(leg); d != nil && (first == nil || d.At.Before(first.At)) {
			first = d
		}
	}
	return first
}

// departureOf is why a leg has left, or nil while it has not.
func departureOf(leg Leg) (d *Departure) {
	errors.As(context.Cause(leg.Context()), &d)
	return d
}
