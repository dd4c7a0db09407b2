package ivr

import (
	"context"
	"errors"
	"time"
)

// proofEvery is how often the length of each talk is written down: the most talk
// that is lost, and so not charged, when program and talk die together. What becomes
// due within gatherFor is written in one statement: talks that begin, above all.
const (
	proofEvery = 10 * time.Second
	gatherFor  = 500 * time.Millisecond
)

// proofTimeout bounds one writing of proofs.
const proofTimeout = 5 * time.Second

// ProveTalks writes down, until ctx ends, for how long the live talks have
// certainly lasted.
func (s *Service) ProveTalks(ctx context.Context) {
	tick := time.NewTicker(gatherFor)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.proveDue(ctx)
		}
	}
}

// proveDue proves the talks that were never proved, or long ago.
func (s *Service) proveDue(ctx context.Context) {
	now := time.Now()
	var due []*talking
	var proofs []Proof
	s.mu.Lock()
	for _, call := range s.live {
		if t, proof := call.proof(); t != nil && now.Sub(t.proved) >= proofEvery {
			due, proofs = append(due, t), append(proofs, proof)
		}
	}
	s.mu.Unlock()
	if s.prove(ctx, proofs) {
		for _, t := range due {
			t.proved = now
		}
	}
}

// prove writes proofs, and reports whether they are written. A ledger that does not
// answer ends no talk: the money for it is held already.
func (s *Service) prove(ctx context.Context, proofs []Proof) bool {
	if len(proofs) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, proofTimeout)
	defer cancel()
	err := s.Ledger.Prove(ctx, proofs)
	if err != nil && !errors.Is(context.Cause(ctx), ErrHungUp) {
		log := s.Log
		if len(proofs) == 1 {
			log = log.With("call", proofs[0].Call)
		}
		log.Warn("talk not proved", "talks", len(proofs), "err", err)
	}
	return err == nil
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

// proof is for how long the talk of now has certainly lasted; t is nil where there is
// none.
func (c *Call) proof() (t *talking, p Proof) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.talking == nil {
		return nil, Proof{}
	}
	return c.talking, Proof{Call: c.ID, Segment: c.talking.number, Talk: max(0, c.talking.length(c.talking.SeenAt()))}
}
