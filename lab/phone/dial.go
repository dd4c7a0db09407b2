package phone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// DialOption changes what a caller shows of itself.
type DialOption func(*showing)

// showing is what a call's INVITE says about the caller.
type showing struct {
	name       string
	user, host string
	headers    []sip.Header
}

// Withheld hides the caller's number as networks do (RFC 3323): an anonymous
// From and Privacy: id.
func Withheld() DialOption {
	return func(s *showing) {
		s.name, s.user, s.host = "Anonymous", "anonymous", "anonymous.invalid"
		s.headers = append(s.headers, sip.NewHeader("Privacy", "id"))
	}
}

// CallerNumber shows another number than the phone's own: a spoofed one, say.
func CallerNumber(number string) DialOption {
	return func(s *showing) { s.user = number }
}

// DisplayName shows a name beside the number; any text, also a hostile one.
func DisplayName(name string) DialOption {
	return func(s *showing) { s.name = quoted.Replace(name) }
}

// Header adds a header to the INVITE.
func Header(name, value string) DialOption {
	return func(s *showing) { s.headers = append(s.headers, sip.NewHeader(name, value)) }
}

// quoted escapes for a quoted-string, where line ends cannot be (RFC 3261 25.1).
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\r", " ", "\n", " ")

// Rejected is the error of a call that was answered with a failure.
type Rejected struct {
	Status    int      // SIP status
	Reason    string   // its phrase
	Q850Cause int      // from a Reason header, zero when there was none
	Messages  []string // all that was received
}

func (r *Rejected) Error() string {
	if r.Q850Cause != 0 {
		return fmt.Sprintf("call rejected: %d %s (Q.850 cause %d)", r.Status, r.Reason, r.Q850Cause)
	}
	return fmt.Sprintf("call rejected: %d %s", r.Status, r.Reason)
}

// Dial calls a number and waits until it is answered; a failure response is a
// [*Rejected]. When ctx ends first the call is cancelled; after that ctx has no
// more say.
func (p *Phone) Dial(ctx context.Context, number string, opts ...DialOption) (*Call, error) {
	show := showing{user: p.name, host: p.agent.ip}
	for _, opt := range opts {
		opt(&show)
	}
	target, err := exchange(p.agent.asterisk, number)
	if err != nil {
		return nil, err
	}
	call, err := p.newCall(sip.GenerateTagN(24) + "@" + p.agent.ip)
	if err != nil {
		return nil, err
	}
	ctx, call.giveUp = context.WithCancelCause(ctx)
	defer call.giveUp(nil)
	call.dest = p.agent.asterisk
	call.local = sip.FromHeader{DisplayName: show.name, Address: sip.Uri{Scheme: "sip", User: show.user, Host: show.host}}
	call.local.Params.Add("tag", sip.GenerateTagN(16))
	call.target, call.remote = target, sip.ToHeader{Address: target}
	p.agent.adopt(call)

	req := call.request(sip.INVITE)
	req.AppendHeader(sip.NewHeader("Allow", allowed))
	for _, h := range show.headers {
		req.AppendHeader(h)
	}
	setSession(req, call.media.session())
	if err := call.invite(ctx, req); err != nil {
		call.finish(End{By: NotAnswered})
		p.agent.forget(call.id)
		return nil, err
	}
	return call, nil
}

const allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE"

// exchange is the SIP address of a user at the exchange.
func exchange(asterisk, user string) (sip.Uri, error) {
	host, port, err := sip.ParseAddr(asterisk)
	if err != nil {
		return sip.Uri{}, fmt.Errorf("the exchange's address must be host:port: %w", err)
	}
	return sip.Uri{Scheme: "sip", User: user, Host: host, Port: port}, nil
}

// cancelWait is how long a cancelled INVITE may take to end (T1 * 4): beyond
// that the peer is taken for dead.
const cancelWait = 2 * time.Second

// invite sends the INVITE and sees it through to the first final response.
func (c *Call) invite(ctx context.Context, req *sip.Request) error {
	client := c.agent.client
	tx, err := client.TransactionRequest(context.WithoutCancel(ctx), req)
	if err != nil {
		return fmt.Errorf("send INVITE: %w", err)
	}
	giveUp := ctx.Done()
	var deadline <-chan time.Time
	var provisional, cancelled, authorised bool
	for {
		select {
		case res := <-tx.Responses():
			switch {
			case res.IsProvisional():
				provisional = true
				c.earlyMedia(res)
			case res.IsSuccess():
				return c.established(ctx, tx, res)
			case c.challenged(res) && !authorised && ctx.Err() == nil:
				authorised = true
				auth := sipgo.DigestAuth{Username: c.phone.user, Password: c.phone.password}
				if tx, err = client.TransactionDigestAuth(context.WithoutCancel(ctx), req, res, auth); err != nil {
					return fmt.Errorf("send INVITE with credentials: %w", err)
				}
				c.setSequence(req.CSeq().SeqNo)
			case ctx.Err() != nil:
				return givenUp(ctx)
			default:
				return c.rejected(res)
			}
		case <-giveUp:
			giveUp, deadline = nil, time.After(cancelWait)
		case <-deadline:
			tx.Terminate()
			return givenUp(ctx)
		case <-tx.Done():
			return fmt.Errorf("no answer to INVITE: %w", tx.Err())
		}
		// A CANCEL may follow only a provisional response (RFC 3261 9.1).
		if provisional && !cancelled && ctx.Err() != nil {
			cancelled = true
			go c.cancel(req)
		}
	}
}

func givenUp(ctx context.Context) error {
	return fmt.Errorf("gave up before the call was answered: %w", context.Cause(ctx))
}

func (c *Call) challenged(res *sip.Response) bool {
	return c.phone.password != "" &&
		(res.StatusCode == sip.StatusUnauthorized || res.StatusCode == sip.StatusProxyAuthRequired)
}

func (c *Call) setSequence(n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cseq = n
}

func (c *Call) rejected(res *sip.Response) *Rejected {
	r := &Rejected{Status: res.StatusCode, Reason: res.Reason, Messages: c.Messages()}
	if h := res.GetHeader("Reason"); h != nil {
		r.Q850Cause = cause(h.Value())
	}
	return r
}

// earlyMedia lets what is played before the answer be heard (a 183 with SDP).
func (c *Call) earlyMedia(res *sip.Response) {
	if remote, err := parseSession(res.Body(), c.media.codecs); err == nil {
		c.media.connect(remote)
		c.media.start()
	}
}

// established confirms the answer. One that ctx no longer waits for is hung up
// at once: the CANCEL crossed it.
func (c *Call) established(ctx context.Context, tx sip.ClientTransaction, res *sip.Response) error {
	c.refresh(res.Contact())
	c.mu.Lock()
	c.remote = *sip.HeaderClone(res.To()).(*sip.ToHeader)
	c.routes = routesOf(res)
	slices.Reverse(c.routes)
	c.mu.Unlock()

	ack := c.request(sip.ACK)
	if err := c.agent.client.WriteRequest(ack); err != nil {
		return fmt.Errorf("send ACK: %w", err)
	}
	// A repeated 200 says that the ACK was lost (RFC 3261 13.2.2.4).
	again := ack.Clone()
	tx.OnRetransmission(func(*sip.Response) {
		if !c.gone() {
			c.agent.client.WriteRequest(again.Clone())
		}
	})
	remote, err := parseSession(res.Body(), c.media.codecs)
	if err == nil {
		c.media.connect(remote)
		c.media.start()
		c.answeredNow()
		if ctx.Err() == nil {
			return nil
		}
		err = givenUp(ctx)
	}
	bye, stop := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer stop()
	return errors.Join(err, c.Hangup(bye))
}

// cancel takes the INVITE back: its own top Via and sequence number (RFC 3261 9.1).
func (c *Call) cancel(invite *sip.Request) {
	req := sip.NewRequest(sip.CANCEL, *invite.Recipient.Clone())
	for _, h := range []sip.Header{invite.Via(), invite.From(), invite.To(), invite.CallID()} {
		req.AppendHeader(sip.HeaderClone(h))
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
	req.SetTransport("UDP")
	req.SetDestination(c.dest)
	ctx, stop := context.WithTimeout(context.Background(), cancelWait)
	defer stop()
	// Whether the CANCEL came too late shows in the INVITE's own final response.
	c.agent.client.Do(ctx, req)
}
