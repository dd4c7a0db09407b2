package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

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

	At     time.Time // when it is read
	Cursor Cursor    // when it is read: where it stands
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

// Cursor is a place in the order of all events: that of an event, or before all that
// come. The zero value is before the first.
type Cursor struct{ xid, id uint64 }

// String is the cursor as others keep it, without knowing what it says.
func (c Cursor) String() string { return fmt.Sprintf("%x-%x", c.xid, c.id) }

// ParseCursor reads what [Cursor.String] wrote.
func ParseCursor(text string) (c Cursor, err error) {
	if n, err := fmt.Sscanf(text, "%x-%x", &c.xid, &c.id); n != 2 || err != nil || c.String() != text {
		return Cursor{}, errors.New("this is no cursor of an event")
	}
	return c, nil
}

// After says that c stands later than other.
func (c Cursor) After(other Cursor) bool {
	return c.xid > other.xid || c.xid == other.xid && c.id > other.id
}

// readable is what can be read for good: the events of transactions that are older than
// every one that still runs. Nothing can come to stand between them any more. One long
// transaction, of whatever program, holds all later events back until it ends.
const readable = `xid < pg_snapshot_xmin(pg_current_snapshot())`

// EventsEnd is before all events that cannot be read yet, after all that can.
func (s *Store) EventsEnd(ctx context.Context) (Cursor, error) {
	var xmin string
	if err := s.get(ctx, &xmin, `SELECT pg_snapshot_xmin(pg_current_snapshot())::text`); err != nil {
		return Cursor{}, fmt.Errorf("find the end of the events: %w", err)
	}
	return cursor(xmin, 0)
}

func cursor(xid string, id uint64) (c Cursor, err error) {
	c.id = id
	_, err = fmt.Sscan(xid, &c.xid)
	return c, err
}

// Events reads the events after a cursor in their order: of one client, of one advisor,
// or of all where both are "". Who goes on after the last of them misses none and reads
// none twice. An event can be read about as soon as it is committed; those of one
// transaction come together, and what depends on another comes after it.
func (s *Store) Events(ctx context.Context, client ivr.ClientID, advisor ivr.AdvisorID, after Cursor, limit int) ([]Event, error) {
	query, args := `SELECT `+selectEvent+` FROM events e WHERE (xid, id) > ($1::xid8, $2) AND `+readable, []any{fmt.Sprint(after.xid), int64(after.id), limit}
	switch { // one by one, that the index of each is used
	case client != "":
		query, args = query+` AND client = $4`, append(args, client)
	case advisor != "":
		query, args = query+` AND advisor = $4`, append(args, advisor)
	}
	var rows []eventRow
	err := s.retry(ctx, func(ctx context.Context) error {
		rows = nil
		return s.db.SelectContext(ctx, &rows, query+` ORDER BY e.xid, e.id LIMIT $3`, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	events := make([]Event, len(rows))
	for i, r := range rows {
		if events[i], err = r.event(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// selectEvent reads an eventRow of an event e.
const selectEvent = `e.xid::text AS xid, e.id AS event, e.at, e.type, coalesce(e.client, '') AS client, coalesce(e.advisor, '') AS advisor, e.data`

type eventRow struct {
	XID     string
	Event   uint64
	At      time.Time
	Type    string
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	Data    []byte
}

func (r eventRow) event() (e Event, err error) {
	e = Event{Type: r.Type, Client: r.Client, Advisor: r.Advisor, At: r.At}
	if e.Cursor, err = cursor(r.XID, r.Event); err != nil {
		return e, err
	}
	numbers := json.NewDecoder(strings.NewReader(string(r.Data)))
	numbers.UseNumber() // amounts stay as they were written
	if err := numbers.Decode(&e.Data); err != nil {
		return e, fmt.Errorf("read event %v: %w", e.Cursor, err)
	}
	return e, nil
}
