package ivrtest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// What an operation of a port can suffer, of a hundred. The ledger's promise is that
// an operation that failed has done nothing, or that the same again returns what it did:
// an answer is lost either way.
const (
	lostBefore = 4 // nothing is done, and an error returned
	lostAfter  = 4 // it is done, and an error returned
	slow       = 6
)

var errLost = errors.New("the answer was lost")

// suffer decides what the next operation of a name suffers: it may wait, fail before
// (err), and fail after it is done (after). The same seed decides the same.
func (p *Program) suffer(ctx context.Context, operation string) (after, err error) {
	if p.FaultSeed == 0 {
		return nil, nil
	}
	p.mu.Lock()
	if p.operations == nil {
		p.operations = map[string]int{}
	}
	p.operations[operation]++
	number := p.operations[operation]
	p.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprint(h, p.FaultSeed, operation, number)
	switch roll := h.Sum64() % 100; {
	case roll < lostBefore:
		p.Note("(%s fails)", operation)
		return nil, errLost
	case roll < lostBefore+lostAfter:
		p.Note("(the answer to %s is lost)", operation)
		return errLost, nil
	case roll < lostBefore+lostAfter+slow:
		return nil, p.sleep(ctx, time.Duration(h.Sum64()>>8%7000)*time.Millisecond)
	}
	return nil, nil
}
