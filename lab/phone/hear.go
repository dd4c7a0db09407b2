package phone

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pauseTime is how long the exchange may send nothing before what there is gets
// looked at: it sends no packets when it has nothing to say, so that a prompt
// may be the last audio for long.
const pauseTime = 200 * time.Millisecond

// Hear waits until the prompt (8 kHz PCM, see [LoadWAV]) has been heard to its
// end and returns when it began. It looks from the end of the prompt that the
// last Hear found, so that prompts are heard in turn; what came before Hear was
// called counts.
func (c *Call) Hear(ctx context.Context, prompt []int16) (time.Time, error) {
	p, err := newPattern(prompt)
	if err != nil {
		return time.Time{}, err
	}
	c.mu.Lock()
	s := search{pattern: p, ear: c.media.ear, next: c.heard}
	c.mu.Unlock()
	for {
		err := s.await(ctx)
		if place, found := s.look(err != nil); found {
			c.mu.Lock()
			c.heard = place + p.end()
			c.mu.Unlock()
			return s.ear.arrival(place), nil
		}
		if err != nil && !errors.Is(err, errPause) {
			return time.Time{}, fmt.Errorf("prompt not heard in %v of audio (best likeness %.2f, needed %.2f): %w",
				samples(s.ear.received()).Round(time.Millisecond), s.best, p.needed(), err)
		}
	}
}

// HearStart is Hear for the beginning of a prompt, its first length of sound:
// for keys that are pressed while it plays.
func (c *Call) HearStart(ctx context.Context, prompt []int16, length time.Duration) (time.Time, error) {
	n := int(length * sampleRate / time.Second)
	return c.Hear(ctx, prompt[:min(n, len(prompt))])
}

// HasHeard tells whether the prompt is anywhere in what the call has heard.
func (c *Call) HasHeard(prompt []int16) bool {
	p, err := newPattern(prompt)
	if err != nil {
		panic("HasHeard: " + err.Error()) // a mistake in the test: it must not pass as "not heard"
	}
	at, _ := p.find(c.Audio())
	return at >= 0
}

// search looks for a prompt in audio that is still arriving, at each place once.
type search struct {
	pattern *pattern
	ear     *ear
	next    int   // first sample where the prompt's part was not looked for yet
	places  []int // samples at which the prompt may have begun, all of it not there yet
	best    float64
}

var errPause = errors.New("nothing more came for a while")

// await waits until there is more to look at; errPause when that seems all.
func (s *search) await(ctx context.Context) error {
	pause, cancel := context.WithTimeoutCause(ctx, pauseTime, errPause)
	defer cancel()
	wanted := s.next + len(s.pattern.fine) + around + block
	for _, place := range s.places {
		wanted = min(wanted, place+s.pattern.latest())
	}
	return s.ear.awaitSample(pause, wanted)
}

// look goes over what has arrived. A place with audio missing is decided only
// when no more seems to come.
func (s *search) look(paused bool) (place int, found bool) {
	from := max(0, s.next-s.pattern.part)
	for _, place := range s.places {
		from = min(from, max(0, place))
	}
	pcm, from := s.ear.audio(from)
	fine := floats(pcm)
	fresh := min(max(0, s.next-from), len(pcm))
	for _, at := range s.pattern.places(pcm[fresh:], fine[fresh:]) {
		s.places = append(s.places, from+fresh+at)
	}
	s.next = max(s.next, from+len(pcm)-len(s.pattern.fine)-around)

	undecided := s.places[:0]
	for _, place := range s.places {
		complete := place+s.pattern.latest() <= from+len(pcm)
		if complete || paused {
			score := s.pattern.likeness(fine, place-from)
			s.best = max(s.best, score)
			if score >= s.pattern.needed() {
				return place, true
			}
		}
		if !complete {
			undecided = append(undecided, place)
		}
	}
	s.places = undecided
	return 0, false
}

// samples is how long n samples last.
func samples(n int) time.Duration { return time.Duration(n) * time.Second / sampleRate }
