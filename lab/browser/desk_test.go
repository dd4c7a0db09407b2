package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/lab/phone"
)

// desk is another administrator's page beside the scene: the same story, seen by them.
func (s *scene) desk(holder string, look Look) *scene {
	s.Helper()
	api, err := shared.API(s.ctx, "--role", "admin", "--holder", holder)
	s.must(err)
	d := *s
	d.app, err = chrome.Open(s.ctx, shared.URL+"/desk/#token="+api.Token, look)
	s.must(err)
	s.Cleanup(func() {
		ctx := context.WithoutCancel(s.ctx)
		if complaints, err := d.app.Complaints(ctx); err == nil {
			for _, c := range complaints {
				if !strings.Contains(c, "422") && !strings.Contains(c, "409") { // what is refused is shown, and tested
					s.Errorf("the desk's console says: %q", c)
				}
			}
		}
		_ = d.app.Close(ctx) // it may have crashed
	})
	d.must(d.app.SeeRole(d.ctx, "heading", "Calls"))
	return &d
}

// line is a scene of telephones alone: a client, and an advisor whose SIP phone is
// verified.
type line struct {
	*scene
	call, advised *phone.Call
}

func newLine(t *testing.T, name string) *line {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	l := &line{scene: &scene{T: t, ctx: ctx}}
	var err error
	l.advisor, err = shared.NewAdvisor(ctx, name)
	l.must(err)
	verify, err := shared.StartVerification(ctx, l.advisor.Line)
	l.must(err)
	l.keys(verify.Code + "#")
	_, err = verify.Wait()
	l.must(err)
	l.client, err = shared.NewClient(ctx, "Blue Heron", fmt.Sprintf("+49151%08d", 10000000+clients.Add(1)), 2000)
	l.must(err)
	return l
}

// answers answers the advisor's phone.
func (l *line) answers() *phone.Call {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	ringing, err := l.advisor.Phone.Accept(ctx)
	l.must(err)
	call, err := ringing.Answer(l.ctx)
	l.must(err)
	return call
}

// keys answers a verification call and keys a code.
func (l *line) keys(code string) {
	l.Helper()
	call := l.answers()
	l.must(call.Keys(l.ctx, code))
	l.must(call.Hangup(l.ctx))
}

// dials is a call of the client's up to where the advisor's phone rings.
func (l *line) dials() {
	l.Helper()
	loan, err := shared.Lend(l.ctx, l.client, l.advisor)
	l.must(err)
	l.call, err = l.client.Phone.Dial(l.ctx, loan.DID)
	l.must(err)
	l.must(l.call.Keys(l.ctx, "#")) // the price is cut short
}

// talk goes on until the two hear each other.
func (l *line) talk() {
	l.Helper()
	l.advised = l.answers()
	l.must(l.advised.Keys(l.ctx, "1"))
	l.hearEachOther()
}

func (l *line) hearEachOther() {
	l.Helper()
	l.call.Tone(clientTone)
	l.advised.Tone(pageTone)
	l.must(l.call.HearsTone(l.ctx, pageTone, patience))
	l.must(l.advised.HearsTone(l.ctx, clientTone, patience))
}

func (s *scene) clicks(role string, names ...string) {
	s.Helper()
	for _, name := range names {
		s.must(s.app.Click(s.ctx, role, name))
	}
}

func (s *scene) sees(texts ...string) {
	s.Helper()
	for _, text := range texts {
		s.must(s.app.See(s.ctx, text))
	}
}

// hears waits until a prompt is heard on a telephone.
func (s *scene) hears(call *phone.Call, prompt string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	audio, err := shared.Prompt(prompt)
	s.must(err)
	if _, err := call.Hear(ctx, audio); err != nil {
		s.Fatalf("%q is not heard: %v", prompt, err)
	}
}

// A plan is edited, refused with its faults at their lines, mended, activated and rolled
// back, while a call is up that keeps its terms.
func TestAPlanIsEditedAtTheDesk(t *testing.T) {
	s := newLine(t, "Frida")
	s.dials()
	s.talk()
	d := s.desk("Ada", Desk)
	d.clicks("link", "Plan")
	d.sees("No faults", "Nothing differs from the active plan.")
	d.must(d.app.Run(d.ctx, `{
		const area = document.querySelector('textarea'), at = area.value.indexOf('turn: 20s');
		area.focus();
		area.setSelectionRange(at, at);
		area.dispatchEvent(new Event('select'));
	}`, nil))
	d.sees("how long a client whose turn has come may take to dial")
	d.looksGood("desk-plan")
	var before string
	d.must(d.app.Run(d.ctx, "document.querySelector('textarea').value", &before))

	limit := fmt.Sprintf("advisors:\n  %s: {longest_talk: 7m}\n", s.advisor.ID)
	faulty := strings.Replace(before, "turn: 20s", "turn: soon", 1) + "advisors: {anna: {}}\n"
	d.must(d.app.Fill(d.ctx, "Plan text", faulty))
	d.sees("2 faults", "Not saved")
	line := func(what string) string {
		return fmt.Sprintf("Line %d", 1+strings.Count(faulty[:strings.Index(faulty, what)], "\n"))
	}
	d.sees(line("turn: soon"), line("advisors: {anna"))
	d.looksGood("desk-plan-faults")
	var off string
	d.must(d.app.Run(d.ctx, "[...document.querySelectorAll('button')].find((b) => b.textContent === 'Save').ariaDisabled", &off))
	if off != "true" {
		t.Errorf("what has faults can be saved: %q", off)
	}

	d.must(d.app.Fill(d.ctx, "Plan text", before+limit))
	d.sees("No faults", "+ advisors."+s.advisor.ID+".longest_talk: 7m")
	d.must(d.app.Fill(d.ctx, "Note for the history", "shorter talks"))
	d.looksGood("desk-plan-changes")
	d.clicks("button", "Save")
	d.sees("is saved. It holds once you activate it.")
	d.looksGood("desk-plan-saved")
	d.clicks("button", "Activate now")
	d.sees("is active.")

	d.must(d.app.Fill(d.ctx, "Who calls", s.client.Number))
	d.must(d.app.Fill(d.ctx, "Number dialled", "+493055599999"))
	d.clicks("button", "Tell me")
	d.sees("No line would ring")
	d.must(d.app.Run(d.ctx, "document.querySelector('.steps').scrollIntoView({block: 'center'})", nil))
	d.looksGood("desk-plan-what-if")

	d.clicks("button", "Roll back")
	d.sees("is active again.")
	opened, err := d.app.Read(d.ctx, "main .card h2")
	d.must(err)
	d.must(d.app.Fill(d.ctx, "Or at a time", "2035-01-01T10:00"))
	d.clicks("button", "Activate then")
	d.sees("will be active from")
	d.clicks("button", "Withdraw "+strings.TrimPrefix(opened, "Version "))
	d.sees("will not be activated.")
	d.must(d.app.Gone(d.ctx, "from Mon 1 Jan"))
	s.hearEachOther() // it has gone on
	s.must(s.call.Hangup(s.ctx))
	s.recorded("completed")
}

// A live call is seen and counted, and ended with a reason; the caller hears that.
func TestALiveCallIsEndedAtTheDesk(t *testing.T) {
	s := newLine(t, "Greta")
	d := s.desk("Ada", Desk)
	d.sees("No call is up.")
	s.dials()
	d.sees("Ringing")
	s.talk()
	d.sees("Blue Heron → Greta", "Talking", "1 is up")
	d.looksGood("desk-calls")
	d.clicks("button", "End Blue Heron → Greta")
	d.looksGood("desk-call-end")
	d.must(d.app.Fill(d.ctx, "Reason", "the client asked us to"))
	d.clicks("button", "End the call")
	s.hears(s.call, "ended-by-host")
	s.ends(s.call)
	d.sees("No call is up.")
	if recorded := s.recorded("ended"); recorded.EndedBy != "parley" {
		t.Errorf("recorded as %+v", recorded)
	}
	d.looksGood("desk-calls-after")
}

// A refund above the limit is proposed by one administrator and approved by another,
// and the receipt shows it.
func TestARefundTakesASecondPerson(t *testing.T) {
	s := newLine(t, "Hanna")
	s.dials()
	s.talk()
	time.Sleep(2 * time.Second) // the talk itself
	s.must(s.call.Hangup(s.ctx))
	charge := s.recorded("completed").Charge
	ada, grace := s.desk("Ada", Desk), s.desk("Grace", Telephone)
	ada.clicks("link", "Blue Heron → Hanna")
	ada.sees("What happened", "The receipt")
	ada.looksGood("desk-call")
	ada.clicks("button", "Refund")
	ada.must(ada.app.Fill(ada.ctx, "Reason", "the line was bad"))
	ada.looksGood("desk-refund")
	ada.clicks("button", "Refund now")
	ada.sees("another administrator must approve it")
	ada.clicks("button", "Done")

	amount := fmt.Sprintf("€%d.%02d", charge/100, charge%100)
	ada.clicks("link", "Adjustments 1 wait for approval")
	ada.sees("You asked for this: another person must approve it.")
	ada.looksGood("desk-adjustments-own")
	grace.clicks("link", "Adjustments 1 wait for approval")
	grace.sees("the line was bad", "Ada")
	grace.looksGood("desk-adjustments")
	grace.clicks("button", "Approve "+amount)
	grace.sees("Nothing waits.")
	ada.sees("Nothing waits.", "Ada, Grace")

	ada.must(ada.app.Goto(ada.ctx, shared.URL+"/desk/#/clients/"+s.client.ID))
	ada.must(ada.app.SeeRole(ada.ctx, "heading", "Blue Heron"))
	ada.sees(amount)
	ada.looksGood("desk-client")
	last, err := shared.LastCall(s.ctx, s.client)
	s.must(err)
	ada.must(ada.app.Goto(ada.ctx, shared.URL+"/desk/#/calls/"+last.ID))
	ada.must(ada.app.SeeRole(ada.ctx, "region", "The receipt"))
	receipt, err := ada.app.Read(ada.ctx, "pre.words")
	ada.must(err)
	if !strings.Contains(receipt, "paid back") || !strings.Contains(receipt, "so it cost 0.00 EUR") {
		t.Errorf("the receipt says nothing of it:\n%s", receipt)
	}
	ada.looksGood("desk-call-refunded")
}

// The other pages, and a line that is verified from the desk.
func TestTheDesksLists(t *testing.T) {
	s := newLine(t, "Ida")
	d := s.desk("Ada", Desk)
	d.clicks("link", "Numbers")
	d.must(d.app.SeeRole(d.ctx, "table", "Numbers"))
	d.looksGood("desk-numbers")
	d.clicks("link", "Advisors", "Ida")
	d.must(d.app.SeeRole(d.ctx, "heading", "Ida"))
	d.sees("SIP phone", "verified")
	address, err := d.app.Read(d.ctx, "td .digits")
	d.must(err)
	d.clicks("button", "Verify "+address)
	d.sees("We call the line now.")
	code, err := d.app.Read(d.ctx, ".notice strong")
	d.must(err)
	s.keys(code + "#")
	d.sees("The line is verified.")
	d.looksGood("desk-advisor")

	d.clicks("link", "Clients")
	d.must(d.app.Fill(d.ctx, "Search by alias, or by the whole telephone number", s.client.Number))
	d.must(d.app.SeeRole(d.ctx, "link", "Blue Heron"))
	d.looksGood("desk-clients")

	d.clicks("link", "Appointments")
	d.must(d.app.SeeRole(d.ctx, "heading", "Those to come"))
	s.wishes(26 * time.Hour) // which shows without a reload
	d.must(d.app.SeeRole(d.ctx, "table", "Appointments"))
	d.must(d.app.SeeRole(d.ctx, "link", "Ida"))
	d.sees("Asked for")
	d.looksGood("desk-appointments")

	d.clicks("link", "Figures")
	d.must(d.app.SeeRole(d.ctx, "table", "By the hour"))
	d.looksGood("desk-figures")

	d.clicks("link", "Records")
	d.clicks("button", "Audit now")
	d.sees("No faults")
	d.must(d.app.SeeRole(d.ctx, "table", "Audit log"))
	d.looksGood("desk-records")
}

// The pages are led through by the keyboard alone.
func TestTheDeskByKeyboard(t *testing.T) {
	s := newLine(t, "Jana")
	d := s.desk("Ada", Desk)
	reach := func(name string) {
		t.Helper()
		for range 30 {
			d.must(d.app.Press(d.ctx, "Tab"))
			if focused, err := d.app.Focused(d.ctx); err != nil || focused == name {
				d.must(err)
				return
			}
		}
		t.Fatalf("Tab does not lead to %q", name)
	}
	reach("Plan")
	d.must(d.app.Press(d.ctx, "Enter"))
	d.sees("No faults")
	reach("Plan text")
	d.must(d.app.Press(d.ctx, "Tab")) // it leaves the editor
	if focused, err := d.app.Focused(d.ctx); err != nil || focused == "Plan text" {
		t.Errorf("Tab stays in the editor: %q, %v", focused, err)
	}
}
