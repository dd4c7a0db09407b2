package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// A fresh database is migrated once, however many do it at once, and doing it again
// changes nothing.
func TestMigrateOnceFromNothing(t *testing.T) {
	owner, err := exchange.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{DSN: owner, Key: testKey}); err == nil || !strings.Contains(err.Error(), "migrate") {
		t.Errorf("opened an empty database: %v", err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := Migrate(t.Context(), owner); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := Migrate(t.Context(), owner); err != nil {
		t.Error(err)
	}
	var twice int
	db := sqlx.MustConnect("postgres", owner)
	defer db.Close()
	if err := db.Get(&twice, `SELECT count(*) - count(DISTINCT version_id) FROM schema_version`); err != nil || twice != 0 {
		t.Errorf("%d migrations ran twice, %v", twice, err)
	}
}

// The program refuses to start on what it cannot serve, and names it.
func TestOpenRefusesWhatItCannotServe(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	refused := func(what string, c Config, word string) {
		t.Helper()
		s, err := Open(ctx, c)
		if err == nil {
			s.Disconnect()
		}
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want %q", what, err, word)
		}
	}
	refused("no key", Config{DSN: w.dsn}, "key")
	refused("a short key", Config{DSN: w.dsn, Key: testKey[:31]}, "key")
	refused("another key", Config{DSN: w.dsn, Key: bytes.Repeat([]byte{7}, 32)}, "key")
	refused("another password", Config{DSN: strings.Replace(w.dsn, "password", "passwort", 1), Key: testKey}, "password")
	owner := sqlx.MustConnect("postgres", w.ownerDSN)
	defer owner.Close()
	owner.MustExec(`INSERT INTO schema_version (version_id, is_applied) VALUES (99, true)`)
	refused("a newer database", Config{DSN: w.dsn, Key: testKey}, "newer")
	if err := Migrate(ctx, w.ownerDSN); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("migrated a newer database: %v", err)
	}
	owner.MustExec(`DELETE FROM schema_version WHERE version_id = 99`)
	owner.MustExec(`DELETE FROM schema_version WHERE version_id = (SELECT max(version_id) FROM schema_version)`)
	refused("an older database", Config{DSN: w.dsn, Key: testKey}, "migrate")
	stranger := parse(t, w.ownerDSN).User.Username() + "_stranger"
	if _, err := owner.Exec(`CREATE ROLE ` + stranger + ` LOGIN PASSWORD 'x'`); err != nil {
		t.Fatal(err)
	}
	u := parse(t, w.dsn)
	u.User = parse(t, "postgres://"+stranger+":x@").User
	refused("a login without the grant", Config{DSN: u.String(), Key: testKey}, ProgramRole)
}

// Saving the newest text again gives its version; activating moves the pointer and
// keeps its history; rolling back is activating an older one.
func TestPlanPointer(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	if _, err := w.ActivePlan(ctx); !errors.Is(err, ivr.ErrNoPlan) {
		t.Errorf("no plan: %v", err)
	}
	var versions []int64
	for _, text := range []string{"a", "a", "b", "a"} {
		v, err := w.SavePlan(ctx, text, "Eva", "note")
		w.must(err)
		versions = append(versions, v)
	}
	if want := []int64{1, 1, 2, 3}; !reflect.DeepEqual(versions, want) {
		t.Errorf("saved as %v, want %v", versions, want)
	}
	for _, v := range []int64{1, 2, 2, 1} {
		w.must(w.ActivatePlan(ctx, v, "Eva"))
		active, err := w.ActivePlan(ctx)
		w.must(err)
		text, err := w.Plan(ctx, active)
		if err != nil || active != v || text != map[int64]string{1: "a", 2: "b"}[v] {
			t.Errorf("active is %d, %q, %v; want %d", active, text, err, v)
		}
	}
	if err := w.ActivatePlan(ctx, 9, "Eva"); !errors.Is(err, ErrNotFound) {
		t.Errorf("activated a plan that is not: %v", err)
	}
	history, err := w.PlanHistory(ctx)
	w.must(err)
	var moves []int64
	for _, h := range history {
		moves = append(moves, h.Version)
	}
	if want := []int64{1, 2, 1}; !reflect.DeepEqual(moves, want) {
		t.Errorf("the pointer moved to %v, want %v", moves, want)
	}
	list, err := w.Plans(ctx, 0, 10)
	w.must(err)
	if len(list) != 3 || list[0].Version != 3 || list[0].Active || !list[2].Active || list[2].Author != "Eva" {
		t.Errorf("listed %+v", list)
	}
	if _, err := w.Plan(ctx, 9); !errors.Is(err, ErrNotFound) {
		t.Errorf("read a plan that is not: %v", err)
	}
	w.clean()
}

// Adding somebody again is no error; adding another under the same ID or number is.
func TestPeopleAreAddedOnce(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	c := Client{ID: "cli_1", Alias: "Heron", Phone: "+491607654321", Currency: "EUR"}
	first, err := w.AddClient(ctx, c)
	w.must(err)
	again, err := w.AddClient(ctx, c)
	w.must(err)
	if first != again || first.Phone != "+49********21" {
		t.Errorf("added %+v, then %+v", first, again)
	}
	for name, change := range map[string]func(*Client){
		"alias": func(c *Client) { c.Alias = "Crane" }, "phone": func(c *Client) { c.Phone = "+491600000000" },
		"currency": func(c *Client) { c.Currency = "CHF" },
	} {
		other := c
		change(&other)
		if _, err := w.AddClient(ctx, other); !errors.Is(err, ErrConflict) {
			t.Errorf("another %s under the same ID: %v", name, err)
		}
	}
	c.ID = "cli_2"
	if _, err := w.AddClient(ctx, c); !errors.Is(err, ErrTaken) {
		t.Errorf("the number of another client: %v", err)
	}
	for _, phone := range []string{"", "01607654321", "+49 160 7654321", "+049160", "+49160765432112345"} {
		if _, err := w.AddClient(ctx, Client{Alias: "x", Phone: phone, Currency: "EUR"}); err == nil {
			t.Errorf("added a client with the number %q", phone)
		}
	}
	a := Advisor{ID: "adv_1", Name: "Maria", Wish: dialplan.Wish{Predetermined: 7 * time.Minute}}
	for range 2 {
		got, err := w.AddAdvisor(ctx, a)
		if err != nil || got != a {
			t.Errorf("added %+v, %v", got, err)
		}
	}
	w.must(w.SetWish(ctx, a.ID, dialplan.Wish{PerMinute: 250}))
	if _, err := w.AddAdvisor(ctx, a); !errors.Is(err, ErrConflict) {
		t.Errorf("another advisor under the same ID: %v", err)
	}
	l := ivr.Line{ID: "line_1", Advisor: a.ID, Kind: ivr.App, Address: "maria-app"}
	for range 2 {
		_, err := w.AddLine(ctx, "test", l)
		w.must(err)
	}
	l.Address = "other-app"
	if _, err := w.AddLine(ctx, "test", l); !errors.Is(err, ErrConflict) {
		t.Errorf("another line under the same ID: %v", err)
	}
	lines, err := w.Lines(ctx, a.ID)
	w.must(err)
	if want := []Line{{ID: "line_1", Advisor: a.ID, Kind: ivr.App, Address: "map****pp"}}; len(lines) != 1 || lines[0].Kind != want[0].Kind || strings.Contains(lines[0].Address, "maria") {
		t.Errorf("the lines are %+v", lines)
	}
	log, err := w.Log(ctx, "line_1", 10)
	w.must(err)
	if len(log) != 1 || log[0].What != "line added" || log[0].Who != "test" {
		t.Errorf("the log says %+v", log)
	}
	w.clean()
}

// A receipt says in words and figures how the talk became the charge.
func TestReceiptExplainsTheCharge(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, advisor, plan := w.client(20_00), w.advisor(), w.plan()
	o := opening(client, advisor, plan)
	o.Most = 10_00
	o.Terms.Rate = money.Rate{PerMinute: 199, Fee: 50, Increment: 10 * time.Second, Minimum: time.Minute, Free: 30 * time.Second}
	_, err := w.Hold(ctx, o)
	w.must(err)
	_, err = w.Extend(ctx, o.Call, 2, 1_00, 5_00)
	w.must(err)
	w.must(w.Close(ctx, ended(o, 150*time.Second, 91500*time.Millisecond)))
	r, err := w.Receipt(ctx, o.Call)
	w.must(err)
	ids := strings.NewReplacer(string(o.Call), "CALL", string(client), "CLIENT", string(advisor), "ADVISOR")
	const want = `Receipt of call CALL
  begun           2026-03-01 12:02:51 UTC, +49********01 called +493055501001
  for             Maria
  ended           completed, by client (cause 16)
  price           1.99 EUR per minute, counted in steps of 10 s, at least 1 min, and 0.50 EUR once; the first 30 s free (plan 1, rate "standard")
  talk            2 segments
                  1: 12:03:04-12:05:34, 2 min 30 s
                  2: 12:13:04-12:14:35, 1 min 31.5 s
  charge          4 min 1.5 s at 1.99 EUR per minute, counted in steps of 10 s, at least 1 min, and 0.50 EUR once; the first 30 s free -> 7.80 EUR
  held            10.00 EUR: 7.80 EUR captured, 2.20 EUR released
  held            5.00 EUR: 0.00 EUR captured, 5.00 EUR released
  advisor share   4.68 EUR from client/CLIENT to advisor/ADVISOR/EUR (transfer 2)
  platform share  3.12 EUR from client/CLIENT to platform/EUR (transfer 3)
`
	if got := ids.Replace(r.String()); got != want {
		t.Errorf("the receipt reads\n%s\nwant\n%s", got, want)
	}
	accounts, err := w.Accounts(ctx)
	w.must(err)
	var sum money.Amount
	for _, a := range accounts {
		sum += a.Posted
	}
	if sum != 0 || len(accounts) != 4 {
		t.Errorf("the accounts add up to %v: %+v", sum, accounts)
	}
	if calls, err := w.Calls(ctx, CallFilter{Client: client}, 10); err != nil || len(calls) != 1 || calls[0].Charge != 7_80 {
		t.Errorf("listed %+v, %v", calls, err)
	}
	if calls, err := w.Calls(ctx, CallFilter{Open: true}, 10); err != nil || len(calls) != 0 {
		t.Errorf("open are %+v, %v", calls, err)
	}
	if _, err := w.Receipt(ctx, "call_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no call: %v", err)
	}
}

// A notice arrives; without Redis none does, and nothing else changes or waits.
func TestLosingRedisLosesOnlySpeed(t *testing.T) {
	w := newTown(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	notices := w.Listen(ctx, TopicPlan, "other")
	arrives := func() {
		t.Helper()
		again := time.NewTicker(50 * time.Millisecond)
		defer again.Stop()
		for {
			w.Notify(ctx, TopicPlan)
			select {
			case topic, open := <-notices:
				if !open || topic != TopicPlan {
					t.Fatalf("notice of %q, %v", topic, open)
				}
				return
			case <-again.C:
			}
		}
	}
	arrives()
	w.must(exchange.Redis.Kill())
	for i := range 3 {
		v, err := w.SavePlan(ctx, fmt.Sprint(i), "test", "")
		w.must(err)
		w.must(w.ActivatePlan(ctx, v, "test"))
	}
	w.must(exchange.Redis.Start(ctx))
	arrives()
	w.must(exchange.Redis.Stop())
	begun := time.Now()
	w.must(w.ActivatePlan(ctx, 1, "test"))
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("a frozen Redis held up the activation for %v", took)
	}
	w.must(exchange.Redis.Cont())
	arrives()

	ctx2, end := context.WithCancel(ctx)
	quiet, err := Open(ctx, Config{DSN: w.dsn, Key: testKey})
	w.must(err)
	defer quiet.Disconnect()
	silence := quiet.Listen(ctx2, TopicPlan)
	quiet.Notify(ctx, TopicPlan)
	end()
	if topic, open := <-silence; open {
		t.Errorf("a notice of %s without Redis", topic)
	}
}
