package ari

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"parley/ivr"
)

// Config is what a [Switch] must know.
type Config struct {
	URL            string // http://127.0.0.1:8088/ari
	User, Password string
	App            string // of Stasis; "parley" unless set
	Trunk          string // the PJSIP endpoint of the carrier, "trunk" unless set; calls go out by those named after it, "trunk-0" to "trunk-9"
	Fallback       string // context,extension,priority that apologises; "noapp,s,1" unless set

	// RTPTimeout is the endpoints' rtp_timeout: how long Asterisk hears nothing
	// before it ends a leg.
	RTPTimeout time.Duration

	// Endpoint holds PJSIP attributes that every advisor's endpoint of a kind has
	// beside our own, such as its transport and media_address.
	Endpoint map[ivr.LineKind]map[string]string

	// Elsewhere tells where an endpoint is registered: host:port of the Asterisk of another
	// node, or "" for this one. It is asked for each call to an advisor's phone, unless it
	// is nil: then there is no other node.
	Elsewhere func(ctx context.Context, endpoint string) string

	Prompts  Prompts
	Observer Observer // may be nil
	Log      *slog.Logger
}

// Observer is told how quickly Asterisk answers. It must not wait.
type Observer interface {
	// Commanded is told of each command: how long the answer took, or the want of one.
	Commanded(took time.Duration, answered bool)

	// Beat is told how long an event of ours took through Asterisk and back.
	Beat(took time.Duration)

	// Connected is told of each events connection that has come up.
	Connected()
}

// unobserved is the observer where there is none.
type unobserved struct{}

func (unobserved) Commanded(time.Duration, bool) {}
func (unobserved) Beat(time.Duration)            {}
func (unobserved) Connected()                    {}

// Prompts is the catalogue of what can be heard.
type Prompts interface {
	// Media is where Asterisk finds a prompt, as an ARI media URI of the scheme
	// "sound:" (others cannot be stopped, and may never report their end), and
	// how long it lasts.
	Media(language string, p ivr.Prompt) (uri string, length time.Duration, err error)
}

// Handler runs one call that has come in, as [ivr.Service.Serve] does. Numbers are E.164 with
// +, or "" where they are withheld or none.
type Handler interface {
	Serve(client ivr.Leg, did, ani string)
}

// incoming is a call that has come in.
type incoming struct {
	leg      ivr.Leg
	did, ani string
}

// ErrClosed ends a [Switch] that was closed.
var ErrClosed = errors.New("ari: the switch is closed")

// Switch is Asterisk, as package ivr wants it.
type Switch struct {
	client *client
	name   string // of this process, among those that want the application
	cfg    Config
	log    *slog.Logger
	t      timing

	ctx    context.Context // ends with ErrReplaced or ErrClosed
	cancel context.CancelCauseFunc
	ready  chan struct{} // closed by the first list
	ended  chan struct{} // closed when the events connection has ended for good

	gate    sync.Mutex // orders the last background commands before Close's wait
	closing bool
	work    sync.WaitGroup

	// mu guards all below and whatever changes in a leg, a talk or a playback. It
	// is held for moments: nothing waits under it.
	mu        sync.Mutex
	legs      map[string]*leg // by channel ID; those that are up, or about to be
	talks     map[string]*talk
	playbacks map[string]*playback
	epoch     uint64    // counts events connections
	live      bool      // connected, and what is up is known
	listing   bool      // events are kept back
	kept      []event   // meanwhile
	seen      time.Time // last contact with Asterisk while live
	gaps      []gap     // between the last connections
	spoke     time.Time // Asterisk, for the last time
	awake     time.Time // we were, for the last time that we looked
	silences  []gap     // in which Asterisk said nothing at all
	beat      *beat     // the last that was sent, until it has come back
	broken    error     // why the last connection ended
	startup   string    // when Asterisk says it was started
	opened    bool      // ready is closed
	handler   Handler
	early     []incoming // came in before Serve was called
	refusing  bool
	draining  bool // calls that come in are for other nodes
}

var _ ivr.Switch = (*Switch)(nil)

// Open connects, and lists what is up. It tries until ctx ends. The switch lives
// on after ctx: close it.
func Open(ctx context.Context, cfg Config) (*Switch, error) { return open(ctx, cfg, usual) }

func open(ctx context.Context, cfg Config, t timing) (*Switch, error) {
	cfg.App = cmp.Or(cfg.App, "parley")
	cfg.Trunk = cmp.Or(cfg.Trunk, "trunk")
	cfg.Fallback = cmp.Or(cfg.Fallback, "noapp,s,1")
	if cfg.Observer == nil {
		cfg.Observer = unobserved{}
	}
	s := &Switch{
		client: newClient(cfg.URL, cfg.User, cfg.Password),
		name:   newName("process-"), cfg: cfg, log: cmp.Or(cfg.Log, slog.Default()), t: t,
		ready: make(chan struct{}), ended: make(chan struct{}),
		legs: map[string]*leg{}, talks: map[string]*talk{}, playbacks: map[string]*playback{},
	}
	s.client.observer = cfg.Observer
	s.client.heard = s.heard
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	go s.stayAwake()
	go func() {
		defer close(s.ended)
		s.stayConnected()
	}()
	select {
	case <-s.ready:
		return s, nil
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("ari: no connection to %s: %w: %w", cfg.URL, context.Cause(ctx), cmp.Or(s.broken, ErrClosed))
	}
}

// Close ends the events connection, after the last hang-ups have been sent. From
// then on the dialplan apologises to whoever calls. Legs stay up: the next
// process finds them, or the time set by CutAfter ends them.
func (s *Switch) Close() {
	s.mu.Lock()
	s.refusing, s.handler = true, nil
	s.mu.Unlock()
	s.gate.Lock()
	s.closing = true
	s.gate.Unlock()
	sent := make(chan struct{})
	go func() {
		s.work.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-time.After(s.t.last):
	}
	s.end(ErrClosed)
	<-s.ended
	s.client.conns.close()
}

// end ends the switch. No command is sent any more: after [ErrReplaced] it would
// meddle with another process's calls.
func (s *Switch) end(why error) {
	s.client.bar(why)
	s.cancel(why)
}

// Done ends when the switch has ended; [Switch.Err] says why.
func (s *Switch) Done() <-chan struct{} { return s.ctx.Done() }

// Err is [ErrReplaced] or [ErrClosed] once Done, and nil before.
func (s *Switch) Err() error { return context.Cause(s.ctx) }

// Connected reports whether events arrive and everything that is up is known.
func (s *Switch) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// Trunk asks Asterisk whether the carrier answers its OPTIONS, and returns why it cannot
// be called; nil where it can.
func (s *Switch) Trunk(ctx context.Context) error {
	var trunk struct{ State string }
	err := s.client.do(ctx, command{method: "GET", path: path("endpoints", "PJSIP", s.cfg.Trunk), op: "look at the trunk"}, &trunk)
	switch {
	case refused(err, http.StatusNotFound):
		return fmt.Errorf("Asterisk has no endpoint %s", s.cfg.Trunk)
	case err != nil:
		return errors.New("Asterisk does not say")
	case trunk.State == "offline":
		return errors.New("the carrier does not answer Asterisk's OPTIONS")
	}
	return nil
}

// Epoch counts the events connections so far.
func (s *Switch) Epoch() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// Serve has handler run each call that comes in, in a goroutine of its own, until
// ctx ends or the switch does, and returns the cause. After that the dialplan
// apologises to whoever calls; the calls that are up go on.
func (s *Switch) Serve(ctx context.Context, handler Handler) error {
	s.mu.Lock()
	s.handler, s.refusing = handler, false
	for _, call := range s.early {
		go handler.Serve(call.leg, call.did, call.ani)
	}
	s.early = nil
	s.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	s.handler, s.refusing = nil, true
	s.mu.Unlock()
	return cmp.Or(context.Cause(s.ctx), context.Cause(ctx))
}

// Drain has calls that come in turned away from now on, or served again. Those that are up
// go on.
func (s *Switch) Drain(draining bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = draining
}

// admit takes a channel that has come in. s.mu is held.
func (s *Switch) admit(ch channel, args []string) {
	l := s.legs[ch.ID]
	switch {
	case l == nil:
		l = s.newLeg(ch.ID)
	case !l.inherited:
		return // StasisStart came twice
	}
	l.arrive()
	l.inherited = false // not left behind, but listed before its event came
	call := incoming{leg: l, ani: number(ch.Caller.Number)}
	if len(args) > 1 {
		call.did = number(args[1])
	}
	switch {
	case s.draining:
		s.background(func() { s.turnAway(l) })
	case s.handler != nil:
		go s.handler.Serve(call.leg, call.did, call.ani)
	case s.refusing:
		s.background(func() { s.turnAway(l) })
	default:
		s.early = append(s.early, call)
	}
}

// turnAway sends a call back to the dialplan, to hear that we are not there.
func (s *Switch) turnAway(l *leg) {
	to := strings.SplitN(s.cfg.Fallback+",,", ",", 4)
	err := s.client.do(s.ctx, command{
		method: "POST", path: path("channels", l.id, "continue"), once: true,
		query: url.Values{"context": {to[0]}, "extension": {to[1]}, "priority": {to[2]}},
	}, nil)
	s.mu.Lock()
	s.depart(l, &ivr.Departure{Leg: l.id, Cause: ivr.TemporaryFailure, At: time.Now()})
	s.mu.Unlock()
	if err != nil {
		s.hangup(l.id, ivr.TemporaryFailure)
	}
}

// apply moves one event into the state of whom it concerns. Events of channels
// that we do not know, or no longer, and events that come again, do nothing.
// s.mu is held.
func (s *Switch) apply(ev event) {
	switch ev.Type {
	case "StasisStart":
		s.started(ev)
	case "PlaybackFinished":
		if p := s.playbacks[ev.Playback.ID]; p != nil {
			s.finish(p, ev.Playback.State == "failed")
		}
	case "ChannelEnteredBridge":
		if t := s.talks[ev.Bridge.ID]; t != nil {
			t.entered(ev.Channel.ID, ev.at)
		}
	case "ChannelLeftBridge":
		if t := s.talks[ev.Bridge.ID]; t != nil {
			t.left(ev.Channel.ID, ev.at)
		}
	default:
		if l := s.legs[ev.Channel.ID]; l != nil {
			l.apply(ev)
		}
	}
}

// started is a channel that Asterisk has put into our hands.
func (s *Switch) started(ev event) {
	var kind string
	if len(ev.Args) > 0 {
		kind = ev.Args[0]
	}
	l := s.legs[ev.Channel.ID]
	switch {
	case ev.Replaces != nil:
		// A transfer put another channel in a leg's place: it has paid for nothing.
		s.hangUpStranger(ev.Channel.ID)
	case kind == "in":
		s.admit(ev.Channel, ev.Args)
	case l != nil && l.hungUp:
		// It answered after we had given it up, and our hang-up may have come too early.
		s.hangUpStranger(l.id)
	case l != nil:
		l.arrive()
	default:
		s.hangUpStranger(ev.Channel.ID)
	}
}

// hangUpStranger ends a channel that belongs to no call. s.mu is held.
func (s *Switch) hangUpStranger(channel string) {
	s.log.Warn("leg of no call is hung up", "leg", channel)
	s.background(func() { s.hangup(channel, ivr.NormalClearing) })
}

// depart ends a leg. s.mu is held.
func (s *Switch) depart(l *leg, d *ivr.Departure) {
	if s.legs[l.id] != l {
		return
	}
	delete(s.legs, l.id)
	if l.talk != nil {
		l.talk.departed(l, d.At)
	}
	l.leave(d)
}

// background runs a command that nobody waits for; Close does.
func (s *Switch) background(do func()) {
	s.gate.Lock()
	defer s.gate.Unlock()
	if s.closing {
		go do()
		return
	}
	s.work.Go(do)
}

// newName makes a name for what lives only as long as its leg does.
func newName(prefix string) string {
	var b [8]byte
	rand.Read(b[:]) // never fails, by its documentation
	return prefix + hex.EncodeToString(b[:])
}

// number brings a number from the carrier into E.164, or to "" where it is
// none. What a caller claims to be called gets no further than here.
func number(claimed string) string {
	digits := strings.TrimPrefix(claimed, "+")
	if digits == claimed {
		digits = strings.TrimPrefix(digits, "00")
	}
	const least, most = 7, 15
	if len(digits) < least || len(digits) > most || digits[0] == '0' {
		return ""
	}
	for _, d := range []byte(digits) {
		if d < '0' || d > '9' {
			return ""
		}
	}
	return "+" + digits
}
