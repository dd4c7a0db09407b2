package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"parley/store"
)

const (
	streamRetry = 2 * time.Second // until a page that was cut off asks again
	caughtUp    = 200             // events read at once by a stream that is behind
)

func (h *Host) eventRoutes() {
	event := h.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Event](), true, "Event")
	add(h, huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/v1/events", Summary: "Hear of events as they happen",
		Description: "Server-sent events: a client's session hears of its client, an advisor's app of its advisor, others of all. " +
			"Each has an id: sent back as Last-Event-ID, or as after, it goes on there, and nothing is missed or told twice; for 90 days. " +
			"Without it only what happens from now on is told. A comment comes every 15 seconds. A page reads it by fetch, " +
			"since EventSource cannot send a token; the stream ends when the token does.",
		Responses: map[string]*huma.Response{"200": {Description: "Events, until either side ends it.", Content: map[string]*huma.MediaType{
			"text/event-stream": {Schema: event, Example: "id: 2f1-9c\nevent: talk.requested\ndata: {\"type\":\"talk.requested\",\"at\":\"2026-03-01T12:02:51Z\"," +
				"\"client\":\"cli_06g3qz1x2m8y4k7v9w0e5r6t8c\",\"advisor\":\"adv_06g3qz1x2m8y4k7v9w0e5r6t8c\",\"data\":{\"talk\":\"loan_06g3qz1x2m8y4k7v9w0e5r6t8c\"}}\n\n"},
		}}},
	}, h.streamEvents, store.RoleSite, store.RoleClient, store.RoleAdvisor, store.RoleAdmin)
}

func (h *Host) streamEvents(ctx context.Context, in *struct {
	LastEventID string `header:"Last-Event-ID" maxLength:"40" pattern:"^[0-9a-f-]*$" doc:"The id of the last event that was heard of."`
	After       string `query:"after" maxLength:"40" pattern:"^[0-9a-f-]*$" doc:"The same, for who cannot set headers."`
}) (*huma.StreamResponse, error) {
	var after *store.Cursor
	text, where := in.LastEventID, "header.Last-Event-ID"
	if text == "" {
		text, where = in.After, "query.after"
	}
	if text != "" {
		cursor, err := store.ParseCursor(text)
		if err != nil {
			return nil, invalid(where, err.Error())
		}
		end, err := h.Store.EventsEnd(ctx)
		if err != nil {
			return nil, err
		}
		forgotten, err := h.Store.EventsForgotten(ctx)
		if err != nil {
			return nil, err
		}
		if cursor.After(end) || forgotten.After(cursor) {
			return nil, invalid(where, "this event is not known here, or not any more: ask without it, and look anew at what is shown")
		}
		after = &cursor
	}
	ctx, s, leave, err := h.hub.open(ctx, asker(ctx))
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		_, w := humago.Unwrap(hc)
		if err := h.stream(ctx, w, s, after); err != nil && ctx.Err() == nil {
			h.Log.Warn("a stream of events was cut off", "token", s.token.ID, "err", err)
		}
	}}, nil
}

// stream writes events until ctx ends or a write fails. Events up to where the hub is
// come from the table, those after it from the hub; a stream that falls behind begins
// again.
func (h *Host) stream(ctx context.Context, w http.ResponseWriter, s *stream, after *store.Cursor) error {
	conn := http.NewResponseController(w)
	send := func(text []byte) error {
		if err := conn.SetWriteDeadline(time.Now().Add(h.hub.takes)); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		return conn.Flush()
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil { // else the server takes the end of ReadTimeout for a hang-up
		return err
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would keep events back
	live, from := h.hub.follow(s)
	if after == nil {
		after = &from
	}
	at := *after
	if err := send(fmt.Appendf(nil, "retry: %d\nid: %v\n\n", streamRetry.Milliseconds(), at)); err != nil {
		return err
	}
	for {
		var err error
		if at, err = h.catchUp(ctx, s, at, from, send); err != nil {
			return err
		}
		if at, err = relay(ctx, live, at, h.hub.alive, send); err != nil {
			return err
		}
		live, from = h.hub.follow(s)
	}
}

// catchUp sends what came after at, up to from.
func (h *Host) catchUp(ctx context.Context, s *stream, at, from store.Cursor, send func([]byte) error) (store.Cursor, error) {
	for from.After(at) {
		events, err := h.Store.Events(ctx, s.token.Client, s.token.Advisor, at, caughtUp)
		if err != nil {
			return at, err
		}
		for _, e := range events {
			if e.Cursor.After(from) {
				return at, nil
			}
			if err := send(frameOf(s.token.Role, e).text); err != nil {
				return at, err
			}
			at = e.Cursor
		}
		if len(events) < caughtUp {
			break
		}
	}
	return at, nil
}

// relay sends what the hub hands on, until it does no more.
func relay(ctx context.Context, live <-chan frame, at store.Cursor, alive time.Duration, send func([]byte) error) (store.Cursor, error) {
	silent := time.NewTicker(alive)
	defer silent.Stop()
	for {
		select {
		case <-ctx.Done():
			return at, errors.Join(ctx.Err(), context.Cause(ctx))
		case <-silent.C:
			if err := send([]byte(": alive\n\n")); err != nil {
				return at, err
			}
		case f, more := <-live:
			if !more {
				return at, nil
			}
			if !f.cursor.After(at) { // another process was ahead of this one, and told of it
				continue
			}
			if err := send(f.text); err != nil {
				return at, err
			}
			at = f.cursor
			silent.Reset(alive)
		}
	}
}
