package phone

import (
	"context"
	"errors"
	"sort"
	"sync"
	"time"
)

// ear keeps what a call has heard: the last part of its audio with arrival
// times, and all digits. Samples are numbered from the start of the call; time
// in which nothing arrived takes no samples.
type ear struct {
	mu     sync.Mutex
	change *sync.Cond // something arrived, or the call ended

	limit   int       // seconds kept
	seconds []*second // consecutive; the last may be incomplete
	first   int       // number of seconds[0]
	samples int       // received in all

	digits    []byte
	lastEvent uint32 // timestamp of the last event: its packets share it
	inEvent   bool
	lastAt    time.Time
	closed    bool
}

type second struct {
	pcm [sampleRate]int16
	at  [sampleRate / frame]time.Time // when the first sample of each 20 ms came
}

// errCallOver ends every wait for something to hear.
var errCallOver = errors.New("the call ended")

func newEar(keep time.Duration) *ear {
	e := &ear{limit: max(2, int(keep/time.Second))}
	e.change = sync.NewCond(&e.mu)
	return e
}

func (e *ear) addAudio(pcm []int16) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastAt = time.Now()
	for len(pcm) > 0 {
		at := e.samples % sampleRate
		if at == 0 {
			e.nextSecond()
		}
		s := e.seconds[len(e.seconds)-1]
		n := copy(s.pcm[at:], pcm)
		for block := (at + frame - 1) / frame; block*frame < at+n; block++ {
			s.at[block] = e.lastAt
		}
		pcm = pcm[n:]
		e.samples += n
	}
	e.change.Broadcast()
}

// nextSecond makes room for one more second, in the oldest one when all that
// may be kept is kept.
func (e *ear) nextSecond() {
	if len(e.seconds) < e.limit {
		e.seconds = append(e.seconds, new(second))
		return
	}
	oldest := e.seconds[0]
	copy(e.seconds, e.seconds[1:])
	e.seconds[len(e.seconds)-1] = oldest
	e.first++
}

// addEvent takes an RFC 4733 event packet; all packets of one key press have
// one timestamp.
func (e *ear) addEvent(code byte, timestamp uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lastAt = time.Now()
	if (e.inEvent && timestamp == e.lastEvent) || int(code) >= len(eventKeys) {
		return
	}
	e.inEvent, e.lastEvent = true, timestamp
	e.digits = append(e.digits, eventKeys[code])
	e.change.Broadcast()
}

func (e *ear) addDigit(digit byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.digits = append(e.digits, digit)
	e.change.Broadcast()
}

func (e *ear) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.change.Broadcast()
}

func (e *ear) lastArrival() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lastAt
}

// await waits until the condition holds, ctx ends or the call does. The
// condition is called with the lock held.
func (e *ear) await(ctx context.Context, condition func() bool) error {
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.change.Broadcast()
	})
	defer stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for !condition() {
		if e.closed {
			return errCallOver
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		e.change.Wait()
	}
	return nil
}

// awaitSample waits until sample number n-1 has been received.
func (e *ear) awaitSample(ctx context.Context, n int) error {
	return e.await(ctx, func() bool { return e.samples >= n })
}

func (e *ear) received() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.samples
}

// audio returns what is kept of the samples from number from on, and the number
// of the first one returned.
func (e *ear) audio(from int) ([]int16, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	from = max(from, e.first*sampleRate)
	pcm := make([]int16, 0, max(0, e.samples-from))
	for at := from; at < e.samples; {
		s := e.seconds[at/sampleRate-e.first]
		end := min(sampleRate, e.samples-at/sampleRate*sampleRate)
		pcm = append(pcm, s.pcm[at%sampleRate:end]...)
		at = (at/sampleRate + 1) * sampleRate
	}
	return pcm, from
}

// arrival is when the sample came, within one packet; for one no longer kept,
// when the oldest kept one came.
func (e *ear) arrival(sample int) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.arrived(sample)
}

func (e *ear) arrived(sample int) time.Time {
	if e.samples == 0 {
		return time.Time{}
	}
	sample = min(max(sample, e.first*sampleRate), e.samples-1)
	return e.seconds[sample/sampleRate-e.first].at[sample%sampleRate/frame]
}

// sampleAt is the number of the first kept sample that came at t or later.
func (e *ear) sampleAt(t time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	start := e.first * sampleRate
	blocks := (e.samples - start) / frame
	return start + frame*sort.Search(blocks, func(i int) bool {
		return !e.arrived(start + i*frame).Before(t)
	})
}

func (e *ear) keyed() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(e.digits)
}
