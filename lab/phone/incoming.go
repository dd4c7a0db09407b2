package phone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Incoming is a call that waits to be answered.
type Incoming struct {
	call *Call
	req  *sip.Request // the INVITE, its To tagged as ours
	tx   sip.ServerTransaction

	mu      sync.Mutex
	decided bool          // answered, refused, ignored or cancelled
	settled chan struct{} // the INVITE needs nothing more
}

// ErrOver is the error of answering a call that is over: cancelled, or decided before.
var ErrOver = errors.New("the call is over")

// From is the user part of the caller's address: the number the phone shows.
func (in *Incoming) From() string { return in.req.From().Address.User }

// DisplayName is the caller's name as sent; empty when there is none.
func (in *Incoming) DisplayName() string { return in.req.From().DisplayName }

// Called is the number or user that was called.
func (in *Incoming) Called() string { return in.req.Recipient.User }

// Header is the first header of that name in the INVITE; empty when there is none.
func (in *Incoming) Header(name string) string {
	if h := in.req.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// Messages is [Call.Messages].
func (in *Incoming) Messages() []string { return in.call.Messages() }

// Ended is closed when the caller gives up, or the call ends otherwise.
func (in *Incoming) Ended() <-chan struct{} { return in.call.Ended() }

// EndReason is [Call.EndReason].
func (in *Incoming) EndReason() End { return in.call.EndReason() }

// Ring tells the caller that the phone rings.
func (in *Incoming) Ring() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.decided {
		return ErrOver
	}
	return in.tx.Respond(in.response(sip.StatusRinging))
}

// Answer takes the call and waits until the caller has confirmed it.
func (in *Incoming) Answer(ctx context.Context) (*Call, error) {
	if !in.decide() {
		return nil, ErrOver
	}
	defer close(in.settled)
	call := in.call
	res := in.response(sip.StatusOK)
	res.AppendHeader(sip.NewHeader("Allow", allowed))
	setSession(res, call.media.session())
	call.answeredNow()
	call.media.start()
	err := call.confirmed(ctx, in.tx, res)
	if err != nil && !errors.Is(err, ErrOver) {
		call.finish(End{By: Unconfirmed})
		bye, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer stop()
		call.agent.client.Do(bye, call.request(sip.BYE))
		call.agent.forget(call.id)
	}
	if err != nil {
		return nil, err
	}
	return call, nil
}

// Reject refuses the call with a SIP status: 486 busy, 603 declined, 480
// unavailable, 404 unknown.
func (in *Incoming) Reject(status int) error {
	if !in.decide() {
		return ErrOver
	}
	defer close(in.settled)
	in.call.agent.forget(in.call.id)
	in.call.finish(End{By: Refused})
	return in.tx.Respond(in.response(status))
}

// ignore leaves the caller without any response, as a phone without power does.
func (in *Incoming) ignore() {
	if in.decide() {
		in.call.Vanish()
		close(in.settled)
	}
}

func (in *Incoming) decide() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.decided {
		return false
	}
	in.decided = true
	return true
}

func (in *Incoming) cancelled(cancel *sip.Request) {
	if in.decide() {
		defer close(in.settled)
	}
	in.call.agent.forget(in.call.id)
	in.call.finish(endBy(RemoteCancel, cancel))
}

func (in *Incoming) response(status int) *sip.Response {
	res := sip.NewResponseFromRequest(in.req, status, reason(status), nil)
	contact := in.call.agent.contact
	res.AppendHeader(&contact)
	return res
}

// confirmed sends a 2xx and repeats it until the ACK comes (RFC 3261 13.3.1.4:
// first after T1, then at twice the interval up to T2, for 64 times T1).
func (c *Call) confirmed(ctx context.Context, tx sip.ServerTransaction, res *sip.Response) error {
	select {
	case <-c.acks:
	default:
	}
	deadline := time.After(64 * sip.T1)
	for interval := sip.T1; ; interval = min(2*interval, sip.T2) {
		if err := tx.Respond(res); err != nil {
			return fmt.Errorf("send 200: %w", err)
		}
		select {
		case <-c.acks:
			return nil
		case <-time.After(interval):
		case <-c.ended:
			return ErrOver
		case <-deadline:
			return errors.New("the answer was never confirmed (no ACK)")
		case <-ctx.Done():
			return fmt.Errorf("the answer was not confirmed (no ACK): %w", context.Cause(ctx))
		}
	}
}

// onInvite runs for as long as the call is undecided: sipgo drops a transaction
// whose handler returns without a final response.
func (a *agent) onInvite(req *sip.Request, tx sip.ServerTransaction) {
	if req.To().Params.Has("tag") {
		a.onReinvite(req, tx)
		return
	}
	if call := a.call(req); call != nil {
		if !call.gone() {
			respond(req, tx, sip.StatusLoopDetected)
		}
		return
	}
	status := sip.StatusNotFound
	var in *Incoming
	if p := a.route(req.Recipient.User); p != nil {
		in, status = p.receive(req, tx)
	}
	if in == nil {
		a.forget(req.CallID().Value())
		respond(req, tx, status)
		return
	}
	if !tx.OnCancel(in.cancelled) {
		in.cancelled(req)
		return
	}
	in.call.phone.handle(in)
	select {
	case <-in.settled:
	case <-tx.Done():
	}
}

// receive makes the leg of an INVITE, or tells the status to refuse it with.
func (p *Phone) receive(req *sip.Request, tx sip.ServerTransaction) (*Incoming, int) {
	call, err := p.newCall(req.CallID().Value())
	if err != nil {
		return nil, sip.StatusServiceUnavailable
	}
	remote, err := parseSession(req.Body(), call.media.codecs)
	if err != nil || req.Contact() == nil {
		call.media.close()
		return nil, sip.StatusNotAcceptableHere
	}
	call.media.connect(remote)

	// The transaction keeps reading its own request: only a copy may be tagged.
	tagged := req.Clone()
	tagged.To().Params.Add("tag", sip.GenerateTagN(16))
	call.local, call.remote = tagged.To().AsFrom(), tagged.From().AsTo()
	call.target = *req.Contact().Address.Clone()
	call.dest, call.routes = req.Source(), routesOf(req)
	call.incoming = &Incoming{call: call, req: tagged, tx: tx, settled: make(chan struct{})}
	p.agent.adopt(call)
	return call.incoming, 0
}

// handle gives the call to the phone's policy, or to whoever accepts it.
func (p *Phone) handle(in *Incoming) {
	p.mu.Lock()
	policy := p.policy
	p.mu.Unlock()
	if policy != nil {
		policy(in)
		return
	}
	select {
	case p.incoming <- in:
	default:
		in.Reject(sip.StatusBusyHere)
	}
}

// onReinvite agrees to a session refresh or a changed session in a call.
func (a *agent) onReinvite(req *sip.Request, tx sip.ServerTransaction) {
	call, ok := a.within(req, tx)
	if !ok {
		return
	}
	call.refresh(req.Contact())
	// A peer that never confirms will notice by itself; the call is not ours to end.
	call.confirmed(context.Background(), tx, call.agree(req, true))
}
