package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/ivr"
)

func TestAuditsAreKept(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	first, err := d.KeepAudit(ctx, "root")
	d.must(err)
	d.superuser().MustExec(`UPDATE accounts SET posted = posted + 1 WHERE id = 'client/' || $1`, d.client)
	request := d.request()
	second, err := d.RequestAudit(ctx, request, "Ada")
	d.must(err)
	if again, err := d.RequestAudit(ctx, request, "Ada"); err != nil || again.ID != second.ID {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	kept, err := d.Audits(ctx, 10, 1)
	d.must(err)
	if len(kept) != 2 || kept[0].ID != second.ID || kept[0].By != "Ada" || kept[0].Count < 1 || len(kept[0].Faults) != 1 ||
		kept[1].ID != first.ID || kept[1].Count != 0 || kept[1].LogHash != first.LogHash || kept[1].Calls != 1 {
		t.Errorf("kept %+v", kept)
	}
}

// Of all copies of the program one audits a night, and one audit runs at a time.
func TestOneAuditANight(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	copies := []*Store{w.Store, w.open(w.dsn), w.open(w.dsn)}
	var all sync.WaitGroup
	var audits atomic.Int64
	for range 2 {
		for _, s := range copies {
			all.Go(func() {
				_, done, err := s.AuditNightly(ctx, "parley")
				if err != nil {
					t.Error(err)
				}
				if done {
					audits.Add(1)
				}
			})
		}
		all.Wait()
	}
	if kept, err := w.Audits(ctx, 10, 10); err != nil || len(kept) != 1 || audits.Load() != 1 || kept[0].By != "parley" {
		t.Errorf("%d audited, kept %+v, %v", audits.Load(), kept, err)
	}

	db := w.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`)
	db.MustExec(`UPDATE ledger_audits SET night = night - 1`) // a day passes
	tx := db.MustBegin()
	tx.MustExec(`SELECT pg_advisory_xact_lock($1)`, auditLock)
	if _, done, err := w.AuditNightly(ctx, "parley"); err != nil || done {
		t.Errorf("while another runs: %v, %v", done, err)
	}
	if _, err := w.RequestAudit(ctx, Request{Token: "tok_1", Key: "key", Content: "x"}, "Ada"); !errors.Is(err, ErrAuditRuns) {
		t.Errorf("while another runs: %v", err)
	}
	w.must(tx.Rollback())
	if _, done, err := w.AuditNightly(ctx, "parley"); err != nil || !done {
		t.Errorf("the night after: %v, %v", done, err)
	}
	bounded, cancel := context.WithTimeout(ctx, time.Nanosecond)
	defer cancel()
	if _, err := w.KeepAudit(bounded, "Ada"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of time: %v", err)
	}
}

func TestClientsAreFoundByAliasAndNumber(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	var added []Client
	for _, c := range []Client{
		{Alias: "Blue Heron", Phone: "+491701234501", Currency: "EUR"}, {Alias: "blue_crane", Phone: "+491701234502", Currency: "EUR"},
		{Alias: "Red Blue", Phone: "+491701234503", Currency: "EUR"},
	} {
		c, err := d.RequestClient(ctx, d.request(), "Ada", c)
		d.must(err)
		added = append(added, c)
	}
	for _, c := range []struct {
		f    ClientFilter
		want []Client
	}{
		{ClientFilter{Alias: "BLUE"}, []Client{added[1], added[0]}},
		{ClientFilter{Alias: "blue_"}, []Client{added[1]}}, // not any letter
		{ClientFilter{Alias: "%"}, nil},
		{ClientFilter{Alias: "blue", Before: added[1].ID}, []Client{added[0]}},
		{ClientFilter{Phone: "+491701234503"}, []Client{added[2]}},
		{ClientFilter{Phone: "+4917012345"}, nil},
		{ClientFilter{Alias: "red", Phone: "+491701234501"}, nil},
	} {
		found, err := d.SearchClients(ctx, c.f, 10)
		d.must(err)
		same := len(found) == len(c.want)
		for i := range found {
			same = same && found[i] == c.want[i]
		}
		if !same {
			t.Errorf("%+v finds %+v", c.f, found)
		}
	}
	request := d.request()
	c := Client{Alias: "Owl", Phone: "+491701234509", Currency: "EUR"}
	first, err := d.RequestClient(ctx, request, "Ada", c)
	d.must(err)
	if again, err := d.RequestClient(ctx, request, "Ada", c); err != nil || !again.MadeAt.Equal(first.MadeAt) || again.ID != first.ID {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	if _, err := d.RequestClient(ctx, d.request(), "Ada", c); !errors.Is(err, ErrTaken) {
		t.Errorf("the same number: %v", err)
	}
	acts, err := d.Acts(ctx, ActFilter{Who: "Ada"}, 2)
	d.must(err)
	older, err := d.Acts(ctx, ActFilter{Who: "Ada", Before: acts[1].ID}, 10)
	d.must(err)
	if acts[0].Subject != string(first.ID) || acts[0].What != "client added" || len(older) != 2 || older[1].Subject != string(added[0].ID) {
		t.Errorf("the log says %+v, then %+v", acts, older)
	}
	none, err := d.Acts(ctx, ActFilter{Who: "Ada", Subjects: []string{"nothing"}}, 10)
	if d.must(err); len(none) != 0 {
		t.Errorf("of nothing: %+v", none)
	}
}

func TestNumbersAreFreeLentOrKeptBack(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, advisor := w.client(0), w.advisor()
	line := w.line(advisor, "+493012345678")
	loan, _, err := w.CreateLoan(ctx, LoanRequest{Client: client, Advisor: advisor, Line: line, DID: "+492", For: time.Hour, Quarantine: 24 * time.Hour})
	w.must(err)
	state := func() NumberState {
		t.Helper()
		states, err := w.NumberStates(ctx, []string{"+491", "+492"})
		w.must(err)
		if len(states) != 2 || states[0].DID != "+491" || states[0].Loan != "" || states[0].Lent {
			t.Fatalf("the numbers are %+v", states)
		}
		return states[1]
	}
	if s := state(); !s.Lent || s.Loan != loan.ID || s.Client != client || !s.Until.Equal(loan.Until) {
		t.Errorf("lent: %+v", s)
	}
	for range 2 {
		w.must(w.TakeBackLoan(ctx, "Ada", loan.ID))
	}
	if s := state(); s.Lent || s.Loan != loan.ID || time.Until(s.KeptUntil) < 23*time.Hour {
		t.Errorf("taken back: %+v", s)
	}
	if err := w.TakeBackLoan(ctx, "Ada", "loan_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	if log, err := w.Log(ctx, string(loan.ID), 10); err != nil || len(log) != 1 || log[0].Who != "Ada" {
		t.Errorf("the log says %+v, %v", log, err)
	}
	w.superuser().MustExec(`UPDATE loans SET made_at = now() - interval '3 days', until = now() - interval '2 days', kept_until = now() - interval '1 day'`)
	if s := state(); s.Lent || s.Loan != "" {
		t.Errorf("a day later: %+v", s)
	}
}

// That somebody wants a call ended is on record before it ends, and once.
func TestEndingACallIsWrittenDownFirst(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	running := &ivr.LiveCall{ID: "call_1", Client: d.client, Advisor: d.advisor}
	request := d.request()
	at, first, err := d.RequestEnd(ctx, request, "Ada", "they asked", "call_1", running)
	d.must(err)
	again, second, err := d.RequestEnd(ctx, request, "Ada", "they asked", "call_1", nil)
	if err != nil || !again.Equal(at) || !first || second {
		t.Errorf("the same request: %v, %v; first %v, then %v", again, err, first, second)
	}
	if log, err := d.Log(ctx, "call_1", 10); err != nil || len(log) != 1 || log[0].Detail["reason"] != "they asked" {
		t.Errorf("the log says %+v, %v", log, err)
	}
	var events int
	d.must(d.get(ctx, &events, `SELECT count(*) FROM events WHERE type = 'call.end_asked' AND client = $1`, d.client))
	if events != 1 {
		t.Errorf("%d events", events)
	}
	open := opening(d.client, d.advisor, d.town.plan())
	_, err = d.Hold(ctx, open)
	d.must(err)
	for id, want := range map[ivr.CallID]error{"call_no": ErrNotFound, d.call: ErrCallOver} {
		if _, _, err := d.RequestEnd(ctx, d.request(), "Ada", "why", id, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	// One that another program runs is written down for it, once.
	for range 2 {
		_, _, err = d.RequestEnd(ctx, d.request(), "Ada", "why", open.Call, nil)
		d.must(err)
	}
	if ends, err := d.AskedEnds(ctx); err != nil || len(ends) != 1 || ends[0] != (AskedEnd{open.Call, "Ada: why"}) {
		t.Errorf("to be ended: %+v, %v", ends, err)
	}
	d.must(d.Close(ctx, ended(open)))
	if ends, err := d.AskedEnds(ctx); err != nil || len(ends) != 0 {
		t.Errorf("still to be ended: %+v, %v", ends, err)
	}
}

func TestCallsAreSearchedByTimeAndOutcome(t *testing.T) {
	d := newBureau(t)
	later := opening(d.client, d.advisor, d.town.plan())
	later.StartedAt = started.Add(time.Hour)
	_, err := d.Hold(t.Context(), later)
	d.must(err)
	for _, c := range []struct {
		f    CallFilter
		want []ivr.CallID
	}{
		{CallFilter{}, []ivr.CallID{later.Call, d.call}},
		{CallFilter{From: started.Add(time.Minute)}, []ivr.CallID{later.Call}},
		{CallFilter{To: started.Add(time.Hour)}, []ivr.CallID{d.call}},
		{CallFilter{From: started, To: started}, nil},
		{CallFilter{Disposition: "completed"}, []ivr.CallID{d.call}},
		{CallFilter{Disposition: "busy"}, nil},
	} {
		calls, err := d.Calls(t.Context(), c.f, 10)
		d.must(err)
		same := len(calls) == len(c.want)
		for i := range calls {
			same = same && calls[i].ID == c.want[i]
		}
		if !same {
			t.Errorf("%+v finds %+v", c.f, calls)
		}
	}
	names, err := d.Names(t.Context(), []ivr.ClientID{d.client, "cli_no"}, []ivr.AdvisorID{d.advisor})
	if d.must(err); len(names) != 2 || names[string(d.advisor)] != "Maria" {
		t.Errorf("they are called %v", names)
	}
}
