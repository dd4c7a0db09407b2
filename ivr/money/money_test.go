package money

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestCharge(t *testing.T) {
	perSecond := Rate{PerMinute: 199, Increment: time.Second}
	perMinuteRate := Rate{PerMinute: 100, Increment: time.Minute}
	withAll := Rate{PerMinute: 120, Fee: 50, Increment: 6 * time.Second, Minimum: 30 * time.Second, Free: 10 * time.Second}
	for _, c := range []struct {
		name string
		rate Rate
		talk time.Duration
		want Amount
	}{
		{"nothing for no talk", perSecond, 0, 0},
		{"a started second is a second", perSecond, time.Millisecond, 4}, // 3.32 rounded up
		{"a minute is the price", perSecond, time.Minute, 199},
		{"rounded once, not per slice", perSecond, 90 * time.Second, 299}, // 298.5
		{"a started minute is a minute", perMinuteRate, 61 * time.Second, 200},
		{"a whole minute is one", perMinuteRate, time.Minute, 100},
		{"free seconds cost not even the fee", withAll, 10 * time.Second, 0},
		{"past the free seconds: fee and minimum", withAll, 11 * time.Second, 50 + 60},
		{"past the minimum: increments", withAll, 41 * time.Second, 50 + 72},
		{"no talk is longer than a day", perMinuteRate, 48 * time.Hour, 100 * 24 * 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.rate.Charge(c.talk); got != c.want {
				t.Errorf("Charge(%v) = %d, want %d", c.talk, got, c.want)
			}
		})
	}
}

// What an amount buys never costs more than the amount, a second more would (or
// the day is over), and the charge never falls as the talk grows.
func TestBuysIsTheInverseOfCharge(t *testing.T) {
	for seed := range uint64(200_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		rate := Rate{
			PerMinute: 1 + Amount(r.Int64N(int64(pick(r, 10, 1_000, 1_000_000, int64(MaxPerMinute))))),
			Fee:       Amount(r.Int64N(pick(r, 1, 500, int64(MaxFee)))),
			Increment: time.Duration(pick(r, 1, 6, 30, 60, 3600)) * time.Second,
			Minimum:   time.Duration(r.Int64N(pick(r, 1, 90, 3600))) * time.Second,
			Free:      time.Duration(r.Int64N(pick(r, 1, 60, 3600))) * time.Second,
		}
		if faults := rate.Validate(); faults != nil {
			t.Fatalf("seed %d: %+v: %v", seed, rate, faults)
		}
		balance := Amount(r.Int64N(pick(r, 1, 1_000, 1_000_000, 1<<62)))
		bought := rate.Buys(balance)
		if cost := rate.Charge(bought); cost > balance {
			t.Fatalf("seed %d: %+v: %v buys %v, which costs %v", seed, rate, balance, bought, cost)
		}
		if more := bought + time.Second; more <= MaxTalk && rate.Charge(more) <= balance {
			t.Fatalf("seed %d: %+v: %v buys %v, yet a second more costs %v", seed, rate, balance, bought, rate.Charge(more))
		}
		a, b := time.Duration(r.Int64N(int64(MaxTalk))), time.Duration(r.Int64N(int64(MaxTalk)))
		if a > b {
			a, b = b, a
		}
		if rate.Charge(a) > rate.Charge(b) {
			t.Fatalf("seed %d: %+v: %v costs %v but %v costs %v", seed, rate, a, rate.Charge(a), b, rate.Charge(b))
		}
	}
}

func TestSharesAddUp(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		charge, percent := Amount(r.Int64N(1<<62)), r.IntN(101)
		s := Split(charge, percent)
		if s.Advisor+s.Platform != charge || s.Advisor < 0 || s.Platform < 0 {
			t.Fatalf("Split(%d, %d) = %+v", charge, percent, s)
		}
	}
	if s := Split(199, 60); s != (Shares{Advisor: 119, Platform: 80}) {
		t.Errorf("60%% of 199: %+v", s)
	}
}

func TestValidateNamesEveryFault(t *testing.T) {
	if got := (Rate{Increment: 1500 * time.Millisecond, Minimum: -1, Free: 2 * time.Hour, Fee: -1}).Validate(); len(got) != 5 {
		t.Errorf("want five faults, got %q", got)
	}
}

func pick(r *rand.Rand, of ...int64) int64 { return of[r.IntN(len(of))] }
