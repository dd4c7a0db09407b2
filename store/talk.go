package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// Why an advisor cannot be talked to now.
var (
	ErrAdvisorAway = errors.New("the advisor is off line")
	// ErrBlocked is told to clients as ErrAdvisorAway.
	ErrBlocked = errors.New("the client and the advisor are not to meet")
	// ErrNoCountry: the plan has no number in the country that was asked for.
	ErrNoCountry = errors.New("there are no numbers in this country")
)

// AdvisorBusy says until when, at the latest, as far as is known: a reservation ends
// by itself, a call with the money that is held for it.
type AdvisorBusy struct{ Until time.Time }

func (e *AdvisorBusy) Error() string        { return ivr.ErrAdvisorBusy.Error() }
func (e *AdvisorBusy) Is(target error) bool { return target == ivr.ErrAdvisorBusy }

// ClientReserved: the client has as many other advisors reserved as the plan allows
// calls. The oldest of these loans is Loan.
type ClientReserved struct{ Loan ivr.LoanID }

func (e *ClientReserved) Error() string        { return "the client has reserved another advisor" }
func (e *ClientReserved) Is(target error) bool { return target == ivr.ErrClientBusy }

// TalkRequest is a client's tap on an advisor.
type TalkRequest struct {
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	Topic   string // the advisor hears it; may be empty
	Country string // of the number to be lent; any where empty
}

// Talk is a talk that was asked for: the advisor is reserved, a number is lent.
type Talk struct {
	Loan        ivr.LoanID // also the fencing token: a call opens by it only while it is in force
	DID         string
	PIN         string // for calls from other phones than the client's
	Until       time.Time
	Over        bool // talked, cancelled or expired: the number leads nowhere
	Client      ivr.ClientID
	Advisor     ivr.AdvisorID
	AdvisorName string
	Terms       dialplan.Terms
	Available   money.Amount // the client's, beside what is held
	Calls       []ivr.CallID // made by the loan, in their order
}

// RequestTalk reserves the advisor for the client and lends a number, by the plan. It
// asks for the money first, then for the advisor. It returns [*ivr.NoFunds], then
// [ErrAdvisorAway], [ErrBlocked], [ivr.ErrNotVerified], [*AdvisorBusy],
// [*ClientReserved], [ErrNoCountry] or [ErrNoNumber]; or [ErrNotFound].
//
// A client who asks again while the advisor is reserved for them gets the same loan.
// The same request again gets the same answer, whatever has happened since; one that
// was refused may be sent again as it is.
func (s *Store) RequestTalk(ctx context.Context, request Request, plan dialplan.Plan, r TalkRequest) (talk Talk, err error) {
	id := ivr.LoanID(ivr.NewID("loan"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		talk = Talk{}
		return s.once(ctx, tx, request, &talk, func() error {
			loan, err := s.requestTalk(ctx, tx, id, plan, r)
			if err == nil {
				talk, err = s.readTalk(ctx, tx, plan, loan, r.Client)
			}
			return err
		})
	})
	if err != nil {
		return Talk{}, fmt.Errorf("talk of client %s to advisor %s: %w", r.Client, r.Advisor, err)
	}
	return talk, nil
}

// requestTalk takes the locks of everything that moves money, in its order: the
// advisor, then the client's account. So whoever else taps, dials or pays waits, and
// nothing below changes between its being read and the loan's being made.
func (s *Store) requestTalk(ctx context.Context, tx *sqlx.Tx, id ivr.LoanID, plan dialplan.Plan, r TalkRequest) (ivr.LoanID, error) {
	var advisor struct {
		wishRow
		OnLine bool `db:"on_line"`
	}
	err := tx.GetContext(ctx, &advisor, `
		SELECT per_minute, predetermined_ms, on_line_since IS NOT NULL AS on_line FROM advisors WHERE id = $1 FOR NO KEY UPDATE`, r.Advisor)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("advisor %s: %w", r.Advisor, ErrNotFound)
	}
	if err != nil {
		return "", err
	}
	var account struct {
		Currency  string
		Available money.Amount
	}
	err = tx.GetContext(ctx, &account, `
		SELECT currency, posted - held AS available FROM accounts WHERE id = 'client/' || $1 FOR NO KEY UPDATE`, r.Client)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("client %s: %w", r.Client, ErrNotFound)
	}
	if err != nil {
		return "", err
	}
	found, err := findReservations(ctx, tx, r)
	if err != nil || found.Mine != "" {
		return ivr.LoanID(found.Mine), err
	}
	terms := plan.Terms(string(r.Advisor), advisor.wish())
	least := terms.Least()
	switch {
	case least <= 0:
		return "", fmt.Errorf("%w: rate %q of plan %d asks no money for %v of talk", ivr.ErrNotInPlan, terms.RateName, plan.Version, terms.Predetermined)
	case account.Currency != terms.Currency:
		return "", fmt.Errorf("the plan counts in %s, client %s has another currency: %w", terms.Currency, r.Client, ivr.ErrNotInPlan)
	case account.Available < least:
		return "", &ivr.NoFunds{Available: account.Available, Missing: least - account.Available, Predetermined: terms.Predetermined}
	case found.Blocked:
		return "", ErrBlocked
	case !advisor.OnLine:
		return "", ErrAdvisorAway
	case found.Line == "":
		return "", ivr.ErrNotVerified
	case found.ReservedUntil.Valid:
		return "", &AdvisorBusy{Until: found.ReservedUntil.Time}
	case found.OpenCall != "":
		return "", busyUntil(ctx, tx, found.OpenCall, plan.Limits)
	case found.Others >= plan.Limits.Concurrent.PerClient:
		return "", &ClientReserved{Loan: ivr.LoanID(found.Other)}
	}
	loan := LoanRequest{Client: r.Client, Advisor: r.Advisor, Line: ivr.LineID(found.Line), Topic: r.Topic,
		For: plan.Limits.Loan, Quarantine: plan.Limits.Quarantine}
	for _, n := range plan.Numbers {
		if r.Country == "" || r.Country == n.Country {
			loan.Pool = append(loan.Pool, n.DID)
		}
	}
	if len(loan.Pool) == 0 {
		return "", ErrNoCountry
	}
	return id, s.lend(ctx, tx, id, loan, true)
}

// reservations are what stands between a client and an advisor, under their locks.
// "" and 0 where there is none.
type reservations struct {
	Mine          string       // the client's own loan for the advisor
	ReservedUntil sql.NullTime `db:"reserved_until"` // for another client
	OpenCall      string       `db:"open_call"`      // of the advisor
	Line          string       // of the advisor, verified
	Blocked       bool
	Others        int    // of the client's loans that reserve other advisors
	Other         string // the oldest of them
}

// findReservations reads the clock, not the transaction's beginning: what ended while
// the locks were waited for is over.
func findReservations(ctx context.Context, tx *sqlx.Tx, r TalkRequest) (found reservations, err error) {
	err = tx.GetContext(ctx, &found, `
		WITH live AS (
			SELECT id, client, advisor, until FROM loans
			WHERE reserves AND until > clock_timestamp() AND (advisor = $1 OR client = $2)
		)
		SELECT
			coalesce((SELECT id FROM live WHERE advisor = $1 AND client = $2), '') AS mine,
			(SELECT until FROM live WHERE advisor = $1 AND client <> $2) AS reserved_until,
			coalesce((SELECT min(id) FROM calls WHERE advisor = $1 AND ended_at IS NULL), '') AS open_call,
			coalesce((SELECT max(id) FROM lines WHERE advisor = $1 AND verified_at IS NOT NULL), '') AS line,
			EXISTS (SELECT FROM blocks WHERE advisor = $1 AND client = $2 AND blocked) AS blocked,
			(SELECT count(*) FROM live WHERE advisor <> $1) AS others,
			coalesce((SELECT min(id) FROM live WHERE advisor <> $1), '') AS other`, r.Advisor, r.Client)
	return found, err
}

// busyUntil is an [*AdvisorBusy] until the money that is held for an open call is
// spent, had the advisor taken as long to accept as the plan allows.
func busyUntil(ctx context.Context, tx *sqlx.Tx, call string, limits dialplan.Limits) error {
	var row struct {
		OpenedAt time.Time `db:"opened_at"`
		Terms    []byte
		Held     money.Amount
	}
	if err := tx.GetContext(ctx, &row, `
		SELECT opened_at, terms, (SELECT sum(amount) FROM holds WHERE call = c.id)::bigint AS held
		FROM calls c WHERE id = $1`, call); err != nil {
		return err
	}
	var terms dialplan.Terms
	if err := json.Unmarshal(row.Terms, &terms); err != nil {
		return fmt.Errorf("read the terms of call %s: %w", call, err)
	}
	longest, _ := terms.Talk(row.Held)
	return &AdvisorBusy{Until: row.OpenedAt.Add(limits.Ring + limits.Accept + longest)}
}

// Talk returns [ErrNotFound] where there is none of this client; any client's where
// client is "". Its terms are those of the plan.
func (s *Store) Talk(ctx context.Context, plan dialplan.Plan, loan ivr.LoanID, client ivr.ClientID) (talk Talk, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		talk, err = s.readTalk(ctx, s.db, plan, loan, client)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Talk{}, fmt.Errorf("talk by loan %s: %w", loan, err)
	}
	return talk, nil
}

func (s *Store) readTalk(ctx context.Context, q sqlx.QueryerContext, plan dialplan.Plan, loan ivr.LoanID, client ivr.ClientID) (Talk, error) {
	var r struct {
		DID, Client, Advisor, Name string
		Until                      time.Time
		Over                       bool
		wishRow
		Available money.Amount
		Calls     []byte
	}
	err := sqlx.GetContext(ctx, q, &r, `
		SELECT coalesce(l.did, '') AS did, l.client, l.advisor, a.name, l.until, l.until <= clock_timestamp() AS over, a.per_minute, a.predetermined_ms,
			m.posted - m.held AS available,
			(SELECT coalesce(json_agg(id ORDER BY id), '[]') FROM calls WHERE loan = l.id) AS calls
		FROM loans l JOIN advisors a ON a.id = l.advisor JOIN accounts m ON m.client = l.client
		WHERE l.id = $1 AND l.reserves AND ($2 = '' OR l.client = $2)`, loan, client)
	if err != nil {
		return Talk{}, err
	}
	talk := Talk{
		Loan: loan, DID: r.DID, PIN: s.vault.pin(loan), Until: r.Until, Over: r.Over, Client: ivr.ClientID(r.Client),
		Advisor: ivr.AdvisorID(r.Advisor), AdvisorName: r.Name, Available: r.Available,
		Terms: plan.Terms(r.Advisor, r.wish()),
	}
	return talk, json.Unmarshal(r.Calls, &talk.Calls)
}

// CancelTalk ends a loan that a talk request made: the advisor is free, the number
// begins its quarantine. A call that is up goes on. One that is over already is no
// error; one of another client is [ErrNotFound], unless client is "".
func (s *Store) CancelTalk(ctx context.Context, loan ivr.LoanID, client ivr.ClientID) error {
	var known bool
	err := s.get(ctx, &known, `
		WITH mine AS (
			SELECT id FROM loans WHERE id = $1 AND reserves AND ($2 = '' OR client = $2)
		), ended AS (
			UPDATE loans SET until = now(), kept_until = now() + (kept_until - until)
			WHERE id IN (SELECT id FROM mine) AND until > now()
		)
		SELECT true FROM mine`, loan, client)
	if err != nil {
		return fmt.Errorf("cancel the talk by loan %s: %w", loan, err)
	}
	return nil
}

// endTalkedLoan ends the loan of a call in which the two talked, where it reserves the
// advisor: what was asked for was had. It is the last that a close locks.
func endTalkedLoan(ctx context.Context, tx *sqlx.Tx, call ivr.CallID) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE loans SET until = now(), kept_until = now() + (kept_until - until)
		WHERE id = (SELECT loan FROM calls WHERE id = $1) AND reserves AND until > now()`, call)
	return err
}
