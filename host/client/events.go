package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Event is what has happened.
type Event struct {
	ID              string `json:"-"` // Events goes on after it
	Type            string
	At              time.Time
	Client, Advisor string
	Data            map[string]any
}

const (
	streamSilent = 45 * time.Second // three heartbeats: the host or the way to it is gone
	streamAgain  = 2 * time.Second  // unless the host says otherwise
)

// Events hears of events as they happen: of those after an event, or from now on where
// after is "". It connects again whenever it is cut off, and then misses none and gives
// none twice. It ends with ctx, or with the one error after which asking again is of no
// use, such as a token that has expired.
func (c Client) Events(ctx context.Context, after string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		s := stream{after: after, pause: streamAgain, yield: yield}
		for {
			err := s.read(ctx, c)
			var p *Problem
			switch {
			case s.left || ctx.Err() != nil:
				return
			case errors.As(err, &p) && p.Status < 500 && p.Status != http.StatusTooManyRequests:
				yield(Event{}, err)
				return
			}
			pause := s.pause
			if p != nil && p.RetryAfter > 0 {
				pause = time.Duration(p.RetryAfter) * time.Second
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

type stream struct {
	after string
	pause time.Duration
	yield func(Event, error) bool
	left  bool // whoever listened has gone
}

// read connects once, and yields until the connection ends.
func (s *stream) read(ctx context.Context, c Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(streamSilent, cancel)
	defer silent.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(c.URL, "/")+"/v1/events", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	r.Header.Set("Accept", "text/event-stream")
	if s.after != "" {
		r.Header.Set("Last-Event-ID", s.after)
	}
	by := c.HTTP
	if by == nil {
		by = http.DefaultClient
	}
	answer, err := by.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		p := &Problem{Status: answer.StatusCode}
		if err := json.NewDecoder(io.LimitReader(answer.Body, answerMost)).Decode(p); err != nil && p.Status < 500 {
			return fmt.Errorf("GET /v1/events: %s, and not from a host", answer.Status)
		}
		return p
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, answerMost)
	var data string
	for lines.Scan() {
		silent.Reset(streamSilent)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			s.after = value
		case "retry":
			if ms, err := strconv.Atoi(value); err == nil {
				s.pause = time.Duration(ms) * time.Millisecond
			}
		case "data":
			data = value
		case "": // the end of an event; or a comment
			if data == "" {
				continue
			}
			event := Event{ID: s.after}
			err := json.Unmarshal([]byte(data), &event)
			if data = ""; !s.yield(event, err) {
				s.left = true
				return nil
			}
		}
	}
	return lines.Err()
}
