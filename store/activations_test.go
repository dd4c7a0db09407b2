package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"parley/ivr"
)

// A plan that is to hold later holds once its time has come by the database's clock, and
// not if it was withdrawn before.
func TestPlansHoldFromTheirTime(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	for _, text := range []string{"a", "b", "c"} {
		_, err := w.SavePlan(ctx, text, "Eva", "")
		w.must(err)
	}
	active := func(want int64) {
		t.Helper()
		if got, err := w.ActivePlan(ctx); err != nil || got != want {
			t.Errorf("active is %d, %v; want %d", got, err, want)
		}
	}
	plan := func(version int64, at time.Time) PlanActivation {
		t.Helper()
		a, err := w.RequestActivation(ctx, Request{}, version, "Eva", at)
		w.must(err)
		return a
	}
	hence := func(d time.Duration) time.Time { return time.Now().Add(d).Truncate(time.Microsecond) }
	if _, err := w.RequestActivation(ctx, Request{}, 1, "Eva", hence(-time.Minute)); !errors.Is(err, ErrPast) {
		t.Errorf("in the past: %v", err)
	}
	if _, err := w.RequestActivation(ctx, Request{}, 9, "Eva", hence(time.Hour)); !errors.Is(err, ErrNotFound) {
		t.Errorf("none: %v", err)
	}
	if _, err := w.PlanBefore(ctx); !errors.Is(err, ErrNoPlanBefore) {
		t.Errorf("nothing before: %v", err)
	}
	tomorrow, night := hence(24*time.Hour), hence(12*time.Hour)
	plan(2, tomorrow)
	if _, err := w.ActivePlan(ctx); !errors.Is(err, ivr.ErrNoPlan) {
		t.Errorf("a plan that is to hold holds: %v", err)
	}
	plan(1, time.Time{})
	first, again := plan(3, night), plan(3, night)
	if first != again || !first.HoldsFrom.Equal(night) {
		t.Errorf("planned as %+v, again %+v", first, again)
	}
	active(1)
	next, err := w.NextActivation(ctx)
	list, err2 := w.Plans(ctx, 0, 10)
	if err != nil || err2 != nil || next != first || !list[0].StartsAt.Equal(night) || !list[1].StartsAt.Equal(tomorrow) || !list[2].Active || !list[2].StartsAt.IsZero() {
		t.Errorf("next is %+v, %v; listed %+v, %v", next, err, list, err2)
	}
	if older, err := w.Plans(ctx, 3, 1); err != nil || len(older) != 1 || older[0].Version != 2 {
		t.Errorf("the next page: %+v, %v", older, err)
	}

	// The time passes: what is written is moved into the past instead.
	db := w.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`)
	pass := func(d time.Duration) {
		db.MustExec(`UPDATE plan_activations SET holds_from = holds_from - $1 * interval '1 us', at = at - $1 * interval '1 us'`, d.Microseconds())
	}
	pass(13 * time.Hour)
	active(3)
	w.must(w.WithdrawPlan(ctx, 3, "Eva")) // it holds: nothing to take back
	active(3)
	if before, err := w.PlanBefore(ctx); err != nil || before != 1 {
		t.Errorf("before 3 was %d, %v", before, err)
	}
	w.must(w.WithdrawPlan(ctx, 2, "Eva"))
	w.must(w.WithdrawPlan(ctx, 2, "Eva"))
	if err := w.WithdrawPlan(ctx, 9, "Eva"); !errors.Is(err, ErrNotFound) {
		t.Errorf("withdrawn: %v", err)
	}
	pass(13 * time.Hour)
	active(3)
	if _, err := w.NextActivation(ctx); !errors.Is(err, ErrNotFound) {
		t.Errorf("something is to come: %v", err)
	}
	history, err := w.PlanHistory(ctx)
	if w.must(err); len(history) != 2 || history[0].Version != 3 || history[1].Version != 1 {
		t.Errorf("the history is %+v", history)
	}

	// One that is activated now holds until the time of a later one comes.
	plan(2, hence(time.Hour))
	plan(1, time.Time{})
	active(1)
	pass(2 * time.Hour)
	active(2)
	log, err := w.Log(ctx, "plan 2", 10)
	if w.must(err); len(log) != 3 || log[0].What != "plan activated" || log[1].What != "plan activation withdrawn" || log[2].Detail["from"] == "" {
		t.Errorf("the log says %+v", log)
	}
	w.clean()
}

// The same request rolls back once, however often it is asked.
func TestARequestRollsBackOnce(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	for _, text := range []string{"a", "b"} {
		v, err := d.SavePlan(ctx, text, "Eva", "")
		d.must(err)
		d.must(d.ActivatePlan(ctx, v, "Eva"))
	}
	before, err := d.PlanBefore(ctx)
	d.must(err)
	request := d.request()
	for range 2 {
		a, err := d.RequestRollback(ctx, request, "Eva")
		if active, err2 := d.ActivePlan(ctx); err != nil || err2 != nil || a.Version != before || active != before {
			t.Errorf("rolled back to %d, %v; active is %d, %v", a.Version, err, active, err2)
		}
	}
	activation := d.request()
	_, err = d.RequestActivation(ctx, activation, 3, "Eva", time.Time{})
	d.must(err)
	d.must(d.ActivatePlan(ctx, 2, "Grace"))
	if _, err := d.RequestActivation(ctx, activation, 3, "Eva", time.Time{}); err != nil {
		t.Error(err)
	}
	if active, err := d.ActivePlan(ctx); err != nil || active != 2 {
		t.Errorf("a request that was repeated undid what came after it: %d, %v", active, err)
	}
}

func TestAPlansTimeIsAnnounced(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	for _, text := range []string{"a", "b"} {
		_, err := w.SavePlan(ctx, text, "Eva", "")
		w.must(err)
	}
	w.must(w.ActivatePlan(ctx, 1, "Eva"))
	soon := time.Now().Add(2 * time.Second)
	_, err := w.RequestActivation(ctx, Request{}, 2, "Eva", soon)
	w.must(err)
	announcing, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	notices := w.Listen(ctx, TopicPlan)
	go func() { w.AnnouncePlans(announcing); close(done) }()
	for {
		select {
		case <-notices: // perhaps late ones of the above
		case <-time.After(20 * time.Second):
			t.Fatal("nothing was announced")
		}
		if active, err := w.ActivePlan(ctx); err != nil || active == 2 {
			w.must(err)
			break
		}
	}
	if time.Now().Before(soon) {
		t.Error("it held before its time")
	}
	stop()
	<-done
}
