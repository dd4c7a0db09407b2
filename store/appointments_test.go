package store

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// calendar is a town where appointments are made.
type calendar struct {
	*hosted
	client ivr.ClientID
}

// price is what ten minutes cost.
var price = terms.Rate.Charge(10 * time.Minute)

func newCalendar(t *testing.T) *calendar {
	c := &calendar{hosted: newHosted(t)}
	c.plan.Limits.OwnPrice = dialplan.OwnPrice{Least: 50, Most: 900}
	c.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile, dialplan.Fixed}}
	c.plan.Appointments = dialplan.Appointments{Hold: dialplan.AtBooking, Ahead: 400 * 24 * time.Hour, Early: 10 * time.Minute, Late: 10 * time.Minute,
		Remind: []time.Duration{24 * time.Hour, 20 * time.Minute}, Verify: 5 * time.Minute, ClientNoShow: 5_00, AdvisorNoShow: 3_00}
	c.client = c.hosted.client(100_00)
	return c
}

func (c *calendar) request(content string) Request {
	return Request{c.site, ivr.NewID("key"), content}
}

// berlin is a time in some hours, as Berlin's clocks show it.
func berlin(in time.Duration) time.Time {
	loc, err := loadZone("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return time.Now().Add(in).In(loc)
}

func (c *calendar) wish(client ivr.ClientID, advisor ivr.AdvisorID, at time.Time, mode Mode) AppointmentRequest {
	return AppointmentRequest{Client: client, Advisor: advisor, At: at, Zone: "Europe/Berlin", Length: 10 * time.Minute, Mode: mode}
}

func (c *calendar) asks(r AppointmentRequest) (Appointment, error) {
	return c.AskAppointment(c.t.Context(), c.request("ask"), c.plan, "test", r)
}

func (c *calendar) accepts(a Appointment) (Appointment, error) {
	return c.AcceptAppointment(c.t.Context(), c.request("accept"), c.plan, Party{Advisor: a.Advisor, Who: "Maria"}, a.ID)
}

// agreed is an accepted appointment in three hours.
func (c *calendar) agreed(mode Mode) Appointment {
	c.t.Helper()
	a, err := c.asks(c.wish(c.client, c.advisor, berlin(3*time.Hour), mode))
	c.must(err)
	a, err = c.accepts(a)
	c.must(err)
	return a
}

// moves makes time pass until an appointment begins in d: nobody but the database's owner
// can.
func (c *calendar) moves(a Appointment, d time.Duration) {
	c.t.Helper()
	_, err := c.superuser().Exec(`
		UPDATE appointments SET starts_at = at, ends_at = at + (ends_at - starts_at), until = at + (until - starts_at),
			reminded_until = at - (starts_at - reminded_until)
		FROM (SELECT clock_timestamp() + $2 * interval '1 ms' AS at) AS clock WHERE id = $1`, a.ID, d.Milliseconds())
	c.must(err)
}

func (c *calendar) due() {
	c.t.Helper()
	c.must(c.DueAppointments(c.t.Context(), c.plan))
}

func (c *calendar) stands(a Appointment, want AppointmentState) Appointment {
	c.t.Helper()
	now, err := c.Appointment(c.t.Context(), a.ID, Party{})
	c.must(err)
	if now.State != want {
		c.t.Errorf("the appointment is %s, want %s: %+v", now.State, want, now.Changes)
	}
	return now
}

// placed claims the call that is to be placed.
func (c *calendar) placed() ivr.Placed {
	c.t.Helper()
	p, found, err := c.ClaimPlacement(c.t.Context())
	c.must(err)
	if !found || p.Kind != ivr.AppointmentCall {
		c.t.Fatalf("no call is to be placed: %+v", p)
	}
	return p
}

// opens is the opening of a call by a loan, as the script makes it.
func (c *calendar) opens(loan ivr.Loan, call ivr.CallID, kind ivr.Kind) ivr.Opening {
	o := opening(loan.Client, loan.Advisor, c.plan.Version)
	o.Call, o.Kind, o.Loan, o.DID, o.Line, o.Concurrent = call, kind, loan.ID, "+493055500100", loan.Line.ID, c.plan.Limits.Concurrent
	o.Terms = loan.Appointment.Terms
	o.Least, o.Most = o.Terms.Least(), o.Terms.Most()
	return o
}

func (c *calendar) ends(o ivr.Opening, d ivr.Disposition, talks ...time.Duration) {
	c.t.Helper()
	cdr := ended(o, talks...)
	cdr.Kind, cdr.Disposition = o.Kind, d
	c.must(c.Close(c.t.Context(), cdr))
}

// has checks what of the client's money is their own, and what is held for appointments.
func (c *calendar) has(own, aside money.Amount) {
	c.t.Helper()
	posted, held := c.balance(c.client)
	var there money.Amount
	c.must(c.db.Get(&there, `SELECT coalesce(sum(posted), 0)::bigint FROM balances WHERE kind = 'appointments'`))
	if posted != own || held != 0 || there != aside {
		c.t.Errorf("the client has %v and %v on hold, %v are set aside; want %v, 0 and %v", posted, held, there, own, aside)
	}
}

func (c *calendar) events(kind string) (data []map[string]any) {
	c.t.Helper()
	var all [][]byte // not by Events, which waits for the transactions of other tests too
	c.must(c.db.Select(&all, `SELECT data FROM events WHERE type = $1 ORDER BY id`, kind))
	for _, text := range all {
		var d map[string]any
		c.must(json.Unmarshal(text, &d))
		data = append(data, d)
	}
	return data
}

// The offset and the zone together leave no doubt which instant is meant, also in the
// nights when the clocks change; what cannot be is refused with what would be right.
func TestTimesOfAppointments(t *testing.T) {
	c := newCalendar(t)
	loc, err := loadZone("Europe/Berlin")
	c.must(err)
	_, change := time.Now().In(loc).ZoneBounds()
	_, second := change.ZoneBounds()
	spring, autumn := change, second
	if _, offset := change.Zone(); offset == 3600 {
		spring, autumn = second, change
	}
	winter, summer := time.FixedZone("", 3600), time.FixedZone("", 7200)
	for what, test := range map[string]struct {
		at   time.Time
		zone string
		want string // in the refusal; "" for none
	}{
		"an hour that is skipped":      {spring.Add(30 * time.Minute).In(winter), "Europe/Berlin", spring.Add(30 * time.Minute).In(summer).Format(time.RFC3339)},
		"the hour after it":            {spring.Add(30 * time.Minute).In(summer), "Europe/Berlin", ""},
		"the first of a doubled hour":  {autumn.Add(-30 * time.Minute).In(summer), "Europe/Berlin", ""},
		"the second of it":             {autumn.Add(30 * time.Minute).In(winter), "Europe/Berlin", ""},
		"summer's offset in winter":    {autumn.Add(24 * time.Hour).In(summer), "Europe/Berlin", "+01:00"},
		"no offset":                    {autumn.Add(24 * time.Hour).UTC(), "Europe/Berlin", "+01:00"},
		"another zone's":               {autumn.Add(48 * time.Hour).In(winter), "America/New_York", "-0"},
		"no such zone":                 {autumn.Add(48 * time.Hour).In(winter), "Europe/Atlantis", "Europe/Berlin"},
		"the machine's zone":           {autumn.Add(48 * time.Hour).In(winter), "Local", "IANA"},
		"the past":                     {berlin(-time.Minute), "Europe/Berlin", "passed"},
		"later than the plan looks":    {berlin(401 * 24 * time.Hour), "Europe/Berlin", "9600h"},
		"as late as the plan can look": {berlin(400*24*time.Hour - time.Minute), "Europe/Berlin", ""},
	} {
		r := c.wish(c.client, c.advisor, test.at, HostCalls)
		r.Zone = test.zone
		a, err := c.asks(r)
		var unfit *Unfit
		switch {
		case test.want == "" && (err != nil || !a.StartsAt.Equal(test.at.Truncate(time.Second))):
			t.Errorf("%s, %v: %v, %v", what, test.at, a.StartsAt, err)
		case test.want != "" && (!errors.As(err, &unfit) || !strings.Contains(unfit.Why, test.want)):
			t.Errorf("%s, %v: %v, want %q", what, test.at, err, test.want)
		}
	}
}

// What else cannot be asked for, and why.
func TestAppointmentsThatCannotBe(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	at := berlin(3 * time.Hour)
	poor, blocked, capped := c.hosted.client(price-1), c.hosted.client(price), c.hosted.client(100_00)
	c.must(c.SetBlock(ctx, "test", ByAdvisor, blocked, c.advisor, true))
	small := price - 1
	_, err := c.SetCaps(ctx, "test", capped, nil, &small)
	c.must(err)
	for what, test := range map[string]struct {
		change func(*AppointmentRequest)
		want   string
	}{
		"too short":               {func(r *AppointmentRequest) { r.Length = time.Minute - time.Second }, "seconds: "},
		"too long":                {func(r *AppointmentRequest) { r.Length = 30*time.Minute + time.Second }, "from 60 to 1800"},
		"too little money":        {func(r *AppointmentRequest) { r.Client = poor }, "not enough money: 0.01"},
		"more than the cap":       {func(r *AppointmentRequest) { r.Client = capped }, "cap leaves 0.01"},
		"blocked":                 {func(r *AppointmentRequest) { r.Client = blocked }, ErrBlocked.Error()},
		"nobody's phone":          {func(r *AppointmentRequest) { r.Phone = "+4990012345678" }, "cannot be called"},
		"a country that we avoid": {func(r *AppointmentRequest) { r.Phone = "+18095551234" }, "cannot be called"},
		"no such advisor":         {func(r *AppointmentRequest) { r.Advisor = "adv_no" }, ErrNotFound.Error()},
		"no such client":          {func(r *AppointmentRequest) { r.Client = "cli_no" }, ErrNotFound.Error()},
	} {
		r := c.wish(c.client, c.advisor, at, HostCalls)
		test.change(&r)
		if _, err := c.asks(r); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
	c.clean()
}

// Who may say what, and when: the advisor to what was asked for, the client to what the
// advisor proposed, strangers to nothing; and the same answer again is the same.
func TestAskProposeAccept(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	client, advisor, other := Party{Client: c.client, Who: "Heron"}, Party{Advisor: c.advisor, Who: "Maria"}, Party{Client: c.hosted.client(0), Who: "x"}
	r := c.wish(c.client, c.advisor, berlin(3*time.Hour), DialIn)
	r.Phone, r.Topic = "+4917012345678", "my cat"
	asking := c.request("ask")
	a, err := c.AskAppointment(ctx, asking, c.plan, "test", r)
	c.must(err)
	again, err := c.AskAppointment(ctx, asking, c.plan, "test", r)
	c.must(err)
	if again.ID != a.ID || a.State != ApptAsked || a.Phone != "+49*********78" || a.Terms.Least() != price || a.Terms.SetBy != "appointment" {
		t.Errorf("asked: %+v, and again: %+v", a, again)
	}
	refused := func(what string, err error, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	var state *NotInState
	_, err = c.AcceptAppointment(ctx, c.request("a"), c.plan, client, a.ID)
	if !errors.As(err, &state) {
		t.Errorf("the client accepts their own wish: %v", err)
	}
	_, err = c.AcceptAppointment(ctx, c.request("a"), c.plan, other, a.ID)
	refused("a stranger accepts", err, ErrNotFound)
	_, err = c.Appointment(ctx, a.ID, other)
	refused("a stranger looks", err, ErrNotFound)

	later := berlin(5 * time.Hour).Truncate(time.Second)
	if a, err = c.ProposeAppointment(ctx, c.request("p"), c.plan, advisor, a.ID, later); err != nil || a.State != ApptProposed || !a.StartsAt.Equal(later) || a.Length != 10*time.Minute {
		t.Fatalf("proposed: %+v, %v", a, err)
	}
	if _, err = c.AcceptAppointment(ctx, c.request("a"), c.plan, advisor, a.ID); !errors.As(err, &state) {
		t.Errorf("the advisor accepts their own proposal: %v", err)
	}
	_, err = c.ProposeAppointment(ctx, c.request("p"), c.plan, advisor, a.ID, later.UTC())
	if unfit := new(Unfit); !errors.As(err, &unfit) {
		t.Errorf("proposed without the zone's offset: %v", err)
	}
	accepting := c.request("a")
	for range 2 {
		if a, err = c.AcceptAppointment(ctx, accepting, c.plan, client, a.ID); err != nil || a.State != ApptAccepted {
			t.Fatalf("accepted: %+v, %v", a, err)
		}
	}
	c.has(100_00-price, price)
	if a.Held != price || a.NoShow != 5_00 || !a.Until.Equal(later.Add(10*time.Minute)) || len(a.Changes) != 3 || a.Changes[1].Side != ByAdvisor {
		t.Errorf("accepted: %+v", a)
	}
	if _, err = c.DeclineAppointment(ctx, c.request("d"), client, a.ID, ""); !errors.As(err, &state) {
		t.Errorf("declined after it was accepted: %v", err)
	}
	mine, err := c.Appointments(ctx, AppointmentFilter{Client: c.client, Coming: true}, Party{}, 10)
	c.must(err)
	theirs, err := c.Appointments(ctx, AppointmentFilter{}, other, 10)
	c.must(err)
	if len(mine) != 1 || len(theirs) != 0 {
		t.Errorf("the client has %d, another %d", len(mine), len(theirs))
	}
	if a, err = c.CancelAppointment(ctx, c.request("c"), advisor, a.ID, "ill"); err != nil || a.State != ApptCancelled || a.Changes[3].Reason != "ill" {
		t.Fatalf("cancelled: %+v, %v", a, err)
	}
	c.has(100_00, 0)
	if _, err = c.CancelAppointment(ctx, c.request("c"), client, a.ID, ""); !errors.As(err, &state) {
		t.Errorf("cancelled twice: %v", err)
	}
	if _, err := c.superuser().Exec(`UPDATE appointments SET state = 'accepted'`); err == nil {
		t.Error("what is over can be changed")
	}
	c.clean()
}

// Many are accepted at once for overlapping times: of one advisor one is, of one client
// one is; the others are told why, and nobody's money is set aside for nothing.
func TestOverlapsInParallel(t *testing.T) {
	for _, of := range []Side{ByAdvisor, ByClient} {
		t.Run(string(of), func(t *testing.T) {
			c := newCalendar(t)
			c.deposit(c.client, 1000_00)
			var wishes []Appointment
			for i := range 12 {
				client, advisor := c.client, c.advisor
				if of == ByAdvisor {
					client = c.hosted.client(2 * price)
				} else {
					advisor, _ = c.reachable()
				}
				a, err := c.asks(c.wish(client, advisor, berlin(3*time.Hour+time.Duration(i*45)*time.Second), HostCalls))
				c.must(err)
				wishes = append(wishes, a)
			}
			var mu sync.Mutex
			var accepted []Appointment
			var wg sync.WaitGroup
			for _, a := range wishes {
				wg.Go(func() {
					a, err := c.accepts(a)
					mu.Lock()
					defer mu.Unlock()
					var overlap *Overlap
					switch {
					case err == nil:
						accepted = append(accepted, a)
					case !errors.As(err, &overlap) || overlap.Of != of:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if len(accepted) != 1 {
				t.Fatalf("%d were accepted", len(accepted))
			}
			if _, err := c.asks(c.wish(accepted[0].Client, accepted[0].Advisor, accepted[0].StartsAt.In(time.FixedZone("", berlinOffset(accepted[0].StartsAt))), HostCalls)); !errors.As(err, new(*Overlap)) {
				t.Errorf("asked for a time that is taken: %v", err)
			}
			// The constraint is the last guard.
			if _, err := c.superuser().Exec(`
				UPDATE appointments SET state = 'accepted', until = ends_at, reminded_until = now() WHERE state = 'asked'`); violated(err) != "appointments_one_an_advisor" && violated(err) != "appointments_one_a_client" {
				t.Errorf("two at one time: %v", err)
			}
			var aside money.Amount
			c.must(c.db.Get(&aside, `SELECT posted FROM balances WHERE kind = 'appointments'`))
			if aside != price {
				t.Errorf("%v are set aside", aside)
			}
			c.clean()
		})
	}
}

func berlinOffset(at time.Time) int {
	_, offset := at.In(berlin(0).Location()).Zone()
	return offset
}
