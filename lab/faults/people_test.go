package faults

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"parley/lab/phone"
)

func advisorRefuses(s *scene) {
	for _, r := range refusals {
		s.anna.Phone.OnCall(r.policy)
		p := s.caller(plenty).dials().skips()
		s.ends(p.c)
		p.recorded(r.disposition)
	}
}

// voicemail answers, speaks, and presses no key.
func voicemail(s *scene) {
	s.anna.Phone.OnCall(phone.Voicemail(500 * time.Millisecond))
	p := s.caller(plenty).dials().skips()
	s.ends(p.c)
	p.recorded("no answer")
	if heard := p.c.ToneShare(phone.GreetingTone, p.c.AnsweredAt(), time.Time{}); heard > 0.1 {
		s.Errorf("the client heard the voicemail %.2f of the time", heard)
	}
}

func clientHangsUp(s *scene) {
	price := s.caller(plenty).dials()
	s.hears(price.c, patience, "price-you-call")
	s.must(price.c.Hangup(s.ctx))
	price.recorded("abandoned")
	price.neverRung()

	rung := s.caller(plenty).dials().skips()
	ringing := rung.rings()
	s.must(rung.c.Hangup(s.ctx))
	gone := time.Now()
	<-ringing.Ended()
	rings := time.Since(gone)
	rung.recorded("abandoned")

	asked := s.caller(plenty).dials().skips().answers()
	s.hears(asked.a, patience, "advisor-call-from")
	s.must(asked.c.Hangup(s.ctx))
	gone = time.Now()
	s.ends(asked.a)
	asks := time.Since(gone)
	asked.recorded("abandoned")

	s.note("the advisor's phone rang on for %d ms, was spoken to for %d ms", rings.Milliseconds(), asks.Milliseconds())
	if max(rings, asks) > time.Second {
		s.Errorf("the advisor's leg was cancelled after %v and %v", rings, asks)
	}
}

func bothHangUp(s *scene) {
	p := s.talk(plenty)
	p.over = time.Now()
	var both sync.WaitGroup
	for _, leg := range []*phone.Call{p.c, p.a} {
		both.Go(func() { _ = leg.Hangup(s.ctx) }) // the other's BYE may cross it
	}
	both.Wait()
	p.recorded("completed")
}

// packetsStop is a phone that vanishes: neither BYE nor sound.
func packetsStop(s *scene) {
	p := s.talk(plenty)
	time.Sleep(2 * time.Second) // the talk
	p.over = time.Now()
	p.c.Vanish()
	s.hears(p.a, patience, "client-lost-press-1")
	_ = p.a.Keys(s.ctx, "2") // the call may end under the key
	s.ends(p.a)
	p.allowed = 2 * time.Second
	p.recorded("completed")
}

// answerAfterCancel has the advisor answer in the instant in which the client hangs up.
func answerAfterCancel(s *scene) {
	for range 5 {
		p := s.caller(plenty).dials().skips()
		ringing := p.rings()
		var both sync.WaitGroup
		both.Go(func() { s.must(p.c.Hangup(s.ctx)) })
		answered, err := ringing.Answer(s.ctx)
		both.Wait()
		switch {
		case err == nil:
			s.endsWithin(answered, 5*time.Second)
		case !errors.Is(err, phone.ErrOver):
			s.Error(err)
		}
		p.recorded("abandoned")
	}
}

// keysInDoubt are keys that come twice, are none, or have no length.
func keysInDoubt(s *scene) {
	p := s.caller(plenty).dials(phone.Withheld())
	s.hears(p.c, patience, "enter-pin")
	s.must(p.c.Keys(s.ctx, "ABCD")) // are on no telephone
	for _, key := range p.loan.PIN {
		s.must(p.c.Keys(s.ctx, string(key)))
		s.must(p.c.Say(s.ctx, inBand(byte(key)))) // the same again, as sound
	}
	p.skips()
	ringing := p.rings()
	var err error
	p.a, err = ringing.Answer(s.ctx)
	s.must(err)
	s.must(p.a.Keys(s.ctx, "1", phone.ZeroLength())) // counts once, or not at all
	s.must(p.a.Keys(s.ctx, "1"))
	p.hear()
	s.must(p.c.Keys(s.ctx, strings.Repeat("0123456789*#", 10), phone.Quick()))
	p.hearStill()
	p.hangUp()
	p.recorded("completed")
}

// inBand is a key's two tones, 100 ms long, and as much silence (ITU-T Q.23).
func inBand(key byte) []int16 {
	at := strings.IndexByte("123A456B789C*0#D", key)
	low, high := []float64{697, 770, 852, 941}[at/4], []float64{1209, 1336, 1477, 1633}[at%4]
	pcm := make([]int16, 1600)
	for i := range pcm[:800] {
		t := 2 * math.Pi * float64(i) / 8000
		pcm[i] = int16(6000 * (math.Sin(low*t) + math.Sin(high*t)))
	}
	return pcm
}

// callersWhoLie show another number than theirs, none, or nonsense.
func callersWhoLie(s *scene) {
	victim := s.caller(plenty)
	for _, show := range []phone.DialOption{
		phone.CallerNumber("+4915199999999"), phone.Withheld(), phone.CallerNumber("x' OR 1=1;--"), phone.CallerNumber(""),
	} {
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		liar, err := s.Carrier.Phone("+4915188888888").Dial(ctx, victim.loan.DID, show)
		cancel()
		if err != nil { // refused, or not understood
			s.note("%v", err)
			continue
		}
		s.hears(liar, patience, "enter-pin")
		s.must(liar.Keys(s.ctx, "000000"))
		s.hears(liar, patience, "wrong-pin")
		s.must(liar.Hangup(s.ctx))
	}
	victim.neverRung()
	if r := victim.record(); r.id != "" {
		s.Errorf("S1: something was held: %+v", r)
	}
	victim.dials(phone.DisplayName("\"><script>${EXEC(ls)}\r\n{\"level\":\"ERROR\"} \x1b[2J" + strings.Repeat("A", 200))).skips()
	victim.rings()
	s.must(victim.c.Hangup(s.ctx))
	victim.recorded("abandoned")
	for line := range strings.Lines(s.Log()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "script") {
			s.Errorf("a line of the log is not clean: %q", line)
		}
	}
}
