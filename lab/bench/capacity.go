package bench

import "context"

// Capacity is the highest rate at which a design connects every call, and answers 99 of
// 100 callers within 100 ms.
type Capacity struct {
	By map[design][]float64 // calls a second, one a round
}

// MeasureCapacity has the designs take turns; each looks for its rate between two that
// come nearer to each other.
func (b *Bench) MeasureCapacity(ctx context.Context) (c Capacity, err error) {
	c.By = map[design][]float64{}
	for round := range b.Rounds {
		for _, d := range designs {
			rate, err := b.highestClean(ctx, d)
			if err != nil {
				return c, err
			}
			b.say("capacity, round %d, %-8s %.0f calls/s", round+1, d, rate)
			c.By[d] = append(c.By[d], rate)
		}
	}
	return c, nil
}

const (
	firstRate = 20.0 // calls a second
	rateStep  = 10.0 // how exactly it is looked for
)

func (b *Bench) highestClean(ctx context.Context, d design) (float64, error) {
	clean := func(rate float64) (bool, error) {
		s, err := b.run(ctx, load{design: d, rate: rate, calls: max(10, int(rate*b.Step.Seconds())), talk: b.Talk})
		return s.clean(), err
	}
	low, high := 0.0, firstRate
	for { // doubles until it is too much
		ok, err := clean(high)
		if err != nil {
			return 0, err
		}
		if !ok || b.Short {
			break
		}
		low, high = high, 2*high
	}
	for high-low > rateStep {
		middle := (low + high) / 2
		ok, err := clean(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}
