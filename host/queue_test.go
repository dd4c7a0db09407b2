package host

import (
	"fmt"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/store"
)

// newQueue is a town in which two may wait, for an advisor whom a rival has reserved.
func newQueue(t *testing.T) (w *town, rival client.Client, talk client.Talk) {
	w = newTown(t)
	w.plan.Limits.Queue, w.plan.Limits.Turn = 2, 2*time.Minute
	w.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile}}
	_, rival = w.newClient(10_00)
	talk, err := w.tap(rival, "rivals-tap")
	w.must(err)
	return w, rival, talk
}

func (w *town) join(by client.Client, mode string) (client.Wait, error) {
	w.Helper()
	return by.JoinQueue(w.Context(), ivr.NewID("key"), client.QueueRequest{Advisor: string(w.advisor), Mode: mode, Topic: "a cat"})
}

// wait is a wait as its client sees it.
func (w *town) wait(by client.Client, id, state string, place int) client.Wait {
	w.Helper()
	seen, err := by.Wait(w.Context(), id)
	w.must(err)
	if seen.State != state || seen.Place != place {
		w.Errorf("the wait is %+v, want %s in place %d", seen, state, place)
	}
	return seen
}

func kindsOf(choices []client.Choice) string {
	var kinds []string
	for _, c := range choices {
		kinds = append(kinds, c.Kind)
	}
	return fmt.Sprint(kinds)
}

// Busy: the refusal lists what can be done; the client waits, sees their place, and has a
// number when it is their turn.
func TestBusyQueueTurn(t *testing.T) {
	w, rival, rivals := newQueue(t)
	ctx := t.Context()
	_, session := w.newClient(10_00)
	id, second := w.newClient(50_00)

	_, err := w.tap(session, "tap-no-1")
	p := w.problem("reserved", err, 409, "advisor_busy")
	// The rival may dial in the last moment, be accepted in the last, and talk for five minutes.
	worst := int64(10*60 + 15 + 30 + 15 + 5*60)
	if kindsOf(p.Choices) != "[ask_again queue call_back appointment]" || p.Choices[1].Place != 1 || p.RetryAfter > 600 ||
		p.Choices[1].After > worst || p.Choices[1].After < worst-20 || p.Choices[3].After != 0 {
		t.Errorf("told %+v", p)
	}
	if shown, err := session.Advisor(t.Context(), string(w.advisor)); err != nil || shown.AtMost == nil || *shown.AtMost < worst-20 || *shown.AtMost > worst {
		t.Errorf("shown: %+v: %v", shown, err)
	}
	first, err := w.join(session, "page")
	w.must(err)
	if first.State != "waiting" || first.Place != 1 || first.Advisor.Name != "Anna" || first.Topic != "a cat" || first.Away || first.Talk != "" || first.Until != nil ||
		first.AtMost == nil || *first.AtMost < worst-20 || *first.AtMost > worst {
		t.Errorf("joined: %+v", first)
	}
	called, err := w.join(second, "call_back")
	w.must(err)
	if *called.AtMost <= *first.AtMost+7*60 || called.Place != 2 || called.Mode != "call_back" {
		t.Errorf("the second: %+v", called)
	}
	_, third := w.newClient(10_00)
	_, err = w.tap(third, "tap-no-1")
	if p := w.problem("the queue is full", err, 409, "advisor_busy"); kindsOf(p.Choices) != "[ask_again appointment]" || p.RetryAfter <= *called.AtMost {
		t.Errorf("told %+v", p)
	}
	_, err = w.join(third, "page")
	if p := w.problem("the queue is full", err, 409, "queue_full"); kindsOf(p.Choices) != "[appointment]" {
		t.Errorf("told %+v", p)
	}

	w.must(rival.CancelTalk(ctx, rivals.ID))
	_, err = w.tap(third, "tap-no-1")
	w.problem("before those who wait", err, 409, "advisor_busy")
	w.must(w.store.GiveTurns(ctx, w.plan))
	turn := w.wait(session, first.ID, "turn", 0)
	if turn.Until == nil || time.Until(*turn.Until) > 2*time.Minute || turn.AtMost != nil {
		t.Errorf("in turn: %+v", turn)
	}
	talk, err := session.Talk(ctx, turn.Talk)
	w.must(err)
	if talk.Number == "" || talk.PIN == "" || !talk.Until.Equal(*turn.Until) {
		t.Errorf("the talk is %+v", talk)
	}
	w.must(session.LeaveQueue(ctx, first.ID))
	w.must(session.LeaveQueue(ctx, first.ID))
	w.wait(session, first.ID, "left", 0)

	w.must(w.store.GiveTurns(ctx, w.plan))
	turn = w.wait(second, called.ID, "turn", 0)
	if talk, err := second.Talk(ctx, turn.Talk); err != nil || talk.Number != "" || talk.Tel != "" || talk.PIN != "" {
		t.Errorf("the call-back's talk: %+v, %v", talk, err)
	}
	_, err = w.tap(second, "tap-no-1")
	if p := w.problem("about to be called", err, 409, "to_be_called"); p.Talk != turn.Talk {
		t.Errorf("told %+v", p)
	}
	if waits, err := second.Waits(ctx, string(id)); err != nil || len(waits) != 1 || waits[0].ID != called.ID {
		t.Errorf("waits for %+v, %v", waits, err)
	}
	w.must(second.CancelTalk(ctx, turn.Talk))
	w.wait(second, called.ID, "left", 0)
	_, err = w.join(third, "page")
	w.problem("nobody to wait for", err, 409, "advisor_free")
}

// A wait is its client's, a queue its advisor's; an administrator sees both, and nobody a
// number.
func TestWhoSeesTheQueue(t *testing.T) {
	w, _, _ := newQueue(t)
	ctx := t.Context()
	id, session := w.newClient(10_00)
	_, other := w.newClient(10_00)
	admin, _ := w.token(store.RoleAdmin, "")
	app := func(advisor ivr.AdvisorID) client.Client {
		_, secret, err := w.store.CreateToken(ctx, "test", store.Token{Role: store.RoleAdvisor, Advisor: advisor}, time.Hour)
		w.must(err)
		return client.Client{URL: w.url, Token: secret}
	}
	wait, err := w.join(session, "call_back")
	w.must(err)
	_, err = other.Wait(ctx, wait.ID)
	w.problem("another's wait", err, 404, "not_found")
	w.problem("another's to end", other.LeaveQueue(ctx, wait.ID), 404, "not_found")
	_, err = other.Waits(ctx, string(id))
	w.problem("another's waits", err, 404, "not_found")
	_, err = app(w.newAdvisor()).Queue(ctx, string(w.advisor))
	w.problem("another's queue", err, 404, "not_found")
	for _, by := range []client.Client{app(w.advisor), admin} {
		queue, err := by.Queue(ctx, string(w.advisor))
		w.must(err)
		want := client.InLine{ID: wait.ID, State: "waiting", Alias: "Heron", Mode: "call_back", Topic: "a cat", Since: wait.JoinedAt, Place: 1}
		if len(queue) != 1 || queue[0] != want {
			t.Errorf("the queue is %+v, want %+v", queue, want)
		}
	}
	w.wait(admin, wait.ID, "waiting", 1)
	w.must(w.store.SetPresence(ctx, w.advisor, false))
	if seen := w.wait(session, wait.ID, "waiting", 1); !seen.Away || seen.AtMost != nil {
		t.Errorf("the advisor is away: %+v", seen)
	}
}

// Each refusal has its own code and says what to do.
func TestQueueRefusals(t *testing.T) {
	w, rival, rivals := newQueue(t)
	ctx := t.Context()
	poorID, poor := w.newClient(9_99)
	_, session := w.newClient(10_00)
	_, err := w.join(poor, "page")
	if p := w.problem("short", err, 402, "no_funds"); p.Missing != 1 || p.TopUp == "" {
		t.Errorf("told %+v", p)
	}
	_, err = w.join(session, "someday")
	w.problem("another mode", err, 422, "not_valid")
	_, err = session.JoinQueue(ctx, "for-another", client.QueueRequest{Client: string(poorID), Advisor: string(w.advisor), Mode: "page"})
	w.problem("for another client", err, 403, "not_allowed")
	w.plan.Destinations = dialplan.Destinations{"AT": {dialplan.Mobile}}
	_, err = w.join(session, "call_back")
	if p := w.problem("a number that may not be called", err, 422, "not_callable"); p.Detail == "" {
		t.Errorf("told %+v", p)
	}
	_, err = w.tap(session, "tap-no-1")
	if p := w.problem("busy", err, 409, "advisor_busy"); kindsOf(p.Choices) != "[ask_again queue appointment]" {
		t.Errorf("told %+v", p)
	}
	w.must(w.store.SetPresence(ctx, w.advisor, false))
	_, err = w.join(session, "page")
	if p := w.problem("away", err, 409, "advisor_away"); kindsOf(p.Choices) != "[appointment]" {
		t.Errorf("told %+v", p)
	}
	w.must(w.store.SetPresence(ctx, w.advisor, true))
	w.must(rival.CancelTalk(ctx, rivals.ID))
	_, err = w.join(session, "page")
	w.problem("free", err, 409, "advisor_free")
	_, err = session.Wait(ctx, "wait_no")
	w.problem("no such wait", err, 404, "not_found")
}
