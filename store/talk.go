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
// by itself, a call with the money that is held for it. And it says what else the client
// can do.
type AdvisorBusy struct {
	Until    time.Time
	Place    int           // that they would have in the queue, from 1; 0: it is full
	AtMost   time.Duration // that it would take until their turn
	CallBack bool          // their phone may be called
}

func (e *AdvisorBusy) Error() string        { return ivr.ErrAdvisorBusy.Error() }
func (e *AdvisorBusy) Is(target error) bool { return target == ivr.ErrAdvisorBusy }

// ToBeCalled: the advisor is reserved for a call that we make to the client.
type ToBeCalled struct{ Loan ivr.LoanID }

func (e *ToBeCalled) Error() string { return ivr.ErrToBeCalled.Error() }

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
	Available   money.Amount // the client's, beside what is held, within their caps
	Calls       []ivr.CallID // made by the loan, in their order
}

// RequestTalk reserves the advisor for the client and lends a number, by the plan. It
// asks for the money first, then for the advisor. It returns [*ivr.NoFunds], then
// [*OutOfHours], [ErrBlocked], [ErrAdvisorAway], [ivr.ErrNotVerified], [*AdvisorBusy], [*ClientReserved],
// [ErrNoCountry] or [ErrNoNumber]; or [*ToBeCalled] or [ErrNotFound].
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
	s.Notify(ctx, TopicEvents)
	return talk, nil
}

// requestTalk makes a loan, or finds the client's own. A client who waits in line for the
// advisor takes their turn by it; nobody goes before those who wait.
func (s *Store) requestTalk(ctx context.Context, tx *sqlx.Tx, id ivr.LoanID, plan dialplan.Plan, r TalkRequest) (ivr.LoanID, error) {
	m, err := meet(ctx, tx, plan, r.Client, r.Advisor)
	switch {
	case err != nil:
		return "", err
	case m.Mine != "" && !m.MineIsLent:
		return "", &ToBeCalled{Loan: ivr.LoanID(m.Mine)}
	case m.Mine != "":
		return ivr.LoanID(m.Mine), nil
	}
	if err := m.allowed(ctx, tx); err != nil {
		return "", err
	}
	until, err := m.busyUntil(ctx, tx)
	if err != nil {
		return "", err
	}
	next, waits, err := nextInLine(ctx, tx, plan, r.Advisor)
	switch {
	case err != nil:
		return "", err
	case !until.IsZero(), waits && next.Client != r.Client:
		return "", s.advisorBusy(ctx, tx, m, until)
	case m.Others >= plan.Limits.Concurrent.PerClient:
		return "", &ClientReserved{Loan: ivr.LoanID(m.Other)}
	}
	return id, s.lendTo(ctx, tx, id, m, r)
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
			(SELECT amount FROM may_hold(l.client)) AS available,
			(SELECT coalesce(json_agg(id ORDER BY id), '[]') FROM calls WHERE loan = l.id) AS calls
		FROM loans l JOIN advisors a ON a.id = l.advisor
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

// CancelTalk ends a loan that a talk request or a turn made: the advisor is free, the
// number begins its quarantine. A call that is up goes on. One that is over already is
// no error; one of another client is [ErrNotFound], unless client is "".
func (s *Store) CancelTalk(ctx context.Context, loan ivr.LoanID, client ivr.ClientID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var known bool
		err := tx.GetContext(ctx, &known, `SELECT true FROM loans WHERE id = $1 AND reserves AND ($2 = '' OR client = $2)`, loan, client)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.leaveTurn(ctx, tx, loan)
	})
	if err != nil {
		return fmt.Errorf("cancel the talk by loan %s: %w", loan, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicQueue)
	return nil
}
