package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Report is all that was measured.
type Report struct {
	Options  Options
	Began    time.Time
	Cost     Cost
	Capacity Capacity
	Setup    Setup
	CutOffs  CutOffs
	Memory   Memory
	Live     []Growth
	Sound    []Sound
	Ledger   Ledger
	Clients  []Size

	NotMeasured []string
}

// setupRate is the calls a second at which connecting is timed.
const setupRate = 50.0

// Run measures everything, one after the other. What cannot be measured is an error, and the
// rest is measured all the same.
func Run(ctx context.Context, o Options) (r Report, err error) {
	r.Options, r.Began = o, time.Now()
	b, err := Open(ctx, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	rate := min(setupRate, o.Rate*5/4)
	steps := []struct {
		name string
		do   func() error
	}{
		{"the cost of a call", func() (err error) { r.Cost, err = b.MeasureCost(ctx); return }},
		{"how fast the two are connected", func() (err error) { r.Setup, err = b.MeasureSetup(ctx, rate, 2*o.Calls); return }},
		{"the highest clean rate", func() (err error) { r.Capacity, err = b.MeasureCapacity(ctx); return }},
		{"the cost beside live calls", func() (err error) { r.Live, err = b.MeasureGrowth(ctx); return }},
		{"talks with sound", func() (err error) { r.Sound, err = b.MeasureSound(ctx); return }},
		{"memory", func() (err error) { r.Memory, err = b.MeasureMemory(ctx, o.Pairs); return }},
		{"the ledger", func() (err error) { r.Ledger, err = b.MeasureLedger(ctx, 5*o.Pairs); return }},
		{"cut-offs", func() (err error) { r.CutOffs, err = b.MeasureCutOffs(ctx); return }},
		{"the size of the database", func() (err error) { r.Clients, err = b.MeasureSize(ctx); return }},
	}
	for _, step := range steps {
		b.say("-- %s", step.name)
		if fault := step.do(); fault != nil {
			fault = fmt.Errorf("%s: %w", step.name, fault)
			b.say("%v", fault)
			err = errors.Join(err, fault)
			r.NotMeasured = append(r.NotMeasured, step.name)
		}
	}
	return r, err
}
