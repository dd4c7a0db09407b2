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

const legID = "call_1.advisor-1"

var request = ivr.DialRequest{
	LegID: legID, To: ivr.Line{ID: "line_1", Kind: ivr.Phone, Address: "+4915198765432"},
	CallerID: "+493055501001", Ring: 30 * time.Second, CutAfter: 90 * time.Second,
}

// dialled is a line that rings.
type dialled struct {
	leg ivr.Leg
	err error
}

func dial(ctx context.Context, s *Switch, r ivr.DialRequest) <-chan dialled {
	done := make(chan dialled, 1)
	go func() {
		leg, err := s.Dial(ctx, r)
		done <- dialled{leg, err}
	}()
	return done
}

func TestTheLineIsToldNothingButOurNumber(t *testing.T) {
	f := newFake(t)
	s := f.open()
	done := dial(context.Background(), s, request)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	f.answers(legID)
	if got := next(t, done); got.err != nil || got.leg.ID() != legID {
		t.Fatalf("%v", got.err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	body := f.channels[legID].body
	want := j{
		"endpoint": "PJSIP/+4915198765432@trunk-2", "app": "parley", "appArgs": "out," + legID, "callerId": "+493055501001",
		"timeout": 32., "variables": j{"TIMEOUT(absolute)": "90.000"},
	}
	if fmt.Sprint(body) != fmt.Sprint(want) {
		t.Errorf("asked for %v", body)
	}
	if strings.Contains(f.logs.String(), "98765432") {
		t.Error("the number was logged")
	}
}

func TestALineThatDoesNotAnswerSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		cause, status int
		want          error
	}{
		{17, 486, ivr.ErrBusy}, {17, 600, ivr.ErrBusy}, {17, 0, ivr.ErrBusy},
		{21, 603, ivr.ErrDeclined}, {21, 0, ivr.ErrDeclined}, {21, 403, ivr.ErrUnreachable},
		{19, 480, ivr.ErrNoAnswer}, {18, 408, ivr.ErrNoAnswer}, {19, 0, ivr.ErrNoAnswer},
		{1, 404, ivr.ErrUnreachable}, {34, 503, ivr.ErrUnreachable}, {38, 500, ivr.ErrUnreachable},
		{58, 488, ivr.ErrUnreachable}, {23, 302, ivr.ErrUnreachable}, {127, 487, ivr.ErrUnreachable},
		{0, 0, ivr.ErrUnreachable}, {1, 0, ivr.ErrUnreachable},
	} {
		t.Run(fmt.Sprint(tt.cause, "/", tt.status), func(t *testing.T) {
			f := newFake(t)
			f.twice = true
			s := f.open()
			done := dial(context.Background(), s, request)
			f.await("the line rings", func() bool { return f.channels[legID] != nil })
			f.destroy(legID, tt.cause, tt.status)
			if got := next(t, done); !errors.Is(got.err, tt.want) || got.leg != nil {
				t.Errorf("%v", got.err)
			}
		})
	}
}

func TestALineThatAsteriskCannotCallIsUnreachable(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			if method == "POST" && path == "/channels/"+legID {
				refuse(w, 500, "Allocation failed")
				return 500
			}
			return 0
		}
	})
	if got := next(t, dial(context.Background(), s, request)); !errors.Is(got.err, ivr.ErrUnreachable) {
		t.Errorf("%v", got.err)
	}
	if len(f.sent("DELETE")) > 0 || len(s.legs) > 0 {
		t.Error("what never was is remembered")
	}
}

func TestOnlyAnAddressIsDialled(t *testing.T) {
	s := newFake(t).open()
	for _, line := range []ivr.Line{
		{Kind: ivr.Phone, Address: "015198765432"}, {Kind: ivr.Phone, Address: "+49151@evil.example"},
		{Kind: ivr.Phone, Address: "+4915198765432&PJSIP/+491900123456"}, {Kind: ivr.Phone, Address: ""},
		{Kind: ivr.SIP, Address: "+4915198765432@trunk"}, {Kind: ivr.App, Address: "trunk/sip:x@evil.example"},
		{Kind: ivr.SIP, Address: ""}, {Kind: ivr.App, Address: "a&b"},
	} {
		r := request
		r.To = line
		if _, err := s.Dial(context.Background(), r); !errors.Is(err, ivr.ErrUnreachable) || strings.Contains(err.Error(), "98765432") {
			t.Errorf("%q: %v", line.Address, err)
		}
	}
}

func TestOurRingTimeIsExact(t *testing.T) {
	f := newFake(t)
	s := f.open()
	r := request
	r.Ring = 100 * time.Millisecond
	start := time.Now()
	got := next(t, dial(context.Background(), s, r))
	if took := time.Since(start); got.err != ivr.ErrNoAnswer || took < r.Ring || took > time.Second {
		t.Errorf("%v after %v", got.err, took)
	}
	f.await("the line no longer rings", func() bool { return f.channels[legID] == nil })
}

func TestAnEndedContextStopsTheRinging(t *testing.T) {
	f := newFake(t)
	s := f.open()
	ctx, cancel := context.WithCancelCause(context.Background())
	done := dial(ctx, s, request)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	cancel(ivr.ErrHungUp)
	if got := next(t, done); got.err != ivr.ErrHungUp {
		t.Errorf("%v", got.err)
	}
	f.await("the line no longer rings", func() bool { return f.channels[legID] == nil })
	settle(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.legs) > 0 {
		t.Error("the leg is remembered")
	}
	if _, err := s.Dial(ctx, request); err != ivr.ErrHungUp {
		t.Errorf("dialled with an ended context: %v", err)
	}
}

// The answer and our hang-up cross: 200 OK before the CANCEL.
func TestAnAnswerAfterTheEndIsHungUp(t *testing.T) {
	f := newFake(t)
	s := f.open()
	deaf := true
	f.with(func() {
		f.answer = func(method, _ string, w http.ResponseWriter) int {
			f.mu.Lock()
			defer f.mu.Unlock()
			if method == "DELETE" && deaf {
				w.WriteHeader(204) // and nothing happens
				return 204
			}
			return 0
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := dial(ctx, s, request)
	f.await("the line rings", func() bool { return f.channels[legID] != nil })
	cancel()
	if got := next(t, done); got.leg != nil {
		t.Fatal("a leg was returned")
	}
	f.awaitCommand("DELETE /channels/"+legID, 1)
	f.with(func() { deaf = false })
	f.answers(legID)
	f.await("the line is hung up", func() bool { return f.channels[legID] == nil })
}

// The command to ring is slower than the one to stop.
func TestARingingThatBeginsAfterTheEndIsStopped(t *testing.T) {
	f := newFake(t)
	s := f.open()
	begin := make(chan struct{})
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			if method == "POST" && path == "/channels/"+legID {
				<-begin
			}
			return 0
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := dial(ctx, s, request)
	f.awaitCommand("POST /channels/"+legID, 1)
	cancel()
	next(t, done)
	f.awaitCommand("DELETE /channels/"+legID, 1) // 404: there is nothing yet
	close(begin)
	f.await("the line was hung up again", func() bool {
		return len(f.sentLocked("DELETE /channels/"+legID)) == 2 && f.channels[legID] == nil
	})
}

func TestAnAnswerMayOvertakeTheCommandsAnswer(t *testing.T) {
	f := newFake(t)
	s := f.open()
	reply := make(chan struct{})
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			if method == "POST" && path == "/channels/"+legID {
				f.emit(j{"type": "StasisStart", "args": []string{"out", legID}, "channel": j{"id": legID}})
				<-reply
				w.WriteHeader(200)
				return 200
			}
			return 0
		}
	})
	if got := next(t, dial(context.Background(), s, request)); got.err != nil {
		t.Errorf("%v", got.err)
	}
	close(reply)
}

// Its first answer was lost on the way.
func TestALineIsRungOnceHoweverOftenWeAsk(t *testing.T) {
	f := newFake(t)
	s := f.open()
	lost := 1
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			f.mu.Lock()
			defer f.mu.Unlock()
			if method == "POST" && path == "/channels/"+legID && lost > 0 {
				lost--
				f.channels[legID] = &fakeChannel{id: legID, state: "Ringing", args: "out," + legID}
				f.change()
				panic(http.ErrAbortHandler)
			}
			return 0
		}
	})
	done := dial(context.Background(), s, request)
	f.awaitCommand("GET /channels/"+legID, 1)
	f.answers(legID)
	if got := next(t, done); got.err != nil {
		t.Errorf("%v", got.err)
	}
}

func TestAsteriskOutOfReachIsNotTheLinesFault(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			if strings.HasPrefix(path, "/channels/call") {
				panic(http.ErrAbortHandler)
			}
			return 0
		}
	})
	got := next(t, dial(context.Background(), s, request))
	var refusal *Error
	if got.err == nil || errors.Is(got.err, ivr.ErrUnreachable) || errors.As(got.err, &refusal) {
		t.Errorf("%v", got.err)
	}
}

// An app may show who calls about what; a telephone or a SIP phone is told nothing, and
// no text can write a header of its own.
func TestOnlyAnAppIsToldOfTheCall(t *testing.T) {
	r := request
	r.About = ivr.About{Kind: ivr.ClientCall, Alias: "Blue Heron", Topic: "a\r\nContact: <sip:x>", Talk: 90 * time.Second}
	for _, kind := range []ivr.LineKind{ivr.Phone, ivr.SIP} {
		r.To.Kind = kind
		if v := variables(r); len(v) != 1 {
			t.Errorf("a %s is told %v", kind, v)
		}
	}
	r.To.Kind = ivr.App
	v := variables(r)
	if len(v) != 5 || v["PJSIP_HEADER(add,X-Parley-Alias)"] != "Blue%20Heron" || v["PJSIP_HEADER(add,X-Parley-Seconds)"] != "90" ||
		v["PJSIP_HEADER(add,X-Parley-Kind)"] != "client" {
		t.Errorf("an app is told %v", v)
	}
	for name, value := range v {
		if strings.ContainsAny(value, "\r\n<>") {
			t.Errorf("%s: %q", name, value)
		}
	}
}
