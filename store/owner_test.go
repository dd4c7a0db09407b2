package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// copyOf is one copy of the program, as far as ownership goes: a store and its wish to
// own the town's Asterisk.
func (w *town) copyOf() *Ownership {
	w.t.Helper()
	o, err := w.open(w.dsn).Ownership(slog.New(slog.DiscardHandler))
	w.must(err)
	w.t.Cleanup(func() { o.Disconnect() })
	return o
}

// keeping lets a copy keep what it owns, until stop.
func keeping(t *testing.T, o *Ownership, alone bool) (kept chan error, stop context.CancelFunc) {
	ctx, stop := context.WithCancel(t.Context())
	kept = make(chan error, 1)
	go func() { kept <- o.Keep(ctx, func() bool { return alone }) }()
	t.Cleanup(stop)
	return kept, stop
}

// awaiting lets a copy wait for Asterisk.
func awaiting(t *testing.T, o *Ownership, takeOver bool) chan error {
	got := make(chan error, 1)
	go func() { got <- o.Await(t.Context(), takeOver) }()
	return got
}

// within waits for what must come.
func within[T any](t *testing.T, limit time.Duration, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(limit):
		t.Fatalf("%s did not come within %v", what, limit)
	}
	return v
}

// never sees to it that what must not come does not, for a while.
func never(t *testing.T, while time.Duration, what string, from <-chan error) {
	t.Helper()
	select {
	case err := <-from:
		t.Fatalf("%s: %v", what, err)
	case <-time.After(while):
	}
}

// Twenty copies start in one instant: one owns Asterisk, and is followed at once by
// exactly one other whenever it gives it back.
func TestOneOfManyOwnsAsterisk(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	const copies = 20
	owners := make(chan *Ownership, copies)
	var now atomic.Int32
	var done sync.WaitGroup
	for range copies {
		o := w.copyOf()
		done.Go(func() {
			if err := o.Await(t.Context(), false); err != nil {
				t.Error(err)
				return
			}
			if n := now.Add(1); n != 1 {
				t.Errorf("%d own Asterisk", n)
			}
			owners <- o
		})
	}
	for epoch := int64(1); epoch <= copies; epoch++ {
		o := within(t, 5*time.Second, "the next owner", owners)
		if o.Epoch != epoch {
			t.Errorf("epoch %d, want %d", o.Epoch, epoch)
		}
		if epoch > 1 && o.Idle > 3*time.Second {
			t.Errorf("nobody served for %v after it was given back", o.Idle)
		}
		now.Add(-1)
		w.must(o.Release(t.Context(), 0))
	}
	done.Wait()
}

// An owner that lives keeps Asterisk; one that dies is succeeded within ten seconds.
func TestADeadOwnerIsSucceeded(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	first, second := w.copyOf(), w.copyOf()
	w.must(first.Await(t.Context(), false))
	kept, kill := keeping(t, first, true)
	got := awaiting(t, second, false)
	never(t, leaseLasts+2*lookEvery, "a living owner was succeeded", got)

	kill()
	if err := <-kept; !errors.Is(err, context.Canceled) {
		t.Errorf("kept until %v", err)
	}
	died := time.Now()
	w.must(within(t, 10*time.Second, "the second owner", got))
	if idle := time.Since(died); second.Idle < idle-time.Second || second.Idle > idle+renewEvery+time.Second {
		t.Errorf("it says that nobody served for %v, it was %v", second.Idle, idle)
	}
	if second.Epoch != first.Epoch+1 {
		t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
	}
}

// An owner that was frozen, and wakes when another has succeeded it, finds that out at
// its first step; the books refuse it even before.
func TestAFrozenOwnerWakesUpFenced(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	frozen, next := w.copyOf(), w.copyOf()
	w.must(frozen.Await(ctx, false))
	before := opening(w.client(100_00), w.advisor(), w.plan())
	_, err := frozen.store.Hold(ctx, before)
	w.must(err)
	w.must(within(t, 15*time.Second, "the next owner", awaiting(t, next, false))) // nobody renews

	after := opening(w.client(100_00), w.advisor(), before.Plan)
	for what, do := range map[string]func() error{
		"hold":  func() error { _, err := frozen.store.Hold(ctx, after); return err },
		"close": func() error { return frozen.store.Close(ctx, ended(before, time.Minute)) },
		"claim": func() error { _, _, err := frozen.store.ClaimChallenge(ctx); return err },
		"renew": func() error { return frozen.Renew(ctx) },
		"keep":  func() error { return frozen.Keep(ctx, func() bool { return true }) },
	} {
		if err := do(); !errors.Is(err, ErrNotOwner) {
			t.Errorf("%s: %v, want ErrNotOwner", what, err)
		}
	}
	w.must(frozen.Release(ctx, 0)) // is not its own any more
	w.must(next.Renew(ctx))
	w.must(next.store.Close(ctx, ended(before, time.Minute)))
	if _, err := next.store.Hold(ctx, after); err != nil {
		t.Error(err)
	}
	w.must(next.store.Close(ctx, ended(after)))
	w.clean()
}

// Who becomes the owner waits for what the one before is just writing, and then sees it.
func TestANewOwnerSeesWhatTheOldOneWrote(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	first, second := w.copyOf(), w.copyOf()
	w.must(first.Await(ctx, false))
	tx, err := first.store.db.BeginTxx(ctx, nil)
	w.must(err)
	defer tx.Rollback()
	w.must(first.store.owns(ctx, tx))
	w.must(first.Renew(ctx)) // is not held up
	w.must(first.Release(ctx, 0))
	got := awaiting(t, second, false)
	select {
	case err := <-got:
		t.Fatalf("the next owner did not wait: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	w.must(tx.Commit())
	w.must(within(t, 5*time.Second, "the next owner", got))
}

// A deploy: the copy that asks to take over gets Asterisk at once, before all others who
// wait, the owner of before among them.
func TestAnOwnerHandsOverToWhoAsks(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	owner, waits, asks := w.copyOf(), w.copyOf(), w.copyOf()
	w.must(owner.Await(t.Context(), false))
	kept, _ := keeping(t, owner, true)
	waiting := awaiting(t, waits, false)
	asked := time.Now()
	got := awaiting(t, asks, true)
	if err := within(t, 5*time.Second, "the question", kept); !errors.Is(err, ErrWanted) {
		t.Fatalf("kept until %v", err)
	}
	w.must(owner.Release(t.Context(), 0))
	again := awaiting(t, owner, false)
	w.must(within(t, 5*time.Second, "the hand-over", got))
	t.Logf("handed over in %v", time.Since(asked))
	keeping(t, asks, true)
	never(t, leaseLasts+2*lookEvery, "another copy owns it", waiting)
	select {
	case err := <-again:
		t.Errorf("the owner of before has it again: %v", err)
	default:
	}
}

// outages of Postgres that last until they are ended.
var outages = map[string]func(t *testing.T) (end func()){
	"killed": func(t *testing.T) func() {
		if err := exchange.Postgres.Kill(); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := exchange.Postgres.Start(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	},
	"frozen": func(t *testing.T) func() {
		if err := exchange.Postgres.Stop(); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := exchange.Postgres.Cont(); err != nil {
				t.Fatal(err)
			}
		}
	},
}

// Postgres is gone for longer than a lease lasts: an owner that hears Asterisk goes on,
// and who waits does not come before it when Postgres is back.
func TestAnOwnerOutlivesPostgres(t *testing.T) {
	for what, begin := range outages {
		t.Run(what, func(t *testing.T) {
			w := newTown(t)
			owner, waits := w.copyOf(), w.copyOf()
			w.must(owner.Await(t.Context(), false))
			kept, stop := keeping(t, owner, true)
			got := awaiting(t, waits, false)
			end := begin(t)
			time.Sleep(leaseLasts + lookEvery)
			stop()
			if err := within(t, leaseLasts, "the end", kept); !errors.Is(err, context.Canceled) {
				t.Errorf("the owner gave up: %v", err)
			}
			end()
			never(t, lookEvery*3/2, "it was succeeded", got) // also where the owner is the later to see it
			kept, _ = keeping(t, owner, true)
			never(t, 2*lookEvery, "it was succeeded", got)
			select {
			case err := <-kept:
				t.Errorf("the owner gave up: %v", err)
			default:
			}
		})
	}
}

// An owner that hears neither Postgres nor Asterisk stops before others may have it.
func TestAnOwnerThatHearsNobodyStopsInTime(t *testing.T) {
	for what, begin := range outages {
		t.Run(what, func(t *testing.T) {
			w := newTown(t)
			o := w.copyOf()
			w.must(o.Await(t.Context(), false))
			acquired := time.Now()
			defer begin(t)()
			kept, _ := keeping(t, o, false)
			if err := within(t, 3*leaseLasts, "the end", kept); !errors.Is(err, ErrNotOwner) {
				t.Errorf("kept until %v", err)
			}
			if took := time.Since(acquired); took > leaseLasts {
				t.Errorf("it served for %v without a lease", took-leaseLasts)
			}
		})
	}
}

// What has no Asterisk, such as a command, is nobody's rival.
func TestAStoreThatNeverOwnedIsNotFenced(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	o := w.copyOf()
	w.must(o.Await(t.Context(), false))
	_, err := w.Hold(t.Context(), opening(w.client(100_00), w.advisor(), w.plan()))
	w.must(err)
}
