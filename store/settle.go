package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/dialplan"
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
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.owns(ctx, tx); err != nil {
			return err
		}
		return s.closeCall(ctx, tx, cdr)
	})
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

// openedCall is what Close finds of a call, under its lock.
type openedCall struct {
	Client, Advisor sql.NullString
	Ended           bool
	Charge          sql.Null[money.Amount]
	Terms           []byte
}

type hold struct {
	Number int
	Amount money.Amount
}

func (s *Store) closeCall(ctx context.Context, tx *sqlx.Tx, cdr ivr.CDR) error {
	if cdr.Client != "" {
		if _, err := tx.ExecContext(ctx, `
			SELECT FROM accounts WHERE id = 'client/' || $1 FOR NO KEY UPDATE`, cdr.Client); err != nil {
			return err
		}
	}
	call, holds, err := lockCall(ctx, tx, cdr)
	if err != nil {
		return err
	}
	var held money.Amount
	for _, h := range holds {
		held += h.Amount
	}
	charge := min(cdr.Charge, held)
	switch {
	case ivr.ClientID(call.Client.String) != cdr.Client || ivr.AdvisorID(call.Advisor.String) != cdr.Advisor:
		return fmt.Errorf("it was opened for another client or advisor: %w", ErrConflict)
	case call.Ended && call.Charge.V != charge:
		return fmt.Errorf("it was closed with a charge of %v, not %v: %w", call.Charge.V, charge, ErrConflict)
	case call.Ended:
		return nil
	}
	var terms dialplan.Terms
	if len(holds) > 0 {
		if err := json.Unmarshal(call.Terms, &terms); err != nil {
			return fmt.Errorf("read its terms: %w", err)
		}
	}
	shares := cdr.Shares
	if charge != cdr.Charge {
		shares = money.Split(charge, terms.AdvisorPercent)
	}
	if err := writeTalk(ctx, tx, cdr); err != nil {
		return err
	}
	if err := capture(ctx, tx, cdr, terms.Currency, holds, shares); err != nil {
		return err
	}
	var talk time.Duration
	for _, seg := range cdr.Segments {
		talk += seg.Talk
	}
	if err := changeOne(ctx, tx, `
		UPDATE calls SET ended_at = now(), ended_by = $2, disposition = $3, cause = $4, ring_ms = $5, talk_ms = $6,
			held = $7, charge = $8, advisor_share = $9, platform_share = $10
		WHERE id = $1 AND ended_at IS NULL`,
		cdr.Call, cdr.EndedBy, cdr.Disposition, cdr.Cause, cdr.Ring.Milliseconds(), talk.Milliseconds(),
		held, charge, shares.Advisor, shares.Platform); err != nil {
		return err
	}
	if talk > 0 {
		if err := endTalkedLoan(ctx, tx, cdr.Call); err != nil {
			return err
		}
	}
	if len(holds) > 0 {
		if err := s.emit(ctx, tx, Event{Type: "call.ended", Client: cdr.Client, Advisor: cdr.Advisor, Data: map[string]any{
			"call": cdr.Call, "outcome": cdr.Disposition, "ended_by": cdr.EndedBy, "talk_seconds": talk.Seconds(),
			"charge": charge, "share": shares.Advisor, "currency": terms.Currency,
		}}); err != nil {
			return err
		}
	}
	return s.endPlacement(ctx, tx, cdr, talk)
}

// lockCall locks a call's row, made here if the call never opened, and reads its
// holds in order.
func lockCall(ctx context.Context, tx *sqlx.Tx, cdr ivr.CDR) (call openedCall, holds []hold, err error) {
	_, err = tx.ExecContext(ctx, `
		INSERT INTO calls (id, kind, did, ani, loan, client, advisor, line, plan, started_at)
		VALUES ($1, $2, $3, $4, nullif($5, ''), nullif($6, ''), nullif($7, ''), nullif($8, ''), nullif($9, 0), $10)
		ON CONFLICT (id) DO NOTHING`,
		cdr.Call, cdr.Kind, cdr.DID, cdr.ANI, cdr.Loan, cdr.Client, cdr.Advisor, cdr.Line, cdr.Plan, cdr.StartedAt)
	if err != nil {
		return call, nil, err
	}
	if err := tx.GetContext(ctx, &call, `
		SELECT client, advisor, ended_at IS NOT NULL AS ended, charge, terms
		FROM calls WHERE id = $1 FOR NO KEY UPDATE`, cdr.Call); err != nil {
		return call, nil, err
	}
	err = tx.SelectContext(ctx, &holds, `SELECT number, amount FROM holds WHERE call = $1 ORDER BY number`, cdr.Call)
	return call, holds, err
}

// writeTalk makes the call's segments those of the CDR.
func writeTalk(ctx context.Context, tx *sqlx.Tx, cdr ivr.CDR) error {
	joined, talks := make([]time.Time, len(cdr.Segments)), make([]int64, len(cdr.Segments))
	for i, seg := range cdr.Segments {
		joined[i], talks[i] = seg.JoinedAt, int64(seg.Talk)
	}
	_, err := tx.ExecContext(ctx, `
		WITH written AS (
			INSERT INTO segments (call, number, joined_at, talk_ns)
			SELECT $1, number, joined_at, talk_ns
			FROM unnest($2::timestamptz[], $3::bigint[]) WITH ORDINALITY AS s (joined_at, talk_ns, number)
			ON CONFLICT (call, number) DO UPDATE SET talk_ns = excluded.talk_ns
		)
		UPDATE segments SET talk_ns = 0 WHERE call = $1 AND number > cardinality($3::bigint[])`,
		cdr.Call, pq.Array(joined), pq.Array(talks))
	if err != nil {
		return fmt.Errorf("write its talk: %w", err)
	}
	return nil
}

// capture resolves every hold of the call and pays the shares.
func capture(ctx context.Context, tx *sqlx.Tx, cdr ivr.CDR, currency string, holds []hold, shares money.Shares) error {
	if len(holds) == 0 {
		return nil
	}
	numbers, amounts, captured := make([]int64, len(holds)), make([]int64, len(holds)), make([]int64, len(holds))
	charge := shares.Advisor + shares.Platform
	left, held := charge, money.Amount(0)
	for i, h := range holds {
		taken := min(left, h.Amount)
		left, held = left-taken, held+h.Amount
		numbers[i], amounts[i], captured[i] = int64(h.Number), int64(h.Amount), int64(taken)
	}
	client, advisor := "client/"+string(cdr.Client), "advisor/"+string(cdr.Advisor)+"/"+currency
	_, err1 := tx.ExecContext(ctx, `
		INSERT INTO hold_resolutions (call, number, amount, captured, released)
		SELECT $1, number, amount, captured, amount - captured
		FROM unnest($2::int[], $3::bigint[], $4::bigint[]) AS h (number, amount, captured)`,
		cdr.Call, pq.Array(numbers), pq.Array(amounts), pq.Array(captured))
	if err1 != nil {
		return fmt.Errorf("resolve its holds: %w", err1)
	}
	if err := changeOne(ctx, tx, `
		UPDATE accounts SET posted = posted - $2, held = held - $3 WHERE id = $1`, client, charge, held); err != nil {
		return fmt.Errorf("take the charge from %s: %w", client, err)
	}
	_, err2 := tx.ExecContext(ctx, `
		INSERT INTO accounts (id, kind, advisor, currency) VALUES ($1, 'advisor', $2, $3) ON CONFLICT (id) DO NOTHING`,
		advisor, cdr.Advisor, currency)
	_, err3 := tx.ExecContext(ctx, `
		INSERT INTO transfers (kind, key, debit, credit, currency, amount)
		SELECT kind, $1, $2, credit, $3, amount
		FROM (VALUES ('advisor share', $4, $5::bigint), ('platform share', 'platform/' || $3, $6)) AS t (kind, credit, amount)
		WHERE amount > 0`,
		cdr.Call, client, currency, advisor, shares.Advisor, shares.Platform)
	if err := errors.Join(err2, err3); err != nil {
		return fmt.Errorf("pay the shares: %w", err)
	}
	return nil
}
