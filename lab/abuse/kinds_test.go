package abuse

import (
	"sync"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// kinds of calls: how each goes, up to its end.
var kinds = []struct {
	name string
	run  func(p *pair)
}{
	{"a talk that the client ends", func(p *pair) {
		t := p.scene.talk(p.client, p.advisor, p.shown()...)
		p.end(t)
		p.told(t)
	}},
	{"a talk that the advisor ends", func(p *pair) {
		t := p.scene.talk(p.client, p.advisor, p.shown()...)
		p.must(t.advisor.Hangup(p.ctx))
		p.ends(t.client)
		p.told(t)
	}},
	{"a client with a withheld number, and the PIN", func(p *pair) {
		loan, err := shared.Lend(p.ctx, p.client.Client, p.advisor.Advisor)
		p.must(err)
		call, err := p.client.Phone.Dial(p.ctx, loan.DID, phone.Withheld())
		p.must(err)
		p.hears(call, "enter-pin")
		p.must(call.Keys(p.ctx, loan.PIN+"#"))
		t := p.joined(call, p.advisor)
		p.end(t)
		p.told(t)
	}},
	{"an advisor who is busy", func(p *pair) { p.unanswered(phone.Busy()) }},
	{"an advisor who declines", func(p *pair) { p.unanswered(phone.Decline()) }},
	{"an advisor's voicemail", func(p *pair) {
		p.unanswered(phone.Voicemail(200 * time.Millisecond))
		p.backOnLine()
	}},
	{"a client who leaves while it rings", func(p *pair) {
		loan, err := shared.Lend(p.ctx, p.client.Client, p.advisor.Advisor)
		p.must(err)
		call, err := p.client.Phone.Dial(p.ctx, loan.DID, p.shown()...)
		p.must(err)
		p.must(call.Keys(p.ctx, "#"))
		ringing, err := p.advisor.Phone.Accept(p.ctx)
		p.must(err)
		p.must(ringing.Ring())
		p.must(call.Hangup(p.ctx))
		<-ringing.Ended()
		p.sentClient(call.Messages())
		p.sentAdvisor(ringing.Messages())
	}},
	{"a verification", func(p *pair) {
		_, call := p.verify(p.newAdvisor("Newcomer", newNumber())) // a line is called five times an hour
		p.sentAdvisor(call.Messages())
	}},
	{"an appointment: both are called", (*pair).appointment},
	{"an appointment: the client dials in, too early", (*pair).dialledIn},
	{"a client who is called when it is their turn", (*pair).calledBack},
	{"a client who is lost in the talk, and called again", (*pair).reconnected},
	{"a talk whose money ends", func(p *pair) {
		poor := p.with(60) // six seconds
		t := poor.scene.talk(poor.client, poor.advisor, poor.shown()...)
		p.ends(t.client)
		p.ends(t.advisor)
		poor.told(t)
	}},
	{"a talk that a key makes longer", (*pair).toppedUp},
}

// shown is a caller's name and number, and where the call has been, in every header that
// tells of them: none must be passed on.
func (p *pair) shown() []phone.DialOption {
	self := "\"Secret Client\" <sip:" + p.client.Number + "@carrier.example>"
	return []phone.DialOption{phone.DisplayName("Secret Client"), phone.Header("P-Asserted-Identity", self), phone.Header("Remote-Party-ID", self+";party=calling"),
		phone.Header("Diversion", "<sip:secret-client@example.com>;reason=unconditional"), phone.Header("History-Info", "<sip:secret-client@example.com>;index=1"),
		phone.Header("Subject", "Secret Client"), phone.Header("Call-Info", "<http://secret-client.example.com/>")}
}

// unanswered is a call that the advisor's phone deals with by itself.
func (p *pair) unanswered(policy phone.Policy) {
	var ringing []string
	var mu sync.Mutex
	p.advisor.Phone.OnCall(func(in *phone.Incoming) {
		mu.Lock()
		ringing = append(ringing, in.Messages()...)
		mu.Unlock()
		policy(in)
	})
	defer p.advisor.Phone.OnCall(nil)
	loan, err := shared.Lend(p.ctx, p.client.Client, p.advisor.Advisor)
	p.must(err)
	call, err := p.client.Phone.Dial(p.ctx, loan.DID, p.shown()...)
	p.must(err)
	p.must(call.Keys(p.ctx, "#"))
	p.ends(call)
	p.sentClient(call.Messages())
	mu.Lock()
	defer mu.Unlock()
	if len(ringing) == 0 {
		p.Error("the advisor was not rung")
	}
	p.sentAdvisor(ringing)
}

// backOnLine is an advisor who did not answer, and so was put off line.
func (p *pair) backOnLine() {
	p.Helper()
	p.await("the advisor is off line", func() bool {
		seen, err := p.advisor.app.Advisor(p.ctx, p.advisor.ID)
		p.must(err)
		return seen.Own != nil && !seen.Own.OnLine
	})
	p.must(p.advisor.app.SetPresence(p.ctx, p.advisor.ID, true))
}

// agreed is an appointment that the advisor has accepted.
func (p *pair) agreed(mode string, in time.Duration) client.Appointment {
	p.Helper()
	asked, err := p.client.session.AskAppointment(p.ctx, key(), client.AppointmentRequest{Advisor: p.advisor.ID, StartsAt: time.Now().Add(in).Truncate(time.Second),
		Zone: "UTC", Seconds: 20, Mode: mode, Topic: "a cat"})
	p.must(err)
	asked, err = p.advisor.app.AcceptAppointment(p.ctx, key(), asked.ID)
	p.must(err)
	return asked
}

// appointment is made for soon; we call the client, then the advisor.
func (p *pair) appointment() {
	p.agreed("host_calls", 6*time.Second)
	first := p.answer(p.client.Phone)
	p.must(first.Keys(p.ctx, "1#"))
	second := p.answer(p.advisor.Phone)
	p.must(second.Keys(p.ctx, "1"))
	second.Tone(advisorTone)
	p.must(first.HearsTone(p.ctx, advisorTone, patience))
	t := talk{first, second}
	p.end(t)
	p.told(t)
}

// dialledIn is an appointment whose client calls, waits on the line, and is put through.
func (p *pair) dialledIn() {
	asked := p.agreed("dial_in", 8*time.Second)
	p.await("a number is lent for the appointment", func() (lent bool) {
		var err error
		asked, err = p.client.session.Appointment(p.ctx, asked.ID)
		p.must(err)
		return asked.Number != ""
	})
	call, err := p.client.Phone.Dial(p.ctx, asked.Number, p.shown()...)
	p.must(err)
	p.hears(call, "appointment-begins-in")
	p.must(call.Keys(p.ctx, "1"))
	t := p.joined(call, p.advisor)
	p.end(t)
	p.told(t)
}

// calledBack is a client who waits while the advisor is reserved for a rival.
func (p *pair) calledBack() {
	rival := p.newCaller("Rival", 10_00)
	reserved, err := rival.session.RequestTalk(p.ctx, key(), client.TalkRequest{Advisor: p.advisor.ID})
	p.must(err)
	_, err = p.client.session.JoinQueue(p.ctx, key(), client.QueueRequest{Advisor: p.advisor.ID, Mode: "call_back", Topic: "a cat"})
	p.must(err)
	p.must(rival.session.CancelTalk(p.ctx, reserved.ID))
	call := p.answer(p.client.Phone)
	p.hears(call, "placed-press-1")
	p.must(call.Keys(p.ctx, "1#"))
	t := p.joined(call, p.advisor)
	p.end(t)
	p.told(t)
}

// reconnected is a talk that both want to go on after the client's phone was gone.
func (p *pair) reconnected() {
	t := p.scene.talk(p.client, p.advisor, p.shown()...)
	t.client.Vanish()
	p.sentClient(t.client.Messages())
	p.hears(t.advisor, "client-lost-press-1")
	p.must(t.advisor.Keys(p.ctx, "1"))
	t.client = p.answer(p.client.Phone)
	p.hears(t.client, "talk-lost-press-1")
	p.must(t.client.Keys(p.ctx, "1"))
	t.client.Tone(clientTone)
	p.must(t.client.HearsTone(p.ctx, advisorTone, patience))
	p.must(t.advisor.HearsTone(p.ctx, clientTone, patience))
	p.end(t)
	p.told(t)
}

// toppedUp is a client who presses 1 when they are told that their money ends.
func (p *pair) toppedUp() {
	poor := p.with(100) // ten seconds
	p.must(site.SavePaymentMethod(p.ctx, poor.client.ID, client.PaymentMethod{Customer: "cus_1", Method: "test_ok", Label: "Visa 4242"}))
	t := poor.scene.talk(poor.client, poor.advisor, poor.shown()...)
	warning, err := shared.Prompt("talk-ends-in")
	p.must(err)
	_, err = t.client.HearStart(p.ctx, warning, time.Second)
	p.must(err)
	p.must(t.client.Keys(p.ctx, "1"))
	// Whether the answer sounds well is not asked here, where many calls go on at once.
	p.await("the talk is topped up", func() bool {
		return p.count(`SELECT count(*) FROM holds h JOIN calls c ON c.id = h.call WHERE c.client = $1 AND h.number = 2`, poor.client.ID) == 1
	})
	p.end(t)
	poor.told(t)
}
