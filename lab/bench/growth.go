package bench

import (
	"context"
	"time"
)

// Growth is the cost of a call while so many others are up.
type Growth struct {
	Live int
	Each usage
	Seen seen
}

// MeasureGrowth makes calls beside more and more others that talk.
func (b *Bench) MeasureGrowth(ctx context.Context) (all []Growth, err error) {
	for _, live := range b.Live {
		if live+b.Calls/2 > b.Pairs {
			b.say("growth: there are too few people for %d live calls", live)
			continue
		}
		g, err := b.growth(ctx, live)
		if err != nil {
			return all, err
		}
		b.say("beside %d live calls: asterisk %v program %v postgres %v, p99 %v, %d failed", live,
			g.Each.asterisk, g.Each.program, g.Each.postgres, quantile(g.Seen.answered, 0.99), g.Seen.failed)
		all = append(all, g)
	}
	return all, nil
}

func (b *Bench) growth(ctx context.Context, live int) (g Growth, err error) {
	const rate, beside = 40.0, 20.0
	rising := time.Duration(float64(live) / rate * float64(time.Second))
	lasts := time.Duration(float64(b.Calls)/2/beside*float64(time.Second)) + b.Talk + 10*time.Second
	talking := make(chan error, 1)
	go func() {
		_, err := b.run(ctx, load{design: paid, rate: rate, calls: live, talk: rising + lasts})
		talking <- err
	}()
	time.Sleep(rising + 2*time.Second)
	g.Live = live
	g.Each, g.Seen, err = b.cost(ctx, load{design: paid, rate: beside, calls: b.Calls / 2, talk: b.Talk, skip: live})
	if err != nil {
		return g, err
	}
	return g, <-talking
}
