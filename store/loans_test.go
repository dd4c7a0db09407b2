package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/ivr"
)

// lender is a town with one client, one advisor and one line.
type lender struct {
	*town
	LoanRequest
}

func newLender(t *testing.T) lender {
	w := newTown(t)
	advisor := w.advisor()
	return lender{w, LoanRequest{Client: w.client(0), Advisor: advisor, Line: w.line(advisor, "+493012345678"),
		Topic: "cats", DID: "+493055501001", For: time.Hour}}
}

// age moves every loan into the past by the database's clock.
func (l lender) age(by string) {
	l.superuser().MustExec(`UPDATE loans SET made_at = made_at - $1::interval, until = until - $1::interval, kept_until = kept_until - $1::interval`, by)
}

// A number leads its client to its advisor while it is lent, afterwards to nobody,
// and says which.
func TestLoanLeadsToOneAdvisorUntilItsEnd(t *testing.T) {
	l := newLender(t)
	ctx := t.Context()
	const ani = "+491601200001" // the town's first client
	check := func(when string, want error) {
		t.Helper()
		if _, err := l.LoanByANI(ctx, l.DID, ani); !errors.Is(err, want) {
			t.Errorf("%s by ANI: %v, want %v", when, err, want)
		}
		if _, err := l.LoanByPIN(ctx, l.DID, "000000"); !errors.Is(err, want) && want != nil {
			t.Errorf("%s by PIN: %v, want %v", when, err, want)
		}
	}
	check("never lent", ivr.ErrNoLoan)
	made, pin, err := l.CreateLoan(ctx, l.LoanRequest)
	l.must(err)
	byANI, err := l.LoanByANI(ctx, l.DID, ani)
	l.must(err)
	byPIN, err := l.LoanByPIN(ctx, l.DID, pin)
	l.must(err)
	if byANI != made || byPIN != made {
		t.Errorf("made %+v, by ANI %+v, by PIN %+v", made, byANI, byPIN)
	}
	want := ivr.Loan{ID: made.ID, DID: l.DID, Client: l.Client, ClientAlias: "Heron 1", Topic: "cats",
		ClientLine: ivr.Line{Kind: ivr.Phone, Address: ani},
		Advisor:    l.Advisor, AdvisorName: "Maria", Until: made.Until,
		Line: ivr.Line{ID: l.Line, Advisor: l.Advisor, Kind: ivr.Phone, Address: "+493012345678"}}
	if made != want {
		t.Errorf("lent %+v, want %+v", made, want)
	}
	for _, other := range []string{"", "+491601200002", "anonymous", "491601200001"} {
		if _, err := l.LoanByANI(ctx, l.DID, other); !errors.Is(err, ivr.ErrNotIdentified) {
			t.Errorf("from %q: %v", other, err)
		}
	}
	l.must(l.EndLoan(ctx, made.ID))
	check("taken back", ivr.ErrLoanExpired)
	if live, err := l.Loans(ctx); len(live) != 0 || err != nil {
		t.Errorf("in force: %+v, %v", live, err)
	}

	_, _, err = l.CreateLoan(ctx, l.LoanRequest)
	l.must(err)
	check("lent again", nil)
	l.age("61 minutes")
	check("expired", ivr.ErrLoanExpired)
}

// A loan bears ten wrong PINs in all, however many are tried at once; right ones do
// not count.
func TestPINCanBeGuessedTenTimes(t *testing.T) {
	l := newLender(t)
	ctx := t.Context()
	_, pin, err := l.CreateLoan(ctx, l.LoanRequest)
	l.must(err)
	for range 12 {
		_, err := l.LoanByPIN(ctx, l.DID, pin)
		l.must(err)
	}
	wrong := "000000"
	if pin == wrong {
		wrong = "000001"
	}
	var compared, refused atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			switch _, err := l.LoanByPIN(ctx, l.DID, wrong); {
			case errors.Is(err, ivr.ErrNotIdentified):
				compared.Add(1)
			case errors.Is(err, ivr.ErrTooManyTries):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if compared.Load() != 10 || refused.Load() != 40 {
		t.Errorf("%d guesses were compared, %d refused", compared.Load(), refused.Load())
	}
	if _, err := l.LoanByPIN(ctx, l.DID, pin); !errors.Is(err, ivr.ErrTooManyTries) {
		t.Errorf("the right PIN after ten wrong ones: %v", err)
	}
}

// Of a pool the number that rested longest is lent, never one that is lent or in
// quarantine.
func TestLoanTakesTheNumberThatRestedLongest(t *testing.T) {
	l := newLender(t)
	ctx := t.Context()
	r := l.LoanRequest
	r.DID, r.Pool, r.Quarantine = "", []string{"+4930001", "+4930002", "+4930003"}, time.Hour
	lend := func() (did string, id ivr.LoanID, err error) {
		loan, _, err := l.CreateLoan(ctx, r)
		return loan.DID, loan.ID, err
	}
	var ids []ivr.LoanID
	for _, want := range r.Pool {
		did, id, err := lend()
		l.must(err)
		if did != want {
			t.Errorf("lent %s, want %s", did, want)
		}
		ids = append(ids, id)
	}
	if _, _, err := lend(); !errors.Is(err, ErrNoNumber) {
		t.Errorf("all are lent: %v", err)
	}
	l.must(l.EndLoan(ctx, ids[1]))
	if _, _, err := lend(); !errors.Is(err, ErrNoNumber) {
		t.Errorf("one is in quarantine: %v", err)
	}
	named := r
	named.DID = "+4930002"
	if _, _, err := l.CreateLoan(ctx, named); !errors.Is(err, ErrNumberTaken) {
		t.Errorf("that one by name: %v", err)
	}
	l.age("61 minutes") // over, and its quarantine too; the others' is not
	if did, _, err := lend(); did != "+4930002" || err != nil {
		t.Errorf("lent %s, %v; want the one that rested", did, err)
	}
	l.superuser().MustExec(`UPDATE loans SET kept_until = kept_until - interval '5 minutes' WHERE did = '+4930003'`)
	l.age("61 minutes")
	for _, want := range []string{"+4930003", "+4930001"} {
		if did, _, err := lend(); did != want || err != nil {
			t.Errorf("lent %s, %v; want %s", did, err, want)
		}
	}
	for name, spoil := range map[string]func(*LoanRequest){
		"client":         func(r *LoanRequest) { r.Client = "cli_nobody" },
		"advisor":        func(r *LoanRequest) { r.Advisor = "adv_nobody" },
		"another's line": func(r *LoanRequest) { r.Line = l.line(l.advisor(), "+493099999999") },
	} {
		bad := l.LoanRequest
		spoil(&bad)
		if _, _, err := l.CreateLoan(ctx, bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown %s: %v", name, err)
		}
	}
}

// A thousand loans and releases racing on the same numbers: no number ever leads to
// two pairs, and whoever calls a number they were lent before reaches nobody else.
func TestNumberLeadsToOnePairAtATime(t *testing.T) {
	const workers, each = 20, 50
	l := newLender(t)
	ctx := t.Context()
	r := l.LoanRequest
	r.DID, r.Pool, r.Quarantine = "", []string{"+4930001", "+4930002", "+4930003", "+4930004", "+4930005"}, 0
	var lent atomic.Int64
	var wg sync.WaitGroup
	for i := range workers {
		mine := r
		mine.Client = l.client(0)
		ani := fmt.Sprintf("+4916012%05d", i+2)
		wg.Go(func() {
			used := map[string]bool{}
			for range each {
				if rand.IntN(3) == 0 {
					mine.DID = r.Pool[rand.IntN(len(r.Pool))]
				}
				loan, _, err := l.CreateLoan(ctx, mine)
				mine.DID = ""
				if err != nil {
					if !errors.Is(err, ErrNoNumber) && !errors.Is(err, ErrNumberTaken) {
						t.Error(err)
					}
					continue
				}
				lent.Add(1)
				for did := range used {
					if found, err := l.LoanByANI(ctx, did, ani); err == nil && found.Client != mine.Client {
						t.Errorf("%s leads client %s to the loan of %s", did, mine.Client, found.Client)
					}
				}
				if found, err := l.LoanByANI(ctx, loan.DID, ani); err != nil || found.ID != loan.ID {
					t.Errorf("a number just lent leads to %+v, %v", found, err)
				}
				used[loan.DID] = true
				if err := l.EndLoan(ctx, loan.ID); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var overlaps int
	l.must(l.db.Get(&overlaps, `
		SELECT count(*) FROM loans a JOIN loans b ON a.did = b.did AND a.id < b.id
		AND tstzrange(a.made_at, a.until) && tstzrange(b.made_at, b.until)`))
	if overlaps != 0 || lent.Load() < 50 {
		t.Errorf("of %d loans %d overlap", lent.Load(), overlaps)
	}

	// The constraint is the last guard: no lock, no code of ours.
	const insert = `INSERT INTO loans (id, did, client, advisor, line, topic, pin_hash, until, kept_until)
		VALUES ($1, '+4930009', $2, $3, $4, '', '', now() + interval '1 h', now() + interval '1 h')`
	_, err := l.db.Exec(insert, "loan_a", l.Client, l.Advisor, l.Line)
	l.must(err)
	if _, err := l.db.Exec(insert, "loan_b", l.Client, l.Advisor, l.Line); violated(err) != "loans_one_pair_at_a_time" {
		t.Errorf("a second loan of the number: %v", err)
	}
}
