package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// newQueued is a town in which clients may wait, for an advisor whom a rival has
// reserved.
func newQueued(t *testing.T) (h *hosted, rivals Talk) {
	h = newHosted(t)
	h.plan.Limits.Queue, h.plan.Limits.Turn = 20, 2*time.Minute
	h.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile}}
	rivals, err := h.tap(h.client(least), h.advisor)
	h.must(err)
	return h, rivals
}

func (h *hosted) join(client ivr.ClientID, mode WaitMode) (Wait, error) {
	return h.JoinQueue(h.t.Context(), Request{h.site, ivr.NewID("key"), ""}, h.plan, WaitRequest{Client: client, Advisor: h.advisor, Mode: mode})
}

// waiting is a client with money who waits.
func (h *hosted) waiting(mode WaitMode) Wait {
	h.t.Helper()
	w, err := h.join(h.client(least), mode)
	h.must(err)
	return w
}

// waitingWhileBusy is the same where the advisor is free now.
func (h *hosted) waitingWhileBusy(mode WaitMode) Wait {
	h.t.Helper()
	talk, err := h.tap(h.client(least), h.advisor)
	h.must(err)
	w := h.waiting(mode)
	h.must(h.CancelTalk(h.t.Context(), talk.Loan, talk.Client))
	return w
}

// now is a wait as it is now; it must be in a state.
func (h *hosted) now(w Wait, want WaitState) Wait {
	h.t.Helper()
	now, err := h.Wait(h.t.Context(), h.plan, w.ID, w.Client)
	h.must(err)
	if now.State != want {
		h.t.Fatalf("the wait is %s, want %s", now.State, want)
	}
	return now
}

func (h *hosted) turns() {
	h.t.Helper()
	h.must(h.GiveTurns(h.t.Context(), h.plan))
}

// expire ends a loan as time does.
func (h *hosted) expire(loan ivr.LoanID) {
	h.t.Helper()
	h.superuser().MustExec(`UPDATE loans SET until = clock_timestamp(), kept_until = clock_timestamp() WHERE id = $1`, loan)
}

// Fifty clients join at once: as many as may wait, each with a place of their own.
func TestFiftyJoinAtOnce(t *testing.T) {
	h, _ := newQueued(t)
	clients := make([]ivr.ClientID, 50)
	for i := range clients {
		clients[i] = h.client(least)
	}
	var mu sync.Mutex
	var places []int
	full := 0
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			w, err := h.join(c, OnPage)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				places = append(places, w.Place)
			case errors.Is(err, ErrQueueFull):
				full++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(places)
	if want := make([]int, 20); full != 30 || len(places) != 20 || func() bool {
		for i := range want {
			want[i] = i + 1
		}
		return !slices.Equal(places, want)
	}() {
		t.Errorf("%d found it full; the places are %v", full, places)
	}
	queue, err := h.Queue(t.Context(), h.advisor)
	h.must(err)
	for i, w := range queue {
		if w.Place != i+1 || w.Alias == "" || i > 0 && w.JoinedAt.Before(queue[i-1].JoinedAt) {
			t.Errorf("number %d is %+v", i+1, w)
		}
	}
	var busy *AdvisorBusy
	if _, err := h.tap(h.client(least), h.advisor); !errors.As(err, &busy) || busy.Place != 0 || busy.CallBack {
		t.Errorf("a tap when the queue is full: %+v, %v", busy, err)
	}
}

// Joining again, at once or later, is one wait in one place; what is new is the mode.
func TestJoiningAgainKeepsThePlace(t *testing.T) {
	h, _ := newQueued(t)
	client := h.client(least)
	waits := make([]Wait, 20)
	var wg sync.WaitGroup
	for i := range waits {
		wg.Go(func() {
			var err error
			if waits[i], err = h.join(client, OnPage); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.waiting(OnPage)
	again, err := h.join(client, CalledBack)
	h.must(err)
	if again.Place != 1 || again.Mode != CalledBack || !again.JoinedAt.Equal(waits[0].JoinedAt) {
		t.Errorf("joined again: %+v", again)
	}
	for _, w := range waits {
		if w.ID != again.ID {
			t.Errorf("%s and %s", w.ID, again.ID)
		}
	}
	same := Request{h.site, "same", "same"}
	ask := WaitRequest{Client: h.client(least), Advisor: h.advisor, Mode: OnPage}
	first, err := h.JoinQueue(t.Context(), same, h.plan, ask)
	h.must(err)
	h.must(h.LeaveQueue(t.Context(), first.ID, first.Client))
	if twice, err := h.JoinQueue(t.Context(), same, h.plan, ask); err != nil || fmt.Sprint(twice) != fmt.Sprint(first) {
		t.Errorf("the same request: %+v, then %+v, %v", first, twice, err)
	}
}

// Who could not talk, were the advisor free, does not wait for them either: each reason
// has its error, the money's first.
func TestWhoMayWait(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	client := h.client(least - 1)
	refused := func(mode WaitMode, want error) {
		t.Helper()
		if _, err := h.join(client, mode); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	h.must(h.SetPresence(ctx, h.advisor, false))
	h.must(h.SetBlock(ctx, "test", ByAdvisor, client, h.advisor, true))
	var poor *ivr.NoFunds
	if _, err := h.join(client, OnPage); !errors.As(err, &poor) || poor.Missing != 1 {
		t.Errorf("short of a cent: %v", err)
	}
	h.deposit(client, 1)
	refused(OnPage, ErrBlocked)
	h.must(h.SetBlock(ctx, "test", ByAdvisor, client, h.advisor, false))
	refused(OnPage, ErrAdvisorAway)
	h.must(h.SetPresence(ctx, h.advisor, true))
	var not *dialplan.NotCallable
	h.plan.Destinations = dialplan.Destinations{"AT": {dialplan.Mobile}}
	if _, err := h.join(client, CalledBack); !errors.As(err, &not) {
		t.Errorf("to be called where the plan does not allow it: %v", err)
	}
	var busy *AdvisorBusy
	if _, err := h.tap(client, h.advisor); !errors.As(err, &busy) || busy.Place != 1 || busy.CallBack {
		t.Errorf("a tap offers %+v, %v", busy, err)
	}
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	refused(OnPage, ErrAdvisorFree)
	mine, err := h.tap(client, h.advisor)
	h.must(err)
	refused(OnPage, ErrAdvisorFree) // who has them reserved
	h.must(h.CancelTalk(ctx, mine.Loan, client))
	for what, r := range map[string]WaitRequest{"client": {Client: "cli_no", Advisor: h.advisor}, "advisor": {Client: client, Advisor: "adv_no"}} {
		if _, err := h.JoinQueue(ctx, Request{h.site, what, what}, h.plan, r); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown %s: %v", what, err)
		}
	}
}

// However many give turns at once, one client gets one: the first. The others follow.
func TestOneTurnAtATimeInOrder(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	other := h.open(h.dsn)
	waits := []Wait{h.waiting(OnPage), h.waiting(OnPage), h.waiting(OnPage)}
	h.turns()
	h.now(waits[0], Waiting) // the rival has the advisor
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	for n, first := range waits {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := []*Store{h.Store, other}[i%2].GiveTurns(ctx, h.plan); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		turn := h.now(first, Turn)
		if left := time.Until(turn.Until); left < 110*time.Second || left > 2*time.Minute || turn.Place != 0 {
			t.Errorf("the turn lasts %v, in place %d", left, turn.Place)
		}
		for i, later := range waits[n+1:] {
			if w := h.now(later, Waiting); w.Place != i+1 {
				t.Errorf("the next but %d is in place %d", i, w.Place)
			}
		}
		talk, err := h.tap(turn.Client, h.advisor)
		h.must(err)
		if talk.Loan != turn.Loan || talk.DID == "" || talk.PIN == "" {
			t.Errorf("a tap in the turn of loan %s gives %+v", turn.Loan, talk)
		}
		o := h.call(talk)
		_, err = h.Hold(ctx, o)
		h.must(err)
		h.must(h.Close(ctx, ended(o, time.Minute)))
		h.now(first, Talked)
		h.state("", Free)
	}
	h.clean()
}

// While others wait nobody who taps goes before them; the first of them does not have to
// wait for being told.
func TestNobodyJumpsTheLine(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	first, second := h.waiting(OnPage), h.waiting(OnPage)
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.state("", Free)
	for place, client := range map[int]ivr.ClientID{3: h.client(least), 2: second.Client} {
		var busy *AdvisorBusy
		if _, err := h.tap(client, h.advisor); !errors.As(err, &busy) || busy.Place != place || !busy.CallBack || busy.Until.Before(time.Now()) {
			t.Errorf("who taps would be in place %d: %+v, %v", place, busy, err)
		}
	}
	if _, err := h.join(rivals.Client, OnPage); err != nil {
		t.Errorf("the advisor is free, but others wait: %v", err)
	}
	talk, err := h.tap(first.Client, h.advisor)
	h.must(err)
	if turn := h.now(first, Turn); turn.Loan != talk.Loan || time.Until(talk.Until) > h.plan.Limits.Turn {
		t.Errorf("the tap gave %+v, the wait is %+v", talk, turn)
	}
	// Who cannot come now does not hold up the others.
	h.must(h.CancelTalk(ctx, talk.Loan, first.Client))
	h.now(first, Left)
	elsewhere, _ := h.reachable()
	_, err = h.tap(second.Client, elsewhere)
	h.must(err)
	h.turns()
	h.now(second, Waiting)
	if queue, err := h.Queue(ctx, h.advisor); err != nil || len(queue) != 2 || queue[0].Client != rivals.Client || queue[0].State != Turn {
		t.Errorf("the queue is %+v, %v", queue, err)
	}
}

// The wait that is told is the worst: what is up, then each before with their turn, their
// set-up and the longest talk for their money.
func TestWaitIsTheWorst(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	const setUp = listening + 30*time.Second + 15*time.Second
	check := func(what string, w Wait, place int, want time.Duration) {
		t.Helper()
		now := h.now(w, Waiting)
		if off := want - now.AtMost; now.Place != place || off < 0 || off > 20*time.Second {
			t.Errorf("%s: place %d, at most %v; want %d, %v", what, now.Place, now.AtMost, place, want)
		}
	}
	page := h.waiting(OnPage)
	called := h.waiting(CalledBack)
	rich, err := h.join(h.client(1000_00), OnPage)
	h.must(err)
	last := h.waiting(OnPage)
	reserved := 10*time.Minute + setUp + 5*time.Minute
	onPage := 2*time.Minute + setUp + 5*time.Minute
	check("after a reservation", page, 1, reserved)
	check("after a page", called, 2, reserved+onPage)
	check("after a call-back", rich, 3, reserved+onPage+onPage+setUp)
	check("after a rich one, who may talk for half an hour", last, 4, reserved+3*onPage+setUp+25*time.Minute)
	var busy *AdvisorBusy
	if _, err := h.tap(h.client(least), h.advisor); !errors.As(err, &busy) || busy.Place != 5 {
		t.Fatalf("%+v, %v", busy, err)
	}
	if off := time.Until(busy.Until) - busy.AtMost; off > time.Second || off < -time.Second || busy.AtMost < reserved+4*onPage+20*time.Minute {
		t.Errorf("a tap is told %v, and to ask again in %v", busy.AtMost, time.Until(busy.Until))
	}
	o := h.call(rivals)
	_, err = h.Hold(ctx, o)
	h.must(err)
	check("in a call of five minutes at most", page, 1, setUp+5*time.Minute)
	h.must(h.Close(ctx, ended(o, time.Second)))
	check("when it is free", page, 1, 0)
}

// Who waits beyond the advisor's next appointment waits for its end, and as long before
// it as no turn can be given.
func TestWaitGoesAroundAppointments(t *testing.T) {
	h, _ := newQueued(t)
	first, second := h.waiting(OnPage), h.waiting(OnPage)
	before := h.now(second, Waiting).AtMost
	if one := h.now(first, Waiting).AtMost; one < 15*time.Minute || one > 16*time.Minute {
		t.Fatalf("without an appointment the first waits %v", one)
	}
	h.superuser().MustExec(`
		INSERT INTO appointments (id, client, advisor, mode, starts_at, ends_at, until, zone, topic, terms, state, reminded_until)
		VALUES ('appt_1', $1, $2, 'dial_in', now() + interval '30 min', now() + interval '50 min', now() + interval '35 min', 'UTC', '', '{}', 'accepted', now())`,
		h.client(0), h.advisor)
	if one := h.now(first, Waiting).AtMost; one > 16*time.Minute {
		t.Errorf("the first, who is through before it, waits %v", one)
	}
	const noTurn, late, length, setUp = 8 * time.Minute, 5 * time.Minute, 20 * time.Minute, 2 * time.Minute
	if off := before + noTurn + late + length + setUp - h.now(second, Waiting).AtMost; off < -time.Second || off > 20*time.Second {
		t.Errorf("the second waits %v, without the appointment %v", h.now(second, Waiting).AtMost, before)
	}
}

// A turn that is not taken in time is the next one's, and its number leads nowhere.
func TestMissedTurnGoesToTheNext(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	first, second, third := h.waiting(OnPage), h.waiting(OnPage), h.waiting(OnPage)
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.turns()
	turn := h.now(first, Turn)
	talk, err := h.Talk(ctx, h.plan, turn.Loan, turn.Client)
	h.must(err)
	h.expire(turn.Loan)
	h.turns()
	h.now(first, MissedTurn)
	if _, err := h.LoanByPIN(ctx, talk.DID, talk.PIN); !errors.Is(err, ivr.ErrLoanExpired) {
		t.Errorf("the number of the missed turn: %v", err)
	}
	// A call that began in time is no missed turn, however long it lasts.
	turn = h.now(second, Turn)
	talk, err = h.Talk(ctx, h.plan, turn.Loan, turn.Client)
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	h.expire(turn.Loan)
	h.turns()
	h.now(second, Turn)
	h.now(third, Waiting)
	h.must(h.Close(ctx, ended(o, time.Minute)))
	h.now(second, Talked)
	h.turns()
	h.now(third, Turn)
	h.expire(h.now(third, Turn).Loan)
	h.must(h.SetPresence(ctx, h.advisor, false)) // also where nobody can follow
	h.turns()
	h.now(third, MissedTurn)
	var told []string
	h.must(h.db.Select(&told, `SELECT type FROM events WHERE client = $1 AND type LIKE 'queue.%' ORDER BY id`, first.Client))
	if fmt.Sprint(told) != "[queue.joined queue.turn queue.missed]" {
		t.Errorf("the first was told %v", told)
	}
	h.clean()
}

// Money is asked for again at the turn: who has spent it leaves, and the next one comes.
func TestMoneyGoneAtTheTurn(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	poor, next := h.waiting(CalledBack), h.waiting(OnPage)
	elsewhere, _ := h.reachable()
	talk, err := h.tap(poor.Client, elsewhere)
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.must(h.Close(ctx, ended(o, time.Minute)))
	h.turns()
	h.now(poor, NoFunds)
	h.now(next, Turn)
	if waits, err := h.WaitsOf(ctx, h.plan, poor.Client); err != nil || len(waits) != 0 {
		t.Errorf("who left waits: %+v, %v", waits, err)
	}
	if waits, err := h.WaitsOf(ctx, h.plan, next.Client); err != nil || len(waits) != 1 || waits[0].ID != next.ID {
		t.Errorf("who has the turn: %+v, %v", waits, err)
	}
}

// Places are kept while the advisor is away, and by whom they do not want.
func TestPlacesAreKeptWhileTheAdvisorIsAway(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	unwanted, first, second := h.waiting(OnPage), h.waiting(OnPage), h.waiting(OnPage)
	h.must(h.SetBlock(ctx, "test", ByAdvisor, unwanted.Client, h.advisor, true))
	h.must(h.SetPresence(ctx, h.advisor, false))
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.turns()
	if w := h.now(first, Waiting); !w.Away || w.Place != 2 {
		t.Errorf("while the advisor is away: %+v", w)
	}
	h.must(h.SetPresence(ctx, h.advisor, true))
	h.turns()
	h.now(first, Turn)
	if w := h.now(second, Waiting); w.Away {
		t.Errorf("when they are back: %+v", w)
	}
	if w := h.now(unwanted, Waiting); !w.Away {
		t.Errorf("who is blocked can tell it from an advisor who is away: %+v", w)
	}
	if queue, err := h.Queue(ctx, h.advisor); err != nil || len(queue) != 2 {
		t.Errorf("the advisor sees %+v, %v", queue, err)
	}
}

// Who waits for a number in a country where the plan has none any more does not hold up
// the others.
func TestCountryThatIsGone(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	h.plan.Numbers = append(h.plan.Numbers, dialplan.Number{DID: "+431555001", Country: "AT"})
	gone, err := h.JoinQueue(ctx, Request{h.site, "k", ""}, h.plan, WaitRequest{Client: h.client(least), Advisor: h.advisor, Mode: OnPage, Country: "AT"})
	h.must(err)
	next := h.waiting(OnPage)
	h.plan.Numbers = h.plan.Numbers[:len(h.plan.Numbers)-1]
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.turns()
	h.now(gone, WaitFailed)
	h.now(next, Turn)
	full := h.plan.Numbers
	h.must(h.LeaveQueue(ctx, next.ID, ""))
	last := h.waitingWhileBusy(OnPage)
	h.plan.Numbers = full[:1]
	if _, _, err := h.CreateLoan(ctx, LoanRequest{Client: gone.Client, Advisor: h.advisor, Line: h.line, DID: full[0].DID, For: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := h.GiveTurns(ctx, h.plan); !errors.Is(err, ErrNoNumber) {
		t.Errorf("without a number: %v", err)
	}
	h.now(last, Waiting)
	h.plan.Numbers = full
	h.turns()
	h.now(last, Turn)
}

// Leaving frees the place or the turn at once, and is not another client's to do.
func TestLeavingTheQueue(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	first, second, third := h.waiting(OnPage), h.waiting(OnPage), h.waiting(OnPage)
	if err := h.LeaveQueue(ctx, first.ID, second.Client); !errors.Is(err, ErrNotFound) {
		t.Errorf("another's: %v", err)
	}
	if _, err := h.Wait(ctx, h.plan, first.ID, second.Client); !errors.Is(err, ErrNotFound) {
		t.Errorf("another's is seen: %v", err)
	}
	for range 2 {
		h.must(h.LeaveQueue(ctx, first.ID, first.Client))
	}
	h.now(first, Left)
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.turns()
	turn := h.now(second, Turn)
	h.must(h.LeaveQueue(ctx, second.ID, ""))
	h.now(second, Left)
	if talk, err := h.Talk(ctx, h.plan, turn.Loan, ""); err != nil || !talk.Over {
		t.Errorf("its loan: %+v, %v", talk, err)
	}
	h.turns()
	// In a call it does not end what is up.
	turn = h.now(third, Turn)
	talk, err := h.Talk(ctx, h.plan, turn.Loan, "")
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	h.must(h.LeaveQueue(ctx, third.ID, third.Client))
	h.must(h.Close(ctx, ended(o, time.Minute)))
	h.now(third, Talked)
	h.clean()
}

// placed claims the call of a wait's turn, and opens it.
func (h *hosted) placed(w Wait) ivr.Opening {
	h.t.Helper()
	turn := h.now(w, Turn)
	p, found, err := h.ClaimPlacement(h.t.Context())
	h.must(err)
	if !found || p.Loan.ID != turn.Loan || p.Kind != ivr.CallBack || p.Loan.DID != "" || p.Loan.ClientLine.Address == "" {
		h.t.Fatalf("claimed %+v, %v; the turn is %+v", p, found, turn)
	}
	o := opening(w.Client, w.Advisor, h.plan.Version)
	o.Call, o.Kind, o.Loan, o.Line, o.Concurrent = p.Call, p.Kind, p.Loan.ID, p.Loan.Line.ID, h.plan.Limits.Concurrent
	return o
}

// A call-back that ends without a talk costs nothing, tells the client why, and lets the
// next one come.
func TestCallBackOutcomes(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	for d, want := range map[ivr.Disposition]WaitState{
		"client not reached": NotReached, "client busy": NotReached, "declined": NotAccepted, "no answer": NotAccepted, "unreachable": NotAccepted,
		"no funds": NoFunds, "abandoned": Left, ivr.Failed: WaitFailed, "all busy": WaitFailed,
	} {
		t.Run(string(d), func(t *testing.T) {
			talk, err := h.tap(rivals.Client, h.advisor)
			h.must(err)
			w, next := h.waiting(CalledBack), h.waiting(OnPage)
			h.must(h.CancelTalk(ctx, talk.Loan, talk.Client))
			h.turns()
			o := h.placed(w)
			if _, err := h.tap(w.Client, h.advisor); !errors.As(err, new(*ToBeCalled)) {
				t.Errorf("a tap before the call: %v", err)
			}
			_, err = h.Hold(ctx, o)
			h.must(err)
			h.turns()
			h.now(next, Waiting)
			cdr := ended(o)
			cdr.Kind, cdr.Disposition = o.Kind, d
			for range 2 { // a lost reply
				h.must(h.Close(ctx, cdr))
			}
			h.now(w, want)
			if posted, held := h.balance(w.Client); posted != least || held != 0 {
				t.Errorf("the client has %v, %v is held", posted, held)
			}
			h.turns()
			h.must(h.LeaveQueue(ctx, h.now(next, Turn).ID, next.Client))
		})
	}
	h.clean()
}

// A call-back whose program dies before the talk is placed again, within the turn; one
// that nobody places is our fault.
func TestCallBackIsPlacedAgain(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	w, next := h.waiting(CalledBack), h.waiting(CalledBack)
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	h.turns()
	o := h.placed(w)
	_, err := h.Hold(ctx, o)
	h.must(err)
	died := ended(o)
	died.Kind, died.Disposition = o.Kind, ivr.Interrupted
	h.must(h.Close(ctx, died))
	o = h.placed(w)
	_, err = h.Hold(ctx, o)
	h.must(err)
	talked := ended(o, time.Minute)
	talked.Kind, talked.Disposition = o.Kind, ivr.Interrupted
	h.must(h.Close(ctx, talked))
	h.now(w, Talked)
	h.turns()
	turn := h.now(next, Turn)
	h.expire(turn.Loan)
	h.superuser().MustExec(`UPDATE placements SET until = now() - interval '1 s' WHERE loan = $1`, turn.Loan)
	h.turns()
	h.now(next, Turn) // until it is known that nobody places it
	h.must(h.EndMissedPlacements(ctx))
	h.now(next, WaitFailed)
	h.clean()
}

// Who asks on the telephone to be called back waits for their turn, and is not called
// before they can have hung up. Asking again is no error.
func TestCallBackByKey(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	for range 2 {
		h.must(h.CallBack(ctx, rivals.Loan))
	}
	h.turns()
	waits, err := h.WaitsOf(ctx, h.plan, rivals.Client)
	h.must(err)
	if len(waits) != 1 || waits[0].Mode != CalledBack || waits[0].State != Waiting {
		t.Fatalf("waits %+v", waits)
	}
	h.state("", Free)
	h.superuser().MustExec(`UPDATE waits SET ready_at = ready_at - interval '1 min'`)
	h.turns()
	h.placed(waits[0])
	if err := h.CallBack(ctx, "loan_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown loan: %v", err)
	}
}

// Clients join, tap, leave and talk as they like while turns are given: nobody waits for
// a lock for ever, no advisor has two turns, and in the end nothing is left.
func TestQueueRaces(t *testing.T) {
	h, rivals := newQueued(t)
	ctx := t.Context()
	h.must(h.CancelTalk(ctx, rivals.Loan, rivals.Client))
	var wg, dispatchers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		dispatchers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if err := h.GiveTurns(ctx, h.plan); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for i := range 8 {
		client := h.client(1000_00)
		wg.Go(func() {
			for n := range 12 {
				w, err := h.join(client, OnPage)
				if err != nil && !errors.Is(err, ErrAdvisorFree) && !errors.Is(err, ErrQueueFull) {
					t.Error(err)
					return
				}
				talk, err := h.tap(client, h.advisor)
				switch {
				case errors.Is(err, ivr.ErrAdvisorBusy):
					if w.ID != "" && (n+i)%2 == 0 {
						h.must(h.LeaveQueue(ctx, w.ID, client))
					}
				case err != nil:
					t.Error(err)
				case n%3 == 0:
					h.must(h.CancelTalk(ctx, talk.Loan, client))
				default:
					o := h.call(talk)
					if _, err := h.Hold(ctx, o); err != nil {
						t.Error(err)
						return
					}
					h.must(h.Close(ctx, ended(o, time.Minute)))
				}
			}
			waits, err := h.WaitsOf(ctx, h.plan, client)
			h.must(err)
			for _, w := range waits {
				h.must(h.LeaveQueue(ctx, w.ID, client))
			}
		})
	}
	wg.Wait()
	close(stop)
	dispatchers.Wait()
	queue, err := h.Queue(ctx, h.advisor)
	h.must(err)
	if len(queue) != 0 {
		t.Errorf("left are %+v", queue)
	}
	h.state("", Free)
	var deadlocks int
	h.must(h.superuser().Get(&deadlocks, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`))
	if deadlocks != 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
	h.clean()
}

// A connection that is lost between a turn's commit and its reply: one turn, one loan.
func TestLostReplyOfATurn(t *testing.T) {
	h, rivals := newQueued(t)
	p := newProxy(t)
	u := parse(t, h.dsn)
	u.Host = p.Addr().String()
	s := h.open(u.String())
	first, second := h.waiting(OnPage), h.waiting(OnPage)
	h.must(h.CancelTalk(t.Context(), rivals.Loan, rivals.Client))
	before := p.cuts.Load()
	p.cutAfter("INSERT INTO events", "COMMIT")
	h.must(s.GiveTurns(t.Context(), h.plan))
	if p.cuts.Load() != before+1 {
		t.Fatalf("%d cuts", p.cuts.Load()-before)
	}
	h.now(first, Turn)
	h.now(second, Waiting)
}
