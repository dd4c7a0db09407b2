package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
)

// KeepQuality implements [ivr.Ledger]: all legs in one statement, for which no disk is
// waited for. That it is lost with the server harms nobody.
func (s *Store) KeepQuality(ctx context.Context, call ivr.CallID, legs []ivr.LegQuality) error {
	sides, numbers := make([]string, len(legs)), [6][]int64{}
	for i, q := range legs {
		sides[i] = q.Side
		for j, n := range []int64{int64(q.Received), int64(q.Lost), int64(q.Sent), int64(q.SentLost),
			q.Jitter.Microseconds(), q.RoundTrip.Microseconds()} {
			numbers[j] = append(numbers[j], n)
		}
	}
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.prepared.ExecContext(ctx, `
			WITH commit AS (SELECT set_config('synchronous_commit', 'off', true))
			INSERT INTO leg_quality (call, leg, side, received, lost, sent, sent_lost, jitter_us, round_trip_us)
			SELECT $1, leg, side, received, lost, sent, sent_lost, jitter_us, round_trip_us
			FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
				WITH ORDINALITY AS q (side, received, lost, sent, sent_lost, jitter_us, round_trip_us, leg), commit
			ON CONFLICT (call, leg) DO NOTHING`, call, pq.Array(sides),
			pq.Array(numbers[0]), pq.Array(numbers[1]), pq.Array(numbers[2]), pq.Array(numbers[3]), pq.Array(numbers[4]), pq.Array(numbers[5]))
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the quality of call %s: %w", call, err)
	}
	return nil
}

// qualityOf is how the legs of a call sounded, as far as that is known.
func qualityOf(ctx context.Context, tx *sqlx.Tx, call ivr.CallID) ([]ivr.LegQuality, error) {
	var rows []struct {
		Side                           string
		Received, Lost, Sent, SentLost int
		JitterUS                       int64 `db:"jitter_us"`
		RoundTripUS                    int64 `db:"round_trip_us"`
	}
	err := tx.SelectContext(ctx, &rows, `
		SELECT side, received, lost, sent, sent_lost AS sentlost, jitter_us, round_trip_us FROM leg_quality WHERE call = $1 ORDER BY leg`, call)
	legs := make([]ivr.LegQuality, len(rows))
	for i, r := range rows {
		legs[i] = ivr.LegQuality{Side: r.Side, Quality: ivr.Quality{
			Received: r.Received, Lost: r.Lost, Sent: r.Sent, SentLost: r.SentLost,
			Jitter: time.Duration(r.JitterUS) * time.Microsecond, RoundTrip: time.Duration(r.RoundTripUS) * time.Microsecond,
		}}
	}
	return legs, err
}

// soundWords is the quality of a leg for whoever looks into a complaint.
func soundWords(q ivr.LegQuality) string {
	words := fmt.Sprintf("%s: %.1f %% lost on the way to us", q.Side, 100*q.Loss())
	if q.SentLost > 0 || q.RoundTrip > 0 {
		words += fmt.Sprintf(", %.1f %% on the way to them, round trip %d ms", 100*q.SentLoss(), q.RoundTrip.Milliseconds())
	}
	words += fmt.Sprintf(", jitter %d ms", q.Jitter.Milliseconds())
	if q.Bad() {
		words += ": bad"
	}
	return words
}
