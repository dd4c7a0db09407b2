package host

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// calling is the calls that a program runs.
type calling struct {
	mu    sync.Mutex
	calls []ivr.LiveCall
	ended []string     // why
	gone  []ivr.CallID // hung up for their clients
	sees  func()       // called before a call is ended
}

func (c *calling) Calls() []ivr.LiveCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]ivr.LiveCall{}, c.calls...)
}

func (c *calling) HangUp(id ivr.CallID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = append(c.gone, id)
	return true
}

func (c *calling) End(id ivr.CallID, why string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, call := range c.calls {
		if call.ID == id {
			if c.sees != nil {
				c.sees()
			}
			c.ended = append(c.ended, why)
			c.calls = append(c.calls[:i:i], c.calls[i+1:]...)
			return true
		}
	}
	return false
}

// administrator has a token; whoever has the same name is the same person.
func (w *town) administrator(name string) client.Client {
	w.Helper()
	_, secret, err := w.store.CreateToken(w.Context(), "test", store.Token{Role: store.RoleAdmin, Holder: name}, time.Hour)
	w.must(err)
	return client.Client{URL: w.url, Token: secret}
}

// opening opens a call of the client to the town's advisor, in the ledger.
func (w *town) opening(of ivr.ClientID) ivr.Opening {
	w.Helper()
	terms := w.plan.Terms(string(w.advisor), dialplan.Wish{})
	o := ivr.Opening{
		Call: ivr.CallID(ivr.NewID("call")), Kind: ivr.ClientCall, DID: "+493055500101", ANI: "+49********01", Client: of, Advisor: w.advisor,
		Plan: w.plan.Version, Terms: terms, StartedAt: time.Now(), Least: terms.Least(), Most: terms.Most(),
		Concurrent: dialplan.Concurrent{All: 100, PerClient: 100, PerAdvisor: 100},
	}
	_, err := w.store.Hold(w.Context(), o)
	w.must(err)
	return o
}

// talked ends it after some talk.
func (w *town) talked(o ivr.Opening, talk time.Duration) {
	w.Helper()
	charge := o.Terms.Rate.Charge(talk)
	w.must(w.store.Close(w.Context(), ivr.CDR{
		Call: o.Call, Kind: ivr.ClientCall, DID: o.DID, ANI: o.ANI, Client: o.Client, Advisor: o.Advisor, Plan: o.Plan, StartedAt: o.StartedAt,
		Segments: []ivr.Segment{{JoinedAt: o.StartedAt, Talk: talk}}, Charge: charge, Shares: money.Split(charge, o.Terms.AdvisorPercent),
		Disposition: ivr.Completed, Cause: ivr.NormalClearing, EndedBy: "client",
	}))
}

func TestPlansOverTheAPI(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	ada := w.administrator("Ada")
	example := string(dialplan.Example)
	faulty := strings.ReplaceAll(strings.ReplaceAll(example, "currency: EUR", "currency: XXX"), "  ring: 30s", "  ring: 30 apples")
	found, err := ada.CheckPlan(ctx, faulty)
	w.must(err)
	if len(found) != 2 || found[0].Field != "currency" || found[0].Line == 0 || found[0].Problem == "" || found[1].Field != "limits.ring" {
		t.Errorf("the faults are %+v", found)
	}
	for _, text := range []string{"", "\x00", "- [", "{a: &a [*a, *a]}"} {
		if found, err := ada.CheckPlan(ctx, text); err == nil && len(found) == 0 {
			t.Errorf("%q has no fault", text)
		}
	}
	_, err = ada.SavePlan(ctx, "save-no-1", faulty, "")
	if p := w.problem("a faulty plan", err, 422, "plan_faults"); len(p.Faults) != 2 || p.Faults[1].Field != "limits.ring" {
		t.Errorf("told %+v", p)
	}
	saved, err := ada.SavePlan(ctx, "save-no-2", example, "the first")
	w.must(err)
	again, err := ada.SavePlan(ctx, "save-no-2", example, "the first")
	w.must(err)
	if saved != again || saved.Text != example || saved.Author != "Ada" || saved.Note != "the first" || saved.Active || len(saved.SHA256) != 64 {
		t.Errorf("saved %+v, then %+v", saved, again)
	}
	_, err = ada.DiffPlan(ctx, example, 0)
	w.problem("no plan is active", err, 503, "not_in_plan")
	first, err := ada.ActivatePlan(ctx, "activate-1", saved.Version, time.Time{})
	w.must(err)
	if first.By != "Ada" || first.Version != saved.Version || time.Since(first.From) > time.Minute {
		t.Errorf("activated %+v", first)
	}
	longer := strings.Replace(example, "longest_talk: 60m", "longest_talk: 90m", 1)
	changes, err := ada.DiffPlan(ctx, longer, 0)
	w.must(err)
	if len(changes) != 1 || changes[0] != "~ limits.longest_talk: 60m -> 90m" {
		t.Errorf("changes %q", changes)
	}
	second, err := ada.SavePlan(ctx, "save-no-3", longer, "")
	w.must(err)
	_, err = ada.RollBackPlan(ctx, "roll-back-1")
	w.problem("nothing before", err, 409, "no_plan_before")
	tomorrow := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	planned, err := ada.ActivatePlan(ctx, "activate-2", second.Version, tomorrow)
	w.must(err)
	list, err := ada.Plans(ctx)
	w.must(err)
	if !planned.From.Equal(tomorrow) || !list[0].StartsAt.Equal(tomorrow) || list[0].Active || !list[1].Active || list[0].Text != "" {
		t.Errorf("planned %+v, listed %+v", planned, list)
	}
	w.must(ada.WithdrawPlan(ctx, second.Version))
	if seen, err := ada.Plan(ctx, second.Version); err != nil || !seen.StartsAt.IsZero() || seen.Text != longer {
		t.Errorf("withdrawn: %+v, %v", seen, err)
	}
	_, err = ada.ActivatePlan(ctx, "activate-3", second.Version, time.Now().Add(-time.Hour))
	w.problem("in the past", err, 422, "not_valid")
	_, err = ada.ActivatePlan(ctx, "activate-4", 99, time.Time{})
	w.problem("none", err, 404, "not_found")
	// The town's own version 1 is none that could be read.
	_, err = ada.ActivatePlan(ctx, "activate-5", w.plan.Version, time.Time{})
	w.problem("unreadable", err, 422, "plan_faults")
	_, err = ada.ActivatePlan(ctx, "activate-6", second.Version, time.Time{})
	w.must(err)
	for range 2 {
		if back, err := ada.RollBackPlan(ctx, "roll-back-2"); err != nil || back.Version != saved.Version {
			t.Errorf("rolled back to %+v, %v", back, err)
		}
	}
	w.host.Explain = func(_ context.Context, plan dialplan.Plan, did, ani string) (ivr.Explanation, error) {
		return ivr.Explanation{Steps: []string{did + " from " + ivr.Mask(ani)}, Terms: plan.Terms("", dialplan.Wish{}), Held: 50_00, Longest: time.Minute,
			Outcome: ivr.Outcome{Disposition: ivr.Completed}, Rings: true}, nil
	}
	e, err := ada.ExplainPlan(ctx, second.Version, "+4915112345601", "+493055500101")
	w.must(err)
	if !e.Rings || e.Steps[0] != "+493055500101 from +49*********01" || e.Seconds != 60 || e.Price == nil || e.Price.PerMinute != 199 {
		t.Errorf("explained %+v", e)
	}
}

// Calls of the ledger, with what the program knows that runs them; numbers are masked.
func TestLiveCallsAreToldAsTheyAre(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	ada := w.administrator("Ada")
	id, _ := w.newClient(1000_00)
	talks, elsewhere := w.opening(id), w.opening(id)
	over := w.opening(id)
	w.talked(over, time.Minute)
	now := time.Now()
	run := &calling{calls: []ivr.LiveCall{
		{ID: talks.Call, Kind: ivr.ClientCall, StartedAt: talks.StartedAt, Client: id, Advisor: w.advisor, Plan: w.plan.Version, Step: ivr.Talking,
			ClientUp: true, AdvisorUp: true, Held: 25_00, Talked: time.Minute, TalkingSince: now.Add(-time.Minute), Deadline: now.Add(10 * time.Minute)},
		{ID: over.Call, Kind: ivr.ClientCall, StartedAt: over.StartedAt, Client: id, Advisor: w.advisor, Step: ivr.Ending}, // its last words
		{ID: ivr.CallID(ivr.NewID("call")), Kind: ivr.ClientCall, StartedAt: now, Step: ivr.Identifying, ClientUp: true},
	}}
	w.host.Running = run
	live, err := ada.Calls(ctx, url.Values{"state": {"live"}})
	w.must(err)
	if len(live) != 3 || live[0].Live.Step != "identifying" || live[0].Client.ID != "" || live[0].Live.Legs[0].Party != "client" ||
		live[1].ID != string(elsewhere.Call) || live[1].Live != nil || live[1].Client.Name != "Heron" {
		t.Fatalf("live: %+v", live)
	}
	c := live[2]
	if c.ID != string(talks.Call) || c.State != "live" || c.Advisor.Name != "Anna" || c.Held != 25_00 || c.Plan != w.plan.Version || c.From != "+49********01" ||
		c.Seconds < 119 || c.Seconds > 180 || c.Live.Step != "talking" || c.Live.Left < 540 || c.Live.Left > 600 || len(c.Live.Legs) != 2 {
		t.Errorf("the talk is %+v, %+v", c, c.Live)
	}
	all, err := ada.Calls(ctx, nil)
	w.must(err)
	if len(all) != 3 || all[0].ID != string(over.Call) || all[0].State != "ended" || all[0].Live != nil || all[0].Outcome != "completed" || all[2].Live == nil {
		t.Errorf("all: %+v", all)
	}
	for query, want := range map[string]int{"client=" + string(id): 3, "client=cli_no": 0, "advisor=" + string(w.advisor) + "&disposition=completed": 1,
		"limit=1": 1, "before=" + string(over.Call): 2, "to=2020-01-01T00:00:00Z": 0, "from=2020-01-01T00:00:00Z&state=live": 3,
		"phone=%2B491601200002": 3, "phone=%2B491601200099": 0, "phone=%2B491601200002&client=cli_no": 0, "state=live&client=" + string(id): 2} {
		values, err := url.ParseQuery(query)
		w.must(err)
		if found, err := ada.Calls(ctx, values); err != nil || len(found) != want {
			t.Errorf("%s finds %d, %v; want %d", query, len(found), err, want)
		}
	}
	e, err := ada.Call(ctx, string(over.Call))
	w.must(err)
	if e.Charge != rate || len(e.Transfers) != 2 || len(e.Holds) != 1 || e.Holds[0].Captured != rate || e.Rate != "standard" || e.Percent != 60 ||
		e.Cause != 16 || !strings.Contains(e.Receipt, "1 min") || e.Client.Name != "Heron" {
		t.Errorf("explained: %+v", e)
	}
	_, err = ada.Call(ctx, "call_no")
	w.problem("none", err, 404, "not_found")
}

// A call ends by an administrator's word once that is on record.
func TestEndingACall(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	ada := w.administrator("Ada")
	id, _ := w.newClient(1000_00)
	talks, elsewhere := w.opening(id), w.opening(id)
	run := &calling{calls: []ivr.LiveCall{{ID: talks.Call, Client: id, Advisor: w.advisor}}}
	run.sees = func() {
		if log, err := w.store.Log(ctx, string(talks.Call), 1); err != nil || len(log) != 1 || log[0].Who != "Ada" || log[0].Detail["reason"] != "they asked" {
			t.Errorf("it ends and the log says %+v, %v", log, err)
		}
	}
	w.host.Running = run
	w.must(ada.EndCall(ctx, "end-no-1", string(talks.Call), "they asked"))
	w.must(ada.EndCall(ctx, "end-no-1", string(talks.Call), "they asked")) // the answer was lost
	if len(run.ended) != 1 || run.ended[0] != "Ada: they asked" {
		t.Errorf("ended for %q", run.ended)
	}
	w.talked(talks, time.Minute)
	w.problem("over", ada.EndCall(ctx, "end-no-2", string(talks.Call), "they asked"), 409, "call_over")
	w.must(ada.EndCall(ctx, "end-no-3", string(elsewhere.Call), "they asked")) // whoever runs it finds it written
	if ends, err := w.store.AskedEnds(ctx); err != nil || len(ends) != 1 || ends[0].Call != elsewhere.Call {
		t.Errorf("to be ended elsewhere: %+v, %v", ends, err)
	}
	w.problem("none", ada.EndCall(ctx, "end-no-4", "call_no", "they asked"), 404, "not_found")
	w.problem("no reason", ada.EndCall(ctx, "end-no-5", string(elsewhere.Call), ""), 422, "not_valid")
}

func TestAdjustmentsOverTheAPI(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	w.plan.Limits.SecondPerson = 3_00
	ada, ada2, grace := w.administrator("Ada"), w.administrator("ada"), w.administrator("Grace")
	id, session := w.newClient(1000_00)
	o := w.opening(id)
	w.talked(o, 5*time.Minute) // 10.00, 6.00 of it the advisor's
	call := string(o.Call)

	refund, err := ada.Adjust(ctx, "refund-1", client.AdjustmentRequest{Kind: "refund", Call: call, Amount: 2_00, Reason: "The line was bad."})
	w.must(err)
	again, err := ada.Adjust(ctx, "refund-1", client.AdjustmentRequest{Kind: "refund", Call: call, Amount: 2_00, Reason: "The line was bad."})
	w.must(err)
	if refund != again || refund.State != "made" || refund.From != "platform/EUR" || refund.To != "client/"+string(id) || refund.AskedBy != "Ada" {
		t.Errorf("refunded %+v, then %+v", refund, again)
	}
	if receipt, err := session.Receipt(ctx, call); err != nil || receipt.Charge != 10_00 || receipt.Refunded != 2_00 {
		t.Errorf("the client's receipt is %+v, %v", receipt, err)
	}
	_, err = ada.Adjust(ctx, "refund-2", client.AdjustmentRequest{Kind: "refund", Call: call, Amount: 8_01, Reason: "The line was bad."})
	if p := w.problem("too much", err, 409, "refund_too_much"); p.Available != 8_00 {
		t.Errorf("told %+v", p)
	}
	large, err := ada.Adjust(ctx, "refund-3", client.AdjustmentRequest{Kind: "refund", Call: call, Amount: 5_00, From: "advisor", Reason: "It was no advice."})
	w.must(err)
	if large.State != "asked" || large.Until.IsZero() || large.Advisor != string(w.advisor) {
		t.Errorf("asked %+v", large)
	}
	waiting, err := grace.Adjustments(ctx, url.Values{"state": {"asked"}})
	w.must(err)
	if status, err := grace.Status(ctx); err != nil || len(waiting) != 1 || waiting[0] != large || status.Waiting != 1 {
		t.Errorf("waiting: %+v, %v", waiting, err)
	}
	for _, own := range []client.Client{ada, ada2} {
		_, err := own.ApproveAdjustment(ctx, "approve-1", large.ID)
		w.problem("one's own", err, 409, "second_person")
	}
	made, err := grace.ApproveAdjustment(ctx, "approve-2", large.ID)
	w.must(err)
	if made.State != "made" || made.DecidedBy != "Grace" {
		t.Errorf("approved %+v", made)
	}
	_, err = grace.RefuseAdjustment(ctx, "refuse-1", large.ID)
	w.problem("made already", err, 409, "adjustment_over")
	payout, err := ada.Adjust(ctx, "payout-1", client.AdjustmentRequest{Kind: "payout", Advisor: string(w.advisor), Amount: 1_00, Reason: "weekly"})
	w.must(err)
	_, err = ada.Adjust(ctx, "payout-2", client.AdjustmentRequest{Kind: "payout", Advisor: string(w.advisor), Amount: 1, Reason: "weekly"})
	if p := w.problem("no more was earned", err, 409, "too_little"); p.Available != 0 {
		t.Errorf("told %+v", p)
	}
	taken, err := ada.Adjust(ctx, "take-it-1", client.AdjustmentRequest{Kind: "adjustment", Client: string(id), Amount: -4_00, Reason: "credited twice"})
	w.must(err)
	if taken.State != "asked" || taken.Amount != 4_00 || taken.From != "client/"+string(id) || taken.To != "adjustments/EUR" || payout.To != "outside/EUR" {
		t.Errorf("taken %+v, paid out %+v", taken, payout)
	}
	if refused, err := grace.RefuseAdjustment(ctx, "refuse-2", taken.ID); err != nil || refused.State != "refused" {
		t.Errorf("refused %+v, %v", refused, err)
	}
	for what, r := range map[string]client.AdjustmentRequest{
		"nothing":    {Kind: "adjustment", Client: string(id), Reason: "why not"},
		"of nobody":  {Kind: "payout", Amount: 1, Reason: "why not"},
		"no reason":  {Kind: "payout", Client: string(id), Amount: 1},
		"other kind": {Kind: "gift", Client: string(id), Amount: 1, Reason: "why not"},
	} {
		_, err := ada.Adjust(ctx, "bad-key-"+what[:2], r)
		w.problem(what, err, 422, "not_valid")
	}
	e, err := ada.Call(ctx, call)
	w.must(err)
	acts := ""
	for _, a := range e.Acts {
		acts += a.What + " by " + a.Who + ", "
	}
	if e.Refunded != 7_00 || len(e.Transfers) != 4 || acts != "adjustment made by Grace, adjustment asked by Ada, adjustment made by Ada, " {
		t.Errorf("explained: %s %+v", acts, e)
	}
	if a, err := ada.Adjustment(ctx, large.ID); err != nil || a != made {
		t.Errorf("seen as %+v, %v", a, err)
	}
	audit, err := ada.AuditLedger(ctx, "audit-no-1")
	w.must(err)
	kept, err := ada.LedgerAudits(ctx)
	if err != nil || audit.Count != 0 || len(kept) != 1 || kept[0].ID != audit.ID || kept[0].LogHash != audit.LogHash || kept[0].By != "Ada" {
		t.Errorf("audited %+v; kept %+v, %v", audit, kept, err)
	}
	page, err := ada.AuditLog(ctx, url.Values{"who": {"Grace"}, "limit": {"1"}})
	w.must(err)
	older, err := ada.AuditLog(ctx, url.Values{"subject": {large.ID}, "before": {"999999"}})
	if err != nil || len(page) != 1 || page[0].What != "adjustment refused" || len(older) != 2 {
		t.Errorf("the log says %+v, %+v, %v", page, older, err)
	}
	// An old token says not who holds it: it might be anyone's.
	old := store.Token{Role: store.RoleAdmin}
	if _, err := person(context.WithValue(ctx, tokenKey{}, old)); err == nil {
		t.Error("nobody is a person")
	}
}

func TestTheDesk(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	ada := w.administrator("Ada")
	n := client.NewClient{Alias: "Blue Heron", Phone: "+4915112345601", Currency: "EUR"}
	added, err := w.site.AddClient(ctx, "add-no-1", n)
	w.must(err)
	again, err := w.site.AddClient(ctx, "add-no-1", n)
	w.must(err)
	if added != again || added.Phone == n.Phone || added.Available != 0 {
		t.Errorf("added %+v, then %+v", added, again)
	}
	_, err = ada.AddClient(ctx, "add-no-2", n)
	w.problem("the same number", err, 409, "phone_taken")
	n.Phone = "+14155550" // too short for its country
	_, err = ada.AddClient(ctx, "add-no-3", n)
	w.problem("no such number", err, 422, "not_valid")
	for query, want := range map[string]int{"alias=blue": 1, "phone=%2B4915112345601": 1, "alias=red": 0, "phone=%2B4915112345602": 0} {
		values, err := url.ParseQuery(query)
		w.must(err)
		if found, err := ada.Accounts(ctx, values); err != nil || len(found) != want || want == 1 && found[0] != added {
			t.Errorf("%s finds %+v, %v", query, found, err)
		}
	}

	w.plan.Limits.Quarantine = time.Hour
	_, session := w.newClient(50_00)
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	states := func() (out string) {
		t.Helper()
		numbers, err := ada.Numbers(ctx)
		w.must(err)
		for _, n := range numbers {
			out += n.State + " "
		}
		return out
	}
	before := states()
	w.must(ada.TakeBackLoan(ctx, talk.ID))
	if after := states(); before != "lent free free " || after != "quarantine free free " {
		t.Errorf("the numbers were %s, then %s", before, after)
	}
	w.problem("no loan", ada.TakeBackLoan(ctx, "loan_no"), 404, "not_found")
	if seen, err := session.Talk(ctx, talk.ID); err != nil || seen.State != "over" {
		t.Errorf("the talk is %+v, %v", seen, err)
	}

	w.host.Running = &calling{calls: []ivr.LiveCall{{ID: "call_1"}}}
	w.host.Asterisk = func() bool { return true }
	s, err := ada.Status(ctx)
	w.must(err)
	if !s.Ready.OK || !s.Postgres.OK || s.Redis.OK || s.Redis.Why == "" || !s.Asterisk.OK || s.LiveCalls != 1 || s.Program == "" || s.API == "" || s.LastAudit != nil {
		t.Errorf("the status is %+v", s)
	}
}

// A client ends their own call from the page, and nobody else's.
func TestAClientHangsUpOnThePage(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	id, session := w.newClient(50_00)
	_, stranger := w.newClient(50_00)
	o := w.opening(id)
	w.must(session.HangUp(ctx, string(o.Call))) // another copy runs it
	var asked int
	db, err := sql.Open("postgres", w.owner)
	w.must(err)
	defer db.Close()
	w.must(db.QueryRowContext(ctx, `SELECT count(*) FROM events WHERE type = 'call.end_asked' AND client = $1`, string(id)).Scan(&asked))
	if asked != 1 {
		t.Errorf("the copy that runs it was asked %d times", asked)
	}
	c := &calling{}
	w.host.Running = c
	w.problem("another's", stranger.HangUp(ctx, string(o.Call)), 404, "not_found")
	w.must(session.HangUp(ctx, string(o.Call)))
	if len(c.gone) != 1 || c.gone[0] != o.Call {
		t.Errorf("hung up %v", c.gone)
	}
}
