package store

import (
	"testing"
	"time"

	"parley/ivr"
)

// A call that follows another plan is recovered with what that says, and its price
// stays; the plans that it followed are on its receipt.
func TestARevisedCallIsRecoveredAsRevised(t *testing.T) {
	w, ctx := newTown(t), t.Context()
	o := opening(w.client(terms.Most()), w.advisor(), w.plan())
	_, err := w.Hold(ctx, o)
	w.must(err)
	revised := o.Terms
	revised.LongestTalk, revised.Warnings = 7*time.Minute, []time.Duration{2 * time.Minute, time.Minute}
	for range 2 {
		w.must(w.Revise(ctx, o.Call, o.Plan, revised))
	}
	open, err := w.OpenCalls(ctx)
	w.must(err)
	if len(open) != 1 || open[0].Terms.LongestTalk != 7*time.Minute || len(open[0].Terms.Warnings) != 2 {
		t.Errorf("recovered %+v", open)
	}
	dearer := revised
	dearer.Rate.PerMinute++
	if err := w.Revise(ctx, o.Call, o.Plan, dearer); err == nil {
		t.Error("a call became dearer while it was up")
	}
	receipt, err := w.Receipt(ctx, o.Call)
	w.must(err)
	if len(receipt.Plans) != 1 || receipt.Plans[0] != o.Plan {
		t.Errorf("the receipt shows the plans %v", receipt.Plans)
	}
	w.must(w.Close(ctx, ended(o)))
	if err := w.Revise(ctx, o.Call, o.Plan, o.Terms); err == nil {
		t.Error("a call that has ended was revised")
	}
}

// The first rating of a call stays, and is on its receipt and in the advisor's mean.
func TestRatings(t *testing.T) {
	w, ctx := newTown(t), t.Context()
	o := opening(w.client(terms.Most()), w.advisor(), w.plan())
	_, err := w.Hold(ctx, o)
	w.must(err)
	for _, stars := range []int{4, 1} {
		w.must(w.Rate(ctx, o.Call, stars))
	}
	for _, stars := range []int{0, 6} {
		if w.Rate(ctx, o.Call, stars) == nil {
			t.Errorf("%d stars were given", stars)
		}
	}
	if w.Rate(ctx, ivr.CallID("call_no"), 3) == nil {
		t.Error("a call was rated that there is not")
	}
	receipt, err := w.Receipt(ctx, o.Call)
	w.must(err)
	state, err := w.AdvisorState(ctx, "", o.Advisor)
	w.must(err)
	if receipt.Stars != 4 || state.Stars != 4 || state.Rated != 1 {
		t.Errorf("%d stars on the receipt, %v of %d calls in the mean", receipt.Stars, state.Stars, state.Rated)
	}
}
