package stage

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// queuer is a client who wants to wait for an advisor whom a rival has reserved.
type queuer struct {
	*tapper
	free func() // the rival gives the advisor free
}

func newQueuer(t *testing.T, money int) *queuer {
	q := &queuer{tapper: newTapper(t, money)}
	rival := q.another()
	talk, err := rival.session.RequestTalk(q.ctx, "rivals-tap", client.TalkRequest{Advisor: q.advisor.ID})
	q.must(err)
	q.free = func() {
		t.Helper()
		q.must(rival.session.CancelTalk(context.WithoutCancel(q.ctx), talk.ID))
	}
	t.Cleanup(q.free)
	return q
}

// another is one more client with money and a session, for the same advisor.
func (p *tapper) another() *tapper {
	p.Helper()
	other, scene := *p, *p.scene
	other.scene = &scene
	var err error
	scene.client, err = p.stage.NewClient(p.ctx, "Red Fox", newNumber(), 2000)
	p.must(err)
	other.session = other.token("--role", "client", "--client", scene.client.ID)
	return &other
}

// joins puts the client on the queue, until the test is over.
func (p *tapper) joins(mode string) client.Wait {
	p.Helper()
	wait, err := p.session.JoinQueue(p.ctx, "join-no-1", client.QueueRequest{Advisor: p.advisor.ID, Mode: mode, Topic: "a cat"})
	p.must(err)
	p.Cleanup(func() {
		if err := p.session.LeaveQueue(context.WithoutCancel(p.ctx), wait.ID); err != nil {
			p.Error(err)
		}
	})
	return wait
}

// page listens as the client's page does; what it returns waits for the next event of a type.
func (p *tapper) page(kind string) (told func() client.Event) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	p.Cleanup(cancel)
	heard := make(chan client.Event, 1)
	last, err := books(p.T, p.stage).EventsEnd(ctx) // from here on, however late the stream begins
	p.must(err)
	go func() {
		for e, err := range p.session.Events(ctx, last.String()) {
			if err != nil || e.Type == kind {
				heard <- e
				return
			}
		}
	}()
	return func() client.Event {
		p.Helper()
		select {
		case e := <-heard:
			return e
		case <-ctx.Done():
			p.Fatalf("the page is not told of %s", kind)
			return client.Event{}
		}
	}
}

// comes to a state, as the client's page sees it.
func (p *tapper) comesTo(wait client.Wait, state string, within time.Duration) client.Wait {
	p.Helper()
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		seen, err := p.session.Wait(p.ctx, wait.ID)
		p.must(err)
		if seen.State == state {
			return seen
		}
		if time.Now().After(end) {
			p.Fatalf("the wait is %+v, not %s\n%s", seen, state, tail(p.stage.Log(), 30))
		}
	}
}

// called is the client, whom we call back: they press 1 and do not listen to the price.
func (p *tapper) called() *phone.Call {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	ringing, err := p.client.Phone.Accept(ctx)
	p.must(err)
	if from := ringing.From(); from != CallerID {
		p.Errorf("the client is called from %s, not from a number of ours", from)
	}
	call, err := ringing.Answer(p.ctx)
	p.must(err)
	p.hears(call, "placed-press-1")
	p.must(call.Keys(p.ctx, "1"))
	p.must(call.Keys(p.ctx, "#"))
	return call
}

// A loan that ends gives the advisor to the next in line within two looks at it.
const nextComes = 5 * time.Second // on a busy machine

// The advisor is busy; the client waits on the page, sees their place, and when it is
// their turn they have a number, call, talk, and get their receipt.
func TestBusyQueueTurnCallReceipt(t *testing.T) {
	p := newQueuer(t, 2000)
	_, err := p.tap("tap-no-1")
	var busy *client.Problem
	if !errors.As(err, &busy) || busy.Code != "advisor_busy" || len(busy.Choices) != 4 || busy.Choices[1].Kind != "queue" || busy.Choices[1].Place != 1 {
		t.Fatalf("a tap: %+v", err)
	}
	wait := p.joins("page")
	second := p.another()
	later := second.joins("page")
	if wait.Place != 1 || later.Place != 2 || *later.AtMost <= *wait.AtMost {
		t.Errorf("the first waits %+v, the second %+v", wait, later)
	}
	told := p.page("queue.turn")
	p.free()
	turn := p.comesTo(wait, "turn", nextComes)
	if e := told(); e.Data["wait"] != wait.ID || e.Data["talk"] != turn.Talk {
		t.Errorf("the page is told %+v of the turn %+v", e, turn)
	}
	talk, err := p.tap("tap-no-2")
	p.must(err)
	if talk.ID != turn.Talk || time.Until(talk.Until) > 20*time.Second {
		t.Errorf("in the turn %+v a tap gives %+v", turn, talk)
	}
	onPhone, advisor := p.scene.talk()
	p.must(onPhone.Hangup(p.ctx))
	p.ends(advisor)
	call := p.recorded("completed")
	p.comesTo(wait, "talked", nextComes)
	receipt, err := p.session.Receipt(p.ctx, call.ID)
	p.must(err)
	if receipt.Charge != call.Charge || receipt.Charge != perSecond*int64(math.Ceil(receipt.Seconds)) || receipt.Charge == 0 {
		t.Errorf("the receipt is %+v, the call %+v", receipt, call)
	}
	// The next one has their turn, and lets it pass.
	second.comesTo(later, "turn", nextComes)
	second.comesTo(later, "missed_turn", 20*time.Second+nextComes)
	if s := p.state(); s != "free" {
		t.Errorf("afterwards: %s", s)
	}
	p.audit()
}

// The client is called when it is their turn, presses 1, the advisor presses 1, and they
// talk: that alone is charged.
func TestCallBack(t *testing.T) {
	p := newQueuer(t, 2000)
	wait := p.joins("call_back")
	p.free()
	onPhone := p.called()
	p.comesTo(wait, "turn", nextComes)
	advisor := p.rings()
	accepted := time.Now()
	p.must(advisor.Keys(p.ctx, "1"))
	onPhone.Tone(clientTone)
	advisor.Tone(advisorTone)
	p.must(onPhone.HearsTone(p.ctx, advisorTone, patience))
	p.must(advisor.HearsTone(p.ctx, clientTone, patience))
	p.must(onPhone.Hangup(p.ctx))
	p.ends(advisor)
	call := p.recorded("completed")
	if call.Kind != "call back" || call.Charge != perSecond*int64(math.Ceil(call.Talk().Seconds())) || call.Talk() > time.Since(accepted) {
		t.Errorf("recorded as %+v, %v after the advisor accepted", call, time.Since(accepted))
	}
	p.comesTo(wait, "talked", nextComes)
	p.balance(2000 - call.Charge)
	if s := p.state(); s != "free" {
		t.Errorf("afterwards: %s", s)
	}
	p.audit()
}

// A voicemail that answers a call-back presses no key: it is never joined and never
// charged, the advisor is not rung, and the next in line comes.
func TestCallBackToAVoicemail(t *testing.T) {
	p := newQueuer(t, 2000)
	p.client.Phone.OnCall(phone.Voicemail(time.Second))
	wait := p.joins("call_back")
	second := p.another()
	later := second.joins("page")
	p.free()
	p.comesTo(wait, "turn", nextComes)
	p.comesTo(wait, "not_reached", patience)
	second.comesTo(later, "turn", nextComes)
	p.neverRung()
	call := p.recorded("client not reached")
	p.scene.free(call, 2000)
	p.audit()
}
