package host

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

func TestTapGivesANumberAndWhatIsToBeKnown(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(50_00)
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	if left := time.Until(talk.Until); left < 9*time.Minute || left > 10*time.Minute {
		t.Errorf("lent for %v", left)
	}
	want := client.Talk{
		ID: talk.ID, State: "waiting", Client: string(id), Advisor: client.Named{ID: string(w.advisor), Name: "Anna"},
		Number: "+493055500101", Tel: "tel:+493055500101", PIN: talk.PIN, Until: talk.Until,
		Price: client.Price{PerMinute: rate, Currency: "EUR", Increment: 1}, Seconds: 1500, Minutes: 25, Calls: []string{},
	}
	if !reflect.DeepEqual(talk, want) {
		t.Errorf("answered %+v\nwant %+v", talk, want)
	}
	if loan, err := w.store.LoanByPIN(t.Context(), talk.Number, talk.PIN); err != nil || string(loan.ID) != talk.ID {
		t.Errorf("the PIN leads to %+v, %v", loan, err)
	}
	seen, err := session.Talk(t.Context(), talk.ID)
	w.must(err)
	if !reflect.DeepEqual(seen, talk) {
		t.Errorf("seen as %+v, was %+v", seen, talk)
	}
	admin, _ := w.token(store.RoleAdmin, "")
	if seen, err := admin.Talk(t.Context(), talk.ID); err != nil || seen.PIN != "" {
		t.Errorf("an administrator sees the PIN: %q, %v", seen.PIN, err)
	}
	w.must(session.CancelTalk(t.Context(), talk.ID))
	if seen, err := session.Talk(t.Context(), talk.ID); err != nil || seen.State != "over" {
		t.Errorf("cancelled: %q, %v", seen.State, err)
	}
	if again, err := w.tap(session, "tap-no-1"); err != nil || !reflect.DeepEqual(again, talk) {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	if strings.Contains(w.log.String(), talk.PIN) || strings.Contains(w.log.String(), session.Token) {
		t.Error("a secret was logged")
	}
}

// Short of money: what is missing, where to add it, and the same request works after.
func TestMissingMoneyIsToldAndTheSameRequestWorksAfter(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(9_60)
	w.must(w.store.SetPresence(t.Context(), w.advisor, false)) // money comes first
	_, err := w.tap(session, "tap-no-1")
	p := w.problem("short", err, 402, "no_funds")
	if p.Missing != 40 || p.Available != 9_60 || p.Currency != "EUR" ||
		p.TopUp != "https://site.example/add?client="+string(id)+"&amount=40&currency=EUR" {
		t.Errorf("told %+v", p)
	}
	account, err := w.site.Deposit(t.Context(), "deposit-1", client.Deposit{Client: string(id), Payment: "pay_1", Amount: 40, Currency: "EUR"})
	w.must(err)
	if account.Available != 10_00 {
		t.Errorf("has %+v", account)
	}
	_, err = w.tap(session, "tap-no-1")
	w.problem("off line", err, 409, "advisor_away")
	w.must(w.store.SetPresence(t.Context(), w.advisor, true))
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	if talk.Seconds != 300 || talk.Minutes != 5 {
		t.Errorf("ten buy %+v", talk)
	}
}

// Each refusal has its own code and says what to do.
func TestRefusalsNameTheirRemedy(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	id, session := w.newClient(50_00)
	rivalID, rival := w.newClient(50_00)

	talk, err := w.tap(rival, "rivals-tap")
	w.must(err)
	_, err = w.tap(session, "tap-no-1")
	p := w.problem("reserved for another", err, 409, "advisor_busy")
	if p.AdvisorState != "busy" || p.RetryAfter < 590 || p.RetryAfter > 600 || kindsOf(p.Choices) != "[ask_again appointment]" {
		t.Errorf("told %+v", p)
	}
	_, err = session.Talk(ctx, talk.ID)
	w.problem("another's talk", err, 404, "not_found")
	w.problem("cancel another's", session.CancelTalk(ctx, talk.ID), 404, "not_found")
	_, err = rival.RequestTalk(ctx, "second-1", client.TalkRequest{Advisor: string(w.newAdvisor())})
	if p := w.problem("two at once", err, 409, "client_reserved"); p.Talk != talk.ID {
		t.Errorf("told %+v", p)
	}
	_, err = rival.RequestTalk(ctx, "rivals-tap", client.TalkRequest{Advisor: string(w.advisor), Topic: "cats"})
	w.problem("same key, other body", err, 409, "key_reused")
	w.must(rival.CancelTalk(ctx, talk.ID))

	w.must(w.store.SetBlock(ctx, "test", store.ByAdvisor, id, w.advisor, true))
	_, err = w.tap(session, "tap-no-1")
	blocked := w.problem("blocked", err, 409, "advisor_away")
	w.must(w.store.SetBlock(ctx, "test", store.ByAdvisor, id, w.advisor, false))
	w.must(w.store.SetPresence(ctx, w.advisor, false))
	_, err = w.tap(session, "tap-no-1")
	if away := w.problem("away", err, 409, "advisor_away"); !reflect.DeepEqual(away, blocked) {
		t.Errorf("who is blocked can tell: %+v, away is %+v", blocked, away)
	}
	w.must(w.store.SetPresence(ctx, w.advisor, true))

	newcomer, err := w.store.AddAdvisor(ctx, store.Advisor{Name: "Unverified"})
	w.must(err)
	w.must(w.store.SetPresence(ctx, newcomer.ID, true))
	_, err = session.RequestTalk(ctx, "newcomer", client.TalkRequest{Advisor: string(newcomer.ID)})
	w.problem("not verified", err, 409, "advisor_not_verified")
	_, err = session.RequestTalk(ctx, "nobody-1", client.TalkRequest{Advisor: "adv_nobody"})
	w.problem("unknown advisor", err, 404, "not_found")
	_, err = session.RequestTalk(ctx, "country-1", client.TalkRequest{Advisor: string(w.advisor), Country: "FR"})
	w.problem("no such country", err, 422, "not_valid")
	austrian, err := session.RequestTalk(ctx, "country-2", client.TalkRequest{Advisor: string(w.advisor), Country: "AT"})
	w.must(err)
	if austrian.Number != "+431555001" {
		t.Errorf("the Austrian number is %s", austrian.Number)
	}
	_, err = w.site.RequestTalk(ctx, "site-tap", client.TalkRequest{Advisor: string(w.advisor)})
	w.problem("the site names no client", err, 422, "not_valid")
	_, err = session.RequestTalk(ctx, "for-another", client.TalkRequest{Client: string(rivalID), Advisor: string(w.advisor)})
	w.problem("for another client", err, 403, "not_allowed")
	_, err = session.RequestTalk(ctx, "short", client.TalkRequest{Advisor: string(w.advisor)})
	if p := w.problem("a short key", err, 422, "not_valid"); len(p.Errors) != 1 || p.Errors[0].Where != "header.Idempotency-Key" {
		t.Errorf("told %+v", p)
	}
	_, err = session.RequestTalk(ctx, "", client.TalkRequest{Advisor: string(w.advisor)})
	w.problem("no key", err, 422, "not_valid")
	_, err = session.RequestTalk(ctx, "odd-topic", client.TalkRequest{Advisor: string(w.advisor), Topic: "<speak>"})
	w.problem("an odd topic", err, 422, "not_valid")
	w.must(session.CancelTalk(ctx, austrian.ID))

	w.plan.Numbers = w.plan.Numbers[:1]
	another := w.newAdvisor()
	_, err = w.tap(rival, "takes-the-last")
	w.must(err)
	_, err = session.RequestTalk(ctx, "none-left", client.TalkRequest{Advisor: string(another)})
	w.problem("no number left", err, 503, "no_number")
}

func TestDepositCreditsOnce(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	id, session := w.newClient(0)
	pay := client.Deposit{Client: string(id), Payment: "pay_1", Amount: 20_00, Currency: "EUR"}
	for _, key := range []string{"deposit-1", "deposit-1", "deposit-2"} {
		account, err := w.site.Deposit(ctx, key, pay)
		w.must(err)
		if account.Available != 20_00 {
			t.Errorf("%s: %+v", key, account)
		}
	}
	for what, d := range map[string]struct {
		status int
		code   string
		client.Deposit
	}{
		"other amount":   {409, "conflict", client.Deposit{Client: string(id), Payment: "pay_1", Amount: 1, Currency: "EUR"}},
		"other currency": {422, "not_valid", client.Deposit{Client: string(id), Payment: "pay_2", Amount: 1, Currency: "CHF"}},
		"nothing":        {422, "not_valid", client.Deposit{Client: string(id), Payment: "pay_2", Currency: "EUR"}},
		"nobody":         {404, "not_found", client.Deposit{Client: "cli_no", Payment: "pay_2", Amount: 1, Currency: "EUR"}},
	} {
		_, err := w.site.Deposit(ctx, "key-of-"+strings.ReplaceAll(what, " ", "-"), d.Deposit)
		w.problem(what, err, d.status, d.code)
	}
	account, err := session.Account(ctx, string(id))
	w.must(err)
	if want := (client.Account{ID: string(id), Alias: "Heron", Phone: account.Phone, Currency: "EUR", Available: 20_00}); account != want || !strings.Contains(account.Phone, "****") {
		t.Errorf("the account is %+v", account)
	}
	otherID, other := w.newClient(0)
	_, err = other.Account(ctx, string(id))
	w.problem("another's account", err, 404, "not_found")
	if _, err := w.site.Account(ctx, string(otherID)); err != nil {
		t.Error(err)
	}
}

// The list says who can be asked now, as this client sees it, and the receipt what the
// call cost: to its client alone.
func TestAdvisorsAndReceipts(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	id, session := w.newClient(50_00)
	_, other := w.newClient(50_00)
	see := func(by client.Client, want string) {
		t.Helper()
		list, err := by.Advisors(ctx, "")
		w.must(err)
		if len(list) != 1 || list[0].State != want || list[0].Name != "Anna" || list[0].Price.PerMinute != rate || list[0].Least != 10_00 || list[0].Seconds != 300 {
			t.Errorf("sees %+v, want %s", list, want)
		}
	}
	see(session, "free")
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	see(session, "free") // reserved for them
	see(other, "busy")
	see(w.site, "busy")
	terms := w.plan.Terms(string(w.advisor), dialplan.Wish{})
	o := ivr.Opening{Kind: ivr.ClientCall, Call: ivr.CallID(ivr.NewID("call")), Loan: ivr.LoanID(talk.ID), DID: talk.Number, ANI: "+49****01", Client: id, Advisor: w.advisor,
		Plan: w.plan.Version, Terms: terms, StartedAt: time.Now(), Least: terms.Least(), Most: terms.Most(), Concurrent: w.plan.Limits.Concurrent}
	_, err = w.store.Hold(ctx, o)
	w.must(err)
	longest, _ := terms.Talk(50_00)
	if r, err := session.Receipt(ctx, string(o.Call)); err != nil || r.State != "live" || r.Held != 50_00 || r.Longest != int64(longest/time.Second) {
		t.Errorf("the live call's receipt: %+v, %v", r, err)
	}
	see(session, "busy")
	charge := terms.Rate.Charge(90 * time.Second)
	w.must(w.store.Close(ctx, ivr.CDR{Call: o.Call, Kind: ivr.ClientCall, DID: o.DID, ANI: o.ANI, Loan: o.Loan, Client: id, Advisor: w.advisor,
		Plan: o.Plan, StartedAt: o.StartedAt, Segments: []ivr.Segment{{JoinedAt: time.Now(), Talk: 90 * time.Second}},
		Charge: charge, Shares: money.Split(charge, 60), Disposition: "completed", Cause: 16, EndedBy: "client"}))
	see(other, "free")
	over, err := session.Talk(ctx, talk.ID)
	w.must(err)
	if over.State != "over" || fmt.Sprint(over.Calls) != fmt.Sprint([]ivr.CallID{o.Call}) {
		t.Errorf("after the call: %+v", over)
	}
	r, err := session.Receipt(ctx, over.Calls[0])
	w.must(err)
	if r.State != "ended" || r.Charge != 3_00 || r.Seconds != 90 || len(r.Segments) != 1 || r.Outcome != "completed" || r.EndedBy != "client" || r.Price.PerMinute != rate {
		t.Errorf("the receipt is %+v", r)
	}
	_, err = other.Receipt(ctx, string(o.Call))
	w.problem("another's receipt", err, 404, "not_found")
	w.must(w.store.SetBlock(ctx, "test", store.ByClient, id, w.advisor, true))
	see(session, "away")
	see(other, "free")
}
