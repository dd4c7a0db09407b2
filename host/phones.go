package host

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coder/websocket"
	ratelimit "golang.org/x/time/rate"
)

// The advisor's app is a phone: SIP over a websocket (RFC 7118). Asterisk speaks it on
// the server that ARI is on, which nobody else may reach; so the host passes messages
// on, whole ones, and nothing but them. Who it is, Asterisk asks by SIP's own digest.

const (
	phonesMost       = 1500 // of the 2000 connections that Asterisk's server takes; ARI needs some
	phonesPerAddress = 30   // advisors may share an office
	sipMost          = 16 << 10
	sipDialTakes     = 5 * time.Second
	sipWriteTakes    = 10 * time.Second
	sipPing          = 25 * time.Second // NAT forgets what is silent for 30
	sipPong          = 10 * time.Second
	sipPerSecond     = 20 // messages; a phone in a call sends a few a minute
	sipBurst         = 100
)

// phones are the connections of apps.
type phones struct {
	mu     sync.Mutex
	of     map[string]int // by address
	all    int
	ctx    context.Context
	hangUp context.CancelFunc // when the server stops: the app connects to the next one
}

func newPhones() *phones {
	ctx, cancel := context.WithCancel(context.Background())
	return &phones{of: map[string]int{}, ctx: ctx, hangUp: cancel}
}

// enter counts a connection of an address, if there may be one more.
func (p *phones) enter(address string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || p.all >= phonesMost || p.of[address] >= phonesPerAddress {
		return nil, false
	}
	p.all++
	p.of[address]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.of[address]--; p.of[address] == 0 {
			delete(p.of, address)
		}
	}, true
}

// phone is GET /ws.
func (h *Host) phone(w http.ResponseWriter, r *http.Request) {
	if h.Phones == "" || !websocketOf(r) {
		writeProblem(w, newProblem("no_route"))
		return
	}
	if !h.sameOrigin(r) {
		writeProblem(w, newProblem("not_allowed"))
		return
	}
	leave, ok := h.phones.enter(h.address(r))
	if !ok {
		writeProblem(w, tooMany(10*time.Second))
		return
	}
	defer leave()
	// Asterisk first: an app is not let in where nobody answers it.
	dial, cancel := context.WithTimeout(r.Context(), sipDialTakes)
	defer cancel()
	asterisk, _, err := websocket.Dial(dial, h.Phones, &websocket.DialOptions{Subprotocols: []string{"sip"}})
	if err != nil {
		h.Log.Warn("an app's phone does not reach Asterisk", "err", err)
		p := newProblem("unavailable")
		p.RetryAfter = 5
		writeProblem(w, p)
		return
	}
	defer asterisk.CloseNow()
	app, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols: []string{"sip"}, InsecureSkipVerify: true, // sameOrigin has looked
	})
	if err != nil {
		return // whoever asked has been told
	}
	defer app.CloseNow()
	why := relaySIP(h.phones.ctx, app, asterisk)
	h.Log.Debug("an app's phone has left", "why", why)
	_ = app.Close(websocket.StatusGoingAway, "")
	_ = asterisk.Close(websocket.StatusNormalClosure, "")
}

func websocketOf(r *http.Request) bool {
	return slices.Contains(r.Header["Sec-Websocket-Protocol"], "sip") && r.Header.Get("Upgrade") != ""
}

// sameOrigin says that a page of this host asks, and not a stranger's page in the
// browser of someone who may.
func (h *Host) sameOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" {
		return false
	}
	return origin.Host == r.Host || slices.Contains(h.Origins, origin.Scheme+"://"+origin.Host)
}

// relaySIP passes messages on in both directions until either side ends, falls silent
// or sends what no phone does.
func relaySIP(ctx context.Context, app, asterisk *websocket.Conn) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	app.SetReadLimit(sipMost)
	asterisk.SetReadLimit(4 * sipMost)
	var all sync.WaitGroup
	limit := ratelimit.NewLimiter(sipPerSecond, sipBurst)
	all.Go(func() { end(passOn(ctx, app, asterisk, limit)) })
	all.Go(func() { end(passOn(ctx, asterisk, app, ratelimit.NewLimiter(ratelimit.Inf, 0))) })
	for _, conn := range []*websocket.Conn{app, asterisk} {
		all.Go(func() { end(keepUp(ctx, conn)) })
	}
	all.Wait()
	return context.Cause(ctx)
}

func passOn(ctx context.Context, from, to *websocket.Conn, limit *ratelimit.Limiter) error {
	for {
		kind, message, err := from.Read(ctx)
		if err != nil {
			return err
		}
		if err := limit.Wait(ctx); err != nil { // who sends too much is read more slowly
			return err
		}
		write, cancel := context.WithTimeout(ctx, sipWriteTakes)
		err = to.Write(write, kind, message)
		cancel()
		if err != nil {
			return err
		}
	}
}

// keepUp pings, so that a side that vanished is noticed: a dead app is then rung no more.
func keepUp(ctx context.Context, conn *websocket.Conn) error {
	every := time.NewTicker(sipPing)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-every.C:
		}
		pong, cancel := context.WithTimeout(ctx, sipPong)
		err := conn.Ping(pong)
		cancel()
		if err != nil {
			return err
		}
	}
}
