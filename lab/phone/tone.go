package phone

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// toneAmplitude leaves a spoken prompt recognisable under a tone: about -25 dBm0,
// some 10 dB below speech.
const toneAmplitude = 1200

// Blocks of 100 ms are judged one by one; Goertzel's filter is then 10 Hz wide.
const (
	block       = sampleRate / 10
	toneBlocks  = 3    // in a row make a tone heard
	toneShare   = 0.5  // of a block's power must be the tone's
	quietestRMS = 100. // below this a block is silence
)

// Tone sends a steady tone instead of silence; 0 stops it.
func (c *Call) Tone(hz int) {
	c.media.mu.Lock()
	defer c.media.mu.Unlock()
	c.media.toneAt = 0
	c.media.tone = nil
	if hz > 0 {
		c.media.tone = encodedTone(c.media.remote.codec, hz)
	}
}

// tones caches one encoded second of each tone in use: it repeats seamlessly,
// because a whole number of hertz is a whole number of periods.
var tones sync.Map

func encodedTone(codec Codec, hz int) []byte {
	type key struct {
		codec Codec
		hz    int
	}
	if tone, ok := tones.Load(key{codec, hz}); ok {
		return tone.([]byte)
	}
	tone := make([]byte, sampleRate)
	for i := range tone {
		tone[i] = codec.encode(int16(toneAmplitude * math.Sin(2*math.Pi*float64(hz*i)/sampleRate)))
	}
	tones.Store(key{codec, hz}, tone)
	return tone
}

// Say sends speech, 8 kHz, in place of tone and silence, and returns when all of
// it has been sent. One thing is said at a time.
func (c *Call) Say(ctx context.Context, pcm []int16) error {
	if len(pcm) == 0 {
		return nil
	}
	m := c.media
	m.mu.Lock()
	if len(m.speech) > 0 {
		m.mu.Unlock()
		return fmt.Errorf("the phone is still saying something else")
	}
	m.speech = make([]byte, len(pcm))
	for i, sample := range pcm {
		m.speech[i] = m.remote.codec.encode(sample)
	}
	m.spoken = make(chan struct{})
	spoken := m.spoken
	m.mu.Unlock()
	select {
	case <-spoken:
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		m.speech = nil
		m.mu.Unlock()
		return fmt.Errorf("not all was said: %w", context.Cause(ctx))
	case <-c.ended:
		return fmt.Errorf("not all was said: %w", errCallOver)
	}
}

// HearsTone waits until the tone is heard from now on: it dominates three blocks
// of 100 ms in a row.
func (c *Call) HearsTone(ctx context.Context, hz int, within time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%v passed", within))
	defer cancel()
	run, judged := 0, 0
	for at := c.media.ear.received(); ; at += block {
		if err := c.media.ear.awaitSample(ctx, at+block); err != nil {
			return fmt.Errorf("tone of %d Hz not heard in %d ms of audio: %w", hz, judged*100, err)
		}
		pcm, _ := c.media.ear.audio(at)
		judged++
		if !isTone(pcm[:block], hz) {
			run = 0
		} else if run++; run == toneBlocks {
			return nil
		}
	}
}

// ToneShare is the share, 0 to 1, of the 100 ms blocks received between two
// times in which the tone dominates; a zero to means until now. No audio at all
// has share 0.
func (c *Call) ToneShare(hz int, from, to time.Time) float64 {
	e := c.media.ear
	pcm, start := e.audio(e.sampleAt(from))
	if !to.IsZero() {
		pcm = pcm[:max(0, min(len(pcm), e.sampleAt(to)-start))]
	}
	with, all := 0, 0
	for ; len(pcm) >= block; pcm = pcm[block:] {
		all++
		if isTone(pcm[:block], hz) {
			with++
		}
	}
	if all == 0 {
		return 0
	}
	return float64(with) / float64(all)
}

// ToneTimes is when the tone was first and last heard, within 100 ms; zero times
// when it was not.
func (c *Call) ToneTimes(hz int) (first, last time.Time) {
	e := c.media.ear
	pcm, start := e.audio(0)
	for at := 0; at+block <= len(pcm); at += block {
		if !isTone(pcm[at:at+block], hz) {
			continue
		}
		if first.IsZero() {
			first = e.arrival(start + at)
		}
		last = e.arrival(start + at + block - 1)
	}
	return first, last
}

// isTone is Goertzel's algorithm: the power at one frequency against all power.
func isTone(pcm []int16, hz int) bool {
	k := 2 * math.Cos(2*math.Pi*float64(hz)/sampleRate)
	var s1, s2, power float64
	for _, sample := range pcm {
		x := float64(sample)
		power += x * x
		s1, s2 = x+k*s1-s2, s1
	}
	n := float64(len(pcm))
	if power < quietestRMS*quietestRMS*n {
		return false
	}
	// A sine alone of amplitude A has (A*n/2)² here, and power n*A²/2.
	at := s1*s1 + s2*s2 - k*s1*s2
	return at > toneShare*power*n/2
}

// Audio returns what has been heard since the call began, 8 kHz; at most the
// last part that the phone keeps.
func (c *Call) Audio() []int16 {
	pcm, _ := c.media.ear.audio(0)
	return pcm
}

// Silence is the time between two times in which the tone was not heard: the longest
// stretch of it, and all of it together, within 20 ms. Stretches below least are left out.
func (c *Call) Silence(hz int, from, to time.Time, least time.Duration) (longest, all time.Duration) {
	e := c.media.ear
	pcm, start := e.audio(e.sampleAt(from))
	last := from
	quiet := func(until time.Time) {
		if d := until.Sub(last); d >= least {
			longest, all = max(longest, d), all+d
		}
	}
	for at := 0; at+frame <= len(pcm); at += frame { // which came as one
		heard := e.arrival(start + at)
		if heard.After(to) {
			break
		}
		if isTone(pcm[at:at+frame], hz) {
			quiet(heard)
			last = heard.Add(frameTime)
		}
	}
	quiet(to)
	return longest, all
}
