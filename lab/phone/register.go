package phone

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// registrationTime is how long a registration is asked to last; it is renewed
// after half of it, and soon again when that fails.
const (
	registrationTime = 120 * time.Second
	retryTime        = 5 * time.Second
)

// registration keeps a phone's address known at the exchange (RFC 3261 10.2).
type registration struct {
	phone    *Phone
	id       string
	sequence uint32
	contact  sip.ContactHeader
	stop     context.CancelFunc
	stopped  chan struct{}

	mu  sync.Mutex
	off bool // taken back
}

// Register makes a SIP phone that registers with the exchange as user, on a
// socket of its own at bindAddr (127.0.0.1:0 takes any port). It stays
// registered until ctx ends, [Phone.Unregister] or [Phone.Close].
func Register(ctx context.Context, bindAddr, asterisk, user, password string) (*Phone, error) {
	var p *Phone
	ready := make(chan struct{})
	a, err := newAgent(ctx, bindAddr, asterisk, func(string) *Phone {
		<-ready
		return p
	})
	if err != nil {
		return nil, err
	}
	p = newPhone(a, user, user)
	p.password = password
	a.contact.Address.User = user
	close(ready)

	refreshing, stop := context.WithCancel(ctx)
	r := &registration{phone: p, id: sip.GenerateTagN(24), contact: a.contact, stop: stop, stopped: make(chan struct{})}
	p.registered = r
	if err := r.send(ctx, registrationTime); err != nil {
		stop()
		a.close()
		return nil, err
	}
	go r.refresh(refreshing)
	p.close = func() error {
		farewell, cancel := context.WithTimeout(context.Background(), farewell)
		defer cancel()
		err := p.Unregister(farewell)
		a.close()
		return err
	}
	context.AfterFunc(ctx, func() { p.Close() })
	return p, nil
}

// Unregister takes the registration back: the exchange no longer reaches the
// phone, calls that are up go on.
func (p *Phone) Unregister(ctx context.Context) error {
	r := p.registered
	if r == nil {
		return fmt.Errorf("a carrier's phone is not registered")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stop()
	<-r.stopped
	if r.off {
		return nil
	}
	r.off = true
	return r.send(ctx, 0)
}

func (r *registration) refresh(ctx context.Context) {
	defer close(r.stopped)
	wait := registrationTime / 2
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = registrationTime / 2
		if r.send(ctx, registrationTime) != nil {
			wait = retryTime
		}
	}
}

// send registers for a time, or ends the registration when that is zero.
func (r *registration) send(ctx context.Context, lasting time.Duration) error {
	a := r.phone.agent
	registrar, err := exchange(a.asterisk, "")
	if err != nil {
		return err
	}
	self := registrar
	self.User = r.phone.user
	req := sip.NewRequest(sip.REGISTER, registrar)
	from, id, expires := sip.FromHeader{Address: self}, sip.CallIDHeader(r.id), sip.ExpiresHeader(lasting/time.Second)
	from.Params.Add("tag", sip.GenerateTagN(16))
	r.sequence++
	contact := r.contact
	for _, h := range []sip.Header{&from, &sip.ToHeader{Address: self}, &id,
		&sip.CSeqHeader{SeqNo: r.sequence, MethodName: sip.REGISTER}, &contact, &expires} {
		req.AppendHeader(h)
	}
	req.SetTransport("UDP")
	req.SetDestination(a.asterisk)

	res, err := a.client.Do(ctx, req)
	if err == nil && (res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired) {
		auth := sipgo.DigestAuth{Username: r.phone.user, Password: r.phone.password}
		res, err = a.client.DoDigestAuth(ctx, req, res, auth)
		r.sequence = req.CSeq().SeqNo
	}
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if !res.IsSuccess() {
		return fmt.Errorf("register: the exchange answered %d %s", res.StatusCode, res.Reason)
	}
	return nil
}
