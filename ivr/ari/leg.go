package ari

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// leg is a channel.
type leg struct {
	s     *Switch
	id    string // of the channel
	ctx   context.Context
	leave context.CancelCauseFunc
	call  atomic.Pointer[ivr.CallID] // nil until it is known

	// guarded by s.mu
	here      chan struct{} // see arrival
	known     bool          // Asterisk has the channel: a list without it means that it is gone
	inherited bool          // found when we started, and so another process's before
	caller    bool          // of those, it has called
	hungUp    bool          // by us
	request   hangupRequest
	ending    bool   // StasisEnd was seen
	byNode    bool   // it is dialled through another node's Asterisk
	sipStatus int    // that ended it, if it was a SIP answer
	waiting   string // the sound to wait by that is on: moh, ring or ""
	talk      *talk
	keys      keys
}

var _ ivr.Leg = (*leg)(nil)

// hangupRequest is who first wanted the channel to end.
type hangupRequest byte

const (
	none hangupRequest = iota
	byBye
	byAsterisk
)

// newLeg registers a channel, before anything is asked of Asterisk: events may
// overtake answers. s.mu is held.
func (s *Switch) newLeg(id string) *leg {
	l := &leg{s: s, id: id}
	l.ctx, l.leave = context.WithCancelCause(context.Background())
	l.Of(callOf(id))
	s.legs[id] = l
	return l
}

// Of implements [ivr.Leg].
func (l *leg) Of(call ivr.CallID) {
	if call != "" {
		l.call.Store(&call)
	}
}

// log is for what is said of this leg.
func (l *leg) log() *slog.Logger {
	log := l.s.log.With("leg", l.id)
	if call := l.call.Load(); call != nil {
		log = log.With("call", *call)
	}
	return log
}

func (l *leg) ID() string               { return l.id }
func (l *leg) Context() context.Context { return l.ctx }
func (l *leg) String() string           { return l.id } // and not what was keyed

// arrive notes that Asterisk has put the channel into our hands. s.mu is held.
func (l *leg) arrive() {
	l.known = true
	if l.here != nil {
		close(l.here)
		l.here = nil
	}
}

// arrival is closed once Asterisk has put the channel into our hands, for which we have yet
// to ask. s.mu is held.
func (l *leg) arrival() <-chan struct{} {
	l.here = make(chan struct{})
	return l.here
}

// apply moves an event of the channel into its state. s.mu is held.
func (l *leg) apply(ev event) {
	switch ev.Type {
	case "ChannelDtmfReceived":
		l.keys.press(ev.Digit, ev.Timestamp)
	case "ChannelHangupRequest":
		if l.request == none && ev.Soft {
			l.request = byAsterisk
		} else if l.request == none {
			l.request = byBye
		}
	case "ChannelDestroyed":
		l.sipStatus = ev.TechCause
		d := l.departure(ivr.Cause(ev.Cause), ev.at)
		d.Quality = quality(ev.Channel.Vars.Audio)
		l.s.depart(l, d)
	case "StasisEnd":
		if l.ending {
			return
		}
		// Either the party hung up, and ChannelDestroyed comes next and says why;
		// or an operator took the channel out of our hands, and it does not.
		l.ending = true
		time.AfterFunc(l.s.t.settle, func() { l.vanish(ev.at) })
	}
}

// departure explains the end of a channel with a cause. 0 is a BYE that gives none, or
// the end of TIMEOUT(absolute), and remains 0 for the latter.
func (l *leg) departure(cause ivr.Cause, at time.Time) *ivr.Departure {
	if cause == 0 && l.request == byBye {
		cause = ivr.NormalClearing
	}
	d := &ivr.Departure{Leg: l.id, Cause: cause, At: at, Lost: lost(cause) && !l.hungUp}
	if d.Lost && cause == ivr.Unavailable && l.request != byBye {
		// Asterisk heard nothing for RTPTimeout. A party that says so itself, in the
		// BYE's Reason header, does not get that time for nothing.
		d.At = l.s.certain(at.Add(-l.s.cfg.RTPTimeout))
	}
	return d
}

// lost reports whether a cause says that something failed, where others say that
// somebody decided to end the leg. Q.850's classes from 32 on are failures:
// resource unavailable, service, protocol, interworking (127 says nothing).
func lost(c ivr.Cause) bool {
	const (
		noUserResponding = 18
		outOfOrder       = 27
		interworking     = 127
	)
	return c == noUserResponding || c == outOfOrder || c >= 32 && c != interworking
}

// vanish ends the leg unless an event that explains more has done so. Should the
// channel still be up, it is in nobody's hands, and is ended too.
func (l *leg) vanish(at time.Time) {
	l.s.mu.Lock()
	stolen := l.s.legs[l.id] == l && !l.hungUp
	l.s.depart(l, &ivr.Departure{Leg: l.id, At: at, Lost: !l.hungUp})
	l.s.mu.Unlock()
	if stolen {
		l.log().Warn("leg is no longer in our hands")
		l.s.background(func() { l.s.hangup(l.id, ivr.NormalClearing) })
	}
}

// over returns why the leg, or else ctx, has ended, and nil while neither has.
func (l *leg) over(ctx context.Context) error {
	return cmp.Or(context.Cause(l.ctx), context.Cause(ctx))
}

// failed explains why a command on the leg failed. Where Asterisk has the channel
// no more, the event that says why may be on its way.
func (l *leg) failed(err error) error {
	if err == nil {
		return nil
	}
	// 409 and 412: the channel is not in Stasis, or is being hung up; a snoop is then
	// refused with 500.
	if gone := refused(err, 404); gone || refused(err, 409, 412, 500) {
		select {
		case <-l.ctx.Done():
		case <-time.After(l.s.t.settle):
			if gone {
				l.s.mu.Lock()
				at := l.s.seenAt()
				l.s.mu.Unlock()
				l.vanish(at)
			}
		}
	}
	return cmp.Or(context.Cause(l.ctx), err)
}

// post sends a command on the channel. It is not cut short when ctx ends: nobody
// would know whether Asterisk has done it.
func (l *leg) post(ctx context.Context, what string, query url.Values) error {
	if err := l.over(ctx); err != nil {
		return err
	}
	return l.failed(l.s.client.do(context.WithoutCancel(ctx), command{
		method: "POST", path: path("channels", l.id, what), query: query,
	}, nil))
}

func (l *leg) Answer(ctx context.Context) error { return l.post(ctx, "answer", nil) }

// CutAfter sets the channel's TIMEOUT(absolute), with which Asterisk ends it
// whatever happens to us. The command waits for a prompt that the leg hears. In a talk it
// also tells the dialplan, which apologises to a caller whose time is over, that this one
// needs no apology.
func (l *leg) CutAfter(ctx context.Context, d time.Duration) error {
	set := url.Values{"variable": {"TIMEOUT(absolute)"}, "value": {seconds(d)}}
	l.s.mu.Lock()
	talks := l.talk != nil
	l.s.mu.Unlock()
	if talks {
		set = url.Values{"variable": {"ARRAY(TIMEOUT(absolute),TALKED)"}, "value": {seconds(d) + ",yes"}}
	}
	return l.post(ctx, "variable", set)
}

// seconds writes a time-out for Asterisk, to whom 0 means none at all.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(max(d, time.Millisecond).Seconds(), 'f', 3, 64)
}

// Entertain uses the channel's music on hold, or its ring tone, which is sound on
// a leg that is answered and signalling on one that is not. The sound ends with whatever
// comes next: it is stopped by the command before that, or goes with the leg.
func (l *leg) Entertain(ctx context.Context, what dialplan.Waiting) error {
	kind := "moh"
	if what == dialplan.Ringing {
		kind = "ring"
	}
	if err := l.leaveTalk(ctx); err != nil {
		return err
	}
	l.quiet(ctx)
	l.s.mu.Lock()
	l.waiting = kind
	l.s.mu.Unlock()
	err := l.post(ctx, kind, nil)
	if err != nil && l.over(ctx) == nil {
		l.log().Error("waiting sound not played; the leg waits in silence", "err", err)
	}
	select {
	case <-l.ctx.Done():
	case <-ctx.Done():
	}
	return l.over(ctx)
}

// quiet stops the sound that the leg waited by, if any.
func (l *leg) quiet(ctx context.Context) {
	for _, stop := range l.silence() {
		l.stopped(l.s.client.do(context.WithoutCancel(ctx), stop, nil))
	}
}

// silence is what stops the sound that the leg waited by: no command or one, which whoever
// asks must send.
func (l *leg) silence() (stop []command) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if l.waiting != "" {
		stop = []command{{method: "DELETE", path: path("channels", l.id, l.waiting)}}
	}
	l.waiting = ""
	return stop
}

// stopped takes what became of a silence.
func (l *leg) stopped(err error) {
	if err != nil && l.ctx.Err() == nil {
		l.log().Warn("waiting sound not stopped", "err", err)
	}
}

// whisper begins the ID of every snoop channel.
const whisper = "whisper-"

// snoop makes a channel whose sound Asterisk adds to what this leg alone hears. A
// prompt played to the leg itself would take it out of the talk.
func (l *leg) snoop(ctx context.Context) (*leg, error) {
	if err := l.over(ctx); err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	snoop := l.s.newLeg(newName(whisper))
	here := snoop.arrival()
	snoop.call.Store(l.call.Load())
	l.s.mu.Unlock()
	err := l.failed(l.s.client.do(context.WithoutCancel(ctx), command{
		method: "POST", path: path("channels", l.id, "snoop", snoop.id),
		query:   url.Values{"whisper": {"out"}, "app": {l.s.cfg.App}, "appArgs": {"snoop"}},
		confirm: path("channels", snoop.id),
	}, nil))
	if err != nil {
		snoop.abandon(err)
		return nil, err
	}
	select { // only once it is in our hands can it be played to
	case <-here:
		return snoop, nil
	case <-snoop.ctx.Done():
		err = context.Cause(snoop.ctx)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-time.After(l.s.t.settle):
		err = fmt.Errorf("ari: channel %s was not put into our hands", snoop.id)
	}
	snoop.Hangup(ivr.NormalClearing)
	return nil, cmp.Or(l.over(ctx), err)
}

func (l *leg) Whisper(ctx context.Context, language string, prompts ...ivr.Prompt) error {
	snoop, err := l.snoop(ctx)
	if err != nil {
		return err
	}
	p, err := snoop.start(ctx, language, prompts)
	if p == nil {
		snoop.Hangup(ivr.NormalClearing)
		return cmp.Or(l.over(ctx), err)
	}
	go func() {
		_ = snoop.wait(snoop.ctx, p)
		snoop.Hangup(ivr.NormalClearing)
	}()
	return nil
}

// Ask keeps the snoop channel until the answer: as long as it is there, Asterisk mixes
// the talk itself and tells of keys, which it does not while it only passes the sound
// on (see [Switch.Bridge]). What was keyed before does not count.
func (l *leg) Ask(ctx context.Context, language string, e ivr.Entry) (string, error) {
	snoop, err := l.snoop(ctx)
	if err != nil {
		return "", err
	}
	defer snoop.Hangup(ivr.NormalClearing)
	l.clearKeys()
	return l.gather(ctx, language, e, snoop)
}

// abandon forgets a channel that Asterisk did not make, as far as it says. It may
// yet: without an answer nobody knows.
func (l *leg) abandon(why error) {
	if !errors.As(why, new(*Error)) {
		l.Hangup(ivr.NormalClearing)
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	delete(l.s.legs, l.id)
	l.leave(why)
}

func (l *leg) Hangup(cause ivr.Cause) {
	l.s.mu.Lock()
	first := !l.hungUp && l.s.legs[l.id] == l
	l.hungUp = true
	l.s.mu.Unlock()
	if first {
		l.s.background(func() { l.s.hangup(l.id, cause) })
	}
}

func (l *leg) TurnAway() {
	l.s.mu.Lock()
	caller := l.caller && !l.hungUp && l.s.legs[l.id] == l
	l.s.mu.Unlock()
	if !caller {
		l.Hangup(ivr.TemporaryFailure)
		return
	}
	l.s.background(func() { l.s.turnAway(l) })
}

// named is a leg that is up, or what is known of one that is not.
func (s *Switch) named(channel string) *leg {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.legs[channel]; l != nil {
		return l
	}
	l := &leg{s: s, id: channel}
	l.Of(callOf(channel))
	return l
}

// hangupFor is how long a hang-up is tried. After that the channel ends by its
// time-out, or is found when the events connection is up again.
const hangupFor = 30 * time.Second

// hangup ends a channel, however often it must be asked.
func (s *Switch) hangup(channel string, cause ivr.Cause) {
	ctx, cancel := context.WithTimeout(s.ctx, hangupFor)
	defer cancel()
	for pause := pauseFirst; ; pause *= 2 {
		err := s.client.do(ctx, command{
			method: "DELETE", path: path("channels", channel),
			query: url.Values{"reason_code": {strconv.Itoa(int(cmp.Or(cause, ivr.NormalClearing)))}},
		}, nil)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			if s.ctx.Err() == nil {
				s.named(channel).log().Error("leg not hung up", "err", err)
			}
			return
		case <-time.After(pause):
		}
	}
}
