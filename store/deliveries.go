package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Delivery is one event to be sent to one webhook, by whoever claimed it.
type Delivery struct {
	Webhook WebhookID
	URL     string
	Secret  string
	Event   Event
	Tries   int // with the one that is claimed; its fencing token
}

// deliveriesRead is how many events a webhook reads on at once.
const deliveriesRead = 500

// QueueDeliveries reads on in the events for every webhook, and queues those that it
// wants; more says that there may be more. Of all copies of the program one does it at a
// time for a webhook.
func (s *Store) QueueDeliveries(ctx context.Context) (more bool, err error) {
	var most int
	err = s.retry(ctx, func(ctx context.Context) error {
		return s.prepared.GetContext(ctx, &most, `
			WITH hook AS (
				SELECT id, types, read_xid, read_id FROM webhooks WHERE ended_at IS NULL FOR NO KEY UPDATE SKIP LOCKED
			), fresh AS (
				SELECT h.id AS webhook, e.xid, e.id AS event,
					CASE e.type WHEN 'webhook.test' THEN e.data ->> 'webhook' = h.id ELSE h.types = '{}' OR e.type = ANY (h.types) END AS wanted,
					row_number() OVER (PARTITION BY h.id ORDER BY e.xid DESC, e.id DESC) AS from_last
				FROM hook h CROSS JOIN LATERAL (
					SELECT xid, id, type, data FROM events
					WHERE (xid, id) > (h.read_xid, h.read_id) AND `+readable+` ORDER BY xid, id LIMIT $1) e
			), queued AS (
				INSERT INTO deliveries (webhook, xid, event) SELECT webhook, xid, event FROM fresh WHERE wanted
			), read AS (
				UPDATE webhooks w SET read_xid = f.xid, read_id = f.event FROM fresh f WHERE f.webhook = w.id AND f.from_last = 1
			)
			SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM fresh GROUP BY webhook) AS each`, deliveriesRead)
	})
	if err != nil {
		return false, fmt.Errorf("queue deliveries to webhooks: %w", err)
	}
	return most == deliveriesRead, nil
}

// ClaimDeliveries claims what is due, up to each for every webhook that is not among
// busy, for as long as lease; who has not finished by then may find that another has.
func (s *Store) ClaimDeliveries(ctx context.Context, busy []WebhookID, each int, lease time.Duration) ([]Delivery, error) {
	var rows []struct {
		Webhook WebhookID
		URL     string
		Sealed  []byte `db:"secret_sealed"`
		Tries   int
		eventRow
	}
	err := s.retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.prepared.SelectContext(ctx, &rows, `
			WITH due AS (
				SELECT w.id, w.url, w.secret_sealed, d.xid, d.event
				FROM webhooks w CROSS JOIN LATERAL (
					SELECT xid, event FROM deliveries WHERE webhook = w.id AND next_at <= now()
					ORDER BY next_at, xid, event LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED) d
				WHERE w.ended_at IS NULL AND w.id <> ALL ($1)
			), claimed AS (
				UPDATE deliveries d SET next_at = now() + $3 * interval '1 ms', tries = tries + 1, tried_at = now()
				FROM due WHERE (d.webhook, d.xid, d.event) = (due.id, due.xid, due.event)
				RETURNING d.webhook, due.url, due.secret_sealed, d.xid, d.event, d.tries
			)
			SELECT c.webhook, c.url, c.secret_sealed, c.tries, `+selectEvent+`
			FROM claimed c JOIN events e ON (e.xid, e.id) = (c.xid, c.event) ORDER BY c.webhook, c.xid, c.event`,
			pq.Array(append([]WebhookID{}, busy...)), each, lease.Milliseconds())
	})
	if err != nil {
		return nil, fmt.Errorf("claim deliveries to webhooks: %w", err)
	}
	claimed := make([]Delivery, len(rows))
	for i, r := range rows {
		secret, err := s.vault.open(string(r.Webhook), r.Sealed)
		if err != nil {
			return nil, err
		}
		event, err := r.event()
		if err != nil {
			return nil, err
		}
		claimed[i] = Delivery{r.Webhook, r.URL, secret, event, r.Tries}
	}
	return claimed, nil
}

// DeliveryResult is how a try ended.
type DeliveryResult struct {
	Status int           // HTTP's; 0: there was no answer
	Fault  string        // why there was none
	Again  time.Duration // when it is tried again, unless it was delivered; 0: it is given up
}

// delivered, as webhooks say it.
func (r DeliveryResult) delivered() bool { return r.Status >= 200 && r.Status < 300 }

// gone: the webhook wants no more.
func (r DeliveryResult) gone() bool { return r.Status == 410 }

// FinishDelivery writes down how a claimed try ended. Where another has claimed it since,
// that one decides.
func (s *Store) FinishDelivery(ctx context.Context, d Delivery, r DeliveryResult) error {
	again := sql.NullInt64{Int64: r.Again.Milliseconds(), Valid: r.Again > 0 && !r.delivered() && !r.gone()}
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `
			UPDATE deliveries SET status = nullif($5, 0), fault = nullif($6, ''), next_at = now() + $7 * interval '1 ms',
				delivered_at = CASE WHEN $8 THEN now() END
			WHERE (webhook, xid, event, tries) = ($1, $2::xid8, $3, $4) AND next_at IS NOT NULL`,
			d.Webhook, fmt.Sprint(d.Event.Cursor.xid), int64(d.Event.Cursor.id), d.Tries, r.Status, r.Fault, again, r.delivered())
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 || again.Valid {
			return err
		}
		return s.judgeWebhook(ctx, tx, d, r)
	})
	if err != nil {
		return fmt.Errorf("finish the delivery of event %v to webhook %s: %w", d.Event.Cursor, d.Webhook, err)
	}
	return nil
}

// judgeWebhook marks a webhook by the end of a delivery.
func (s *Store) judgeWebhook(ctx context.Context, tx *sqlx.Tx, d Delivery, r DeliveryResult) error {
	change, what := `failing_since = now() WHERE id = $1 AND failing_since IS NULL`, "webhook failing"
	switch {
	case r.delivered():
		change, what = `failing_since = NULL WHERE id = $1 AND failing_since IS NOT NULL`, "webhook works again"
	case r.gone():
		change, what = `ended_at = now(), ended_why = 'gone' WHERE id = $1 AND ended_at IS NULL`, "webhook gone"
	}
	done, err := tx.ExecContext(ctx, `UPDATE webhooks SET `+change, d.Webhook)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return s.log(ctx, tx, Act{Who: "parley", What: what, Subject: string(d.Webhook), Detail: map[string]string{
		"event": d.Event.Cursor.String(), "tries": fmt.Sprint(d.Tries), "status": fmt.Sprint(r.Status), "fault": r.Fault}})
}

// DeliveryState is how far an event has come on its way to a webhook.
type DeliveryState string

const (
	DeliveryWaiting   DeliveryState = "waiting" // for its first try or the next
	DeliveryDelivered DeliveryState = "delivered"
	DeliveryGivenUp   DeliveryState = "given_up"
)

// DeliveryRecord is a delivery as it may be shown.
type DeliveryRecord struct {
	Event  Cursor
	Type   string
	At     time.Time
	State  DeliveryState
	Tries  int
	Status int    // HTTP's, of the last try; 0: there was no answer
	Fault  string // why there was none
	NextAt time.Time
}

// Deliveries lists what is or was sent to a webhook, the newest event first; older than
// before, unless that is zero.
func (s *Store) Deliveries(ctx context.Context, id WebhookID, before Cursor, limit int) ([]DeliveryRecord, error) {
	if err := s.retry(ctx, func(ctx context.Context) error { _, err := readWebhook(ctx, s.db, id); return err }); err != nil {
		return nil, fmt.Errorf("webhook %s: %w", id, err)
	}
	var rows []struct {
		XID    string
		Event  uint64
		Type   string
		At     time.Time
		State  DeliveryState
		Tries  int
		Status int
		Fault  string
		NextAt sql.NullTime `db:"next_at"`
	}
	err := s.retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.db.SelectContext(ctx, &rows, `
			SELECT d.xid::text AS xid, d.event, e.type, e.at, d.tries, coalesce(d.status, 0) AS status, coalesce(d.fault, '') AS fault,
				CASE WHEN w.ended_at IS NULL THEN d.next_at END AS next_at,
				CASE WHEN d.delivered_at IS NOT NULL THEN 'delivered'
					WHEN d.next_at IS NULL OR w.ended_at IS NOT NULL THEN 'given_up' ELSE 'waiting' END AS state
			FROM deliveries d JOIN events e ON (e.xid, e.id) = (d.xid, d.event) JOIN webhooks w ON w.id = d.webhook
			WHERE d.webhook = $1 AND ($2::xid8 = '0' OR (d.xid, d.event) < ($2::xid8, $3))
			ORDER BY d.xid DESC, d.event DESC LIMIT $4`, id, fmt.Sprint(before.xid), int64(before.id), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list the deliveries to webhook %s: %w", id, err)
	}
	list := make([]DeliveryRecord, len(rows))
	for i, r := range rows {
		at, err := cursor(r.XID, r.Event)
		if err != nil {
			return nil, err
		}
		list[i] = DeliveryRecord{at, r.Type, r.At, r.State, r.Tries, r.Status, r.Fault, r.NextAt.Time}
	}
	return list, nil
}
