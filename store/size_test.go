package store

import (
	"sync"
	"testing"
	"time"

	"parley/ivr"
)

// mostBytes is what a paid call may take in the database with everything that is kept of it,
// indexes too. SCALE.md reckons with it.
const mostBytes = 6 << 10

// A year is long: what is kept of a call stays small.
func TestWhatIsKeptOfACallIsSmall(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	const calls, side = 2000, 8
	plan := w.plan()
	size := func() (sizes map[string]int64) {
		sizes = map[string]int64{}
		var rows []struct {
			Name  string
			Bytes int64
		}
		w.must(w.superuser().Select(&rows, `
			SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class
			WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`))
		for _, r := range rows {
			sizes[r.Name] = r.Bytes
		}
		return sizes
	}
	var all sync.WaitGroup
	one := func(client ivr.ClientID, advisor ivr.AdvisorID) {
		o := opening(client, advisor, plan)
		if _, err := w.Hold(ctx, o); err != nil {
			t.Error(err)
			return
		}
		for _, talk := range []time.Duration{0, 15 * time.Second} {
			if err := w.Prove(ctx, []ivr.Proof{{Call: o.Call, Segment: 1, Talk: talk}}); err != nil {
				t.Error(err)
			}
		}
		if err := w.Close(ctx, ended(o, 30*time.Second)); err != nil {
			t.Error(err)
		}
	}
	for range side {
		client, advisor := w.client(100_000_00), w.advisor()
		one(client, advisor) // makes their accounts
	}
	before := size()
	for range side {
		client, advisor := w.client(100_000_00), w.advisor()
		all.Go(func() {
			for range calls / side {
				one(client, advisor)
			}
		})
	}
	all.Wait()
	var sum int64
	for name, after := range size() {
		grown := (after - before[name]) / calls
		sum += grown
		if grown > 0 {
			t.Logf("%-20s %5d bytes a call", name, grown)
		}
	}
	t.Logf("in all %d bytes a call", sum)
	if sum > mostBytes {
		t.Errorf("a call takes %d bytes, more than %d", sum, mostBytes)
	}
}
