package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// ErrNotFound: nothing has this ID.
var ErrNotFound = errors.New("not found")

// Call is a call's record: whole once it has ended, before that as far as known.
type Call struct {
	ID          ivr.CallID
	Kind        ivr.Kind
	DID, ANI    string // ANI masked
	Loan        ivr.LoanID
	Client      ivr.ClientID
	Advisor     ivr.AdvisorID
	Line        ivr.LineID
	Plan        int64
	Terms       *dialplan.Terms // nil when nothing was held
	StartedAt   time.Time       // by the program's clock
	OpenedAt    time.Time       // by the database's
	EndedAt     time.Time       // by the database's; zero while the call is open
	Ring        time.Duration
	Segments    []ivr.Segment
	Held        money.Amount // when the call ended
	Charge      money.Amount
	Shares      money.Shares
	Disposition ivr.Disposition
	Cause       ivr.Cause
	EndedBy     string
}

// Open says that the call has not ended.
func (c Call) Open() bool { return c.EndedAt.IsZero() }

// Talk is all of the call's talk time.
func (c Call) Talk() (sum time.Duration) {
	for _, s := range c.Segments {
		sum += s.Talk
	}
	return sum
}

// Currency of the call's amounts; "" when nothing was held.
func (c Call) Currency() string {
	if c.Terms == nil {
		return ""
	}
	return c.Terms.Currency
}

// CallFilter narrows a list of calls; zero fields do not.
type CallFilter struct {
	Client      ivr.ClientID
	Advisor     ivr.AdvisorID
	Open        bool            // only calls that have not ended
	From, To    time.Time       // when they started, To not included
	Disposition ivr.Disposition // how they ended
	Before      ivr.CallID      // only older ones: the last of the page before
}

// Calls lists calls, the newest first.
func (s *Store) Calls(ctx context.Context, f CallFilter, limit int) ([]Call, error) {
	var rows []callRow
	err := s.retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.db.SelectContext(ctx, &rows, selectCalls+` FROM calls c
			WHERE ($1 = '' OR client = $1) AND ($2 = '' OR advisor = $2)
			  AND (NOT $3 OR ended_at IS NULL) AND ($4 = '' OR id < $4) AND $5 IN ('', disposition)
			  AND ($6::timestamptz IS NULL OR started_at >= $6) AND ($7::timestamptz IS NULL OR started_at < $7)
			ORDER BY id DESC LIMIT $8`, f.Client, f.Advisor, f.Open, f.Before, f.Disposition,
			sql.NullTime{Time: f.From, Valid: !f.From.IsZero()}, sql.NullTime{Time: f.To, Valid: !f.To.IsZero()}, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list calls: %w", err)
	}
	calls := make([]Call, len(rows))
	for i, r := range rows {
		if calls[i], err = r.call(); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// Call returns [ErrNotFound] where there is none.
func (s *Store) Call(ctx context.Context, id ivr.CallID) (Call, error) {
	var row callRow
	err := s.get(ctx, &row, selectCalls+` FROM calls c WHERE id = $1`, id)
	if err != nil {
		return Call{}, fmt.Errorf("call %s: %w", id, err)
	}
	return row.call()
}

// get reads one row, or returns [ErrNotFound].
func (s *Store) get(ctx context.Context, dest any, query string, args ...any) error {
	err := s.retry(ctx, func(ctx context.Context) error { return s.db.GetContext(ctx, dest, query, args...) })
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// selectCalls reads a callRow of each call c.
const selectCalls = `
	SELECT c.id, c.kind, c.did, c.ani, coalesce(c.loan, '') AS loan, coalesce(c.client, '') AS client,
		coalesce(c.advisor, '') AS advisor, coalesce(c.line, '') AS line, coalesce(c.plan, 0) AS plan, c.terms,
		c.started_at, c.opened_at, c.ended_at, coalesce(c.ring_ms, 0) AS ring_ms, coalesce(c.held, 0) AS held,
		coalesce(c.charge, 0) AS charge, coalesce(c.advisor_share, 0) AS advisor_share,
		coalesce(c.platform_share, 0) AS platform_share, coalesce(c.disposition, '') AS disposition,
		coalesce(c.cause, 0) AS cause, coalesce(c.ended_by, '') AS ended_by,
		(SELECT json_agg(json_build_object('joined_at', joined_at, 'talk_ns', talk_ns) ORDER BY number)
			FROM segments WHERE call = c.id) AS segments`

type callRow struct {
	ID, Kind, DID, ANI, Loan, Client, Advisor, Line string
	Plan                                            int64
	Terms, Segments                                 []byte
	StartedAt                                       time.Time    `db:"started_at"`
	OpenedAt                                        time.Time    `db:"opened_at"`
	EndedAt                                         sql.NullTime `db:"ended_at"`
	RingMS                                          int64        `db:"ring_ms"`
	Held, Charge                                    money.Amount
	AdvisorShare                                    money.Amount `db:"advisor_share"`
	PlatformShare                                   money.Amount `db:"platform_share"`
	Disposition                                     string
	Cause                                           int
	EndedBy                                         string `db:"ended_by"`
}

func (r callRow) call() (Call, error) {
	c := Call{
		ID: ivr.CallID(r.ID), Kind: ivr.Kind(r.Kind), DID: r.DID, ANI: r.ANI, Loan: ivr.LoanID(r.Loan),
		Client: ivr.ClientID(r.Client), Advisor: ivr.AdvisorID(r.Advisor), Line: ivr.LineID(r.Line), Plan: r.Plan,
		StartedAt: r.StartedAt, OpenedAt: r.OpenedAt, EndedAt: r.EndedAt.Time,
		Ring: time.Duration(r.RingMS) * time.Millisecond, Held: r.Held, Charge: r.Charge,
		Shares:      money.Shares{Advisor: r.AdvisorShare, Platform: r.PlatformShare},
		Disposition: ivr.Disposition(r.Disposition), Cause: ivr.Cause(r.Cause), EndedBy: r.EndedBy,
	}
	var segments []struct {
		JoinedAt time.Time `json:"joined_at"`
		TalkNS   int64     `json:"talk_ns"`
	}
	for _, part := range []struct {
		text []byte
		into any
	}{{r.Terms, &c.Terms}, {r.Segments, &segments}} {
		if part.text == nil {
			continue
		}
		if err := json.Unmarshal(part.text, part.into); err != nil {
			return Call{}, fmt.Errorf("read call %s: %w", r.ID, err)
		}
	}
	for _, seg := range segments {
		c.Segments = append(c.Segments, ivr.Segment{JoinedAt: seg.JoinedAt, Talk: time.Duration(seg.TalkNS)})
	}
	return c, nil
}
