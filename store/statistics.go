package store

import (
	"context"
	"fmt"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

// HourOfCalls is what became of the calls that began in one hour and have ended.
// Amounts are of one currency.
type HourOfCalls struct {
	From     time.Time `db:"hour"`
	Calls    int
	Answered int   // with talk in them
	TalkMS   int64 `db:"talk_ms"`
	RingMS   int64 `db:"ring_ms"` // the mean of those that were answered: from the dialling to the advisor's answer
	WaitMS   int64 `db:"wait_ms"` // the mean of who joined a line and had their turn: until that
	Held     money.Amount
	Captured money.Amount
}

// HoursOfCalls tells of each hour from the one of from to the one of to, also of those
// without calls. Verification calls do not count.
func (s *Store) HoursOfCalls(ctx context.Context, from, to time.Time, currency string) (hours []HourOfCalls, err error) {
	err = s.list(ctx, &hours, `
		SELECT h.hour, count(c.id) AS calls, count(*) FILTER (WHERE c.talk_ms > 0) AS answered, coalesce(sum(c.talk_ms), 0)::bigint AS talk_ms,
			coalesce(avg(c.ring_ms) FILTER (WHERE c.talk_ms > 0), 0)::bigint AS ring_ms,
			coalesce((SELECT avg(extract(epoch FROM l.made_at - w.joined_at)) * 1000 FROM waits w JOIN loans l ON l.id = w.loan
				WHERE w.joined_at >= h.hour AND w.joined_at < h.hour + interval '1 hour'), 0)::bigint AS wait_ms,
			coalesce(sum(c.held) FILTER (WHERE c.terms ->> 'currency' = $3), 0)::bigint AS held,
			coalesce(sum(c.charge) FILTER (WHERE c.terms ->> 'currency' = $3), 0)::bigint AS captured
		FROM generate_series(date_trunc('hour', $1::timestamptz, 'UTC'), $2::timestamptz, interval '1 hour') h (hour)
		LEFT JOIN calls c ON c.started_at >= h.hour AND c.started_at < h.hour + interval '1 hour' AND c.ended_at IS NOT NULL AND c.kind <> $4
		GROUP BY h.hour ORDER BY h.hour`, from, to, currency, ivr.VerificationCall)
	if err != nil {
		return nil, fmt.Errorf("count calls by the hour: %w", err)
	}
	return hours, nil
}
