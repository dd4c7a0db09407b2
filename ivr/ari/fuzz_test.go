package ari

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/ivr"
)

// Whatever Asterisk says, in whatever order, nothing panics or is held for ever; what is
// no key is not taken for one, and what is over stays over. A line is an event.
func FuzzEvents(f *testing.F) {
	f.Add(`{"type":"StasisStart","args":["in","+493055500101"],"channel":{"id":"new","caller":{"number":"+4915112345601"}}}
{"type":"ChannelDtmfReceived","digit":"5","timestamp":"1","channel":{"id":"a"}}
{"type":"ChannelDtmfReceived","digit":"5","timestamp":"1","channel":{"id":"a"}}
{"type":"ChannelDestroyed","cause":16,"channel":{"id":"a"}}`)
	f.Add(`{"type":"ChannelEnteredBridge","bridge":{"id":"talk"},"channel":{"id":"a"}}
{"type":"ChannelEnteredBridge","bridge":{"id":"talk"},"channel":{"id":"b"}}
{"type":"ChannelLeftBridge","bridge":{"id":"talk"},"channel":{"id":"b"}}
{"type":"StasisEnd","channel":{"id":"b"}}
{"type":"ChannelHangupRequest","soft":true,"channel":{"id":"a"}}
{"type":"ChannelLeftBridge","bridge":{"id":"talk"},"channel":{"id":"a"}}`)
	f.Add(`{"type":"StasisStart","args":["in"],"channel":{"id":""}}
{"type":"StasisStart","replace_channel":{"id":"a"},"channel":{"id":"x"}}
{"type":"PlaybackFinished","playback":{"id":"p","state":"failed"}}
{"type":"PlaybackFinished","playback":{"id":"p"}}`)
	f.Add(`{"type":7,"channel":[],"args":"in","bridge":{"channels":[1]},"cause":"x"}`)
	f.Add(`{"type":"ChannelDestroyed","cause":-9223372036854775808,"tech_cause":99,"channel":{"id":"b"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := deafSwitch()
		a, b := s.newLeg("a"), s.newLeg("b")
		talk := s.newTalk("talk", a, b)
		s.playbacks["p"] = &playback{id: "p", done: make(chan struct{})}
		over := map[*leg]bool{}
		for line := range strings.Lines(text) {
			ev, err := decode([]byte(line), time.Now())
			if err != nil {
				continue
			}
			s.mu.Lock()
			s.apply(ev)
			for _, l := range []*leg{a, b} {
				if over[l] && s.legs[l.id] == l {
					t.Errorf("a leg that is over came back by %s", line)
				}
				over[l] = l.ctx.Err() != nil
				if strings.Trim(string(l.keys.digits), "0123456789*") != "" || len(l.keys.digits) > mostKeys {
					t.Errorf("%d keys of which some are none", len(l.keys.digits))
				}
			}
			if talk.ended && (talk.until.Before(talk.joinedAt)) {
				t.Error("the talk ended before it began")
			}
			s.mu.Unlock()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, call := range s.early {
			mayBeNumber(t, call.did)
			mayBeNumber(t, call.ani)
		}
	})
}

// deafSwitch is a switch whose commands reach nobody.
func deafSwitch() *Switch {
	s := &Switch{
		log: slog.New(slog.DiscardHandler), t: timing{settle: time.Nanosecond}, cfg: Config{RTPTimeout: 30 * time.Second}, closing: true,
		legs: map[string]*leg{}, talks: map[string]*talk{}, playbacks: map[string]*playback{},
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.cancel(errors.New("nobody is there"))
	s.client = newClient("http://127.0.0.1:1/ari", "parley", "password")
	return s
}

// Keys in any order and as often as anybody likes: an entry holds what it may, in order,
// and ends where it was ended.
func FuzzKeys(f *testing.F) {
	f.Add("1234#", 6)
	f.Add("ABCD12*#34", 4)
	f.Add("\x00é5##7", 1)
	f.Add(strings.Repeat("9", 100), 6)
	f.Fuzz(func(t *testing.T, pressed string, most int) {
		if most < 1 || most > 100 {
			return
		}
		s := deafSwitch()
		l := s.newLeg("a")
		want := ""
		for i, digit := range strings.Split(pressed, "") {
			l.keys.press(digit, "")
			if strings.Contains("0123456789*", digit) && !strings.Contains(strings.Join(strings.Split(pressed, "")[:i], ""), "#") && len(want) < mostKeys {
				want += digit
			}
		}
		digits, complete := l.entry(most)
		if !strings.HasPrefix(want, digits) || len(digits) != min(most, len(want)) || len(want) >= most && !complete {
			t.Errorf("%q pressed: an entry of at most %d is %q, complete: %v", pressed, most, digits, complete)
		}
		l.clearKeys()
		if digits, complete := l.entry(most); digits != "" || complete {
			t.Errorf("a new entry begins with %q", digits)
		}
	})
}

// What a caller or a carrier claims to be a number is E.164 or none.
func FuzzClaimedNumber(f *testing.F) {
	for _, claimed := range []string{"+4915112345601", "004930123456", "anonymous", "", "+", "00", "+49 151", "49151\r\nX: y", "٤٩١٥١١٢٣٤٥", "'; DROP TABLE calls; --",
		`"<sip:1@2>`, "+0151123456", "4915112345601234567"} {
		f.Add(claimed)
	}
	f.Fuzz(func(t *testing.T, claimed string) {
		n := number(claimed)
		mayBeNumber(t, n)
		if n != "" && number(n) != n {
			t.Errorf("%q is %q, which is %q", claimed, n, number(n))
		}
		if masked := ivr.Mask(n); n != "" && (masked == n || len(masked) != len(n)) {
			t.Errorf("%q is masked as %q", n, masked)
		}
	})
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func mayBeNumber(t *testing.T, n string) {
	t.Helper()
	if n != "" && !e164.MatchString(n) {
		t.Errorf("%q is taken for a number", n)
	}
}
