package ari

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
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
	ping    time.Duration // between pings
	pong    time.Duration // after which a silent connection is dead
	backoff time.Duration // first pause before connecting again, and
	longest time.Duration // the longest
	settle  time.Duration // for an event that another one announces
	last    time.Duration // for the last commands, when closing
}

var usual = timing{
	dial:    5 * time.Second,
	ping:    2 * time.Second,
	pong:    5 * time.Second,
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
	conn, err := s.dialEvents(ctx)
	if err != nil {
		cancel(nil)
		return err
	}
	epoch := s.beginEpoch()
	defer s.endEpoch()
	helpers := make(chan struct{}, 2)
	go func() {
		cancel(s.keepAlive(ctx, conn))
		helpers <- struct{}{}
	}()
	go func() {
		if err := s.resync(ctx, epoch); err != nil {
			cancel(err)
		}
		helpers <- struct{}{}
	}()
	defer func() {
		cancel(nil)
		conn.CloseNow()
		<-helpers
		<-helpers
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
			s.end(ErrReplaced)
			return ErrReplaced
		}
		s.receive(ev)
	}
}

func (s *Switch) dialEvents(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.t.dial)
	defer cancel()
	// http becomes ws, https wss.
	address := "ws" + strings.TrimPrefix(s.client.base, "http") + "/events?" +
		url.Values{"app": {s.cfg.App}, "subscribeAll": {"false"}}.Encode()
	conn, resp, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: s.client.http,
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

// keepAlive pings until nothing comes back. A connection whose other end is
// frozen or unplugged looks open for hours.
func (s *Switch) keepAlive(ctx context.Context, conn *websocket.Conn) error {
	every := time.NewTicker(s.t.ping)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		pong, cancel := context.WithTimeout(ctx, s.t.pong)
		err := conn.Ping(pong)
		cancel()
		if err != nil {
			return fmt.Errorf("ari: events connection is silent: %w", err)
		}
		s.contact(time.Now())
	}
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
	if s.listing {
		s.kept = append(s.kept, ev)
		return
	}
	s.seen = ev.at
	s.apply(ev)
}

// contact notes that Asterisk was there.
func (s *Switch) contact(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live {
		s.seen = at
	}
}

// seenAt is the last moment of which Asterisk would have told us, had anyone
// left. s.mu is held.
func (s *Switch) seenAt() time.Time {
	if now := time.Now(); s.live && now.Sub(s.seen) < s.t.ping+s.t.ping/2 {
		return now
	}
	return s.seen
}
