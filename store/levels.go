package store

import (
	"context"
	"fmt"
	"time"

	"parley/ivr/money"
)

// Levels are how full things are, over all copies of the program.
type Levels struct {
	OpenCalls   int                     // held and not settled
	Held        map[string]money.Amount // for them, by currency
	Waiting     int                     // clients on queues
	LongestWait time.Duration           // of them, so far
}

// Levels reads what is open and who waits; what is over costs it nothing.
func (s *Store) Levels(ctx context.Context) (Levels, error) {
	var rows []struct {
		Currency string
		Calls    int
		Held     money.Amount
	}
	if err := s.list(ctx, &rows, `
		SELECT coalesce(terms->>'currency', '') AS currency, count(*) AS calls,
			coalesce(sum((SELECT sum(amount) FROM holds WHERE call = c.id)), 0)::bigint AS held
		FROM calls c WHERE ended_at IS NULL GROUP BY 1`); err != nil {
		return Levels{}, fmt.Errorf("count open calls: %w", err)
	}
	var queue struct {
		Waiting int
		LongMS  int64 `db:"long_ms"`
	}
	if err := s.get(ctx, &queue, `
		SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(joined_at)) * 1000, 0)::bigint AS long_ms
		FROM waits WHERE ended_at IS NULL AND state = 'waiting'`); err != nil {
		return Levels{}, fmt.Errorf("count who waits: %w", err)
	}
	l := Levels{Held: map[string]money.Amount{}, Waiting: queue.Waiting, LongestWait: time.Duration(queue.LongMS) * time.Millisecond}
	for _, r := range rows {
		l.OpenCalls += r.Calls
		if r.Currency != "" {
			l.Held[r.Currency] += r.Held
		}
	}
	return l, nil
}

// Connections says how many connections to Postgres are in use, and how many may be.
func (s *Store) Connections() (used, most int) {
	stats := s.db.Stats()
	return stats.InUse, stats.MaxOpenConnections
}
