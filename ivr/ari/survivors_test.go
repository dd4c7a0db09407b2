package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/ivr"
)

// inGap cuts the events connection, lets something happen unheard, and returns when
// the switch has found out.
func inGap(f *fake, s *Switch, happens func()) (cut time.Time) {
	f.t.Helper()
	epoch := s.Epoch()
	f.with(func() { f.failLists = 2 }) // so that it happens before the list
	f.cut()
	cut = time.Now()
	happens()
	if !eventually(func() bool { return s.Epoch() > epoch && s.Connected() }) {
		f.t.Fatal("not connected again")
	}
	return cut
}

// unheard changes the fake without an event.
func (f *fake) unheard(do func()) {
	f.with(func() {
		f.hold = func(j) bool { return true }
		do()
		f.hold = nil
	})
}

func TestWhoLeftInAGapLeftWhenLastSeen(t *testing.T) {
	f, s, client, advisor, talk := talking(t)
	before := time.Now()
	cut := inGap(f, s, func() { f.unheard(func() { f.destroyLocked("pbx-1", 16, 0) }) })
	d := departure(t, client)
	if !d.Lost || d.At.After(cut) || d.At.Before(before.Add(-time.Second)) {
		t.Errorf("%+v, cut at %v", d, cut)
	}
	if end := until(t, talk); end != d.At && end != talk.JoinedAt() {
		t.Errorf("until %v, left at %v", end, d.At)
	}
	if advisor.Context().Err() != nil {
		t.Error("the other leg has ended too")
	}
}

func TestATalkWithoutItsBridgeEndedWhenLastSeen(t *testing.T) {
	f, s, client, _, talk := talking(t)
	cut := inGap(f, s, func() { f.unheard(func() { f.leaveBridge(f.channels[legID]) }) })
	if end := until(t, talk); end.After(cut) {
		t.Errorf("until %v after the cut", end.Sub(cut))
	}
	if client.Context().Err() != nil {
		t.Error("a leg has ended")
	}
}

// An Asterisk that was frozen finds, when it wakes, that it has heard nothing for long.
func TestNothingIsCertainOfAGap(t *testing.T) {
	const sec = time.Second
	for _, tt := range []struct {
		live     bool
		silent   time.Duration // for so long until now, Asterisk heard nothing
		from, to time.Duration // the gap, before now; while not live it lasts
		want     time.Duration // the party certainly was there until so long before now
	}{
		{true, 30 * sec, 50 * sec, 10 * sec, 50 * sec},
		{true, 5 * sec, 50 * sec, 10 * sec, 5 * sec},
		{true, 60 * sec, 50 * sec, 10 * sec, 60 * sec},
		{false, 30 * sec, 50 * sec, 0, 50 * sec},
		{false, 60 * sec, 50 * sec, 0, 60 * sec},
	} {
		s := idle()
		now := time.Now()
		s.cfg.RTPTimeout, s.live = tt.silent, tt.live
		if s.live {
			s.gaps = []gap{{now.Add(-tt.from), now.Add(-tt.to)}, {now.Add(-2 * sec), now.Add(-sec)}}
		} else {
			s.seen = now.Add(-tt.from)
		}
		l := s.newLeg("pbx-1")
		s.receive(event{Type: "ChannelDestroyed", Cause: 44, Channel: channel{ID: l.id}, at: now})
		if got := now.Sub(departure(t, l).At); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

func TestATalkOutlivesAGap(t *testing.T) {
	f, s, client, advisor, talk := talking(t)
	inGap(f, s, func() {})
	if isOver(talk) || client.Context().Err() != nil || advisor.Context().Err() != nil {
		t.Error("the talk has ended, or a leg")
	}
	f.destroy("pbx-1", 16, 0)
	until(t, talk)
}

func TestCouldNotAskIsNotGone(t *testing.T) {
	f, s, client, _, talk := talking(t)
	f.with(func() { f.failLists = 1 << 20 })
	f.cut()
	f.awaitCommand("GET /channels", 5)
	if client.Context().Err() != nil || s.Connected() {
		t.Error("something was concluded from a list that failed")
	}
	if _, err := s.Survivors(context.Background()); err == nil {
		t.Error("survivors of a list that failed")
	}
	if isOver(talk) {
		t.Error("the talk has ended")
	}
	f.with(func() { f.failLists = 0 })
	if !eventually(s.Connected) {
		t.Error("not connected again")
	}
}

func TestACallOfTheGapIsServed(t *testing.T) {
	f := newFake(t)
	s := f.open()
	in := calls(t, s)
	inGap(f, s, func() {
		f.unheard(func() {
			f.channels["pbx-7"] = &fakeChannel{id: "pbx-7", state: "Ring", app: "Stasis", args: "in,493055501001", caller: "+4915112345678"}
		})
	})
	call := next(t, in)
	if call.leg.ID() != "pbx-7" || call.did != "+493055501001" || call.ani != "+4915112345678" {
		t.Errorf("%+v", call)
	}
	f.emit(j{"type": "StasisStart", "args": []string{"in", "493055501001"}, "channel": j{"id": "pbx-7"}}) // late
	settle(f)
	if len(in) > 0 {
		t.Error("it was served twice")
	}
}

func TestALineMayAnswerInAGap(t *testing.T) {
	f := newFake(t)
	s := f.open()
	done := dial(context.Background(), s, request)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	inGap(f, s, func() { f.unheard(func() { f.channels[legID].state, f.channels[legID].app = "Up", "Stasis" }) })
	if got := next(t, done); got.err != nil {
		t.Errorf("%v", got.err)
	}
}

func TestALineMayStopRingingInAGap(t *testing.T) {
	f := newFake(t)
	s := f.open()
	done := dial(context.Background(), s, request)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	if !eventually(func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.legs[legID].known }) {
		t.Fatal("the command was not answered")
	}
	inGap(f, s, func() { f.unheard(func() { f.destroyLocked(legID, 17, 486) }) })
	if got := next(t, done); !errors.Is(got.err, ivr.ErrUnreachable) {
		t.Errorf("%v", got.err)
	}
}

// It is on no list, since Asterisk has not heard of it yet.
func TestALineThatIsJustBeingRungIsNotGone(t *testing.T) {
	f := newFake(t)
	s := f.open()
	ring := make(chan struct{})
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			if method == "POST" && path == "/channels/"+legID {
				<-ring
			}
			return 0
		}
	})
	done := dial(context.Background(), s, request)
	f.awaitCommand("POST /channels/"+legID, 1)
	inGap(f, s, func() {})
	close(ring)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	f.answers(legID)
	if got := next(t, done); got.err != nil {
		t.Errorf("%v", got.err)
	}
}

func TestWhatBelongsToNobodyIsEndedAfterAGap(t *testing.T) {
	f := newFake(t)
	s := f.open()
	inGap(f, s, func() {
		f.unheard(func() {
			f.channels["call_9.advisor-1"] = &fakeChannel{id: "call_9.advisor-1", state: "Ringing"}
			f.channels["whisper-9"] = &fakeChannel{id: "whisper-9", state: "Up", app: "Stasis", args: "snoop"}
			f.channels["alien"] = &fakeChannel{id: "alien", state: "Up", app: "Dial", args: "x"}
			f.bridges["call_9.talk-1"] = []string{}
			f.bridges["alien"] = []string{}
		})
	})
	f.await("ours are gone and others are not", func() bool {
		return len(f.channels) == 1 && f.channels["alien"] != nil && len(f.bridges) == 1 && f.bridges["alien"] != nil
	})
}

// It came and went while we listed: the list is older than the events.
func TestEventsThatComeWhileWeListCountAfterIt(t *testing.T) {
	f, s, client, advisor, _ := talking(t)
	in := make(chan incoming, 10)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Serve(ctx, handlerFunc(func(call incoming) { in <- call }))
	var listed bool
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			if method != "GET" || path != "/channels" || listed {
				return 0
			}
			listed = true
			ghost := &fakeChannel{id: "pbx-ghost", state: "Ring", app: "Stasis", args: "in,493055501001"}
			f.with(func() {
				f.channels[ghost.id] = ghost
				f.start(ghost)
				f.destroyLocked(ghost.id, 16, 0)
				f.destroyLocked("pbx-1", 16, 0) // with its cause, which a list does not say
			})
			if !eventually(func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return len(s.kept) >= 8
			}) {
				t.Error("the events were not kept back")
			}
			reply(w, []j{ghost.json(), {"id": legID, "dialplan": j{"app_name": "Stasis"}}})
			return 200
		}
	})
	f.cut()
	if d := departure(t, client); d.Lost || d.Cause != 16 {
		t.Errorf("%+v", d)
	}
	if advisor.Context().Err() != nil {
		t.Error("the other leg has ended")
	}
	if call := next(t, in); call.leg.ID() != "pbx-ghost" || departure(t, call.leg).Lost {
		t.Errorf("%v", call)
	}
	settle(f)
	if len(in) > 0 {
		t.Error("the ghost was served again")
	}
}

func TestARestartOfAsteriskEndsEverything(t *testing.T) {
	f, s, client, advisor, talk := talking(t)
	cut := inGap(f, s, func() {
		f.unheard(func() {
			clear(f.channels)
			clear(f.bridges)
			f.startup = "2026-01-02T00:00:00.000+0000"
		})
	})
	for _, leg := range []ivr.Leg{client, advisor} {
		if d := departure(t, leg); !d.Lost || d.At.After(cut) {
			t.Errorf("%+v", d)
		}
	}
	until(t, talk)
	if !strings.Contains(f.logs.String(), "Asterisk was restarted") {
		t.Error("nothing was logged of it")
	}
	if n := len(s.legs) + len(s.talks) + len(s.playbacks); n > 0 {
		t.Errorf("remembered: %v %v %v", s.legs, s.talks, s.playbacks)
	}
}

// left is what a process that died leaves behind.
func left(f *fake) {
	f.channels["pbx-1"] = &fakeChannel{id: "pbx-1", state: "Up", app: "Stasis", args: "in,493055501001", bridge: "call_1.talk-1"}
	f.channels["call_1.advisor-2"] = &fakeChannel{id: "call_1.advisor-2", state: "Up", app: "Stasis", args: "out,call_1.advisor-2", bridge: "call_1.talk-1"}
	f.bridges["call_1.talk-1"] = []string{"call_1.advisor-2", "pbx-1"}
	f.channels["call_2.advisor-1"] = &fakeChannel{id: "call_2.advisor-1", state: "Ringing"}
	f.channels["pbx-2"] = &fakeChannel{id: "pbx-2", state: "Up", app: "Stasis", args: "in,493055501001"}
	f.channels["whisper-3"] = &fakeChannel{id: "whisper-3", state: "Up", app: "Stasis", args: "snoop"}
	f.channels["call_4.advisor-1"] = &fakeChannel{id: "call_4.advisor-1", state: "Up", app: "Stasis", args: "out,x", bridge: "call_4.talk-1"}
	f.bridges["call_4.talk-1"] = []string{"call_4.advisor-1"}
	f.bridges["call_5.talk-1"] = []string{}
	f.channels["alien"] = &fakeChannel{id: "alien", state: "Up", app: "Dial", args: "x"}
}

func TestTheSurvivorsOfAnotherProcessAreTold(t *testing.T) {
	f := newFake(t)
	left(f)
	s := f.open()
	in := calls(t, s)
	survivors, err := s.Survivors(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, v := range survivors {
		line := string(v.Call) + ":"
		if v.Client != nil {
			line += fmt.Sprintf(" %s talks with %s", v.Client.ID(), v.Advisor.ID())
		}
		if (v.Talk != nil) != (v.Client != nil) {
			t.Errorf("%+v", v)
		}
		var others = map[string]bool{}
		for _, l := range v.Others {
			others[l.ID()] = true
		}
		told = append(told, fmt.Sprint(line, others))
	}
	want := []string{
		":map[pbx-2:true whisper-3:true]", "call_1: pbx-1 talks with call_1.advisor-2map[]",
		"call_2:map[call_2.advisor-1:true]", "call_4:map[call_4.advisor-1:true]",
	}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", told)
	}
	f.await("bridges without a talk are removed", func() bool { return len(f.bridges) == 1 })
	again, _ := s.Survivors(context.Background())
	if len(again) != len(survivors) {
		t.Errorf("asked again: %v", again)
	}
	if len(in) > 0 {
		t.Error("a survivor was served as a call that came in")
	}
	talk := survivors[1].Talk
	f.destroy("call_1.advisor-2", 16, 0)
	until(t, talk)
	departure(t, survivors[1].Advisor)
	f.cut()
	f.incoming("pbx-9", "493055501001", "")
	if call := next(t, in); call.leg.ID() != "pbx-9" {
		t.Errorf("served %s", call.leg.ID())
	}
}

// It is on the list before its event comes.
func TestACallThatComesWhileWeOpenIsNoSurvivor(t *testing.T) {
	f := newFake(t)
	f.channels["pbx-1"] = &fakeChannel{id: "pbx-1", state: "Ring", app: "Stasis", args: "in,493055501001"}
	s := f.open()
	in := calls(t, s)
	f.emit(j{"type": "StasisStart", "args": []string{"in", "493055501001"}, "channel": j{"id": "pbx-1"}})
	if call := next(t, in); call.leg.ID() != "pbx-1" {
		t.Errorf("served %s", call.leg.ID())
	}
	if survivors, err := s.Survivors(context.Background()); len(survivors) > 0 || err != nil {
		t.Errorf("%v, %v", survivors, err)
	}
}
