package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// hosted is a town with a plan and an advisor who can be talked to.
type hosted struct {
	*town
	plan    dialplan.Plan
	advisor ivr.AdvisorID
	line    ivr.LineID
	site    TokenID
}

// least is what five minutes at the town's rate cost.
var least = terms.Least()

func newHosted(t *testing.T) *hosted {
	h := &hosted{town: newTown(t)}
	h.plan = dialplan.Plan{
		Version: h.town.plan(), Currency: "EUR", Language: "en",
		Rates: map[string]dialplan.Rate{dialplan.DefaultRate: {Rate: terms.Rate, AdvisorPercent: 60}},
		Limits: dialplan.Limits{Ring: 30 * time.Second, Accept: 15 * time.Second, LongestTalk: 30 * time.Minute,
			Predetermined: dialplan.Predetermined{Default: 5 * time.Minute, Least: time.Minute, Most: 10 * time.Minute},
			Loan:          10 * time.Minute, Quarantine: 0, Concurrent: dialplan.Concurrent{All: 100, PerClient: 1, PerAdvisor: 1}},
	}
	for i := range 20 {
		h.plan.Numbers = append(h.plan.Numbers, dialplan.Number{DID: fmt.Sprintf("+49305550%04d", i), Country: "DE"})
	}
	h.advisor, h.line = h.reachable()
	token, _, err := h.CreateToken(t.Context(), "test", Token{Role: RoleSite}, time.Hour)
	h.must(err)
	h.site = token.ID
	return h
}

// reachable is one more advisor who can be talked to.
func (h *hosted) reachable() (ivr.AdvisorID, ivr.LineID) {
	h.t.Helper()
	advisor := h.town.advisor()
	line := h.town.line(advisor, fmt.Sprintf("+4930123%05d", h.calls.Add(1)))
	challenge, code, err := h.CreateChallenge(h.t.Context(), line)
	h.must(err)
	h.must(h.Check(h.t.Context(), challenge, code, "call_verifies"))
	h.must(h.SetPresence(h.t.Context(), advisor, true))
	return advisor, line
}

// tap asks for a talk as nobody did before.
func (h *hosted) tap(client ivr.ClientID, advisor ivr.AdvisorID) (Talk, error) {
	return h.ask(ivr.NewID("key"), client, advisor)
}

func (h *hosted) ask(key string, client ivr.ClientID, advisor ivr.AdvisorID) (Talk, error) {
	return h.RequestTalk(h.t.Context(), Request{h.site, key, fmt.Sprint(client, advisor)}, h.plan, TalkRequest{Client: client, Advisor: advisor})
}

// call opens a call by a talk's loan.
func (h *hosted) call(talk Talk) ivr.Opening {
	o := opening(talk.Client, talk.Advisor, h.plan.Version)
	o.Loan, o.DID, o.Concurrent = talk.Loan, talk.DID, h.plan.Limits.Concurrent
	return o
}

func (h *hosted) state(client ivr.ClientID, want State) {
	h.t.Helper()
	states, err := h.AdvisorStates(h.t.Context(), client, "", 100)
	h.must(err)
	for _, s := range states {
		if s.ID == h.advisor {
			if s.State != want {
				h.t.Errorf("the advisor is %s, want %s", s.State, want)
			}
			return
		}
	}
	h.t.Errorf("the advisor is not listed: %+v", states)
}

// Fifty clients tap one advisor at once: one is lent a number, the others hear that the
// advisor is busy and until when. Round after round: the advisor is never stuck.
func TestFiftyTapsOneLoan(t *testing.T) {
	h := newHosted(t)
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	clients := make([]ivr.ClientID, 50)
	for i := range clients {
		clients[i] = h.client(least)
	}
	for round := range rounds {
		var mu sync.Mutex
		var won []Talk
		busy := 0
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, c := range clients {
			wg.Go(func() {
				<-start
				talk, err := h.tap(c, h.advisor)
				mu.Lock()
				defer mu.Unlock()
				var b *AdvisorBusy
				switch {
				case err == nil:
					won = append(won, talk)
				case errors.As(err, &b):
					busy++
					if wait := time.Until(b.Until); wait < 9*time.Minute || wait > 11*time.Minute {
						t.Errorf("busy until in %v", wait)
					}
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if len(won) != 1 || busy != 49 {
			t.Fatalf("round %d: %d were lent a number, %d heard busy", round, len(won), busy)
		}
		h.state("", Busy)
		h.state(won[0].Client, Free)
		h.must(h.CancelTalk(t.Context(), won[0].Loan, won[0].Client))
		h.state("", Free)
	}
	// The constraint is the last guard: no lock, no code of ours.
	const insert = `INSERT INTO loans (id, did, client, advisor, line, topic, pin_hash, reserves, until, kept_until)
		VALUES ($1, $2, $3, $4, $5, '', '', true, now() + interval '1 h', now() + interval '1 h')`
	_, err := h.db.Exec(insert, "loan_a", "+4930001", clients[0], h.advisor, h.line)
	h.must(err)
	if _, err := h.db.Exec(insert, "loan_b", "+4930002", clients[1], h.advisor, h.line); violated(err) != "loans_one_client_an_advisor" {
		t.Errorf("a second reservation: %v", err)
	}
}

// A client who taps twenty times at once has one loan, and a number and a PIN that work.
func TestSameClientSameLoan(t *testing.T) {
	h := newHosted(t)
	client := h.client(least)
	talks := make([]Talk, 20)
	var wg sync.WaitGroup
	for i := range talks {
		wg.Go(func() {
			var err error
			if talks[i], err = h.tap(client, h.advisor); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first := talks[0]
	for _, talk := range talks {
		if talk.Loan != first.Loan || talk.DID != first.DID || talk.PIN != first.PIN || !talk.Until.Equal(first.Until) {
			t.Errorf("got %+v and %+v", first, talk)
		}
	}
	loan, err := h.LoanByPIN(t.Context(), first.DID, first.PIN)
	h.must(err)
	if loan.ID != first.Loan || loan.Line.ID != h.line || !loan.Line.Verified {
		t.Errorf("the PIN leads to %+v", loan)
	}
	// Another advisor can wait: the plan allows the client one call.
	other, _ := h.reachable()
	var reserved *ClientReserved
	if _, err := h.tap(client, other); !errors.As(err, &reserved) || reserved.Loan != first.Loan {
		t.Errorf("a second advisor at once: %v", err)
	}
}

// The money is asked for before the advisor, and each refusal has its own error. What
// refused leaves nothing behind: the same request works once its reason is gone.
func TestTalkIsRefusedForOneReasonAtATime(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client, rival := h.client(least-1), h.client(least)
	h.must(h.SetPresence(ctx, h.advisor, false))
	h.must(h.SetBlock(ctx, "test", ByClient, client, h.advisor, true))
	h.must(h.SetBlock(ctx, "test", ByAdvisor, client, h.advisor, true))
	h.superuser().MustExec(`UPDATE lines SET verified_at = NULL, verified_how = NULL`)
	refused := func(want error) {
		t.Helper()
		if _, err := h.ask("the same key", client, h.advisor); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	var poor *ivr.NoFunds
	if _, err := h.ask("the same key", client, h.advisor); !errors.As(err, &poor) || poor.Missing != 1 || poor.Available != least-1 {
		t.Errorf("short of a cent: %v", err)
	}
	h.deposit(client, 1)
	refused(ErrBlocked)
	h.must(h.SetBlock(ctx, "test", ByClient, client, h.advisor, false))
	refused(ErrBlocked)
	h.must(h.SetBlock(ctx, "test", ByAdvisor, client, h.advisor, false))
	refused(ErrAdvisorAway)
	h.state(client, Away)
	h.must(h.SetPresence(ctx, h.advisor, true))
	refused(ivr.ErrNotVerified)
	h.superuser().MustExec(`UPDATE lines SET verified_at = now(), verified_how = 'test'`)
	theirs, err := h.tap(rival, h.advisor)
	h.must(err)
	refused(ivr.ErrAdvisorBusy)
	h.must(h.CancelTalk(ctx, theirs.Loan, rival))
	pool := h.plan.Numbers
	h.plan.Numbers = nil
	refused(ErrNoCountry)
	h.plan.Numbers = pool
	if _, err := h.ask("the same key", client, h.advisor); err != nil {
		t.Errorf("nothing stands in the way, and yet: %v", err)
	}
	for what, r := range map[string]TalkRequest{"client": {Client: "cli_no", Advisor: h.advisor}, "advisor": {Client: client, Advisor: "adv_no"}} {
		if _, err := h.RequestTalk(ctx, Request{h.site, what, what}, h.plan, r); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown %s: %v", what, err)
		}
	}
	var left int
	h.must(h.db.Get(&left, `SELECT count(*) FROM loans`))
	if left != 2 {
		t.Errorf("%d loans, want the rival's and the client's", left)
	}
	h.clean()
}

// What ends a loan frees its advisor at once: talk that was settled, cancelling, time.
// A call in which nobody talked does not.
func TestAdvisorIsFreeWhenTheLoanEnds(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client, rival := h.client(100_00), h.client(100_00)
	over := func(when string, talk Talk, want bool) {
		t.Helper()
		now, err := h.Talk(ctx, h.plan, talk.Loan, talk.Client)
		h.must(err)
		if now.Over != want {
			t.Errorf("%s: over is %v", when, now.Over)
		}
		h.state("", map[bool]State{true: Free, false: Busy}[want])
	}
	talk, err := h.tap(client, h.advisor)
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	silent := ended(o)
	silent.Disposition = "no answer"
	h.must(h.Close(ctx, silent))
	over("nobody answered", talk, false)

	o = h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	over("in a call", talk, false)
	h.must(h.Close(ctx, ended(o, time.Minute)))
	over("talked", talk, true)
	if found, err := h.Talk(ctx, h.plan, talk.Loan, ""); err != nil || len(found.Calls) != 2 {
		t.Errorf("the talk's calls are %v, %v", found.Calls, err)
	}
	if _, err := h.LoanByPIN(ctx, talk.DID, talk.PIN); !errors.Is(err, ivr.ErrLoanExpired) {
		t.Errorf("its number afterwards: %v", err)
	}

	talk, err = h.tap(rival, h.advisor)
	h.must(err)
	if err := h.CancelTalk(ctx, talk.Loan, client); !errors.Is(err, ErrNotFound) {
		t.Errorf("cancelled by another client: %v", err)
	}
	if _, err := h.Talk(ctx, h.plan, talk.Loan, client); !errors.Is(err, ErrNotFound) {
		t.Errorf("seen by another client: %v", err)
	}
	over("not theirs", talk, false)
	h.must(h.CancelTalk(ctx, talk.Loan, rival))
	h.must(h.CancelTalk(ctx, talk.Loan, rival))
	over("cancelled", talk, true)

	talk, err = h.tap(client, h.advisor)
	h.must(err)
	h.superuser().MustExec(`UPDATE loans SET made_at = made_at - interval '11 min', until = until - interval '11 min',
		kept_until = kept_until - interval '11 min' WHERE id = $1`, talk.Loan)
	over("expired", talk, true)
	h.clean()
}

// A reserved advisor takes no other client's call, whatever number they have; and who
// was identified by a loan that has ended since opens no call by it.
func TestReservationHoldsOnThePhoneToo(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client, rival := h.client(100_00), h.client(100_00)
	lent, _, err := h.CreateLoan(ctx, LoanRequest{Client: rival, Advisor: h.advisor, Line: h.line, DID: "+4930999", For: time.Hour})
	h.must(err)
	talk, err := h.tap(client, h.advisor)
	h.must(err)
	theirs := h.call(Talk{Loan: lent.ID, Client: rival, Advisor: h.advisor, DID: lent.DID})
	if _, err := h.Hold(ctx, theirs); !errors.Is(err, ivr.ErrAdvisorBusy) {
		t.Errorf("the rival's call: %v", err)
	}
	h.must(h.CancelTalk(ctx, talk.Loan, client))
	if _, err := h.Hold(ctx, h.call(talk)); !errors.Is(err, ivr.ErrLoanExpired) {
		t.Errorf("a call by a loan that has ended: %v", err)
	}
	_, err = h.Hold(ctx, theirs)
	h.must(err)
	var busy *AdvisorBusy
	if _, err := h.tap(client, h.advisor); !errors.As(err, &busy) {
		t.Errorf("tapped during a call: %v", err)
	} else if wait := time.Until(busy.Until); wait < 30*time.Minute || wait > 31*time.Minute {
		t.Errorf("a call of half an hour at most ends in %v", wait)
	}
	h.must(h.Close(ctx, ended(theirs, time.Minute)))
	if loan, err := h.Loan(ctx, lent.ID); err != nil || time.Until(loan.Until) < 50*time.Minute {
		t.Errorf("a loan that nobody tapped for ended with its call: %+v, %v", loan, err)
	}
}

// The same request has the same answer, PIN and all, also when what it made is over;
// the same key with another request is refused, and another token's key is another key.
func TestRequestIsAnsweredOnce(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client := h.client(100_00)
	first, err := h.ask("k", client, h.advisor)
	h.must(err)
	h.must(h.CancelTalk(ctx, first.Loan, client))
	again, err := h.ask("k", client, h.advisor)
	h.must(err)
	if fmt.Sprint(first) != fmt.Sprint(again) {
		t.Errorf("answered %+v, then %+v", first, again)
	}
	if _, err := h.RequestTalk(ctx, Request{h.site, "k", "other"}, h.plan, TalkRequest{Client: client, Advisor: h.advisor}); !errors.Is(err, ErrKeyReused) {
		t.Errorf("another request: %v", err)
	}
	token, _, err := h.CreateToken(ctx, "test", Token{Role: RoleClient, Client: client}, time.Hour)
	h.must(err)
	if _, err := h.RequestTalk(ctx, Request{token.ID, "k", "other"}, h.plan, TalkRequest{Client: client, Advisor: h.advisor}); err != nil {
		t.Errorf("another token's key: %v", err)
	}

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			c, err := h.RequestDeposit(ctx, Request{h.site, "pay", "1"}, "pay_1", client, 7)
			if err != nil || c.Posted != 100_07 {
				t.Errorf("deposit: %+v, %v", c, err)
			}
		})
	}
	wg.Wait()
	if posted, _ := h.balance(client); posted != 100_07 {
		t.Errorf("credited %v", posted)
	}
	if _, err := h.RequestDeposit(ctx, Request{h.site, "pay2", "2"}, "pay_1", client, 8); !errors.Is(err, ErrConflict) {
		t.Errorf("the payment with another amount: %v", err)
	}
	if _, err := h.RequestDeposit(ctx, Request{h.site, "pay3", "3"}, "pay_3", "cli_no", 8); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's payment: %v", err)
	}
	h.clean()
}

// A connection that is lost between a commit and its reply: the request is found done.
func TestLostReplyOfATap(t *testing.T) {
	h := newHosted(t)
	p := newProxy(t)
	u := parse(t, h.dsn)
	u.Host = p.Addr().String()
	s := h.open(u.String())
	client := h.client(least)
	before := p.cuts.Load()
	p.cutAfter("INSERT INTO answers", "COMMIT")
	talk, err := s.RequestTalk(t.Context(), Request{h.site, "k", ""}, h.plan, TalkRequest{Client: client, Advisor: h.advisor})
	h.must(err)
	var loans, answers int
	h.must(h.db.Get(&loans, `SELECT count(*) FROM loans`))
	h.must(h.db.Get(&answers, `SELECT count(*) FROM answers`))
	if p.cuts.Load() != before+1 || loans != 1 || answers != 1 || talk.Over || talk.DID == "" {
		t.Errorf("%d cuts, %d loans, %d answers, %+v", p.cuts.Load()-before, loans, answers, talk)
	}
}

// Clients tap, dial, talk, cancel and pay as they like, on a few advisors and numbers:
// nobody waits for a lock for ever, no advisor is promised to two, and in the end all
// are free and the books are right.
func TestTapsCallsAndCancelsRace(t *testing.T) {
	const clients, each = 10, 30
	h := newHosted(t)
	ctx := t.Context()
	h.plan.Numbers = h.plan.Numbers[:4]
	advisors := []ivr.AdvisorID{h.advisor}
	for range 2 {
		a, _ := h.reachable()
		advisors = append(advisors, a)
	}
	var inCall [3]atomic.Int32
	var talked, refused atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		client := h.client(1000_00)
		wg.Go(func() {
			for range each {
				n := rand.IntN(len(advisors))
				talk, err := h.tap(client, advisors[n])
				if errors.Is(err, ivr.ErrAdvisorBusy) || errors.Is(err, ErrNoNumber) {
					refused.Add(1)
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if inCall[n].Add(1) != 1 {
					t.Error("an advisor was promised to two")
				}
				o := h.call(talk)
				if _, err := h.Hold(ctx, o); err != nil {
					t.Error(err)
				}
				inCall[n].Add(-1)
				if rand.IntN(2) == 0 {
					// Cancelled in the call: the advisor stays busy until its end.
					if err := h.CancelTalk(ctx, talk.Loan, client); err != nil {
						t.Error(err)
					}
				}
				if err := h.Close(ctx, ended(o, time.Minute)); err != nil {
					t.Error(err)
				}
				talked.Add(1)
			}
		})
	}
	wg.Wait()
	if talked.Load() < 30 || refused.Load() == 0 {
		t.Errorf("%d talked, %d were refused: that was no race", talked.Load(), refused.Load())
	}
	states, err := h.AdvisorStates(ctx, "", "", 10)
	h.must(err)
	for _, s := range states {
		if s.State != Free {
			t.Errorf("%s is left %s", s.ID, s.State)
		}
	}
	var deadlocks int
	h.must(h.superuser().Get(&deadlocks, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`))
	if deadlocks != 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
	h.clean()
}

// PINs differ, cannot be told from the loan without the key, and neither they nor
// tokens are in any table.
func TestTalkLeavesNoSecretBehind(t *testing.T) {
	h := newHosted(t)
	_, secret, err := h.CreateToken(t.Context(), "test", Token{Role: RoleAdmin, Holder: "Ada"}, time.Hour)
	h.must(err)
	talk, err := h.tap(h.client(least), h.advisor)
	h.must(err)
	other, err := newVault([]byte(strings.Repeat("other key", 4))[:32])
	h.must(err)
	seen := map[string]bool{}
	for i := range 1000 {
		pin := h.vault.pin(ivr.LoanID(fmt.Sprint("loan_", i)))
		if len(pin) != 6 {
			t.Fatalf("%q is no PIN", pin)
		}
		seen[pin] = true
	}
	if len(seen) < 990 || talk.PIN != h.vault.pin(talk.Loan) || talk.PIN == other.pin(talk.Loan) {
		t.Errorf("%d different PINs of 1000", len(seen))
	}
	for where, text := range h.everything() {
		for what, kept := range map[string]string{"PIN": talk.PIN, "token": secret, "token's text": strings.TrimPrefix(secret, "parley_")} {
			if strings.Contains(string(text), kept) {
				t.Errorf("%s holds the %s", where, what)
			}
		}
	}
}

// A token is good until it expires or is revoked.
func TestTokenIsGoodUntilItsEnd(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client := h.client(money.Amount(0))
	made, secret, err := h.CreateToken(ctx, "test", Token{Role: RoleClient, Client: client}, time.Hour)
	h.must(err)
	found, err := h.Authenticate(ctx, secret)
	if err != nil || found != made || found.Client != client || found.Role != RoleClient {
		t.Errorf("made %+v, found %+v, %v", made, found, err)
	}
	if err := h.RevokeToken(ctx, "test", "tok_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked one that is not: %v", err)
	}
	h.must(h.RevokeToken(ctx, "test", made.ID))
	h.must(h.RevokeToken(ctx, "test", made.ID))
	_, expired, err := h.CreateToken(ctx, "test", Token{Role: RoleSite}, time.Hour)
	h.must(err)
	h.superuser().MustExec(`UPDATE tokens SET made_at = now() - interval '2 h', until = now() - interval '1 ms' WHERE role = 'site'`)
	for what, s := range map[string]string{"revoked": secret, "expired": expired, "unknown": "parley_x", "empty": ""} {
		if _, err := h.Authenticate(ctx, s); !errors.Is(err, ErrNoToken) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, r := range map[string]struct {
		role   Role
		client ivr.ClientID
	}{"role": {"king", ""}, "client's of nobody": {RoleClient, ""}, "site's of a client": {RoleSite, client}, "unknown client's": {RoleClient, "cli_no"}} {
		if _, _, err := h.CreateToken(ctx, "test", Token{Role: r.role, Client: r.client}, time.Hour); err == nil {
			t.Errorf("a token was made: %s", what)
		}
	}
}
