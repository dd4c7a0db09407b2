package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"parley/host/client"
	"parley/lab"
	"parley/lab/stage"
)

// options say how long and how hard.
type options struct {
	lasts    time.Duration // of load
	rate     int           // acts a minute
	progress io.Writer
}

// soak is a run: the stage, who is on it, and what was seen.
type soak struct {
	options
	stage  *stage.Stage
	relay  *relay
	copies []*programCopy // of the program: one serves, the other stands by
	db     *sql.DB        // as the database's owner
	began  time.Time

	site, admin client.Client
	cast

	acts     sync.WaitGroup
	mu       sync.Mutex
	live     int // acts that go on
	outcomes map[string]*outcome
	failures []string
	faults   []fault
	samples  []sample
	quiet    []calm
}

// outcome is how the acts of a kind went.
type outcome struct {
	asMeant   int
	disturbed int // cut short by a fault, and put right
	failed    int
	talk      time.Duration // that was charged
	charged   int64
}

// programCopy is one copy of the program.
type programCopy struct {
	*lab.Service
	url     string
	metrics string
}

// plan is the stage's, with more numbers, which rest for less time: thousands of calls
// take thousands of loans.
func plan() string {
	var more strings.Builder
	for i := range 240 {
		fmt.Fprintf(&more, "  - {did: \"+4930555%05d\", country: DE}\n", 60000+i)
	}
	return strings.NewReplacer("rates:\n", more.String()+"rates:\n", "quarantine: 1h", "quarantine: 1m", "loan: 10m", "loan: 1m",
		"late: 10s", "late: 20s").Replace(stage.Plan)
}

// rtpTimeout is short, so that a phone that vanishes is noticed within an act.
const rtpTimeout = 4 * time.Second

// run does all of it; the report is of use even where there is an error.
func run(ctx context.Context, o options) (_ *soak, err error) {
	s := &soak{options: o, outcomes: map[string]*outcome{}}
	s.stage, err = stage.Open(ctx, stage.Options{Plan: plan(), RTPTimeout: rtpTimeout, Progress: o.progress})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, s.stage.Close()) }()
	if s.relay, err = newRelay(s.stage.Lab.Asterisk.URL); err != nil {
		return s, err
	}
	defer s.relay.listener.Close()
	if err := s.setUp(ctx); err != nil {
		return s, err
	}
	s.began = time.Now()
	watching, stopWatching := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(watching) })
	defer func() { stopWatching(); watch.Wait() }()

	// A third of the time the program is killed again and again. Then its processes live on
	// to the end: what they need when all is quiet is compared with what they needed then.
	if err := s.play(ctx, o.lasts/3, killing); err != nil {
		return s, err
	}
	if err := s.calmDown(ctx); err != nil {
		return s, err
	}
	if err := s.play(ctx, o.lasts-o.lasts/3, sparing); err != nil {
		return s, err
	}
	if err := s.rest(ctx); err != nil {
		return s, err
	}
	return s, s.verdict(ctx)
}

// setUp makes two copies of the program, and the people.
func (s *soak) setUp(ctx context.Context) (err error) {
	if s.db, err = sql.Open("postgres", s.stage.OwnerDSN); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(4)
	if s.site, err = s.stage.API(ctx, "--role", "site"); err != nil {
		return err
	}
	if s.admin, err = s.stage.API(ctx, "--role", "admin", "--holder", "Ada"); err != nil {
		return err
	}
	if err := s.stage.Program.Terminate(ctx); err != nil {
		return err
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	for i, addr := range []string{strings.TrimPrefix(s.stage.URL, "http://"), ports[0]} {
		c := &programCopy{url: "http://" + addr, metrics: "http://" + ports[1+i] + "/metrics"}
		settings := []string{"PARLEY_ASTERISK_URL=" + s.relay.url, "PARLEY_HTTP_ADDR=" + addr, "PARLEY_METRICS_ADDR=" + ports[1+i], "PARLEY_LOG_LEVEL=info"}
		c.Service = s.stage.Another(fmt.Sprintf("copy-%d", i+1), settings, c.answers)
		s.copies = append(s.copies, c)
		if err := c.Start(ctx); err != nil {
			return err
		}
	}
	if _, err := s.serves(ctx); err != nil {
		return err
	}
	return s.gather(ctx)
}

// freePorts are addresses on loopback that nobody listens on, each another.
func freePorts(n int) (addrs []string, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// play deals acts at the rate, and faults of a list one after the other, for a time, and
// waits until all is over.
func (s *soak) play(ctx context.Context, lasts time.Duration, faults []faultKind) error {
	until := time.Now().Add(lasts)
	s.say("%v at %d a minute", lasts, s.rate)
	var harm sync.WaitGroup
	harm.Go(func() { s.harm(ctx, until, faults) })
	tick := time.NewTicker(time.Minute / time.Duration(s.rate))
	defer tick.Stop()
	for time.Now().Before(until) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			s.begin(ctx, s.deal())
		}
	}
	harm.Wait()
	s.acts.Wait()
	return nil
}

// rest plays what was disturbed whenever it was played, in peace: a short run has faults
// all the time. Then all is to be quiet again.
func (s *soak) rest(ctx context.Context) error {
	for _, k := range kinds {
		if o := s.outcomes[k.name]; o == nil || o.asMeant == 0 {
			s.begin(ctx, k)
			pause(ctx, time.Minute/time.Duration(s.rate))
		}
	}
	s.acts.Wait()
	return s.calmDown(ctx)
}

// deal draws the next kind of act: each once in every deck, in any order, the frequent
// ones more often.
func (s *soak) deal() kind {
	if len(s.deck) == 0 {
		var rest []kind
		for _, k := range kinds {
			s.deck = append(s.deck, k)
			for range k.weight - 1 {
				rest = append(rest, k)
			}
		}
		for _, some := range [][]kind{s.deck, rest} {
			rand.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		}
		s.deck = append(s.deck, rest...)
	}
	k := s.deck[0]
	s.deck = s.deck[1:]
	return k
}

// begin lets an act begin; it ends by itself.
func (s *soak) begin(ctx context.Context, k kind) {
	s.acts.Go(func() {
		s.mu.Lock()
		s.live++
		s.mu.Unlock()
		a := &act{soak: s, kind: k, began: time.Now()}
		err := a.run(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.live--
		o := s.outcomes[k.name]
		if o == nil {
			o = &outcome{}
			s.outcomes[k.name] = o
		}
		o.talk += a.talk
		o.charged += a.charged
		switch {
		case err == nil:
			o.asMeant++
		case s.disturbedLocked(a.began, time.Now()) && !errors.Is(err, errNever):
			o.disturbed++
		default:
			o.failed++
			s.failures = append(s.failures, fmt.Sprintf("%v %s: %v", a.began.Sub(s.began).Round(time.Second), k.name, err))
			fmt.Fprintln(s.progress, "FAILED", s.failures[len(s.failures)-1])
		}
	})
}

// errNever marks what no fault excuses: money or talk that is not right.
var errNever = errors.New("this must never be")

func (s *soak) say(format string, args ...any) {
	fmt.Fprintf(s.progress, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
