package ari

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// legs is a client's leg that has come in and an advisor's that has answered.
func legs(t *testing.T, f *fake, s *Switch) (client, advisor ivr.Leg) {
	t.Helper()
	in := calls(t, s)
	f.incoming("pbx-1", "493055501001", "+4915112345678")
	client = next(t, in).leg
	done := dial(context.Background(), s, request)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	f.answers(legID)
	got := next(t, done)
	if got.err != nil {
		t.Fatal(got.err)
	}
	return client, got.leg
}

// talking is two legs that hear each other.
func talking(t *testing.T) (f *fake, s *Switch, client, advisor ivr.Leg, talk ivr.Talk) {
	t.Helper()
	f = newFake(t)
	s = f.open()
	client, advisor = legs(t, f, s)
	talk, err := s.Bridge(context.Background(), "call_1", client, advisor)
	if err != nil {
		t.Fatal(err)
	}
	return f, s, client, advisor, talk
}

func until(t *testing.T, talk ivr.Talk) time.Time {
	t.Helper()
	next(t, talk.Over())
	return talk.SeenAt()
}

func isOver(talk ivr.Talk) bool {
	select {
	case <-talk.Over():
		return true
	default:
		return false
	}
}

func TestTwoLegsAreJoinedWithOneCommand(t *testing.T) {
	start := time.Now()
	f, _, _, _, talk := talking(t)
	if at := talk.JoinedAt(); at.Before(start) || at.After(time.Now()) {
		t.Errorf("joined at %v", at)
	}
	added := f.sent("POST /bridges/call_1.talk-")
	if len(added) != 2 || !strings.HasSuffix(added[0], "?type=mixing") ||
		!strings.HasSuffix(added[1], "/addChannel?channel=pbx-1%2C"+legID+"&inhibitConnectedLineUpdates=true") {
		t.Errorf("%q", added)
	}
}

func TestATalkEndsWhenEitherLeaves(t *testing.T) {
	for _, leaver := range []string{"pbx-1", legID} {
		f, _, client, advisor, talk := talking(t)
		start := time.Now()
		f.destroy(leaver, 16, 0)
		end := until(t, talk)
		if end.Before(start) || end.After(time.Now()) {
			t.Errorf("until %v", end.Sub(start))
		}
		if talk.SeenAt() != end {
			t.Errorf("seen at %v, until %v", talk.SeenAt(), end)
		}
		client.Hangup(ivr.NormalClearing)
		advisor.Hangup(ivr.NormalClearing)
		f.await("the bridge is gone", func() bool { return len(f.bridges) == 0 })
	}
}

// The bridge is left when Asterisk gives the silent leg up; the talk ended before.
func TestATalkEndsWithTheLastSound(t *testing.T) {
	f, _, _, _, talk := talking(t)
	start := time.Now()
	f.destroy("pbx-1", 44, 0)
	end := until(t, talk)
	if end != talk.JoinedAt() || end.After(start) { // not before it began, either
		t.Errorf("until %v after it was joined", end.Sub(talk.JoinedAt()))
	}
}

func TestALegThatOnlyLeavesTheBridgeEndsTheTalk(t *testing.T) {
	f, _, client, _, talk := talking(t)
	start := time.Now()
	f.mu.Lock()
	f.leaveBridge(f.channels["pbx-1"])
	f.mu.Unlock()
	if end := until(t, talk); end.Before(start) {
		t.Errorf("until %v", end.Sub(start))
	}
	if client.Context().Err() != nil {
		t.Error("the leg has ended too")
	}
}

// Whoever remains is not thrown out of the bridge, or a question to them might be lost.
func TestWhoRemainsHearsWhatIsPlayed(t *testing.T) {
	f, _, _, advisor, talk := talking(t)
	f.destroy("pbx-1", 44, 0)
	until(t, talk)
	if err := advisor.Play(context.Background(), "en", "client-lost-press-1"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(f.logs.String(), "did not report its end") {
		t.Errorf("the prompt was not heard:\n%s", f.logs)
	}
}

func TestWhatIsPlayedToALegIsPlayedOutsideTheTalk(t *testing.T) {
	for name, play := range map[string]func(ivr.Leg) error{
		"prompt": func(l ivr.Leg) error { return l.Play(context.Background(), "en", "money-spent") },
		"music": func(l ivr.Leg) error {
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if err := l.Entertain(ctx, dialplan.Music); err != context.DeadlineExceeded {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, s, client, advisor, talk := talking(t)
			if err := play(client); err != nil {
				t.Fatal(err)
			}
			now := time.Now()
			if end := until(t, talk); end.Before(talk.JoinedAt()) || end.After(now) {
				t.Errorf("until %v", end)
			}
			sent := f.sent("")
			removed := slices.IndexFunc(sent, func(c string) bool {
				return strings.HasPrefix(c, "POST /bridges/call_1.talk-") && strings.HasSuffix(c, "/removeChannel?channel=pbx-1")
			})
			played := slices.IndexFunc(sent, func(c string) bool {
				return strings.HasPrefix(c, "POST /channels/pbx-1/play") || strings.HasPrefix(c, "POST /channels/pbx-1/moh")
			})
			if removed < 0 || played < removed {
				t.Errorf("%q", sent)
			}
			if advisor.Context().Err() != nil {
				t.Error("the other leg has ended")
			}
			advisor.Hangup(ivr.NormalClearing)
			f.await("the bridge is gone", func() bool { return len(f.bridges) == 0 })
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.talks) > 0 {
				t.Error("the talk is remembered")
			}
		})
	}
}

func TestJoinedBeforeTheCommandIsAnswered(t *testing.T) {
	f := newFake(t)
	s := f.open()
	client, advisor := legs(t, f, s)
	reply := make(chan struct{})
	defer close(reply)
	f.with(func() {
		f.answer = func(_, path string, w http.ResponseWriter) int {
			if !strings.HasSuffix(path, "/addChannel") {
				return 0
			}
			bridge := j{"id": strings.Split(path, "/")[2]}
			for _, id := range []string{legID, "pbx-1", "pbx-1"} { // in any order, and twice
				f.emit(j{"type": "ChannelEnteredBridge", "bridge": bridge, "channel": j{"id": id}})
			}
			<-reply
			return 0
		}
	})
	if _, err := s.Bridge(context.Background(), "call_1", client, advisor); err != nil {
		t.Error(err)
	}
}

func TestLegsThatCannotBeJoinedAreNoTalk(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(f *fake, w http.ResponseWriter) int
		want   error
	}{
		"one leaves while it is joined": {func(f *fake, w http.ResponseWriter) int {
			f.destroy("pbx-1", 16, 0)
			refuse(w, 400, "Channel not found")
			return 400
		}, ivr.ErrHungUp},
		"one is lost while it is joined": {func(f *fake, w http.ResponseWriter) int {
			f.destroy(legID, 41, 0)
			w.WriteHeader(204)
			return 204
		}, ivr.ErrLost},
		"refused": {func(f *fake, w http.ResponseWriter) int {
			refuse(w, 409, "Channel is being recorded")
			return 409
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			s := f.open()
			client, advisor := legs(t, f, s)
			f.with(func() {
				f.answer = func(_, path string, w http.ResponseWriter) int {
					if strings.HasSuffix(path, "/addChannel") {
						return tt.answer(f, w)
					}
					return 0
				}
			})
			talk, err := s.Bridge(context.Background(), "call_1", client, advisor)
			if talk != nil || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, %v", talk, err)
			}
			if n := len(f.sent("POST /bridges/call_1.talk-")); n != 2 {
				t.Errorf("%d commands: what may be half done is not done again", n)
			}
			f.await("the bridge is gone", func() bool { return len(f.bridges) == 0 })
			if _, err := s.Bridge(context.Background(), "call_1", client, advisor); tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("with a leg that is gone: %v", err)
			}
		})
	}
}

func TestATalkIsSeenWhileAsteriskIsThere(t *testing.T) {
	f, s, _, _, talk := talking(t)
	now := time.Now()
	if at := talk.SeenAt(); at.Before(now) {
		t.Errorf("seen %v ago", now.Sub(at))
	}
	f.with(func() {
		f.wire.frozen.Store(true)
		f.failLists = 1 << 20 // and on the next connection nothing can be asked
	})
	frozen := time.Now()
	f.await("it is given up", func() bool { return f.sockets > 2 })
	at := talk.SeenAt()
	if at.After(frozen.Add(2 * quick.beat)) {
		t.Errorf("seen %v after Asterisk froze", at.Sub(frozen))
	}
	if s.Connected() {
		t.Error("connected")
	}
	f.with(func() { f.failLists = 0 })
	if !eventually(s.Connected) {
		t.Fatal("not connected again")
	}
	if now := talk.SeenAt(); !now.After(at) {
		t.Error("not seen again")
	}
}

// eventually polls what has no signal.
func eventually(is func() bool) bool {
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if is() {
			return true
		}
	}
	return false
}
