// Package money is the arithmetic of amounts and rates: what talk time costs and
// what an amount buys. It moves nothing: the ledger in package store does that.
package money

import (
	"fmt"
	"time"
)

// Amount is money in minor units, such as cents, of the plan's currency.
type Amount int64

// String writes an amount with two decimals, which suits currencies with a
// hundred minor units.
func (a Amount) String() string {
	sign := ""
	if a < 0 {
		sign, a = "-", -a
	}
	return fmt.Sprintf("%s%d.%02d", sign, a/100, a%100)
}

// Bounds within which the arithmetic below cannot overflow an int64: a charge is
// at most MaxPerMinute * MaxTalk in minutes + MaxFee, about 1.5e12.
const (
	MaxPerMinute Amount = 1_000_000_000
	MaxFee       Amount = 1_000_000_000
	MaxTalk             = 24 * time.Hour
)

// Rate is the price of talk time.
//
// The first Free of a talk costs nothing. What is longer costs Fee once, plus
// PerMinute for the rest of the talk, which is counted as at least Minimum and
// in whole Increments, rounded up. The sum is rounded up to a minor unit, once.
type Rate struct {
	PerMinute Amount        // > 0
	Fee       Amount        // connection fee, >= 0
	Increment time.Duration // whole seconds, >= 1 s
	Minimum   time.Duration // whole seconds, >= 0
	Free      time.Duration // whole seconds, >= 0
}

// Charge is the price of a whole talk. It is called once a call, with all of its
// talk time: a sum over slices would round differently. It never falls as the
// talk grows, and Charge(0) is 0.
func (r Rate) Charge(talk time.Duration) Amount {
	if talk <= r.Free || talk <= 0 {
		return 0
	}
	counted := roundUp(max(min(talk, MaxTalk)-r.Free, r.Minimum), r.Increment)
	return r.Fee + perMinute(r.PerMinute, counted)
}

// Buys is the longest talk that costs at most a, but not more than MaxTalk.
func (r Rate) Buys(a Amount) time.Duration {
	if a < r.Fee {
		return r.Free
	}
	// Seconds for which the charge, rounded up, is at most what is left after
	// the fee: ceil(p*s/60) <= left exactly when p*s/60 <= left.
	left := min(a-r.Fee, MaxPerMinute*24*60)
	seconds := int64(left) * 60 / int64(r.PerMinute)
	counted := min(time.Duration(min(seconds, int64(MaxTalk/time.Second)))*time.Second, MaxTalk)
	counted -= counted % r.Increment
	if counted <= 0 || counted < r.Minimum {
		return r.Free
	}
	return min(r.Free+counted, MaxTalk)
}

// Validate reports what is wrong with r, in words for whoever wrote it.
func (r Rate) Validate() (faults []string) {
	if r.PerMinute <= 0 || r.PerMinute > MaxPerMinute {
		faults = append(faults, fmt.Sprintf("per_minute must be from 1 to %d minor units", MaxPerMinute))
	}
	if r.Fee < 0 || r.Fee > MaxFee {
		faults = append(faults, fmt.Sprintf("fee must be from 0 to %d minor units", MaxFee))
	}
	for _, d := range []struct {
		name     string
		value    time.Duration
		from, to time.Duration
	}{
		{"increment", r.Increment, time.Second, time.Hour},
		{"minimum", r.Minimum, 0, time.Hour},
		{"free", r.Free, 0, time.Hour},
	} {
		if d.value < d.from || d.value > d.to || d.value%time.Second != 0 {
			faults = append(faults, fmt.Sprintf("%s must be whole seconds from %v to %v", d.name, d.from, d.to))
		}
	}
	return faults
}

// Shares says who gets what of a charge. They always add up to it.
type Shares struct {
	Advisor, Platform Amount
}

// Split divides a charge: the advisor's share is advisorPercent of it, rounded
// down; the platform has the rest.
func Split(charge Amount, advisorPercent int) Shares {
	// Divided first, so that no charge can overflow.
	advisor := charge/100*Amount(advisorPercent) + charge%100*Amount(advisorPercent)/100
	return Shares{Advisor: advisor, Platform: charge - advisor}
}

func perMinute(price Amount, d time.Duration) Amount {
	seconds := Amount(d / time.Second)
	return (price*seconds + 59) / 60
}

func roundUp(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest != 0 {
		d += unit - rest
	}
	return d
}
