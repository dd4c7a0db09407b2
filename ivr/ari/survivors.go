package ari

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"parley/ivr"
)

// unknownBridge is a bridge of a call that we do not know: a talk that is left from
// another process, or nothing. s.mu is held.
func (s *Switch) unknownBridge(b bridge, now time.Time) {
	if client, advisor := s.pair(b); client != nil && !s.opened {
		// A bridge is made for one talk, at once before it.
		age, exact := sinceBoot(b.ID)
		if !exact {
			age = b.age()
		}
		joined := now.Add(-age)
		t := s.newTalk(b.ID, client, advisor)
		t.exact = exact
		t.entered(client.id, joined)
		t.entered(advisor.id, joined)
		return
	}
	s.background(func() { s.removeBridge(b.ID) })
}

// pair tells who is who in a bridge that is left from another process. The
// advisor's leg was named after the call when it was dialled.
func (s *Switch) pair(b bridge) (client, advisor *leg) {
	if len(b.Channels) != 2 {
		return nil, nil
	}
	client, advisor = s.legs[b.Channels[0]], s.legs[b.Channels[1]]
	name := string(callOf(b.ID)) + ".advisor"
	if client != nil && strings.HasPrefix(client.id, name) {
		client, advisor = advisor, client
	}
	if client == nil || advisor == nil || !strings.HasPrefix(advisor.id, name) {
		return nil, nil
	}
	return client, advisor
}

// callOf reads the call's ID from the name of a leg or a bridge, "call_....talk-1".
func callOf(name string) ivr.CallID {
	call, _, _ := strings.Cut(name, ".")
	if !strings.HasPrefix(call, "call_") {
		return ""
	}
	return ivr.CallID(call)
}

// Survivors are the legs that were up when this process connected for the first
// time, and still are, except those that it has taken as calls that came in.
func (s *Switch) Survivors(ctx context.Context) ([]ivr.Survivor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return nil, cmp.Or(context.Cause(s.ctx), errors.New("ari: the events connection is down: what is up is not known"))
	}
	byCall := map[ivr.CallID]*ivr.Survivor{}
	of := func(call ivr.CallID) *ivr.Survivor {
		if byCall[call] == nil {
			byCall[call] = &ivr.Survivor{Call: call}
		}
		return byCall[call]
	}
	for _, l := range s.legs {
		switch t := l.talk; {
		case !l.inherited:
		case t == nil || t.ended:
			of(callOf(l.id)).Others = append(of(callOf(l.id)).Others, l)
		case l == t.legs[0]:
			of(callOf(t.id)).Client, of(callOf(t.id)).Talk = l, t
			of(callOf(t.id)).Exact = t.exact
		default:
			of(callOf(t.id)).Advisor = l
		}
	}
	var survivors []ivr.Survivor
	for _, v := range byCall {
		survivors = append(survivors, *v)
	}
	slices.SortFunc(survivors, func(a, b ivr.Survivor) int { return cmp.Compare(a.Call, b.Call) })
	return survivors, nil
}
