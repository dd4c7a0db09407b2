package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// eventsUntil reads on from a cursor until done says so of all that was read.
func (w *town) eventsUntil(after Cursor, done func([]Event) bool) []Event {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var read []Event
	for !done(read) {
		events, err := w.Events(ctx, "", "", after, 7)
		w.must(err)
		for _, e := range events {
			if !e.Cursor.After(after) {
				w.t.Fatalf("%v comes after %v", e.Cursor, after)
			}
			after = e.Cursor
		}
		if read = append(read, events...); len(events) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return read
}

// numbers are the events' own numbers, in the order in which they were read.
func numbers(events []Event) (list []int) {
	for _, e := range events {
		n, _ := e.Data["n"].(json.Number).Int64()
		list = append(list, int(n))
	}
	return list
}

// begin begins a transaction, which ends with the test.
func (w *town) begin() *sqlx.Tx {
	w.t.Helper()
	tx, err := w.db.BeginTxx(w.t.Context(), nil)
	w.must(err)
	w.t.Cleanup(func() { tx.Rollback() })
	return tx
}

// Of two transactions the one that began first commits last: what the other wrote waits
// for it, and who reads in between misses neither.
func TestEventsOfALateCommitAreNotSkipped(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	start, err := w.EventsEnd(ctx)
	w.must(err)
	first, second := w.begin(), w.begin()
	w.must(w.emit(ctx, first, Event{Type: "test.event", Data: map[string]any{"n": 1}}))
	w.must(w.emit(ctx, second, Event{Type: "test.event", Data: map[string]any{"n": 2}}))
	w.must(second.Commit())
	if early, err := w.Events(ctx, "", "", start, 10); err != nil || len(early) > 0 {
		t.Errorf("read before the first was committed: %v, %v", early, err)
	}
	between, err := w.EventsEnd(ctx)
	w.must(err)
	w.must(first.Commit())
	for _, from := range []Cursor{start, between, {}} {
		read := w.eventsUntil(from, func(read []Event) bool { return len(read) == 2 })
		if !slices.Equal(numbers(read), []int{1, 2}) {
			t.Errorf("after %v: %v", from, numbers(read))
		}
	}
}

// Twenty write at once, some take their time and some undo what they did; a reader that
// goes on from page to page reads each that was committed once, and those of one
// transaction in their order.
func TestEventsOfManyWritersAreReadOnce(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	const writers, rounds = 20, 15
	many, err := Open(ctx, Config{DSN: w.dsn, Key: testKey, Connections: writers})
	w.must(err)
	t.Cleanup(func() { many.Disconnect() })
	var want sync.Map
	var number, committed atomic.Int64
	var wg sync.WaitGroup
	for writer := range writers {
		wg.Go(func() {
			for round := range rounds {
				tx, err := many.db.BeginTxx(ctx, nil)
				if err != nil {
					t.Error(err)
					return
				}
				var mine []int64
				for range 2 {
					mine = append(mine, number.Add(1))
					if err := many.emit(ctx, tx, Event{Type: "test.event", Data: map[string]any{"n": mine[len(mine)-1]}}); err != nil {
						t.Error(err)
					}
				}
				time.Sleep(time.Duration((writer*7+round*3)%10) * time.Millisecond)
				if (writer+round)%5 == 0 {
					tx.Rollback()
					continue
				}
				for _, n := range mine {
					want.Store(int(n), true)
					committed.Add(1)
				}
				if err := tx.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	read := w.eventsUntil(Cursor{}, func(read []Event) bool {
		select {
		case <-over:
			return int64(len(read)) >= committed.Load()
		default:
			return false
		}
	})
	if more, err := w.Events(ctx, "", "", read[len(read)-1].Cursor, 10); err != nil || len(more) > 0 {
		t.Errorf("then still comes %v, %v", numbers(more), err)
	}
	seen, last := map[int]bool{}, map[uint64]int{}
	for i, n := range numbers(read) {
		if _, known := want.Load(n); !known || seen[n] {
			t.Errorf("%d was read twice, or never committed", n)
		}
		if xid := read[i].Cursor.xid; last[xid] > n {
			t.Errorf("%d comes after %d", n, last[xid])
		} else {
			last[xid] = n
		}
		seen[n] = true
	}
	if len(seen) != int(committed.Load()) || len(seen) == 0 {
		t.Errorf("%d of %d were read", len(seen), committed.Load())
	}
}

// A cursor survives its being written down; what is none is refused.
func TestCursorIsReadAsItWasWritten(t *testing.T) {
	for _, c := range []Cursor{{}, {1, 2}, {1 << 40, 1 << 50}} {
		if again, err := ParseCursor(c.String()); err != nil || again != c {
			t.Errorf("%v became %v, %v", c, again, err)
		}
	}
	for _, text := range []string{"", "1", "1-", "-1-2", "1-2-3", "x-1", "01-2", "1-2 ", "ffffffffffffffffff-1"} {
		if c, err := ParseCursor(text); err == nil {
			t.Errorf("%q is %v", text, c)
		}
	}
}

// What happens is told in the transaction that does it, once however often it is asked
// for, to whom it concerns, and with nothing secret in it.
func TestWhatHappensIsTold(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, advisor := w.client(0), w.advisor()
	line := w.line(advisor, "+493012345678")
	for range 2 {
		w.must(w.Deposit(ctx, "test", "pay_1", client, 100_00))
		w.must(w.SetPresence(ctx, advisor, true))
	}
	challenge, code, err := w.CreateChallenge(ctx, line)
	w.must(err)
	w.must(w.Check(ctx, challenge, code, "call_verifies"))
	plan := w.plan()
	w.must(w.ActivatePlan(ctx, plan, "test"))
	o := opening(client, advisor, plan)
	if _, err := w.WouldHold(ctx, o); err != nil { // which does nothing
		t.Fatal(err)
	}
	for range 2 {
		_, err = w.Hold(ctx, o)
		w.must(err)
		for _, segment := range []int{1, 2} {
			w.must(w.Prove(ctx, []ivr.Proof{{Call: o.Call, Segment: segment, Talk: time.Second}}))
		}
	}
	cdr := ended(o, time.Minute)
	for range 2 {
		w.must(w.Close(ctx, cdr))
	}
	refused := ended(opening(client, advisor, plan))
	refused.Disposition = "no money"
	w.must(w.Close(ctx, refused)) // nothing was held for it

	want := []string{
		"deposit.made client amount:10000 currency:EUR payment:pay_1",
		"advisor.presence advisor on_line:true",
		"line.verified advisor line:" + string(line),
		fmt.Sprintf("plan.activated from version:%d", plan),
		fmt.Sprintf("call.opened client advisor call:%s currency:EUR held:%d talk:<nil>", o.Call, o.Most),
		fmt.Sprintf("call.talking client advisor call:%s segment:1", o.Call),
		fmt.Sprintf("call.talking client advisor call:%s segment:2", o.Call),
		fmt.Sprintf("call.ended client advisor call:%s charge:%d currency:EUR ended_by:client outcome:completed share:%d talk_seconds:60",
			o.Call, cdr.Charge, cdr.Shares.Advisor),
	}
	read := w.eventsUntil(Cursor{}, func(read []Event) bool { return len(read) >= len(want) })
	var got []string
	for _, e := range read {
		got = append(got, w.told(e, client, advisor))
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for who, count := range map[[2]string]int{{string(client), ""}: 5, {"", string(advisor)}: 6, {"cli_no", ""}: 0} {
		own, err := w.Events(ctx, ivr.ClientID(who[0]), ivr.AdvisorID(who[1]), Cursor{}, 100)
		if w.must(err); len(own) != count {
			t.Errorf("%v is told of %d, want %d", who, len(own), count)
		}
	}
	w.clean()
}

// told is an event in one line.
func (w *town) told(e Event, client ivr.ClientID, advisor ivr.AdvisorID) string {
	words := []string{e.Type}
	for _, whom := range []struct {
		name string
		ok   bool
	}{{"client", e.Client == client}, {"advisor", e.Advisor == advisor}} {
		if whom.ok {
			words = append(words, whom.name)
		}
	}
	var data []string
	for name, value := range e.Data {
		if name == "from" {
			data = append(data, name)
			continue
		}
		data = append(data, fmt.Sprint(name, ":", value))
	}
	slices.Sort(data)
	return strings.Join(append(words, data...), " ")
}

// A talk is told of when it is asked for and when it is over, once: cancelled, or talked.
func TestTalksAreTold(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client := h.client(100_00)
	first, err := h.tap(client, h.advisor)
	h.must(err)
	_, err = h.tap(client, h.advisor) // gets the same talk
	h.must(err)
	for range 2 {
		h.must(h.CancelTalk(ctx, first.Loan, ""))
	}
	second, err := h.tap(client, h.advisor)
	h.must(err)
	o := h.call(second)
	_, err = h.Hold(ctx, o)
	h.must(err)
	h.must(h.Close(ctx, ended(o, time.Minute)))
	want := []string{"talk.requested", string(first.Loan), "<nil>", "talk.over", string(first.Loan), "cancelled",
		"talk.requested", string(second.Loan), "<nil>", "talk.over", string(second.Loan), "talked"}
	read := h.eventsUntil(Cursor{}, func(read []Event) bool { return len(talks(read)) >= len(want) })
	if got := talks(read); !slices.Equal(got, want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// talks are the events about talks, in three words each.
func talks(events []Event) (list []string) {
	for _, e := range events {
		if strings.HasPrefix(e.Type, "talk.") {
			list = append(list, e.Type, fmt.Sprint(e.Data["talk"]), fmt.Sprint(e.Data["why"]))
		}
	}
	return list
}
