package bench

import (
	"context"
	"slices"
	"time"
)

// Setup is how fast the two are connected.
type Setup struct {
	Calls    int
	Rung     []time.Duration // from StasisStart to the advisor's INVITE, sorted
	Joined   []time.Duration // from the advisor's 200 to both in the bridge, sorted
	Unjoined int
}

// MeasureSetup listens to the wire while calls come in at a rate.
func (b *Bench) MeasureSetup(ctx context.Context, rate float64, calls int) (s Setup, err error) {
	w, err := b.listen(ctx)
	if err != nil {
		return s, err
	}
	_, err = b.run(ctx, load{design: paid, rate: rate, calls: calls, talk: b.Talk})
	seen := w.close()
	if err != nil {
		return s, err
	}
	s.Calls = len(seen)
	for _, c := range seen {
		if c.inHands.IsZero() || c.rung.IsZero() || c.picked.IsZero() || c.joined.IsZero() {
			s.Unjoined++
			continue
		}
		s.Rung = append(s.Rung, c.rung.Sub(c.inHands))
		s.Joined = append(s.Joined, c.joined.Sub(c.picked))
	}
	slices.Sort(s.Rung)
	slices.Sort(s.Joined)
	return s, nil
}
