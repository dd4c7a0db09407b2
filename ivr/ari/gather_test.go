package ari

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"parley/ivr"
)

func TestWhatIsKeyedIsGathered(t *testing.T) {
	const never = 30 * time.Second
	for name, tt := range map[string]struct {
		before, keyed string // before Gather, and once the prompt is spoken
		most          int
		first         time.Duration
		between       time.Duration
		want          string
		spoken        bool
	}{
		"to the last digit":             {"", "123456", 6, never, never, "123456", true},
		"to the hash":                   {"", "12#", 6, never, never, "12", true},
		"until it is silent":            {"", "12", 6, never, 50 * time.Millisecond, "12", true},
		"nothing":                       {"", "", 6, 50 * time.Millisecond, never, "", true},
		"only a hash":                   {"", "#", 6, never, never, "", true},
		"ahead of the prompt":           {"1234#", "", 6, never, never, "1234", false},
		"half ahead":                    {"12", "34", 4, never, never, "1234", false},
		"no more than asked for":        {"123456789", "", 3, never, never, "123", false},
		"letters are no digits":         {"", "1A2BCD3", 3, never, never, "123", true},
		"a star is":                     {"", "*1", 2, never, never, "*1", true},
		"the hash of the entry before":  {"#", "7", 1, never, never, "7", true},
		"a flood is bounded":            {strings.Repeat("5", 500), "", 100, never, 50 * time.Millisecond, strings.Repeat("5", 64), false},
		"what is odd is not understood": {"", "é1", 1, never, never, "1", true},
	} {
		t.Run(name, func(t *testing.T) {
			f, _, leg := inbound(t)
			f.with(func() { f.mute = tt.keyed != "" })
			f.press("pbx-1", tt.before)
			settle(f)
			type result struct {
				digits string
				err    error
			}
			done := make(chan result)
			go func() {
				digits, err := leg.Gather(context.Background(), "en", ivr.Entry{
					Prompts: []ivr.Prompt{"enter-pin"}, Most: tt.most, First: tt.first, Between: tt.between,
				})
				done <- result{digits, err}
			}()
			if tt.spoken {
				f.awaitCommand("POST /channels/pbx-1/play", 1)
			}
			f.press("pbx-1", tt.keyed)
			got := next(t, done)
			if got.digits != tt.want || got.err != nil {
				t.Errorf("gathered %q, %v", got.digits, got.err)
			}
			if spoken := len(f.sent("POST /channels/pbx-1/play")) > 0; spoken != tt.spoken {
				t.Errorf("spoken: %v", spoken)
			}
			if tt.spoken && tt.keyed != "" {
				f.awaitCommand("DELETE /playbacks/", 1)
			}
			if text := f.logs.String(); tt.want != "" && strings.Contains(text, "digits="+tt.want) || strings.Contains(text, "123456") {
				t.Error("keys were logged")
			}
			if digits, _ := leg.Gather(context.Background(), "en", ivr.Entry{Most: 4, First: 20 * time.Millisecond}); digits != "" {
				t.Errorf("%q was kept for the next entry", digits)
			}
		})
	}
}

// settle waits until the switch has applied what the fake has sent.
func settle(f *fake) {
	f.t.Helper()
	marker := newName("marker-")
	f.emit(j{"type": "StasisStart", "args": []string{"nobody"}, "channel": j{"id": marker}})
	f.awaitCommand("DELETE /channels/"+marker, 1)
}

func TestAnEventThatComesTwiceIsOneKey(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.twice = true })
	f.press("pbx-1", "1122")
	digits, err := leg.Gather(context.Background(), "en", ivr.Entry{Most: 4, First: soon, Between: soon})
	if digits != "1122" || err != nil {
		t.Errorf("%q, %v", digits, err)
	}
}

func TestTheFirstKeyStopsThePromptAtOnce(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.mute = true })
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = leg.Gather(context.Background(), "en", ivr.Entry{Prompts: []ivr.Prompt{"a", "b"}, Most: 6, First: soon, Between: soon})
	}()
	f.awaitCommand("POST /channels/pbx-1/play", 1)
	f.press("pbx-1", "1")
	f.awaitCommand("DELETE /playbacks/prompt-", 1)
	f.press("pbx-1", "#")
	next(t, done)
	if n := len(f.sent("DELETE /playbacks")); n != 1 {
		t.Errorf("stopped %d times", n)
	}
}

func TestTheSilenceIsCountedFromTheEndOfThePrompt(t *testing.T) {
	_, _, leg := inbound(t) // the fake's prompts last 30 ms
	start := time.Now()
	_, err := leg.Gather(context.Background(), "en", ivr.Entry{Prompts: []ivr.Prompt{"a"}, Most: 6, First: 200 * time.Millisecond})
	if took := time.Since(start); took < 230*time.Millisecond || err != nil {
		t.Errorf("%v, %v", took, err)
	}
}

// Between two files of a playback Asterisk cannot stop it.
func TestAPromptThatCannotBeStoppedYetIsStoppedThen(t *testing.T) {
	f, _, leg := inbound(t)
	refusals := 2
	f.with(func() {
		f.mute = true
		f.answer = func(method, _ string, w http.ResponseWriter) int {
			f.mu.Lock()
			defer f.mu.Unlock()
			if method != "DELETE" || refusals == 0 {
				return 0
			}
			refusals--
			refuse(w, 500, "Could not stop playback")
			return 500
		}
	})
	done := make(chan error, 1)
	go func() {
		_, err := leg.Gather(context.Background(), "en", ivr.Entry{Prompts: []ivr.Prompt{"a"}, Most: 1, First: soon})
		done <- err
	}()
	f.awaitCommand("POST /channels/pbx-1/play", 1)
	f.press("pbx-1", "#")
	if err := next(t, done); err != nil {
		t.Error(err)
	}
	f.awaitCommand("DELETE /playbacks/prompt-", 3)
	settle(f)
	if said := f.logs.String(); strings.Contains(said, "not stopped") {
		t.Error(said)
	}
}

func TestHangingUpEndsAnEntry(t *testing.T) {
	f, _, leg := inbound(t)
	f.press("pbx-1", "12")
	go f.destroy("pbx-1", 16, 0)
	digits, err := leg.Gather(context.Background(), "en", ivr.Entry{Most: 6, First: soon, Between: soon})
	if digits != "" || !errors.Is(err, ivr.ErrHungUp) {
		t.Errorf("%q, %v", digits, err)
	}
}

func TestAnEndedContextEndsAnEntry(t *testing.T) {
	f, _, leg := inbound(t)
	f.with(func() { f.mute = true })
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		f.awaitCommand("POST /channels/pbx-1/play", 1)
		cancel(ivr.ErrShutdown)
	}()
	if _, err := leg.Gather(ctx, "en", ivr.Entry{Prompts: []ivr.Prompt{"a"}, Most: 6, First: soon}); err != ivr.ErrShutdown {
		t.Errorf("%v", err)
	}
	f.awaitCommand("DELETE /playbacks/", 1)
}
