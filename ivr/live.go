package ivr

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/ivr/money"
)

// Step is how far a call has come.
type Step string

const (
	Beginning     Step = "beginning"
	Identifying   Step = "identifying"    // whom the number is lent to
	AwaitingTime  Step = "awaiting time"  // of the appointment
	CallingClient Step = "calling client" // of a call that we place
	TellingPrice  Step = "telling price"
	Ringing       Step = "ringing" // the advisor's line, until they accept
	Talking       Step = "talking"
	Reconnecting  Step = "reconnecting"
	Ending        Step = "ending" // last words, the settlement
)

// Steps are all of them.
var Steps = []Step{Beginning, Identifying, AwaitingTime, CallingClient, TellingPrice, Ringing, Talking, Reconnecting, Ending}

// LiveCall is a call that is up, as the program that runs it knows it.
type LiveCall struct {
	ID                  CallID
	Kind                Kind
	StartedAt           time.Time
	Client              ClientID // "" until identified
	Advisor             AdvisorID
	Plan                int64
	Step                Step
	ClientUp, AdvisorUp bool
	Held                money.Amount
	Talked              time.Duration // in segments that are over
	TalkingSince        time.Time     // the one that goes on; zero: none
	Deadline            time.Time     // of the talk; zero while there is none

	client Leg // nil until there is one
}

// at notes how far the call has come. Its own goroutine says so.
func (c *Call) at(step Step) {
	live := LiveCall{
		ID: c.ID, Kind: c.Kind, StartedAt: c.StartedAt, Client: c.Loan.Client, Advisor: c.Loan.Advisor,
		Plan: c.Plan.Version, Step: step, ClientUp: isUp(c.Client), AdvisorUp: isUp(c.Advisor),
		Held: c.Held, Talked: talkTime(c.segments), client: c.Client,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.talking != nil {
		live.TalkingSince = c.talking.began
		_, live.Deadline, _ = c.allowed(c.talking)
	}
	c.live = live
}

func isUp(leg Leg) bool { return leg != nil && leg.Context().Err() == nil }

// Calls lists the calls that this program runs, the oldest first.
func (s *Service) Calls() []LiveCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := make([]LiveCall, 0, len(s.live))
	for _, c := range s.live {
		c.mu.Lock()
		calls = append(calls, c.live)
		c.mu.Unlock()
	}
	slices.SortFunc(calls, func(a, b LiveCall) int { return a.StartedAt.Compare(b.StartedAt) })
	return calls
}

// End ends a call as the host wants it. It reports whether this program runs the call.
func (s *Service) End(id CallID, why string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	call, ours := s.live[id]
	if ours {
		call.cancel(fmt.Errorf("%w: %s", ErrEndedByHost, why))
	}
	return ours
}

// HangUp hangs up the client's telephone for them: the call ends as if they had done it.
// It reports whether this program runs the call, and their telephone is in it.
func (s *Service) HangUp(id CallID) bool {
	s.mu.Lock()
	call, ours := s.live[id]
	s.mu.Unlock()
	if !ours {
		return false
	}
	call.mu.Lock()
	leg := call.live.client
	call.mu.Unlock()
	if !isUp(leg) {
		return false
	}
	leg.Hangup(NormalClearing)
	return true
}

// askRating asks a client after a talk that was long enough what they think of it.
func (s *Service) askRating(ctx context.Context, call *Call) {
	least := call.Plan.Limits.RatedTalk
	if s.Unspoken || call.Client == nil || least == 0 || talkTime(call.segments) < least {
		return
	}
	key, err := call.Client.Gather(ctx, call.language(), Entry{Prompts: []Prompt{"pause", "rate-1-to-5"}, Most: 1, First: firstKey})
	if err != nil || key < "1" || key > "5" {
		return
	}
	if err := s.Desk.Rate(ctx, call.ID, int(key[0]-'0')); err != nil {
		s.Log.Warn("a rating was not recorded", "call", call.ID, "err", err)
		return
	}
	_ = call.Client.Play(ctx, call.language(), "thank-you") // they may hang up on it
}
