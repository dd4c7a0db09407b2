package host

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// newExchange is a pretended Asterisk that answers each message with itself, and a host
// in front of it.
func newExchange(t *testing.T, origins ...string) (url string, h *Host) {
	exchange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"sip"}})
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(exchange.Close)
	h = New(Config{Phones: "ws" + strings.TrimPrefix(exchange.URL, "http"), Origins: origins, Log: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	t.Cleanup(h.phones.hangUp)
	return server.URL, h
}

func dialPhone(t *testing.T, url, origin string, protocols ...string) (*websocket.Conn, int) {
	t.Helper()
	c, answer, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http")+"/ws", &websocket.DialOptions{
		Subprotocols: protocols, HTTPHeader: http.Header{"Origin": {origin}},
	})
	if err != nil {
		return nil, answer.StatusCode
	}
	t.Cleanup(func() { c.CloseNow() })
	return c, answer.StatusCode
}

func TestAnAppsPhoneSpeaksToTheExchange(t *testing.T) {
	url, _ := newExchange(t)
	c, _ := dialPhone(t, url, url, "sip")
	if c == nil || c.Subprotocol() != "sip" {
		t.Fatal("not let in")
	}
	for _, message := range []string{"REGISTER sip:here SIP/2.0\r\n\r\n", strings.Repeat("x", sipMost-1)} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		c.SetReadLimit(sipMost)
		if _, back, err := c.Read(t.Context()); err != nil || string(back) != message {
			t.Fatalf("%v; %d bytes came back of %d", err, len(back), len(message))
		}
	}
}

func TestOnlyOurPagesPhonesAreLetIn(t *testing.T) {
	url, _ := newExchange(t, "https://phones.example")
	for name, test := range map[string]struct {
		origin    string
		protocols []string
		want      int
	}{
		"a stranger's page":   {"https://elsewhere.example", []string{"sip"}, http.StatusForbidden},
		"no page":             {"", []string{"sip"}, http.StatusForbidden},
		"a sandboxed page":    {"null", []string{"sip"}, http.StatusForbidden},
		"another protocol":    {url, []string{"ari"}, http.StatusNotFound},
		"no protocol":         {url, nil, http.StatusNotFound},
		"a page that is told": {"https://phones.example", []string{"sip"}, http.StatusSwitchingProtocols},
		"its name alone":      {"http://phones.example", []string{"sip"}, http.StatusForbidden},
	} {
		if _, status := dialPhone(t, url, test.origin, test.protocols...); status != test.want {
			t.Errorf("%s: %d, want %d", name, status, test.want)
		}
	}
}

func TestAPhoneThatSendsTooMuchIsCutOff(t *testing.T) {
	url, h := newExchange(t)
	c, _ := dialPhone(t, url, url, "sip")
	if err := c.Write(t.Context(), websocket.MessageText, make([]byte, sipMost+1)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("it was taken")
	}
	h.phones.mu.Lock()
	defer h.phones.mu.Unlock()
	if h.phones.all > 1 {
		t.Errorf("%d are counted", h.phones.all)
	}
}

func TestPhonesOfOneAddressAreBounded(t *testing.T) {
	url, _ := newExchange(t)
	for range phonesPerAddress {
		if c, status := dialPhone(t, url, url, "sip"); c == nil {
			t.Fatalf("refused with %d", status)
		}
	}
	if _, status := dialPhone(t, url, url, "sip"); status != http.StatusTooManyRequests {
		t.Errorf("one more: %d", status)
	}
}

func TestPhonesAreHungUpWhenTheServerStops(t *testing.T) {
	url, h := newExchange(t)
	c, _ := dialPhone(t, url, url, "sip")
	h.phones.hangUp()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, _, err := c.Read(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it stays: %v", err)
	}
}

func TestPhonesWithoutAnExchange(t *testing.T) {
	h := New(Config{Phones: "ws://127.0.0.1:1/ws", Log: slog.New(slog.DiscardHandler)})
	server := httptest.NewServer(h)
	defer server.Close()
	if _, status := dialPhone(t, server.URL, server.URL, "sip"); status != http.StatusServiceUnavailable {
		t.Errorf("%d", status)
	}
	h.Phones = ""
	if _, status := dialPhone(t, server.URL, server.URL, "sip"); status != http.StatusNotFound {
		t.Errorf("switched off: %d", status)
	}
}
