package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

var seed = flag.Uint64("seed", 0, "do again what people did, though not in which order; 0 is by chance")

// book is what a client's account must be: the model beside the ledger.
type book struct {
	client       ivr.ClientID
	posted, held money.Amount
	open         []*modelCall
	closed       []*modelCall
	deposits     []deposit
}

type modelCall struct {
	ivr.Opening
	holds []money.Amount
	asked []money.Amount // least of each extension, by its number
	cdr   ivr.CDR
}

type deposit struct {
	payment string
	amount  money.Amount
}

// Whatever clients and advisors do, in parallel and again: each step's answer and
// each balance are those of a model, and the audit finds nothing.
func TestLedgerIsItsModel(t *testing.T) {
	seed := *seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed %d", seed)
	const people, steps = 12, 120
	w := newTown(t)
	plan := w.plan()
	advisors := []ivr.AdvisorID{w.advisor(), w.advisor(), w.advisor()}
	var wg sync.WaitGroup
	for i := range people {
		b := &book{client: w.client(0)}
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		wg.Go(func() {
			for step := range steps {
				if err := b.step(t.Context(), w.Store, r, advisors, plan); err != nil {
					t.Errorf("client %d, step %d: %v", i, step, err)
					return
				}
			}
		})
	}
	// One account that all draw on at once: here a model can only add up.
	shared := w.client(500_00)
	var mu sync.Mutex
	var charged money.Amount
	for i := range people {
		r := rand.New(rand.NewPCG(seed, uint64(people+i)))
		wg.Go(func() {
			for range steps / 10 {
				o := opening(shared, advisors[r.IntN(3)], plan)
				_, err := w.Hold(t.Context(), o)
				var poor *ivr.NoFunds
				if errors.As(err, &poor) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				cdr := ended(o, time.Duration(r.Int64N(int64(90*time.Second))))
				if err := w.Close(t.Context(), cdr); err != nil {
					t.Error(err)
				}
				mu.Lock()
				charged += cdr.Charge
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if posted, held := w.balance(shared); posted != 500_00-charged || held != 0 {
		t.Errorf("the shared account has %v, %v held; %v were charged", posted, held, charged)
	}
	w.clean()
}

// step does one thing at random, and says where the ledger answers otherwise than
// the model.
func (b *book) step(ctx context.Context, s *Store, r *rand.Rand, advisors []ivr.AdvisorID, plan int64) error {
	var err error
	switch r.IntN(8) {
	case 0:
		d := deposit{ivr.NewID("pay"), money.Amount(1 + r.Int64N(80_00))}
		b.deposits = append(b.deposits, d)
		b.posted += d.amount
		err = s.Deposit(ctx, "test", d.payment, b.client, d.amount)
	case 1, 2:
		err = b.hold(ctx, s, r, advisors, plan)
	case 3:
		err = b.extend(ctx, s, r)
	case 4, 5:
		err = b.settle(ctx, s, r)
	case 6:
		err = b.replay(ctx, s, r)
	case 7:
		err = b.contradict(ctx, s, r)
	}
	if err != nil {
		return err
	}
	c, err := s.Client(ctx, b.client)
	if err == nil && (c.Posted != b.posted || c.Held != b.held) {
		err = fmt.Errorf("posted %v, held %v; the model says %v and %v", c.Posted, c.Held, b.posted, b.held)
	}
	return err
}

func (b *book) hold(ctx context.Context, s *Store, r *rand.Rand, advisors []ivr.AdvisorID, plan int64) error {
	o := opening(b.client, advisors[r.IntN(len(advisors))], plan)
	o.Terms.Rate = money.Rate{
		PerMinute: money.Amount(1 + r.Int64N(5_00)), Fee: money.Amount(r.Int64N(2) * 50),
		Increment: time.Duration(1+r.IntN(30)) * time.Second, Minimum: time.Duration(r.IntN(90)) * time.Second,
		Free: time.Duration(r.IntN(2)*10) * time.Second,
	}
	o.Terms.AdvisorPercent = r.IntN(101)
	o.Least, o.Most = o.Terms.Least(), o.Terms.Most()
	o.Concurrent = dialplan.Concurrent{All: 1000, PerClient: 3, PerAdvisor: 1000}
	held, err := s.Hold(ctx, o)
	available := b.posted - b.held
	var want error
	switch {
	case len(b.open) >= 3:
		want = ivr.ErrClientBusy
	case available < o.Least:
		want = &ivr.NoFunds{Available: available, Missing: o.Least - available, Predetermined: o.Terms.Predetermined}
	case held == min(available, o.Most) && err == nil:
		b.held += held
		b.open = append(b.open, &modelCall{Opening: o, holds: []money.Amount{held}, asked: []money.Amount{o.Least}})
		return nil
	}
	if !reflect.DeepEqual(err, want) {
		return fmt.Errorf("of %v held %v, %v; want %v", available, held, err, want)
	}
	return nil
}

func (b *book) extend(ctx context.Context, s *Store, r *rand.Rand) error {
	if len(b.open) == 0 {
		return nil
	}
	c := b.open[r.IntN(len(b.open))]
	least := money.Amount(1 + r.Int64N(10_00))
	held, err := s.Extend(ctx, c.Call, len(c.holds)+1, least, 2*least)
	available := b.posted - b.held
	var poor *ivr.NoFunds
	if errors.As(err, &poor) && available < least && poor.Missing == least-available {
		return nil
	}
	if err != nil || held != min(available, 2*least) {
		return fmt.Errorf("of %v extended by %v from %v: %w", available, held, least, err)
	}
	b.held += held
	c.holds, c.asked = append(c.holds, held), append(c.asked, least)
	return nil
}

func (b *book) settle(ctx context.Context, s *Store, r *rand.Rand) error {
	if len(b.open) == 0 {
		return nil
	}
	i := r.IntN(len(b.open))
	c := b.open[i]
	var talks []time.Duration // none is a void: all is released
	for range r.IntN(3) {
		talks = append(talks, time.Duration(r.Int64N(int64(10*time.Minute))))
	}
	c.cdr = ended(c.Opening, talks...)
	if err := s.Close(ctx, c.cdr); err != nil {
		return err
	}
	var held money.Amount
	for _, h := range c.holds {
		held += h
	}
	b.held -= held
	b.posted -= min(c.cdr.Charge, held)
	b.open = append(b.open[:i], b.open[i+1:]...)
	b.closed = append(b.closed, c)
	return nil
}

// replay does again what was done: nothing changes, and the answer is the first.
func (b *book) replay(ctx context.Context, s *Store, r *rand.Rand) error {
	for _, d := range b.deposits {
		if r.IntN(4) == 0 {
			if err := s.Deposit(ctx, "test", d.payment, b.client, d.amount); err != nil {
				return err
			}
		}
	}
	for _, c := range b.open {
		held, err := s.Hold(ctx, c.Opening)
		if err != nil || held != c.holds[0] {
			return fmt.Errorf("held again %v, not %v: %w", held, c.holds[0], err)
		}
		if n := len(c.holds); n > 1 {
			held, err := s.Extend(ctx, c.Call, n, c.asked[n-1], 2*c.asked[n-1])
			if err != nil || held != c.holds[n-1] {
				return fmt.Errorf("extended again by %v, not %v: %w", held, c.holds[n-1], err)
			}
		}
	}
	for _, c := range b.closed {
		if r.IntN(4) == 0 {
			if err := s.Close(ctx, c.cdr); err != nil {
				return err
			}
		}
	}
	return nil
}

// contradict says something else under an ID that was used: a conflict, and
// nothing changes.
func (b *book) contradict(ctx context.Context, s *Store, r *rand.Rand) error {
	var errs []error
	if n := len(b.deposits); n > 0 {
		d := b.deposits[r.IntN(n)]
		errs = append(errs, s.Deposit(ctx, "test", d.payment, b.client, d.amount+1))
	}
	if n := len(b.open); n > 0 {
		o := b.open[r.IntN(n)].Opening
		o.Most++
		_, err := s.Hold(ctx, o)
		errs = append(errs, err)
	}
	if n := len(b.closed); n > 0 {
		_, err := s.Extend(ctx, b.closed[r.IntN(n)].Call, 9, 1, 2)
		errs = append(errs, err)
	}
	for _, err := range errs {
		if !errors.Is(err, ErrConflict) {
			return fmt.Errorf("contradicted, and got %v", err)
		}
	}
	return nil
}
