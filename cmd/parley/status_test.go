package main

import (
	"testing"
	"time"
)

// A host that has no plan yet is not said to have version 0 of one, and what is held comes in
// an order that stays.
func TestStatusInWords(t *testing.T) {
	at := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	for want, is := range map[string]summary{
		"plan      none is active\ncalls     0 open\nnumbers   0 free, 0 lent, 0 in quarantine\nqueues    0 wait, the first for 0s\naudit     none yet": {},
		"plan      version 4\ncalls     2 open\nnumbers   5 free, 2 lent, 1 in quarantine\nqueues    3 wait, the first for 1m5s\naudit     1 faults, 2026-11-28 03:00:00\nheld      1.50 CHF\nheld      20.00 EUR\nheld      0.01 USD": {
			Plan: 4, Calls: 2, Held: map[string]string{"EUR": "20.00", "USD": "0.01", "CHF": "1.50"}, Numbers: map[string]int{"free": 5, "lent": 2, "quarantine": 1},
			Waiting: 3, LongestWait: 65.9, Audited: &at, Faults: 1,
		},
	} {
		if got := is.text(); got != want {
			t.Errorf("it says\n%s\nwant\n%s", got, want)
		}
	}
}
