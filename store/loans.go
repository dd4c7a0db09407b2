package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
)

var (
	// ErrNumberTaken: the number is lent, or in the quarantine after a loan.
	ErrNumberTaken = errors.New("the number is lent or in quarantine: wait, or take another")
	// ErrNoNumber: every number of the pool is lent or in quarantine.
	ErrNoNumber = errors.New("all numbers are lent or in quarantine: wait, or add numbers to the plan")
)

// loanTries is how many wrong PINs a loan bears in all.
const loanTries = 10

// LoanRequest asks for a number for a client who wants to talk to an advisor.
type LoanRequest struct {
	Client     ivr.ClientID
	Advisor    ivr.AdvisorID
	Line       ivr.LineID // the advisor's
	Topic      string     // may be empty
	DID        string     // or empty: the one of Pool that has rested longest
	Pool       []string
	For        time.Duration // how long it is lent
	Quarantine time.Duration // and then kept back
}

// loansLock is the advisory lock under which a free number is looked for, so that
// those who look at once do not all find the same.
const loansLock = 0x6c6f616e // "loan"

// CreateLoan lends a number, and returns the PIN for calls from other phones, which
// is kept nowhere. It returns [ErrNumberTaken] or [ErrNoNumber].
func (s *Store) CreateLoan(ctx context.Context, r LoanRequest) (loan ivr.Loan, pin string, err error) {
	pool := r.Pool
	if r.DID != "" {
		pool = []string{r.DID}
	}
	if r.For <= 0 || r.Quarantine < 0 || len(pool) == 0 {
		return loan, "", errors.New("a loan needs a number or a pool of them, a length and a quarantine")
	}
	id := ivr.LoanID(ivr.NewID("loan"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var done bool
		if err := tx.GetContext(ctx, &done, `SELECT EXISTS (SELECT FROM loans WHERE id = $1)`, id); err != nil || done {
			return err
		}
		r := r
		r.Pool = pool
		return s.lend(ctx, tx, id, r, false)
	})
	switch violated(err) {
	case "loans_one_pair_at_a_time":
		err = ErrNumberTaken
	case "loans_client_fkey":
		err = fmt.Errorf("client %s: %w", r.Client, ErrNotFound)
	case "loans_line_advisor_fkey", "loans_advisor_fkey":
		err = fmt.Errorf("line %s of advisor %s: %w", r.Line, r.Advisor, ErrNotFound)
	}
	if errors.Is(err, ErrNoNumber) && r.DID != "" {
		err = ErrNumberTaken
	}
	if err != nil {
		return loan, "", fmt.Errorf("lend a number to client %s: %w", r.Client, err)
	}
	loan, err = s.Loan(ctx, id)
	return loan, s.vault.pin(id), err
}

// lend makes a loan of the number of r.Pool that has rested longest; one that reserves
// its advisor where it is for a talk request. It is asked late: all who lend wait for
// each other from here to the end of their transactions.
func (s *Store) lend(ctx context.Context, tx *sqlx.Tx, id ivr.LoanID, r LoanRequest, reserves bool) error {
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, loansLock); err != nil {
		return err
	}
	did, err := restedNumber(ctx, tx, r.Pool)
	if err != nil {
		return err
	}
	if err := s.insertLoan(ctx, tx, id, r, did, reserves); err != nil || !reserves {
		return err
	}
	return s.emit(ctx, tx, Event{Type: "talk.requested", Client: r.Client, Advisor: r.Advisor, Data: map[string]any{"talk": id}})
}

// reserve makes a loan that reserves its advisor and lends no number.
func (s *Store) reserve(ctx context.Context, tx *sqlx.Tx, id ivr.LoanID, r LoanRequest) error {
	return s.insertLoan(ctx, tx, id, r, "", true)
}

func (s *Store) insertLoan(ctx context.Context, tx *sqlx.Tx, id ivr.LoanID, r LoanRequest, did string, reserves bool) error {
	// It begins when its locks were had, not when the transaction did: what ended
	// while they were waited for does not overlap.
	_, err := tx.ExecContext(ctx, `
		INSERT INTO loans (id, did, client, advisor, line, topic, pin_hash, reserves, made_at, until, kept_until)
		SELECT $1, nullif($2, ''), $3, $4, $5, $6, $7, $8, at, at + $9 * interval '1 ms', at + $10 * interval '1 ms'
		FROM (SELECT clock_timestamp() AS at) AS clock`,
		id, did, r.Client, r.Advisor, r.Line, r.Topic, s.vault.codeHash(string(id), s.vault.pin(id)), reserves,
		r.For.Milliseconds(), (r.For + r.Quarantine).Milliseconds())
	return err
}

// restedNumber is the free number of pool whose last loan is over longest.
func restedNumber(ctx context.Context, tx *sqlx.Tx, pool []string) (did string, err error) {
	err = tx.GetContext(ctx, &did, `
		SELECT p.did FROM unnest($1::text[]) WITH ORDINALITY AS p (did, place)
		LEFT JOIN LATERAL (SELECT max(kept_until) AS at FROM loans WHERE did = p.did) AS free ON true
		WHERE free.at IS NULL OR free.at <= now()
		ORDER BY free.at NULLS FIRST, place LIMIT 1`, pq.Array(pool))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoNumber
	}
	return did, err
}

// EndLoan takes a number back before its time. Its quarantine begins now.
func (s *Store) EndLoan(ctx context.Context, id ivr.LoanID) error {
	return s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `
			UPDATE loans SET until = now(), kept_until = now() + (kept_until - until)
			WHERE id = $1 AND until > now()`, id)
		return err
	})
}

// Loan returns [ErrNotFound] where there is none.
func (s *Store) Loan(ctx context.Context, id ivr.LoanID) (ivr.Loan, error) {
	var r loanRow
	if err := s.get(ctx, &r, selectLoans+` WHERE l.id = $1`, id); err != nil {
		return ivr.Loan{}, fmt.Errorf("loan %s: %w", id, err)
	}
	return s.loan(r)
}

// Loans lists the loans in force, the newest first.
func (s *Store) Loans(ctx context.Context) ([]ivr.Loan, error) {
	var rows []loanRow
	if err := s.list(ctx, &rows, selectLoans+` WHERE l.until > now() ORDER BY l.id DESC`); err != nil {
		return nil, err
	}
	loans := make([]ivr.Loan, len(rows))
	for i, r := range rows {
		var err error
		if loans[i], err = s.loan(r); err != nil {
			return nil, err
		}
	}
	return loans, nil
}

// LoanByANI implements [ivr.Directory].
func (s *Store) LoanByANI(ctx context.Context, did, ani string) (ivr.Loan, error) {
	r, err := s.latestLoan(ctx, did)
	if err != nil {
		return ivr.Loan{}, err
	}
	hash := s.vault.numberHash(string(ivr.Phone), ani)
	if !hmac.Equal(r.PhoneHash, hash) && !hmac.Equal(r.AgreedPhoneHash, hash) {
		return ivr.Loan{}, ivr.ErrNotIdentified
	}
	return s.loan(r)
}

// LoanByPIN implements [ivr.Directory]. The try is counted, and the count is on disk,
// before the PIN is looked at; a right one is taken off again. So wrong ones are
// bounded for the whole loan, however many calls try at once.
func (s *Store) LoanByPIN(ctx context.Context, did, pin string) (ivr.Loan, error) {
	r, err := s.latestLoan(ctx, did)
	if err != nil {
		return ivr.Loan{}, err
	}
	var hash []byte
	err = s.get(ctx, &hash, `
		UPDATE loans SET tries = tries + 1 WHERE id = $1 AND tries < $2 RETURNING pin_hash`, r.ID, loanTries)
	if errors.Is(err, ErrNotFound) {
		return ivr.Loan{}, ivr.ErrTooManyTries
	}
	if err != nil {
		return ivr.Loan{}, fmt.Errorf("count a try of loan %s: %w", r.ID, err)
	}
	if !hmac.Equal(hash, s.vault.codeHash(r.ID, pin)) {
		return ivr.Loan{}, ivr.ErrNotIdentified
	}
	if err := s.takeBackTry(ctx, r.ID); err != nil {
		return ivr.Loan{}, fmt.Errorf("take back a try of loan %s: %w", r.ID, err)
	}
	return s.loan(r)
}

// takeBackTry is not tried again, and is a transaction so that nothing below does so
// either: a try too many counted is safe, one too few is not.
func (s *Store) takeBackTry(ctx context.Context, loan string) error {
	tx, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := changeOne(ctx, tx, `UPDATE loans SET tries = tries - 1 WHERE id = $1`, loan); err != nil {
		return err
	}
	return tx.Commit()
}

// latestLoan is the loan in force of a number, or [ivr.ErrNoLoan] or
// [ivr.ErrLoanExpired]. The database's clock decides.
func (s *Store) latestLoan(ctx context.Context, did string) (r loanRow, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		return s.prepared.GetContext(ctx, &r, selectLoans+` WHERE l.did = $1 ORDER BY l.made_at DESC LIMIT 1`, did)
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return r, ivr.ErrNoLoan
	case err != nil:
		return r, fmt.Errorf("find the loan of a number: %w", err)
	case !r.Live:
		return r, ivr.ErrLoanExpired
	}
	return r, nil
}

// reserved are the loans that reserve their advisor now. The clock decides, which goes on
// while locks are waited for; now(), which stands still and is never later, is what an index
// can be asked: an advisor's loans of all time are many.
const reserved = `reserves AND until > now() AND until > clock_timestamp()`

const selectLoans = `
	SELECT l.id, coalesce(l.did, '') AS did, l.client, l.topic, l.advisor, l.until, l.until > now() AS live,
		c.alias, c.phone_hash, c.phone_sealed, a.name, a.per_minute, a.predetermined_ms,
		n.id AS line, n.kind, n.address_sealed, n.verified_at IS NOT NULL AS verified,
		coalesce((SELECT 'greeting:' || advisor || '/' || left(sha256, 16) FROM advisor_files WHERE advisor = l.advisor AND kind = 'greeting'), '') AS greeting,
		` + selectAgreed + `
	FROM loans l JOIN clients c ON c.id = l.client JOIN advisors a ON a.id = l.advisor JOIN lines n ON n.id = l.line
	LEFT JOIN appointments appt ON appt.loan = l.id`

type loanRow struct {
	ID, DID, Client, Topic, Advisor string
	Alias, Name, Line, Kind         string
	Greeting                        ivr.Prompt
	Until                           time.Time
	Live, Verified                  bool
	PhoneHash                       []byte `db:"phone_hash"`
	PhoneSealed                     []byte `db:"phone_sealed"`
	AddressSealed                   []byte `db:"address_sealed"`
	wishRow
	agreedRow
}

func (s *Store) loan(r loanRow) (ivr.Loan, error) {
	address, err := s.vault.open(r.Line, r.AddressSealed)
	if err != nil {
		return ivr.Loan{}, err
	}
	phone, err := s.vault.open(r.Client, r.PhoneSealed)
	if err != nil {
		return ivr.Loan{}, err
	}
	loan := ivr.Loan{
		ID: ivr.LoanID(r.ID), DID: r.DID, Topic: r.Topic,
		Client: ivr.ClientID(r.Client), ClientAlias: r.Alias, ClientLine: ivr.Line{Kind: ivr.Phone, Address: phone},
		Advisor: ivr.AdvisorID(r.Advisor), AdvisorName: r.Name,
		Line: ivr.Line{ID: ivr.LineID(r.Line), Advisor: ivr.AdvisorID(r.Advisor), Kind: ivr.LineKind(r.Kind),
			Address: address, Verified: r.Verified},
		Wish: r.wish(), Greeting: r.Greeting, Until: r.Until,
	}
	return loan, s.agreed(r.agreedRow, &loan)
}
