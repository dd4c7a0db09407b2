package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// Every way in which an appointment can end: how it is told, and where the money is.
func TestEveryWayOutOfAnAppointment(t *testing.T) {
	fee, compensation, late := money.Amount(5_00), money.Amount(3_00), -11*time.Minute
	calls := func(d ivr.Disposition, talks ...time.Duration) func(*calendar, Appointment) {
		return func(c *calendar, a Appointment) {
			c.moves(a, -time.Second)
			c.due()
			c.stands(a, ApptCalling)
			p := c.placed()
			o := c.opens(p.Loan, p.Call, p.Kind)
			_, err := c.Hold(c.t.Context(), o)
			c.must(err)
			c.ends(o, d, talks...)
		}
	}
	dials := func(d ivr.Disposition, talks ...time.Duration) func(*calendar, Appointment) {
		return func(c *calendar, a Appointment) {
			c.moves(a, time.Minute)
			c.due()
			loan, err := c.LoanByPIN(c.t.Context(), c.stands(a, ApptOpen).DID, c.stands(a, ApptOpen).PIN)
			c.must(err)
			c.moves(a, -time.Second)
			o := c.opens(loan, ivr.CallID(ivr.NewID("call")), ivr.ClientCall)
			_, err = c.Hold(c.t.Context(), o)
			c.must(err)
			c.moves(a, late) // too late already, but on the line
			c.due()
			c.stands(a, ApptOpen)
			c.ends(o, d, talks...)
			c.due()
		}
	}
	for name, test := range map[string]struct {
		mode  Mode
		then  func(*calendar, Appointment)
		state AppointmentState
		pays  money.Amount
		event string
	}{
		"kept":                         {HostCalls, calls(ivr.Completed, 5*time.Minute), ApptKept, least, "kept"},
		"the client does not answer":   {HostCalls, calls("client not reached"), ApptClientNoShow, fee, "missed"},
		"the advisor does not answer":  {HostCalls, calls("no answer"), ApptAdvisorNoShow, -compensation, "missed"},
		"the advisor declines":         {HostCalls, calls("declined"), ApptAdvisorNoShow, -compensation, "missed"},
		"the client does not wait":     {HostCalls, calls("abandoned"), ApptMissed, 0, "missed"},
		"our fault":                    {HostCalls, calls(ivr.Failed), ApptMissed, 0, "missed"},
		"kept by dialling in":          {DialIn, dials(ivr.Completed, 5*time.Minute), ApptKept, least, "kept"},
		"dialled in, no answer":        {DialIn, dials("no answer"), ApptAdvisorNoShow, -compensation, "missed"},
		"dialled in, and did not wait": {DialIn, dials("abandoned"), ApptMissed, 0, "missed"},
		"nobody was there to place it": {HostCalls, func(c *calendar, a Appointment) { c.moves(a, late); c.due() }, ApptMissed, 0, "missed"},
		"nobody was there to lend":     {DialIn, func(c *calendar, a Appointment) { c.moves(a, late); c.due() }, ApptMissed, 0, "missed"},
		"placed, and not in time": {HostCalls, func(c *calendar, a Appointment) {
			c.moves(a, -time.Second)
			c.due()
			_, err := c.superuser().Exec(`UPDATE placements SET until = now()`)
			c.must(err)
			c.must(c.EndMissedPlacements(c.t.Context()))
		}, ApptMissed, 0, "missed"},
		"the client does not dial in": {DialIn, func(c *calendar, a Appointment) {
			c.moves(a, time.Minute)
			c.due()
			c.moves(a, late)
			c.due()
		}, ApptClientNoShow, fee, "missed"},
		"the advisor talks on": {HostCalls, func(c *calendar, a Appointment) {
			_, err := c.Hold(c.t.Context(), opening(c.hosted.client(100_00), a.Advisor, c.plan.Version))
			c.must(err)
			c.moves(a, -time.Minute)
			c.due()
			c.stands(a, ApptAccepted)
			c.moves(a, late)
			c.due()
		}, ApptAdvisorNoShow, -compensation, "missed"},
		"the advisor's line is not verified": {HostCalls, func(c *calendar, a Appointment) {
			_, err := c.superuser().Exec(`UPDATE lines SET verified_at = NULL, verified_how = NULL`)
			c.must(err)
			c.moves(a, -time.Minute)
			c.due()
			c.stands(a, ApptAccepted)
			c.moves(a, late)
			c.due()
		}, ApptAdvisorNoShow, -compensation, "missed"},
		"cancelled by the client": {DialIn, func(c *calendar, a Appointment) {
			c.moves(a, time.Minute)
			c.due()
			did := c.stands(a, ApptOpen).DID
			_, err := c.CancelAppointment(c.t.Context(), c.request("c"), Party{Client: a.Client, Who: "x"}, a.ID, "")
			c.must(err)
			if _, err := c.LoanByANI(c.t.Context(), did, "+4916012345678"); !errors.Is(err, ivr.ErrLoanExpired) {
				c.t.Errorf("its number: %v", err)
			}
		}, ApptCancelled, 0, "cancelled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCalendar(t)
			a := c.agreed(test.mode)
			c.has(100_00-price, price)
			test.then(c, a)
			c.due()
			over := c.stands(a, test.state)
			c.has(100_00-test.pays, 0)
			if told := c.events("appointment." + test.event); len(told) != 1 || told[0]["state"] != string(test.state) {
				t.Errorf("told: %+v", told)
			}
			if test.state == ApptClientNoShow && over.Fee != fee || test.state != ApptClientNoShow && over.Fee != 0 {
				t.Errorf("the fee is %v", over.Fee)
			}
			if test.state == ApptAdvisorNoShow && over.Compensation != compensation || test.state != ApptAdvisorNoShow && over.Compensation != 0 {
				t.Errorf("the client was paid %v", over.Compensation)
			}
			c.clean()
			var live int
			c.must(c.db.Get(&live, `SELECT count(*) FROM loans WHERE reserves AND until > clock_timestamp()`))
			if live != 0 {
				t.Error("the advisor is reserved still")
			}
		})
	}
}

// Where the plan holds at the start, nothing moves before, a client who does not come
// pays nothing, and one whose money is gone is not put through.
func TestHeldAtTheStart(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	c.plan.Appointments.Hold = dialplan.AtStart
	a := c.agreed(HostCalls)
	c.has(100_00, 0)
	c.moves(a, 0)
	c.due()
	p := c.placed()
	spent := opening(c.client, c.hosted.advisor, c.plan.Version) // elsewhere, meanwhile
	spent.Advisor = c.town.advisor()
	spent.Least, spent.Most = 90_00, 90_00
	_, err := c.Hold(ctx, spent)
	c.must(err)
	var poor *ivr.NoFunds
	o := c.opens(p.Loan, p.Call, p.Kind)
	o.Concurrent.PerClient = 2
	if _, err := c.Hold(ctx, o); !errors.As(err, &poor) {
		t.Fatalf("held: %v", err)
	}
	c.ends(o, "no funds")
	c.stands(a, ApptNoFunds)
	c.ends(spent, ivr.Completed)
	c.has(100_00, 0)

	a = c.agreed(DialIn)
	c.moves(a, time.Minute)
	c.due()
	c.moves(a, -11*time.Minute)
	c.due()
	if a = c.stands(a, ApptClientNoShow); a.Fee != 0 {
		t.Errorf("pays %v", a.Fee)
	}
	c.clean()
}

// A call that its program did not live to bring to a talk is placed again, with the money
// that came back; and one for which no line was free is tried again without ringing
// anyone.
func TestAnAppointmentIsTriedAgain(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	a := c.agreed(HostCalls)
	c.moves(a, -time.Second)
	c.due()
	p := c.placed()
	o := c.opens(p.Loan, p.Call, p.Kind)
	o.Concurrent.All = 0
	cdr := ended(o)
	cdr.Kind, cdr.Disposition = o.Kind, "all busy"
	c.must(c.Close(ctx, cdr))
	c.stands(a, ApptAccepted)
	c.has(100_00-price, price)
	c.due()
	for range 2 { // the first dies
		p = c.placed()
		o = c.opens(p.Loan, p.Call, p.Kind)
		_, err := c.Hold(ctx, o)
		c.must(err)
		c.ends(o, ivr.Interrupted)
		c.stands(a, ApptCalling)
	}
	p = c.placed()
	o = c.opens(p.Loan, p.Call, p.Kind)
	_, err := c.Hold(ctx, o)
	c.must(err)
	c.ends(o, ivr.Completed, time.Minute)
	if a = c.stands(a, ApptKept); len(a.Calls) != 4 {
		t.Errorf("its calls are %v", a.Calls)
	}
	c.clean()
}

// Copies of the program that work at once remind once of each time; who was not there for
// hours sends what is due now and leaves the rest out.
func TestRemindersAreSentOnce(t *testing.T) {
	c := newCalendar(t)
	stores := []*Store{c.Store, c.open(c.dsn), c.open(c.dsn)}
	var list []Appointment
	for range 20 {
		advisor, _ := c.reachable()
		a, err := c.asks(c.wish(c.hosted.client(price), advisor, berlin(30*time.Hour), HostCalls))
		c.must(err)
		a, err = c.accepts(a)
		c.must(err)
		list = append(list, a)
	}
	all := func() {
		t.Helper()
		var wg sync.WaitGroup
		for _, s := range stores {
			for range 3 {
				wg.Go(func() {
					if err := s.DueAppointments(t.Context(), c.plan); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
	}
	told := func(want int) {
		t.Helper()
		all()
		if events := c.events("appointment.reminder"); len(events) != want {
			t.Errorf("%d reminders, want %d", len(events), want)
		}
	}
	move := func(d time.Duration, some []Appointment) {
		for _, a := range some {
			c.moves(a, d)
		}
	}
	told(0)
	// Nobody reminds before it is time; then everyone is reminded once.
	for _, a := range list {
		_, err := c.superuser().Exec(`UPDATE appointments SET starts_at = clock_timestamp() + interval '24 hours', ends_at = clock_timestamp() + interval '25 hours',
			until = clock_timestamp() + interval '25 hours' WHERE id = $1`, a.ID)
		c.must(err)
	}
	told(20)
	told(20)
	// Ten are looked at again only when both reminders have passed: one was long ago, the
	// other is due now. The others are looked at too late for either.
	late := func(d time.Duration, some []Appointment) {
		for _, a := range some {
			_, err := c.superuser().Exec(`UPDATE appointments SET starts_at = clock_timestamp() + $2 * interval '1 ms', ends_at = clock_timestamp() + interval '1 hour',
				until = clock_timestamp() + interval '1 hour', reminded_until = clock_timestamp() - interval '2 days' WHERE id = $1`, a.ID, d.Milliseconds())
			c.must(err)
		}
	}
	late(20*time.Minute-time.Second, list[:10])
	late(15*time.Minute, list[10:])
	told(30)
	move(14*time.Minute, list)
	told(30)
}

// An advisor without a verified line is asked, once, to verify one; who does so in time is
// rung on it, also by a number that was lent before.
func TestALineIsVerifiedFirst(t *testing.T) {
	c := newCalendar(t)
	advisor := c.town.advisor()
	c.town.line(advisor, "+493012399999")
	a, err := c.asks(c.wish(c.client, advisor, berlin(3*time.Hour), DialIn))
	c.must(err)
	a, err = c.accepts(a)
	c.must(err)
	c.moves(a, 9*time.Minute)
	c.due()
	number := c.stands(a, ApptOpen)
	if asked := c.events("appointment.verify_line"); len(asked) != 0 {
		t.Errorf("asked too early: %v", asked)
	}
	c.moves(a, 4*time.Minute)
	c.due()
	c.due()
	if asked := c.events("appointment.verify_line"); len(asked) != 1 || asked[0]["appointment"] != string(a.ID) {
		t.Errorf("asked: %v", asked)
	}
	loan, err := c.LoanByPIN(t.Context(), number.DID, number.PIN)
	c.must(err)
	if loan.Line.Verified {
		t.Error("the line is verified")
	}
	other := c.town.line(advisor, "+493012388888")
	_, err = c.superuser().Exec(`UPDATE lines SET verified_at = now(), verified_how = 'phone' WHERE id = $1`, other)
	c.must(err)
	c.due()
	if loan, err = c.LoanByPIN(t.Context(), number.DID, number.PIN); err != nil || loan.Line.ID != other || !loan.Line.Verified {
		t.Errorf("the number leads to %+v, %v", loan.Line, err)
	}
	for _, e := range c.events("appointment.number") {
		if text := fmt.Sprint(e); strings.Contains(text, number.DID[3:]) || strings.Contains(text, number.PIN) {
			t.Errorf("the event tells the number: %s", text)
		}
	}
}

// Nobody else's talk goes on into an appointment: a tap is refused that could not be over
// before, a number that is lent works only until the last moment for it, and a loan says
// until when the advisor is free.
func TestOthersDoNotRunIntoAnAppointment(t *testing.T) {
	c := newCalendar(t)
	other := c.hosted.client(100_00)
	a := c.agreed(HostCalls)
	needs := putThrough(c.plan.Limits, false) + c.plan.Limits.Predetermined.Default
	c.moves(a, needs+3*time.Minute)
	talk, err := c.tap(other, c.advisor)
	c.must(err)
	if left := time.Until(talk.Until); left < 2*time.Minute || left > 3*time.Minute+time.Second {
		t.Errorf("the number works for %v", left)
	}
	loan, err := c.Loan(t.Context(), talk.Loan)
	c.must(err)
	if begins := c.stands(a, ApptAccepted).StartsAt; !loan.FreeUntil.Equal(begins) || loan.Appointment != nil {
		t.Errorf("free until %v, the appointment begins at %v", loan.FreeUntil, begins)
	}
	c.must(c.CancelTalk(t.Context(), talk.Loan, other))
	for _, left := range []time.Duration{needs - time.Second, time.Minute, -time.Minute} {
		c.moves(a, left)
		_, err := c.tap(other, c.advisor)
		var busy *AdvisorBusy
		if !errors.As(err, &busy) || busy.Until.Before(c.stands(a, ApptAccepted).StartsAt) {
			t.Errorf("%v before it: %v", left, err)
		}
	}
	c.state(other, Busy)
	c.state(c.client, Free)
	c.due()
	p := c.placed()
	if !p.Loan.FreeUntil.IsZero() || p.Loan.Appointment == nil || p.Loan.Appointment.Terms.LongestTalk != 10*time.Minute {
		t.Errorf("the appointment's own loan: %+v", p.Loan)
	}
}

// A client who is early may have us call instead: the number works no more, and asking
// twice is no error.
func TestCallAtTime(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	a := c.agreed(DialIn)
	c.moves(a, 5*time.Minute)
	c.due()
	number := c.stands(a, ApptOpen)
	loan, err := c.LoanByPIN(ctx, number.DID, number.PIN)
	c.must(err)
	for range 2 {
		c.must(c.CallAtTime(ctx, loan.ID))
	}
	if a = c.stands(a, ApptAccepted); a.Mode != HostCalls || a.DID != "" {
		t.Errorf("it is %+v", a)
	}
	if _, err := c.LoanByANI(ctx, number.DID, "+4916012345678"); !errors.Is(err, ivr.ErrLoanExpired) {
		t.Errorf("the number: %v", err)
	}
	c.due()
	c.stands(a, ApptAccepted)
	c.moves(a, 0)
	c.due()
	p := c.placed()
	o := c.opens(p.Loan, p.Call, p.Kind)
	_, err = c.Hold(ctx, o)
	c.must(err)
	c.ends(o, ivr.Completed, time.Minute)
	c.stands(a, ApptKept)
	if err := c.CallAtTime(ctx, "loan_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such loan: %v", err)
	}
	c.clean()
}
