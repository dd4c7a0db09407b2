package ari

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"parley/ivr"
)

// probeTakes bounds a probe: a call that Asterisk makes to itself takes milliseconds.
const probeTakes = 5 * time.Second

// Probe sees whether Asterisk takes and makes calls, which an answer to a command does not
// say: it has Asterisk call its own SIP port, where nobody is known by that name, and waits
// for the refusal. That goes through all that a call does, both ways, up to the dialplan.
func (s *Switch) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTakes, fmt.Errorf("ari: no refusal in %v", probeTakes))
	defer cancel()
	where, err := s.sipAddress(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	l := s.newLeg(newName("probe-"))
	here := l.arrival()
	s.mu.Unlock()
	s.background(func() {
		s.originate(context.WithoutCancel(ctx), l, "PJSIP/"+s.cfg.Trunk+"/sip:probe@"+where,
			ivr.DialRequest{CallerID: "probe", Ring: probeTakes, CutAfter: 2 * probeTakes})
	})
	select {
	case <-l.ctx.Done():
	case <-here:
		err = fmt.Errorf("ari: who is not known was answered")
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	l.Hangup(ivr.NormalClearing)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && l.sipStatus == 0 {
		err = fmt.Errorf("ari: Asterisk's call to itself came to nothing: %w", context.Cause(l.ctx))
	}
	return err
}

// sipAddress is where Asterisk listens for SIP over UDP, as it is reached from itself.
func (s *Switch) sipAddress(ctx context.Context) (string, error) {
	var set []struct{ Attribute, Value string }
	err := s.client.do(ctx, command{method: http.MethodGet, path: path("asterisk", "config", "dynamic", "res_pjsip", "transport", "udp")}, &set)
	if err != nil {
		return "", err
	}
	for _, a := range set {
		if a.Attribute != "bind" {
			continue
		}
		host, port, err := net.SplitHostPort(a.Value)
		if err != nil {
			host, port = a.Value, ""
		}
		if strings.HasPrefix(host, "0.0.0.0") {
			host = "127.0.0.1"
		}
		return net.JoinHostPort(host, cmp.Or(port, "5060")), nil
	}
	return "", fmt.Errorf("ari: the transport udp has no address")
}
