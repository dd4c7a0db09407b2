package store

import (
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"
)

// What was asked 31 days ago is forgotten, and what happened 91 days ago, with its
// deliveries; all else stays, and nobody can delete it.
func TestOldAnswersAndEventsAreForgotten(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	webhook := h.webhook("advisor.presence")
	client := h.client(100_00)
	talk, err := h.ask("asked-long-ago", client, h.advisor)
	h.must(err)
	h.must(h.CancelTalk(ctx, talk.Loan, client))
	_, err = h.ask("asked-lately", client, h.advisor)
	h.must(err)
	for range 3 {
		h.happen("advisor.presence")
	}
	h.claim(3)
	var before struct{ Answers, Events, Transfers, Calls int }
	count := `SELECT (SELECT count(*) FROM answers) AS answers, (SELECT count(*) FROM events) AS events,
		(SELECT count(*) FROM transfers) AS transfers, (SELECT count(*) FROM calls) AS calls`
	h.must(h.db.Get(&before, count))
	if n, err := h.ForgetOld(ctx); err != nil || n != 0 {
		t.Fatalf("of what is young %d are forgotten: %v", n, err)
	}
	// Time passes for one answer and for the first two events that were delivered.
	h.ages("answers", `key = 'asked-long-ago'`, 31)
	h.ages("events", `(xid, id) < (SELECT xid, event FROM deliveries ORDER BY xid DESC, event DESC LIMIT 1)`, 91)
	var old int
	h.must(h.db.Get(&old, `SELECT count(*) FROM events WHERE at < now() - interval '90 days'`))
	if n, err := h.ForgetOld(ctx); err != nil || n != old+1 {
		t.Errorf("%d are forgotten, want %d: %v", n, old+1, err)
	}
	after := before
	h.must(h.db.Get(&after, count))
	before.Answers, before.Events = before.Answers-1, before.Events-old
	if after != before {
		t.Errorf("there are %+v, want %+v", after, before)
	}
	if left, err := h.Deliveries(ctx, webhook.ID, Cursor{}, 100); err != nil || len(left) != 1 {
		t.Errorf("deliveries %+v, %v", left, err)
	}
	// Who reads on from the last event that is forgotten misses nothing.
	last, err := h.EventsForgotten(ctx)
	h.must(err)
	if left, err := h.Events(ctx, "", "", last, 100); err != nil || len(left) != after.Events || last == (Cursor{}) {
		t.Errorf("after %v come %d events, want %d: %v", last, len(left), after.Events, err)
	}
	// The key is free again, and a new request has a new answer.
	again, err := h.ask("asked-long-ago", client, h.advisor)
	if err != nil || again.Loan == talk.Loan {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	h.clean()
}

// That a number asked for a code is forgotten after 30 days.
func TestOldSignInsAreForgotten(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	var of []string
	for range 2 {
		in, err := h.CreateSignIn(ctx, "+4930555999")
		h.must(err)
		of = append(of, in.ID)
	}
	db := h.superuser()
	defer db.Close()
	_, err := db.Exec(`UPDATE sign_ins SET made_at = now() - interval '31 days' WHERE id = $1`, of[0])
	h.must(err)
	if n, err := h.ForgetOld(ctx); err != nil || n != 1 {
		t.Errorf("%d are forgotten, want 1: %v", n, err)
	}
	var left []string
	h.must(h.db.Select(&left, `SELECT id FROM sign_ins`))
	if len(left) != 1 || left[0] != of[1] {
		t.Errorf("there are %q, want %q", left, of[1:])
	}
}

// Young answers and events cannot be deleted or changed by anybody, old ones by the program
// only by what forgets them.
func TestNobodyForgetsWhatIsYoung(t *testing.T) {
	h := newHosted(t)
	_, err := h.ask("a-key-of-today", h.client(100_00), h.advisor)
	h.must(err)
	owner, err := sqlx.Connect("postgres", h.ownerDSN)
	h.must(err)
	t.Cleanup(func() { owner.Close() })
	for _, statement := range []string{"DELETE FROM answers", "DELETE FROM events", "UPDATE answers SET at = at - interval '1 year'", "UPDATE events SET at = at - interval '1 year'"} {
		if _, err := h.db.Exec(statement); sqlState(err) != "42501" {
			t.Errorf("the program: %s: %v", statement, err)
		}
		if _, err := owner.Exec(statement); sqlState(err) != "23001" {
			t.Errorf("the owner: %s: %v", statement, err)
		}
	}
}

// ages makes rows of a table as old as nobody can: triggers refuse it to everybody else.
func (w *town) ages(table, where string, days int) {
	w.t.Helper()
	db := w.superuser()
	defer db.Close()
	_, err := db.Exec(fmt.Sprintf("SET session_replication_role = replica; UPDATE %s SET at = now() - interval '%d days' WHERE %s", table, days, where))
	w.must(err)
}
