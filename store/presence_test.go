package store

import (
	"testing"
	"time"

	"parley/ivr"
)

// Who does not answer a client is off line, until they come back; a client who hangs up,
// a verification call, and a call from before they came on line change nothing.
func TestAnAdvisorWhoDoesNotAnswerIsOffLine(t *testing.T) {
	w, ctx := newTown(t), t.Context()
	advisor := w.advisor()
	onLine := func() bool {
		t.Helper()
		state, err := w.AdvisorState(ctx, "", advisor)
		w.must(err)
		return state.OnLine
	}
	for _, c := range []struct {
		disposition ivr.Disposition
		kind        ivr.Kind
		began       time.Duration // after they came on line
		stays       bool
	}{
		{"abandoned", ivr.ClientCall, time.Minute, true},
		{"declined", ivr.ClientCall, time.Minute, true},
		{"no answer", ivr.VerificationCall, time.Minute, true},
		{"no answer", ivr.ClientCall, -time.Minute, true},
		{"no answer", ivr.ClientCall, time.Minute, false},
		{"unreachable", ivr.CallBack, time.Minute, false},
	} {
		w.must(w.SetPresence(ctx, advisor, true))
		cdr := ended(opening(w.client(0), advisor, w.plan()))
		cdr.Kind, cdr.Disposition, cdr.StartedAt = c.kind, c.disposition, time.Now().Add(c.began)
		w.must(w.Close(ctx, cdr))
		if onLine() != c.stays {
			t.Errorf("after a %s call that ended as %q: on line %v", c.kind, c.disposition, !c.stays)
		}
	}
	w.must(w.SetPresence(ctx, advisor, true))
	if !onLine() {
		t.Error("they cannot come back")
	}
}
