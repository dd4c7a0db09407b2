package faults

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"

	"parley/lab/phone"
	"parley/lab/stage"
)

const (
	perSecond = 10               // minor units, by the stage's plan
	plenty    = 6000             // ten minutes
	patience  = 30 * time.Second // for what must happen
	recovers  = 30 * time.Second // from when the fault is healed
)

// Tones in Hz that are not each other's harmonics.
const clientTone, advisorTone = 700, 1100

// scene is one Parley with an advisor, whose program reaches everything over wires.
type scene struct {
	*testing.T
	*stage.Stage
	ctx                       context.Context
	asterisk, postgres, redis *wire
	db                        *sql.DB // as the database's owner, past the wires
	anna                      *stage.Advisor

	pairs     []*pair
	healed    time.Time
	recovered chan time.Duration // since then, to readiness
	saw       sight
}

// sight is what a fault showed.
type sight struct {
	silence, recovery time.Duration
	money             int64 // charged more than what was heard costs; below 0: less
	dropped           int   // talks that ended and that nobody had ended
	notes             []string
}

// newScene opens a stage that a fault may break.
func newScene(t *testing.T, o stage.Options) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	s := &scene{T: t, ctx: ctx}
	o.Settings, o.Binary = s.wired, program
	var err error
	if s.Stage, err = stage.Open(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stage.Close(); err != nil {
			t.Error(err)
		}
		for _, w := range []*wire{s.asterisk, s.postgres, s.redis} {
			w.Close()
		}
	})
	s.db, err = sql.Open("postgres", s.OwnerDSN)
	s.must(err)
	t.Cleanup(func() { s.db.Close() })
	s.anna, err = s.NewVerifiedAdvisor(ctx, "Anna")
	s.must(err)
	return s
}

// wired puts the wires in, and makes the program use them.
func (s *scene) wired(st *stage.Stage) (settings []string, err error) {
	s.Stage = st
	host := func(url string) string {
		_, rest, _ := strings.Cut(url, "://")
		host, _, _ := strings.Cut(rest, "/")
		return host
	}
	for _, w := range []struct {
		at      **wire
		server  string
		setting string
	}{
		{&s.asterisk, host(st.Lab.Asterisk.URL), "PARLEY_ASTERISK_URL"},
		{&s.postgres, st.Lab.Postgres.Addr, "PARLEY_POSTGRES_DSN"},
		{&s.redis, st.Lab.Redis.Addr, "PARLEY_REDIS_ADDR"},
	} {
		if *w.at, err = newWire(w.server); err != nil {
			return nil, err
		}
		for _, one := range st.Env {
			if name, value, _ := strings.Cut(one, "="); name == w.setting {
				settings = append(settings, name+"="+strings.Replace(value, w.server, (*w.at).Addr(), 1))
			}
		}
	}
	return settings, nil
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v\n%s", err, s.tail())
	}
}

// tail is the end of the program's log.
func (s *scene) tail() string {
	lines := strings.Split(strings.TrimSpace(s.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// note adds to what was seen.
func (s *scene) note(format string, args ...any) {
	s.saw.notes = append(s.saw.notes, fmt.Sprintf(format, args...))
}

// heal marks the moment in which the cause of the fault is gone, or is about to go: from
// then on it is watched when the program serves again.
func (s *scene) heal() {
	healed, recovered := time.Now(), make(chan time.Duration, 1)
	s.healed, s.recovered = healed, recovered
	go func() {
		defer close(recovered)
		if eventually(recovers, s.ready) {
			recovered <- time.Since(healed)
		}
	}()
}

// restart starts the program again.
func (s *scene) restart() {
	s.Helper()
	s.heal()
	s.must(s.Program.Start(s.ctx))
}

var numbers atomic.Int64

// pair is a client and a call of theirs to an advisor.
type pair struct {
	s       *scene
	client  *stage.Client
	advisor *stage.Advisor
	loan    stage.Loan
	money   int64

	c, a    *phone.Call // as the two phones have it; a is nil until it has rung
	began   time.Time   // they heard each other
	over    time.Time   // somebody hung up, or should have been cut off
	allowed time.Duration
}

// caller is a client with money and a number lent to call the advisor.
func (s *scene) caller(money int64) *pair {
	s.Helper()
	return s.callerOf(s.anna, money)
}

func (s *scene) callerOf(advisor *stage.Advisor, money int64) *pair {
	s.Helper()
	number := fmt.Sprintf("+49151%08d", 20000000+numbers.Add(1))
	client, err := s.NewClient(s.ctx, "Blue Heron", number, int(money))
	s.must(err)
	loan, err := s.Lend(s.ctx, client, advisor)
	s.must(err)
	p := &pair{s: s, client: client, advisor: advisor, loan: loan, money: money, allowed: time.Second}
	s.pairs = append(s.pairs, p)
	return p
}

// dials calls the number that was lent, and is answered.
func (p *pair) dials(opts ...phone.DialOption) *pair {
	p.s.Helper()
	var err error
	p.c, err = p.client.Phone.Dial(p.s.ctx, p.loan.DID, opts...)
	p.s.must(err)
	return p
}

// skips presses a key for the price not to be told in full.
func (p *pair) skips() *pair {
	p.s.Helper()
	p.s.must(p.c.AwaitSound(p.s.ctx))
	p.s.must(p.c.Keys(p.s.ctx, "#"))
	return p
}

// rings waits until the advisor's phone rings.
func (p *pair) rings() *phone.Incoming {
	p.s.Helper()
	ctx, cancel := context.WithTimeout(p.s.ctx, patience)
	defer cancel()
	ringing, err := p.advisor.Phone.Accept(ctx)
	p.s.must(err)
	p.s.must(ringing.Ring())
	return ringing
}

// answers has the advisor answer the phone.
func (p *pair) answers() *pair {
	p.s.Helper()
	var err error
	p.a, err = p.rings().Answer(p.s.ctx)
	p.s.must(err)
	p.s.must(p.a.AwaitSound(p.s.ctx))
	return p
}

// talks is all of it up to the talk.
func (p *pair) talks() *pair {
	p.s.Helper()
	p.dials().skips().answers()
	p.s.must(p.a.Keys(p.s.ctx, "1"))
	p.hear()
	return p
}

// hear waits until the two hear each other.
func (p *pair) hear() {
	p.s.Helper()
	p.c.Tone(clientTone)
	p.a.Tone(advisorTone)
	p.hearStill()
	p.began, _ = p.c.ToneTimes(advisorTone)
}

// hearStill waits until the two hear each other from now on.
func (p *pair) hearStill() {
	p.s.Helper()
	p.s.must(p.c.HearsTone(p.s.ctx, advisorTone, patience))
	p.s.must(p.a.HearsTone(p.s.ctx, clientTone, patience))
}

// hangUp has the client end the talk.
func (p *pair) hangUp() {
	p.s.Helper()
	p.over = time.Now()
	p.s.must(p.c.Hangup(p.s.ctx))
	p.s.ends(p.a)
}

// talk is a new client's talk with the advisor.
func (s *scene) talk(money int64) *pair {
	s.Helper()
	return s.caller(money).talks()
}

// ends waits until a phone's call is over.
func (s *scene) ends(call *phone.Call) {
	s.Helper()
	s.endsWithin(call, patience)
}

func (s *scene) endsWithin(call *phone.Call, limit time.Duration) {
	s.Helper()
	select {
	case <-call.Ended():
	case <-time.After(limit):
		s.Errorf("a phone was left in its call for %v\n%s", limit, s.tail())
	}
}

// hears waits until a phone has heard the prompts, one after the other.
func (s *scene) hears(call *phone.Call, limit time.Duration, prompts ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	for _, name := range prompts {
		audio, err := s.Prompt(name)
		s.must(err)
		if _, err := call.Hear(ctx, audio); err != nil {
			s.Errorf("%q is not heard: %v\n%s", name, err, s.tail())
			return
		}
	}
}

// neverRung checks that the advisor's phone has not rung any more.
func (p *pair) neverRung() {
	p.s.Helper()
	ctx, cancel := context.WithTimeout(p.s.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := p.advisor.Phone.Accept(ctx); err == nil {
		p.s.Error("the advisor was rung")
	}
}

// eventually asks again and again what nothing tells of.
func eventually(limit time.Duration, done func() bool) bool {
	for give := time.Now().Add(limit); time.Now().Before(give); time.Sleep(25 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}

// until waits for something that must become so.
func (s *scene) until(what string, done func() bool) {
	s.Helper()
	if !eventually(patience, done) {
		s.Errorf("not in %v: %s\n%s", patience, what, s.tail())
	}
}

// says waits until the program has logged a message for the nth time.
func (s *scene) says(msg string, nth int) {
	s.Helper()
	s.until("the log says "+msg, func() bool { return strings.Count(s.Log(), msg) >= nth })
}

// ready asks the program whether it serves.
func (s *scene) ready() bool {
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// notReady waits until the program has noticed.
func (s *scene) notReady() {
	s.Helper()
	s.until("the program is not ready", func() bool { return !s.ready() })
}

// record is a client's call in the database.
type record struct {
	id          string
	charge      int64
	talk        time.Duration
	ended       bool
	disposition string
}

// record is the client's last call; its ID is "" where there is none.
func (p *pair) record() (r record) {
	p.s.Helper()
	err := p.s.db.QueryRowContext(p.s.ctx, `
		SELECT c.id, coalesce(c.charge, 0), coalesce((SELECT sum(talk_ns) FROM segments WHERE call = c.id), 0)::bigint,
			c.ended_at IS NOT NULL, coalesce(c.disposition, '')
		FROM calls c WHERE c.client = $1 ORDER BY c.id DESC LIMIT 1`, p.client.ID).Scan(&r.id, &r.charge, &r.talk, &r.ended, &r.disposition)
	if err != nil && err != sql.ErrNoRows {
		p.s.Fatal(err)
	}
	return r
}

// recorded waits until the client's call is closed, and checks how it ended.
func (p *pair) recorded(disposition string) (r record) {
	p.s.Helper()
	p.s.until("the call is settled", func() bool { r = p.record(); return r.ended })
	if r.disposition != disposition {
		p.s.Errorf("recorded as %q, want %q", r.disposition, disposition)
	}
	return r
}
