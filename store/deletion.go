package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/ivr/money"
)

// Why somebody cannot be deleted yet.
var (
	ErrCallUp          = errors.New("a call is up")
	ErrPaymentAsked    = errors.New("a payment has not been answered yet")
	ErrAppointmentOpen = errors.New("an appointment is not over")
)

// MoneyLeft: their account is not empty.
type MoneyLeft struct{ Amount money.Amount }

func (e *MoneyLeft) Error() string { return fmt.Sprintf("%v are left", e.Amount) }

// deleted is what somebody is called of whom nothing is to be known.
const deleted = "deleted"

// What the other side is told of what ended.
const (
	tellLeft = `INSERT INTO events (type, client, advisor, data)
		SELECT 'queue.left', client, advisor, jsonb_build_object('wait', id, 'state', 'left') FROM ended`
	tellOver = `INSERT INTO events (type, client, advisor, data)
		SELECT 'talk.over', client, advisor, jsonb_build_object('talk', id, 'why', 'cancelled') FROM ended WHERE reserves`
)

// forgetting is what is overwritten of somebody, and what ends: statements of $1, their
// ID. A table that is about people has its line here.
var (
	forgettingClient = []string{
		`UPDATE payment_means SET provider = '', label = '', sealed = NULL, changed_at = now() WHERE client = $1`,
		`UPDATE appointments SET topic = '', phone_sealed = NULL, phone_hash = NULL, phone_mask = NULL WHERE client = $1`,
		`UPDATE waits SET topic = '' WHERE client = $1`,
		`UPDATE loans SET topic = '' WHERE client = $1`,
		`WITH ended AS (
			UPDATE waits SET state = 'left', ended_at = now() WHERE client = $1 AND ended_at IS NULL RETURNING id, client, advisor
		) ` + tellLeft,
		`UPDATE placements SET ended_at = now(), disposition = 'deleted'
			WHERE ended_at IS NULL AND loan IN (SELECT id FROM loans WHERE client = $1)`,
		`WITH ended AS (
			UPDATE loans SET until = now(), kept_until = now() + (kept_until - until) WHERE client = $1 AND until > now()
			RETURNING id, client, advisor, reserves
		) ` + tellOver,
		`UPDATE tokens SET revoked_at = now() WHERE client = $1 AND revoked_at IS NULL`,
		`UPDATE sign_ins SET until = least(until, now()) WHERE client = $1`,
	}
	forgettingAdvisor = []string{
		`UPDATE advisors SET name = '` + deleted + `', per_minute = 0, predetermined_ms = 0, on_line_since = NULL,
			profile = '{}', hours = NULL, deleted_at = now() WHERE id = $1`,
		`UPDATE push_subscriptions SET endpoint_hash = NULL, sealed = NULL, changed_at = now() WHERE advisor = $1`,
		`UPDATE advisor_files SET sha256 = NULL, content = NULL, changed_at = now() WHERE advisor = $1`,
		`UPDATE challenges SET finished_at = now(), disposition = 'deleted'
			WHERE advisor = $1 AND finished_at IS NULL AND verified_at IS NULL`,
		`WITH ended AS (
			UPDATE waits SET state = 'left', ended_at = now() WHERE advisor = $1 AND ended_at IS NULL RETURNING id, client, advisor
		) ` + tellLeft,
		`UPDATE placements SET ended_at = now(), disposition = 'deleted'
			WHERE ended_at IS NULL AND loan IN (SELECT id FROM loans WHERE advisor = $1)`,
		`WITH ended AS (
			UPDATE loans SET until = now(), kept_until = now() + (kept_until - until) WHERE advisor = $1 AND until > now()
			RETURNING id, client, advisor, reserves
		) ` + tellOver,
		`UPDATE tokens SET revoked_at = now() WHERE advisor = $1 AND revoked_at IS NULL`,
	}
)

// DeleteClient overwrites what is known of a client but for the books, ends their loans
// and revokes their tokens; their number may be another client's. It returns
// [ErrCallUp], [ErrAppointmentOpen], [ErrPaymentAsked] or [*MoneyLeft] where they cannot
// be deleted yet.
func (s *Store) DeleteClient(ctx context.Context, request Request, by string, client ivr.ClientID) error {
	return s.deletion(ctx, request, by, string(client), func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := lockClient(ctx, tx, client); err != nil {
			return err
		}
		if err := mayDelete(ctx, tx, `
			SELECT a.posted + a.held AS left, EXISTS (SELECT FROM calls WHERE client = $1 AND ended_at IS NULL) AS call,
				EXISTS (SELECT FROM payments WHERE client = $1 AND state = 'asked') AS payment,
				EXISTS (SELECT FROM appointments WHERE client = $1
					AND state IN ('asked', 'proposed', 'accepted', 'calling', 'open')) AS appointment
			FROM accounts a WHERE id = 'client/' || $1`, string(client)); err != nil {
			return err
		}
		if err := forget(ctx, tx, string(client), forgettingClient); err != nil {
			return err
		}
		if err := s.forgetNotes(ctx, tx, `client = $1`, string(client)); err != nil {
			return err
		}
		if err := s.emit(ctx, tx, Event{Type: "client.deleted", Client: client}); err != nil {
			return err
		}
		return changeOne(ctx, tx, `
			UPDATE clients SET alias = $2, phone_sealed = $3, phone_hash = $4, phone_mask = '', deleted_at = now() WHERE id = $1`,
			client, deleted, s.vault.seal(string(client), ""), nobodysHash())
	})
}

// DeleteAdvisor is the same for an advisor, whose lines are never rung again.
func (s *Store) DeleteAdvisor(ctx context.Context, request Request, by string, advisor ivr.AdvisorID) error {
	err := s.deletion(ctx, request, by, string(advisor), func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.GetContext(ctx, new(bool), `
			SELECT true FROM advisors WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, advisor); err != nil {
			return err
		}
		if err := mayDelete(ctx, tx, `
			SELECT coalesce((SELECT max(abs(b.posted)) FROM balances b JOIN accounts a ON a.id = b.id WHERE a.advisor = $1), 0) AS left,
				EXISTS (SELECT FROM calls WHERE advisor = $1 AND ended_at IS NULL) AS call, false AS payment,
				EXISTS (SELECT FROM appointments WHERE advisor = $1
					AND state IN ('asked', 'proposed', 'accepted', 'calling', 'open')) AS appointment`, string(advisor)); err != nil {
			return err
		}
		if err := s.forgetLines(ctx, tx, advisor); err != nil {
			return err
		}
		if err := forget(ctx, tx, string(advisor), forgettingAdvisor); err != nil {
			return err
		}
		if err := s.forgetNotes(ctx, tx, `advisor = $1`, string(advisor)); err != nil {
			return err
		}
		return s.emit(ctx, tx, Event{Type: "advisor.deleted", Advisor: advisor})
	})
	s.Notify(ctx, TopicLines)
	return err
}

func (s *Store) deletion(ctx context.Context, request Request, by, whom string, do func(ctx context.Context, tx *sqlx.Tx) error) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return s.once(ctx, tx, request, &struct{}{}, func() error {
			if err := do(ctx, tx); err != nil {
				return err
			}
			return s.log(ctx, tx, Act{Who: by, What: "deleted", Subject: whom})
		})
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", whom, err)
	}
	s.Notify(ctx, TopicEvents)
	return nil
}

// mayDelete asks, under the lock that whoever opens a call or moves money takes too.
func mayDelete(ctx context.Context, tx *sqlx.Tx, question, whom string) error {
	var found struct {
		Left                       money.Amount
		Call, Payment, Appointment bool
	}
	if err := tx.GetContext(ctx, &found, question, whom); err != nil {
		return err
	}
	switch {
	case found.Call:
		return ErrCallUp
	case found.Appointment:
		return ErrAppointmentOpen
	case found.Payment:
		return ErrPaymentAsked
	case found.Left != 0:
		return &MoneyLeft{found.Left}
	}
	return nil
}

func forget(ctx context.Context, tx *sqlx.Tx, whom string, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement, whom); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forgetNotes(ctx context.Context, tx *sqlx.Tx, which, whom string) error {
	var notes []struct {
		Advisor ivr.AdvisorID
		Client  ivr.ClientID
	}
	if err := tx.SelectContext(ctx, &notes, `SELECT advisor, client FROM client_notes WHERE `+which+` ORDER BY advisor, client`, whom); err != nil {
		return err
	}
	for _, n := range notes {
		if _, err := tx.ExecContext(ctx, `
			UPDATE client_notes SET note_sealed = $3, changed_at = now() WHERE advisor = $1 AND client = $2`,
			n.Advisor, n.Client, s.vault.seal(noteRow(n.Advisor, n.Client), "")); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) forgetLines(ctx context.Context, tx *sqlx.Tx, advisor ivr.AdvisorID) error {
	var lines []ivr.LineID
	if err := tx.SelectContext(ctx, &lines, `SELECT id FROM lines WHERE advisor = $1 ORDER BY id FOR NO KEY UPDATE`, advisor); err != nil {
		return err
	}
	for _, line := range lines {
		if err := changeOne(ctx, tx, `
			UPDATE lines SET address_sealed = $2, address_hash = $3, address_mask = '', verified_at = NULL, verified_how = NULL,
				retired_at = coalesce(retired_at, now())
			WHERE id = $1`, line, s.vault.seal(string(line), ""), nobodysHash()); err != nil {
			return err
		}
	}
	return nil
}

// nobodysHash is the hash of no number.
func nobodysHash() []byte {
	hash := make([]byte, 32)
	rand.Read(hash)
	return hash
}
