package store

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

// A hold takes what the client has, up to the most and not below the least, or says
// what is missing.
func TestHoldTakesWhatThereIs(t *testing.T) {
	w := newTown(t)
	advisor, plan := w.advisor(), w.plan()
	least, most := terms.Least(), terms.Most() // 9.95 and 59.70
	for _, c := range []struct{ available, held, missing money.Amount }{
		{0, 0, least},
		{least - 1, 0, 1},
		{least, least, 0},
		{most - 1, most - 1, 0},
		{most, most, 0},
		{most * 9, most, 0},
	} {
		client := w.client(c.available)
		o := opening(client, advisor, plan)
		would, errWould := w.WouldHold(t.Context(), o)
		if posted, held := w.balance(client); posted != c.available || held != 0 {
			t.Errorf("WouldHold left posted %v, held %v of %v", posted, held, c.available)
		}
		held, err := w.Hold(t.Context(), o)
		if fmt.Sprint(held, err) != fmt.Sprint(would, errWould) {
			t.Errorf("of %v: would hold %v, %v; held %v, %v", c.available, would, errWould, held, err)
		}
		if c.missing == 0 {
			w.must(err)
			if _, onHold := w.balance(client); held != c.held || onHold != c.held {
				t.Errorf("of %v: held %v, the account says %v, want %v", c.available, held, onHold, c.held)
			}
			continue
		}
		var poor *ivr.NoFunds
		want := ivr.NoFunds{Available: c.available, Missing: c.missing, Predetermined: 5 * time.Minute}
		if !errors.As(err, &poor) || *poor != want {
			t.Errorf("of %v: %v, want %+v", c.available, err, want)
		}
	}
	w.clean()
}

// Where free seconds cover the predetermined length a client without money may talk
// for them, and pays nothing.
func TestFreeSecondsNeedNoMoney(t *testing.T) {
	w := newTown(t)
	o := opening(w.client(0), w.advisor(), w.plan())
	o.Terms.Rate.Free = 5 * time.Minute
	o.Least, o.Most = o.Terms.Least(), o.Terms.Most()
	if held, err := w.Hold(t.Context(), o); held != 0 || err != nil {
		t.Fatalf("held %v, %v; want nothing held and no error", held, err)
	}
	w.must(w.Close(t.Context(), ended(o, 4*time.Minute)))
	w.clean()
}

// A missing limit, an unknown client, advisor or currency: no call, and never for
// want of money.
func TestWhatIsUnknownHoldsNothing(t *testing.T) {
	w := newTown(t)
	client, advisor, plan := w.client(100_00), w.advisor(), w.plan()
	for name, spoil := range map[string]func(*ivr.Opening){
		"no limit on all":        func(o *ivr.Opening) { o.Concurrent.All = 0 },
		"no limit per client":    func(o *ivr.Opening) { o.Concurrent.PerClient = 0 },
		"no limit per advisor":   func(o *ivr.Opening) { o.Concurrent.PerAdvisor = 0 },
		"no most":                func(o *ivr.Opening) { o.Least, o.Most = 0, 0 },
		"least above most":       func(o *ivr.Opening) { o.Most = o.Least - 1 },
		"negative least":         func(o *ivr.Opening) { o.Least = -1 },
		"unknown client":         func(o *ivr.Opening) { o.Client = "cli_nobody" },
		"unknown advisor":        func(o *ivr.Opening) { o.Advisor = "adv_nobody" },
		"unknown plan":           func(o *ivr.Opening) { o.Plan = 99 },
		"another currency":       func(o *ivr.Opening) { o.Terms.Currency = "CHF" },
		"a currency that is not": func(o *ivr.Opening) { o.Terms.Currency = "" },
	} {
		o := opening(client, advisor, plan)
		spoil(&o)
		held, err := w.Hold(t.Context(), o)
		var poor *ivr.NoFunds
		if err == nil || errors.As(err, &poor) {
			t.Errorf("%s: held %v, %v", name, held, err)
		}
	}
	if _, held := w.balance(client); held != 0 {
		t.Errorf("%v is held", held)
	}
	w.clean()
}

// The same ID with the same content has the first result, and with other content
// is a conflict that writes nothing.
func TestSameIDSameResult(t *testing.T) {
	w := newTown(t)
	client, other, advisor, plan := w.client(20_00), w.client(99_00), w.advisor(), w.plan()
	o := opening(client, advisor, plan)
	first, err := w.Hold(t.Context(), o)
	w.must(err)
	w.deposit(client, 50_00) // there is more now, but the result stays
	if again, err := w.Hold(t.Context(), o); again != first || err != nil {
		t.Errorf("held %v, then %v, %v", first, again, err)
	}
	for name, change := range map[string]func(*ivr.Opening){
		"client":  func(o *ivr.Opening) { o.Client = other },
		"advisor": func(o *ivr.Opening) { o.Advisor = w.advisor() },
		"least":   func(o *ivr.Opening) { o.Least-- },
		"most":    func(o *ivr.Opening) { o.Most++ },
		"terms":   func(o *ivr.Opening) { o.Terms.AdvisorPercent++ },
		"start":   func(o *ivr.Opening) { o.StartedAt = o.StartedAt.Add(time.Millisecond) },
		"DID":     func(o *ivr.Opening) { o.DID += "0" },
	} {
		changed := o
		change(&changed)
		if _, err := w.Hold(t.Context(), changed); !errors.Is(err, ErrConflict) {
			t.Errorf("other %s: %v, want a conflict", name, err)
		}
	}
	second, err := w.Extend(t.Context(), o.Call, 2, 1_00, 5_00)
	w.must(err)
	if again, err := w.Extend(t.Context(), o.Call, 2, 1_00, 5_00); again != second || err != nil {
		t.Errorf("extended by %v, then %v, %v", second, again, err)
	}
	if _, err := w.Extend(t.Context(), o.Call, 2, 1_00, 6_00); !errors.Is(err, ErrConflict) {
		t.Errorf("extended otherwise: %v, want a conflict", err)
	}
	if _, held := w.balance(client); held != first+second {
		t.Errorf("%v is held, want %v", held, first+second)
	}

	cdr := ended(o, 150*time.Second)
	w.must(w.Close(t.Context(), cdr))
	w.must(w.Close(t.Context(), cdr))
	if err := w.Close(t.Context(), ended(o, 151*time.Second)); !errors.Is(err, ErrConflict) {
		t.Errorf("closed with another charge: %v, want a conflict", err)
	}
	// Nobody may be rung for a call that is over.
	if _, err := w.Hold(t.Context(), o); !errors.Is(err, ErrConflict) {
		t.Errorf("held for an ended call: %v, want a conflict", err)
	}
	if _, err := w.Extend(t.Context(), o.Call, 3, 1, 2); !errors.Is(err, ErrConflict) {
		t.Errorf("extended an ended call: %v, want a conflict", err)
	}

	w.must(w.Deposit(t.Context(), "test", "payment 1", client, 7_00))
	w.must(w.Deposit(t.Context(), "test", "payment 1", client, 7_00))
	for _, err := range []error{
		w.Deposit(t.Context(), "test", "payment 1", client, 8_00),
		w.Deposit(t.Context(), "test", "payment 1", other, 7_00),
	} {
		if !errors.Is(err, ErrConflict) {
			t.Errorf("another deposit of the same payment: %v, want a conflict", err)
		}
	}
	if posted, held := w.balance(client); posted != 70_00-4_98+7_00 || held != 0 {
		t.Errorf("posted %v, held %v", posted, held)
	}
	w.clean()
}

// A client and an advisor have as many calls at once as the limits say, however
// many ask in one instant; and one who has a call hears that, not "no money".
func TestLimitsOnConcurrentCallsAreExact(t *testing.T) {
	w := newTown(t)
	plan := w.plan()
	const crowd = 30
	var openings []ivr.Opening
	client, advisor := w.client(9999_00), w.advisor()
	for range crowd {
		o := opening(client, w.advisor(), plan)
		o.Concurrent.PerClient = 2
		openings = append(openings, o)
		o = opening(w.client(99_00), advisor, plan)
		o.Concurrent.PerAdvisor = 3
		openings = append(openings, o)
	}
	got := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, o := range openings {
		wg.Go(func() {
			_, err := w.Hold(t.Context(), o)
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(o.Client == client, " ", err)]++
		})
	}
	wg.Wait()
	want := map[string]int{
		"true <nil>": 2, fmt.Sprint("true ", ivr.ErrClientBusy): crowd - 2,
		"false <nil>": 3, fmt.Sprint("false ", ivr.ErrAdvisorBusy): crowd - 3,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	o := opening(w.client(99_00), w.advisor(), plan)
	o.Concurrent.All = 5
	if _, err := w.Hold(t.Context(), o); !errors.Is(err, ivr.ErrAllBusy) {
		t.Errorf("the sixth call of five: %v", err)
	}
	poor := w.client(terms.Least())
	o = opening(poor, w.advisor(), plan)
	_, err := w.Hold(t.Context(), o)
	w.must(err)
	o = opening(poor, w.advisor(), plan)
	o.Concurrent.PerClient = 1
	if _, err := w.Hold(t.Context(), o); !errors.Is(err, ivr.ErrClientBusy) {
		t.Errorf("a client whose money is held by their own call: %v", err)
	}
	w.clean()
}

// The charge is captured from the holds in their order, and never exceeds them.
func TestCaptureNeverExceedsTheHolds(t *testing.T) {
	for _, c := range []struct {
		name   string
		talk   time.Duration
		charge money.Amount
		want   []Hold
	}{
		{"nothing", 0, 0, []Hold{{1, 10_00, 0, 10_00, true}, {2, 5_00, 0, 5_00, true}}},
		{"within the first", 150 * time.Second, 4_98, []Hold{{1, 10_00, 4_98, 5_02, true}, {2, 5_00, 0, 5_00, true}}},
		{"into the second", 6 * time.Minute, 11_94, []Hold{{1, 10_00, 10_00, 0, true}, {2, 5_00, 1_94, 3_06, true}}},
		{"past both", 10 * time.Minute, 15_00, []Hold{{1, 10_00, 10_00, 0, true}, {2, 5_00, 5_00, 0, true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newTown(t)
			client := w.client(20_00)
			o := opening(client, w.advisor(), w.plan())
			o.Most = 10_00
			_, err := w.Hold(t.Context(), o)
			w.must(err)
			_, err = w.Extend(t.Context(), o.Call, 2, 1_00, 5_00)
			w.must(err)
			cdr := ended(o, c.talk)
			w.must(w.Close(t.Context(), cdr))
			w.must(w.Close(t.Context(), cdr))
			r, err := w.Receipt(t.Context(), o.Call)
			w.must(err)
			if !reflect.DeepEqual(r.Holds, c.want) || r.Charge != c.charge || r.Held != 15_00 {
				t.Errorf("charge %v of %v, holds %+v", r.Charge, r.Held, r.Holds)
			}
			if want := money.Split(c.charge, 60); r.Shares != want {
				t.Errorf("shares %+v, want %+v", r.Shares, want)
			}
			if posted, held := w.balance(client); posted != 20_00-c.charge || held != 0 {
				t.Errorf("posted %v, held %v", posted, held)
			}
			w.clean()
		})
	}
}

// A top-up that the client cannot pay is refused as a hold is.
func TestExtendIsBoundByTheMoney(t *testing.T) {
	w := newTown(t)
	o := opening(w.client(12_00), w.advisor(), w.plan())
	o.Most = 10_00
	_, err := w.Hold(t.Context(), o)
	w.must(err)
	var poor *ivr.NoFunds
	if _, err := w.Extend(t.Context(), o.Call, 2, 3_00, 9_00); !errors.As(err, &poor) || poor.Available != 2_00 || poor.Missing != 1_00 {
		t.Errorf("extended beyond the money: %v", err)
	}
	if held, err := w.Extend(t.Context(), o.Call, 2, 1_00, 9_00); held != 2_00 || err != nil {
		t.Errorf("extended by %v, %v; want the 2.00 that are left", held, err)
	}
	w.clean()
}

// Calls that never opened, of callers nobody knows, leave their record and move
// nothing; and no hold may follow.
func TestCallThatNeverOpenedLeavesItsRecord(t *testing.T) {
	w := newTown(t)
	unknown := ivr.CDR{Call: "call_unknown", Kind: ivr.ClientCall, DID: "+493055501009", ANI: "", StartedAt: started,
		Disposition: "unknown number", Cause: ivr.UnallocatedNumber, EndedBy: "parley"}
	w.must(w.Close(t.Context(), unknown))
	w.must(w.Close(t.Context(), unknown))
	c, err := w.Call(t.Context(), "call_unknown")
	w.must(err)
	if c.Disposition != "unknown number" || c.Cause != 1 || c.Open() || c.Terms != nil {
		t.Errorf("recorded %+v", c)
	}
	o := opening(w.client(99_00), w.advisor(), w.plan())
	free := ended(o)
	w.must(w.Close(t.Context(), free)) // the reply to Hold was slow, and the call was given up
	if _, err := w.Hold(t.Context(), o); !errors.Is(err, ErrConflict) {
		t.Errorf("held after the end: %v", err)
	}
	wrong := free
	wrong.Call, wrong.Charge = "call_wrong", 1
	if err := w.Close(t.Context(), wrong); err == nil {
		t.Error("closed with shares that are not the charge")
	}
	other := opening(w.client(99_00), w.advisor(), 1)
	_, err = w.Hold(t.Context(), other)
	w.must(err)
	stolen := ended(other, time.Minute)
	stolen.Client = o.Client
	if err := w.Close(t.Context(), stolen); !errors.Is(err, ErrConflict) {
		t.Errorf("closed on another client's account: %v", err)
	}
	w.clean()
}

// What a call proved of its talk survives its program, and only grows until the
// call has ended; and what opened it comes back whole.
func TestOpenCallsComeBackWithTheirProofs(t *testing.T) {
	w := newTown(t)
	advisor := w.advisor()
	line := w.line(advisor, "+493012345678")
	plan := w.plan()
	client := w.client(99_00)
	loan, _, err := w.CreateLoan(t.Context(), LoanRequest{Client: client, Advisor: advisor, Line: line, DID: "+493055501001", For: time.Hour})
	w.must(err)
	o := opening(client, advisor, plan)
	o.Loan, o.Line = loan.ID, line
	held, err := w.Hold(t.Context(), o)
	w.must(err)
	prove := func(segment int, talk time.Duration) {
		t.Helper()
		w.must(w.Prove(t.Context(), []ivr.Proof{{Call: o.Call, Segment: segment, Talk: talk}, {Call: "call_nobody", Segment: 1, Talk: talk}}))
	}
	prove(1, 0) // the first proof of a segment records that it began
	prove(1, 15*time.Second)
	prove(1, 5*time.Second)
	prove(2, 45*time.Second+7)

	calls, err := w.OpenCalls(t.Context())
	w.must(err)
	if len(calls) != 1 {
		t.Fatalf("open are %+v", calls)
	}
	got := calls[0]
	want := o
	want.Concurrent = got.Concurrent
	if !reflect.DeepEqual(got.Opening, want) || got.Held != held {
		t.Errorf("came back as %+v, held %v; opened as %+v, held %v", got.Opening, got.Held, want, held)
	}
	if len(got.Segments) != 2 || got.Segments[0].Talk != 15*time.Second || got.Segments[1].Talk != 45*time.Second+7 {
		t.Errorf("proved %+v", got.Segments)
	}
	if ago := time.Since(got.Began); ago < 45*time.Second || ago > 85*time.Second {
		t.Errorf("the last was joined %v ago, want 45 s and a little", ago)
	}

	w.must(w.Close(t.Context(), ended(o, 15*time.Second, 45*time.Second+7)))
	prove(1, time.Hour)
	prove(3, time.Second)
	c, err := w.Call(t.Context(), o.Call)
	w.must(err)
	if len(c.Segments) != 2 || c.Talk() != time.Minute+7 || c.Charge != terms.Rate.Charge(time.Minute+7) {
		t.Errorf("talked for %v, charged %v", c.Talk(), c.Charge)
	}
	if calls, err := w.OpenCalls(t.Context()); len(calls) != 0 || err != nil {
		t.Errorf("open after the end: %+v, %v", calls, err)
	}
	w.clean()
}
