package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/ivr/money"
	"parley/lab"
	"parley/store"
)

// exchange is the Postgres of all tests here.
var exchange *lab.Lab

func TestMain(m *testing.M) {
	os.Exit(lab.RunTests(m, lab.Options{WithoutAsterisk: true}, &exchange))
}

// record is a log that is read while it is written.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// town is a host on a database of its own, with one advisor who is on line.
type town struct {
	*testing.T
	store   *store.Store
	host    *Host
	url     string
	plan    dialplan.Plan
	ready   error // what the host is told
	log     record
	advisor ivr.AdvisorID
	site    client.Client
	people  int
	owner   string // DSN of the database's owner
}

const rate = 200 // a minute; a talk of five is the least

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{T: t}
	ctx := t.Context()
	owner, err := exchange.NewDatabase(ctx)
	w.must(err)
	w.owner = owner
	w.must(store.Migrate(ctx, owner))
	u, err := url.Parse(owner)
	w.must(err)
	login := "program_of_" + u.User.Username()
	w.must(store.GrantProgram(ctx, owner, login, "password"))
	u.User = url.UserPassword(login, "password")
	w.store, err = store.Open(ctx, store.Config{DSN: u.String(), Key: bytes.Repeat([]byte("key."), 8)})
	w.must(err)
	t.Cleanup(func() { w.store.Disconnect() })
	version, err := w.store.SavePlan(ctx, "currency: EUR", "test", "")
	w.must(err)
	w.plan = dialplan.Plan{
		Version: version, Currency: "EUR", Language: "en",
		Numbers: []dialplan.Number{{DID: "+493055500101", Country: "DE"}, {DID: "+493055500102", Country: "DE"}, {DID: "+431555001", Country: "AT"}},
		Rates:   map[string]dialplan.Rate{dialplan.DefaultRate: {Rate: money.Rate{PerMinute: rate, Increment: time.Second}, AdvisorPercent: 60}},
		Limits: dialplan.Limits{Ring: 30 * time.Second, Accept: 15 * time.Second, LongestTalk: time.Hour,
			Predetermined: dialplan.Predetermined{Default: 5 * time.Minute, Least: time.Minute, Most: 10 * time.Minute},
			Loan:          10 * time.Minute, Concurrent: dialplan.Concurrent{All: 100, PerClient: 1, PerAdvisor: 1}},
	}
	w.host = New(Config{
		Store: w.store, Plan: func() (dialplan.Plan, error) { return w.plan, nil },
		Ready: func(context.Context) error { return w.ready },
		TopUp: "https://site.example/add?client={client}&amount={missing}&currency={currency}",
		Log:   slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the host's log:\n%s", w.log.String())
		}
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = w.host.Server()
	server.Start()
	t.Cleanup(server.Close)
	w.url = server.URL
	w.advisor = w.newAdvisor()
	w.site, _ = w.token(store.RoleSite, "")
	return w
}

func (w *town) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// newAdvisor is on line, with a verified line.
func (w *town) newAdvisor() ivr.AdvisorID {
	w.Helper()
	ctx := w.Context()
	w.people++
	a, err := w.store.AddAdvisor(ctx, store.Advisor{Name: "Anna"})
	w.must(err)
	line, err := w.store.AddLine(ctx, "test", ivr.Line{Advisor: a.ID, Kind: ivr.Phone, Address: fmt.Sprintf("+4930123%05d", w.people)})
	w.must(err)
	challenge, code, err := w.store.CreateChallenge(ctx, line)
	w.must(err)
	w.must(w.store.Check(ctx, challenge, code, "call_verifies"))
	w.must(w.store.SetPresence(ctx, a.ID, true))
	return a.ID
}

// newClient has money, and a session.
func (w *town) newClient(amount money.Amount) (ivr.ClientID, client.Client) {
	w.Helper()
	w.people++
	c, err := w.store.AddClient(w.Context(), store.Client{Alias: "Heron", Phone: fmt.Sprintf("+4916012%05d", w.people), Currency: "EUR"})
	w.must(err)
	if amount > 0 {
		w.must(w.store.Deposit(w.Context(), "test", ivr.NewID("pay"), c.ID, amount))
	}
	session, _ := w.token(store.RoleClient, c.ID)
	return c.ID, session
}

func (w *town) token(role store.Role, of ivr.ClientID) (client.Client, store.TokenID) {
	w.Helper()
	token, secret, err := w.store.CreateToken(w.Context(), "test", store.Token{Role: role, Client: of, Holder: "Ada"}, time.Hour)
	w.must(err)
	return client.Client{URL: w.url, Token: secret}, token.ID
}

// tap asks for a talk with the town's advisor.
func (w *town) tap(by client.Client, key string) (client.Talk, error) {
	return by.RequestTalk(w.Context(), key, client.TalkRequest{Advisor: string(w.advisor)})
}

// problem checks that err is one of this kind, with a remedy.
func (w *town) problem(what string, err error, status int, code string) *client.Problem {
	w.Helper()
	var p *client.Problem
	if !errors.As(err, &p) {
		w.Fatalf("%s: %v, want a problem %s", what, err, code)
	}
	if p.Status != status || p.Code != code || p.Remedy == "" || p.Title == "" {
		w.Errorf("%s: %+v, want %d %s", what, p, status, code)
	}
	return p
}
