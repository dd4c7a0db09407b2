package ari

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parley/ivr"
)

// What a line's address may look like. Asterisk would read more into '@', '/' or
// '&' than a name.
var (
	telephone = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	endpoint  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// nodes is the PJSIP endpoint of all other nodes. What comes from there may be dialled to the
// phones that are registered here, and to nothing else.
const nodes = "node"

// outbound is the endpoint by which a telephone number is called: one of ten, by its last
// digit, since Asterisk walks all channels of an endpoint at each change of one of them.
func (c Config) outbound(number string) string { return c.Trunk + "-" + number[len(number)-1:] }

// carrier lists the carrier's endpoints: calls come in by the first.
func (c Config) carrier() []string {
	names := []string{c.Trunk}
	for digit := range 10 {
		names = append(names, c.outbound(strconv.Itoa(digit)))
	}
	return names
}

// where is the line as Asterisk dials it. A phone that is registered with another node is
// rung by that one's Asterisk.
func (s *Switch) where(ctx context.Context, to ivr.Line) (string, error) {
	if to.Kind == ivr.Phone && telephone.MatchString(to.Address) {
		return "PJSIP/" + to.Address + "@" + s.cfg.outbound(to.Address), nil
	}
	if to.Kind != ivr.Phone && endpoint.MatchString(to.Address) {
		if s.cfg.Elsewhere != nil {
			if at := s.cfg.Elsewhere(ctx, to.Address); at != "" {
				return "PJSIP/" + nodes + "/sip:" + to.Address + "@" + at, nil
			}
		}
		return "PJSIP/" + to.Address, nil
	}
	return "", fmt.Errorf("%w: line %s has no address that can be dialled", ivr.ErrUnreachable, to.ID)
}

// Dial originates a channel. Asterisk puts it into our hands when it answers, and
// otherwise destroys it with the cause.
func (s *Switch) Dial(ctx context.Context, r ivr.DialRequest) (ivr.Leg, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	to, err := s.where(ctx, r.To)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.legs[r.LegID] != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("ari: leg %s is being dialled already", r.LegID)
	}
	l := s.newLeg(r.LegID)
	here := l.arrival()
	l.byNode = strings.HasPrefix(to, "PJSIP/"+nodes+"/")
	s.mu.Unlock()

	s.background(func() { s.originate(context.WithoutCancel(ctx), l, to, r) })
	ring := time.NewTimer(r.Ring)
	defer ring.Stop()
	select {
	case <-here:
		return l, nil
	case <-l.ctx.Done():
		return nil, l.unanswered()
	case <-ring.C:
		l.Hangup(ivr.NoAnswer)
		return nil, ivr.ErrNoAnswer
	case <-ctx.Done():
		l.Hangup(ivr.NormalClearing)
		return nil, context.Cause(ctx)
	}
}

// originate asks Asterisk to ring. Asterisk's own timer is the second to ring out:
// ours is exact, and also works when nothing gets through to Asterisk.
func (s *Switch) originate(ctx context.Context, l *leg, to string, r ivr.DialRequest) {
	const spare = 2 * time.Second
	err := s.client.do(ctx, command{
		method: "POST", path: path("channels", l.id),
		body: map[string]any{
			"endpoint": to,
			"app":      s.cfg.App, "appArgs": "out," + l.id,
			"callerId":  r.CallerID, // all that the line learns of us
			"timeout":   int((r.Ring + spare + time.Second - 1) / time.Second),
			"variables": variables(r),
		},
		confirm: path("channels", l.id),
	}, nil)
	if refused(err, 400, 500) {
		// "Allocation failed": there is no such endpoint, or no phone is registered.
		err = fmt.Errorf("%w: %w", ivr.ErrUnreachable, err)
	}
	if err != nil {
		l.abandon(err)
		return
	}
	s.mu.Lock()
	l.known = true
	givenUp := l.hungUp
	s.mu.Unlock()
	if givenUp {
		// The hang-up may have overtaken this command, and found nothing to end.
		s.hangup(l.id, ivr.NormalClearing)
	}
}

// variables are set on a channel before it rings: its timer and, for an app, headers of
// the INVITE. Their texts are percent-encoded: a header has no line ends in it.
func variables(r ivr.DialRequest) map[string]string {
	v := map[string]string{"TIMEOUT(absolute)": seconds(r.CutAfter)}
	if r.To.Kind != ivr.App {
		return v
	}
	for name, value := range map[string]string{
		"Kind": string(r.About.Kind), "Alias": r.About.Alias, "Topic": r.About.Topic,
		"Seconds": strconv.FormatInt(int64(r.About.Talk/time.Second), 10),
	} {
		if value != "" {
			v["PJSIP_HEADER(add,X-Parley-"+name+")"] = url.PathEscape(value)
		}
	}
	return v
}

// unanswered is why an originated channel ended before it answered.
func (l *leg) unanswered() error {
	why := context.Cause(l.ctx)
	departure, ok := why.(*ivr.Departure)
	if !ok {
		return why
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return fmt.Errorf("%w: %w", dialError(departure.Cause, l.sipStatus, l.byNode), departure)
}

// dialError explains why a channel did not answer: by the SIP status where there is
// one, since Asterisk gives 403, no right to call there, the cause of 603, declined. Another
// node's Asterisk does the same the other way round.
func dialError(cause ivr.Cause, status int, byNode bool) error {
	switch status {
	case 486, 600:
		return ivr.ErrBusy
	case 603:
		return ivr.ErrDeclined
	case 408, 480:
		return ivr.ErrNoAnswer
	case 403:
		if cause == ivr.CallRejected && byNode { // Asterisk's word for 603
			return ivr.ErrDeclined
		}
	case 0:
		switch cause {
		case ivr.UserBusy:
			return ivr.ErrBusy
		case ivr.CallRejected:
			return ivr.ErrDeclined
		case ivr.NoAnswer: // Asterisk's own ring time
			return ivr.ErrNoAnswer
		}
	}
	return ivr.ErrUnreachable
}
