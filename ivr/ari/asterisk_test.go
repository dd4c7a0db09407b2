package ari

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/lab/phone"
)

func TestAsteriskACallIsAnsweredSpokenToAndKeyed(t0 *testing.T) {
	t := newTown(t0)
	leg, c := t.call()
	start := time.Now()
	if err := leg.Play(within(t.T, soon), "en", "low", "missing"); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < promptLength-200*time.Millisecond || took > promptLength+2*time.Second {
		t.Errorf("the prompt took %v", took)
	}
	if share := c.ToneShare(low, start.Add(200*time.Millisecond), time.Now()); share < 0.8 {
		t.Errorf("heard %.0f %% of the prompt", 100*share)
	}
	for name, how := range map[string][]phone.KeyOption{"RFC 4733": nil, "INFO": {phone.ViaINFO()}} {
		keyed := make(chan error, 1)
		go func() {
			err := c.HearsTone(within(t.T, soon), high, soon)
			start = time.Now()
			keyed <- errors.Join(err, c.Keys(within(t.T, soon), "4711#", how...))
		}()
		digits, err := leg.Gather(within(t.T, soon), "en", ivr.Entry{
			Prompts: []ivr.Prompt{"high"}, Most: 6, First: soon, Between: soon,
		})
		if digits != "4711" || err != nil {
			t.Errorf("%s: gathered %q, %v", name, digits, err)
		}
		if err := next(t.T, keyed); err != nil {
			t.Error(err)
		}
		if share := c.ToneShare(high, start.Add(500*time.Millisecond), time.Now()); share > 0.2 {
			t.Errorf("%s: the prompt went on after the first key", name)
		}
	}
	start = time.Now()
	if err := c.Hangup(within(t.T, soon)); err != nil {
		t.Error(err)
	}
	if d := departure(t.T, leg); d.Lost || d.Cause != ivr.NormalClearing || d.At.Before(start) {
		t.Errorf("%+v", d)
	}
	t.nothingIsLeft()
}

func TestAsteriskWaitingIsHeard(t0 *testing.T) {
	t := newTown(t0)
	leg, c := t.call()
	for what, heard := range map[dialplan.Waiting]func() bool{
		dialplan.Ringing: func() bool { return c.HearsTone(within(t.T, soon), 440, soon) == nil },
		dialplan.Music:   func() bool { return eventually(func() bool { return loud(c) }) },
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		done := make(chan error, 1)
		go func() { done <- leg.Entertain(ctx, what) }()
		if !heard() {
			t.Errorf("no %s", what)
		}
		if err := leg.CutAfter(within(t.T, soon), time.Minute); err != nil {
			t.Errorf("%s holds other commands up: %v", what, err)
		}
		cancel(ivr.ErrNoAnswer)
		if err := next(t.T, done); err != ivr.ErrNoAnswer {
			t.Error(err)
		}
		if _, err := leg.Gather(within(t.T, soon), "en", ivr.Entry{Most: 1, First: time.Second}); err != nil {
			t.Error(err)
		}
		if loud(c) {
			t.Errorf("%s goes on", what)
		}
	}
	if err := leg.CutAfter(within(t.T, soon), 500*time.Millisecond); err != nil {
		t.Error(err)
	}
	if d := departure(t.T, leg); d.Cause != 0 {
		t.Errorf("cut: %+v", d)
	}
	next(t.T, c.Ended())
}

// loud reports whether anything is heard in the next 200 ms. Where there is nothing
// to be heard, Asterisk sends nothing.
func loud(c *phone.Call) bool {
	before := len(c.Audio())
	time.Sleep(200 * time.Millisecond)
	return slices.ContainsFunc(c.Audio()[before:], func(v int16) bool { return v > 300 || v < -300 })
}

func TestAsteriskALineSaysWhyItDoesNotAnswer(t0 *testing.T) {
	t := newTown(t0)
	p := t.carrier.Phone(advisors)
	for name, tt := range map[string]struct {
		policy phone.Policy
		want   error
	}{
		"busy": {phone.Busy(), ivr.ErrBusy}, "declined": {phone.Decline(), ivr.ErrDeclined},
		"temporarily unavailable": {phone.Refuse(480), ivr.ErrNoAnswer}, "not found": {phone.Refuse(404), ivr.ErrUnreachable},
		"forbidden": {phone.Refuse(403), ivr.ErrUnreachable}, "no circuit": {phone.Refuse(503), ivr.ErrUnreachable},
		"rings on": {phone.NeverAnswer(), ivr.ErrNoAnswer}, "dead": {phone.Dead(), ivr.ErrNoAnswer},
	} {
		p.OnCall(tt.policy)
		t.id = ""
		if _, err := t.s.Dial(within(t.T, soon), t.request(time.Second)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.id = ""
	r := t.request(time.Second)
	r.To = ivr.Line{Kind: ivr.SIP, Address: "nobody"}
	if _, err := t.s.Dial(within(t.T, soon), r); !errors.Is(err, ivr.ErrUnreachable) {
		t.Errorf("no endpoint: %v", err)
	}
	t.nothingIsLeft()
}

func TestAsteriskALineNoLongerRingsWhenItsContextEnds(t0 *testing.T) {
	t := newTown(t0)
	p := t.carrier.Phone(advisors)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := dial(ctx, t.s, t.request(soon))
	in, err := p.Accept(within(t.T, soon))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Ring(); err != nil {
		t.Error(err)
	}
	cancel(ivr.ErrHungUp)
	if got := next(t.T, done); got.err != ivr.ErrHungUp {
		t.Errorf("%v", got.err)
	}
	next(t.T, in.Ended())
	if end := in.EndReason(); end.By != phone.RemoteCancel {
		t.Errorf("%+v", end)
	}
	t.nothingIsLeft()
}

func TestAsteriskTwoTalkAndLearnNothingOfEachOther(t0 *testing.T) {
	t := newTown(t0)
	talk, client, advisor := t.talk()
	start := time.Now()
	if err := advisor.Call.Hangup(within(t.T, soon)); err != nil {
		t.Error(err)
	}
	end := until(t.T, talk)
	if end.Before(start) || end.After(time.Now()) {
		t.Errorf("until %v", end.Sub(start))
	}
	departure(t.T, advisor.leg)
	if client.leg.Context().Err() != nil {
		t.Error("the client's leg has ended too")
	}
	start = time.Now()
	if err := client.leg.Play(within(t.T, soon), "en", "low"); err != nil {
		t.Errorf("last words: %v", err)
	}
	if share := client.ToneShare(low, start.Add(300*time.Millisecond), time.Now()); share < 0.8 {
		t.Errorf("heard %.0f %% of the last words", 100*share)
	}
	client.leg.Hangup(ivr.NormalClearing)
	next(t.T, client.Ended())
	for _, m := range advisor.Messages() {
		if strings.Contains(m, clients[1:]) {
			t.Errorf("the advisor's phone was told the client's number:\n%s", m)
		}
	}
	for _, m := range client.Messages() {
		if strings.Contains(m, advisors[1:]) {
			t.Errorf("the client's phone was told the advisor's number:\n%s", m)
		}
	}
	t.nothingIsLeft()
}

func TestAsteriskLastWordsAreHeardInsteadOfTheTalk(t0 *testing.T) {
	t := newTown(t0)
	talk, client, advisor := t.talk()
	start := time.Now()
	if err := client.leg.Play(within(t.T, soon), "en", "low"); err != nil {
		t.Error(err)
	}
	if share := client.ToneShare(low, start.Add(300*time.Millisecond), time.Now()); share < 0.8 {
		t.Errorf("heard %.0f %% of the last words", 100*share)
	}
	if share := advisor.ToneShare(ours, start.Add(300*time.Millisecond), time.Now()); share > 0.1 {
		t.Errorf("the advisor heard the client for %.0f %% of them", 100*share)
	}
	if end := until(t.T, talk); end.Sub(start) > time.Second {
		t.Errorf("the talk ended %v after the words began", end.Sub(start))
	}
	// The same two in the same call: another talk, while the first is still cleared away.
	talk, err := t.s.Bridge(within(t.T, soon), t.callID(), client.leg, advisor.leg)
	if err != nil {
		t.Fatal(err)
	}
	t.hears(client.Call, theirs)
	t.hears(advisor.Call, ours)
	if talk, err = t.s.Bridge(within(t.T, soon), t.callID(), advisor.leg, client.leg); err != nil {
		t.Fatal(err)
	}
	t.hears(client.Call, theirs)
	t.hears(advisor.Call, ours)
	client.leg.Hangup(ivr.NormalClearing)
	until(t.T, talk)
	advisor.leg.Hangup(ivr.NormalClearing)
	t.nothingIsLeft()
}

func TestAsteriskAWhisperIsHeardByOneAlone(t0 *testing.T) {
	t := newTown(t0)
	_, client, advisor := t.talk()
	start := time.Now()
	if err := client.leg.Whisper(within(t.T, soon), "en", "low"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > promptLength/2 {
		t.Errorf("whispering took %v", took)
	}
	t.hears(client.Call, low)
	t.hears(client.Call, theirs) // the talk goes on beneath
	if err := client.leg.CutAfter(within(t.T, soon), time.Minute); err != nil {
		t.Errorf("a whisper holds other commands up: %v", err)
	}
	t.hears(advisor.Call, ours)
	if !eventually(func() bool {
		t.s.mu.Lock()
		defer t.s.mu.Unlock()
		return len(t.s.legs) == 2
	}) {
		t.Error("the whisper does not end")
	}
	if took := time.Since(start); took < promptLength-200*time.Millisecond {
		t.Errorf("the whisper took %v", took)
	}
	if share := advisor.ToneShare(low, start, time.Now()); share > 0 {
		t.Error("the advisor heard it")
	}
	if share := advisor.ToneShare(ours, start.Add(200*time.Millisecond), time.Now()); share < 0.9 {
		t.Errorf("the advisor heard %.0f %% of the client meanwhile", 100*share)
	}
}

// In a talk keys are told only while something is asked: then one is enough, and what
// was keyed before does not count.
func TestAsteriskAKeyAnswersAQuestionInATalk(t0 *testing.T) {
	t := newTown(t0)
	_, client, advisor := t.talk()
	if err := client.Keys(within(t.T, soon), "1"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	type answer struct {
		digits string
		err    error
	}
	answers := make(chan answer, 1)
	ask := func() {
		digits, err := client.leg.Ask(within(t.T, 2*soon), "en", ivr.Entry{Prompts: []ivr.Prompt{"low"}, Most: 1, First: 2 * time.Second})
		answers <- answer{digits, err}
	}
	go ask()
	t.hears(client.Call, low)
	if err := client.leg.CutAfter(within(t.T, soon), time.Minute); err != nil {
		t.Errorf("a question holds other commands up: %v", err)
	}
	if err := client.Keys(within(t.T, soon), "2"); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; a.err != nil || a.digits != "2" {
		t.Errorf("the answer is %q, %v", a.digits, a.err)
	}
	if share := advisor.ToneShare(low, start, time.Now()); share > 0 {
		t.Error("the advisor heard the question")
	}
	t.hears(client.Call, theirs)
	t.hears(advisor.Call, ours)
	go ask()
	if a := <-answers; a.err != nil || a.digits != "" {
		t.Errorf("silence answers %q, %v", a.digits, a.err)
	}
	if share := advisor.ToneShare(ours, start.Add(200*time.Millisecond), time.Now()); share < 0.8 {
		t.Errorf("the advisor heard the client for %.0f %% of it", 100*share)
	}
	go ask()
	client.leg.Hangup(ivr.NormalClearing)
	if a := <-answers; !errors.Is(a.err, ivr.ErrHungUp) {
		t.Errorf("whoever leaves answers %q, %v", a.digits, a.err)
	}
	advisor.leg.Hangup(ivr.NormalClearing)
	t.nothingIsLeft()
}

func TestAsteriskAVanishedPhoneIsLostAndItsTalkEndedWithTheLastSound(t0 *testing.T) {
	t := newTown(t0)
	talk, client, _ := t.talk()
	client.Vanish()
	vanished := time.Now()
	end := until(t.T, talk)
	d := departure(t.T, client.leg)
	if !d.Lost || d.Cause != ivr.Unavailable {
		t.Errorf("%+v", d)
	}
	if off := end.Sub(vanished); off < -time.Second || off > time.Second || end != d.At && end != talk.JoinedAt() {
		t.Errorf("the talk ended %v after the last sound, the leg %v", off, d.At.Sub(vanished))
	}
}

func TestAsteriskAnAdvisorsPhoneRegistersAndIsRung(t0 *testing.T) {
	t := newTown(t0)
	ctx := within(t.T, soon)
	const id = "adv_test"
	for _, kind := range []ivr.LineKind{ivr.App, ivr.SIP, ivr.SIP} { // the same again changes nothing
		if err := t.s.PushEndpoint(ctx, id, Digest(id, "secret"), kind); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := phone.Register(ctx, "127.0.0.1:0", t.lab.Asterisk.SIPAddr, id, "wrong"); err == nil {
		t.Error("registered with a wrong password")
	}
	p, err := phone.Register(ctx, "127.0.0.1:0", t.lab.Asterisk.SIPAddr, id, "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.OnCall(phone.AnswerAfter(0))
	r := t.request(soon)
	r.To = ivr.Line{Kind: ivr.SIP, Address: id}
	leg, err := t.s.Dial(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	leg.Hangup(ivr.NormalClearing)
	departure(t.T, leg)
	if err := errors.Join(t.s.RemoveEndpoint(ctx, id), t.s.RemoveEndpoint(ctx, id)); err != nil {
		t.Error(err)
	}
	r.LegID += "-again"
	if _, err := t.s.Dial(ctx, r); !errors.Is(err, ivr.ErrUnreachable) {
		t.Errorf("rang a phone that was removed: %v", err)
	}
}
