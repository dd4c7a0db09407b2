package stage

import (
	"context"
	"encoding/hex"
	"math"
	"strings"
	"testing"
	"time"

	"parley/host/client"
	"parley/ivr"
	"parley/lab/phone"
	"parley/store"
)

// dated is a client and an advisor who make appointments.
type dated struct {
	*tapper
	app client.Client // the advisor's
	it  client.Appointment
}

func newDated(t *testing.T) *dated { return withApp(newTapper(t, 2000)) }

func withApp(p *tapper) *dated {
	p.Helper()
	return &dated{tapper: p, app: p.token("--role", "advisor", "--advisor", p.advisor.ID)}
}

// twentySeconds of talk are 200.
const twentySeconds = 20

// agrees makes an appointment: the client asks, the advisor accepts.
func (d *dated) agrees(in time.Duration, mode string, seconds int64) {
	d.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	d.must(err)
	asked, err := d.session.AskAppointment(d.ctx, "asking-1", client.AppointmentRequest{
		Advisor: d.advisor.ID, StartsAt: time.Now().Add(in).Truncate(time.Second).In(zone), Zone: "Europe/Berlin", Seconds: seconds, Mode: mode, Topic: "a cat"})
	d.must(err)
	if asked.State != "asked" || asked.Cost != seconds*perSecond {
		d.Errorf("asked: %+v", asked)
	}
	d.it, err = d.app.AcceptAppointment(d.ctx, "accepting-1", asked.ID)
	d.must(err)
	if d.it.State != "accepted" {
		d.Errorf("accepted: %+v", d.it)
	}
	d.balance(2000 - d.it.Cost) // the rest is set aside
}

// becomes waits until the appointment stands so.
func (d *dated) becomes(state string, within time.Duration) {
	d.Helper()
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if d.it, err = d.session.Appointment(d.ctx, d.it.ID); err != nil {
			d.Fatal(err)
		}
		if d.it.State == state {
			return
		}
		if time.Now().After(end) {
			d.Fatalf("the appointment is %s, want %s: %+v\n%s", d.it.State, state, d.it, tail(d.stage.Log(), 30))
		}
	}
}

// dialsIn calls the number that is lent for the appointment.
func (d *dated) dialsIn() *phone.Call {
	d.Helper()
	d.loan.DID = d.it.Number
	return d.dial()
}

// talks lets the two talk, once the client is on the line and the price was told.
func (d *dated) talks(onPhone *phone.Call) (advisor *phone.Call) {
	d.Helper()
	advisor = d.rings()
	d.must(advisor.Keys(d.ctx, "1"))
	onPhone.Tone(clientTone)
	advisor.Tone(advisorTone)
	d.must(onPhone.HearsTone(d.ctx, advisorTone, patience))
	d.must(advisor.HearsTone(d.ctx, clientTone, patience))
	return advisor
}

// kept checks what is left behind by an appointment that was kept.
func (d *dated) kept(disposition string) Call {
	d.Helper()
	call := d.recorded(disposition)
	d.becomes("kept", patience)
	if len(d.it.Calls) == 0 || d.it.Calls[len(d.it.Calls)-1] != call.ID {
		d.Fatalf("its calls are %v, the client's last was %s", d.it.Calls, call.ID)
	}
	receipt, err := d.session.Receipt(d.ctx, call.ID)
	d.must(err)
	if receipt.Charge != call.Charge || receipt.Charge != perSecond*int64(math.Ceil(receipt.Seconds)) || receipt.Charge == 0 {
		d.Errorf("the receipt is %+v, the call %+v", receipt, call)
	}
	d.balance(2000 - call.Charge)
	d.audit()
	return call
}

// told counts the events of a type about the client, or the advisor where they alone are.
func (d *dated) told(s *store.Store, kind string) (n int) {
	d.Helper()
	events, err := s.Events(d.ctx, "", ivr.AdvisorID(d.advisor.ID), store.Cursor{}, 1000)
	d.must(err)
	for _, e := range events {
		if e.Type == kind && e.Data["appointment"] == d.it.ID {
			n++
		}
	}
	return n
}

// books opens the store of a stage, as the program does.
func books(t *testing.T, s *Stage) *store.Store {
	t.Helper()
	setting := func(name string) string {
		for _, e := range s.Env {
			if value, found := strings.CutPrefix(e, name+"="); found {
				return value
			}
		}
		t.Fatalf("%s is not set", name)
		return ""
	}
	key, err := hex.DecodeString(setting("PARLEY_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	opened, err := store.Open(t.Context(), store.Config{DSN: setting("PARLEY_POSTGRES_DSN"), Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Disconnect() })
	return opened
}

// From the wish to the receipt: both are reminded twice; at the time, and not before, the
// client is called, then the advisor, and they are joined; only what they talk is charged.
func TestAppointmentWeCallBoth(t *testing.T) {
	d := newDated(t)
	d.agrees(15*time.Second, "host_calls", twentySeconds)
	onPhone := d.called()
	if early := time.Until(d.it.StartsAt); early > time.Second {
		t.Errorf("called %v early", early)
	}
	advisor := d.talks(onPhone)
	d.must(onPhone.Hangup(d.ctx))
	d.ends(advisor)
	if call := d.kept("completed"); call.Kind != "appointment" {
		t.Errorf("recorded as %q", call.Kind)
	}
	s := books(t, d.stage)
	if !eventually(func() bool { return d.told(s, "appointment.kept") == 1 }) || d.told(s, "appointment.reminder") != 2 || d.told(s, "appointment.verify_line") != 0 {
		t.Errorf("reminded %d times, kept %d times", d.told(s, "appointment.reminder"), d.told(s, "appointment.kept"))
	}
	if state := d.state(); state != "free" {
		t.Errorf("afterwards the advisor is %s", state)
	}
}

// The client dials in at the time, and the talk lasts as long as was agreed.
func TestAppointmentDialledInOnTime(t *testing.T) {
	d := newDated(t)
	d.agrees(5*time.Second, "dial_in", 8)
	d.becomes("open", patience)
	time.Sleep(time.Until(d.it.StartsAt.Add(200 * time.Millisecond)))
	onPhone := d.dialsIn()
	d.must(onPhone.Keys(d.ctx, "#"))
	advisor := d.talks(onPhone)
	began := d.began(onPhone)
	d.hears(onPhone, "time-limit")
	d.ends(advisor)
	if lasted := time.Since(began); lasted < 8*time.Second {
		t.Errorf("the talk lasted %v", lasted)
	}
	d.kept("time limit")
	d.ends(d.dial()) // the number leads nowhere
}

// The client dials in too early, and waits on the line.
func TestAppointmentDialledInTooEarlyWaits(t *testing.T) {
	d := newDated(t)
	d.agrees(12*time.Second, "dial_in", twentySeconds)
	d.becomes("open", patience)
	onPhone := d.dialsIn()
	d.hears(onPhone, "appointment-begins-in")
	d.must(onPhone.Keys(d.ctx, "1"))
	advisor := d.rings()
	if early := time.Until(d.it.StartsAt); early > time.Second {
		t.Errorf("put through %v early", early)
	}
	d.must(advisor.Keys(d.ctx, "1"))
	advisor.Tone(advisorTone)
	d.must(onPhone.HearsTone(d.ctx, advisorTone, patience))
	d.must(onPhone.Hangup(d.ctx))
	d.ends(advisor)
	d.kept("completed")
}

// The client dials in too early, and wants to be called instead.
func TestAppointmentDialledInTooEarlyCalled(t *testing.T) {
	d := newDated(t)
	d.agrees(12*time.Second, "dial_in", twentySeconds)
	d.becomes("open", patience)
	early := d.dialsIn()
	d.hears(early, "press-2-to-be-called-then")
	d.must(early.Keys(d.ctx, "2"))
	d.hears(early, "you-will-be-called")
	d.ends(early)
	onPhone := d.called()
	advisor := d.talks(onPhone)
	d.must(onPhone.Hangup(d.ctx))
	d.ends(advisor)
	if call := d.kept("completed"); call.Kind != "appointment" || d.it.Mode != "host_calls" {
		t.Errorf("recorded as %q, %s", call.Kind, d.it.Mode)
	}
}

// The client dials in too late: they have paid for not coming, and may talk all the same
// as in any other call.
func TestAppointmentDialledInTooLate(t *testing.T) {
	d := newDated(t)
	d.agrees(4*time.Second, "dial_in", twentySeconds)
	d.becomes("open", patience)
	number := d.it.Number
	d.becomes("client_no_show", 14*time.Second+patience)
	if time.Since(d.it.StartsAt) < 10*time.Second || d.it.Fee != 100 || d.it.Number != "" {
		t.Errorf("not come: %+v", d.it)
	}
	d.balance(1900)
	d.it.Number = number
	onPhone := d.dialsIn()
	d.hears(onPhone, "press-1-to-talk-now")
	d.must(onPhone.Keys(d.ctx, "1"))
	d.must(onPhone.Keys(d.ctx, "#"))
	advisor := d.talks(onPhone)
	d.must(onPhone.Hangup(d.ctx))
	d.ends(advisor)
	d.balance(1900 - d.recorded("completed").Charge)
	d.audit()
}

// Or they are called when the advisor is free: in the queue, as anybody.
func TestAppointmentDialledInTooLateCalledBack(t *testing.T) {
	d := newDated(t)
	d.agrees(4*time.Second, "dial_in", twentySeconds)
	d.becomes("open", patience)
	number := d.it.Number
	d.becomes("client_no_show", 14*time.Second+patience)
	d.it.Number = number
	late := d.dialsIn()
	d.hears(late, "press-2-to-be-called-back")
	d.must(late.Keys(d.ctx, "2"))
	d.hears(late, "you-will-be-called")
	d.ends(late)
	onPhone := d.called()
	advisor := d.talks(onPhone)
	d.must(onPhone.Hangup(d.ctx))
	d.ends(advisor)
	if call := d.recorded("completed"); call.Kind != "call back" {
		t.Errorf("recorded as %q", call.Kind)
	}
}

// The client does not take our call, and pays what the plan says; the advisor is not rung.
func TestAppointmentClientDoesNotCome(t *testing.T) {
	d := newDated(t)
	d.client.Phone.OnCall(phone.Busy())
	d.agrees(3*time.Second, "host_calls", twentySeconds)
	d.becomes("client_no_show", patience)
	if d.it.Fee != 100 {
		t.Errorf("pays %d", d.it.Fee)
	}
	d.recorded("client not reached")
	d.balance(1900)
	d.neverRung()
	d.audit()
}

// The advisor does not take the call: the client hears so, has all their money, and what the
// plan says beside.
func TestAppointmentAdvisorDoesNotCome(t *testing.T) {
	d := newDated(t)
	d.advisor.Phone.OnCall(phone.Decline())
	d.agrees(3*time.Second, "host_calls", twentySeconds)
	onPhone := d.called()
	d.hears(onPhone, "advisor-declined")
	d.becomes("advisor_no_show", patience)
	if d.it.AdvisorNoShow != 50 || d.it.Compensation != 50 {
		t.Errorf("for it the client is paid %d, as was agreed: %d", d.it.Compensation, d.it.AdvisorNoShow)
	}
	d.free(d.recorded("declined"), 2050)
	d.audit()
}

// The advisor's line is not verified shortly before: their app is told, verifies it, and
// they are joined on it.
func TestAppointmentOnALineThatIsVerifiedFirst(t *testing.T) {
	p := newTapper(t, 2000)
	var err error
	p.advisor, err = p.stage.NewPhoneAdvisor(p.ctx, "Berta", newNumber())
	p.must(err)
	d := withApp(p)
	d.agrees(9*time.Second, "host_calls", twentySeconds)
	s := books(t, d.stage)
	if !eventually(func() bool { return d.told(s, "appointment.verify_line") == 1 }) {
		t.Fatal("the app is not told")
	}
	d.verifyByPhone(d.advisor)
	onPhone := d.called()
	advisor := d.talks(onPhone)
	d.must(onPhone.Hangup(d.ctx))
	d.ends(advisor)
	d.kept("completed")
	if n := d.told(s, "appointment.verify_line"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// Three copies of the program, and the one that serves is killed a second before the
// appointment: another calls both, once.
func TestAppointmentWhileACopyIsKilled(t *testing.T) {
	stage, anna, ctx := newStageWith(t, Options{Plan: strings.Replace(Plan, "late: 10s", "late: 60s", 1)})
	s := &scene{T: t, ctx: ctx, stage: stage, advisor: anna}
	var err error
	s.client, err = stage.NewClient(ctx, "Blue Heron", newNumber(), 2000)
	s.must(err)
	d := withApp(&tapper{scene: s, session: s.sessionOf(s.client)})
	second, third := s.more("second", "standing by"), s.more("third", "standing by")
	d.agrees(8*time.Second, "host_calls", twentySeconds)
	time.Sleep(time.Until(d.it.StartsAt.Add(-time.Second)))
	s.must(stage.Program.Kill())
	s.logged(takesOverWithin, 1, "serving", second, third)
	onPhone := d.called()
	advisor := d.talks(onPhone)
	s.must(onPhone.Hangup(ctx))
	s.ends(advisor)
	s.recorded("completed")
	b := books(t, stage)
	if !eventually(func() bool {
		a, err := b.Appointment(ctx, store.AppointmentID(d.it.ID), store.Party{})
		return err == nil && a.State == store.ApptKept && len(a.Calls) == 1
	}) {
		s.Error("it was not kept by one call")
	}
	again, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := s.client.Phone.Accept(again); err == nil {
		s.Error("the client was called twice")
	}
	s.audit()
}

func (s *scene) sessionOf(c *Client) client.Client {
	s.Helper()
	api, err := s.stage.API(s.ctx, "--role", "client", "--client", c.ID)
	s.must(err)
	return api
}
