// Package phone is the people who call and are called: SIP phones with real
// audio that dial, answer, key digits, make and hear tones, recognise prompts
// and hang up, or vanish. It is the only package that speaks SIP and RTP.
//
// A [Carrier] is the telephone network behind the trunk and has any number of
// phones; [Register] makes a phone that registers as an advisor's SIP line.
package phone

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Phone dials and is called. Its calls are independent of one another.
type Phone struct {
	agent    *agent
	user     string // user part of its own SIP address; a carrier's phone: the number without +
	name     string // what it gives as its number in From
	password string
	close    func() error

	registered *registration // nil for a carrier's phone

	mu       sync.Mutex
	policy   Policy
	codecs   []Codec
	keep     time.Duration
	incoming chan *Incoming
	answered chan *Call
}

// waitingCalls is how many calls may wait for [Phone.Accept] or
// [Phone.Answered]; a caller beyond that hears busy.
const waitingCalls = 64

// keepAudio holds the longest test call; a minute takes 1 MB.
const keepAudio = 15 * time.Minute

func newPhone(a *agent, user, name string) *Phone {
	return &Phone{
		agent:    a,
		user:     user,
		name:     name,
		codecs:   []Codec{ULaw, ALaw},
		keep:     keepAudio,
		incoming: make(chan *Incoming, waitingCalls),
		answered: make(chan *Call, waitingCalls),
	}
}

// Codecs sets what the phone offers and accepts on later calls, best first.
func (p *Phone) Codecs(codecs ...Codec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codecs = codecs
}

// KeepAudio sets how much of what a later call hears is kept: the last d, in
// whole seconds and at least two. Recognition needs no more than the prompt.
func (p *Phone) KeepAudio(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keep = d
}

// OnCall sets what the phone does by itself when called; nil leaves calls to
// [Phone.Accept] again.
func (p *Phone) OnCall(policy Policy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy = policy
}

// Accept waits for the next incoming call that no policy handles. The caller
// hears nothing until Ring, Answer or Reject.
func (p *Phone) Accept(ctx context.Context) (*Incoming, error) {
	select {
	case in := <-p.incoming:
		return in, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no call came in: %w", context.Cause(ctx))
	case <-p.agent.closed:
		return nil, errClosed
	}
}

// Answered waits for the next call that the phone's policy has answered.
func (p *Phone) Answered(ctx context.Context) (*Call, error) {
	select {
	case call := <-p.answered:
		return call, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("the phone answered no call: %w", context.Cause(ctx))
	case <-p.agent.closed:
		return nil, errClosed
	}
}

// Close switches the phone off: calls end with a BYE, a registration is taken
// back, and later callers find nobody.
func (p *Phone) Close() error { return p.close() }

var errClosed = errors.New("the phone is closed")

// Carrier is the telephone network: one SIP user agent on one address, by which
// the exchange knows the trunk.
type Carrier struct {
	agent *agent

	mu     sync.Mutex
	phones map[string]*Phone
	keep   time.Duration
}

// NewCarrier opens the network at addr (127.0.0.2:0 takes any port) in front of
// the exchange at asterisk. It lasts until ctx ends or [Carrier.Close].
func NewCarrier(ctx context.Context, addr, asterisk string) (*Carrier, error) {
	c := &Carrier{phones: make(map[string]*Phone), keep: keepAudio}
	var err error
	if c.agent, err = newAgent(ctx, addr, asterisk, c.find); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { c.Close() })
	return c, nil
}

// Addr is the network's SIP address, host:port: the trunk's contact.
func (c *Carrier) Addr() string { return c.agent.addr }

// KeepAudio sets [Phone.KeepAudio] of phones made from now on.
func (c *Carrier) KeepAudio(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep = d
}

// Phone returns the phone with this E.164 number, connecting it when it is new.
func (c *Carrier) Phone(number string) *Phone {
	c.mu.Lock()
	defer c.mu.Unlock()
	user := bare(number)
	p := c.phones[user]
	if p == nil {
		p = newPhone(c.agent, user, number)
		p.keep = c.keep
		p.close = func() error { return c.disconnect(p) }
		c.phones[user] = p
	}
	return p
}

// Close ends all calls with a BYE and closes the network.
func (c *Carrier) Close() error { return c.agent.close() }

func (c *Carrier) find(user string) *Phone {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phones[bare(user)]
}

func (c *Carrier) disconnect(p *Phone) error {
	c.mu.Lock()
	delete(c.phones, p.user)
	c.mu.Unlock()
	c.agent.hangupAll(func(call *Call) bool { return call.phone == p })
	return nil
}

// bare strips the + that exchanges write or leave out.
func bare(number string) string { return strings.TrimPrefix(number, "+") }
