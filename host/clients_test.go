package host

import (
	"testing"
	"time"

	"parley/host/client"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// finish ends a talk's call after some time.
func (w *town) finish(talk client.Talk, d time.Duration) ivr.CallID {
	w.Helper()
	call := w.hold(talk)
	record, err := w.store.Call(w.Context(), call)
	w.must(err)
	charge := record.Terms.Rate.Charge(d)
	w.must(w.store.Close(w.Context(), ivr.CDR{Call: call, Kind: ivr.ClientCall, DID: record.DID, ANI: record.ANI, Loan: record.Loan, Client: record.Client,
		Advisor: record.Advisor, Plan: record.Plan, StartedAt: record.StartedAt, Segments: []ivr.Segment{{JoinedAt: time.Now(), Talk: d}},
		Charge: charge, Shares: money.Split(charge, record.Terms.AdvisorPercent), Disposition: "completed", Cause: 16, EndedBy: "client"}))
	return call
}

// A client sees all of their receipts, page by page, and nobody else's.
func TestReceiptsArePagedTheNewestFirst(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	id, session := w.newClient(100_00)
	var calls []string
	for i := range 3 {
		talk, err := w.tap(session, "tap-no-"+string(rune('1'+i)))
		w.must(err)
		calls = append(calls, string(w.finish(talk, time.Duration(i+1)*time.Minute)))
	}
	page, err := session.Receipts(ctx, string(id), "")
	w.must(err)
	if len(page) != 3 || page[0].Call != calls[2] || page[0].Charge != 3*rate || page[0].Advisor.Name != "Anna" || page[0].Held == 0 || page[2].Call != calls[0] {
		t.Errorf("the first page is %+v", page)
	}
	next, err := w.site.Receipts(ctx, string(id), calls[1])
	w.must(err)
	if len(next) != 1 || next[0].Call != calls[0] {
		t.Errorf("the next page is %+v", next)
	}
	_, other := w.newClient(0)
	_, err = other.Receipts(ctx, string(id), "")
	w.problem("another's", err, 404, "not_found")
}

// Clients set their caps; both what holds and what is to come is shown, and what a cap
// refuses says so.
func TestCaps(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	id, session := w.newClient(100_00)
	low, high := int64(9_00), int64(50_00)
	caps, err := session.SetCaps(ctx, string(id), &low, &high)
	w.must(err)
	if *caps.Day.Amount != low || *caps.Week.Amount != high || caps.Day.Next != nil || caps.MaySpend != low || caps.Currency != "EUR" {
		t.Errorf("set %+v", caps)
	}
	_, err = w.tap(session, "tap-no-1")
	if p := w.problem("a tap beyond the cap", err, 402, "cap_reached"); p.Available != low || p.Missing != 0 || p.TopUp != "" || p.Detail == "" {
		t.Errorf("told %+v", p)
	}
	caps, err = session.SetCaps(ctx, string(id), &high, nil)
	w.must(err)
	if *caps.Day.Amount != low || *caps.Day.Next.Amount != high || caps.Week.Next.Amount != nil ||
		time.Until(caps.Day.Next.From) < 23*time.Hour || time.Until(caps.Week.Next.From) > 24*time.Hour {
		t.Errorf("loosened %+v", caps)
	}
	if seen, err := w.site.Caps(ctx, string(id)); err != nil || *seen.Day.Amount != low || *seen.Day.Next.Amount != high {
		t.Errorf("the site sees %+v, %v", seen, err)
	}
	negative := int64(-1)
	_, err = session.SetCaps(ctx, string(id), &negative, nil)
	w.problem("a negative cap", err, 422, "not_valid")
	_, other := w.newClient(0)
	_, err = other.Caps(ctx, string(id))
	w.problem("another's", err, 404, "not_found")
	_, err = other.SetCaps(ctx, string(id), nil, nil)
	w.problem("set another's", err, 404, "not_found")
	_, err = w.site.Caps(ctx, "cli_no")
	w.problem("nobody's", err, 404, "not_found")
}

// Whoever is deleted is not found any more; what stands in the way says what to do.
func TestDeletions(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	w.payBy(nil)
	admin, _ := w.token(store.RoleAdmin, "")
	id, session := w.newClient(10_00)
	_, other := w.newClient(0)
	w.problem("another", other.DeleteClient(ctx, "deletion-1", string(id)), 404, "not_found")
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	call := w.hold(talk)
	w.problem("in a call", session.DeleteClient(ctx, "deletion-1", string(id)), 409, "call_open")
	w.must(w.store.Close(ctx, ivr.CDR{Call: call, Kind: ivr.ClientCall, DID: talk.Number, Loan: ivr.LoanID(talk.ID), Client: id,
		Advisor: w.advisor, Plan: w.plan.Version, StartedAt: time.Now(), Disposition: "abandoned", Cause: 16, EndedBy: "client"}))
	if p := w.problem("with money", session.DeleteClient(ctx, "deletion-1", string(id)), 409, "money_left"); p.Available != 10_00 {
		t.Errorf("told %+v", p)
	}
	talk, err = w.tap(session, "tap-no-2")
	w.must(err)
	paid := w.finish(talk, 5*time.Minute)
	w.must(session.DeleteClient(ctx, "deletion-1", string(id)))
	_, err = session.Account(ctx, string(id))
	w.problem("their token", err, 401, "no_token")
	_, err = w.site.Account(ctx, string(id))
	w.problem("the site asks", err, 404, "not_found")
	w.problem("deleted again", w.site.DeleteClient(ctx, "deletion-2", string(id)), 404, "not_found")
	if r, err := admin.Receipt(ctx, string(paid)); err != nil || r.Charge != 5*rate {
		t.Errorf("the receipt: %+v, %v", r, err)
	}

	w.problem("an advisor with earnings", admin.DeleteAdvisor(ctx, "deletion-1", string(w.advisor)), 409, "money_left")
	newcomer := w.newAdvisor()
	w.problem("by the site", w.site.DeleteAdvisor(ctx, "deletion-1", string(newcomer)), 403, "not_allowed")
	for range 2 {
		w.must(admin.DeleteAdvisor(ctx, "deletion-2", string(newcomer)))
	}
	list, err := w.site.Advisors(ctx, "")
	if w.must(err); len(list) != 1 || list[0].ID != string(w.advisor) {
		t.Errorf("listed %+v", list)
	}
	report, err := w.store.Audit(ctx)
	if w.must(err); len(report.Faults) > 0 {
		t.Errorf("the audit finds %v", report)
	}
}
