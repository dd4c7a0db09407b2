package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

// node is a store of another node on the same database.
func (w *town) node(name string) *Store {
	w.t.Helper()
	s, err := Open(w.t.Context(), Config{DSN: w.dsn, RedisAddr: exchange.Redis.Addr, Key: testKey, Node: name})
	w.must(err)
	w.t.Cleanup(func() { s.Disconnect() })
	return s
}

// owned has a node's store own its Asterisk.
func (w *town) owned(s *Store) *Ownership {
	w.t.Helper()
	o := w.ownershipOf(s)
	w.must(o.Await(w.t.Context(), false))
	return o
}

// settling lets a node look after the others; settled tells of what it has settled.
func settling(t *testing.T, s *Store) (settled chan ivr.CallID) {
	settled = make(chan ivr.CallID, 10)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.SettleAbandoned(ctx, slog.New(slog.DiscardHandler), func(ctx context.Context, node *Store) error {
			open, err := node.OpenCalls(ctx)
			for _, o := range open {
				cdr := ended(o.Opening)
				cdr.Segments = o.Segments
				for _, seg := range o.Segments {
					cdr.Charge += o.Terms.Rate.Charge(seg.Talk)
				}
				cdr.Shares = money.Split(cdr.Charge, o.Terms.AdvisorPercent)
				err = errors.Join(err, node.Close(ctx, cdr))
				settled <- o.Call
			}
			return errors.Join(err, node.AbandonPlacements(ctx), node.AbandonChallenges(ctx))
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return settled
}

// Each node has its own calls open; a command, which is of no node, sees all.
func TestANodeSeesItsOwnOpenCalls(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	one, two := w.node("one"), w.node("two")
	w.owned(one)
	w.owned(two)
	var calls []ivr.CallID
	for _, s := range []*Store{one, two} {
		o := opening(w.client(100_00), w.advisor(), w.plan())
		_, err := s.Hold(ctx, o)
		w.must(err)
		calls = append(calls, o.Call)
	}
	for s, want := range map[*Store][]ivr.CallID{one: calls[:1], two: calls[1:], w.Store: calls} {
		open, err := s.OpenCalls(ctx)
		var got []ivr.CallID
		for _, o := range open {
			got = append(got, o.Call)
		}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("open: %v, %v; want %v", got, err, want)
		}
	}
	nodes, err := w.Nodes(ctx)
	if err != nil || len(nodes) != 2 || nodes[0] != (Node{Name: "one", Served: true, Open: 1}) {
		t.Errorf("nodes: %+v, %v", nodes, err)
	}
}

// Three nodes; one dies in a talk. It is settled within half a minute, by one of the others,
// to what was proved; a copy of its program that was only frozen is fenced. Who starts it
// again has it at once.
func TestADeadNodeIsSettledByAnother(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	dead, alive, third := w.node("dead"), w.node("alive"), w.node("third")
	o := w.owned(dead)
	keeping(t, w.owned(alive), true)
	keeping(t, w.owned(third), true)
	call := opening(w.client(100_00), w.advisor(), w.plan())
	_, err := dead.Hold(ctx, call)
	w.must(err)
	w.must(dead.Prove(ctx, []ivr.Proof{{Call: call.Call, Segment: 1, Talk: 2 * time.Minute}}))
	theirs := opening(w.client(100_00), w.advisor(), call.Plan)
	_, err = alive.Hold(ctx, theirs)
	w.must(err)

	kept, kill := keeping(t, o, true)
	one, two := settling(t, alive), settling(t, third)
	select {
	case <-one:
		t.Fatal("a node was settled for that lives")
	case <-two:
		t.Fatal("a node was settled for that lives")
	case <-time.After(abandonedAfter + 3*lookEvery):
	}
	kill()
	<-kept
	died := time.Now()
	var settled ivr.CallID
	select {
	case settled = <-one:
	case settled = <-two:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody settles for the dead node")
	}
	t.Logf("settled %v after its node died", time.Since(died))
	if settled != call.Call {
		t.Errorf("settled %s, not %s", settled, call.Call)
	}
	if err := dead.Close(ctx, ended(call, 3*time.Minute)); !errors.Is(err, ErrNotOwner) {
		t.Errorf("the dead node wakes up and closes its call: %v", err)
	}
	w.must(within(t, 5*time.Second, "who starts the node again", awaiting(t, w.ownershipOf(w.node("dead")), false)))
	got, err := w.Call(ctx, call.Call)
	if err != nil || got.Open() || got.Talk() != 2*time.Minute || got.Charge != call.Terms.Rate.Charge(2*time.Minute) {
		t.Errorf("settled to %+v, %v", got, err)
	}
	w.must(alive.Close(ctx, ended(theirs)))
	w.clean()
	if len(one)+len(two) != 0 {
		t.Error("more was settled")
	}
}

func (w *town) ownershipOf(s *Store) *Ownership {
	w.t.Helper()
	o, err := s.Ownership(slog.New(slog.DiscardHandler))
	w.must(err)
	w.t.Cleanup(func() { o.Disconnect() })
	return o
}

// The node where a phone registered last comes first; one that nobody serves does not come.
func TestAPhoneIsWhereItRegisteredLast(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	one, two := w.node("one"), w.node("two")
	for s, sip := range map[*Store]string{one: "10.0.0.1:5060", two: "10.0.0.2:5060"} {
		w.must(w.owned(s).Announce(ctx, sip))
	}
	at := func(want ...string) {
		t.Helper()
		nodes, err := w.RegisteredAt(ctx, "line_1")
		w.must(err)
		var got []string
		for _, n := range nodes {
			got = append(got, n.Name+" "+n.SIP)
		}
		if !slices.Equal(got, want) {
			t.Errorf("registered at %q, want %q", got, want)
		}
	}
	at()
	w.must(one.SetRegistered(ctx, []string{"line_1", "line_2"}))
	at("one 10.0.0.1:5060")
	w.must(two.SetRegistered(ctx, []string{"line_1"}))
	at("two 10.0.0.2:5060", "one 10.0.0.1:5060")
	w.must(one.SetRegistered(ctx, []string{"line_1"})) // nothing new of it
	at("two 10.0.0.2:5060", "one 10.0.0.1:5060")
	w.must(two.SetRegistered(ctx, nil))
	at("one 10.0.0.1:5060")
	w.superuser().MustExec(`UPDATE owners SET renewed_at = now() - interval '1 minute' WHERE asterisk = 'one'`)
	at()
}

// A node that is to be drained learns it with its lease.
func TestANodeIsToldToDrain(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	o := w.owned(w.node("one"))
	for _, draining := range []bool{true, false} {
		w.must(w.DrainNode(t.Context(), "Ada", "one", draining))
		w.must(o.Renew(t.Context()))
		if o.Draining() != draining {
			t.Errorf("draining: %v, want %v", o.Draining(), draining)
		}
	}
	if err := w.DrainNode(t.Context(), "Ada", "none", true); !errors.Is(err, ErrNotFound) {
		t.Errorf("a node that is not there: %v", err)
	}
}
