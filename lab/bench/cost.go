package bench

import (
	"context"
	"fmt"
	"time"
)

// Cost is the CPU time of whole calls.
type Cost struct {
	Calls int
	By    map[design][]usage // per call, one a round
}

// MeasureCost has the designs take turns at one rate.
func (b *Bench) MeasureCost(ctx context.Context) (c Cost, err error) {
	c = Cost{Calls: b.Calls, By: map[design][]usage{}}
	for round := range b.Rounds {
		for _, d := range designs {
			u, s, err := b.cost(ctx, load{design: d, rate: b.Rate, calls: b.Calls, talk: b.Talk})
			if err != nil {
				return c, err
			}
			if s.failed > 0 {
				return c, fmt.Errorf("%s: %d of %d calls failed at %.0f a second", d, s.failed, s.calls, b.Rate)
			}
			b.say("cost, round %d, %-8s asterisk %v program %v postgres %v; INVITE to 200 %v, p99 %v", round+1, d,
				u.asterisk, u.program, u.postgres, quantile(s.answered, 0.5), quantile(s.answered, 0.99))
			c.By[d] = append(c.By[d], u)
		}
	}
	return c, nil
}

// settling is how long after the last call its money is moved at the latest; what is done
// then belongs to the cost of the call.
const settling = 500 * time.Millisecond

func (b *Bench) cost(ctx context.Context, l load) (each usage, s seen, err error) {
	before, err := b.usage(l.design)
	if err != nil {
		return usage{}, s, err
	}
	if s, err = b.run(ctx, l); err != nil {
		return usage{}, s, err
	}
	time.Sleep(settling)
	after, err := b.usage(l.design)
	return after.since(before).per(s.calls), s, err
}
