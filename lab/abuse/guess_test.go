package abuse

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"sync/atomic"
	"testing"

	_ "github.com/lib/pq" // the driver "postgres"

	"parley/host/client"
	"parley/lab/stage"
)

// The budget that SECURITY.md states: as many guesses of six digits may be compared.
const (
	pinsALoan    = 10
	codesALine   = 5 // an hour
	callsALine   = 5 // an hour
	pinsACall    = 3 // entry_tries of the plan
	codesPerCall = 3
)

// callsAtOnce are how many call, or are called, in the long forms.
const callsAtOnce = 150

func guess() string {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		panic(err) // no randomness: nothing can be tested
	}
	return fmt.Sprintf("%06d", n)
}

// count asks the database as its owner.
func (s *scene) count(query string, args ...any) (n int64) {
	s.Helper()
	db, err := sql.Open("postgres", shared.OwnerDSN)
	s.must(err)
	defer db.Close()
	s.must(db.QueryRowContext(s.ctx, query, args...).Scan(&n))
	return n
}

// Strangers call lent numbers and key PINs. Of one loan ten are ever compared, however
// many call at once; from then on the right one is as wrong as any other.
func TestGuessingPINs(t *testing.T) {
	s := newSceneBeside(t)
	c := s.newCaller("Guessed At", 100_00)
	a := s.newAdvisor("Guessed Too", newNumber())
	loans := make([]stage.Loan, amount(2, 340))
	inTurn(len(loans), 4, func(i int) {
		var err error
		loans[i], err = shared.Lend(s.ctx, c.Client, a.Advisor)
		s.must(err)
	})
	callsALoan := amount(5, 10) // 15 or 30 PINs for 10
	var keyed, calls atomic.Int64
	inTurn(len(loans)*callsALoan, amount(10, callsAtOnce), func(i int) {
		s.keyPINs(loans[i%len(loans)].DID, &keyed, guess)
		calls.Add(1)
	})
	over, most := s.count(`SELECT count(*) FROM loans WHERE tries > $1`, pinsALoan), s.count(`SELECT max(tries) FROM loans WHERE client = $1`, c.ID)
	compared := s.count(`SELECT sum(tries) FROM loans WHERE client = $1`, c.ID)
	if over > 0 || most != pinsALoan {
		s.Errorf("%d loans bore more than %d tries; the most tried bore %d", over, pinsALoan, most)
	}
	// Each loan is shut now, for the right PIN too.
	opened := s.count(`SELECT count(*) FROM calls WHERE client = $1`, c.ID)
	inTurn(2, 2, func(i int) { s.keyPINs(loans[i].DID, &keyed, func() string { return loans[i].PIN }) })
	later := s.count(`SELECT count(*) FROM calls WHERE client = $1`, c.ID)
	record(t, fmt.Sprintf("%d PINs keyed in %d calls to %d lent numbers", keyed.Load(), calls.Load(), len(loans)),
		"%d compared, at most %d of a loan; %d right by chance (expected %.4f); the right PIN afterwards: refused", compared, most, opened, float64(compared)/1e6)
	if opened > 1 || later != opened {
		s.Errorf("%d calls were let in by chance, %d by the right PIN of a loan that is shut", opened, later-opened)
	}
	s.clean()
}

// keyPINs is one call of a stranger, from its answer to its end.
func (s *scene) keyPINs(did string, keyed *atomic.Int64, pin func() string) {
	s.Helper()
	by := shared.Carrier.Phone(newNumber())
	defer by.Close()
	dialled, err := by.Dial(s.ctx, did)
	s.must(err)
	for range pinsACall {
		if err := dialled.Keys(s.ctx, pin()); err != nil {
			break // the call has ended: the loan is shut
		}
		keyed.Add(1)
	}
	s.ends(dialled)
}

// Somebody writes another's telephone down as their line, and guesses the code in the
// calls that we place. Five calls an hour, five codes an hour, whatever is asked, and whoever
// writes it down.
func TestGuessingVerificationCodes(t *testing.T) {
	s := newSceneBeside(t)
	lines, asks := amount(1, 668), amount(8, 20)
	var keyed, placed, refused atomic.Int64
	inTurn(lines, amount(2, callsAtOnce), func(i int) {
		a := s.newAdvisor(fmt.Sprintf("Guesser %d", i), newNumber())
		for range asks {
			asked, err := a.app.VerifyLine(s.ctx, key(), a.Line)
			var no *client.Problem
			if errors.As(err, &no) && (no.Status == 429 || no.Status == 409) {
				refused.Add(1)
				continue
			}
			s.must(err)
			placed.Add(1)
			call := s.answer(a.Phone)
			for range codesPerCall {
				wrong := guess()
				if wrong == asked.Code {
					wrong = guess()
				}
				if err := call.Keys(s.ctx, wrong+"#"); err != nil {
					break
				}
				keyed.Add(1)
			}
			s.ends(call)
		}
		if i < 3 { // nor as somebody else's line
			b := s.newAdvisor(fmt.Sprintf("Guesser %d Too", i), a.Number)
			_, err := b.app.VerifyLine(s.ctx, key(), b.Line)
			var no *client.Problem
			if !errors.As(err, &no) || no.Status != 429 {
				s.Errorf("the number as another's line, after %d calls: %v", callsALine, err)
			}
		}
		s.must(a.Phone.Close())
	})
	most := s.count(`SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM challenge_checks GROUP BY line) AS lines`)
	calls := s.count(`SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM challenges GROUP BY line) AS lines`)
	verified := s.count(`SELECT count(*) FROM lines l JOIN advisors a ON a.id = l.advisor WHERE a.name LIKE 'Guesser%' AND verified_at IS NOT NULL`)
	record(t, fmt.Sprintf("%d codes keyed in %d calls, and %d requests for more, for %d lines", keyed.Load(), placed.Load(), refused.Load(), lines),
		"at most %d codes compared and %d calls placed for a line; %d verified", most, calls, verified)
	if most > codesALine || calls > callsALine || most == 0 {
		s.Errorf("of one line %d codes were compared, in %d calls", most, calls)
	}
	if verified > 0 {
		s.Errorf("%d lines were verified by wrong codes", verified)
	}
	if refused.Load() == 0 {
		s.Error("nobody was told to wait")
	}
	s.clean()
}

// Whoever makes tokens up finds none, and is soon not even heard.
func TestGuessingTokens(t *testing.T) {
	s := newScene(t)
	victim := s.newCaller("Victim", 10_00)
	guesses := amount(500, 10_000)
	var refused, waits, let atomic.Int64
	inTurn(guesses, 16, func(int) {
		guessed := client.Client{URL: shared.URL, Token: "parley_" + rand.Text() + rand.Text()[:17]}
		_, err := guessed.Account(s.ctx, victim.ID)
		var no *client.Problem
		switch {
		case err == nil:
			let.Add(1)
		case errors.As(err, &no) && no.Status == 429:
			waits.Add(1)
		case errors.As(err, &no) && no.Status == 401:
			refused.Add(1)
		default:
			s.Error(err)
		}
	})
	record(t, fmt.Sprintf("%d made-up tokens", guesses), "%d let in; %d refused, %d told to wait a minute", let.Load(), refused.Load(), waits.Load())
	if let.Load() > 0 || waits.Load() == 0 {
		s.Errorf("%d let in, %d told to wait", let.Load(), waits.Load())
	}
	if _, err := victim.session.Account(s.ctx, victim.ID); err != nil {
		s.Errorf("who has a good token is refused for what others send: %v", err)
	}
}

// What is another's and what is not there are answered the same, byte for byte: nobody
// learns which IDs, numbers or SIP users there are.
func TestEnumeration(t *testing.T) {
	s := newScene(t)
	me, other := s.newCaller("Me", 10_00), s.newCaller("Other", 10_00)
	a, b := s.newAdvisor("Enum A", newNumber()), s.newAdvisor("Enum B", newNumber())
	answer := func(by client.Client, path string) string {
		status, body := s.get(by, path)
		return fmt.Sprint(status, " ", body)
	}
	for _, c := range []struct {
		by                  client.Client
		path, theirs, nones string
	}{
		{me.session, "/v1/clients/%s", other.ID, "cli_06g3qz1x2m8y4k7v9w0e5r6t8c"},
		{me.session, "/v1/clients/%s/receipts", other.ID, "cli_06g3qz1x2m8y4k7v9w0e5r6t8c"},
		{a.app, "/v1/advisors/%s/lines", b.ID, "adv_06g3qz1x2m8y4k7v9w0e5r6t8c"},
		{a.app, "/v1/advisors/%s/calls", b.ID, "adv_06g3qz1x2m8y4k7v9w0e5r6t8c"},
	} {
		theirs, nones := answer(c.by, fmt.Sprintf(c.path, c.theirs)), answer(c.by, fmt.Sprintf(c.path, c.nones))
		if theirs != nones {
			s.Errorf("%s: another's is answered %s; none %s", c.path, theirs, nones)
		}
	}
	known, unknown := s.registerAnswer(s.sipUser(a)), s.registerAnswer("line-that-is-not")
	if known != unknown || known != "SIP/2.0 401 Unauthorized" {
		s.Errorf("a REGISTER of a line is answered %q, of none %q", known, unknown)
	}
	record(t, "another's IDs and IDs that are not; SIP users that are and are not", "the same answers")
}
