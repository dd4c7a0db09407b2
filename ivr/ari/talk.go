package ari

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"time"

	"parley/ivr"
)

// talk is a bridge with two channels in it.
type talk struct {
	s     *Switch
	id    string // of the bridge
	legs  [2]*leg
	both  chan struct{} // closed when both have been joined
	exact bool          // joinedAt is by a clock that nobody sets
	over  chan struct{} // closed when it is known until when they were

	// guarded by s.mu
	out      [2]chan struct{} // each closed when that leg is in the bridge no longer; nil until somebody waits for it
	in       [2]bool
	joinedAt time.Time // zero until both are in
	until    time.Time // zero until one has left
	ended    bool      // over is closed; the bridge is being removed
}

var _ ivr.Talk = (*talk)(nil)

// joinTime is for addChannel, which waits for a prompt on either leg to end.
const joinTime = 10 * time.Second

// Bridge mixes two channels. A plain mixing bridge passes the sound on without
// touching it: keys would show without dtmf_events too, which costs as much again
// as the whole talk.
func (s *Switch) Bridge(ctx context.Context, call ivr.CallID, a, b ivr.Leg) (ivr.Talk, error) {
	var legs [2]*leg
	for i, of := range [2]ivr.Leg{a, b} {
		l, ours := of.(*leg)
		if !ours {
			return nil, fmt.Errorf("ari: leg %s is not of this switch", of.ID())
		}
		if err := cmp.Or(l.over(ctx), l.leaveTalk(ctx)); err != nil {
			return nil, err
		}
		legs[i] = l
	}
	// A bridge of its own for each talk of a call: an event of the last one, or its
	// removal, cannot touch this one.
	s.mu.Lock()
	t := s.newTalk(newName(string(call)+".talk-")+bootMark(), legs[0], legs[1])
	s.mu.Unlock()
	if err := t.join(ctx); err != nil {
		s.mu.Lock()
		t.end()
		s.mu.Unlock()
		return nil, err
	}
	return t, nil
}

// newTalk registers a talk, before Asterisk hears of it. s.mu is held.
func (s *Switch) newTalk(id string, a, b *leg) *talk {
	t := &talk{
		s: s, id: id, legs: [2]*leg{a, b},
		both: make(chan struct{}), over: make(chan struct{}),
	}
	s.talks[id] = t
	a.talk, b.talk = t, t
	a.Of(callOf(id)) // where it is left from another process nobody says so
	return t
}

// join makes the bridge and puts both channels into it, and returns when Asterisk has
// said that both are in. What it takes goes out together, since both parties wait for it;
// sent twice, it would throw them out again.
func (t *talk) join(ctx context.Context) error {
	added := make(chan error, 1)
	t.s.background(func() { added <- t.add(context.WithoutCancel(ctx)) })
	late := time.NewTimer(joinTime)
	defer late.Stop()
	for {
		select {
		case <-t.both:
			return nil
		case err := <-added:
			if err != nil {
				return t.failed(err)
			}
		case <-t.legs[0].ctx.Done():
			return context.Cause(t.legs[0].ctx)
		case <-t.legs[1].ctx.Done():
			return context.Cause(t.legs[1].ctx)
		case <-t.over:
			return t.failed(fmt.Errorf("ari: bridge %s: a leg left it while they were being joined", t.id))
		case <-late.C:
			return fmt.Errorf("ari: bridge %s: legs were not joined within %v", t.id, joinTime)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *talk) add(ctx context.Context) error {
	var cmds []command
	var waited []*leg
	for _, l := range t.legs {
		for _, stop := range l.silence() {
			cmds, waited = append(cmds, stop), append(waited, l)
		}
	}
	cmds = append(cmds,
		command{method: "POST", path: path("bridges", t.id), query: url.Values{"type": {"mixing"}}},
		command{method: "POST", path: path("bridges", t.id, "addChannel"), within: joinTime, query: url.Values{
			"channel": {t.legs[0].id + "," + t.legs[1].id},
			// Else each party's phone would be told the other's number.
			"inhibitConnectedLineUpdates": {"true"},
		}})
	became := t.s.client.together(ctx, cmds...)
	for i, l := range waited {
		l.stopped(became[i])
	}
	return cmp.Or(became[len(waited):]...)
}

// failed explains why the legs could not be joined: mostly, one has just left.
func (t *talk) failed(err error) error {
	select {
	case <-t.both: // the answer was lost, not the command
		return nil
	case <-t.legs[0].ctx.Done():
	case <-t.legs[1].ctx.Done():
	case <-time.After(t.s.t.settle):
	}
	return cmp.Or(context.Cause(t.legs[0].ctx), context.Cause(t.legs[1].ctx), err)
}

// member is the place of a channel in the talk, or -1.
func (t *talk) member(channel string) int {
	for i, l := range t.legs {
		if l.id == channel {
			return i
		}
	}
	return -1
}

// entered notes that a channel is in the bridge. s.mu is held.
func (t *talk) entered(channel string, at time.Time) {
	if i := t.member(channel); i >= 0 {
		t.in[i] = true
	}
	if t.in[0] && t.in[1] && t.joinedAt.IsZero() {
		t.joinedAt = at
		close(t.both)
	}
}

// left notes that a channel has left the bridge, which ends the talk, whatever it
// left for. When it left because its party is gone, the event that says since
// when comes next. s.mu is held.
func (t *talk) left(channel string, at time.Time) {
	i := t.member(channel)
	if i < 0 || !t.in[i] {
		return
	}
	t.isOut(i)
	if !t.until.IsZero() {
		return
	}
	t.until = at
	time.AfterFunc(t.s.t.settle, func() {
		t.s.mu.Lock()
		defer t.s.mu.Unlock()
		t.end()
	})
}

// departed notes that one of the legs is gone since at. s.mu is held.
func (t *talk) departed(l *leg, at time.Time) {
	if t.until.IsZero() || !t.ended && at.Before(t.until) {
		t.until = at
	}
	t.end()
	t.isOut(t.member(l.id))
}

// end closes the talk. Its bridge is removed when both are out: whoever is thrown out of
// one is in Asterisk's hands for a while, see leaveTalk. s.mu is held.
func (t *talk) end() {
	if t.ended {
		return
	}
	t.ended = true
	if t.until.Before(t.joinedAt) {
		t.until = t.joinedAt
	}
	close(t.over)
	for i, in := range t.in {
		if !in {
			t.isOut(i)
		}
	}
}

// isOut notes that a leg is out of the bridge. A talk that is over is forgotten
// when both are. s.mu is held.
func (t *talk) isOut(i int) {
	t.in[i] = false
	if t.out[i] != nil {
		close(t.out[i])
		t.out[i] = nil
	}
	if !t.ended {
		return // why it left may still come
	}
	if t.legs[i].talk == t {
		t.legs[i].talk = nil
	}
	if !t.in[0] && !t.in[1] && t.s.talks[t.id] == t {
		delete(t.s.talks, t.id)
		t.s.background(func() { t.s.removeBridge(t.id) })
	}
}

// leaveTalk ends the talk that a leg is in, if any, and returns when the leg is out
// of the bridge: what is played to a leg on its way out is not heard, nor reported to
// have ended. The event that says that a leg has left comes before Asterisk is through
// with it; the answer to removeChannel comes after.
func (l *leg) leaveTalk(ctx context.Context) error {
	l.s.mu.Lock()
	t := l.talk
	if t == nil {
		l.s.mu.Unlock()
		return nil
	}
	if t.until.IsZero() {
		t.until = l.s.seenAt()
	}
	place := t.member(l.id)
	if t.out[place] == nil {
		t.out[place] = make(chan struct{})
	}
	out := t.out[place]
	t.end() // and closes out, where the leg is out already
	l.s.mu.Unlock()
	err := l.s.client.do(context.WithoutCancel(ctx), command{
		method: "POST", path: path("bridges", t.id, "removeChannel"), query: url.Values{"channel": {l.id}},
	}, nil)
	if err == nil {
		l.s.mu.Lock()
		t.isOut(place)
		l.s.mu.Unlock()
	}
	late := time.NewTimer(l.s.t.settle)
	defer late.Stop()
	select {
	case <-out:
	case <-late.C: // the event was lost, or Asterisk holds on to it
		l.log().Warn("leg is not known to have left its talk", "bridge", t.id)
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return l.over(ctx)
}

func (s *Switch) removeBridge(id string) {
	if err := s.client.do(s.ctx, command{method: "DELETE", path: path("bridges", id)}, nil); err != nil {
		s.log.Warn("bridge not removed", "bridge", id, "call", callOf(id), "err", err)
	}
}

func (t *talk) JoinedAt() time.Time {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.joinedAt
}

func (t *talk) Over() <-chan struct{} { return t.over }

func (t *talk) SeenAt() time.Time {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if !t.until.IsZero() {
		return t.until
	}
	if at := t.s.seenAt(); at.After(t.joinedAt) {
		return at
	}
	return t.joinedAt
}

func (t *talk) Unheard(until time.Time) (sum time.Duration) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	for _, g := range t.s.silences {
		from, to := g.from, g.to
		if from.Before(t.joinedAt) {
			from = t.joinedAt
		}
		if to.After(until) {
			to = until
		}
		sum += max(0, to.Sub(from))
	}
	return sum
}
