package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

// A wait is told once: when its turn comes or when it ends before that, with how long it
// was. What happens to it after its turn is not told, nor what is not committed.
func TestEachWaitIsToldOnce(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	var mu sync.Mutex
	var told []waited
	h.Waited = func(until WaitState, long time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, waited{until, long})
	}
	hears := func(what string, until WaitState, least time.Duration) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || told[0].until != until || told[0].long < least || told[0].long > least+time.Minute {
			t.Errorf("%s: told %+v, want one that is %s, after %v", what, told, until, least)
		}
		told = nil
	}
	silent := func(what string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if len(told) > 0 {
			t.Errorf("%s: told %+v", what, told)
		}
		told = nil
	}
	first, second, third := h.waiting(OnPage), h.waiting(OnPage), h.waiting(OnPage)
	silent("they wait")
	h.must(h.LeaveQueue(ctx, second.ID, second.Client))
	hears("one leaves", Left, 0)
	h.must(h.LeaveQueue(ctx, second.ID, second.Client))
	silent("they leave again")

	const long = 7 * time.Minute
	h.superuser().MustExec(`UPDATE waits SET joined_at = joined_at - $1 * interval '1 s' WHERE id = $2`, long.Seconds(), first.ID)
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.turns()
	hears("the first has their turn", Turn, long)
	h.expire(h.now(first, Turn).Loan)
	h.turns()
	h.now(first, MissedTurn)
	hears("the first misses it, the third has theirs", Turn, 0)
	h.must(h.LeaveQueue(ctx, third.ID, third.Client))
	silent("the third leaves in their turn")

	own := h.waitingWhileBusy(OnPage)
	_, err := h.tap(own.Client, h.advisor)
	h.must(err)
	hears("one takes their turn by a tap", Turn, 0)

	undone := errors.New("undone")
	err = h.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		noteWaited(ctx, Left, 1)
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	silent("it is rolled back")
}
