package ari

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// ErrReplaced ends a [Switch] whose application another process has taken over.
// Its calls are that process's now.
var ErrReplaced = errors.New("ari: another process has taken over the application")

// timing is how long the events connection may take for what. Tests take less.
type timing struct {
	dial    time.Duration
	beat    time.Duration // between beats
	back    time.Duration // for a beat to come back, or the connection is dead
	backoff time.Duration // first pause before connecting again, and
	longest time.Duration // the longest
	settle  time.Duration // for an event that another one announces
	last    time.Duration // for the last commands, when closing
}

var usual = timing{
	dial:    5 * time.Second,
	beat:    2 * time.Second,
	back:    5 * time.Second,
	backoff: 100 * time.Millisecond,
	longest: 5 * time.Second,
	settle:  2 * time.Second,
	last:    5 * time.Second,
}

const mostEvent = 1 << 20 // bytes

// stayConnected keeps the events connection up until the switch is closed or
// replaced.
func (s *Switch) stayConnected() {
	pause := s.t.backoff
	for s.ctx.Err() == nil {
		began := time.Now()
		err := s.listen()
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(began) > s.t.longest {
			pause = s.t.backoff // it was up
		}
		// Half of the pause is random, so that many do not come back at once.
		wait := pause/2 + rand.N(pause/2+1)
		s.log.Warn("events connection is down", "err", err, "again_in", wait)
		s.mu.Lock()
		s.broken = err
		s.mu.Unlock()
		select {
		case <-s.ctx.Done():
		case <-time.After(wait):
		}
		pause = min(2*pause, s.t.longest)
	}
}

// listen is one events connection, from dialling to its end. Its goroutine alone
// reads, and only moves events into the state of legs and talks: it waits for
// nobody, since Asterisk closes the connection of a slow reader.
func (s *Switch) listen() error {
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	if err := s.own(ctx); err != nil {
		return err
	}
	conn, err := s.dialEvents(ctx)
	if err != nil {
		return err
	}
	epoch := s.beginEpoch()
	defer s.endEpoch()
	helper := make(chan struct{})
	go func() {
		defer close(helper)
		err := s.resync(ctx, epoch)
		if err == nil {
			err = s.keepAlive(ctx)
		}
		cancel(err)
	}()
	defer func() {
		cancel(nil)
		conn.CloseNow()
		<-helper
	}()

	var text bytes.Buffer
	for {
		_, from, err := conn.Reader(ctx)
		if err == nil {
			text.Reset()
			_, err = text.ReadFrom(from)
		}
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		ev, err := decode(text.Bytes(), time.Now())
		if err != nil {
			s.log.Warn("event not understood", "bytes", text.Len())
			continue
		}
		if ev.Type == "ApplicationReplaced" {
			// By another process; or by an attempt of ours to connect that we gave
			// up, and that Asterisk took when it could. The owner's name tells.
			return errors.New("ari: another connection has taken over the application")
		}
		s.receive(ev)
	}
}

func (s *Switch) dialEvents(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.t.dial)
	defer cancel()
	address := "ws" + strings.TrimPrefix(s.client.base, "http") + "/events?" +
		url.Values{"app": {s.cfg.App}, "subscribeAll": {"false"}}.Encode()
	conn, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{}}, // by no proxy
		HTTPHeader: http.Header{"Authorization": {s.client.auth}},
	})
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, &Error{Op: "GET /events", Status: resp.StatusCode, Message: http.StatusText(resp.StatusCode)}
	}
	if err != nil {
		return nil, fmt.Errorf("ari: GET /events: %w", err)
	}
	conn.SetReadLimit(mostEvent)
	return conn, nil
}

// own makes sure that the application is ours before we connect to it. Who connects
// for the first time takes it; who comes back finds out whether another process
// has taken it meanwhile, and then leaves it alone.
//
// It also finds out whether Asterisk answers at all. A frozen one keeps every
// attempt to connect, and when it wakes, each would throw out the one before.
func (s *Switch) own(ctx context.Context) error {
	owner := url.Values{"variable": {s.cfg.App + "_owner"}}
	if s.Epoch() > 0 {
		var is struct{ Value string }
		err := s.client.do(ctx, command{method: "GET", path: path("asterisk", "variable"), query: owner}, &is)
		if err != nil || is.Value == s.name {
			return err
		}
		if is.Value != "" { // Asterisk forgets it when it restarts
			s.end(ErrReplaced)
			return ErrReplaced
		}
	}
	owner.Set("value", s.name)
	return s.client.do(ctx, command{method: "POST", path: path("asterisk", "variable"), query: owner}, nil)
}

// keepAlive sends beats until one does not come back. A connection whose other end
// is frozen or unplugged looks open for hours; one that Asterisk no longer sends
// events to, for ever.
func (s *Switch) keepAlive(ctx context.Context) error {
	every := time.NewTicker(s.t.beat)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		if err := s.sendBeat(ctx); err != nil {
			return err
		}
	}
}

// sendBeat sends an event of our own through Asterisk, and waits for it to come
// back. Then all has come that Asterisk had to tell before, since it tells in order.
func (s *Switch) sendBeat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.t.back)
	defer cancel()
	beat := &beat{name: newName("beat-"), back: make(chan struct{})}
	sent := time.Now()
	s.mu.Lock()
	s.beat = beat
	s.mu.Unlock()
	err := s.client.do(ctx, command{
		method: "POST", path: path("events", "user", beat.name), query: url.Values{"application": {s.cfg.App}},
	}, nil)
	if err != nil {
		return err
	}
	select {
	case <-beat.back:
		s.cfg.Observer.Beat(time.Since(sent))
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ari: no events come: %w", context.Cause(ctx))
	}
}

// beat is an event of our own under way.
type beat struct {
	name string
	back chan struct{} // closed when it has come back
}

// beginEpoch is called when a connection is up: events are kept back until what is up has been listed.
func (s *Switch) beginEpoch() (epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.listing = true
	return s.epoch
}

// endEpoch is called when the connection is down. Events that waited for a list
// which never came still happened.
func (s *Switch) endEpoch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = false
	s.release()
}

// release applies the events that were kept back. s.mu is held.
func (s *Switch) release() {
	s.listing = false
	for _, ev := range s.kept {
		s.apply(ev)
	}
	s.kept = nil
}

// receive takes one event from the reader.
func (s *Switch) receive(ev event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hear(ev.at)
	if ev.Type == "ChannelUserevent" {
		if s.beat != nil && s.beat.name == ev.Name {
			close(s.beat.back)
			s.beat = nil
		}
	} else if s.listing {
		s.kept = append(s.kept, ev)
	} else {
		s.apply(ev)
	}
	if s.live {
		s.seen = ev.at
	}
}

// seenAt is the last moment of which Asterisk would have told us, had anyone
// left. s.mu is held.
func (s *Switch) seenAt() time.Time {
	if now := time.Now(); s.live && now.Sub(s.seen) < s.t.beat+s.t.beat/2 {
		return now
	}
	return s.seen
}

// gap is a time of which we know only what was up before and after.
type gap struct{ from, to time.Time }

// certain brings a moment back to one at which we heard of everyone who left: of a
// gap between connections nothing is certain. s.mu is held.
func (s *Switch) certain(at time.Time) time.Time {
	gaps := s.gaps
	if !s.live && !s.seen.IsZero() {
		gaps = append(slices.Clip(gaps), gap{s.seen, time.Now()})
	}
	for _, g := range gaps {
		if at.After(g.from) && at.Before(g.to) {
			return g.from
		}
	}
	return at
}

// closeGap is called when what is up is known again. Of older gaps nobody asks any
// more than RTPTimeout later. s.mu is held.
func (s *Switch) closeGap() {
	now := time.Now()
	if !s.seen.IsZero() {
		s.gaps = slices.DeleteFunc(s.gaps, func(g gap) bool { return now.Sub(g.to) > s.cfg.RTPTimeout })
		s.gaps = append(s.gaps, gap{s.seen, now})
	}
	s.seen, s.live = now, true
}
