package ivr_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/ivrtest"
	"parley/ivr/money"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestCalls plays every testdata/*.call: the part above "---" sets the town up,
// the part below is what must happen in it.
func TestCalls(t *testing.T) {
	files, err := filepath.Glob("testdata/*.call")
	if err != nil || len(files) == 0 {
		t.Fatalf("no calls: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".call"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			setup, want, _ := strings.Cut(string(text), "---\n")
			var town *ivrtest.Town
			synctest.Test(t, func(t *testing.T) { town = play(t, setup) })
			checkTown(t, town, setup)
			got := town.Transcript()
			if *update {
				if err := os.WriteFile(file, []byte(setup+"---\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// scene is a town and what a call in it needs.
type scene struct {
	town     *ivrtest.Town
	plan     dialplan.Plan // as it is set up
	inForce  atomic.Pointer[dialplan.Plan]
	ani      string
	script   string
	running  atomic.Pointer[ivr.Service]
	dies     time.Duration // the program is killed
	diesAt   int           // or at this line of the transcript
	stops    time.Duration // the program is asked to stop
	restarts time.Duration
}

const did = "+493055500101"

// newScene is a client with 5.00 and an advisor who answers after 3 s.
func newScene() *scene {
	town := ivrtest.NewTown()
	town.Client = &ivrtest.Person{Name: "jane", KeyAfter: time.Second}
	town.Called = &ivrtest.Person{Name: "jane again"}
	town.Advisor = &ivrtest.Person{Name: "anna", Does: "answers", Answers: 3 * time.Second, Keys: []string{"1"}, KeyAfter: time.Second}
	town.Balance = 500
	town.ANI, town.PIN, town.Code = "+4915112345601", "471100", "123456"
	town.Loan = ivr.Loan{
		ID: "loan_1", DID: did, Client: "cli_1", ClientAlias: "Blue Heron", Advisor: "adv_1", AdvisorName: "Anna",
		ClientLine: ivr.Line{Kind: ivr.Phone, Address: town.ANI},
		Line:       ivr.Line{ID: "line_1", Advisor: "adv_1", Kind: ivr.SIP, Address: "anna", Verified: true},
	}
	plan := dialplan.Plan{
		Version: 3, Currency: "EUR", Language: "en", CallerID: "+493055500100", Waiting: dialplan.Music,
		Numbers:      []dialplan.Number{{DID: did, Country: "DE"}},
		Rates:        map[string]dialplan.Rate{"standard": {Rate: money.Rate{PerMinute: 100, Increment: time.Minute}, AdvisorPercent: 60}},
		Destinations: dialplan.Destinations{"DE": {dialplan.Mobile}},
		Limits: dialplan.Limits{
			Ring: 20 * time.Second, Accept: 10 * time.Second, LongestTalk: 10 * time.Minute,
			Predetermined: dialplan.Predetermined{Default: 2 * time.Minute, Least: time.Minute, Most: 5 * time.Minute},
			Warnings:      []time.Duration{2 * time.Minute, time.Minute, 20 * time.Second},
			EntryTries:    3, Loan: 10 * time.Minute,
			Concurrent: dialplan.Concurrent{All: 10, PerClient: 1, PerAdvisor: 1},
		},
	}
	return &scene{town: town, plan: plan, ani: town.ANI, script: "client"}
}

// set applies one line of a transcript's setup.
func (s *scene) set(t *testing.T, text string) {
	w := strings.Fields(text)
	duration := func(i int) time.Duration {
		d, err := time.ParseDuration(w[i])
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return d
	}
	number := func(i int) int {
		n, err := strconv.Atoi(w[i])
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return n
	}
	switch w[0] {
	case "script":
		s.script = w[1]
	case "balance":
		s.town.Balance = money.Amount(number(1))
	case "rate":
		rate := s.plan.Rates["standard"]
		rate.PerMinute, rate.Increment = money.Amount(number(1)), duration(2)
		s.plan.Rates["standard"] = rate
	case "longest":
		s.plan.Limits.LongestTalk = duration(1)
	case "topic":
		s.town.Loan.Topic = w[1]
	case "loan":
		s.town.LoanErr = map[string]error{"none": ivr.ErrNoLoan, "expired": ivr.ErrLoanExpired}[w[1]]
	case "line":
		s.town.Loan.Line.Verified = w[1] != "unverified"
		if w[1] == "telephone" {
			s.town.Loan.Line.Kind, s.town.Loan.Line.Address = ivr.Phone, w[2]
		}
	case "ledger":
		s.town.LedgerErr = map[string]error{
			"down": errors.New("connection refused"), "cap": &ivr.NoFunds{Missing: 100, ByCap: true}, "client-busy": ivr.ErrClientBusy,
			"advisor-busy": ivr.ErrAdvisorBusy, "all-busy": ivr.ErrAllBusy,
		}[w[1]]
	case "code":
		s.town.CodeErr = ivr.ErrChallengeOver
	case "deposit":
		amount := money.Amount(number(1))
		time.AfterFunc(duration(3), func() { s.town.Deposit(amount) })
	case "close-fails":
		s.town.CloseErrs = number(1)
	case "faults":
		s.town.FaultSeed = uint64(number(1))
	case "card":
		s.town.Card = w[1]
		s.plan.TopUp = dialplan.TopUp{Amount: 200, KeyWithin: 8 * time.Second}
	case "rated":
		s.plan.Limits.RatedTalk = duration(1)
	case "greeting":
		s.town.Loan.Greeting = "greeting:adv_1/1"
	case "appointment": // at 2m until 5m length 3m
		now := time.Now()
		s.town.Loan.Appointment = &ivr.Appointment{At: now.Add(duration(2)), Until: now.Add(duration(4)), Terms: s.plan.Terms("adv_1", dialplan.Wish{}).Lasting(duration(6))}
	case "next-appointment":
		s.town.Loan.FreeUntil = time.Now().Add(duration(2))
	case "plan": // longest 3m follows after 2m
		longest, follows := duration(2), dialplan.LiveCalls(w[3])
		time.AfterFunc(duration(5), func() {
			plan := *s.inForce.Load()
			plan.Version++
			plan.Limits.LongestTalk, plan.Limits.LiveCalls = longest, follows
			s.inForce.Store(&plan)
			s.town.Note("plan %d: %v at most, calls that are up %s", plan.Version, longest, follows)
			s.running.Load().Follow(&plan)
		})
	case "host": // ends the call after 2m
		time.AfterFunc(duration(3), func() {
			for _, call := range s.running.Load().Calls() {
				s.town.Note("the host ends the call")
				s.running.Load().End(call.ID, "abuse")
			}
		})
	case "program":
		switch w[1] {
		case "dies":
			s.dies = duration(2)
		case "dies-at": // line 7 restarts 20s
			s.diesAt = number(3)
		case "stops":
			s.stops = duration(2)
		}
		if len(w) > 3 {
			s.restarts = duration(len(w) - 1)
		}
	case "client", "advisor", "called":
		s.person(t, w, duration)
	default:
		t.Fatalf("unknown: %s", text)
	}
}

func (s *scene) person(t *testing.T, w []string, duration func(int) time.Duration) {
	who := s.town.Client
	switch w[0] {
	case "advisor":
		who = s.town.Advisor
	case "called":
		who = s.town.Called
	}
	switch w[1] {
	case "calls-from":
		s.ani = strings.TrimPrefix(w[2], "withheld")
	case "hangs-up":
		who.HangsUp = duration(2)
	case "vanishes":
		who.Vanishes = duration(2)
	case "keys":
		who.Keys = nil
		for _, key := range w[2:] {
			who.Keys = append(who.Keys, strings.TrimPrefix(key, "-"))
		}
	case "thinks":
		who.KeyAfter = duration(2)
	case "busy", "unreachable":
		who.Does = w[1]
	case "telephone":
		s.town.Loan.ClientLine.Address = w[2]
	case "never":
		who.Does = ""
	case "answers", "declines":
		who.Does, who.Answers = w[1], duration(2)
	default:
		t.Fatalf("unknown: %v", w)
	}
}

// service is a copy of the program in the town, and how to make it stop.
func (s *scene) service(p *ivrtest.Program) (*ivr.Service, context.CancelFunc) {
	stopping, stop := context.WithCancel(context.Background())
	service := &ivr.Service{
		Switch: p, Ledger: p, Directory: p, Verifications: p, Desk: p, Payments: p, Stopping: stopping,
		Plan: func() (*dialplan.Plan, error) { return s.inForce.Load(), nil },
		Log:  slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	s.running.Store(service)
	return service, stop
}

// play runs one call to its end and returns its town.
func play(t *testing.T, setup string) *ivrtest.Town {
	s := newScene()
	for _, line := range strings.Split(strings.TrimSpace(setup), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			s.set(t, line)
		}
	}
	s.inForce.Store(&s.plan)
	town, program := s.town, s.town.Program()
	service, stop := s.service(program)
	if s.dies > 0 {
		time.AfterFunc(s.dies, func() { town.Note("the program dies"); program.Die(); stop() })
	}
	restart := func() {
		town.Note("the program starts")
		again, stopAgain := s.service(town.Program())
		if err := again.RecoverUntilDone(context.Background()); err != nil {
			t.Error(err)
		}
		proving, done := context.WithCancel(context.Background())
		go again.ProveTalks(proving)
		time.AfterFunc(time.Hour, func() { done(); stopAgain() })
	}
	if s.diesAt > 0 {
		town.OnNote = func(lines int) {
			if lines == s.diesAt {
				program.Die()
				go stop()
				time.AfterFunc(s.restarts, restart)
			}
		}
	}
	if s.stops > 0 {
		time.AfterFunc(s.stops, func() { town.Note("the program stops"); stop() })
	}
	if s.restarts > 0 && s.diesAt == 0 {
		time.AfterFunc(s.restarts, restart)
	}
	proving, done := context.WithCancel(context.Background())
	go service.ProveTalks(proving)
	switch s.script {
	case "verification":
		_ = service.Verify(ivr.Challenge{ID: "ver_1", Line: town.Loan.Line})
	case "call-back":
		service.Place(ivr.Placed{Call: ivr.CallID(ivr.NewID("call")), Kind: ivr.CallBack, Loan: town.Loan})
	default:
		service.Serve(program.View(town.PickUp(town.Client, "sip-1")), did, s.ani)
	}
	done()
	time.Sleep(2 * time.Hour) // in the bubble: until nothing can happen any more
	stop()
	program.Die()
	synctest.Wait()
	return town
}

// checkTown checks what must hold of every call.
func checkTown(t *testing.T, town *ivrtest.Town, setup string) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s\n%s---\n%s", fmt.Sprintf(format, args...), setup, town.Transcript())
	}
	for _, fault := range town.Faults {
		fail("%s", fault)
	}
	if town.Up() != 0 {
		fail("%d legs were left up", town.Up())
	}
	if town.Held() != 0 {
		fail("%v is still held", town.Held())
	}
	if town.Balance < 0 {
		fail("the balance is %v", town.Balance)
	}
	died := strings.Contains(setup, "program dies") || strings.Contains(setup, "program stops")
	faulty := strings.Contains(setup, "faults ")
	if died && !town.Opened && len(town.CDRs) == 0 {
		return // a program that died may leave no record of a call that held nothing
	}
	if len(town.CDRs) != 1 {
		fail("%d CDRs, want one", len(town.CDRs))
		return
	}
	rate := money.Rate{PerMinute: 100, Increment: time.Minute}
	if strings.Contains(setup, "rate 199 1s") {
		rate = money.Rate{PerMinute: 199, Increment: time.Second}
	}
	if charge, most := town.CDRs[0].Charge, rate.Charge(town.Talked); charge > most {
		fail("charged %v for %v of talk, which costs %v", charge, town.Talked, most)
	}
	// The switch's own timer ends a talk that nobody watches.
	if longest := rate.Buys(town.Funded) + 3*time.Second; town.Talked > longest {
		fail("they talked for %v; what was held pays for %v", town.Talked, rate.Buys(town.Funded))
	}
	// Where commands fail, the switch's own timer may end a talk up to 2 s after its money.
	free := time.Second
	if faulty {
		free = 3 * time.Second
	}
	if charge, least := town.CDRs[0].Charge, rate.Charge(town.Talked-free); !died && charge < least {
		fail("charged %v for %v of talk, which costs %v", charge, town.Talked, least)
	}
	if town.CDRs[0].Disposition == ivr.Failed && !faulty && !strings.Contains(setup, "ledger down") {
		fail("failed for no reason")
	}
}
