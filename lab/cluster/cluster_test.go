package cluster

import (
	"strings"
	"testing"
	"time"

	"parley/host/client"
)

// A number that was lent over one node's API rings in on the other; and on the first.
func TestALoanOfOneNodeRingsInOnTheOther(t *testing.T) {
	s := newScene(t, town.one.asterisk.SIPAddr)
	for _, n := range []*node{town.two, town.one} {
		client, advisor := s.talk(n)
		if call := s.hungUp(client, advisor); s.nodeOf(call.ID) != n.name {
			s.Errorf("the record names node %s, the sound came from %s", s.nodeOf(call.ID), n.name)
		}
		s.another()
	}
	s.audit()
}

// An advisor's phone is registered with one node and the call is on the other: it rings, both
// hear each other, and nothing that the phone receives names the client's number.
func TestAnAdvisorIsRungThroughTheNodeWhereTheyAre(t *testing.T) {
	for name, exchange := range map[string]string{"at a node": town.two.asterisk.SIPAddr, "through Kamailio": town.Lab.Proxy} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, exchange)
			for _, n := range []*node{town.one, town.two} {
				client, advisor := s.talk(n)
				for _, message := range advisor.Messages() {
					if strings.Contains(message, strings.TrimPrefix(s.client.Number, "+49")) || strings.Contains(message, strings.TrimPrefix(s.loan.DID, "+49")) {
						s.Errorf("the advisor's phone is told a number:\n%s", message)
					}
				}
				s.hungUp(client, advisor)
				s.another()
			}
		})
	}
}

// What comes from another node rings phones that are registered here, and reaches nothing else.
func TestANodeDialsNothingForAnotherButPhones(t *testing.T) {
	ctx := t.Context()
	for _, command := range []string{"dialplan show from-node", "module show like app_dial.so"} {
		if _, err := town.one.asterisk.CLI(ctx, command); err != nil {
			t.Fatal(err)
		}
	}
	// The trunk's own name, and a number, as another node would send them.
	for _, user := range []string{"trunk", "node", "+4915112345678", "trunk/sip"} {
		status, err := inviteFrom(hostTwo+":0", town.one.asterisk.SIPAddr, user)
		if err != nil || status < 400 {
			t.Errorf("%q is answered %d, %v", user, status, err)
		}
	}
}

// A node is drained in a talk: the talk goes on, the next calls are the other node's, and
// nobody hears anything of it. Then it takes calls again.
func TestADrainedNodeIsNotHeard(t *testing.T) {
	s := newScene(t, town.two.asterisk.SIPAddr)
	client, advisor := s.talk(town.one)
	began := time.Now()
	_, err := town.Parley(s.ctx, "node", "drain", "one")
	s.must(err)
	took := s.eventually(patience, "the node drains", func() bool { return town.one.said("draining") > 0 })
	other := newScene(t, town.two.asterisk.SIPAddr)
	for range 3 {
		c, a := other.talk(nil)
		if call := other.hungUp(c, a); other.nodeOf(call.ID) != "two" {
			t.Errorf("a call came to the node that drains")
		}
		other.another()
	}
	if share := client.ToneShare(advisorTone, began, time.Now()); share < 0.95 {
		t.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.hungUp(client, advisor)
	s.eventually(patience, "it is drained", func() bool { return town.one.said("drained") > 0 })
	_, err = town.Parley(s.ctx, "node", "undrain", "one")
	s.must(err)
	s.eventually(patience, "it takes calls again", func() bool { return town.one.said("taking calls again") > 0 })
	t.Logf("drains %v after it was told to", took.Round(10*time.Millisecond))
}

// One node's API ends a call that the other runs.
func TestACallEndsByTheOtherNodesAPI(t *testing.T) {
	s := newScene(t, town.two.asterisk.SIPAddr)
	c, advisor := s.talk(town.two)
	api, err := town.API(s.ctx, "--role", "admin", "--holder", "Ada")
	s.must(err)
	calls, err := api.Calls(s.ctx, map[string][]string{"state": {"live"}, "client": {s.client.ID}})
	s.must(err)
	if len(calls) != 1 {
		t.Fatalf("live: %+v", calls)
	}
	asked := time.Now()
	s.must(endCall(s, api, calls[0].ID))
	for _, leg := range []<-chan struct{}{advisor.Ended(), c.Ended()} {
		select {
		case <-leg:
		case <-time.After(patience):
			t.Fatal("the call goes on")
		}
	}
	t.Logf("ended %v after it was asked for", time.Since(asked).Round(10*time.Millisecond))
	s.audit()
}

func endCall(s *scene, api client.Client, id string) error {
	return api.EndCall(s.ctx, "end-"+id, id, "they asked us to")
}

// A node dies whole, in a talk: the other settles it within half a minute, to what was proved;
// new calls come to that one meanwhile. Started again, the node takes calls again.
func TestADeadNodeIsSettledByTheOther(t *testing.T) {
	s := newShortScene(t, town.one.asterisk.SIPAddr)
	client, _ := s.talk(town.two)
	time.Sleep(3 * time.Second) // of talk
	talked := time.Since(client.AnsweredAt())
	s.must(town.two.asterisk.Kill())
	s.must(town.two.program.Kill())
	died := time.Now()

	other := newShortScene(t, town.one.asterisk.SIPAddr)
	for range 2 {
		dialled := time.Now()
		c, a := other.talk(town.one)
		t.Logf("a new call talks %v after it was dialled", time.Since(dialled).Round(10*time.Millisecond))
		other.hungUp(c, a)
		other.another()
	}
	s.eventually(30*time.Second-time.Since(died), "the dead node's call is settled", func() bool {
		call, err := town.LastCall(s.ctx, s.client)
		return err == nil && !call.EndedAt.IsZero()
	})
	t.Logf("settled %v after the node died", time.Since(died).Round(100*time.Millisecond))
	call, err := town.LastCall(s.ctx, s.client)
	s.must(err)
	if call.Talk() > talked || call.Charge > 600 {
		t.Errorf("charged %d for %v of %v since the answer", call.Charge, call.Talk(), talked)
	}
	s.audit()
	s.must(town.two.asterisk.Start(s.ctx))
	s.must(town.two.program.Start(s.ctx))
	s.another()
	c, a := s.talk(town.two)
	s.hungUp(c, a)
}
