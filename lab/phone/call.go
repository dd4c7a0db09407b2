package phone

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Call is one leg as its phone has it: from INVITE to BYE.
type Call struct {
	phone *Phone
	agent *agent
	id    string // Call-ID
	trace *trace
	media *media

	local sip.FromHeader // From of our requests, with our tag
	dest  string         // where our requests go: the peer's host:port
	acks  chan struct{}  // an ACK has come for what we answered

	ended chan struct{}

	incoming *Incoming               // the INVITE, when the phone was called
	giveUp   context.CancelCauseFunc // ends the dialling, when the phone calls

	mu         sync.Mutex
	remote     sip.ToHeader // To of our requests; tagged once the peer has answered
	target     sip.Uri      // the peer's Contact
	routes     []string     // the proxies that want to see our requests, the nearest first
	cseq       uint32       // of our last request
	vanished   bool
	answeredAt time.Time
	endedAt    time.Time
	end        End
	heard      int // sample after the last prompt that Hear found
}

// By says how a call ended.
type By string

const (
	HungUp       By = "hung up here"
	RemoteBye    By = "BYE"
	RemoteCancel By = "CANCEL"
	Refused      By = "refused here"
	NotAnswered  By = "not answered there"
	Unconfirmed  By = "no ACK" // our 200 was never confirmed
	Lost         By = "vanished"
)

// End is why a call ended. Cause is the Q.850 cause that a Reason header gave
// (RFC 3326), zero when there was none; Reason is that header's text.
type End struct {
	By     By
	Cause  int
	Reason string
}

func (p *Phone) newCall(id string) (*Call, error) {
	p.mu.Lock()
	codecs, keep := p.codecs, p.keep
	p.mu.Unlock()
	m, err := newMedia(p.agent.ip, codecs, keep)
	if err != nil {
		return nil, err
	}
	return &Call{
		phone: p,
		agent: p.agent,
		id:    id,
		trace: new(trace),
		media: m,
		acks:  make(chan struct{}, 1),
		ended: make(chan struct{}),
	}, nil
}

// Ended is closed when the call is over.
func (c *Call) Ended() <-chan struct{} { return c.ended }

// EndReason tells how the call ended; zero while it lasts.
func (c *Call) EndReason() End {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// AnsweredAt is when the 200 was received, or sent.
func (c *Call) AnsweredAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.answeredAt
}

// EndedAt is when the call ended; zero while it lasts.
func (c *Call) EndedAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.endedAt
}

// LastRTPAt is when the last audio or digit packet was received.
func (c *Call) LastRTPAt() time.Time { return c.media.ear.lastArrival() }

// Loses has one in so many packets that the phone sends get lost on its way; 0: none.
func (c *Call) Loses(oneIn int) {
	c.media.mu.Lock()
	defer c.media.mu.Unlock()
	c.media.loses = oneIn
}

// Misses has one in so many packets that are sent to the phone get lost on their way; 0:
// none. The phone reports it, as it does all that it hears.
func (c *Call) Misses(oneIn int) { c.media.misses.Store(uint32(oneIn)) }

// FarAway has the phone's reports take so much longer on their way.
func (c *Call) FarAway(d time.Duration) {
	c.media.mu.Lock()
	defer c.media.mu.Unlock()
	c.media.far = d
}

// AwaitSound waits until the other side has sent sound. A key that is pressed before that
// may be lost: on a busy machine the exchange has not learned yet where this phone sends
// from, and passes over packets that come in a burst (Asterisk's strictrtp).
func (c *Call) AwaitSound(ctx context.Context) error {
	if err := c.media.ear.awaitSample(ctx, 1); err != nil {
		return fmt.Errorf("nothing is heard: %w", err)
	}
	return nil
}

// Messages returns every SIP message received on this leg, requests and
// responses as they were on the wire, SDP included.
func (c *Call) Messages() []string { return c.trace.all() }

// Hangup ends the call with a BYE and waits until it is confirmed. It is
// harmless when the call is over.
func (c *Call) Hangup(ctx context.Context) error {
	if !c.finish(End{By: HungUp}) {
		return nil
	}
	defer c.agent.forget(c.id)
	res, err := c.agent.client.Do(ctx, c.request(sip.BYE))
	if err != nil {
		return fmt.Errorf("hang up: BYE not confirmed: %w", err)
	}
	// 481: the peer's BYE crossed ours.
	if !res.IsSuccess() && res.StatusCode != sip.StatusCallTransactionDoesNotExists {
		return fmt.Errorf("hang up: BYE answered %d %s", res.StatusCode, res.Reason)
	}
	return nil
}

// Vanish makes the phone dead to this call: no audio, no BYE, no answer to
// anything more. Its ports stay taken, as a network that swallows packets.
func (c *Call) Vanish() {
	c.mu.Lock()
	c.vanished = true
	c.mu.Unlock()
	c.finish(End{By: Lost})
}

// leave ends the call however far it is; used when the phone is closed.
func (c *Call) leave(ctx context.Context) {
	switch {
	case c.gone():
	case !c.AnsweredAt().IsZero():
		c.Hangup(ctx)
	case c.incoming != nil:
		c.incoming.Reject(sip.StatusTemporarilyUnavailable)
	default:
		c.giveUp(errClosed)
		select {
		case <-c.ended:
		case <-ctx.Done():
		}
	}
	c.finish(End{By: HungUp})
	c.media.close()
	c.agent.forget(c.id)
}

// finish marks the call over; false when it was over already.
func (c *Call) finish(end End) bool {
	c.mu.Lock()
	if !c.endedAt.IsZero() {
		c.mu.Unlock()
		return false
	}
	c.endedAt, c.end = time.Now(), end
	vanished := c.vanished
	c.mu.Unlock()
	if vanished {
		c.media.mute()
	} else {
		c.media.close()
	}
	close(c.ended)
	return true
}

func (c *Call) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.vanished
}

func (c *Call) answeredNow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answeredAt = time.Now()
}

// request makes the next request of this leg's dialog (RFC 3261 12.2.1.1). An
// ACK takes the number of the INVITE that it confirms.
func (c *Call) request(method sip.RequestMethod) *sip.Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	if method != sip.ACK {
		c.cseq++
	}
	req := sip.NewRequest(method, *c.target.Clone())
	from, to, id, contact := c.local, c.remote, sip.CallIDHeader(c.id), c.agent.contact
	from.Params, to.Params = from.Params.Clone(), to.Params.Clone()
	req.AppendHeader(&from)
	req.AppendHeader(&to)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: c.cseq, MethodName: method})
	req.AppendHeader(&contact)
	for _, route := range c.routes {
		req.AppendHeader(sip.NewHeader("Route", route))
	}
	req.SetTransport("UDP")
	req.SetDestination(c.dest)
	return req
}

// routesOf are the proxies that a message has come by, in its order (RFC 3261 12.1).
func routesOf(m sip.Message) (routes []string) {
	for _, h := range m.GetHeaders("Record-Route") {
		routes = append(routes, h.Value())
	}
	return routes
}

// refresh takes the peer's new Contact, if it gives one (RFC 3261 12.2).
func (c *Call) refresh(contact *sip.ContactHeader) {
	if contact == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = *contact.Address.Clone()
}

func (a *agent) onAck(req *sip.Request, _ sip.ServerTransaction) {
	if call := a.call(req); call != nil {
		select {
		case call.acks <- struct{}{}:
		default:
		}
	}
}

// within finds the call that a request belongs to. Where there is none it says
// so; where the phone has vanished nothing is said.
func (a *agent) within(req *sip.Request, tx sip.ServerTransaction) (*Call, bool) {
	call := a.call(req)
	if call == nil {
		respond(req, tx, sip.StatusCallTransactionDoesNotExists)
		return nil, false
	}
	return call, !call.gone()
}

func (a *agent) onBye(req *sip.Request, tx sip.ServerTransaction) {
	call, ok := a.within(req, tx)
	if !ok {
		return
	}
	respond(req, tx, sip.StatusOK)
	a.forget(call.id)
	call.finish(endBy(RemoteBye, req))
}

// onStrayCancel gets the CANCELs whose INVITE is no longer open (RFC 3261 9.2).
func (a *agent) onStrayCancel(req *sip.Request, tx sip.ServerTransaction) {
	if _, ok := a.within(req, tx); ok {
		respond(req, tx, sip.StatusOK)
	}
}

// onUpdate agrees to a session refresh (RFC 4028) or to a changed address.
func (a *agent) onUpdate(req *sip.Request, tx sip.ServerTransaction) {
	call, ok := a.within(req, tx)
	if !ok {
		return
	}
	call.refresh(req.Contact())
	tx.Respond(call.agree(req, len(req.Body()) > 0))
}

// agree makes the 200 to a re-INVITE or UPDATE: the session stays as it was.
func (c *Call) agree(req *sip.Request, withSession bool) *sip.Response {
	if remote, err := parseSession(req.Body(), c.media.codecs); err == nil {
		c.media.connect(remote)
	}
	res := sip.NewResponseFromRequest(req, sip.StatusOK, reason(sip.StatusOK), nil)
	contact := c.agent.contact
	res.AppendHeader(&contact)
	if withSession {
		setSession(res, c.media.session())
	}
	return res
}

// onInfo takes a digit sent by SIP INFO.
func (a *agent) onInfo(req *sip.Request, tx sip.ServerTransaction) {
	call, ok := a.within(req, tx)
	if !ok {
		return
	}
	if digit, ok := infoDigit(req.Body()); ok {
		call.media.ear.addDigit(digit)
	}
	respond(req, tx, sip.StatusOK)
}

var q850 = regexp.MustCompile(`(?i)Q\.850\s*;.*?cause=(\d+)`)

// cause reads the Q.850 cause of a Reason header (RFC 3326).
func cause(reason string) int {
	if m := q850.FindStringSubmatch(reason); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

func endBy(by By, req *sip.Request) End {
	end := End{By: by}
	if h := req.GetHeader("Reason"); h != nil {
		end.Reason = h.Value()
		end.Cause = cause(end.Reason)
	}
	return end
}
