package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/ivr/money"
)

// Close implements [ivr.Ledger]. The charge is captured from the call's holds in
// their order, never more than they are; where the talk cost more, the record says
// what was captured, and its shares. A call that never opened gets its record and
// moves nothing.
//
// The first Close decides. A later one with the same charge changes nothing and
// returns nil, whatever else it says; with another charge it returns [ErrConflict].
func (s *Store) Close(ctx context.Context, cdr ivr.CDR) error {
	if cdr.Charge < 0 || cdr.Shares.Advisor < 0 || cdr.Shares.Platform < 0 ||
		cdr.Shares.Advisor+cdr.Shares.Platform != cdr.Charge {
		return fmt.Errorf("close call %s: the shares %+v are not the charge %v", cdr.Call, cdr.Shares, cdr.Charge)
	}
	err := s.retry(ctx, func(ctx context.Context) error { // one statement, one round trip
		return s.closeCall(ctx, s.prepared, cdr, true)
	})
	if errors.Is(err, errFollowed) {
		err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			if err := s.closeCall(ctx, tx, cdr, false); err != nil {
				return err
			}
			return s.endPlacement(ctx, tx, cdr, talkOf(cdr))
		})
	}
	if err != nil {
		return fmt.Errorf("close call %s: %w", cdr.Call, err)
	}
	if err := s.missed(ctx, cdr); err != nil {
		slog.Warn("an advisor who did not answer stays on line", "call", cdr.Call, "advisor", cdr.Advisor, "err", err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicQueue)
	return nil
}

// errFollowed: somebody waits for the call and is to be told in the same transaction.
var errFollowed = errors.New("the call is waited for")

// closeCallQuestion is what the SQL function close_call is asked.
type closeCallQuestion struct {
	Asterisk      string          `json:"asterisk"` // that is owned; "" where none need be
	Epoch         int64           `json:"epoch"`
	ID            ivr.CallID      `json:"id"`
	Kind          ivr.Kind        `json:"kind"`
	DID           string          `json:"did"`
	ANI           string          `json:"ani"`
	Loan          ivr.LoanID      `json:"loan"`
	Client        ivr.ClientID    `json:"client"`
	Advisor       ivr.AdvisorID   `json:"advisor"`
	Line          ivr.LineID      `json:"line"`
	Plan          int64           `json:"plan"`
	StartedAt     time.Time       `json:"started_at"`
	RingMS        int64           `json:"ring_ms"`
	TalkMS        int64           `json:"talk_ms"`
	Segments      []closedSegment `json:"segments"`
	Charge        money.Amount    `json:"charge"`
	AdvisorShare  money.Amount    `json:"advisor_share"`
	PlatformShare money.Amount    `json:"platform_share"`
	Disposition   ivr.Disposition `json:"disposition"`
	Cause         ivr.Cause       `json:"cause"`
	EndedBy       string          `json:"ended_by"`
	Event         map[string]any  `json:"event"` // call.ended's data, but for the currency
}

type closedSegment struct {
	JoinedAt time.Time `json:"joined_at"`
	TalkNS   int64     `json:"talk_ns"`
}

// closeCall asks the SQL function close_call. Where alone it returns [errFollowed] for
// a call that somebody waits for, and has done nothing.
func (s *Store) closeCall(ctx context.Context, q rowQueryer, cdr ivr.CDR, alone bool) error {
	question, err := json.Marshal(s.closing(cdr))
	if err != nil {
		return err
	}
	var a struct {
		Outcome string
		Amount  *money.Amount
		Percent *int
	}
	err = q.QueryRowxContext(ctx, `SELECT outcome, amount, percent FROM close_call($1, $2)`, string(question), alone).StructScan(&a)
	if err != nil {
		return err
	}
	switch a.Outcome {
	case "closed", "closed before":
		return nil
	case "followed":
		return errFollowed
	case "not owner":
		return ErrNotOwner
	case "less":
		cdr.Charge, cdr.Shares = *a.Amount, money.Split(*a.Amount, *a.Percent)
		return s.closeCall(ctx, q, cdr, alone)
	case "other charge":
		return fmt.Errorf("it was closed with a charge of %v, not %v: %w", *a.Amount, cdr.Charge, ErrConflict)
	case "conflict":
		return fmt.Errorf("it was opened for another client or advisor: %w", ErrConflict)
	}
	return fmt.Errorf("outcome %q", a.Outcome)
}

func (s *Store) closing(cdr ivr.CDR) closeCallQuestion {
	owned := s.tenure.Load()
	if owned == nil {
		owned = &tenure{}
	}
	segments := make([]closedSegment, len(cdr.Segments))
	for i, seg := range cdr.Segments {
		segments[i] = closedSegment{seg.JoinedAt, int64(seg.Talk)}
	}
	talk := talkOf(cdr)
	return closeCallQuestion{
		Asterisk: owned.asterisk, Epoch: owned.epoch,
		ID: cdr.Call, Kind: cdr.Kind, DID: cdr.DID, ANI: cdr.ANI, Loan: cdr.Loan,
		Client: cdr.Client, Advisor: cdr.Advisor, Line: cdr.Line, Plan: cdr.Plan, StartedAt: cdr.StartedAt,
		RingMS: cdr.Ring.Milliseconds(), TalkMS: talk.Milliseconds(), Segments: segments,
		Charge: cdr.Charge, AdvisorShare: cdr.Shares.Advisor, PlatformShare: cdr.Shares.Platform,
		Disposition: cdr.Disposition, Cause: cdr.Cause, EndedBy: cdr.EndedBy,
		Event: map[string]any{
			"call": cdr.Call, "outcome": cdr.Disposition, "ended_by": cdr.EndedBy, "talk_seconds": talk.Seconds(),
			"charge": cdr.Charge, "share": cdr.Shares.Advisor,
		},
	}
}

func talkOf(cdr ivr.CDR) (talk time.Duration) {
	for _, seg := range cdr.Segments {
		talk += seg.Talk
	}
	return talk
}
