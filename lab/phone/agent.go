package phone

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// farewell bounds the polite end (BYE, un-REGISTER) of what is being closed.
const farewell = 2 * time.Second

// agent is one SIP user agent on one UDP socket. It hands each message to the
// call that its Call-ID names.
type agent struct {
	ip, addr string // of the socket; addr with the port
	asterisk string // where requests outside a dialog go
	contact  sip.ContactHeader
	route    func(user string) *Phone

	socket net.PacketConn
	ua     *sipgo.UserAgent
	client *sipgo.Client

	closing sync.Once
	closed  chan struct{}

	mu     sync.Mutex
	calls  map[string]*Call  // by Call-ID
	traces map[string]*trace // by Call-ID
}

func newAgent(ctx context.Context, addr, asterisk string, route func(string) *Phone) (*agent, error) {
	socket, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return nil, fmt.Errorf("open SIP socket: %w", err)
	}
	// Hundreds of calls may begin or end at once; what overflows is sent again
	// only half a second later.
	socket.(*net.UDPConn).SetReadBuffer(1 << 20)
	local := socket.LocalAddr().(*net.UDPAddr)
	a := &agent{
		ip:       local.IP.String(),
		addr:     local.String(),
		asterisk: asterisk,
		contact:  sip.ContactHeader{Address: sip.Uri{Scheme: "sip", Host: local.IP.String(), Port: local.Port}},
		route:    route,
		socket:   socket,
		closed:   make(chan struct{}),
		calls:    make(map[string]*Call),
		traces:   make(map[string]*trace),
	}
	if err := a.start(ctx); err != nil {
		socket.Close()
		return nil, err
	}
	return a, nil
}

func (a *agent) start(ctx context.Context) error {
	// sipgo logs whole messages when it cannot use them; digits must not get out.
	quiet := slog.New(slog.DiscardHandler)
	var err error
	a.ua, err = sipgo.NewUA(
		sipgo.WithUserAgent("parley-phone"),
		sipgo.WithUserAgentTransportLayerOptions(
			sip.WithTransportLayerLogger(quiet), sip.WithTransportLayerReadFilter(a.record)),
		sipgo.WithUserAgentTransactionLayerOptions(
			sip.WithTransactionLayerLogger(quiet), sip.WithTransactionLayerUnhandledResponseHandler(func(*sip.Response) {})),
	)
	if err != nil {
		return fmt.Errorf("make SIP user agent: %w", err)
	}
	server, err := sipgo.NewServer(a.ua, sipgo.WithServerLogger(quiet))
	if err != nil {
		return fmt.Errorf("make SIP server: %w", err)
	}
	server.OnInvite(a.onInvite)
	server.OnAck(a.onAck)
	server.OnBye(a.onBye)
	server.OnCancel(a.onStrayCancel)
	server.OnInfo(a.onInfo)
	server.OnUpdate(a.onUpdate)
	server.OnOptions(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, sip.StatusOK) })
	server.OnNoRoute(func(req *sip.Request, tx sip.ServerTransaction) { respond(req, tx, sip.StatusMethodNotAllowed) })
	// All requests leave from the listening socket: the exchange knows the trunk by its address.
	a.client, err = sipgo.NewClient(a.ua, sipgo.WithClientLogger(quiet),
		sipgo.WithClientAddr(a.addr), sipgo.WithClientConnectionAddr(a.addr))
	if err != nil {
		return fmt.Errorf("make SIP client: %w", err)
	}
	go server.ServeUDP(a.socket)
	return a.listening(ctx)
}

// listening waits until sipgo has taken the socket over, which it does not
// announce: a request sent before that would make it bind the address again.
func (a *agent) listening(ctx context.Context) error {
	for {
		if _, err := a.ua.TransportLayer().GetConnection("udp", a.addr); err == nil {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("start SIP user agent: %w", context.Cause(ctx))
		}
	}
}

// close ends all calls, then the user agent.
func (a *agent) close() error {
	a.closing.Do(func() {
		close(a.closed)
		a.hangupAll(func(*Call) bool { return true })
		a.socket.Close()
		a.ua.Close()
	})
	return nil
}

func (a *agent) hangupAll(which func(*Call) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	var ending sync.WaitGroup
	a.mu.Lock()
	for _, call := range a.calls {
		if which(call) {
			ending.Go(func() { call.leave(ctx) })
		}
	}
	a.mu.Unlock()
	ending.Wait()
}

// adopt makes the call known under its Call-ID.
func (a *agent) adopt(call *Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls[call.id] = call
	if a.traces[call.id] == nil {
		a.traces[call.id] = new(trace)
	}
	call.trace = a.traces[call.id]
}

func (a *agent) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.calls, id)
	delete(a.traces, id)
}

func (a *agent) call(req *sip.Request) *Call {
	if req.CallID() == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls[req.CallID().Value()]
}

// trace is every message that one call received, as it was on the wire.
type trace struct {
	mu       sync.Mutex
	messages []string
}

func (t *trace) add(message []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages = append(t.messages, string(message))
}

func (t *trace) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.messages...)
}

// record sees each datagram before it is parsed. An INVITE begins a trace, since
// its call does not exist yet.
func (a *agent) record(_ sip.TransportReadProps, message []byte) ([]byte, error) {
	id := callID(message)
	if id == "" {
		return message, nil
	}
	a.mu.Lock()
	t := a.traces[id]
	if t == nil && bytes.HasPrefix(message, []byte("INVITE ")) {
		t = new(trace)
		a.traces[id] = t
	}
	a.mu.Unlock()
	if t != nil {
		t.add(message)
	}
	return message, nil
}

// callID finds the Call-ID header, also in its compact form (RFC 3261 7.3.3).
func callID(message []byte) string {
	for line := range bytes.Lines(message) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		name = bytes.TrimSpace(name)
		if len(name) == 0 {
			return ""
		}
		if bytes.EqualFold(name, []byte("Call-ID")) || bytes.EqualFold(name, []byte("i")) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// reasons are the phrases of the responses that phones give.
var reasons = map[int]string{
	180: "Ringing", 200: "OK", 404: "Not Found", 405: "Method Not Allowed", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 486: "Busy Here", 487: "Request Terminated",
	488: "Not Acceptable Here", 503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}

func reason(status int) string {
	if text := reasons[status]; text != "" {
		return text
	}
	return "Refused"
}

// respond answers a request that needs no more than a status. A lost response
// is the sender's to notice: it repeats the request.
func respond(req *sip.Request, tx sip.ServerTransaction, status int) {
	tx.Respond(sip.NewResponseFromRequest(req, status, reason(status), nil))
}
