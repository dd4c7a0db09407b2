// Package abuse is what strangers, callers, clients, advisors and pages try on a whole
// Parley: guessing, floods, broken messages, hostile words. Each test asserts what must
// hold and says what it measured; `make abuse` runs the long forms and writes the table.
package abuse

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/host/client"
	"parley/lab/phone"
	"parley/lab/stage"
)

var (
	long  = flag.Bool("long", false, "the long forms: some half an hour")
	table = flag.String("table", "", "the file to write the table to")
)

// amount is short in `make test` and long in `make abuse`.
func amount(short, full int) int {
	if *long {
		return full
	}
	return short
}

// shared is the stage of all tests here, and who may do much on it.
var (
	shared      *stage.Stage
	site, admin client.Client
)

const patience = 60 * time.Second // for what must happen; a busy machine takes its time

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "4"); err != nil { // what is parallel mostly waits, and measures nothing
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code := 1
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
		if err := atRest(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if *table != "" {
		if err := os.WriteFile(*table, []byte(tried.String()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func setUp(ctx context.Context) (err error) {
	if shared, err = stage.Open(ctx, stage.Options{Plan: plan(), RTPTimeout: 5 * time.Second, Settings: func(*stage.Stage) ([]string, error) {
		return []string{"PARLEY_WEBHOOKS_ALLOW_PRIVATE=no"}, nil // as in production
	}}); err != nil {
		shared = &stage.Stage{}
		return err
	}
	if site, err = shared.API(ctx, "--role", "site"); err == nil {
		admin, err = shared.API(ctx, "--role", "admin", "--holder", "Ada")
	}
	return err
}

// plan is the stage's, with numbers enough for many loans.
func plan() string {
	var more strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&more, "  - {did: \"+4930555002%03d\", country: DE}\n", n)
	}
	text := strings.Replace(stage.Plan, "rates:\n", more.String()+"rates:\n", 1)
	text = strings.Replace(text, "quarantine: 1h", "quarantine: 1s", 1)
	return strings.Replace(text, "loan: 10m", "loan: 1h", 1)
}

// row is one line of the table.
type row struct{ name, tried, seen, held string }

type rows struct {
	mu   sync.Mutex
	list []row
}

var tried rows

// record puts what a test tried and saw into the table; whether it held is what the
// test says when it is over.
func record(t *testing.T, what, seen string, args ...any) {
	t.Helper()
	seen = fmt.Sprintf(seen, args...)
	t.Logf("%s: %s", what, seen)
	t.Cleanup(func() {
		held := map[bool]string{false: "yes", true: "**no**"}[t.Failed()]
		tried.mu.Lock()
		defer tried.mu.Unlock()
		tried.list = append(tried.list, row{t.Name(), what, seen, held})
	})
}

func (r *rows) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	commit, _ := exec.Command("git", "describe", "--always", "--dirty").Output() // empty outside of a repository
	var text strings.Builder
	fmt.Fprintf(&text, "# What was tried, and what was seen\n\n`make abuse` on %s, commit %s, %d processors, %s.\n\n",
		time.Now().UTC().Format("2006-01-02 15:04 UTC"), strings.TrimSpace(string(commit)), runtime.NumCPU(), runtime.Version())
	text.WriteString("| test | tried | seen | held |\n|---|---|---|---|\n")
	slices.SortStableFunc(r.list, func(a, b row) int { return strings.Compare(a.name, b.name) })
	for _, row := range r.list {
		fmt.Fprintf(&text, "| %s | %s | %s | %s |\n", row.name, row.tried, row.seen, row.held)
	}
	return text.String()
}

// scene is a test with what it needs of the stage.
type scene struct {
	*testing.T
	ctx context.Context
}

func newScene(t *testing.T) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(amount(4, 25))*time.Minute)
	t.Cleanup(cancel)
	return &scene{t, ctx}
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(shared.Log()), "\n")
		s.Fatalf("%v\n%s", err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}

// key is a new Idempotency-Key.
func key() string { return "key-" + rand.Text() }

var people atomic.Int64

func newNumber() string { return fmt.Sprintf("+49151%08d", 70000000+people.Add(1)) }

// patiently asks again where it was asked too fast: what many tests ask by one token.
func patiently[T any](s *scene, ask func() (T, error)) T {
	s.Helper()
	for {
		answer, err := ask()
		var no *client.Problem
		if !errors.As(err, &no) || no.Code != "too_many" {
			s.must(err)
			return answer
		}
		time.Sleep(time.Duration(no.RetryAfter) * time.Second)
	}
}

// caller is a client with a telephone and a session.
type caller struct {
	*stage.Client
	session client.Client
}

func (s *scene) newCaller(alias string, money int64) *caller {
	s.Helper()
	number := newNumber()
	account := patiently(s, func() (client.Account, error) {
		return admin.AddClient(s.ctx, key(), client.NewClient{Alias: alias, Phone: number, Currency: "EUR"})
	})
	if money > 0 {
		patiently(s, func() (client.Account, error) {
			return site.Deposit(s.ctx, key(), client.Deposit{Client: account.ID, Payment: "pay-" + account.ID, Amount: money, Currency: "EUR"})
		})
	}
	token := patiently(s, func() (client.Token, error) { return site.NewSession(s.ctx, key(), account.ID, time.Hour) })
	return &caller{&stage.Client{ID: account.ID, Number: number, Phone: shared.Carrier.Phone(number)},
		client.Client{URL: shared.URL, Token: token.Secret}}
}

// advisor has a line and the app's token.
type advisor struct {
	*stage.Advisor
	app client.Client
}

// newAdvisor's line is a SIP phone of its own, not verified; where number is not "", that
// telephone.
func (s *scene) newAdvisor(name, number string) *advisor {
	s.Helper()
	profile := patiently(s, func() (client.AdvisorProfile, error) {
		return admin.AddAdvisor(s.ctx, key(), client.AdvisorChange{Name: &name})
	})
	a := &advisor{Advisor: &stage.Advisor{ID: profile.ID, Name: name, Number: number}}
	token := patiently(s, func() (client.Token, error) {
		return admin.NewAdvisorToken(s.ctx, key(), a.ID, name, time.Hour)
	})
	a.app = client.Client{URL: shared.URL, Token: token.Secret}
	kind := "sip"
	if number != "" {
		kind = "phone"
	}
	line, err := a.app.AddLine(s.ctx, key(), a.ID, kind, number)
	s.must(err)
	a.Line = line.ID
	if number != "" {
		a.Phone = shared.Carrier.Phone(number)
		return a
	}
	for give := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // the endpoint is made on a notice
		a.Phone, err = phone.Register(s.ctx, advisorsHost+":0", shared.Lab.Asterisk.SIPAddr, line.Credentials.User, line.Credentials.Password)
		if err == nil || time.Now().After(give) {
			s.must(err)
			return a
		}
	}
}

// advisorsHost is where advisors' own phones are, so that their address is not the carrier's.
const advisorsHost = "127.0.0.5"

// verify has the advisor verify the line by telephone, and returns the code. A key that is
// lost on a busy machine is a wrong code: they ask for another call, as people do.
func (s *scene) verify(a *advisor) (code string, call *phone.Call) {
	s.Helper()
	for range 3 {
		asked, err := a.app.VerifyLine(s.ctx, key(), a.Line)
		s.must(err)
		call = s.answer(a.Phone)
		_ = call.Keys(s.ctx, asked.Code+"#") // the code is right before the last key
		if s.verified(a, asked.ID) {
			s.must(call.Hangup(s.ctx))
			return asked.Code, call
		}
		s.ends(call)
	}
	s.must(fmt.Errorf("the line of %s is not verified", a.Name))
	return "", nil
}

// verified waits for how a verification ends.
func (s *scene) verified(a *advisor, verification string) bool {
	s.Helper()
	for give := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		v, err := a.app.Verification(s.ctx, verification)
		s.must(err)
		switch {
		case v.State == "verified":
			return true
		case v.State == "failed" || time.Now().After(give):
			return false
		}
	}
}

// answer waits for a call, and takes it.
func (s *scene) answer(p *phone.Phone) *phone.Call {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	ringing, err := p.Accept(ctx)
	s.must(err)
	call, err := ringing.Answer(ctx)
	s.must(err)
	return call
}

func (s *scene) hears(call *phone.Call, prompts ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for _, name := range prompts {
		audio, err := shared.Prompt(name)
		s.must(err)
		if _, err := call.Hear(ctx, audio); err != nil {
			s.must(fmt.Errorf("%q is not heard: %w", name, err))
		}
	}
}

func (s *scene) ends(call *phone.Call) {
	s.Helper()
	select {
	case <-call.Ended():
	case <-time.After(patience):
		s.must(fmt.Errorf("a phone was left in its call"))
	}
}

// clean checks the books.
func (s *scene) clean() {
	s.Helper()
	_, err := shared.Parley(s.ctx, "ledger", "audit")
	s.must(err)
}

// await asks again and again what nothing tells of.
func (s *scene) await(what string, done func() bool) {
	s.Helper()
	for give := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(give) {
			s.must(fmt.Errorf("not so within %v: %s", patience, what))
		}
	}
}

// atRest waits until Asterisk has no call left.
func atRest(ctx context.Context) error {
	for give := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		said, err := shared.Lab.Asterisk.CLI(ctx, "core show channels count")
		if err != nil || strings.HasPrefix(strings.TrimSpace(said), "0 active channels") {
			return err
		}
		if time.Now().After(give) {
			return fmt.Errorf("Asterisk has not come to rest: %s", said)
		}
	}
}

// newSceneBeside is a scene that others run beside, but for the long forms, which are a
// load already.
func newSceneBeside(t *testing.T) *scene {
	if !*long {
		t.Parallel()
	}
	return newScene(t)
}

// Tones in Hz that are not each other's harmonics.
const clientTone, advisorTone = 700, 1100

// talk is two people who hear each other's tone.
type talk struct{ client, advisor *phone.Call }

func (s *scene) talk(c *caller, a *advisor, opts ...phone.DialOption) talk {
	s.Helper()
	loan, err := shared.Lend(s.ctx, c.Client, a.Advisor)
	s.must(err)
	return s.talkBy(c.Phone, loan.DID, a, "#", opts...)
}

// talkBy dials a lent number, keys what gets past what is said, and has the advisor accept.
func (s *scene) talkBy(p *phone.Phone, did string, a *advisor, keys string, opts ...phone.DialOption) talk {
	s.Helper()
	dialled, err := p.Dial(s.ctx, did, opts...)
	s.must(err)
	s.must(dialled.Keys(s.ctx, keys))
	return s.joined(dialled, a)
}

// joined has the advisor accept the call, and both hear each other.
func (s *scene) joined(dialled *phone.Call, a *advisor) talk {
	s.Helper()
	answered := s.answer(a.Phone)
	s.must(answered.Keys(s.ctx, "1"))
	dialled.Tone(clientTone)
	answered.Tone(advisorTone)
	s.must(dialled.HearsTone(s.ctx, advisorTone, patience))
	s.must(answered.HearsTone(s.ctx, clientTone, patience))
	return talk{dialled, answered}
}

// end hangs up, and waits until both have.
func (s *scene) end(t talk) {
	s.Helper()
	s.must(t.client.Hangup(s.ctx))
	s.ends(t.advisor)
}

// share is how much of the other's tone each has heard, the worse of both.
func (t talk) share(from, to time.Time) float64 {
	return min(t.client.ToneShare(advisorTone, from, to), t.advisor.ToneShare(clientTone, from, to))
}

// inTurn does things at once, so many at a time.
func inTurn(n, atOnce int, do func(i int)) {
	var all sync.WaitGroup
	next := atomic.Int64{}
	for range atOnce {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}
