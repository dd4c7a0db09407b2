package stage

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/lab/phone"
)

// shared is the stage of the tests that break nothing. They wait for each other's
// advisors and run side by side: most of a call is waiting.
var (
	shared   *Stage
	advisors chan *Advisor // verified, each in one test at a time
)

const (
	sideBySide = 6
	patience   = 30 * time.Second // for what must happen; a busy machine takes its time
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", fmt.Sprint(sideBySide)); err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code := 1
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func setUp(ctx context.Context) (err error) {
	if shared, err = Open(ctx, Options{}); err != nil {
		shared = &Stage{}
		return err
	}
	advisors = make(chan *Advisor, sideBySide)
	faults := make(chan error, sideBySide)
	for i := range sideBySide {
		go func() {
			a, err := shared.NewVerifiedAdvisor(ctx, fmt.Sprintf("Anna %d", i))
			advisors <- a
			faults <- err
		}()
	}
	for range sideBySide {
		if fault := <-faults; fault != nil {
			err = fault
		}
	}
	return err
}

// scene is one client, one advisor and a number lent to call them.
type scene struct {
	*testing.T
	ctx     context.Context
	stage   *Stage
	client  *Client
	advisor *Advisor
	loan    Loan
}

var clients atomic.Int64

func newNumber() string { return fmt.Sprintf("+49151%08d", 10000000+clients.Add(1)) }

// newScene sets up a call on the shared stage for a client with money.
func newScene(t *testing.T, money int, loan ...string) *scene {
	advisor, ctx := borrow(t)
	return newSceneOn(t, ctx, shared, advisor, money, loan...)
}

// borrow waits for an advisor of the shared stage, who is the test's until its end.
func borrow(t *testing.T) (*Advisor, context.Context) {
	t.Parallel()
	advisor := <-advisors
	t.Cleanup(func() {
		advisor.Phone.OnCall(nil)
		for rung := true; rung; { // what a test that failed did not answer is not the next one's
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
			_, err := advisor.Phone.Accept(ctx)
			rung = err == nil
			cancel()
		}
		advisors <- advisor
	})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return advisor, ctx
}

func newSceneOn(t *testing.T, ctx context.Context, s *Stage, advisor *Advisor, money int, loan ...string) *scene {
	sc := &scene{T: t, ctx: ctx, stage: s, advisor: advisor}
	var err error
	sc.client, err = s.NewClient(ctx, "Blue Heron", newNumber(), money)
	sc.must(err)
	sc.loan, err = s.Lend(ctx, sc.client, advisor, loan...)
	sc.must(err)
	return sc
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v\n%s", err, tail(s.stage.Log(), 30))
	}
}

// dial calls the number that was lent, as the client.
func (s *scene) dial(opts ...phone.DialOption) *phone.Call {
	s.Helper()
	call, err := s.client.Phone.Dial(s.ctx, s.loan.DID, opts...)
	s.must(err)
	return call
}

// rings waits until the advisor's phone rings, and answers it.
func (s *scene) rings() *phone.Call {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	ringing, err := s.advisor.Phone.Accept(ctx)
	s.must(err)
	call, err := ringing.Answer(s.ctx)
	s.must(err)
	s.must(call.AwaitSound(ctx))
	return call
}

// talk is a call up to the talk, with both hearing each other's tone. The price is
// cut short by a key.
func (s *scene) talk() (client, advisor *phone.Call) {
	s.Helper()
	client = s.dial()
	s.must(client.Keys(s.ctx, "#"))
	advisor = s.rings()
	s.must(advisor.Keys(s.ctx, "1"))
	client.Tone(clientTone)
	advisor.Tone(advisorTone)
	s.must(client.HearsTone(s.ctx, advisorTone, patience))
	s.must(advisor.HearsTone(s.ctx, clientTone, patience))
	return client, advisor
}

// began is when the client first heard the advisor.
func (s *scene) began(client *phone.Call) time.Time {
	s.Helper()
	first, _ := client.ToneTimes(advisorTone)
	if first.IsZero() {
		s.Fatal("the client has not heard the advisor")
	}
	return first
}

// Tones in Hz that are not each other's harmonics.
const clientTone, advisorTone = 700, 1100

// hears waits until the phone has heard the prompts in turn.
func (s *scene) hears(call *phone.Call, prompts ...string) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for _, name := range prompts {
		audio, err := s.stage.Prompt(name)
		s.must(err)
		if _, err := call.Hear(ctx, audio); err != nil {
			s.Fatalf("%q is not heard: %v (ended %+v at %v)\n%s", name, err, call.EndReason(), call.EndedAt(), tail(s.stage.Log(), 30))
		}
	}
}

func (s *scene) neverHeard(call *phone.Call, prompts ...string) {
	s.Helper()
	for _, name := range prompts {
		audio, err := s.stage.Prompt(name)
		s.must(err)
		if call.HasHeard(audio) {
			s.Errorf("%q was heard", name)
		}
	}
}

// ends waits until the call is over at the phone.
func (s *scene) ends(call *phone.Call) {
	s.Helper()
	select {
	case <-call.Ended():
	case <-time.After(patience):
		s.Fatalf("a phone was left in its call\n%s", tail(s.stage.Log(), 30))
	}
}

// neverRung checks that nobody calls the advisor.
func (s *scene) neverRung() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := s.advisor.Phone.Accept(ctx); err == nil {
		s.Error("the advisor was rung")
	}
}

// recorded waits for the call's record and checks how it ended.
func (s *scene) recorded(disposition string) Call {
	s.Helper()
	call, err := s.stage.LastCall(s.ctx, s.client)
	s.must(err)
	if call.Disposition != disposition {
		s.Errorf("recorded as %q by %s, cause %d; want %q", call.Disposition, call.EndedBy, call.Cause, disposition)
	}
	return call
}

// free checks that nothing was charged and that nothing is held any more.
func (s *scene) free(call Call, money int64) {
	s.Helper()
	if call.Charge != 0 {
		s.Errorf("charged %d", call.Charge)
	}
	s.balance(money)
}

// balance checks the client's posted balance, and that none of it is held.
func (s *scene) balance(want int64) {
	s.Helper()
	var list []struct {
		ID           string
		Posted, Held int64
	}
	s.must(s.stage.ParleyJSON(s.ctx, &list, "client", "list"))
	for _, c := range list {
		if c.ID == s.client.ID {
			if c.Posted != want || c.Held != 0 {
				s.Errorf("the client has %d, of which %d is held; want %d and 0", c.Posted, c.Held, want)
			}
			return
		}
	}
	s.Error("the client is not listed")
}

// audit checks the books of the whole stage.
func (s *scene) audit() {
	s.Helper()
	_, err := s.stage.Parley(s.ctx, "ledger", "audit")
	s.must(err)
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
