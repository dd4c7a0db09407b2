package ivr

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// reconnectLeast is the talk that must be left for the two to be joined again.
const reconnectLeast = 10 * time.Second

// How long may pass before an answer to the questions below; and before the client's
// phone is answered.
const (
	consentWithin = 10 * time.Second
	ringAgain     = 25 * time.Second
)

// talks begins a talk, meters it and, where the client is lost in it without hanging up,
// joins the two again if both consent: the same call, on the same hold, with one segment
// of talk more. Time that passes in between is not charged.
func (s *Service) talks(ctx context.Context, call *Call, begin func(context.Context, *Call) (*talking, error)) error {
	for {
		beginning, begun := whileUp(ctx, call.Client)
		t, err := begin(beginning, call)
		begun()
		if err == nil {
			err = s.meter(ctx, call, t)
		}
		if err != nil || !call.clientLost() || !s.reconnect(ctx, call) {
			return err
		}
		begin = s.join
	}
}

// clientLost says whether the talk that is over ended by the loss of the client's
// leg, not by anybody's hang-up.
func (c *Call) clientLost() bool {
	return c.ended != nil && c.ended.Lost && c.ended.Leg == c.Client.ID() && c.Advisor.Context().Err() == nil
}

// reconnect asks the advisor whether to wait, then calls the client and asks whether
// to go on. Only two keys of 1 bring them together; a voicemail presses none.
func (s *Service) reconnect(ctx context.Context, call *Call) bool {
	left, _ := call.left()
	if call.Loan.ClientLine.Address == "" || left < reconnectLeast {
		return false
	}
	call.at(Reconnecting)
	defer s.stage(call, Reconnected)()
	ctx, cancel := whileUp(ctx, call.Advisor)
	defer cancel()
	last := len(call.segments)
	go s.prove(ctx, []Proof{{Call: call.ID, Segment: last, Talk: call.segments[last-1].Talk}})

	// The timer that ends the talk must not end the waiting.
	if err := call.cutAdvisor(ctx, setUpMost); err != nil {
		return false
	}
	if !s.consents(ctx, call, call.Advisor, "client-lost-press-1") {
		return false
	}
	defer s.entertain(ctx, call, call.Advisor, "")()
	client, err := s.dial(ctx, call, DialRequest{
		LegID: clientLegID(call.ID, last+1), To: call.Loan.ClientLine,
		CallerID: call.DID, Ring: ringAgain, CutAfter: setUpMost,
	})
	if err != nil {
		s.Log.Info("the client is not reached again", "call", call.ID, "why", err)
		return false
	}
	if !s.consents(ctx, call, client, "talk-lost-press-1") {
		client.Hangup(NormalClearing)
		return false
	}
	call.lost = append(call.lost, call.Client)
	call.Client = client
	s.Log.Info("reconnected", "call", call.ID, "segment", last+1)
	return true
}

// consents asks a party to press 1.
func (s *Service) consents(ctx context.Context, call *Call, leg Leg, question Prompt) bool {
	key, err := leg.Gather(ctx, call.language(), Entry{Prompts: []Prompt{"pause", question}, Most: 1, First: consentWithin})
	return err == nil && key == "1"
}

// clientLegID names the client's leg of a later segment, and segmentOf reads it: a
// leg that called in is of the first.
func clientLegID(call CallID, segment int) string { return fmt.Sprintf("%s.client-%d", call, segment) }

func segmentOf(clientLeg string) int {
	_, number, _ := strings.Cut(clientLeg, ".client-")
	if n, err := strconv.Atoi(number); err == nil {
		return n
	}
	return 1
}
