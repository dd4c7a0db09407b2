package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
)

// TopicWebhooks is noticed when a webhook was made.
const TopicWebhooks = "webhooks"

// ErrTooManyWebhooks: there are as many as one process delivers to at once.
var ErrTooManyWebhooks = errors.New("there are too many webhooks")

const webhooksMost = 20

// WebhookID names a webhook: hook_...
type WebhookID string

// WebhookState is how a webhook does.
type WebhookState string

const (
	WebhookActive  WebhookState = "active"
	WebhookFailing WebhookState = "failing" // an event was given up, and none delivered since
	WebhookGone    WebhookState = "gone"    // it answered 410: nothing is sent there any more
)

// Webhook is where a site wants to be told of events.
type Webhook struct {
	ID     WebhookID
	URL    string
	Types  []string // of events; empty: all
	Secret string   // whsec_...; only where it was just made
	MadeAt time.Time
	State  WebhookState
}

// RequestWebhook makes a webhook that is told of all that happens from now on. It
// returns [ErrTooManyWebhooks].
func (s *Store) RequestWebhook(ctx context.Context, request Request, by, url string, types []string) (w Webhook, err error) {
	bits := make([]byte, 32)
	rand.Read(bits)
	id, secret := WebhookID(ivr.NewID("hook")), "whsec_"+base64.StdEncoding.EncodeToString(bits)
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		w = Webhook{}
		return s.once(ctx, tx, request, &w, func() error {
			done, err := tx.ExecContext(ctx, `
				INSERT INTO webhooks (id, url, types, secret_sealed)
				SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM webhooks WHERE ended_at IS NULL) < $5`,
				id, url, pq.Array(append([]string{}, types...)), s.vault.seal(string(id), secret), webhooksMost)
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, ErrTooManyWebhooks)
			}
			if w, err = readWebhook(ctx, tx, id); err != nil {
				return err
			}
			w.Secret = secret
			return s.log(ctx, tx, Act{Who: by, What: "webhook made", Subject: string(id)})
		})
	})
	if err != nil {
		return Webhook{}, fmt.Errorf("make a webhook: %w", err)
	}
	s.Notify(ctx, TopicWebhooks)
	return w, nil
}

// selectWebhooks leaves out what was removed.
const selectWebhooks = `
	SELECT id, url, types, made_at, CASE
		WHEN ended_at IS NOT NULL THEN 'gone' WHEN failing_since IS NOT NULL THEN 'failing' ELSE 'active' END AS state
	FROM webhooks WHERE ended_why IS DISTINCT FROM 'removed'`

type webhookRow struct {
	ID     WebhookID
	URL    string
	Types  pq.StringArray
	MadeAt time.Time `db:"made_at"`
	State  WebhookState
}

func (r webhookRow) webhook() Webhook {
	return Webhook{ID: r.ID, URL: r.URL, Types: []string(r.Types), MadeAt: r.MadeAt, State: r.State}
}

func readWebhook(ctx context.Context, q sqlx.QueryerContext, id WebhookID) (Webhook, error) {
	var r webhookRow
	err := sqlx.GetContext(ctx, q, &r, selectWebhooks+` AND id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return r.webhook(), err
}

// Webhooks lists the webhooks that were not removed, the newest first.
func (s *Store) Webhooks(ctx context.Context) ([]Webhook, error) {
	var rows []webhookRow
	err := s.retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.db.SelectContext(ctx, &rows, selectWebhooks+` ORDER BY id DESC`)
	})
	if err != nil {
		return nil, fmt.Errorf("list webhooks: %w", err)
	}
	hooks := make([]Webhook, len(rows))
	for i, r := range rows {
		hooks[i] = r.webhook()
	}
	return hooks, nil
}

// RemoveWebhook ends a webhook for good. One that was removed before is no error.
func (s *Store) RemoveWebhook(ctx context.Context, by string, id WebhookID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var why string
		err := tx.GetContext(ctx, &why, `SELECT coalesce(ended_why, '') FROM webhooks WHERE id = $1 FOR NO KEY UPDATE`, id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return ErrNotFound
		case err != nil || why == "removed":
			return err
		}
		if err := changeOne(ctx, tx, `UPDATE webhooks SET ended_at = now(), ended_why = 'removed' WHERE id = $1`, id); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "webhook removed", Subject: string(id)})
	})
	if err != nil {
		return fmt.Errorf("remove webhook %s: %w", id, err)
	}
	return nil
}

// RequestWebhookTest has an event sent to one webhook alone, whatever types it wants.
func (s *Store) RequestWebhookTest(ctx context.Context, request Request, id WebhookID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var sent bool
		return s.once(ctx, tx, request, &sent, func() error {
			if w, err := readWebhook(ctx, tx, id); err != nil || w.State == WebhookGone {
				return errors.Join(err, ErrNotFound)
			}
			sent = true
			return s.emit(ctx, tx, Event{Type: "webhook.test", Data: map[string]any{"webhook": id}})
		})
	})
	if err != nil {
		return fmt.Errorf("test webhook %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	return nil
}
