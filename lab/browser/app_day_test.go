package browser

import (
	"testing"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// session is the scene's client on a page of their own.
func (s *scene) session() client.Client {
	s.Helper()
	api, err := shared.API(s.ctx, "--role", "client", "--client", s.client.ID)
	s.must(err)
	return api
}

// asks asks for an appointment of twenty seconds, and sees that the app shows it at once.
func (s *scene) asks(in time.Duration) client.Appointment {
	s.Helper()
	asked := s.wishes(in)
	s.must(s.app.SeeRole(s.ctx, "heading", "Requests"))
	s.must(s.app.See(s.ctx, "About: a cat"))
	return asked
}

// wishes is the same, while the app may be closed.
func (s *scene) wishes(in time.Duration) client.Appointment {
	s.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	s.must(err)
	asked, err := s.session().AskAppointment(s.ctx, "asking-"+s.client.ID, client.AppointmentRequest{
		Advisor: s.advisor.ID, StartsAt: time.Now().Add(in).Truncate(time.Second).In(zone), Zone: "Europe/Berlin",
		Seconds: 20, Mode: "host_calls", Topic: "a cat",
	})
	s.must(err)
	return asked
}

// stands waits until the appointment stands so, as the client sees it.
func (s *scene) stands(id, state string) client.Appointment {
	s.Helper()
	session := s.session()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		a, err := session.Appointment(s.ctx, id)
		s.must(err)
		if a.State == state {
			return a
		}
		if time.Now().After(end) {
			s.Fatalf("the appointment is %s, want %s", a.State, state)
		}
	}
}

// From the wish to the talk: the request comes to the app, is accepted, reminded of, and
// at its time both are called and joined.
func TestAnAppointmentFromItsRequestToItsCall(t *testing.T) {
	s := onLine(t, "Greta", Telephone)
	s.someClient()
	asked := s.asks(25 * time.Second)
	s.must(s.app.Click(s.ctx, "button", "Accept"))
	s.must(s.app.See(s.ctx, "Agreed"))
	s.stands(asked.ID, "accepted")
	s.must(s.app.See(s.ctx, "Blue Heron at"))
	s.looksGood("app-appointment-soon")
	ringing, err := s.client.Phone.Accept(s.ctx)
	s.must(err)
	call, err := ringing.Answer(s.ctx)
	s.must(err)
	prompt, err := shared.Prompt("placed-press-1")
	s.must(err)
	_, err = call.Hear(s.ctx, prompt)
	s.must(err)
	s.must(call.Keys(s.ctx, "1#"))
	s.must(s.app.See(s.ctx, "Blue Heron is calling"))
	s.must(s.app.See(s.ctx, "Your appointment"))
	s.accepts()
	s.hearEachOther(call)
	s.must(call.Hangup(s.ctx))
	s.must(s.app.See(s.ctx, "You earned"))
	s.must(s.app.Click(s.ctx, "button", "Done"))
	s.must(s.app.See(s.ctx, "No appointment today"))
	s.stands(asked.ID, "kept")
	s.recorded("completed")
}

func TestARequestIsDeclinedOrAnotherTimeProposed(t *testing.T) {
	s := newScene(t, "Hanna", Telephone)
	s.someClient()
	asked := s.asks(3 * time.Hour)
	s.looksGood("app-requests")
	s.must(s.app.Click(s.ctx, "button", "Decline"))
	s.must(s.app.Fill(s.ctx, "Reason", "I am on a train"))
	s.looksGood("app-decline")
	s.must(s.app.Press(s.ctx, "Tab")) // on to the button
	s.must(s.app.Press(s.ctx, "Enter"))
	declined := s.stands(asked.ID, "declined")
	if last := declined.Changes[len(declined.Changes)-1]; last.Reason != "I am on a train" || last.By != "advisor" {
		t.Errorf("declined as %+v", last)
	}
	s.must(s.app.Gone(s.ctx, "About: a cat"))

	s.someClient()
	asked = s.asks(3 * time.Hour)
	s.must(s.app.Click(s.ctx, "button", "Another time"))
	s.must(s.app.SeeRole(s.ctx, "radio", ""))
	s.looksGood("app-propose")
	at := time.Now().Add(5 * time.Hour).Truncate(time.Minute)
	berlin, err := time.LoadLocation("Europe/Berlin")
	s.must(err)
	s.must(s.app.Fill(s.ctx, "Or at", at.In(berlin).Format("2006-01-02T15:04")))
	s.must(s.app.Click(s.ctx, "button", "Propose this time"))
	if proposed := s.stands(asked.ID, "proposed"); !proposed.StartsAt.Equal(at) {
		t.Errorf("proposed for %v, want %v", proposed.StartsAt, at)
	}
	s.must(s.app.See(s.ctx, "Waits for the client's answer"))
}

// Shortly before an appointment the app asks to be verified, if nothing else can be rung.
func TestTheAppIsVerifiedShortlyBeforeAnAppointment(t *testing.T) {
	s := newScene(t, "Ida", Telephone)
	s.someClient()
	s.client.Phone.OnCall(phone.Busy())
	asked := s.asks(25 * time.Second)
	s.must(s.app.Click(s.ctx, "button", "Accept"))
	s.must(s.app.SeeRole(s.ctx, "button", "Verify this app now"))
	s.looksGood("app-verify-now")
	s.must(s.app.Click(s.ctx, "button", "Verify this app now"))
	s.answerAndKey()
	s.must(s.app.SeeRole(s.ctx, "heading", "Verified"))
	s.must(s.app.Gone(s.ctx, "Verify this app now"))
	s.stands(asked.ID, "client_no_show")
}

func TestWhoWaitsIsShown(t *testing.T) {
	s := onLine(t, "Jana", Telephone)
	s.must(s.app.See(s.ctx, "Nobody is waiting"))
	s.someClient()
	rival := s.session()
	talk, err := rival.RequestTalk(s.ctx, "rivals-tap", client.TalkRequest{Advisor: s.advisor.ID})
	s.must(err)
	s.someClient()
	waiter := s.session()
	wait, err := waiter.JoinQueue(s.ctx, "join-no-1", client.QueueRequest{Advisor: s.advisor.ID, Mode: "page", Topic: "a cat"})
	s.must(err)
	s.must(s.app.See(s.ctx, "Waits on the page"))
	s.must(s.app.See(s.ctx, "About: a cat"))
	s.must(s.app.SeeRole(s.ctx, "timer", ""))
	s.looksGood("app-queue")
	s.must(rival.CancelTalk(s.ctx, talk.ID))
	s.must(s.app.See(s.ctx, "Comes now"))
	s.must(waiter.LeaveQueue(s.ctx, wait.ID))
	s.must(s.app.See(s.ctx, "Nobody is waiting"))
}
