package store

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/lab"
)

// exchange is the Postgres and the Redis of all tests here.
var exchange *lab.Lab

func TestMain(m *testing.M) {
	os.Exit(lab.RunTests(m, lab.Options{WithoutAsterisk: true}, &exchange))
}

var testKey = bytes.Repeat([]byte("key."), 8)

// town is a database of its own with people in it, and a store on it that is signed
// in as the program.
type town struct {
	*Store
	t        *testing.T
	ownerDSN string
	dsn      string // the program's
	calls    atomic.Int64
}

func newTown(t *testing.T) *town {
	t.Helper()
	ctx := t.Context()
	owner, err := exchange.NewDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := Migrate(ctx, owner); err != nil {
		t.Fatal(err)
	}
	u := parse(t, owner)
	login := "program_of_" + u.User.Username()
	if err := GrantProgram(ctx, owner, login, "it's a password"); err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(login, "it's a password")
	w := &town{t: t, ownerDSN: owner, dsn: u.String()}
	w.Store = w.open(w.dsn)
	return w
}

// open is one more store on the same database.
func (w *town) open(dsn string) *Store {
	w.t.Helper()
	s, err := Open(w.t.Context(), Config{DSN: dsn, RedisAddr: exchange.Redis.Addr, RedisUser: exchange.Redis.User, RedisPassword: exchange.Redis.Password, Key: testKey})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Disconnect() })
	return s
}

// superuser may do anything to the town's database, even break its rules.
func (w *town) superuser() *sqlx.DB {
	w.t.Helper()
	u := parse(w.t, exchange.Postgres.SuperuserDSN)
	u.Path = parse(w.t, w.ownerDSN).Path
	db, err := sqlx.Connect("postgres", u.String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	return db
}

func parse(t *testing.T, dsn string) *url.URL {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// client adds a client with money.
func (w *town) client(money money.Amount) ivr.ClientID {
	w.t.Helper()
	n := w.calls.Add(1)
	c, err := w.AddClient(w.t.Context(), Client{Alias: fmt.Sprint("Heron ", n), Phone: fmt.Sprintf("+4916012%05d", n), Currency: "EUR"})
	if err != nil {
		w.t.Fatal(err)
	}
	if money > 0 {
		w.deposit(c.ID, money)
	}
	return c.ID
}

func (w *town) deposit(client ivr.ClientID, amount money.Amount) {
	w.t.Helper()
	if err := w.Deposit(w.t.Context(), "test", ivr.NewID("pay"), client, amount); err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) advisor() ivr.AdvisorID {
	w.t.Helper()
	a, err := w.AddAdvisor(w.t.Context(), Advisor{Name: "Maria"})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

func (w *town) line(advisor ivr.AdvisorID, address string) ivr.LineID {
	w.t.Helper()
	id, err := w.AddLine(w.t.Context(), "test", ivr.Line{Advisor: advisor, Kind: ivr.Phone, Address: address})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// plan saves a plan, whatever its text.
func (w *town) plan() int64 {
	w.t.Helper()
	v, err := w.SavePlan(w.t.Context(), "currency: EUR", "test", "")
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

// must fails the test where a step that must work does not.
func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// clean fails the test unless the audit finds nothing.
func (w *town) clean() {
	w.t.Helper()
	report, err := w.Audit(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(report.Faults) > 0 {
		w.t.Errorf("the audit of clean books finds:\n%v", report)
	}
}

func (w *town) balance(client ivr.ClientID) (posted, held money.Amount) {
	w.t.Helper()
	c, err := w.Client(w.t.Context(), client)
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Posted, c.Held
}

// terms are 1.99 a minute, counted in seconds; five minutes must be covered.
var terms = dialplan.Terms{
	RateName:       "standard",
	Rate:           money.Rate{PerMinute: 199, Increment: time.Second},
	AdvisorPercent: 60, Currency: "EUR", Language: "en",
	Predetermined: 5 * time.Minute, SetBy: "host", LongestTalk: 30 * time.Minute,
	Warnings: []time.Duration{time.Minute},
}

var started = time.Date(2026, 3, 1, 12, 2, 51, 0, time.UTC)

// opening is a call of a client to an advisor by these terms.
func opening(client ivr.ClientID, advisor ivr.AdvisorID, plan int64) ivr.Opening {
	return ivr.Opening{Kind: ivr.ClientCall,
		Call: ivr.CallID(ivr.NewID("call")), DID: "+493055501001", ANI: "+49********01",
		Client: client, Advisor: advisor, Plan: plan, Terms: terms, StartedAt: started,
		Least: terms.Least(), Most: terms.Most(),
		Concurrent: dialplan.Concurrent{All: 1000, PerClient: 1000, PerAdvisor: 1000},
	}
}

// ended is the record of an opened call after some talk.
func ended(o ivr.Opening, talks ...time.Duration) ivr.CDR {
	c := ivr.CDR{
		Call: o.Call, Kind: ivr.ClientCall, DID: o.DID, ANI: o.ANI, Loan: o.Loan, Client: o.Client, Advisor: o.Advisor,
		Line: o.Line, Plan: o.Plan, StartedAt: o.StartedAt, Ring: 4200 * time.Millisecond,
		Disposition: "completed", Cause: ivr.NormalClearing, EndedBy: "client",
	}
	var talk time.Duration
	for i, d := range talks {
		c.Segments = append(c.Segments, ivr.Segment{JoinedAt: o.StartedAt.Add(time.Duration(13+i*600) * time.Second), Talk: d})
		talk += d
	}
	c.Charge = o.Terms.Rate.Charge(talk)
	c.Shares = money.Split(c.Charge, o.Terms.AdvisorPercent)
	return c
}
