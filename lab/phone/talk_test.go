package phone

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTonesAreHeardBothWaysInEitherLaw(t *testing.T) {
	t.Parallel()
	for _, codec := range []Codec{ULaw, ALaw} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			w.bob.Codecs(codec)
			hers, his := w.talk(t)
			hers.Tone(440)
			his.Tone(1000)
			if err := his.HearsTone(w.ctx, 440, 5*time.Second); err != nil {
				t.Error("Bob:", err)
			}
			if err := hers.HearsTone(w.ctx, 1000, 5*time.Second); err != nil {
				t.Error("Alice:", err)
			}
			if err := hers.HearsTone(w.ctx, 700, 400*time.Millisecond); err == nil {
				t.Error("Alice heard 700 Hz, which nobody sends")
			}
			if share := hers.ToneShare(700, hers.AnsweredAt(), time.Time{}); share != 0 {
				t.Errorf("share of 700 Hz is %.2f, want 0", share)
			}
			since := time.Now()
			err := hers.media.ear.awaitSample(w.ctx, hers.media.ear.received()+sampleRate/2)
			if share := hers.ToneShare(1000, since, time.Time{}); err != nil || share < 0.6 {
				t.Errorf("share of 1000 Hz is %.2f, want nearly 1 (%v)", share, err)
			}
			his.Tone(0)
			quiet := func() bool { return hers.ToneShare(1000, time.Now().Add(-250*time.Millisecond), time.Time{}) == 0 }
			if err := hers.media.ear.awaitSample(w.ctx, hers.media.ear.received()+sampleRate/2); err != nil || !quiet() {
				t.Error("the tone did not stop:", err)
			}
			first, last := hers.ToneTimes(1000)
			if first.Before(hers.AnsweredAt()) || last.Sub(first) < toneBlocks*100*time.Millisecond || !last.Before(hers.LastRTPAt()) {
				t.Errorf("the tone was heard from %v to %v, want within the call and ended", first, last)
			}
			if first, last := hers.ToneTimes(700); !first.IsZero() || !last.IsZero() {
				t.Errorf("a tone that nobody sends was heard from %v to %v", first, last)
			}
		})
	}
}

func TestEachKeyArrivesOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keys string
		opts []KeyOption
	}{"RFC 4733": {"0123456789*#", nil}, "INFO": {"90*#", []KeyOption{ViaINFO()}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			hers, his := w.talk(t)
			errs := make(chan error, 2)
			go func() { errs <- hers.Keys(w.ctx, c.keys, c.opts...) }()
			go func() { errs <- his.Keys(w.ctx, "4774", c.opts...) }()
			for range 2 {
				if err := <-errs; err != nil {
					t.Fatal(err)
				}
			}
			if got, err := his.AwaitDigits(w.ctx, len(c.keys)); err != nil || got != c.keys {
				t.Errorf("Bob received %q, %v; want %q", got, err, c.keys)
			}
			if got, err := hers.AwaitDigits(w.ctx, 4); err != nil || got != "4774" {
				t.Errorf("Alice received %q, %v; want 4774", got, err)
			}
		})
	}
}

func TestKeysNeverShowInErrors(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	hers, _ := w.talk(t)
	err := hers.Keys(w.ctx, "7x7")
	if err == nil || strings.ContainsAny(err.Error(), "7x") {
		t.Errorf("error for a wrong key is %q; want one that shows no key", err)
	}
	w.bob.Close()
	<-hers.Ended()
	if err := hers.Keys(w.ctx, "7878"); !errors.Is(err, errCallOver) || strings.ContainsAny(err.Error(), "78") {
		t.Errorf("error after the call is %q; want one that says it ended and shows no key", err)
	}
}

func TestVoicemailGreetsAndBeepsAndKeysNothing(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	w.bob.OnCall(Voicemail(0))
	hers, err := w.alice.Dial(w.ctx, bob)
	if err != nil {
		t.Fatal(err)
	}
	if err := hers.HearsTone(w.ctx, GreetingTone, 5*time.Second); err != nil {
		t.Error(err)
	}
	if err := hers.HearsTone(w.ctx, BeepTone, 10*time.Second); err != nil {
		t.Error(err)
	}
	if n := len(hers.Digits()); n != 0 {
		t.Errorf("a voicemail keyed %d digits", n)
	}
}
