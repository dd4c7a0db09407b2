package ari

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"parley/ivr"
)

// listFor bounds the listing, during which events are kept back.
const listFor = 30 * time.Second

// resync makes the events connection useful: it asks for the events we want, lists
// what is up, and compares it with what we know. What cannot be asked is not gone:
// any failure ends the connection, and the next one asks again.
func (s *Switch) resync(ctx context.Context, epoch uint64) error {
	ctx, cancel := context.WithTimeout(ctx, listFor)
	defer cancel()
	if err := s.filter(ctx); err != nil {
		return err
	}
	if err := s.subscribe(ctx); err != nil {
		return err
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	legs, talks := s.known()
	var channels []channel
	if err := s.client.do(ctx, command{method: "GET", path: path("channels")}, &channels); err != nil {
		return err
	}
	var bridges []bridge
	if err := s.client.do(ctx, command{method: "GET", path: path("bridges")}, &bridges); err != nil {
		return err
	}
	if err := s.sendBeat(ctx); err != nil { // with it come the events that are older than the lists
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return context.Cause(ctx) // closed: the events have been let go
	}
	s.cfg.Observer.Connected()
	s.compare(channels, bridges, legs, talks)
	s.closeGap()
	s.log.Info("events connection is up", "epoch", epoch, "legs", len(s.legs), "talks", len(s.talks))
	if !s.opened {
		s.opened = true
		close(s.ready)
	}
	return nil
}

// filter asks for the events that we read. Asterisk forgets it with the
// application, so it is said on every connection.
func (s *Switch) filter(ctx context.Context) error {
	type named struct {
		Type string `json:"type"`
	}
	var allowed []named
	for _, event := range wanted {
		allowed = append(allowed, named{event})
	}
	return s.client.do(ctx, command{
		method: "PUT", path: path("applications", s.cfg.App, "eventFilter"),
		body: map[string]any{"allowed": allowed},
	}, nil)
}

// subscribe asks for the events of all channels, whether they are in our hands or not:
// else Asterisk stops telling of a channel that came in before it tells why it ended. To
// ask for each call's own would be a command a call, whose answer lists all of them.
func (s *Switch) subscribe(ctx context.Context) error {
	return s.client.do(ctx, command{
		method: "POST", path: path("applications", s.cfg.App, "subscription"), query: url.Values{"eventSource": {"channel:"}},
	}, nil)
}

// inspect looks at which Asterisk this is. Before 22.10.1, anyone with ARI's
// read-only password could run code, and pure ARI load deadlocked it.
func (s *Switch) inspect(ctx context.Context) error {
	var info struct {
		System struct{ Version string }
		Status struct {
			Startup string `json:"startup_time"`
		}
	}
	err := s.client.do(ctx, command{
		method: "GET", path: path("asterisk", "info"), query: url.Values{"only": {"system,status"}},
	}, &info)
	if err != nil {
		return err
	}
	s.mu.Lock()
	before := s.startup
	s.startup = info.Status.Startup
	s.mu.Unlock()
	if before == info.Status.Startup {
		return nil
	}
	if before != "" {
		s.log.Warn("Asterisk was restarted; its calls are gone", "started", info.Status.Startup)
	}
	if !recent(info.System.Version) {
		s.log.Warn("this Asterisk has known faults: install 22.10.1 or later", "version", info.System.Version)
	}
	return nil
}

// recent reports whether a version such as 22.10.1~dfsg-1 is at least 22.10.1.
func recent(version string) bool {
	var v [3]int
	fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2])
	return slices.Compare(v[:], []int{22, 10, 1}) >= 0
}

// known is what Asterisk has, as far as we know before we list. What we have only
// just asked for may be missing from a list and yet come.
func (s *Switch) known() (legs []*leg, talks []*talk) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.legs {
		if l.known {
			legs = append(legs, l)
		}
	}
	for _, t := range s.talks {
		if !t.joinedAt.IsZero() {
			talks = append(talks, t)
		}
	}
	return legs, talks
}

// compare brings what we know up to a list that is newer than legs and talks, and
// lets the events go on that came meanwhile. s.mu is held.
func (s *Switch) compare(channels []channel, bridges []bridge, legs []*leg, talks []*talk) {
	now, before := time.Now(), s.seen
	passing := map[string]bool{} // it came or went while we listed; its events say all
	for _, ev := range s.kept {
		if ev.Type == "ChannelDestroyed" || ev.Type == "StasisEnd" {
			passing[ev.Channel.ID] = true
		}
	}
	s.release()

	up := map[string]channel{}
	for _, ch := range channels {
		up[ch.ID] = ch
	}
	for _, l := range legs {
		if _, there := up[l.id]; !there {
			s.depart(l, &ivr.Departure{Leg: l.id, At: before, Lost: !l.hungUp})
		}
	}
	for _, ch := range channels {
		if l := s.legs[ch.ID]; l != nil {
			s.found(l, ch)
		} else if s.ours(ch) && !passing[ch.ID] {
			s.unknown(ch)
		}
	}
	joined := map[string][]string{}
	for _, b := range bridges {
		joined[b.ID] = b.Channels
		if t := s.talks[b.ID]; t != nil && !t.ended {
			for _, ch := range b.Channels {
				t.entered(ch, now)
			}
		} else if strings.HasPrefix(b.ID, "call_") {
			s.unknownBridge(b, now)
		}
	}
	for _, t := range talks {
		for i, l := range t.legs {
			if slices.Contains(joined[t.id], l.id) {
				continue
			}
			if t.until.IsZero() {
				t.until = before
			}
			t.end()
			t.isOut(i)
		}
	}
}

// found is a leg of ours that is on the list. s.mu is held.
func (s *Switch) found(l *leg, ch channel) {
	l.known = true
	if ch.Dialplan.App == "Stasis" {
		l.arrive() // it may have answered unheard
	}
	if l.hungUp {
		s.background(func() { s.hangup(l.id, ivr.NormalClearing) })
	}
}

// ours reports whether a channel is the application's business.
func (s *Switch) ours(ch channel) bool {
	return strings.HasPrefix(ch.ID, "call_") || strings.HasPrefix(ch.ID, whisper) ||
		ch.Dialplan.App == "Stasis" && strings.HasPrefix(ch.Dialplan.Data, s.cfg.App+",")
}

// unknown is a channel of which we have heard nothing. On our first connection it
// is left from another process. Later it came in while we were not connected, or
// is left of what we had given up. s.mu is held.
func (s *Switch) unknown(ch channel) {
	args := strings.Split(ch.Dialplan.Data, ",")[1:]
	switch {
	case !s.opened:
		l := s.newLeg(ch.ID)
		l.inherited, l.caller = true, len(args) > 0 && args[0] == "in"
		s.found(l, ch)
	case len(args) > 0 && args[0] == "in":
		s.admit(ch, args)
	default:
		s.hangUpStranger(ch.ID)
	}
}
