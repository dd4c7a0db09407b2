package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
)

// TopicQueue is noticed when somebody's turn may have come.
const TopicQueue = "queue"

// Why a client is not put on a queue.
var (
	// ErrAdvisorFree: nobody is before the client. They can talk now.
	ErrAdvisorFree = errors.New("the advisor is free")
	ErrQueueFull   = errors.New("as many clients wait for the advisor as may")
)

// WaitID names a client's waiting for an advisor: wait_...
type WaitID string

// WaitMode is what happens when it is the client's turn.
type WaitMode string

const (
	OnPage     WaitMode = "page"      // they are told on the page, and dial
	CalledBack WaitMode = "call_back" // we call them
)

// WaitState is how far a wait has come. All but the first two are ends.
type WaitState string

const (
	Waiting     WaitState = "waiting"
	Turn        WaitState = "turn" // the advisor is reserved for them
	Talked      WaitState = "talked"
	Left        WaitState = "left"
	MissedTurn  WaitState = "missed_turn"
	NoFunds     WaitState = "no_funds"     // when it was their turn
	NotReached  WaitState = "not_reached"  // they did not answer, or did not press 1
	NotAccepted WaitState = "not_accepted" // the advisor did not take the call
	WaitFailed  WaitState = "failed"       // our fault
)

// Wait is a client's waiting for an advisor.
type Wait struct {
	ID          WaitID
	Client      ivr.ClientID
	Alias       string // the client's
	Advisor     ivr.AdvisorID
	AdvisorName string
	Mode        WaitMode
	Topic       string
	JoinedAt    time.Time
	State       WaitState
	Place       int           // in line, from 1; 0 where they do not wait
	AtMost      time.Duration // until their turn, once the advisor is there: see [Store.JoinQueue]
	Away        bool          // the advisor is off line or out of hours: places are kept
	Loan        ivr.LoanID    // of the turn; "" before
	Until       time.Time     // of the turn
}

// WaitRequest is a client's wish to wait for an advisor.
type WaitRequest struct {
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	Mode    WaitMode
	Topic   string // the advisor hears it; may be empty
	Country string // of the number to be lent; any where empty
}

// JoinQueue puts a client who could talk, were the advisor free, on the advisor's queue.
// It asks the same as [Store.RequestTalk] in the same order, and returns the same
// errors; then [ErrAdvisorFree], [ErrQueueFull], or [*dialplan.NotCallable] where the
// client wants to be called and the plan does not allow it. Who waits already keeps
// their place, with the new mode and topic.
//
// The wait that is told is the worst that can come with the money that there is now: all
// before take their turn at its end, answer and accept as late as they can, and talk for
// as long as their money and the plan allow.
func (s *Store) JoinQueue(ctx context.Context, request Request, plan dialplan.Plan, r WaitRequest) (w Wait, err error) {
	id := WaitID(ivr.NewID("wait"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		w = Wait{}
		return s.once(ctx, tx, request, &w, func() error {
			joined, err := s.joinQueue(ctx, tx, id, plan, r)
			if err == nil {
				w, err = readWait(ctx, tx, plan, joined, r.Client)
			}
			return err
		})
	})
	if err != nil {
		return Wait{}, fmt.Errorf("client %s on the queue of advisor %s: %w", r.Client, r.Advisor, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicQueue)
	return w, nil
}

func (s *Store) joinQueue(ctx context.Context, tx *sqlx.Tx, id WaitID, plan dialplan.Plan, r WaitRequest) (WaitID, error) {
	m, err := meet(ctx, tx, plan, r.Client, r.Advisor)
	if err != nil {
		return "", err
	}
	if err := m.allowed(ctx, tx); err != nil {
		return "", err
	}
	if r.Mode == CalledBack {
		if err := s.mayCall(ctx, tx, plan, r.Client); err != nil {
			return "", err
		}
	}
	if _, err := m.request(r.Topic, r.Country, 0); err != nil {
		return "", err
	}
	until, err := m.busyUntil(ctx, tx)
	if err != nil {
		return "", err
	}
	_, waits, err := nextInLine(ctx, tx, plan, r.Advisor)
	if err != nil {
		return "", err
	}
	if m.Mine != "" || until.IsZero() && !waits {
		return "", ErrAdvisorFree
	}
	return s.join(ctx, tx, id, r, 0, plan.Limits.Queue)
}

// join writes a wait, under the advisor's lock, or changes the one that there is. Its
// turn does not come before a while has passed.
func (s *Store) join(ctx context.Context, tx *sqlx.Tx, id WaitID, r WaitRequest, notBefore time.Duration, most int) (WaitID, error) {
	var there struct {
		ID    WaitID
		Count int
	}
	err := tx.GetContext(ctx, &there, `
		SELECT coalesce(min(id) FILTER (WHERE client = $2), '') AS id, count(*) FILTER (WHERE state = 'waiting') AS count
		FROM waits WHERE advisor = $1 AND ended_at IS NULL`, r.Advisor, r.Client)
	switch {
	case err != nil:
		return "", err
	case there.ID != "":
		_, err := tx.ExecContext(ctx, `
			UPDATE waits SET mode = $2, topic = $3, country = $4, ready_at = clock_timestamp() + $5 * interval '1 ms'
			WHERE id = $1 AND state = 'waiting'`, there.ID, r.Mode, r.Topic, r.Country, notBefore.Milliseconds())
		return there.ID, err
	case there.Count >= most:
		return "", ErrQueueFull
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO waits (id, client, advisor, mode, topic, country, ready_at)
		VALUES ($1, $2, $3, $4, $5, $6, clock_timestamp() + $7 * interval '1 ms')`,
		id, r.Client, r.Advisor, r.Mode, r.Topic, r.Country, notBefore.Milliseconds()); err != nil {
		return "", err
	}
	return id, s.emit(ctx, tx, Event{Type: "queue.joined", Client: r.Client, Advisor: r.Advisor,
		Data: map[string]any{"wait": id, "mode": r.Mode}})
}

// handsetDown is how long a client who asked on the telephone to be called back may take
// to hang up: before, their line is busy.
const handsetDown = 15 * time.Second

// CallBack implements [ivr.Desk]. The loan is over: it does not keep the advisor from
// those who wait. The queue's limit is not asked, since the client came by appointment;
// the money is, when it is their turn.
func (s *Store) CallBack(ctx context.Context, loan ivr.LoanID) error {
	id := WaitID(ivr.NewID("wait"))
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		r := WaitRequest{Mode: CalledBack}
		err := tx.QueryRowxContext(ctx, `
			SELECT l.client, l.advisor, l.topic FROM loans l JOIN advisors a ON a.id = l.advisor
			WHERE l.id = $1 FOR NO KEY UPDATE OF a`, loan).Scan(&r.Client, &r.Advisor, &r.Topic)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := s.endLoan(ctx, tx, loan, "to_be_called"); err != nil {
			return err
		}
		_, err = s.join(ctx, tx, id, r, handsetDown, math.MaxInt)
		return err
	})
	if err != nil {
		return fmt.Errorf("call back the client of loan %s: %w", loan, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicQueue)
	return nil
}

// LeaveQueue ends a wait, also when it is the client's turn; a call that is up goes on.
// One that is over already is no error; one of another client is [ErrNotFound], unless
// client is "".
func (s *Store) LeaveQueue(ctx context.Context, id WaitID, client ivr.ClientID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var w struct {
			State WaitState
			Loan  ivr.LoanID
		}
		// Under the advisor's lock it becomes nobody's turn; so it is read after.
		for _, query := range []string{
			`SELECT '' AS state, '' AS loan FROM waits w JOIN advisors a ON a.id = w.advisor
				WHERE w.id = $1 AND ($2 = '' OR w.client = $2) FOR NO KEY UPDATE OF a`,
			`SELECT state, coalesce(loan, '') AS loan FROM waits WHERE id = $1 AND ($2 = '' OR client = $2)`,
		} {
			if err := tx.GetContext(ctx, &w, query, id, client); errors.Is(err, sql.ErrNoRows) {
				return ErrNotFound
			} else if err != nil {
				return err
			}
		}
		if w.State == Turn {
			return s.leaveTurn(ctx, tx, w.Loan)
		}
		return s.endWait(ctx, tx, id, Left)
	})
	if err != nil {
		return fmt.Errorf("leave the queue by wait %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicQueue)
	return nil
}

// Wait returns [ErrNotFound] where there is none of this client; any client's where
// client is "".
func (s *Store) Wait(ctx context.Context, plan dialplan.Plan, id WaitID, client ivr.ClientID) (w Wait, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		w, err = readWait(ctx, s.db, plan, id, client)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Wait{}, fmt.Errorf("wait %s: %w", id, err)
	}
	return w, nil
}

// WaitsOf are a client's waits that are not over, in the order in which they began.
func (s *Store) WaitsOf(ctx context.Context, plan dialplan.Plan, client ivr.ClientID) ([]Wait, error) {
	var ids []WaitID
	if err := s.list(ctx, &ids, `SELECT id FROM waits WHERE client = $1 AND ended_at IS NULL ORDER BY ticket`, client); err != nil {
		return nil, fmt.Errorf("waits of client %s: %w", client, err)
	}
	waits := make([]Wait, len(ids))
	for i, id := range ids {
		var err error
		if waits[i], err = s.Wait(ctx, plan, id, client); err != nil {
			return nil, err
		}
	}
	return waits, nil
}

// Queue are the clients who wait for an advisor, in their order: whose turn it is first.
// How long it takes them is not in it.
func (s *Store) Queue(ctx context.Context, advisor ivr.AdvisorID) ([]Wait, error) {
	var rows []waitRow
	if err := s.list(ctx, &rows, selectWaits+` WHERE w.advisor = $1 AND w.ended_at IS NULL AND NOT blocked ORDER BY w.state = 'waiting', w.ticket`, advisor); err != nil {
		return nil, fmt.Errorf("the queue of advisor %s: %w", advisor, err)
	}
	waits, place := make([]Wait, len(rows)), 0
	for i, r := range rows {
		waits[i] = r.wait()
		if r.State == Waiting {
			place++
			waits[i].Place = place
		}
	}
	return waits, nil
}

const selectWaits = `
	SELECT w.id, w.ticket, w.client, c.alias, w.advisor, a.name, w.mode, w.topic, w.joined_at, w.state, coalesce(w.loan, '') AS loan,
		coalesce(l.until, '0001-01-01Z') AS until, a.per_minute, a.predetermined_ms, a.hours, clock_timestamp() AS now,
		blocked OR a.on_line_since IS NULL OR NOT EXISTS (SELECT FROM lines WHERE advisor = a.id AND verified_at IS NOT NULL) AS away
	FROM waits w JOIN clients c ON c.id = w.client JOIN advisors a ON a.id = w.advisor LEFT JOIN loans l ON l.id = w.loan
	CROSS JOIN LATERAL (SELECT EXISTS (
		SELECT FROM blocks WHERE client = w.client AND advisor = w.advisor AND blocked) AS blocked) b`

type waitRow struct {
	ID                           WaitID
	Ticket                       int64
	Client, Alias, Advisor, Name string
	Mode                         WaitMode
	Topic                        string
	JoinedAt                     time.Time `db:"joined_at"`
	State                        WaitState
	Loan                         ivr.LoanID
	Until, Now                   time.Time
	Away                         bool
	Hours                        Hours
	wishRow
}

func (r waitRow) wait() Wait {
	return Wait{
		ID: r.ID, Client: ivr.ClientID(r.Client), Alias: r.Alias, Advisor: ivr.AdvisorID(r.Advisor), AdvisorName: r.Name,
		Mode: r.Mode, Topic: r.Topic, JoinedAt: r.JoinedAt, State: r.State, Loan: r.Loan, Until: r.Until,
		Away: r.Away || !r.Hours.Next(r.Now).Equal(r.Now),
	}
}

func readWait(ctx context.Context, q sqlx.QueryerContext, plan dialplan.Plan, id WaitID, client ivr.ClientID) (w Wait, err error) {
	var r waitRow
	if err := sqlx.GetContext(ctx, q, &r, selectWaits+` WHERE w.id = $1 AND ($2 = '' OR w.client = $2)`, id, client); err != nil {
		return w, err
	}
	w = r.wait()
	if w.State == Waiting {
		w.Place, w.AtMost, err = inLine(ctx, q, plan, w.Advisor, plan.Terms(r.Advisor, r.wish()), r.Ticket)
	}
	return w, err
}
