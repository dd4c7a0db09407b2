package ari

import (
	"log/slog"
	"net/http"
	"testing"
	"time"
)

// An Asterisk that answers nothing passes no sound on that anyone could prove; one whose
// events alone do not come does.
func TestTimeInWhichAsteriskIsSilentIsUnheard(t *testing.T) {
	f, s, _, _, talk := talking(t)
	f.cut()
	if !eventually(func() bool { return s.Epoch() > 1 && s.Connected() }) {
		t.Fatal("not connected again")
	}
	if d := talk.Unheard(time.Now()); d != 0 {
		t.Errorf("%v unheard while only the events were cut", d)
	}

	awake := make(chan struct{})
	f.with(func() {
		f.answer = func(string, string, http.ResponseWriter) int { <-awake; return 0 }
	})
	froze := time.Now()
	const frozen = time.Second
	time.Sleep(frozen)
	f.with(func() { f.answer = nil })
	close(awake)
	if !eventually(func() bool { return talk.Unheard(time.Now()) > 0 }) {
		t.Fatal("nothing is unheard")
	}
	took := time.Since(froze)
	if d := talk.Unheard(time.Now()); d < frozen/2 || d > took+time.Second {
		t.Errorf("%v unheard, Asterisk was frozen for %v", d, frozen)
	}
	if d := talk.Unheard(froze); d > frozen/2 {
		t.Errorf("%v unheard before it was frozen", d)
	}
}

// A program that was itself frozen has heard nothing, and nobody was silent.
func TestWhoSleepsHearsNoSilence(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct{ spoke, awake time.Duration }{
		{20 * time.Second, 20 * time.Second}, // all was frozen, as far as we can tell
		{1 * time.Second, 0},
	} {
		s := &Switch{t: usual, log: slog.Default(), spoke: now.Add(-tt.spoke), awake: now.Add(-tt.awake)}
		s.hear(now)
		if len(s.silences) != 0 {
			t.Errorf("%+v: a silence of %v", tt, s.silences)
		}
	}
	s := &Switch{t: usual, log: slog.Default(), spoke: now.Add(-20 * time.Second), awake: now}
	s.hear(now)
	if len(s.silences) != 1 {
		t.Error("20 s are no silence")
	}
}

// A bridge's name says how old it is, whatever the wall clock does meanwhile.
func TestABridgesNameSaysHowOldItIs(t *testing.T) {
	name := "call_1.talk-5a7f" + bootMark()
	age, exact := sinceBoot(name)
	if !exact || age > time.Second {
		t.Errorf("%s: %v, %v", name, age, exact)
	}
	boot, up, err := uptime()
	if err != nil {
		t.Fatal(err)
	}
	if callOf(name) != "call_1" {
		t.Errorf("%s is of call %s", name, callOf(name))
	}
	for name, want := range map[string]bool{
		"call_1.talk-5a7f." + boot + "-0.00": true,
		"call_1.talk-5a7f.00000000-0.00":     false,
		"call_1.talk-5a7f":                   false,
		"call_1.talk-5a7f." + boot + "-":     false,
	} {
		age, exact := sinceBoot(name)
		if exact != want || exact && age < up {
			t.Errorf("%s: %v, %v", name, age, exact)
		}
	}
}
