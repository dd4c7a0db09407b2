package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/ivr"
)

// proxy stands between the store and Postgres, and can cut a connection between a
// commit and its reply.
type proxy struct {
	net.Listener
	upstream string
	cuts     atomic.Int64

	mu      sync.Mutex
	markers []string // what must have been sent, in this order, before the cut
	sends   int      // or after so many messages; see cutAt
	reply   bool
	told    func()
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, upstream: exchange.Postgres.Addr}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	var doomed atomic.Bool
	go func() {
		defer server.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := client.Read(b)
			lost, answerLost := p.nthSent(n)
			if lost {
				client.Close()
				return
			}
			if answerLost || p.lastMarker(b[:n]) {
				doomed.Store(true)
			}
			if _, werr := server.Write(b[:n]); err != nil || werr != nil {
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		// Postgres sends its reply when the commit is done: the effect is there,
		// and nobody hears of it.
		if doomed.Load() && n > 0 {
			p.cuts.Add(1)
			return
		}
		if _, werr := client.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

// cutAfter arms the proxy: once, the reply to the last of these is cut off.
func (p *proxy) cutAfter(markers ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.markers = markers
}

// cutAt arms the proxy: once, the nth message from now on is lost, or the answer to it;
// told is called then. 0 disarms it.
func (p *proxy) cutAt(n int, reply bool, told func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sends, p.reply, p.told = n, reply, told
}

// nthSent counts a message of some length.
func (p *proxy) nthSent(length int) (lost, answerLost bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sends == 0 || length == 0 {
		return false, false
	}
	if p.sends--; p.sends > 0 {
		return false, false
	}
	p.told()
	return !p.reply, p.reply
}

func (p *proxy) lastMarker(sent []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.markers) == 0 || !bytes.Contains(sent, []byte(p.markers[0])) {
		return false
	}
	p.markers = p.markers[1:]
	return len(p.markers) == 0
}

// A connection cut between commit and reply, then the retry: one effect, and the
// answer of the first.
func TestReplyLostIsOneEffect(t *testing.T) {
	w := newTown(t)
	p := newProxy(t)
	u := parse(t, w.dsn)
	u.Host = p.Addr().String()
	s := w.open(u.String())

	ctx := t.Context()
	advisor := w.advisor()
	line := w.line(advisor, "+493012345678")
	client, plan := w.client(100_00), w.plan()
	o := opening(client, advisor, plan)
	cdr := ended(o, 150*time.Second)
	challenge, code, err := w.CreateChallenge(ctx, line)
	w.must(err)

	commit := []string{"COMMIT"}
	for _, c := range []struct {
		name    string
		markers []string
		do      func() error
		effects string // a query that counts them: 1
	}{
		{"deposit", commit, func() error { return s.Deposit(ctx, "test", "pay_1", client, 5_00) },
			`SELECT count(*) FROM transfers WHERE key = 'pay_1'`},
		{"hold", []string{`"per_advisor"`}, func() error {
			held, err := s.Hold(ctx, o)
			if err == nil && held != terms.Most() {
				err = errors.New("held " + held.String())
			}
			return err
		}, `SELECT count(*) FROM holds`},
		{"extend", commit, func() error { _, err := s.Extend(ctx, o.Call, 2, 1, 1_00); return err },
			`SELECT count(*) FROM holds WHERE number = 2`},
		{"prove", []string{string(o.Call)}, func() error { return s.Prove(ctx, []ivr.Proof{{Call: o.Call, Segment: 1, Talk: time.Second}}) },
			`SELECT count(*) FROM segments`},
		{"close", []string{`"ended_by"`}, func() error { return s.Close(ctx, cdr) },
			`SELECT count(*) FROM transfers WHERE kind = 'advisor share'`},
		{"save a plan", commit, func() error { _, err := s.SavePlan(ctx, "another", "test", ""); return err },
			`SELECT count(*) FROM plans WHERE text = 'another'`},
		{"activate a plan", commit, func() error { return s.ActivatePlan(ctx, plan, "test") },
			`SELECT count(*) FROM plan_activations`},
		{"lend", commit, func() error {
			_, _, err := s.CreateLoan(ctx, LoanRequest{Client: client, Advisor: advisor, Line: line, Pool: []string{"+4930555", "+4930556"}, For: time.Hour})
			return err
		}, `SELECT count(*) FROM loans`},
		{"ask for a verification", commit, func() error { _, _, err := s.CreateChallenge(ctx, line); return err },
			`SELECT count(*) - 1 FROM challenges`},
		{"claim it", commit, func() error {
			c, found, err := s.ClaimChallenge(ctx)
			if err == nil && (!found || c.ID != challenge) {
				err = errors.New("claimed " + c.ID)
			}
			return err
		}, `SELECT count(*) FROM challenges WHERE claimed_at IS NOT NULL`},
		{"verify", []string{"INSERT INTO audit_log", "COMMIT"}, func() error { return s.Check(ctx, challenge, code, "call_1") },
			`SELECT count(*) FROM audit_log WHERE what = 'line verified'`},
		{"add a client", commit, func() error {
			_, err := s.AddClient(ctx, Client{Alias: "Late", Phone: "+491609999999", Currency: "EUR"})
			return err
		}, `SELECT count(*) FROM clients WHERE alias = 'Late'`},
	} {
		before := p.cuts.Load()
		p.cutAfter(c.markers...)
		if err := c.do(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if p.cuts.Load() != before+1 {
			t.Errorf("%s: the proxy cut %d connections, not one", c.name, p.cuts.Load()-before)
		}
		var effects int
		w.must(w.db.GetContext(ctx, &effects, c.effects))
		if effects != 1 {
			t.Errorf("%s: %d effects", c.name, effects)
		}
	}
	w.clean()
}

// A lost reply may cost a client a try of their PIN; it never gives anyone one more.
func TestReplyLostGrantsNoGuess(t *testing.T) {
	l := newLender(t)
	p := newProxy(t)
	u := parse(t, l.dsn)
	u.Host = p.Addr().String()
	s := l.open(u.String())
	_, pin, err := l.CreateLoan(t.Context(), l.LoanRequest)
	l.must(err)
	for _, markers := range [][]string{{"tries + 1"}, {"tries - 1"}, {"tries - 1", "COMMIT"}} {
		l.superuser().MustExec(`UPDATE loans SET tries = 3`)
		before := p.cuts.Load()
		p.cutAfter(markers...)
		if _, err := s.LoanByPIN(t.Context(), l.DID, pin); p.cuts.Load() != before+1 {
			t.Fatalf("%v: nothing was cut: %v", markers, err)
		}
		var tries int
		l.must(l.db.Get(&tries, `SELECT tries FROM loans`))
		if tries < 3 {
			t.Errorf("%v: %d wrong tries are left of 3", markers, tries)
		}
	}
}

// When Postgres dies and comes back, calls get errors for a while, never a wrong
// answer; and when each has been closed in the end, it was closed once.
func TestPostgresKilledLosesNothing(t *testing.T) {
	w := newTown(t)
	client, advisor, plan := w.client(10_000_00), w.advisor(), w.plan()
	busy, killed := make(chan struct{}), make(chan struct{})
	var first sync.Once
	var wg sync.WaitGroup
	var charged, failed atomic.Int64
	until := func(do func() error) {
		for do() != nil {
			failed.Add(1)
		}
	}
	for range 8 {
		wg.Go(func() {
			for rest := 10; rest > 0; {
				o := opening(client, advisor, plan)
				var poor *ivr.NoFunds
				until(func() error {
					_, err := w.Hold(context.Background(), o)
					if errors.As(err, &poor) {
						t.Error("a dead Postgres was told as lack of money:", err)
						return nil
					}
					return err
				})
				cdr := ended(o, 150*time.Second)
				until(func() error { return w.Close(context.Background(), cdr) })
				charged.Add(int64(cdr.Charge))
				first.Do(func() { close(busy) })
				select {
				case <-killed: // some calls more after Postgres is back
					rest--
				default:
				}
			}
		})
	}
	<-busy
	w.must(exchange.Postgres.Kill())
	w.must(exchange.Postgres.Start(t.Context()))
	close(killed)
	wg.Wait()
	if posted, held := w.balance(client); int64(posted) != 10_000_00-charged.Load() || held != 0 {
		t.Errorf("posted %v, held %v; charged %v", posted, held, charged.Load())
	}
	t.Logf("%d operations failed and were done again", failed.Load())
	w.clean()
}

// A Postgres that is frozen, a pool that is used up and a row that is locked give
// an error in time, never a hang and never "no money".
func TestSlowPostgresIsAnError(t *testing.T) {
	const impatience = 300 * time.Millisecond
	w := newTown(t)
	s, err := open(t.Context(), Config{DSN: w.dsn, Key: testKey, Connections: 2}, impatience)
	w.must(err)
	t.Cleanup(func() { s.Disconnect() })
	client, advisor, plan := w.client(100_00), w.advisor(), w.plan()
	hold := func(what string) {
		t.Helper()
		begun := time.Now()
		_, err := s.Hold(t.Context(), opening(client, advisor, plan))
		var poor *ivr.NoFunds
		if err == nil || errors.As(err, &poor) {
			t.Errorf("%s: %v, want an error that is not of money", what, err)
		}
		if took := time.Since(begun); took > 10*impatience {
			t.Errorf("%s: it took %v", what, took)
		}
	}

	locked := w.superuser().MustBegin()
	locked.MustExec(`SELECT FROM accounts WHERE client = $1 FOR UPDATE`, client)
	hold("the account is locked")
	w.must(locked.Rollback())

	var taken []io.Closer
	for range 2 {
		c, err := s.db.Conn(t.Context())
		w.must(err)
		taken = append(taken, c)
	}
	hold("the pool is used up")
	for _, c := range taken {
		c.Close()
	}

	w.must(exchange.Postgres.Stop())
	hold("Postgres is frozen")
	w.must(exchange.Postgres.Cont())

	if _, err := w.Hold(t.Context(), opening(client, advisor, plan)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
