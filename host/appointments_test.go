package host

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// scheduled is a town where appointments are made, and the app of its advisor.
func scheduled(t *testing.T) (w *town, app client.Client) {
	w = newTown(t)
	w.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile, dialplan.Fixed}}
	w.plan.Limits.OwnPrice = dialplan.OwnPrice{Least: 50, Most: 900}
	w.plan.Appointments = dialplan.Appointments{Hold: dialplan.AtBooking, Ahead: 60 * 24 * time.Hour, Early: 10 * time.Minute, Late: 10 * time.Minute,
		Remind: []time.Duration{24 * time.Hour}, Verify: 5 * time.Minute, ClientNoShow: 100, AdvisorNoShow: 50}
	return w, w.app(w.advisor)
}

func (w *town) app(advisor ivr.AdvisorID) client.Client {
	w.Helper()
	_, secret, err := w.store.CreateToken(w.Context(), "test", store.Token{Role: store.RoleAdvisor, Advisor: advisor}, time.Hour)
	w.must(err)
	return client.Client{URL: w.url, Token: secret}
}

// berlin is some time from now, as Berlin's clocks show it.
func (w *town) berlin(in time.Duration) time.Time {
	loc, err := time.LoadLocation("Europe/Berlin")
	w.must(err)
	return time.Now().Add(in).In(loc).Truncate(time.Second)
}

func (w *town) wish(in time.Duration) client.AppointmentRequest {
	return client.AppointmentRequest{Advisor: string(w.advisor), StartsAt: w.berlin(in), Zone: "Europe/Berlin", Seconds: 600, Mode: "dial_in", Topic: "my cat"}
}

// From the wish to the number, and what each side sees of it: the advisor neither the
// client's phone nor their money, and only the client the number.
func TestAppointmentFromWishToNumber(t *testing.T) {
	w, app := scheduled(t)
	ctx := t.Context()
	id, session := w.newClient(50_00)
	a, err := session.AskAppointment(ctx, "asking-1", w.wish(5*time.Minute))
	w.must(err)
	again, err := session.AskAppointment(ctx, "asking-1", w.wish(5*time.Minute))
	if err == nil && again.ID != a.ID {
		t.Error("asked twice")
	}
	if a.State != "asked" || a.Client.ID != string(id) || a.Cost != 2000 || a.Seconds != 600 || a.Phone == "" || strings.Contains(a.Phone, "16012") {
		t.Errorf("asked: %+v", a)
	}
	seen, err := app.Appointment(ctx, a.ID)
	w.must(err)
	if seen.Phone != "" || seen.Held != 0 || seen.Client.Name != "Heron" {
		t.Errorf("the advisor sees %+v", seen)
	}
	later := w.berlin(6 * time.Minute)
	a, err = app.ProposeAppointment(ctx, "proposing-1", a.ID, later)
	w.must(err)
	if a.State != "proposed" || !a.StartsAt.Equal(later) || a.StartsAt.Format(time.RFC3339) != later.Format(time.RFC3339) {
		t.Errorf("proposed: %+v", a)
	}
	_, err = app.AcceptAppointment(ctx, "accepting-0", a.ID)
	w.problem("the advisor accepts their own proposal", err, 409, "appointment_state")
	a, err = session.AcceptAppointment(ctx, "accepting-1", a.ID)
	w.must(err)
	if a.State != "accepted" || a.Held != 2000 || a.NoShow != 100 || a.AdvisorNoShow != 50 || a.Number != "" || len(a.Changes) != 3 || a.Changes[1].By != "advisor" {
		t.Errorf("accepted: %+v", a)
	}
	account, err := session.Account(ctx, string(id))
	w.must(err)
	if account.Available != 30_00 {
		t.Errorf("available: %d", account.Available)
	}
	w.must(w.store.DueAppointments(ctx, w.plan))
	admin, _ := w.token(store.RoleAdmin, "")
	for name, c := range map[string]struct {
		by   client.Client
		told bool
	}{"client": {session, true}, "site": {w.site, true}, "advisor": {app, false}, "admin": {admin, false}} {
		a, err := c.by.Appointment(ctx, a.ID)
		w.must(err)
		if a.State != "open" || (a.Number != "") != c.told || (a.PIN != "") != c.told || (a.AdvisorNoShow == 50) == (name == "advisor") {
			t.Errorf("the %s is told %+v", name, a)
		}
	}
	_, stranger := w.newClient(0)
	_, err = stranger.Appointment(ctx, a.ID)
	w.problem("a stranger looks", err, 404, "not_found")
	_, err = stranger.CancelAppointment(ctx, "cancel-1", a.ID, "")
	w.problem("a stranger cancels", err, 404, "not_found")
	_, err = w.app(w.newAdvisor()).Appointment(ctx, a.ID)
	w.problem("another advisor looks", err, 404, "not_found")
	for who, by := range map[string]client.Client{"client": session, "advisor": app, "admin": admin, "stranger": stranger} {
		list, err := by.Appointments(ctx, url.Values{"coming": {"true"}})
		w.must(err)
		if (len(list) == 1) != (who != "stranger") {
			t.Errorf("the %s lists %d", who, len(list))
		}
	}
	a, err = session.CancelAppointment(ctx, "cancel-1", a.ID, "the cat is back")
	w.must(err)
	if a.State != "cancelled" || a.Number != "" || a.Changes[len(a.Changes)-1].Reason != "the cat is back" {
		t.Errorf("cancelled: %+v", a)
	}
	account, err = session.Account(ctx, string(id))
	w.must(err)
	if account.Available != 50_00 {
		t.Errorf("available: %d", account.Available)
	}
}

// What cannot be is refused in words that say what can.
func TestAppointmentProblems(t *testing.T) {
	w, app := scheduled(t)
	ctx := t.Context()
	id, session := w.newClient(40_00)
	ask := func(by client.Client, change func(*client.AppointmentRequest)) error {
		r := w.wish(3 * time.Hour)
		change(&r)
		_, err := by.AskAppointment(ctx, ivr.NewID("asking"), r)
		return err
	}
	for what, c := range map[string]struct {
		money  money.Amount // 0: the site asks
		change func(*client.AppointmentRequest)
		status int
		code   string
		where  string
	}{
		"another offset":   {40_00, func(r *client.AppointmentRequest) { r.StartsAt = r.StartsAt.UTC() }, 422, "not_valid", "body.starts_at"},
		"another zone":     {40_00, func(r *client.AppointmentRequest) { r.Zone = "Europe/Atlantis" }, 422, "not_valid", "body.zone"},
		"the past":         {40_00, func(r *client.AppointmentRequest) { r.StartsAt = w.berlin(-time.Hour) }, 422, "not_valid", "body.starts_at"},
		"too far":          {40_00, func(r *client.AppointmentRequest) { r.StartsAt = w.berlin(61 * 24 * time.Hour) }, 422, "not_valid", "body.starts_at"},
		"too long":         {40_00, func(r *client.AppointmentRequest) { r.Seconds = 3601 }, 422, "not_valid", "body.seconds"},
		"no such mode":     {40_00, func(r *client.AppointmentRequest) { r.Mode = "fax" }, 422, "not_valid", "body.mode"},
		"a premium number": {40_00, func(r *client.AppointmentRequest) { r.Phone = "+4990012345678" }, 422, "not_callable", ""},
		"no money":         {5_00, func(*client.AppointmentRequest) {}, 402, "no_funds", ""},
		"no such advisor":  {40_00, func(r *client.AppointmentRequest) { r.Advisor = "adv_no" }, 404, "not_found", ""},
		"nobody's":         {0, func(*client.AppointmentRequest) {}, 422, "not_valid", "body.client"},
	} {
		by := w.site
		if c.money > 0 {
			_, by = w.newClient(c.money) // each a new one: how often one may ask is limited
		}
		p := w.problem(what, ask(by, c.change), c.status, c.code)
		if c.where != "" && (len(p.Errors) == 0 || p.Errors[0].Where != c.where) {
			t.Errorf("%s: %+v", what, p.Errors)
		}
		if c.code == "no_funds" && p.Missing != 15_00 {
			t.Errorf("missing: %d", p.Missing)
		}
	}
	w.must(w.store.SetBlock(ctx, "test", store.ByAdvisor, id, w.advisor, true))
	w.problem("blocked", ask(session, func(*client.AppointmentRequest) {}), 409, "advisor_away")
	w.must(w.store.SetBlock(ctx, "test", store.ByAdvisor, id, w.advisor, false))

	first, err := session.AskAppointment(ctx, "asking-01", w.wish(3*time.Hour))
	w.must(err)
	second, err := session.AskAppointment(ctx, "asking-02", w.wish(4*time.Hour))
	w.must(err)
	third, err := session.AskAppointment(ctx, "asking-03", w.wish(5*time.Hour))
	w.must(err)
	for _, a := range []client.Appointment{first, second} {
		_, err = app.AcceptAppointment(ctx, "accepting-"+a.ID, a.ID)
		w.must(err)
	}
	_, err = app.AcceptAppointment(ctx, "accepting-3", third.ID)
	if p := w.problem("the client's money is all set aside", err, 409, "client_no_funds"); p.Missing != 0 || p.Available != 0 {
		t.Errorf("the advisor is told of the client's money: %+v", p)
	}
	_, err = app.ProposeAppointment(ctx, "proposing-3", third.ID, first.StartsAt.In(w.berlin(0).Location()))
	w.problem("proposed a time that is taken", err, 409, "appointment_taken")
	third, err = app.ProposeAppointment(ctx, "proposing-4", third.ID, w.berlin(6*time.Hour))
	w.must(err)
	_, err = session.AcceptAppointment(ctx, "accepting-4", third.ID)
	if p := w.problem("the client's money is all set aside", err, 402, "no_funds"); p.Missing != 20_00 || !strings.Contains(p.TopUp, string(id)) {
		t.Errorf("%+v", p)
	}
	third, err = session.DeclineAppointment(ctx, "declining-3", third.ID, "")
	if err != nil || third.State != "declined" {
		t.Errorf("declined: %+v, %v", third, err)
	}
}

// Free are the advisor's hours, less what is agreed on; nothing where the two are not to
// meet.
func TestFreeTimes(t *testing.T) {
	w, app := scheduled(t)
	ctx := t.Context()
	id, session := w.newClient(50_00)
	day := w.berlin(48 * time.Hour)
	midnight := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, day.Location())
	at := func(hour, minute int) time.Time {
		return time.Date(day.Year(), day.Month(), day.Day(), hour, minute, 0, 0, day.Location())
	}
	free := func(want ...string) {
		t.Helper()
		list, err := session.FreeTimes(ctx, string(w.advisor), midnight, at(24, 0), 30*time.Minute, "Europe/Berlin")
		w.must(err)
		var got []string
		for _, f := range list {
			got = append(got, f.From.Format("15:04")+"-"+f.To.Format("15:04"))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("free are %v, want %v", got, want)
		}
	}
	free("00:00-00:00")
	w.must(w.store.SetHours(ctx, "test", w.advisor, store.Hours{Zone: "Europe/Berlin", Weekly: []store.Span{
		{Day: day.Weekday(), From: 9 * 60, To: 12 * 60}, {Day: day.Weekday(), From: 12 * 60, To: 13 * 60}, {Day: day.Weekday(), From: 22 * 60, To: 60}}}))
	free("09:00-13:00", "22:00-00:00")
	r := w.wish(0)
	r.StartsAt = at(12, 20)
	a, err := session.AskAppointment(ctx, "asking-01", r)
	w.must(err)
	free("09:00-13:00", "22:00-00:00")
	_, err = app.AcceptAppointment(ctx, "accepting-1", a.ID)
	w.must(err)
	free("09:00-12:20", "12:30-13:00", "22:00-00:00")
	w.must(w.store.SetBlock(ctx, "test", store.ByClient, id, w.advisor, true))
	free()
	_, err = session.FreeTimes(ctx, string(w.advisor), midnight, midnight.Add(32*24*time.Hour), time.Hour, "Europe/Berlin")
	w.problem("too far", err, 422, "not_valid")
	_, err = session.FreeTimes(ctx, "adv_no", midnight, at(24, 0), time.Hour, "Europe/Berlin")
	w.problem("nobody's", err, 404, "not_found")
}
