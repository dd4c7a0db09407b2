// Package bench measures what a paid call costs, side by side with the cheapest and with
// the classic way to connect two telephones on the same Asterisk. Every figure is taken in
// several rounds in which the designs take turns, so that what else the machine does
// meets all of them; ratios within one run mean more than the figures themselves.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"parley/lab"
	"parley/lab/stage"
)

// Options say how much is measured. [Full] and [Short] are two ready ones.
type Options struct {
	Pairs    int           // of a client and an advisor, each with numbers of their own
	Rounds   int           // of everything
	Rate     float64       // calls a second where the cost of a call is measured
	Calls    int           // of each design, in each round
	Talk     time.Duration // of those calls
	Step     time.Duration // how long each rate lasts where the highest clean one is looked for
	CutOffs  int           // talks that run into their limit, with the program alive and dead
	Live     []int         // calls that are up at a time
	Talks    []int         // that are up at a time, with sound
	Ledger   time.Duration // each way of the ledger's
	Clients  []int         // in the database, each with as many closed calls
	Short    bool          // nothing is looked for, it is only seen that it could be
	Progress io.Writer
}

// Full is what `make bench` measures.
func Full() Options {
	return Options{
		Pairs: 2000, Rounds: 5, Rate: 40, Calls: 600, Talk: 2 * time.Second, Step: 8 * time.Second, CutOffs: 200,
		Live: []int{1, 10, 100, 1000}, Talks: []int{100, 400}, Ledger: 8 * time.Second, Clients: []int{10, 10_000, 1_000_000},
	}
}

// Short shows that everything can be measured, and measures nothing that means anything.
func Short() Options {
	return Options{
		Pairs: 20, Rounds: 1, Rate: 10, Calls: 6, Talk: 2 * time.Second, Step: time.Second / 2, CutOffs: 3,
		Live: []int{1, 5}, Talks: []int{3}, Ledger: 300 * time.Millisecond, Clients: []int{10, 100}, Short: true,
	}
}

// design is a way to connect two telephones.
type design string

const (
	paid    design = "paid"    // Parley's: who may, hold, ring, talk, settle, record
	plain   design = "dial"    // Dial() in the dialplan, for nothing
	classic design = "fastagi" // a FastAGI server looks the balance up, then Dial()
)

var designs = []design{plain, classic, paid}

// dialled is what callers dial, in SIPp's words: their own number, or the advisor's
// behind a prefix by which the dialplan knows the design.
func (d design) dialled() string {
	switch d {
	case plain:
		return "7[field2]"
	case classic:
		return "8[field2]"
	}
	return "[field1]"
}

// Bench is a Parley with callers and advisors.
type Bench struct {
	Options
	stage    *stage.Stage
	dir      string
	advisors *exec.Cmd
	agi      *exec.Cmd
	runs     atomic.Int64
}

// Open sets everything up. Calls are not spoken to: prompts would be most of what is
// measured, and no other design has any.
func Open(ctx context.Context, o Options) (_ *Bench, err error) {
	b := &Bench{Options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	plan, err := planFor(o.Pairs, usualTalk)
	if err != nil {
		return nil, err
	}
	b.stage, err = stage.Open(ctx, stage.Options{
		Plan: plan, Lab: lab.Options{Durable: true, RTPPorts: 4*o.Pairs + 200}, RTPTimeout: time.Hour, Progress: o.Progress,
		Settings: func(*stage.Stage) ([]string, error) {
			return []string{"PARLEY_PROMPTS_SPOKEN=no", "PARLEY_LOG_LEVEL=info"}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	b.dir = filepath.Join(b.stage.Lab.Dir(), "bench")
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		return nil, err
	}
	// SIPp takes the place of the stage's own telephones.
	if err := b.stage.Carrier.Close(); err != nil {
		return nil, err
	}
	b.stage.Carrier = nil
	for _, step := range []func(context.Context) error{b.settle, b.addOtherDesigns, b.startAdvisors, b.warmUp} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// warmUp makes paid calls until every connection to Postgres has planned its statements,
// as it has in a program that has run for a while.
func (b *Bench) warmUp(ctx context.Context) error {
	_, err := b.run(ctx, load{design: paid, rate: b.Rate, calls: b.Calls, talk: b.Talk})
	return err
}

// Close ends all of it.
func (b *Bench) Close() error {
	var faults []error
	for _, cmd := range []*exec.Cmd{b.advisors, b.agi} {
		if cmd != nil && cmd.Process != nil {
			faults = append(faults, cmd.Process.Kill())
			_ = cmd.Wait() // that it was killed
		}
	}
	if b.stage != nil {
		faults = append(faults, b.stage.Close())
	}
	return errors.Join(faults...)
}

func (b *Bench) say(format string, args ...any) {
	fmt.Fprintf(b.Progress, format+"\n", args...)
}

// quantile of sorted times; 0 of none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// spread is the median of several rounds, with the least and the most.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	return spread{v[len(v)/2], v[0], v[len(v)-1]}
}
