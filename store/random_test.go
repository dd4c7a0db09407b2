package store

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

var (
	seeds = flag.Int("seeds", 200, "how many random days TestHostAtRandom plays")
	first = flag.Uint64("first", 0, "the first of them")
)

// Whatever clients, advisors, calls and the clock do to the host, and whenever a request
// is lost, its answer, or the program: nobody has two calls, nobody is passed over in line,
// an appointment is called once, refusals have a reason, no money is made or lost, and at
// the end of the day everyone is free and nothing is held. A seed replays.
func TestHostAtRandom(t *testing.T) {
	var next atomic.Uint64
	next.Store(*first)
	begun := time.Now()
	for range runtime.GOMAXPROCS(0) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for more := true; more && !t.Failed(); {
				t.Run("", func(t *testing.T) { more = someDays(t, &next) })
			}
		})
	}
	t.Cleanup(func() { t.Logf("%d days in %v", *seeds, time.Since(begun).Round(time.Second)) })
}

// someDays plays as many days as a database sees, and reports whether there may be more.
func someDays(t *testing.T, next *atomic.Uint64) (more bool) {
	var h *chance
	for range inADatabase {
		seed := next.Add(1) - 1
		if seed >= *first+uint64(*seeds) {
			break
		}
		if h == nil {
			h = newChance(t)
		}
		if err := h.day(seed); err != nil {
			t.Errorf("# seed %d\n%s\n%v", seed, strings.Join(h.told, "\n"), err)
			return false
		}
		more = true
	}
	if more {
		h.clean()
	}
	return more
}

// inADatabase is how many days a database sees: what is over makes it slower.
const inADatabase = 400

// noHurry lets the game go on beside whatever else the machine does.
const noHurry = time.Minute

// chance is a host to which things happen, one after the other, and what its clients
// remember of them.
type chance struct {
	*calendar
	faulty *Store // the same database, by way of the proxy
	wire   *proxy
	owner  *clockwork

	// Of one day:
	*rand.Rand
	told     []string
	clients  []ivr.ClientID
	advisors []ivr.AdvisorID
	talks    []Talk
	waiting  []Wait
	dated    []Appointment
	states   map[string]string // of waits and appointments, as they last were
	placed   []ivr.Placed      // claimed, and not opened
	calls    []ivr.Opening     // open
	again    func() error      // the last request, once more
	deaths   int               // of the program
}

func newChance(t *testing.T) *chance {
	h := &chance{calendar: newCalendar(t)}
	h.plan.Limits.Queue, h.plan.Limits.Turn = 4, 2*time.Minute
	other, _ := h.reachable()
	h.advisors = []ivr.AdvisorID{h.advisor, other}
	h.wire = newProxy(t)
	u := parse(t, h.dsn)
	u.Host = h.wire.Addr().String()
	faulty, err := open(t.Context(), Config{DSN: u.String(), Key: testKey, Connections: 1}, noHurry)
	h.must(err)
	t.Cleanup(func() { faulty.Disconnect() })
	direct, err := open(t.Context(), Config{DSN: h.dsn, Key: testKey, Connections: 2}, noHurry)
	h.must(err)
	t.Cleanup(func() { direct.Disconnect() })
	h.faulty, h.Store = faulty, direct // without Redis: nobody listens here
	pool, err := connector(h.dsn, DefaultNode, noHurry)
	h.must(err)
	h.must(direct.db.Close())
	direct.db.DB = sql.OpenDB(rememberer{pool})
	direct.db.SetMaxOpenConns(2)
	direct.db.SetMaxIdleConns(2)
	h.owner, err = newClockwork(h.superuser())
	h.must(err)
	return h
}

// day plays one seed.
func (h *chance) day(seed uint64) error {
	h.Rand = rand.New(rand.NewPCG(seed, 1))
	h.told, h.clients, h.talks, h.waiting, h.dated, h.placed, h.calls, h.again = nil, nil, nil, nil, nil, nil, nil, nil
	h.states = map[string]string{}
	h.plan.Numbers = nil
	for i := range 4 {
		h.plan.Numbers = append(h.plan.Numbers, dialplan.Number{DID: fmt.Sprintf("+49%011d", seed*4+uint64(i)), Country: "DE"})
	}
	for range 3 {
		h.clients = append(h.clients, h.hosted.client(money.Amount(h.IntN(4))*price/2))
	}
	for range 8 + h.IntN(8) {
		if err := h.step(); err != nil {
			return err
		}
	}
	return h.evening()
}

// step lets one thing happen, and checks what must hold after it.
func (h *chance) step() error {
	deed := deeds[h.IntN(len(deeds))]
	err := deed.do(h)
	h.tell("%s: %v", deed.name, err)
	if err = h.mayBe(err); err != nil {
		return fmt.Errorf("%s: %w", deed.name, err)
	}
	return h.holds()
}

func (h *chance) tell(format string, args ...any) {
	h.told = append(h.told, fmt.Sprintf(format, args...))
}

// errCrash is how the program ends in the middle of what it does. Whoever asked knows
// nothing of what came of it.
var errCrash = errors.New("the program died")

// mayBe passes over the refusals that people get.
func (h *chance) mayBe(err error) error {
	for _, refused := range []error{errCrash, ErrAdvisorFree, ErrQueueFull, ErrAdvisorAway, ErrNoNumber, ivr.ErrAdvisorBusy,
		ivr.ErrClientBusy, ivr.ErrLoanExpired, ivr.ErrTooLate, ErrNotFound, ivr.ErrNotVerified} {
		if errors.Is(err, refused) {
			return nil
		}
	}
	var poor *ivr.NoFunds
	var placed *ToBeCalled
	var overlap *Overlap
	var state *NotInState
	var unfit *Unfit
	if errors.As(err, &poor) || errors.As(err, &placed) || errors.As(err, &overlap) || errors.As(err, &state) || errors.As(err, &unfit) {
		return nil
	}
	return err
}

// ask makes a request of the store, one in five with a fault: a message to Postgres is
// lost, or the answer to one, which the store bears; or the program dies at it. Whoever
// asked asks again then, or does not.
func (h *chance) ask(do func(ctx context.Context, s *Store) error) error {
	h.again = func() error { return do(h.t.Context(), h.Store) }
	if h.IntN(5) > 0 {
		return do(h.t.Context(), h.Store)
	}
	ctx, die := context.WithCancel(h.t.Context())
	defer die()
	dies := h.IntN(2) == 0
	at, reply := 1+h.IntN(12), h.IntN(2) == 0
	h.wire.cutAt(at, reply, func() {
		if dies {
			die()
		}
	})
	err := do(ctx, h.faulty)
	h.wire.cutAt(0, false, nil)
	if ctx.Err() == nil {
		return err
	}
	h.tell("(it dies at message %d, after it %v)", at, reply)
	if h.IntN(2) == 0 {
		return h.again()
	}
	return errCrash
}

// deeds are what can happen.
var deeds = []struct {
	name string
	do   func(*chance) error
}{
	{"a tap", (*chance).taps}, {"a tap", (*chance).taps}, {"a tap", (*chance).taps},
	{"a talk is taken back", (*chance).cancels},
	{"a client waits", (*chance).joins}, {"a client waits", (*chance).joins}, {"a client waits", (*chance).joins},
	{"a client waits no more", (*chance).leaves},
	{"a client dials", (*chance).dials}, {"a client dials", (*chance).dials},
	{"a call is claimed", (*chance).claims}, {"a call is claimed", (*chance).claims},
	{"a call is placed", (*chance).places}, {"a call is placed", (*chance).places},
	{"a call ends", (*chance).callEnds}, {"a call ends", (*chance).callEnds},
	{"an appointment is asked for", (*chance).asksFor}, {"an appointment is asked for", (*chance).asksFor},
	{"an appointment is answered", (*chance).answers}, {"an appointment is answered", (*chance).answers},
	{"a key is pressed", (*chance).key},
	{"the clock", (*chance).clock}, {"the clock", (*chance).clock},
	{"time passes", (*chance).passes}, {"time passes", (*chance).passes}, {"time passes", (*chance).passes},
	{"an advisor comes or goes", (*chance).presence},
	{"the program dies", (*chance).restart},
	{"the same again", (*chance).twice},
}

// anAdvisor is mostly the same one, whom many then want.
func (h *chance) anAdvisor() ivr.AdvisorID { return h.advisors[h.IntN(4)/3] }

func pick[T any](r *rand.Rand, of []T) (one T, some bool) {
	if len(of) == 0 {
		return one, false
	}
	return of[r.IntN(len(of))], true
}

func (h *chance) taps() error {
	client, advisor, key := h.clients[h.IntN(3)], h.anAdvisor(), ivr.NewID("key")
	var before reasons
	if err := h.owner.why.Get(&before, client, advisor); err != nil {
		return err
	}
	var loan ivr.LoanID
	err := h.ask(func(ctx context.Context, s *Store) error {
		talk, err := s.RequestTalk(ctx, Request{h.site, key, "tap"}, h.plan, TalkRequest{Client: client, Advisor: advisor})
		if err == nil && loan != "" && loan != talk.Loan {
			return fmt.Errorf("the same tap got %s, then %s", loan, talk.Loan)
		}
		if err == nil {
			loan = talk.Loan
			h.talks = append(h.talks, talk)
		}
		return err
	})
	return before.tapped(err)
}

func (h *chance) cancels() error {
	talk, some := pick(h.Rand, h.talks)
	if !some {
		return nil
	}
	return h.ask(func(ctx context.Context, s *Store) error { return s.CancelTalk(ctx, talk.Loan, talk.Client) })
}

func (h *chance) joins() error {
	client, advisor, key := h.clients[h.IntN(3)], h.anAdvisor(), ivr.NewID("key")
	mode := []WaitMode{OnPage, CalledBack}[h.IntN(2)]
	var answer WaitID
	return h.ask(func(ctx context.Context, s *Store) error {
		w, err := s.JoinQueue(ctx, Request{h.site, key, "join"}, h.plan, WaitRequest{Client: client, Advisor: advisor, Mode: mode})
		if err == nil && answer != "" && answer != w.ID {
			return fmt.Errorf("the same wish got %s, then %s", answer, w.ID)
		}
		if err == nil {
			answer = w.ID
			h.waiting = append(h.waiting, w)
		}
		return err
	})
}

func (h *chance) leaves() error {
	w, some := pick(h.Rand, h.waiting)
	if !some {
		return nil
	}
	return h.ask(func(ctx context.Context, s *Store) error { return s.LeaveQueue(ctx, w.ID, w.Client) })
}

// dials opens a call by a loan of a tap, a turn, or an appointment.
func (h *chance) dials() error {
	var dids []string
	for _, n := range h.plan.Numbers {
		dids = append(dids, n.DID)
	}
	states, err := h.NumberStates(h.t.Context(), dids)
	if err != nil {
		return err
	}
	n, _ := pick(h.Rand, states)
	if !n.Lent {
		return nil
	}
	loan, err := h.Loan(h.t.Context(), n.Loan)
	if err != nil {
		return err
	}
	return h.opens(loan, ivr.CallID(ivr.NewID("call")), ivr.ClientCall)
}

// opens holds the money of a call, as a script does.
func (h *chance) opens(loan ivr.Loan, call ivr.CallID, kind ivr.Kind) error {
	o := opening(loan.Client, loan.Advisor, h.plan.Version)
	o.Call, o.Kind, o.Loan, o.DID, o.Line, o.Concurrent = call, kind, loan.ID, "+493055500100", loan.Line.ID, h.plan.Limits.Concurrent
	if a := loan.Appointment; a != nil && time.Now().Before(a.Until) {
		o.Terms = a.Terms
		o.Least, o.Most = o.Terms.Least(), o.Terms.Most()
	}
	var held money.Amount
	program := h.deaths
	err := h.ask(func(ctx context.Context, s *Store) error {
		if h.deaths > program {
			return nil // the script that would ask again died, and its call was closed
		}
		got, err := s.Hold(ctx, o)
		if err == nil && held != 0 && got != held {
			return fmt.Errorf("the same hold is %v, then %v", held, got)
		}
		held = got
		return err
	})
	switch {
	case err == nil:
		h.calls = append(h.calls, o)
	case errors.Is(err, errCrash): // it may be open: whoever starts next will find it
	default: // the script ends, and its record is written; it asks no more
		h.again = nil
		cdr := ended(o)
		cdr.Kind, cdr.Disposition = kind, refusal(err)
		err = errors.Join(err, h.Close(h.t.Context(), cdr))
	}
	return err
}

// refusal is how a call ends whose money was not held.
func refusal(err error) ivr.Disposition {
	var poor *ivr.NoFunds
	switch {
	case errors.As(err, &poor):
		return "no funds"
	case errors.Is(err, ivr.ErrClientBusy):
		return "client busy"
	case errors.Is(err, ivr.ErrAdvisorBusy):
		return "busy"
	}
	return ivr.Failed
}

func (h *chance) claims() error {
	return h.ask(func(ctx context.Context, s *Store) error {
		p, found, err := s.ClaimPlacement(ctx)
		if found {
			h.placed = append(h.placed, p)
		}
		return err
	})
}

func (h *chance) places() error {
	if len(h.placed) == 0 {
		return nil
	}
	p := h.placed[0]
	h.placed = h.placed[1:]
	return h.opens(p.Loan, p.Call, p.Kind)
}

// callEnds closes a call, as its script would: with or without talk.
func (h *chance) callEnds() error {
	if len(h.calls) == 0 {
		return nil
	}
	o := h.calls[0]
	h.calls = h.calls[1:]
	cdr := ended(o)
	if h.IntN(2) == 0 {
		cdr = ended(o, time.Duration(1+h.IntN(900))*time.Second)
	} else if cdr.Disposition = "abandoned"; h.IntN(2) == 0 {
		cdr.Disposition = []ivr.Disposition{"no answer", "declined", "busy", "client not reached", ivr.Failed}[h.IntN(5)]
	}
	cdr.Kind = o.Kind
	err := h.ask(func(ctx context.Context, s *Store) error { return s.Close(ctx, cdr) })
	if errors.Is(err, errCrash) {
		h.calls = append(h.calls, o) // for whoever starts next
	}
	return err
}

func (h *chance) asksFor() error {
	at := berlin(time.Duration(1+h.IntN(40)) * time.Minute)
	r := h.wish(h.clients[h.IntN(3)], h.anAdvisor(), at, []Mode{HostCalls, DialIn}[h.IntN(2)])
	request := h.request("ask")
	return h.ask(func(ctx context.Context, s *Store) error {
		a, err := s.AskAppointment(ctx, request, h.plan, "test", r)
		if err == nil {
			h.dated = append(h.dated, a)
		}
		return err
	})
}

func (h *chance) answers() error {
	a, some := pick(h.Rand, h.dated)
	if !some {
		return nil
	}
	advisor, client := Party{Advisor: a.Advisor, Who: "Maria"}, Party{Client: a.Client, Who: "Heron"}
	request, at := h.request("answer"), berlin(time.Duration(1+h.IntN(40))*time.Minute)
	how := h.IntN(8)
	return h.ask(func(ctx context.Context, s *Store) (err error) {
		switch how {
		case 0:
			_, err = s.DeclineAppointment(ctx, request, advisor, a.ID, "no time")
		case 1:
			_, err = s.CancelAppointment(ctx, request, client, a.ID, "")
		case 2:
			_, err = s.ProposeAppointment(ctx, request, h.plan, advisor, a.ID, at)
		case 3:
			_, err = s.AcceptAppointment(ctx, request, h.plan, client, a.ID)
		default:
			_, err = s.AcceptAppointment(ctx, request, h.plan, advisor, a.ID)
		}
		return err
	})
}

// key is a client who dialled in too early or too late, and wants to be called.
func (h *chance) key() error {
	a, some := pick(h.Rand, h.dated)
	if !some {
		return nil
	}
	var loan ivr.LoanID
	if err := h.db.Get(&loan, `SELECT coalesce(loan, '') FROM appointments WHERE id = $1`, a.ID); err != nil || loan == "" {
		return err
	}
	late := h.states[string(a.ID)] == string(ApptClientNoShow)
	return h.ask(func(ctx context.Context, s *Store) error {
		if late {
			return s.CallBack(ctx, loan)
		}
		return s.CallAtTime(ctx, loan)
	})
}

func (h *chance) presence() error {
	advisor, on := h.anAdvisor(), h.IntN(3) > 0
	return h.ask(func(ctx context.Context, s *Store) error { return s.SetPresence(ctx, advisor, on) })
}

// twice asks the last request once more, as who heard no answer does.
func (h *chance) twice() error {
	if h.again == nil {
		return nil
	}
	return h.again()
}

// clock does what the program does every second.
func (h *chance) clock() error {
	return h.ask(func(ctx context.Context, s *Store) error {
		return errors.Join(s.GiveTurns(ctx, h.plan), s.EndMissedPlacements(ctx), s.DueAppointments(ctx, h.plan))
	})
}

func (h *chance) passes() error {
	d := time.Duration(1+h.IntN(15*60*1000)) * time.Millisecond
	if h.IntN(3) > 0 {
		d /= 10
	}
	h.tell("%v pass", d.Round(time.Second))
	return h.pass(d)
}

func (h *chance) pass(d time.Duration) error {
	_, err := h.owner.pass.Exec(d.Milliseconds())
	return err
}

// restart is the program's death and its next start: what was open is closed, what was
// claimed is given back.
func (h *chance) restart() error {
	open, err := h.OpenCalls(h.t.Context())
	if err != nil {
		return err
	}
	h.calls, h.placed = nil, nil
	h.deaths++
	for _, o := range open {
		cdr := ended(o.Opening)
		cdr.Kind, cdr.Disposition, cdr.EndedBy = o.Kind, ivr.Interrupted, "parley"
		if err := h.Close(h.t.Context(), cdr); err != nil {
			return err
		}
	}
	return h.AbandonPlacements(h.t.Context())
}
