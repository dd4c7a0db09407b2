package ivr

import (
	"context"
	"errors"
	"time"
)

// proofEvery is how often the length of each talk is written down: the most talk
// that is lost, and so not charged, when program and talk die together.
const proofEvery = 10 * time.Second

// proofTimeout bounds one writing of proofs.
const proofTimeout = 5 * time.Second

// ProveTalks writes down, until ctx ends, for how long the live talks have
// certainly lasted.
func (s *Service) ProveTalks(ctx context.Context) {
	tick := time.NewTicker(proofEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.prove(ctx, s.proofs())
		}
	}
}

// proofs are those of all talks that go on now.
func (s *Service) proofs() (proofs []Proof) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.live {
		if p := call.proof(); p.Segment > 0 {
			proofs = append(proofs, p)
		}
	}
	return proofs
}

// prove writes proofs. A ledger that does not answer ends no talk: the money for
// it is held already.
func (s *Service) prove(ctx context.Context, proofs []Proof) {
	if len(proofs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	if err := s.Ledger.Prove(ctx, proofs); err != nil && !errors.Is(context.Cause(ctx), ErrHungUp) {
		log := s.Log
		if len(proofs) == 1 {
			log = log.With("call", proofs[0].Call)
		}
		log.Warn("talk not proved", "talks", len(proofs), "err", err)
	}
}

func (c *Call) setTalking(t *talking) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.talking = t
}

// length is how long the talk has certainly lasted until then.
func (t *talking) length(until time.Time) time.Duration {
	return until.Sub(t.began) - t.Unheard(until)
}

// proof is for how long the talk of now has certainly lasted; its segment is 0
// where there is none.
func (c *Call) proof() Proof {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.talking == nil {
		return Proof{}
	}
	return Proof{Call: c.ID, Segment: c.talking.number, Talk: max(0, c.talking.length(c.talking.SeenAt()))}
}
