package phone

import (
	"slices"
	"sync"
	"time"
)

// phases spread the calls over the 20 ms between packets, so that hundreds of
// calls do not all send in the same millisecond.
const phases = 4

// tooLate is a stall of the machine after which packets are dropped, not sent
// in a burst.
const tooLate = 200 * time.Millisecond

// pacer sends for every call of the process, on one goroutine and an absolute
// schedule: hundreds of calls cost one timer, and none of them drifts.
type pacer struct {
	mu      sync.Mutex
	calls   [phases][]*media
	running bool
}

var pacing pacer

func (p *pacer) add(m *media) {
	p.mu.Lock()
	defer p.mu.Unlock()
	least := 0
	for i := range p.calls {
		if len(p.calls[i]) < len(p.calls[least]) {
			least = i
		}
	}
	p.calls[least] = append(p.calls[least], m)
	if !p.running {
		p.running = true
		go p.run()
	}
}

func (p *pacer) remove(m *media) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, calls := range p.calls {
		if at := slices.Index(calls, m); at >= 0 {
			p.calls[i] = slices.Delete(calls, at, at+1)
		}
	}
}

// run lasts for as long as there are calls.
func (p *pacer) run() {
	var due []*media
	next := time.Now()
	for phase := 0; ; phase = (phase + 1) % phases {
		p.mu.Lock()
		if p.idle() {
			p.running = false
			p.mu.Unlock()
			return
		}
		due = append(due[:0], p.calls[phase]...)
		p.mu.Unlock()
		for _, m := range due {
			m.sendFrame()
		}
		next = next.Add(frameTime / phases)
		switch wait := time.Until(next); {
		case wait > 0:
			time.Sleep(wait)
		case wait < -tooLate:
			next = time.Now()
		}
	}
}

func (p *pacer) idle() bool {
	for _, calls := range p.calls {
		if len(calls) > 0 {
			return false
		}
	}
	return true
}
