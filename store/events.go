package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// TopicEvents is noticed when there are new events.
const TopicEvents = "events"

// Event is something that people outside want to hear of: a page, an app, a site.
type Event struct {
	Type    string // such as talk.requested; see host/events.go for all
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	Data    map[string]any // never a number, a PIN or a code
}

// emit writes an event in the transaction that does what it tells of.
func (s *Store) emit(ctx context.Context, tx *sqlx.Tx, e Event) error {
	if e.Data == nil {
		e.Data = map[string]any{}
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO events (type, client, advisor, data) VALUES ($1, nullif($2, ''), nullif($3, ''), $4)`,
		e.Type, e.Client, e.Advisor, string(data))
	if err != nil {
		return fmt.Errorf("write the event %s: %w", e.Type, err)
	}
	return nil
}
