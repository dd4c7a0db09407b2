package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

func some(a money.Amount) *money.Amount { return &a }

// setCaps sets them, and checks what they are then.
func (w *town) setCaps(client ivr.ClientID, day, week *money.Amount, want string) {
	w.t.Helper()
	_, err := w.SetCaps(w.t.Context(), "test", client, day, week)
	w.must(err)
	w.caps(client, want)
}

// caps checks what a client's caps are: what holds now, what is to come and in how many
// hours.
func (w *town) caps(client ivr.ClientID, want string) {
	w.t.Helper()
	c, err := w.Caps(w.t.Context(), client)
	w.must(err)
	var now time.Time
	w.must(w.get(w.t.Context(), &now, `SELECT now()`))
	one := func(c Cap) string {
		amount := func(a *money.Amount) string {
			if a == nil {
				return "none"
			}
			return a.String()
		}
		words := amount(c.Amount)
		if c.Next != nil {
			words += fmt.Sprintf(", %s in %.0f h", amount(c.Next.Amount), c.Next.From.Sub(now).Hours())
		}
		return words
	}
	if got := one(c.Day) + "; " + one(c.Week); got != want {
		w.t.Errorf("the caps are %s, want %s", got, want)
	}
}

// later moves what was set of caps into the past, as a day would.
func (w *town) later(d time.Duration) {
	w.t.Helper()
	db := w.superuser()
	db.MustExec(`ALTER TABLE caps DISABLE TRIGGER append_only`)
	db.MustExec(`UPDATE caps SET set_at = set_at - $1 * interval '1 s', holds_from = holds_from - $1 * interval '1 s'`, d.Seconds())
	db.MustExec(`ALTER TABLE caps ENABLE TRIGGER append_only`)
}

// Tightening holds at once, loosening after a day, and what was set last is what comes.
func TestCapsTightenAtOnceAndLoosenAfterADay(t *testing.T) {
	w := newTown(t)
	client := w.client(100_00)
	w.caps(client, "none; none")
	w.setCaps(client, some(50_00), nil, "50.00; none")
	w.setCaps(client, some(20_00), some(60_00), "20.00; 60.00")
	w.setCaps(client, some(30_00), some(60_00), "20.00, 30.00 in 24 h; 60.00")
	w.later(6 * time.Hour)
	w.setCaps(client, some(30_00), some(60_00), "20.00, 30.00 in 18 h; 60.00") // the same again does not begin anew
	w.setCaps(client, some(25_00), nil, "20.00, 25.00 in 18 h; 60.00, none in 24 h")
	w.setCaps(client, some(40_00), nil, "20.00, 40.00 in 24 h; 60.00, none in 24 h")
	w.later(20 * time.Hour)
	w.caps(client, "25.00, 40.00 in 4 h; 60.00, none in 4 h")
	w.setCaps(client, some(10_00), some(0), "10.00; 0.00") // and what was to come does not
	w.later(30 * time.Hour)
	w.caps(client, "10.00; 0.00")
	w.setCaps(client, nil, nil, "10.00, none in 24 h; 0.00, none in 24 h")
	w.later(25 * time.Hour)
	w.caps(client, "none; none")
	if _, err := w.SetCaps(t.Context(), "test", client, some(-1), nil); err == nil {
		t.Error("a negative cap")
	}
	if _, err := w.SetCaps(t.Context(), "test", "cli_no", nil, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
}

// A call is held no more than the caps leave, is refused as such where that is too
// little, and what was charged and what is held count.
func TestHoldsKeepWithinCaps(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, advisor, plan := w.client(100_00), w.advisor(), w.plan()
	w.setCaps(client, some(15_00), some(40_00), "15.00; 40.00")

	o := opening(client, advisor, plan)
	for range 2 {
		if held, err := w.WouldHold(ctx, o); err != nil || held != 15_00 {
			t.Fatalf("would hold %v, %v", held, err)
		}
	}
	if held, err := w.Hold(ctx, o); err != nil || held != 15_00 {
		t.Fatalf("held %v, %v", held, err)
	}
	capped := func(what string, err error, available money.Amount) {
		t.Helper()
		var poor *ivr.NoFunds
		if !errors.As(err, &poor) || !poor.ByCap || poor.Available != available || poor.Missing <= 0 {
			t.Errorf("%s: %v, want a cap that leaves %v", what, err, available)
		}
	}
	_, err := w.Hold(ctx, opening(client, advisor, plan))
	capped("a second call", err, 0)
	_, err = w.Extend(ctx, o.Call, 2, 1, 20_00)
	capped("a longer call", err, 0)
	w.must(w.Close(ctx, ended(o, 3*time.Minute))) // 5.97
	_, err = w.Hold(ctx, opening(client, advisor, plan))
	capped("too little left for five minutes", err, 9_03)
	_, err = w.WouldHold(ctx, opening(client, advisor, plan))
	capped("would it be", err, 9_03)

	w.setCaps(client, some(15_00), some(7_00), "15.00; 7.00") // the week's is nearer now
	short := opening(client, advisor, plan)
	short.Least = 1_00
	if held, err := w.Hold(ctx, short); err != nil || held != 1_03 {
		t.Errorf("of the week's: %v, %v", held, err)
	}
	if c, err := w.Caps(ctx, client); err != nil || c.Day.Charged != 5_97 || c.Week.Charged != 5_97 || c.Held != 1_03 || c.MayHold != 0 {
		t.Errorf("told %+v, %v", c, err)
	}
	w.must(w.Close(ctx, ended(short)))
	w.setCaps(client, some(15_00), nil, "15.00; 7.00, none in 24 h")
	w.later(25 * time.Hour)
	o = opening(client, advisor, plan)
	o.Least, o.Most = 2_00, 2_00
	if held, err := w.Hold(ctx, o); err != nil || held != 2_00 {
		t.Fatalf("held %v, %v", held, err)
	}
	if more, err := w.Extend(ctx, o.Call, 2, 1, 50_00); err != nil || more != 7_03 {
		t.Errorf("extended by %v, %v: all that the day leaves", more, err)
	}
	if more, err := w.Extend(ctx, o.Call, 2, 1, 50_00); err != nil || more != 7_03 {
		t.Errorf("the same again: %v, %v", more, err)
	}
	w.must(w.Close(ctx, ended(o)))

	poor := w.client(3_00)
	w.setCaps(poor, some(50_00), nil, "50.00; none")
	_, err = w.Hold(ctx, opening(poor, advisor, plan))
	var funds *ivr.NoFunds
	if !errors.As(err, &funds) || funds.ByCap || funds.Available != 3_00 {
		t.Errorf("too little money is no matter of caps: %v", err)
	}
	w.clean()
}

// What was charged longer ago than a cap counts, counts no more.
func TestCapsCountWhatWasChargedInTheirTime(t *testing.T) {
	w := newTown(t)
	client, advisor, plan := w.client(100_00), w.advisor(), w.plan()
	w.setCaps(client, some(20_00), some(50_00), "20.00; 50.00")
	o := opening(client, advisor, plan)
	if _, err := w.Hold(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	w.must(w.Close(t.Context(), ended(o, 5*time.Minute))) // 9.95
	for _, c := range []struct {
		age       time.Duration
		day, week money.Amount
	}{{0, 9_95, 9_95}, {23 * time.Hour, 9_95, 9_95}, {2 * time.Hour, 0, 9_95}, {142 * time.Hour, 0, 9_95}, {2 * time.Hour, 0, 0}} {
		db := w.superuser()
		db.MustExec(`ALTER TABLE transfers DISABLE TRIGGER append_only`)
		db.MustExec(`UPDATE transfers SET at = at - $1 * interval '1 s'`, c.age.Seconds())
		db.MustExec(`ALTER TABLE transfers ENABLE TRIGGER append_only`)
		got, err := w.Caps(t.Context(), client)
		if err != nil || got.Day.Charged != c.day || got.Week.Charged != c.week {
			t.Errorf("%v later: %v and %v, %v; want %v and %v", c.age, got.Day.Charged, got.Week.Charged, err, c.day, c.week)
		}
	}
}

// Fifty calls at once, to fifty advisors, some of which end while others begin and get
// longer: never is more held and charged than the cap.
func TestFiftyHoldsAtOnceKeepWithinACap(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, plan := w.client(1000_00), w.plan()
	const most = 100_00
	w.setCaps(client, some(most), nil, "100.00; none")
	var all sync.WaitGroup
	for range 50 {
		o := opening(client, w.advisor(), plan)
		o.Least, o.Most = 5_00, 17_00
		all.Go(func() {
			_, err := w.Hold(ctx, o)
			if err != nil {
				if !errors.As(err, new(*ivr.NoFunds)) {
					t.Error(err)
				}
				return
			}
			if _, err := w.Extend(ctx, o.Call, 2, 1, 9_00); err != nil && !errors.As(err, new(*ivr.NoFunds)) {
				t.Error(err)
			}
			if err := w.Close(ctx, ended(o, 4*time.Minute)); err != nil { // 7.96 of it
				t.Error(err)
			}
			if c, err := w.Caps(ctx, client); err != nil || c.Held+c.Day.Charged > most {
				t.Errorf("held %v and charged %v, %v", c.Held, c.Day.Charged, err)
			}
		})
	}
	all.Wait()
	c, err := w.Caps(ctx, client)
	w.must(err)
	if c.Held != 0 || c.Day.Charged > most || c.Day.Charged == 0 {
		t.Errorf("in the end %v held, %v charged", c.Held, c.Day.Charged)
	}
	w.clean()
}

// A tap is refused by a cap as a call would be, and told what the caps leave.
func TestTapsKeepWithinCaps(t *testing.T) {
	w := newHosted(t)
	client, advisor := w.client(100_00), w.advisor
	w.setCaps(client, some(9_00), nil, "9.00; none")
	_, err := w.tap(client, advisor)
	var poor *ivr.NoFunds
	if !errors.As(err, &poor) || !poor.ByCap || poor.Available != 9_00 {
		t.Errorf("a tap beyond the cap: %v", err)
	}
	other := w.client(100_00)
	w.setCaps(other, some(11_00), nil, "11.00; none")
	talk, err := w.tap(other, advisor)
	if err != nil || talk.Available != 11_00 {
		t.Errorf("a tap within the cap: %+v, %v", talk, err)
	}
}
