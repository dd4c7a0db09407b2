// Package ivrtest is a telephone town for tests: people who dial, press keys,
// answer and hang up at set times, and a ledger they pay from. It runs inside a
// synctest bubble, so that an hour's call takes no time. The town writes down
// what everyone heard and did; that transcript is what tests compare, and its
// own measure of the talk is what charges are checked against.
package ivrtest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

// PromptLength is how long every prompt of the town takes to say.
const PromptLength = 2 * time.Second

// How long the network and the database take. That they take any time also puts
// what happens at one instant in one order.
const (
	dialLatency   = 50 * time.Millisecond
	ledgerLatency = 10 * time.Millisecond
)

// Town is a fake of everything a call touches. Set it up before the first call.
type Town struct {
	Client  *Person
	Advisor *Person
	Called  *Person // the client, when called again
	Loan    ivr.Loan
	ANI     string // from which the client is known
	PIN     string
	Code    string // of the verification challenge
	LoanErr error  // what the directory answers, when set
	CodeErr error  // what checking a code answers, when set
	Card    string // with which the client pays by key: "ok", "declined", "lost" or "" for none

	Balance   money.Amount    // posted, of the one client
	LedgerErr error           // what Hold answers, when set
	OnNote    func(lines int) // is told of each line of the transcript; must not wait
	CloseErrs int             // how often Close fails before it succeeds
	FaultSeed uint64          // decides what fails, is lost or slow; 0: nothing

	mu     sync.Mutex
	start  time.Time
	lines  []string
	legs   map[string]*Leg
	bridge map[ivr.CallID]*Talk
	calls  map[ivr.CallID]*record
	held   money.Amount
	bought map[purchase]bool

	operations map[string]int // of each name so far; see suffer

	// For the invariants.
	CDRs   []ivr.CDR
	Talked time.Duration // that both could hear each other, as the town saw it
	Opened bool          // a call was held
	Funded money.Amount  // all that was held for calls
	Faults []string      // what must never happen, and did
}

// Person is someone with a phone, and how they behave.
type Person struct {
	Name     string
	Does     string        // an advisor's line: "answers", "busy", "declines", "unreachable" or "" for never
	Answers  time.Duration // after this long
	HangsUp  time.Duration // this long after the leg began; never when zero
	Vanishes time.Duration // as HangsUp, without hanging up
	Keys     []string      // at successive questions; "" is silence
	KeyAfter time.Duration // how long they think before they press
}

func NewTown() *Town {
	return &Town{
		start: time.Now(), legs: map[string]*Leg{},
		bridge: map[ivr.CallID]*Talk{}, calls: map[ivr.CallID]*record{}, bought: map[purchase]bool{},
	}
}

// Transcript is everything that happened, a line each.
func (t *Town) Transcript() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n") + "\n"
}

// Note writes a line into the transcript.
func (t *Town) Note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note(format, args...)
}

func (t *Town) note(format string, args ...any) {
	at := time.Since(t.start)
	stamp := fmt.Sprintf("%d:%04.1f", int(at.Minutes()), (at % time.Minute).Seconds())
	t.lines = append(t.lines, fmt.Sprintf("%7s  ", stamp)+fmt.Sprintf(format, args...))
	if t.OnNote != nil {
		t.OnNote(len(t.lines))
	}
}

// Up is how many legs are off the hook.
func (t *Town) Up() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.legs)
}

// Held is what is set aside and not settled.
func (t *Town) Held() money.Amount {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held
}

// Program is the town as one running copy of the program sees it. After Die
// nothing that the copy does has any effect, and it learns nothing more.
type Program struct {
	*Town
	alive context.Context
	Die   context.CancelFunc
}

// Program starts a copy of the program.
func (t *Town) Program() *Program {
	alive, die := context.WithCancel(context.Background())
	return &Program{Town: t, alive: alive, Die: die}
}

// dead is what a dead program's calls return; nobody is left to read it.
func (p *Program) dead() error {
	if p.alive.Err() != nil {
		return errDead
	}
	return nil
}

var errDead = fmt.Errorf("%w: this program is dead", ivr.ErrHandedOver)

// sleep waits for d, as long as ctx and the program live.
func (p *Program) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-p.alive.Done():
		return errDead
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
