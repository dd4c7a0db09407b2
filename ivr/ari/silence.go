package ari

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Asterisk says something at least with every beat, and with every attempt to connect
// again. One that has not answered anything for longer than both may take was frozen, or
// drowned: no sound has gone through it that anyone could prove, and none is charged. That
// only its events do not come is no such silence.
//
// The time for which we ourselves were frozen is nobody's silence.

// lookAwake is how often we see that we are awake; missedLooks of them in a row, and we
// were not.
const (
	lookAwake   = time.Second
	missedLooks = 3
)

// longestTalk is how long a silence may still be asked for.
const longestTalk = 24 * time.Hour

// heard notes that Asterisk has said something.
func (s *Switch) heard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear(time.Now())
}

// hear is heard with s.mu held.
func (s *Switch) hear(now time.Time) {
	s.look(now)
	if !s.spoke.IsZero() && now.Sub(s.spoke) > s.t.beat+s.t.back {
		s.log.Warn("Asterisk was silent: the time is not charged", "for", now.Sub(s.spoke), "talks", len(s.talks))
		s.silences = slices.DeleteFunc(s.silences, func(g gap) bool { return now.Sub(g.to) > longestTalk })
		s.silences = append(s.silences, gap{s.spoke, now})
	}
	s.spoke = now
}

// look takes the time that we slept through for none. s.mu is held.
func (s *Switch) look(now time.Time) {
	if slept := now.Sub(s.awake); !s.awake.IsZero() && slept > missedLooks*lookAwake && !s.spoke.IsZero() {
		s.spoke = s.spoke.Add(slept)
	}
	s.awake = now
}

// stayAwake looks until the switch ends.
func (s *Switch) stayAwake() {
	every := time.NewTicker(lookAwake)
	defer every.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-every.C:
		}
		s.mu.Lock()
		s.look(time.Now())
		s.mu.Unlock()
	}
}

// A bridge's name says when it was made, by the machine's clock since boot, which nobody
// sets and which outlives this process, and during which boot.

// bootMark is the end of such a name: ".BOOT-SECONDS"; "" where the machine does not tell.
func bootMark() string {
	boot, up, err := uptime()
	if err != nil {
		return ""
	}
	return fmt.Sprintf(".%s-%.2f", boot, up.Seconds())
}

// sinceBoot is how long ago the bridge of this name was made; false where its name does
// not say, or speaks of another boot.
func sinceBoot(name string) (time.Duration, bool) {
	boot, up, err := uptime()
	at := strings.LastIndex(name, "."+boot+"-")
	var seconds float64
	if err != nil || at < 0 {
		return 0, false
	}
	if _, err := fmt.Sscanf(name[at:], "."+boot+"-%f", &seconds); err != nil {
		return 0, false
	}
	return max(0, up-time.Duration(seconds*float64(time.Second))), true
}

// uptime is since when the machine runs, and the first of the name of that boot.
func uptime() (boot string, up time.Duration, err error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(id) < 8 {
		return "", 0, fmt.Errorf("ari: which boot this is: %w", err)
	}
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "", 0, err
	}
	var seconds float64
	if _, err := fmt.Sscan(string(text), &seconds); err != nil {
		return "", 0, err
	}
	return string(id[:8]), time.Duration(seconds * float64(time.Second)), nil
}
