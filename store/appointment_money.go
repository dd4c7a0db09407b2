package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// What is set aside for an appointment leaves the client's account and comes back to it
// whole, whatever becomes of it: a call then holds it, or a client who did not come pays
// of it. Both accounts, and so the books, are right at every moment between. The client's
// account is locked.

// setAside moves the price of the whole length out of the client's account. It returns
// [*ivr.NoFunds].
func setAside(ctx context.Context, tx *sqlx.Tx, a appointmentRow) (money.Amount, error) {
	var terms dialplan.Terms
	if err := json.Unmarshal(a.Terms, &terms); err != nil {
		return 0, fmt.Errorf("read the terms of appointment %s: %w", a.ID, err)
	}
	price := terms.Least()
	var available money.Amount
	if err := tx.GetContext(ctx, &available, `SELECT posted - held FROM accounts WHERE id = 'client/' || $1`, a.Client); err != nil {
		return 0, err
	}
	if available < price {
		return 0, &ivr.NoFunds{Available: available, Missing: price - available, Predetermined: a.EndsAt.Sub(a.StartsAt)}
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO accounts (id, kind, currency) VALUES ('appointments/' || $1, 'appointments', $1) ON CONFLICT (id) DO NOTHING`,
		terms.Currency); err != nil {
		return 0, err
	}
	return price, changeOne(ctx, tx, `
		WITH moved AS (
			INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			VALUES ('appointment held', $1, 'client/' || $2, 'appointments/' || $3, $3, $4) RETURNING amount
		)
		UPDATE accounts SET posted = posted - moved.amount FROM moved WHERE id = 'client/' || $2`,
		a.ID, a.Client, terms.Currency, price)
}

// giveBack moves it into the client's account again, if it is not there already.
func giveBack(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
	if a.Held == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		WITH moved AS (
			INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			SELECT 'appointment released', key, credit, debit, currency, amount FROM transfers WHERE kind = 'appointment held' AND key = $1
			ON CONFLICT (key, kind) DO NOTHING RETURNING credit, amount
		)
		UPDATE accounts SET posted = posted + moved.amount FROM moved WHERE id = moved.credit`, a.ID)
	if err != nil {
		return fmt.Errorf("give back what is held for appointment %s: %w", a.ID, err)
	}
	return nil
}

// payNoShow takes what a client pays who did not come, and splits it as a charge is. It
// is never more than what there is: what came back may be spent since.
func payNoShow(ctx context.Context, tx *sqlx.Tx, a appointmentRow) (fee money.Amount, err error) {
	var terms dialplan.Terms
	var available money.Amount
	err = errors.Join(json.Unmarshal(a.Terms, &terms),
		tx.GetContext(ctx, &available, `SELECT posted - held FROM accounts WHERE id = 'client/' || $1`, a.Client))
	if fee = min(a.NoShow, available); err != nil || fee == 0 {
		return 0, err
	}
	shares := money.Split(fee, terms.AdvisorPercent)
	advisor := "advisor/" + string(a.Advisor) + "/" + terms.Currency
	_, err1 := tx.ExecContext(ctx, `
		INSERT INTO accounts (id, kind, advisor, currency) VALUES ($1, 'advisor', $2, $3) ON CONFLICT (id) DO NOTHING`,
		advisor, a.Advisor, terms.Currency)
	_, err2 := tx.ExecContext(ctx, `
		INSERT INTO transfers (kind, key, debit, credit, currency, amount)
		SELECT kind, $1, 'client/' || $2, credit, $3, amount
		FROM (VALUES ('appointment fee', $4, $5::bigint), ('appointment platform fee', 'platform/' || $3, $6)) AS t (kind, credit, amount)
		WHERE amount > 0`, a.ID, a.Client, terms.Currency, advisor, shares.Advisor, shares.Platform)
	if err := errors.Join(err1, err2); err != nil {
		return 0, fmt.Errorf("pay for appointment %s, to which the client did not come: %w", a.ID, err)
	}
	return fee, changeOne(ctx, tx, `UPDATE accounts SET posted = posted - $2 WHERE id = 'client/' || $1`, a.Client, fee)
}

// compensate has the house pay the client for an advisor who did not come.
func compensate(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
	if a.Compensation == 0 {
		return nil
	}
	return changeOne(ctx, tx, `
		WITH moved AS (
			INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			SELECT 'appointment compensation', $1, 'platform/' || currency, id, currency, $3 FROM accounts WHERE id = 'client/' || $2
			RETURNING credit, amount
		)
		UPDATE accounts SET posted = posted + moved.amount FROM moved WHERE id = moved.credit`, a.ID, a.Client, a.Compensation)
}
