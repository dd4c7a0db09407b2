package store

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/ivr"
)

// How a call sounded is recorded once, shown to the desk, and not on the client's receipt.
func TestQualityIsKept(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	plan := w.plan()
	w.must(w.ActivatePlan(ctx, plan, "test"))
	o := opening(w.client(100_00), w.advisor(), plan)
	_, err := w.Hold(ctx, o)
	w.must(err)
	w.must(w.Close(ctx, ended(o, time.Minute)))
	legs := []ivr.LegQuality{
		{Side: "client", Quality: ivr.Quality{Received: 2700, Lost: 300, Sent: 3000, SentLost: 30, Jitter: 4 * time.Millisecond, RoundTrip: 80 * time.Millisecond}},
		{Side: "advisor", Quality: ivr.Quality{Received: 3000, Sent: 2700}},
	}
	for range 2 {
		w.must(w.KeepQuality(ctx, o.Call, legs))
	}
	r, err := w.Receipt(ctx, o.Call)
	w.must(err)
	if !reflect.DeepEqual(r.Quality, legs) {
		t.Errorf("kept: %+v", r.Quality)
	}
	const client = "client: 10.0 % lost on the way to us, 1.0 % on the way to them, round trip 80 ms, jitter 4 ms: bad"
	if sound := r.Sound(); !strings.Contains(sound, client) || strings.Count(sound, "bad") != 1 || strings.Contains(r.String(), "lost") {
		t.Errorf("shown:\n%s\n%s", sound, r)
	}
	if err := w.KeepQuality(ctx, "call_unknown", legs); err == nil {
		t.Error("the quality of no call was kept")
	}
}
