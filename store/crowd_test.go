package store

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/ivr"
)

// Two hundred holds at once against money for one: one is granted and 199 are
// refused for lack of money, round after round, for several clients side by side.
func TestTwoHundredHoldsAgainstMoneyForOne(t *testing.T) {
	rounds, clients := 1000, 4
	if testing.Short() {
		rounds = 40
	}
	w := newTown(t)
	many, err := Open(t.Context(), Config{DSN: w.dsn, Key: testKey, Connections: 32})
	w.must(err)
	t.Cleanup(func() { many.Disconnect() })
	plan := w.plan()
	var wg sync.WaitGroup
	for range clients {
		o := opening(w.client(0), w.advisor(), plan)
		wg.Go(func() {
			for range rounds / clients {
				if err := many.Deposit(t.Context(), "test", ivr.NewID("pay"), o.Client, o.Least); err != nil {
					t.Error(err)
					return
				}
				winner, granted, refused := crowd(t, many, o)
				if granted != 1 || refused != 199 {
					t.Errorf("%d granted, %d refused", granted, refused)
					return
				}
				if err := many.Close(t.Context(), ended(winner, 5*time.Minute)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	w.clean()
}

// crowd asks for two hundred calls like o at once.
func crowd(t *testing.T, s *Store, o ivr.Opening) (winner ivr.Opening, granted, refused int64) {
	var won atomic.Pointer[ivr.Opening]
	var yes, no atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		o := o
		o.Call = ivr.CallID(ivr.NewID("call"))
		wg.Go(func() {
			<-start
			_, err := s.Hold(t.Context(), o)
			var poor *ivr.NoFunds
			switch {
			case err == nil:
				yes.Add(1)
				won.Store(&o)
			case errors.As(err, &poor):
				no.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if w := won.Load(); w != nil {
		winner = *w
	}
	return winner, yes.Load(), no.Load()
}

// The same settle two hundred times at once: one set of transfers.
func TestTwoHundredClosesMoveMoneyOnce(t *testing.T) {
	w := newTown(t)
	client := w.client(100_00)
	o := opening(client, w.advisor(), w.plan())
	_, err := w.Hold(t.Context(), o)
	w.must(err)
	cdr := ended(o, 150*time.Second)
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 200 {
		wg.Go(func() {
			<-start
			if err := w.Close(t.Context(), cdr); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	r, err := w.Receipt(t.Context(), o.Call)
	w.must(err)
	if len(r.Transfers) != 2 || r.Transfers[0].Amount+r.Transfers[1].Amount != 4_98 {
		t.Errorf("the transfers are %+v", r.Transfers)
	}
	if posted, held := w.balance(client); posted != 100_00-4_98 || held != 0 {
		t.Errorf("posted %v, held %v", posted, held)
	}
	w.clean()
}
