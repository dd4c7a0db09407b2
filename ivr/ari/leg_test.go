package ari

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// inbound is a switch with one call that has come in.
func inbound(t *testing.T) (*fake, *Switch, ivr.Leg) {
	t.Helper()
	f := newFake(t)
	s := f.open()
	in := calls(t, s)
	f.incoming("pbx-1", "493055501001", "+4915112345678")
	return f, s, next(t, in).leg
}

func TestACallThatComesInIsServedOnce(t *testing.T) {
	f := newFake(t)
	f.twice = true
	s := f.open()
	in := calls(t, s)
	f.incoming("pbx-1", "493055501001", "4915112345678")
	call := next(t, in)
	if call.did != "+493055501001" || call.ani != "+4915112345678" {
		t.Errorf("DID %q, ANI %q", call.did, call.ani)
	}
	f.destroy("pbx-1", 16, 0)
	departure(t, call.leg)
	f.incoming("pbx-2", "493055501001", "")
	if second := next(t, in); second.leg.ID() != "pbx-2" {
		t.Errorf("served %s", second.leg.ID())
	}
	if len(in) > 0 {
		t.Error("a call was served twice")
	}
}

func TestANumberIsE164OrNothing(t *testing.T) {
	for claimed, want := range map[string]string{
		"+4915112345678": "+4915112345678", "4915112345678": "+4915112345678", "004915112345678": "+4915112345678",
		"": "", "anonymous": "", "015112345678": "", "+0151": "", "12345": "", "+49151123456789012345": "",
		"+49 151 123456": "", "+4915112345678\n": "", "'; drop table calls": "", "+491511234567８": "", "++4915112345678": "",
	} {
		if got := number(claimed); got != want {
			t.Errorf("%q is %q, want %q", claimed, got, want)
		}
	}
}

func TestACallBeforeServeWaitsForIt(t *testing.T) {
	f := newFake(t)
	s := f.open()
	f.incoming("pbx-1", "493055501001", "")
	f.incoming("pbx-2", "493055501001", "")
	in := calls(t, s)
	got := map[string]bool{next(t, in).leg.ID(): true, next(t, in).leg.ID(): true}
	if !got["pbx-1"] || !got["pbx-2"] {
		t.Errorf("served %v", got)
	}
}

func TestAfterServeTheDialplanApologises(t *testing.T) {
	f := newFake(t)
	s := f.open()
	ctx, cancel := context.WithCancelCause(context.Background())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, handlerFunc(func(incoming) { t.Error("a call was served") })) }()
	cancel(ivr.ErrShutdown)
	if err := next(t, served); err != ivr.ErrShutdown {
		t.Errorf("Serve returned %v", err)
	}
	f.incoming("pbx-1", "493055501001", "")
	f.awaitCommand("POST /channels/pbx-1/continue?context=noapp&extension=s&priority=1", 1)
}

func TestAStrangeChannelIsHungUp(t *testing.T) {
	for name, ev := range map[string]j{
		"moved by a transfer": {"type": "StasisStart", "args": []string{"in", "493055501001"}, "replace_channel": j{"id": "pbx-0"}},
		"of nobody":           {"type": "StasisStart", "args": []string{}},
		"long given up":       {"type": "StasisStart", "args": []string{"out", "call_1.advisor-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			in := calls(t, f.open())
			ev["channel"] = j{"id": "pbx-1"}
			f.emit(ev)
			f.awaitCommand("DELETE /channels/pbx-1", 1)
			if len(in) > 0 {
				t.Error("it was served")
			}
		})
	}
}

func TestADepartureSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		cause  int
		lost   bool
		before time.Duration // the party was gone before we were told
	}{
		{16, false, 0}, {0, false, 0}, {17, false, 0}, {19, false, 0}, {21, false, 0}, {31, false, 0}, {127, false, 0},
		{18, true, 0}, {27, true, 0}, {38, true, 0}, {41, true, 0}, {102, true, 0}, {44, true, 30 * time.Second},
	} {
		t.Run(fmt.Sprint(tt.cause), func(t *testing.T) {
			f, _, leg := inbound(t)
			f.mu.Lock()
			f.twice = true // ChannelDestroyed too
			f.mu.Unlock()
			start := time.Now()
			f.destroy("pbx-1", tt.cause, 0)
			d := departure(t, leg)
			if d.Cause != cmp.Or(ivr.Cause(tt.cause), ivr.NormalClearing) || d.Lost != tt.lost || d.Leg != "pbx-1" {
				t.Errorf("%+v", d)
			}
			if at := d.At.Add(tt.before); at.Before(start) || at.After(time.Now()) {
				t.Errorf("at %v, %v after its end", d.At, d.At.Sub(start))
			}
			if errors.Is(d, ivr.ErrLost) != tt.lost {
				t.Errorf("%v", d)
			}
		})
	}
}

// ChannelDestroyed says 0 of a BYE without a cause, too.
func TestASwitchThatEndsALegInTimeGivesNoCause(t *testing.T) {
	f, _, leg := inbound(t)
	f.emit(j{"type": "ChannelHangupRequest", "soft": true, "cause": 16, "channel": j{"id": "pbx-1"}})
	f.destroy("pbx-1", 0, 0)
	if d := departure(t, leg); d.Cause != 0 || d.Lost {
		t.Errorf("%+v", d)
	}
}

// A BYE may carry any cause in its Reason header.
func TestNobodyClaimsToHaveBeenGoneForLong(t *testing.T) {
	f, _, leg := inbound(t)
	start := time.Now()
	f.emit(j{"type": "ChannelHangupRequest", "channel": j{"id": "pbx-1"}})
	f.destroy("pbx-1", 44, 0)
	if d := departure(t, leg); d.At.Before(start) {
		t.Errorf("%+v", d)
	}
}

func TestALegThatWeHangUpIsNotLost(t *testing.T) {
	f, _, leg := inbound(t)
	leg.Hangup(ivr.TemporaryFailure)
	leg.Hangup(ivr.NormalClearing)
	if d := departure(t, leg); d.Lost || d.Cause != ivr.TemporaryFailure {
		t.Errorf("%+v", d)
	}
	leg.Hangup(ivr.NormalClearing)
	if sent := f.sent("DELETE /channels/pbx-1"); len(sent) != 1 || !strings.HasSuffix(sent[0], "reason_code=41") {
		t.Errorf("sent %q", sent)
	}
}

func TestAHangUpIsTriedUntilItIsDone(t *testing.T) {
	f, _, leg := inbound(t)
	failures := 4 // more than one command is tried
	f.with(func() {
		f.answer = func(method, path string, w http.ResponseWriter) int {
			f.mu.Lock()
			defer f.mu.Unlock()
			if method == "DELETE" && failures > 0 {
				failures--
				refuse(w, 503, "busy")
				return 503
			}
			return 0
		}
	})
	leg.Hangup(ivr.NormalClearing)
	departure(t, leg)
}

func TestAStolenLegIsLostAndEnded(t *testing.T) {
	f, _, leg := inbound(t)
	f.emit(j{"type": "StasisEnd", "channel": j{"id": "pbx-1"}})
	if d := departure(t, leg); !d.Lost {
		t.Errorf("%+v", d)
	}
	f.awaitCommand("DELETE /channels/pbx-1", 1)
}

func TestACommandOnALegThatIsGoneSaysThatItIsGone(t *testing.T) {
	t.Run("and the event comes", func(t *testing.T) {
		f, _, leg := inbound(t)
		f.with(func() {
			f.answer = func(method, path string, w http.ResponseWriter) int {
				if path != "/channels/pbx-1/answer" {
					return 0
				}
				refuse(w, 404, "Channel not found")
				go f.destroy("pbx-1", 16, 0)
				return 404
			}
		})
		if err := leg.Answer(context.Background()); !errors.Is(err, ivr.ErrHungUp) {
			t.Errorf("%v", err)
		}
	})
	t.Run("and it never comes", func(t *testing.T) {
		f, _, leg := inbound(t)
		f.with(func() { delete(f.channels, "pbx-1") })
		if err := leg.Answer(context.Background()); !errors.Is(err, ivr.ErrLost) {
			t.Errorf("%v", err)
		}
		departure(t, leg)
	})
	t.Run("but an error is an error", func(t *testing.T) {
		f, _, leg := inbound(t)
		f.with(func() {
			f.answer = func(_, path string, w http.ResponseWriter) int {
				if path == "/channels/pbx-1/answer" {
					refuse(w, 500, "Out of sorts")
					return 500
				}
				return 0
			}
		})
		err := leg.Answer(context.Background())
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Message != "Out of sorts" || leg.Context().Err() != nil {
			t.Errorf("%v, leg %v", err, leg.Context().Err())
		}
	})
}

func TestPromptsAreOneCommand(t *testing.T) {
	f, _, leg := inbound(t)
	if err := leg.Play(context.Background(), "en", "welcome", "missing", "digits/7"); err != nil {
		t.Fatal(err)
	}
	sent := f.sent("POST /channels/pbx-1/play/prompt-")
	if len(sent) != 1 || !strings.HasSuffix(sent[0], `{"media":["sound:en/welcome","sound:en/digits/7"]}`) {
		t.Errorf("%q", sent)
	}
	if !strings.Contains(f.logs.String(), "prompt is missing") {
		t.Error("the missing prompt was not logged")
	}
	if err := leg.Play(context.Background(), "en", "missing"); err != nil {
		t.Errorf("a missing prompt is %v", err)
	}
	if len(f.sent("DELETE /playbacks")) > 0 {
		t.Error("a prompt that had ended was stopped")
	}
}

func TestAPromptThatFailsIsPassedOver(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.mute = true })
	played := make(chan error)
	go func() { played <- leg.Play(context.Background(), "en", "welcome") }()
	f.await("the prompt is spoken", func() bool { return len(f.played) == 1 })
	f.with(func() {
		for id := range f.played {
			f.finishLocked(id, "failed")
		}
	})
	if err := next(t, played); err != nil {
		t.Error(err)
	}
	if !strings.Contains(f.logs.String(), "prompt was not played") {
		t.Errorf("logs: %s", f.logs)
	}
}

func TestAPromptWhoseEndIsNeverReportedEnds(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.mute = true })
	start := time.Now()
	if err := leg.Play(context.Background(), "en", "welcome"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("it was given %v", took)
	}
	f.awaitCommand("DELETE /playbacks/", 1)
}

func TestAnEndedContextStopsThePrompt(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.mute = true })
	ctx, cancel := context.WithCancelCause(context.Background())
	played := make(chan error)
	go func() { played <- leg.Play(ctx, "en", "welcome") }()
	f.awaitCommand("POST /channels/pbx-1/play", 1)
	cancel(ivr.ErrTimeLimit)
	if err := next(t, played); err != ivr.ErrTimeLimit {
		t.Errorf("%v", err)
	}
	f.awaitCommand("DELETE /playbacks/", 1)
	if err := leg.Play(ctx, "en", "welcome"); err != ivr.ErrTimeLimit {
		t.Errorf("with a context that had ended: %v", err)
	}
}

// The prompt's end, state failed, comes before the departure.
func TestHangingUpDuringAPromptIsADeparture(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.mute = true })
	played := make(chan error)
	go func() { played <- leg.Play(context.Background(), "en", "welcome") }()
	f.await("the prompt is spoken", func() bool { return len(f.played) == 1 })
	f.with(func() {
		for id := range f.played {
			f.finishLocked(id, "failed")
		}
		f.destroyLocked("pbx-1", 16, 0)
	})
	if err := next(t, played); !errors.Is(err, ivr.ErrHungUp) {
		t.Errorf("%v", err)
	}
	if strings.Contains(f.logs.String(), "not played") {
		t.Error("the prompt was blamed")
	}
}

func TestWaitingSoundStopsBeforeWhatComesNext(t *testing.T) {
	for next, do := range map[string]func(s *Switch, client, advisor ivr.Leg) error{
		"POST /channels/pbx-1/play": func(_ *Switch, client, _ ivr.Leg) error {
			return client.Play(context.Background(), "en", "money-spent")
		},
		"POST /channels/pbx-1/variable": func(_ *Switch, client, _ ivr.Leg) error { // nothing is spoken
			_, err := client.Gather(context.Background(), "en", ivr.Entry{Most: 1, First: time.Millisecond})
			return errors.Join(err, client.CutAfter(context.Background(), time.Minute))
		},
		"POST /bridges/call_1": func(s *Switch, client, advisor ivr.Leg) error {
			_, err := s.Bridge(context.Background(), "call_1", advisor, client)
			return err
		},
	} {
		f := newFake(t)
		s := f.open()
		client, advisor := legs(t, f, s)
		waited(t, f, client, dialplan.Music, "moh")
		waited(t, f, client, dialplan.Ringing, "ring")
		if err := do(s, client, advisor); err != nil {
			t.Errorf("%s: %v", next, err)
		}
		sent := f.sent("")
		at := func(what string) int {
			return slices.IndexFunc(sent, func(c string) bool { return strings.HasPrefix(c, what) })
		}
		order := []int{at("POST /channels/pbx-1/moh"), at("DELETE /channels/pbx-1/moh"),
			at("POST /channels/pbx-1/ring"), at("DELETE /channels/pbx-1/ring"), at(next)}
		if order[0] < 0 || !slices.IsSorted(order) {
			t.Errorf("%s: %q", next, sent)
		}
		if len(f.sent("DELETE /channels/pbx-1/")) != 2 {
			t.Errorf("%s: %q", next, sent)
		}
	}
}

// waited has a leg wait by a sound, until something ends the waiting.
func waited(t *testing.T, f *fake, leg ivr.Leg, what dialplan.Waiting, kind string) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan error)
	go func() { done <- leg.Entertain(ctx, what) }()
	f.awaitCommand("POST /channels/pbx-1/"+kind, 1)
	cancel(ivr.ErrNoAnswer)
	if err := next(t, done); err != ivr.ErrNoAnswer {
		t.Errorf("%s: %v", what, err)
	}
}

func TestAWhisperIsNoCall(t *testing.T) {
	f := newFake(t)
	s := f.open()
	in := calls(t, s)
	f.incoming("pbx-1", "493055501001", "")
	leg := next(t, in).leg
	if err := leg.Whisper(context.Background(), "en", "one-minute"); err != nil {
		t.Fatal(err)
	}
	f.awaitCommand("POST /channels/pbx-1/snoop/whisper-", 1)
	f.awaitCommand("POST /channels/whisper-", 1) // play
	f.awaitCommand("DELETE /channels/whisper-", 1)
	f.await("the snoop channel is gone", func() bool { return len(f.channels) == 1 })
	if len(in) > 0 {
		t.Error("it was served")
	}
	if !strings.Contains(f.sent("POST /channels/pbx-1/snoop")[0], "whisper=out") {
		t.Error("the other party hears it")
	}
}

func TestCutAfterIsInSeconds(t *testing.T) {
	f, _, leg := inbound(t)
	for d, want := range map[time.Duration]string{
		90 * time.Second: "90.000", 1500 * time.Millisecond: "1.500",
		0: "0.001", -time.Second: "0.001", // 0 would mean never
	} {
		if err := leg.CutAfter(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		sent := f.sent("POST /channels/pbx-1/variable")
		if got := sent[len(sent)-1]; !strings.HasSuffix(got, "?value="+want+"&variable=TIMEOUT%28absolute%29") {
			t.Errorf("%v: %s", d, got)
		}
	}
}

func TestWhoTalksNeedsNoApology(t *testing.T) {
	f, _, client, _, _ := talking(t)
	if err := client.CutAfter(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := f.sent("POST /channels/pbx-1/variable")[0]; !strings.HasSuffix(got, "?value=60.000%2Cyes&variable=ARRAY%28TIMEOUT%28absolute%29%2CTALKED%29") {
		t.Error(got)
	}
}
