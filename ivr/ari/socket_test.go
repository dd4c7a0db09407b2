package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"parley/ivr"
)

func TestEveryConnectionSaysWhatItWantsToHear(t *testing.T) {
	f := newFake(t)
	s := f.open()
	if s.Epoch() != 1 || !s.Connected() {
		t.Errorf("epoch %d", s.Epoch())
	}
	f.cut()
	f.awaitCommand("PUT /applications/parley/eventFilter", 2)
	if !eventually(func() bool { return s.Epoch() == 2 && s.Connected() }) {
		t.Errorf("epoch %d", s.Epoch())
	}
	filter := f.sent("PUT /applications/parley/eventFilter")[1]
	for _, event := range wanted {
		if !strings.Contains(filter, `{"type":"`+event+`"}`) {
			t.Errorf("%s is not asked for", event)
		}
	}
	if all := f.sent("POST /applications/parley/subscription?eventSource=channel%3A"); len(all) != 2 {
		t.Errorf("the events of all channels were asked for %d times", len(all))
	}
}

func TestASilentConnectionIsDead(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.with(func() { f.wire.frozen.Store(true) })
	if !eventually(func() bool { return s.Epoch() == 2 && s.Connected() }) {
		t.Error("it was not given up")
	}
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	f := newFake(t)
	f.failLists = 1 << 20
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		f.awaitCommand("GET /channels", 3)
		cancel(ivr.ErrShutdown)
	}()
	if s, err := open(ctx, f.config(), quick); !errors.Is(err, ivr.ErrShutdown) || !refused(err, 500) || s != nil {
		t.Errorf("%v", err)
	}
	before := len(f.sent("GET /events"))
	settleDown := time.After(3 * quick.longest)
	<-settleDown
	if after := len(f.sent("GET /events")); after > before {
		t.Error("it goes on connecting")
	}
}

func TestManyEventsAreNeitherLostNorDelayed(t *testing.T) {
	f := newFake(t)
	slow := quick
	slow.back = soon // 10,000 events may hold a beat up where the machine is busy
	s := f.openAs(slow)
	stuck := make(chan struct{})
	defer close(stuck)
	in := make(chan incoming, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.Serve(ctx, handlerFunc(func(call incoming) {
		in <- call
		<-stuck // a handler that never returns
	}))
	const calls, keys = 250, 40 // 10,000 keys
	for i := range calls {
		f.incoming(fmt.Sprint("pbx-", i), "493055501001", "")
	}
	var want string
	for i := range keys {
		digit := fmt.Sprint(i % 10)
		want += digit
		for c := range calls {
			f.press(fmt.Sprint("pbx-", c), digit)
		}
	}
	for range calls {
		leg := next(t, in).leg
		got, err := leg.Gather(context.Background(), "en", ivr.Entry{Most: keys, First: soon, Between: soon})
		if got != want || err != nil {
			t.Fatalf("%s: %q, %v", leg.ID(), got, err)
		}
	}
	if s.Epoch() != 1 {
		t.Error("the connection was given up")
	}
}

func TestTheReaderSurvivesWhatItDoesNotKnow(t *testing.T) {
	f, s, leg := inbound(t)
	for _, ev := range []j{
		{"type": "ChannelSprouted", "channel": j{"id": "pbx-1"}},
		{"type": "StasisStart"}, {"type": "ChannelDestroyed"}, {"no": "type"},
		{"type": "ChannelDtmfReceived", "digit": 7, "channel": j{"id": "pbx-1"}},
		{"type": "ChannelDtmfReceived", "digit": "7", "channel": "pbx-1"},
		{"type": "ChannelLeftBridge", "bridge": nil, "channel": nil},
		{"type": "PlaybackFinished", "playback": []int{1}},
		{"type": "ChannelDtmfReceived", "digit": "7", "channel": j{"id": "pbx-1", "channelvars": j{"a": 1}}, "new": []j{{}}},
	} {
		f.emit(ev)
	}
	if got, err := leg.Gather(context.Background(), "en", ivr.Entry{Most: 1, First: soon}); got != "7" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if s.Epoch() != 1 {
		t.Error("the connection was given up")
	}
}

func TestAnEventWithoutEndIsNotReadToItsEnd(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.emit(j{"type": "ChannelVarset", "value": strings.Repeat("x", mostEvent+1)})
	if !eventually(func() bool { return s.Epoch() == 2 && s.Connected() }) {
		t.Error("the connection was kept")
	}
}

func TestAReplacedProcessTouchesNothingMore(t *testing.T) {
	f := newFake(t)
	s := f.open()
	in := make(chan incoming, 1)
	served := make(chan error)
	go func() { served <- s.Serve(context.Background(), handlerFunc(func(call incoming) { in <- call })) }()
	f.incoming("pbx-1", "493055501001", "")
	leg := next(t, in).leg

	other := f.open()
	if err := next(t, served); err != ErrReplaced {
		t.Errorf("Serve returned %v", err)
	}
	if next(t, s.Done()); s.Err() != ErrReplaced || s.Connected() {
		t.Errorf("%v", s.Err())
	}
	sent := len(f.sent(""))
	leg.Hangup(ivr.NormalClearing)
	if err := leg.Answer(context.Background()); !errors.Is(err, ErrReplaced) {
		t.Errorf("%v", err)
	}
	if _, err := s.Dial(context.Background(), request); !errors.Is(err, ErrReplaced) {
		t.Errorf("%v", err)
	}
	if _, err := s.Survivors(context.Background()); !errors.Is(err, ErrReplaced) {
		t.Errorf("%v", err)
	}
	s.Close()
	if now := f.sent(""); len(now) != sent {
		t.Errorf("sent %q", now[sent:])
	}
	if leg.Context().Err() != nil {
		t.Error("a leg that is the other process's now has ended here")
	}
	if !other.Connected() || other.Epoch() != 1 {
		t.Error("the other process was replaced again")
	}
}

// A frozen Asterisk keeps the attempts to connect that were given up.
func TestAnAttemptOfOurOwnIsNoOtherProcess(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.emit(j{"type": "ApplicationReplaced", "application": "parley"})
	if !eventually(func() bool { return s.Epoch() == 2 && s.Connected() }) || s.Err() != nil {
		t.Errorf("%v", s.Err())
	}
}

func TestAProcessReplacedInAGapStaysAway(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.with(func() { f.owner = "process-other" })
	f.cut()
	if next(t, s.Done()); s.Err() != ErrReplaced {
		t.Errorf("%v", s.Err())
	}
	if n := len(f.sent("GET /events")); n != 1 {
		t.Errorf("connected %d times", n)
	}
}

func TestARestartedAsteriskHasNoOwner(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.with(func() { f.owner = "" })
	f.cut()
	if !eventually(func() bool { return s.Epoch() == 2 && s.Connected() }) || f.owner != s.name {
		t.Errorf("%v", s.Err())
	}
}

func TestAConnectionWithoutEventsIsDead(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.with(func() { f.deaf = true })
	if !eventually(func() bool { return !s.Connected() }) {
		t.Fatal("still connected")
	}
	f.with(func() { f.deaf = false })
	if !eventually(func() bool { return s.Connected() }) || s.Epoch() < 2 {
		t.Error("not connected again")
	}
}

func TestNobodyConnectsToAnAsteriskThatDoesNotAnswer(t *testing.T) {
	f := newFake(t)
	s := f.open()
	awake := make(chan struct{})
	asked := make(chan struct{}, 1000)
	f.with(func() {
		f.answer = func(_, path string, w http.ResponseWriter) int {
			asked <- struct{}{}
			<-awake
			return 0
		}
	})
	f.cut()
	next(t, asked)
	if n := len(f.sent("GET /events")); n != 1 {
		t.Errorf("connected %d times", n)
	}
	close(awake)
	if !eventually(func() bool { return s.Epoch() == 2 && s.Connected() }) {
		t.Error("not connected again")
	}
}

func TestClosingSendsTheLastHangUps(t *testing.T) {
	f, s, leg := inbound(t)
	f.with(func() {
		f.answer = func(method, _ string, w http.ResponseWriter) int {
			if method == "DELETE" {
				time.Sleep(50 * time.Millisecond) // a slow command
			}
			return 0
		}
	})
	leg.Hangup(ivr.NormalClearing)
	s.Close()
	if len(f.channels) > 0 {
		t.Error("the leg is still up")
	}
	if next(t, s.Done()); s.Err() != ErrClosed {
		t.Errorf("%v", s.Err())
	}
}

func TestAnOldAsteriskIsWarnedOf(t *testing.T) {
	for version, want := range map[string]bool{
		"22.10.1~dfsg+~cs6.15.60671435-1": true, "22.10.1": true, "22.11.0-rc1": true, "23.0.0": true,
		"22.10.0": false, "22.9.3": false, "21.12.1": false, "": false, "GIT-master": false,
	} {
		if recent(version) != want {
			t.Errorf("%q: recent is %v", version, !want)
		}
	}
	f := newFake(t)
	f.version = "22.9.0"
	f.open()
	if !strings.Contains(f.logs.String(), "install 22.10.1 or later") {
		t.Errorf("logs: %s", f.logs)
	}
}

func TestNoGoroutineOutlivesItsSwitch(t *testing.T) {
	before := runtime.NumGoroutine()
	f, s, leg := inbound(t)
	leg.Hangup(ivr.NormalClearing)
	departure(t, leg)
	s.Close()
	f.cut()
	f.srv.Close()
	if !eventually(func() bool { return runtime.NumGoroutine() <= before+1 }) { // calls' own Serve is awaited later
		buf := make([]byte, 1<<16)
		t.Errorf("%s", buf[:runtime.Stack(buf, true)])
	}
}
