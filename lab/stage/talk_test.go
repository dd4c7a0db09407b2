package stage

import (
	"context"
	"errors"
	"math"
	"net/http"
	"testing"
	"time"

	"parley/host/client"
)

// tapper is a scene whose client has a session on a page, and lends nothing yet.
type tapper struct {
	*scene
	site, session client.Client
}

func newTapper(t *testing.T, money int) *tapper {
	advisor, ctx := borrow(t)
	p := &tapper{scene: &scene{T: t, ctx: ctx, stage: shared, advisor: advisor}}
	var err error
	p.client, err = shared.NewClient(ctx, "Blue Heron", newNumber(), money)
	p.must(err)
	_, err = shared.Parley(ctx, "advisor", "online", advisor.ID)
	p.must(err)
	p.site = p.token("--role", "site")
	p.session = p.token("--role", "client", "--client", p.client.ID)
	return p
}

func (p *tapper) token(args ...string) client.Client {
	p.Helper()
	api, err := p.stage.API(p.ctx, args...)
	p.must(err)
	return api
}

// tap is the client's tap on the advisor. The advisor is free again after the test.
func (p *tapper) tap(key string) (client.Talk, error) {
	talk, err := p.session.RequestTalk(p.ctx, key, client.TalkRequest{Advisor: p.advisor.ID, Topic: "a cat"})
	if err == nil {
		p.loan = Loan{talk.ID, talk.Number, talk.PIN}
		p.Cleanup(func() {
			if err := p.session.CancelTalk(context.WithoutCancel(p.ctx), talk.ID); err != nil {
				p.Error(err)
			}
		})
	}
	return talk, err
}

// state is the advisor as another client's page shows them.
func (p *tapper) state() string {
	p.Helper()
	list, err := p.site.Advisors(p.ctx, "")
	p.must(err)
	for _, a := range list {
		if a.ID == p.advisor.ID {
			return a.State
		}
	}
	p.Fatalf("the advisor is not listed: %+v", list)
	return ""
}

// From the tap to the receipt: the number is dialled, the two talk, and the page shows
// what it cost; then the advisor is free and the number leads nowhere.
func TestTapNumberCallReceipt(t *testing.T) {
	p := newTapper(t, 2000)
	ready, err := http.Get(p.stage.URL + "/readyz")
	p.must(err)
	ready.Body.Close()
	if s := p.state(); s != "free" || ready.StatusCode != http.StatusOK {
		t.Errorf("before: %s, ready: %s", s, ready.Status)
	}
	talk, err := p.tap("tap-no-1")
	p.must(err)
	if talk.State != "waiting" || talk.Tel != "tel:"+talk.Number || talk.Seconds != 200 || talk.Price.PerMinute != 600 {
		t.Errorf("the answer is %+v", talk)
	}
	if s := p.state(); s != "busy" {
		t.Errorf("reserved: %s", s)
	}
	onPhone, advisor := p.talk()
	time.Sleep(time.Second) // the talk itself
	p.must(onPhone.Hangup(p.ctx))
	p.ends(advisor)
	call := p.recorded("completed")

	over, err := p.session.Talk(p.ctx, talk.ID)
	p.must(err)
	if over.State != "over" || len(over.Calls) != 1 || over.Calls[0] != call.ID {
		t.Fatalf("after the call: %+v", over)
	}
	receipt, err := p.session.Receipt(p.ctx, over.Calls[0])
	p.must(err)
	if receipt.Charge != call.Charge || receipt.Charge < perSecond || receipt.Charge != perSecond*int64(math.Ceil(receipt.Seconds)) ||
		receipt.Held != 2000 || receipt.Outcome != "completed" || receipt.EndedBy != "client" {
		t.Errorf("the receipt is %+v, the call %+v", receipt, call)
	}
	account, err := p.session.Account(p.ctx, p.client.ID)
	p.must(err)
	if account.Available != 2000-receipt.Charge || account.Held != 0 {
		t.Errorf("the account is %+v", account)
	}
	if s := p.state(); s != "free" {
		t.Errorf("afterwards: %s", s)
	}
	late := p.dial()
	p.hears(late, "expired-number")
	p.ends(late)
	p.neverRung()
	p.audit()
}

// Short of money: told what is missing; paid; the same request gives the number, and
// it works.
func TestShortOfMoneyAddResume(t *testing.T) {
	p := newTapper(t, 30) // five seconds are 50
	_, err := p.tap("tap-no-1")
	var short *client.Problem
	if !errors.As(err, &short) || short.Status != 402 || short.Missing != 20 || short.TopUp != "https://site.example/add?client="+p.client.ID+"&amount=20" {
		t.Fatalf("short of money: %+v", err)
	}
	_, err = p.site.Deposit(p.ctx, "deposit-"+p.client.ID, client.Deposit{Client: p.client.ID, Payment: "card-" + p.client.ID, Amount: short.Missing, Currency: short.Currency})
	p.must(err)
	talk, err := p.tap("tap-no-1")
	p.must(err)
	if talk.Seconds != 5 {
		t.Errorf("50 buy %d seconds", talk.Seconds)
	}
	onPhone, advisor := p.talk()
	p.ends(advisor)
	p.hears(onPhone, "money-spent")
	p.ends(onPhone)
	if call := p.recorded("money spent"); call.Charge != 50 {
		t.Errorf("charged %d", call.Charge)
	}
	p.balance(0)
}
