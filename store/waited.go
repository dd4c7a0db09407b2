package store

import (
	"context"
	"time"
)

// waited is a wait that a transaction has brought to its turn, or has ended before that.
// It is told when the transaction is committed, and only then.
type waited struct {
	until WaitState
	long  time.Duration
}

type waitedKey struct{} // of what a transaction's context notes: *[]waited

func noteWaited(ctx context.Context, until WaitState, seconds float64) {
	if waits, ok := ctx.Value(waitedKey{}).(*[]waited); ok {
		*waits = append(*waits, waited{until, time.Duration(seconds * float64(time.Second))})
	}
}

func (s *Store) tellWaited(waits []waited) {
	if s.Waited == nil {
		return
	}
	for _, w := range waits {
		s.Waited(w.until, w.long)
	}
}
