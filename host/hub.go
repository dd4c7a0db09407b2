package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"parley/ivr"
	"parley/store"
)

const (
	streamsMost     = 10_000
	streamsPerOwner = 20 // a client's or an advisor's, by all their tokens; else a token's

	eventsPolled = time.Second           // where no notice tells of new events
	eventsPaused = 25 * time.Millisecond // between two reads, however many notices come
	eventsRead   = 500                   // at once
	streamBehind = 64                    // events that may wait for one stream
	tokensLate   = time.Minute           // without tokens having been looked at, nobody is told anything
)

var errTokenOver = errors.New("the token has expired or was revoked")

// hub reads the events once for all streams of this process, and hands them on in
// memory. It reads only while there are streams.
type hub struct {
	store *store.Store
	log   *slog.Logger

	look  time.Duration // how often it is asked whether tokens are still good
	alive time.Duration // silence after which a stream is told that it lives: proxies end what is silent for long
	takes time.Duration // one write; who does not read by then is cut off

	mu      sync.Mutex
	streams map[audience]map[*stream]struct{}
	of      map[store.TokenID]int // streams
	all     int
	at      store.Cursor // so far all streams were told
	reading bool
	closed  bool
	looked  time.Time // at the tokens
}

// audience is who hears of an event: all, or those of one client or one advisor.
type audience struct {
	client  ivr.ClientID
	advisor ivr.AdvisorID
}

// stream is one page that listens.
type stream struct {
	token store.Token
	end   context.CancelCauseFunc
	live  chan frame // closed and nil: it has fallen behind, and reads the table until it has caught up
}

func (s *stream) audience() audience { return audience{s.token.Client, s.token.Advisor} }

// frame is an event as it is sent to one role.
type frame struct {
	cursor store.Cursor
	text   []byte
}

func newHub(s *store.Store, log *slog.Logger) *hub {
	return &hub{
		store: s, log: log, look: 30 * time.Second, alive: 15 * time.Second, takes: 10 * time.Second,
		streams: map[audience]map[*stream]struct{}{}, of: map[store.TokenID]int{},
	}
}

// open admits a stream. It ends with ctx, when its token does, or when the hub is
// closed; leave must be called then.
func (h *hub) open(ctx context.Context, token store.Token) (_ context.Context, s *stream, leave func(), err error) {
	to := audience{token.Client, token.Advisor}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed || h.all >= streamsMost:
		p := newProblem("unavailable")
		p.RetryAfter = 5
		return ctx, nil, nil, p
	case h.of[token.ID] >= streamsPerOwner, to != audience{} && len(h.streams[to]) >= streamsPerOwner:
		return ctx, nil, nil, tooMany(5 * time.Second)
	}
	if !h.reading {
		if h.at, err = h.store.EventsEnd(ctx); err != nil {
			return ctx, nil, nil, err
		}
		h.reading, h.looked = true, time.Now()
		go h.read()
	}
	ctx, end := context.WithCancelCause(ctx)
	s = &stream{token: token, end: end}
	if h.streams[to] == nil {
		h.streams[to] = map[*stream]struct{}{}
	}
	h.streams[to][s] = struct{}{}
	h.of[token.ID]++
	h.all++
	return ctx, s, func() { end(nil); h.leave(s) }, nil
}

func (h *hub) leave(s *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	to := s.audience()
	if delete(h.streams[to], s); len(h.streams[to]) == 0 {
		delete(h.streams, to)
	}
	if h.of[s.token.ID]--; h.of[s.token.ID] == 0 {
		delete(h.of, s.token.ID)
	}
	h.all--
}

// follow hands a stream all events after from, until it falls behind.
func (h *hub) follow(s *stream) (live <-chan frame, from store.Cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.live = make(chan frame, streamBehind)
	return s.live, h.at
}

// close ends all streams, so that a server can stop.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, streams := range h.streams {
		for s := range streams {
			s.end(context.Canceled)
		}
	}
}

// read tells the streams of events as they come, until there are no streams.
func (h *hub) read() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	notices := h.store.Listen(ctx, store.TopicEvents)
	poll := time.NewTicker(eventsPolled)
	defer poll.Stop()
	for !h.idle() {
		more, err := h.readOn(ctx)
		if err != nil {
			h.log.Warn("pages hear of events later", "err", err)
		}
		time.Sleep(eventsPaused)
		if more {
			continue
		}
		select {
		case <-notices:
		case <-poll.C:
		}
	}
}

// idle says that nobody listens any more, and that the reader ends.
func (h *hub) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reading = h.all > 0
	return !h.reading
}

// readOn reads once; more says that there may be more.
func (h *hub) readOn(ctx context.Context) (more bool, err error) {
	if err := h.lookAtTokens(ctx); err != nil && time.Since(h.looked) > tokensLate {
		return false, err
	}
	events, err := h.store.Events(ctx, "", "", h.at, eventsRead) // at is changed by nobody else
	if err != nil {
		return false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range events {
		h.tell(e)
		h.at = e.Cursor
	}
	return len(events) == eventsRead, nil
}

// tell hands an event to who may hear of it.
func (h *hub) tell(e store.Event) {
	frames := map[store.Role]frame{}
	to := map[audience]bool{{}: true, {client: e.Client}: true, {advisor: e.Advisor}: true} // "" is all again
	for who := range to {
		for s := range h.streams[who] {
			if s.live == nil {
				continue
			}
			f, made := frames[s.token.Role]
			if !made {
				f = frameOf(s.token.Role, e)
				frames[s.token.Role] = f
			}
			select {
			case s.live <- f:
			default:
				close(s.live)
				s.live = nil
			}
		}
	}
}

func frameOf(role store.Role, e store.Event) frame {
	text, err := json.Marshal(eventFor(role, e))
	if err != nil {
		panic(err) // it was read from JSON
	}
	return frame{e.Cursor, fmt.Appendf(nil, "id: %v\nevent: %s\ndata: %s\n\n", e.Cursor, e.Type, text)}
}

// lookAtTokens ends the streams whose tokens are not good any more. One question asks for
// all of them.
func (h *hub) lookAtTokens(ctx context.Context) error {
	if time.Since(h.looked) < h.look {
		return nil
	}
	h.mu.Lock()
	ids := slices.Collect(maps.Keys(h.of))
	h.mu.Unlock()
	asked := time.Now()
	live, err := h.store.LiveTokens(ctx, ids)
	if err != nil {
		return err
	}
	over := map[store.TokenID]bool{}
	for _, id := range ids {
		over[id] = !slices.Contains(live, id)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looked = asked
	for _, streams := range h.streams {
		for s := range streams {
			if over[s.token.ID] {
				s.end(errTokenOver)
			}
		}
	}
	return nil
}
