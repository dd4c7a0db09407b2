// Package ivr is what happens on a call. Start at [Service.Serve]; each kind of
// call is one function that reads top to bottom: [Service.clientCall] and
// [Service.verificationCall]. The package knows the outside only by the small
// interfaces in ports.go.
package ivr

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"parley/dialplan"
	"parley/ivr/money"
)

// Service runs calls.
type Service struct {
	Switch        Switch
	Ledger        Ledger
	Directory     Directory
	Verifications Verifications
	Desk          Desk
	Payments      Payments

	// Plan is the plan in force, which nobody changes, or why there is none. A call asks once.
	Plan func() (*dialplan.Plan, error)

	// Unspoken says nothing, and takes an advisor's answer for consent: to measure what a
	// call costs without its prompts.
	Unspoken bool

	// Stopping ends when the program is asked to stop. Calls that do not talk yet
	// are ended then; talks are left to the next process.
	Stopping context.Context

	Observer Observer // may be nil

	Log *slog.Logger

	stopping sync.Once // Stopping is listened to

	mu   sync.Mutex
	live map[CallID]*Call

	unsettled atomic.Int64
}

// Call is one call and what has happened on it so far. One goroutine owns it,
// from the first event to the CDR.
type Call struct {
	ID        CallID
	Kind      Kind
	DID, ANI  string         // ANI in full: for comparing only, never written anywhere
	Client    Leg            // nil in a verification call
	Advisor   Leg            // nil until they have answered
	Plan      *dialplan.Plan // many calls', so it is never changed; empty until it is asked for
	StartedAt time.Time

	Loan  Loan // zero until identified
	Line  LineID
	Terms dialplan.Terms
	Held  money.Amount // by all of the call's holds
	Ring  time.Duration

	advisorCut time.Duration // what the switch was last given for the advisor's leg; 0: that is not known

	holds int // how many there are

	segments    []Segment // that are over
	ended       *Departure
	cutBySwitch bool  // the last of them, by the switch's own timer
	lost        []Leg // the client's, before they were called again

	cancel context.CancelCauseFunc // ends the script
	wake   chan struct{}           // holds one: the meter is to look for money and for a plan

	mu       sync.Mutex     // guards what others than the call's goroutine read or write
	talking  *talking       // read by the prover
	live     LiveCall       // read by whoever watches
	newPlan  *dialplan.Plan // to be followed from now on
	declined int            // purchases in this call
	stages   []Stage        // that are over

	asking sync.Mutex // held while the client is spoken to in the talk
}

// talking is the segment of talk that goes on now.
type talking struct {
	Talk
	number int       // of the segment, from 1
	began  time.Time // before talk.JoinedAt where the talk was adopted
	since  time.Time // this process meters it
	proved time.Time // for the last time; the prover's alone
}

// Bounds on what waits for others after a call is over.
const (
	lastWordsTimeout = 30 * time.Second
	closeTimeout     = 10 * time.Second // one try to settle
	closeRetryMost   = 30 * time.Second // between tries; there is no last try
)

// Serve runs one inbound call to its end and returns when it is hung up and
// settled. The switch starts one goroutine a call, as net/http does a request.
func (s *Service) Serve(client Leg, did, ani string) {
	call := s.begin(ClientCall, did, ani)
	call.Client = client
	client.Of(call.ID)
	s.frame(call, s.clientCall)
}

// frame is around every script: it runs it, and does all of the ending. It
// returns the script's error after the call is settled. The script's context ends
// when the program is asked to stop.
func (s *Service) frame(call *Call, script func(context.Context, *Call) error) error {
	ctx := s.register(call)
	why := s.run(ctx, call, script)
	s.conclude(ctx, call, why)
	s.forget(call)
	return why
}

// conclude is what comes after the script. It is apart from frame because what it works
// with would lie on the stack of every call for as long as that goes on.
func (s *Service) conclude(ctx context.Context, call *Call, why error) {
	end := outcomeOf(why)
	if errors.Is(why, ErrHandedOver) {
		s.Log.Info("talk left to the next process", "call", call.ID)
		s.report(call, call.cdr(end), nil, true)
		return
	}
	call.at(Ending)
	if call.Client != nil && call.Advisor != nil {
		call.Advisor.Hangup(NormalClearing) // first of all: it ends the talk
	}
	level := slog.LevelInfo
	if end.Disposition == Failed {
		level = slog.LevelError
	}
	s.Log.Log(ctx, level, "call ended", "call", call.ID, "kind", call.Kind, "disposition", end.Disposition, "why", why)

	// The settling does not wait for the last words, nor they for it.
	cdr, settled := call.cdr(end), make(chan struct{})
	go func() {
		defer close(settled)
		s.settle(call, cdr)
	}()
	s.sayLastWords(call, end)
	<-settled
	s.report(call, cdr, s.keepQuality(call), false)
}

// run runs a script. A panic ends its own call only.
func (s *Service) run(ctx context.Context, call *Call, script func(context.Context, *Call) error) (why error) {
	defer func() {
		if p := recover(); p != nil {
			why = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return script(ctx, call)
}

// sayLastWords tells who is left on the call why it ends, and hangs up.
func (s *Service) sayLastWords(call *Call, end Outcome) {
	leg := call.Client
	if leg == nil {
		leg = call.Advisor
	}
	if leg == nil {
		return
	}
	defer s.stage(call, LastWords)()
	// The leg's own context, not the script's: that one may have ended the talk.
	ctx, cancel := context.WithTimeout(leg.Context(), lastWordsTimeout)
	defer cancel()
	if end.LastWords != "" && !s.Unspoken && ctx.Err() == nil {
		// What cut the talk must not cut the words.
		err := errors.Join(leg.CutAfter(ctx, lastWordsTimeout), leg.Play(ctx, call.language(), end.LastWords))
		if err != nil && !errors.Is(err, ErrHungUp) {
			s.Log.Warn("last words not heard", "call", call.ID, "words", end.LastWords, "err", err)
		}
	}
	s.askRating(ctx, call)
	leg.Hangup(end.Cause)
}

// settle closes a call, and tries again for as long as the program lives. If it
// dies first, the call is still open in the ledger and the next start closes it.
func (s *Service) settle(call *Call, cdr CDR) {
	defer s.stage(call, Settling)()
	again := false
	defer func() {
		if again {
			s.unsettled.Add(-1)
		}
	}()
	for wait := time.Second; ; wait = min(2*wait, closeRetryMost) {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		err := s.Ledger.Close(ctx, cdr)
		cancel()
		if err == nil {
			return
		}
		if errors.Is(err, ErrConflict) {
			s.Log.Error("call was settled before, otherwise; see `parley ledger audit`", "call", cdr.Call, "err", err)
			return
		}
		if !again {
			again = true
			s.unsettled.Add(1)
		}
		s.Log.Error("call not settled; will try again", "call", cdr.Call, "in", wait, "err", err)
		select {
		case <-time.After(wait):
		case <-s.Stopping.Done():
			s.Log.Warn("call left for the next process to settle", "call", cdr.Call)
			return
		}
	}
}

// notAsked is the plan of a call that has not asked for one.
var notAsked dialplan.Plan

// ask asks for the plan in force.
func (s *Service) ask(call *Call) error {
	plan, err := s.Plan()
	if err == nil {
		call.Plan = plan
	}
	return err
}

// begin makes a call that has not asked for a plan.
func (s *Service) begin(kind Kind, did, ani string) *Call {
	call := &Call{ID: CallID(NewID("call")), Kind: kind, DID: did, ANI: ani, Plan: &notAsked, StartedAt: time.Now()}
	call.at(Beginning)
	return call
}

// register lists a call among those that are up, and returns its script's context.
func (s *Service) register(call *Call) (ctx context.Context) {
	s.stopping.Do(func() { context.AfterFunc(s.Stopping, s.stop) })
	ctx, call.cancel = context.WithCancelCause(context.Background())
	call.wake = make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == nil {
		s.live = map[CallID]*Call{}
	}
	s.live[call.ID] = call
	if s.Stopping.Err() != nil {
		call.cancel(ErrShutdown)
	}
	return ctx
}

func (s *Service) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.live {
		call.cancel(ErrShutdown)
	}
}

func (s *Service) forget(call *Call) {
	call.cancel(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, call.ID)
}

// Live is the number of calls that are up.
func (s *Service) Live() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live)
}

// Drain waits until no call is left to end, or for limit. Talks are not waited
// for: they were left to the next process when Stopping ended.
func (s *Service) Drain(limit time.Duration) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); s.Live() > 0 && time.Now().Before(end); {
		<-tick.C
	}
}

// whileUp is a context that ends with ctx, or with the cause of a leg's departure.
func whileUp(ctx context.Context, leg Leg) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(leg.Context(), func() { cancel(context.Cause(leg.Context())) })
	return ctx, func() { stop(); cancel(nil) }
}

// language is what the call's prompts are spoken in, also before a plan is known.
func (c *Call) language() string {
	if c.Plan.Language == "" {
		return "en"
	}
	return c.Plan.Language
}

// waiting is what a party hears who waits for the other.
func (c *Call) waiting() dialplan.Waiting {
	if c.Plan.Waiting == "" {
		return dialplan.Music
	}
	return c.Plan.Waiting
}

// talkTime is all of the call's talk that is over.
func talkTime(segments []Segment) (sum time.Duration) {
	for _, segment := range segments {
		sum += segment.Talk
	}
	return sum
}

// cdr is the record of the call, now that it is over.
func (c *Call) cdr(end Outcome) CDR {
	charge := min(c.Terms.Rate.Charge(talkTime(c.segments)), c.Held)
	cdr := CDR{
		Call: c.ID, Kind: c.Kind, DID: c.DID, ANI: Mask(c.ANI), Loan: c.Loan.ID,
		Client: c.Loan.Client, Advisor: c.Loan.Advisor, Line: c.Line,
		Plan: c.Plan.Version, StartedAt: c.StartedAt, Ring: c.Ring, Segments: c.segments,
		Charge: charge, Shares: money.Split(charge, c.Terms.AdvisorPercent),
		Disposition: end.Disposition, Cause: end.Cause, EndedBy: "parley",
	}
	if c.ended != nil {
		cdr.Cause, cdr.EndedBy = c.ended.Cause, c.endedBy()
	}
	return cdr
}

func (c *Call) endedBy() string {
	if c.Client != nil && c.ended.Leg == c.Client.ID() {
		return "client"
	}
	return "advisor"
}
