package stage

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// warned waits until the client hears that the talk ends soon, and can press a key.
func (s *scene) warned(call *phone.Call) {
	s.Helper()
	prompt, err := s.stage.Prompt("talk-ends-in")
	s.must(err)
	_, err = call.HearStart(s.ctx, prompt, time.Second)
	s.must(err)
}

// At the warning the client presses 1: the package is bought, and the talk goes on
// beyond the money that it began with. The advisor hears the key, and no question.
func TestTopUpByKey(t *testing.T) {
	p := newTapper(t, 150)
	p.must(p.site.SavePaymentMethod(p.ctx, p.client.ID, client.PaymentMethod{Customer: "cus_1", Method: "test_ok", Label: "Visa 4242"}))
	_, err := p.tap("tap-no-1")
	p.must(err)
	onPhone, advisor := p.talk()
	p.warned(onPhone)
	p.must(onPhone.Keys(p.ctx, "1"))
	p.hears(onPhone, "top-up-done")
	ends := p.began(onPhone).Add(15 * time.Second) // by the money it began with
	time.Sleep(time.Until(ends.Add(2 * time.Second)))
	p.must(onPhone.HearsTone(p.ctx, advisorTone, patience))
	p.must(onPhone.Hangup(p.ctx))
	p.ends(advisor)
	p.neverHeard(advisor, "top-up-done")
	call := p.recorded("completed")
	if call.Charge <= 150 || call.Charge > 250 || call.Held != 250 {
		p.Errorf("charged %d of %d held", call.Charge, call.Held)
	}
	p.balance(250 - call.Charge)
	p.audit()
}

// A payment that is declined changes nothing: the talk ends when its money does.
func TestTopUpDeclined(t *testing.T) {
	p := newTapper(t, 150)
	p.must(p.site.SavePaymentMethod(p.ctx, p.client.ID, client.PaymentMethod{Customer: "cus_1", Method: "test_declined", Label: "Visa 0002"}))
	_, err := p.tap("tap-no-1")
	p.must(err)
	onPhone, advisor := p.talk()
	p.warned(onPhone)
	p.must(onPhone.Keys(p.ctx, "1"))
	p.cutOff(onPhone, advisor, p.began(onPhone), 15*time.Second)
	p.hears(onPhone, "money-spent")
	if call := p.recorded("money spent"); call.Charge != 150 {
		p.Errorf("charged %d", call.Charge)
	}
	p.balance(0)
	_, err = p.session.TopUp(p.ctx, "top-up-no-1", p.client.ID, 1000)
	var declined *client.Problem
	if !errors.As(err, &declined) || declined.Code != "payment_declined" {
		p.Errorf("on the page: %v", err)
	}
}

// An administrator ends a call with a reason: both are cut off, the client hears by whom, and
// pays for what was talked.
func TestAnAdministratorEndsACall(t *testing.T) {
	p := newTapper(t, 2000)
	_, err := p.tap("tap-no-1")
	p.must(err)
	onPhone, advisor := p.talk()
	ada := p.token("--role", "admin", "--holder", "Ada")
	talk, err := p.session.Talk(p.ctx, p.loan.ID)
	p.must(err)
	if len(talk.Calls) != 1 {
		t.Fatalf("while they talk: %+v", talk)
	}
	p.must(ada.EndCall(p.ctx, "ending-1", talk.Calls[0], "they asked us to"))
	p.ends(advisor)
	p.hears(onPhone, "ended-by-host")
	p.ends(onPhone)
	call := p.recorded("ended")
	if call.EndedBy != "parley" || call.Charge != perSecond*int64(math.Ceil(call.Talk().Seconds())) || call.Charge == 0 {
		t.Errorf("recorded as %+v", call)
	}
	p.balance(2000 - call.Charge)
	acts, err := ada.AuditLog(p.ctx, url.Values{"subject": {call.ID}})
	p.must(err)
	if len(acts) != 1 || acts[0].Who != "Ada" || acts[0].Detail["reason"] != "they asked us to" {
		t.Errorf("the log says %+v", acts)
	}
	p.audit()
}

// After a talk of some length that the advisor ended, the client rates it by a key.
func TestATalkIsRatedByKey(t *testing.T) {
	p := newTapper(t, 2000)
	_, err := p.tap("tap-no-1")
	p.must(err)
	onPhone, advisor := p.talk()
	time.Sleep(time.Until(p.began(onPhone).Add(7 * time.Second))) // the talk itself
	p.must(advisor.Hangup(p.ctx))
	p.hears(onPhone, "rate-1-to-5")
	p.must(onPhone.Keys(p.ctx, "4"))
	p.ends(onPhone)
	call := p.recorded("completed")
	receipt, err := p.session.Receipt(p.ctx, call.ID)
	p.must(err)
	if receipt.Stars != 4 {
		p.Errorf("the receipt shows %d stars", receipt.Stars)
	}
}

// The advisor's own greeting, as a browser would record it, is what the client hears
// while the advisor's line rings.
func TestTheGreetingIsHeardWhileTheLineRings(t *testing.T) {
	const hz = 440
	p := newTapper(t, 2000)
	recorded, err := exec.CommandContext(p.ctx, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=%d:duration=4", hz),
		"-c:a", "libopus", "-f", "webm", "pipe:1").Output()
	p.must(err)
	app := p.token("--role", "advisor", "--advisor", p.advisor.ID)
	_, err = app.SetFile(p.ctx, p.advisor.ID, "greeting", recorded)
	p.must(err)
	p.Cleanup(func() { p.must(app.RemoveFile(context.WithoutCancel(p.ctx), p.advisor.ID, "greeting")) })
	_, err = p.tap("tap-no-1")
	p.must(err)
	onPhone := p.dial()
	p.must(onPhone.Keys(p.ctx, "#"))
	p.must(onPhone.HearsTone(p.ctx, hz, patience))
	advisor := p.rings()
	_ = advisor.Keys(p.ctx, "2") // the call may end under the key
	p.hears(onPhone, "advisor-declined")
	p.ends(onPhone)
}

// Whoever calls the lent number from another telephone, or hides theirs, or calls a number
// that is lent to somebody else, is asked for the PIN that the page shows; without it nobody
// is rung and nothing is held.
func TestAnotherCallerNeedsThePIN(t *testing.T) {
	p := newTapper(t, 2000)
	talk, err := p.tap("tap-no-1")
	p.must(err)

	stranger := p.dial(phone.CallerNumber(newNumber()))
	for range 3 {
		p.hears(stranger, "enter-pin")
		p.must(stranger.Keys(p.ctx, "000000"))
	}
	p.hears(stranger, "not-identified")
	p.ends(stranger)
	p.neverRung()
	p.balance(2000)

	others, err := p.stage.Lend(p.ctx, p.another().client, p.advisor)
	p.must(err)
	astray, err := p.client.Phone.Dial(p.ctx, others.DID)
	p.must(err)
	p.hears(astray, "enter-pin")
	p.must(astray.Hangup(p.ctx))

	hidden := p.dial(phone.Withheld())
	p.hears(hidden, "enter-pin")
	advisor := p.accepted(hidden, talk.PIN)
	advisor.Tone(advisorTone)
	p.must(hidden.HearsTone(p.ctx, advisorTone, patience))
	p.must(hidden.Hangup(p.ctx))
	p.ends(advisor)
	p.recorded("completed")
}
