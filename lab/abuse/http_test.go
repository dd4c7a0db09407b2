package abuse

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"parley/host/client"
)

// address is the program's HTTP server.
func address() string { return strings.TrimPrefix(shared.URL, "http://") }

// Connections that send a byte now and then, or nothing, are ended; others are served
// meanwhile as if they were not there.
func TestSlowClients(t *testing.T) {
	s := newScene(t)
	slow, c := s.newCaller("Slow", 10_00), s.newCaller("Served", 10_00)
	conns := make([]net.Conn, amount(300, 3000))
	for i := range conns {
		var err error
		conns[i], err = (&net.Dialer{}).DialContext(s.ctx, "tcp", address())
		s.must(err)
		defer conns[i].Close()
		head := "POST /v1/talk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + slow.session.Token + "\r\n"
		sent := []string{"", "POST /v1/ta", head, head + "Content-Length: 1000\r\nIdempotency-Key: slow-key-1\r\nContent-Type: application/json\r\n\r\n{"}[i%4]
		_, err = io.WriteString(conns[i], sent)
		s.must(err)
	}
	drip, stop := context.WithCancel(s.ctx)
	defer stop()
	go func() { // a byte a second keeps none of them alive
		for {
			select {
			case <-drip.Done():
				return
			case <-time.After(time.Second):
			}
			for i, conn := range conns {
				if i%4 == 2 {
					_, _ = io.WriteString(conn, "x") // it may be ended by now
				}
			}
		}
	}()
	began := time.Now()
	var slowest time.Duration
	var ended atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all sync.WaitGroup
		for _, conn := range conns {
			all.Go(func() {
				conn.SetReadDeadline(time.Now().Add(patience))
				if _, err := io.Copy(io.Discard, conn); err == nil || strings.Contains(err.Error(), "reset") {
					ended.Add(1)
				}
			})
		}
		all.Wait()
	}()
	for waiting := true; waiting; {
		asked := time.Now()
		if _, err := c.session.Account(s.ctx, c.ID); err != nil {
			s.Errorf("an honest client is not served: %v", err)
		}
		slowest = max(slowest, time.Since(asked))
		select {
		case <-done:
			waiting = false
		case <-time.After(200 * time.Millisecond):
		}
	}
	record(t, fmt.Sprintf("%d connections that send nothing, half a line, half a header a byte a second, half a body", len(conns)),
		"all ended by the host within %v; an honest client waited %v at most", time.Since(began).Round(time.Second), slowest.Round(time.Millisecond))
	if ended.Load() != int64(len(conns)) {
		s.Errorf("%d of %d were ended", ended.Load(), len(conns))
	}
}

// A body that is too large is refused before it is read.
func TestOversizedBodies(t *testing.T) {
	s := newScene(t)
	c := s.newCaller("Sender", 10_00)
	a := s.newAdvisor("Uploader", newNumber())
	before := memory(s, shared.Program.PID())
	const size = 50 << 20
	for path, by := range map[string]struct {
		method, kind string
		token        string
	}{
		"/v1/talk":                           {"POST", "application/json", c.session.Token},
		"/v1/advisors/" + a.ID + "/picture":  {"PUT", "image/png", a.app.Token},
		"/v1/advisors/" + a.ID + "/greeting": {"PUT", "audio/wav", a.app.Token},
		"/v1/plans":                          {"POST", "application/json", admin.Token},
		"/v1/payments/webhooks/test":         {"POST", "application/json", ""},
		"/v1/advisors/" + a.ID + "/lines?x=" + strings.Repeat("y", 4000): {"POST", "application/json", a.app.Token},
	} {
		r, err := http.NewRequestWithContext(s.ctx, by.method, shared.URL+path, io.LimitReader(endless{}, size))
		s.must(err)
		r.ContentLength = -1
		r.Header.Set("Content-Type", by.kind)
		r.Header.Set("Idempotency-Key", key())
		if by.token != "" {
			r.Header.Set("Authorization", "Bearer "+by.token)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			continue // hung up on while it was sending
		}
		answer.Body.Close()
		if answer.StatusCode < 400 || answer.StatusCode >= 500 {
			s.Errorf("%s with %d MB: %s", path, size>>20, answer.Status)
		}
	}
	grown := memory(s, shared.Program.PID()) - before
	record(t, "bodies of 50 MB to six routes", "refused; the program grew by %d KB", grown)
	if grown > 150<<10 {
		s.Errorf("the program grew by %d KB", grown)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// stream opens a stream of events and reads its first line.
func (s *scene) stream(token string) (status int, body io.Closer) {
	s.Helper()
	conn, err := (&net.Dialer{}).DialContext(s.ctx, "tcp", address())
	s.must(err)
	_, err = fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n", token)
	s.must(err)
	s.must(conn.SetReadDeadline(time.Now().Add(patience)))
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	s.must(err)
	return answer.StatusCode, conn
}

// Thousands of pages listen and say nothing: each person has so many streams, however
// many tokens they have, and who else asks is served.
func TestIdleEventStreams(t *testing.T) {
	s := newScene(t)
	const perPerson = 20
	people := amount(10, 250)
	callers := make([]*caller, people)
	inTurn(people, 4, func(i int) { callers[i] = s.newCaller("Listener", 0) })
	before := memory(s, shared.Program.PID())
	var opened, refused atomic.Int64
	var mu sync.Mutex
	var streams []io.Closer
	defer func() {
		for _, stream := range streams {
			stream.Close()
		}
	}()
	open := func(token string) int {
		status, stream := s.stream(token)
		if status != http.StatusOK {
			refused.Add(1)
			stream.Close()
			return status
		}
		opened.Add(1)
		mu.Lock()
		defer mu.Unlock()
		streams = append(streams, stream)
		return status
	}
	inTurn(people, 8, func(i int) {
		c := callers[i]
		for range perPerson {
			if status := open(c.session.Token); status != http.StatusOK {
				s.Errorf("a stream is answered %d", status)
			}
		}
		if status := open(c.session.Token); status != http.StatusTooManyRequests {
			s.Errorf("one stream more is answered %d", status)
		}
	})
	// Another token of the same client is no way around.
	second, err := site.NewSession(s.ctx, key(), callers[0].ID, time.Hour)
	s.must(err)
	if status := open(second.Secret); status != http.StatusTooManyRequests {
		s.Errorf("with another token, one stream more is answered %d", status)
	}
	grown := memory(s, shared.Program.PID()) - before
	asked := time.Now()
	if _, err := callers[0].session.Account(s.ctx, callers[0].ID); err != nil {
		s.Errorf("a client is not served: %v", err)
	}
	took := time.Since(asked)
	// They are not only open: what happens is told.
	heard, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	listener := s.newCaller("Listener", 0)
	told := make(chan error, 1)
	go func() {
		for event, err := range listener.session.Events(heard, "") {
			if err != nil || event.Type != "" {
				told <- err
				return
			}
		}
		told <- heard.Err()
	}()
	for waiting := true; waiting; {
		_, err = site.Deposit(s.ctx, key(), client.Deposit{Client: listener.ID, Payment: "pay-" + key(), Amount: 100, Currency: "EUR"})
		s.must(err)
		select {
		case err := <-told:
			s.must(err)
			waiting = false
		case <-time.After(time.Second): // it listened only after the deposit
		}
	}
	record(t, fmt.Sprintf("%d idle event streams of %d clients, and one more each", opened.Load(), people),
		"%d refused (429); %d KB a stream; a request was answered in %v meanwhile, an event told", refused.Load(), grown/int(opened.Load()), took.Round(time.Millisecond))
	if perStream := grown / int(opened.Load()); perStream > 200 {
		s.Errorf("a stream takes %d KB", perStream)
	}
}

// A page of another host may not use the phone's door, and there is no other.
func TestStrangersPagesMayNotUseThePhone(t *testing.T) {
	s := newScene(t)
	origins := []string{"", "null", "https://evil.example", "http://" + address() + ".evil.example", "http://evil.example/?" + address(), "http://" + address() + "@evil.example", "file://"}
	for _, origin := range origins {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, answer, err := websocket.Dial(s.ctx, "ws://"+address()+"/ws", &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPHeader: header})
		if err == nil {
			conn.CloseNow()
			s.Errorf("origin %q is let in", origin)
		} else if answer == nil || answer.StatusCode != http.StatusForbidden {
			s.Errorf("origin %q: %v", origin, err)
		}
	}
	own, _, err := websocket.Dial(s.ctx, "ws://"+address()+"/ws", &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPHeader: http.Header{"Origin": {shared.URL}}})
	s.must(err)
	own.CloseNow()
	for _, path := range []string{"/ari/channels", "/ari/events?app=parley&api_key=parley:x", "/ws/../ari/asterisk/info", "/httpstatus"} {
		if status, body := s.get(admin, path); status != http.StatusNotFound || strings.Contains(body, "asterisk") {
			s.Errorf("%s is answered %d %s", path, status, body)
		}
	}
	record(t, fmt.Sprintf("%d wrong origins on /ws; ARI by the host's address", len(origins)), "403; 404; the own origin is let in")
}

// Whoever registers a webhook cannot have the host ask what only the host can reach: a
// listener on this machine hears nothing.
func TestWebhooksReachNoPrivateAddress(t *testing.T) {
	s := newScene(t)
	canary, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	defer canary.Close()
	var heard atomic.Int64
	go func() {
		for {
			conn, err := canary.Accept()
			if err != nil {
				return
			}
			heard.Add(1)
			conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(canary.Addr().String())
	s.must(err)
	ari, err := url.Parse(shared.Lab.Asterisk.URL)
	s.must(err)
	accepted, refused := map[string]string{}, 0
	targets := []string{"http://127.0.0.1:" + port, "https://127.0.0.1:" + port, "https://localhost:" + port, "https://localhost.:" + port, "https://127.1:" + port,
		"https://2130706433:" + port, "https://0x7f000001:" + port, "https://0177.0.0.1:" + port, "https://[::1]:" + port, "https://[::ffff:127.0.0.1]:" + port,
		"https://[::ffff:7f00:1]:" + port, "https://0.0.0.0:" + port, "https://[::]:" + port, "https://169.254.169.254/latest/meta-data", "https://user:pass@127.0.0.1:" + port,
		"https://" + ari.Host + "/ari/channels", "gopher://127.0.0.1:" + port, "file:///etc/passwd", "https://127.0.0.1:" + port + "#@site.example", "https://10.0.0.1/"}
	for _, target := range targets {
		hook, err := site.MakeWebhook(s.ctx, key(), target)
		if err != nil {
			refused++
			continue
		}
		accepted[hook.ID] = target
		s.must(site.TestWebhook(s.ctx, key(), hook.ID))
	}
	for id, target := range accepted {
		s.triedOnce(id, target)
		s.must(site.RemoveWebhook(s.ctx, id))
	}
	record(t, fmt.Sprintf("%d webhook addresses that lead inside", len(targets)), "%d refused when written, %d when dialled; %d connections came", refused, len(accepted), heard.Load())
	if heard.Load() > 0 {
		s.Errorf("%d connections came", heard.Load())
	}
}

// triedOnce waits until a delivery was tried, and was refused for where it leads.
func (s *scene) triedOnce(id, target string) {
	s.Helper()
	for give := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		deliveries, err := site.Deliveries(s.ctx, id, "")
		s.must(err)
		// A try counts from its start; what came of it is written at its end.
		if len(deliveries) > 0 && (deliveries[0].Fault != "" || deliveries[0].Status != 0) {
			if fault := deliveries[0].Fault; fault != "address_refused" && fault != "no_such_host" {
				s.Errorf("%s was tried: %+v", target, deliveries[0])
			}
			return
		}
		if time.Now().After(give) {
			s.Errorf("%s was never tried", target)
			return
		}
	}
}
