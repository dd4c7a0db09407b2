package bench

import (
	"context"
	"errors"
	"slices"
	"time"
)

// CutOffs are how long after the limit of a talk each phone got its BYE.
type CutOffs struct {
	Alive, Dead   []time.Duration // by how much, too early or too late: two of each call, sorted
	Uncut, Before int             // phones that got no BYE; those that got one before the limit
}

// longest is the longest talk while cut-offs are measured.
const longest = 10 * time.Second

// MeasureCutOffs lets talks run into their limit, first with the program alive; then all
// of them are joined and it is killed.
func (b *Bench) MeasureCutOffs(ctx context.Context) (c CutOffs, err error) {
	short, err := planFor(b.Pairs, longest)
	if err != nil {
		return c, err
	}
	if err := b.stage.Activate(ctx, short); err != nil {
		return c, err
	}
	for _, dead := range []bool{false, true} {
		errors, err := b.cutOffs(ctx, dead, &c)
		if err != nil {
			return c, err
		}
		if dead {
			c.Dead = errors
		} else {
			c.Alive = errors
		}
	}
	usual, err := planFor(b.Pairs, usualTalk)
	if err != nil {
		return c, err
	}
	return c, b.stage.Activate(ctx, usual)
}

func (b *Bench) cutOffs(ctx context.Context, kill bool, c *CutOffs) (off []time.Duration, err error) {
	w, err := b.listen(ctx)
	if err != nil {
		return nil, err
	}
	const rate = 40.0
	killed := make(chan error, 1)
	go func() {
		if !kill {
			killed <- nil
			return
		}
		time.Sleep(time.Duration(float64(b.CutOffs)/rate*float64(time.Second)) + 2*time.Second) // all are joined
		killed <- b.stage.Program.Kill()
	}()
	_, err = b.run(ctx, load{design: paid, rate: rate, calls: b.CutOffs})
	err = errors.Join(err, <-killed)
	time.Sleep(3 * time.Second) // the other phone's
	seen := w.close()
	if kill {
		err = errors.Join(err, b.stage.Program.Start(ctx))
	}
	for _, call := range seen {
		for _, bye := range call.byes {
			if bye.IsZero() || call.joined.IsZero() {
				c.Uncut++
				continue
			}
			late := bye.Sub(call.joined.Add(longest))
			if late < 0 {
				c.Before++
			}
			off = append(off, late.Abs())
		}
	}
	slices.Sort(off)
	return off, err
}
