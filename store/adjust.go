package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// approvedWithin is how long an adjustment waits for another person, in days.
const approvedWithin = 7

// Adjust moves money, or has it wait for another person where its amount is above the
// plan's limit: with all else that the same person moved on the same account within a
// day without another, so that no large sum passes in small parts.
//
// It returns an [*AdjustmentFault], [ErrNotFound], [ErrCallOpen], a [*RefundTooMuch] or a
// [*TooLittle]: no client's account falls below zero, and no advisor's; the platform's
// may, which pays for more than it has earned. What waits is looked at again once it is
// approved.
func (s *Store) Adjust(ctx context.Context, request Request, plan dialplan.Plan, by string, r AdjustmentRequest) (a Adjustment, err error) {
	if err := r.check(); err != nil {
		return a, err
	}
	id := ivr.NewID("adj")
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a = Adjustment{}
		return s.onceIfAsked(ctx, tx, request, &a, func() error {
			err := tx.GetContext(ctx, &a, selectAdjustments+` WHERE a.id = $1`, id)
			if !errors.Is(err, sql.ErrNoRows) {
				return err // it was done, and the reply was lost
			}
			if err := s.adjust(ctx, tx, id, plan, by, r); err != nil {
				return err
			}
			return tx.GetContext(ctx, &a, selectAdjustments+` WHERE a.id = $1`, id)
		})
	})
	if err != nil {
		return Adjustment{}, fmt.Errorf("%s: %w", r.Kind, err)
	}
	s.Notify(ctx, TopicEvents)
	return a, nil
}

func (s *Store) adjust(ctx context.Context, tx *sqlx.Tx, id string, plan dialplan.Plan, by string, r AdjustmentRequest) error {
	a, err := wanted(ctx, tx, plan, r)
	if err != nil {
		return err
	}
	a.ID = id
	if err := lockAccounts(ctx, tx, a); err != nil {
		return err
	}
	if err := mayMove(ctx, tx, a); err != nil {
		return err
	}
	var before money.Amount
	if err := tx.GetContext(ctx, &before, `
		SELECT coalesce(sum(amount), 0)::bigint FROM adjustments
		WHERE until IS NULL AND asked_at > now() - interval '1 day' AND lower(btrim(asked_by)) = lower(btrim($1))
		  AND (client = $2 OR advisor = $3)`, by, a.Client, a.Advisor); err != nil {
		return err
	}
	waits := before+a.Amount > plan.Limits.SecondPerson
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO accounts (id, kind, advisor, currency)
		SELECT id, kind, advisor, $1 FROM (VALUES
			('adjustments/' || $1, 'adjustments', NULL), ('advisor/' || $2 || '/' || $1, 'advisor', $2)) AS a (id, kind, advisor)
		WHERE id IN ($3, $4) ON CONFLICT (id) DO NOTHING`, a.Currency, a.Advisor, a.Debit, a.Credit); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO adjustments (id, kind, client, advisor, call, debit, credit, currency, amount, reason, asked_by, until, second_above)
		VALUES ($1, $2, nullif($3, ''), nullif($4, ''), nullif($5, ''), $6, $7, $8, $9, $10, $11,
			CASE WHEN $12 THEN now() + $13 * interval '1 day' END, $14)`,
		a.ID, a.Kind, a.Client, a.Advisor, a.Call, a.Debit, a.Credit, a.Currency, a.Amount, a.Reason, by,
		waits, approvedWithin, plan.Limits.SecondPerson); err != nil {
		return err
	}
	if waits {
		return s.log(ctx, tx, a.act(by, "adjustment asked"))
	}
	return s.move(ctx, tx, a, by)
}

// wanted is between which accounts a request moves what.
func wanted(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, r AdjustmentRequest) (Adjustment, error) {
	a := Adjustment{Kind: r.Kind, Client: r.Client, Advisor: r.Advisor, Call: r.Call, Amount: r.Amount, Currency: plan.Currency, Reason: r.Reason}
	if r.Call != "" {
		var call struct {
			Client, Advisor, Currency string
			Ended                     bool
		}
		err := tx.GetContext(ctx, &call, `
			SELECT coalesce(client, '') AS client, coalesce(advisor, '') AS advisor, coalesce(terms ->> 'currency', '') AS currency,
				ended_at IS NOT NULL AS ended
			FROM calls WHERE id = $1 AND $2 IN ('', client) AND $3 IN ('', advisor)`, r.Call, r.Client, r.Advisor)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return a, fmt.Errorf("call %s: %w", r.Call, ErrNotFound)
		case err != nil:
			return a, err
		case r.Kind == Refund && !call.Ended:
			return a, ErrCallOpen
		case r.Kind == Refund && call.Currency == "":
			return a, &RefundTooMuch{} // no money was held for it
		case r.Kind == Refund:
			a.Client, a.Currency = ivr.ClientID(call.Client), call.Currency
			a.Debit, a.Credit = "platform/"+a.Currency, "client/"+call.Client
			if r.FromAdvisor {
				a.Advisor = ivr.AdvisorID(call.Advisor)
				a.Debit = "advisor/" + call.Advisor + "/" + a.Currency
			}
			return a, nil
		}
	}
	if r.Client != "" {
		err := tx.GetContext(ctx, &a.Currency, `SELECT currency FROM accounts WHERE client = $1`, r.Client)
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("client %s: %w", r.Client, ErrNotFound)
		}
		if err != nil {
			return a, err
		}
		a.Credit = "client/" + string(r.Client)
	} else {
		a.Credit = "advisor/" + string(r.Advisor) + "/" + a.Currency
	}
	a.Debit = "adjustments/" + a.Currency
	switch {
	case r.Kind == Payout:
		a.Debit, a.Credit = a.Credit, "outside/"+a.Currency
	case r.Amount < 0:
		a.Debit, a.Credit, a.Amount = a.Credit, a.Debit, -r.Amount
	}
	return a, nil
}

// lockAccounts takes the locks of everything that moves money, in its order.
func lockAccounts(ctx context.Context, tx *sqlx.Tx, a Adjustment) error {
	var locked int
	err := tx.GetContext(ctx, &locked, `
		WITH locked AS (SELECT FROM advisors WHERE id = $1 FOR NO KEY UPDATE) SELECT count(*) FROM locked`, a.Advisor)
	if err == nil && a.Advisor != "" && locked == 0 {
		err = fmt.Errorf("advisor %s: %w", a.Advisor, ErrNotFound)
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, `SELECT FROM accounts WHERE id = 'client/' || $1 FOR NO KEY UPDATE`, a.Client)
	}
	return err
}

// mayMove refuses, under the locks, what would take more than there is.
func mayMove(ctx context.Context, tx *sqlx.Tx, a Adjustment) error {
	if a.Kind == Refund {
		var left struct{ Charge, Share money.Amount }
		if err := tx.GetContext(ctx, &left, `
			SELECT c.charge - coalesce(sum(t.amount), 0)::bigint AS charge,
				c.advisor_share - coalesce(sum(t.amount) FILTER (WHERE t.debit <> 'platform/' || t.currency), 0)::bigint AS share
			FROM calls c LEFT JOIN adjustments a ON a.call = c.id LEFT JOIN transfers t ON t.key = a.id AND t.kind = 'refund'
			WHERE c.id = $1 GROUP BY c.id`, a.Call); err != nil {
			return err
		}
		most := left.Charge
		if a.Advisor != "" {
			most = min(most, left.Share)
		}
		if a.Amount > most {
			return &RefundTooMuch{Left: most}
		}
	}
	if !strings.HasPrefix(a.Debit, "client/") && !strings.HasPrefix(a.Debit, "advisor/") {
		return nil
	}
	var available money.Amount // 0 where there is no account: an advisor who never earned
	if err := tx.GetContext(ctx, &available, `SELECT coalesce(max(posted - held), 0) FROM balances WHERE id = $1`, a.Debit); err != nil {
		return err
	}
	if a.Amount > available {
		return &TooLittle{a.Debit, available}
	}
	return nil
}

// move makes the transfer. A client's balance follows it.
func (s *Store) move(ctx context.Context, tx *sqlx.Tx, a Adjustment, by string) error {
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO transfers (kind, key, debit, credit, currency, amount) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.Kind, a.ID, a.Debit, a.Credit, a.Currency, a.Amount); err != nil {
		return err
	}
	if a.Client != "" {
		if err := changeOne(ctx, tx, `
			UPDATE accounts SET posted = posted + CASE id WHEN $2 THEN $3::bigint ELSE -$3 END
			WHERE id = 'client/' || $1 AND (id = $2 OR posted - held >= $3)`, a.Client, a.Credit, a.Amount); err != nil {
			return err
		}
	}
	if err := s.emit(ctx, tx, Event{Type: "adjustment.made", Client: a.Client, Advisor: a.Advisor, Data: map[string]any{
		"adjustment": a.ID, "kind": a.Kind, "call": a.Call, "from": a.Debit, "to": a.Credit, "amount": a.Amount, "currency": a.Currency,
	}}); err != nil {
		return err
	}
	return s.log(ctx, tx, a.act(by, "adjustment made"))
}

// act is what the audit log says of it. The audit compares it with the transfer.
func (a Adjustment) act(by, what string) Act {
	return Act{Who: by, What: what, Subject: a.ID, Detail: map[string]string{
		"kind": string(a.Kind), "from": a.Debit, "to": a.Credit, "amount": fmt.Sprint(int64(a.Amount)), "currency": a.Currency,
		"call": string(a.Call), "reason": a.Reason,
	}}
}

// Approve makes an adjustment that waits. It returns [ErrNotFound], [ErrSecondPerson],
// [ErrAdjustmentOver], or what [Store.Adjust] does.
func (s *Store) Approve(ctx context.Context, request Request, id, by string) (Adjustment, error) {
	return s.decide(ctx, request, id, by, true)
}

// Refuse ends an adjustment that waits. Whoever asked for it may too.
func (s *Store) Refuse(ctx context.Context, request Request, id, by string) (Adjustment, error) {
	return s.decide(ctx, request, id, by, false)
}

func (s *Store) decide(ctx context.Context, request Request, id, by string, approved bool) (a Adjustment, err error) {
	decision := map[bool]string{true: "approved", false: "refused"}[approved]
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a = Adjustment{}
		return s.once(ctx, tx, request, &a, func() error {
			err := tx.GetContext(ctx, &a, selectAdjustments+` WHERE a.id = $1`, id)
			if errors.Is(err, sql.ErrNoRows) {
				err = ErrNotFound
			}
			if err == nil {
				err = lockAccounts(ctx, tx, a)
			}
			if err != nil {
				return err
			}
			done, err := tx.ExecContext(ctx, `
				INSERT INTO adjustment_decisions (adjustment, asked_by, decision, by_whom)
				SELECT id, asked_by, $2, $3 FROM adjustments WHERE id = $1 AND until > clock_timestamp()
				ON CONFLICT (adjustment) DO NOTHING`, id, decision, by)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, ErrAdjustmentOver)
			}
			if approved {
				err = mayMove(ctx, tx, a)
				if err == nil {
					err = s.move(ctx, tx, a, by)
				}
			} else {
				err = s.log(ctx, tx, a.act(by, "adjustment refused"))
			}
			if err != nil {
				return err
			}
			return tx.GetContext(ctx, &a, selectAdjustments+` WHERE a.id = $1`, id)
		})
	})
	if violated(err) == "adjustment_decisions_by_another" {
		err = ErrSecondPerson
	}
	if err != nil {
		return Adjustment{}, fmt.Errorf("adjustment %s is not %s: %w", id, decision, err)
	}
	s.Notify(ctx, TopicEvents)
	return a, nil
}
