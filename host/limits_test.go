package host

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	ratelimit "golang.org/x/time/rate"

	"parley/host/client"
)

// unlimited lets the town be asked as often as one likes. It is called first.
func (w *town) unlimited() {
	for _, l := range []**limit{&w.host.limits.tokens, &w.host.limits.refused, &w.host.limits.talks, &w.host.limits.open, &w.host.limits.signIns, &w.host.limits.verifications} {
		*l = newLimit(ratelimit.Inf, 0)
	}
}

// A client who taps without end is told when to go on; others are not kept waiting.
func TestTappingIsLimitedByClient(t *testing.T) {
	w := newTown(t)
	_, session := w.newClient(50_00)
	_, other := w.newClient(50_00)
	var p *client.Problem
	for i := range 40 {
		if _, err := w.tap(session, fmt.Sprint("tap-no-", i)); err != nil {
			p = w.problem("tapped too often", err, 429, "too_many")
			if i < 10 {
				t.Errorf("after %d taps", i)
			}
			break
		}
	}
	if p == nil || p.RetryAfter < 1 || p.RetryAfter > 3 {
		t.Errorf("told %+v", p)
	}
	_, err := w.tap(other, "tap-of-another")
	w.problem("another client", err, 409, "advisor_busy")
}

// Every operation that asks for a token says that it may be asked too often.
func TestTooManyIsDocumented(t *testing.T) {
	limited := 0
	for path, item := range New(Config{}).api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil || len(op.Security) == 0 {
				continue
			}
			if limited++; op.Responses["429"] == nil {
				t.Errorf("%s %s does not", op.Method, path)
			}
		}
	}
	if limited < 10 {
		t.Errorf("only %d operations were found", limited)
	}
}

// All requests of a token together are limited.
func TestRequestsAreLimitedByToken(t *testing.T) {
	w := newTown(t)
	w.host.limits.tokens = newLimit(ratelimit.Limit(0.001), 3)
	_, session := w.newClient(0)
	for range 3 {
		_, err := session.Advisors(t.Context(), "")
		w.must(err)
	}
	_, err := session.Advisors(t.Context(), "")
	w.problem("a fourth", err, 429, "too_many")
	_, err = w.site.Advisors(t.Context(), "")
	w.must(err)
}

// Who tries tokens is told to stop; who has a good one at the same address is answered.
func TestTryingTokensIsLimitedByAddress(t *testing.T) {
	w := newTown(t)
	guesses := client.Client{URL: w.url, Token: "parley_guess"}
	for range 20 {
		_, err := guesses.Advisors(t.Context(), "")
		w.problem("a guess", err, 401, "no_token")
	}
	_, err := guesses.Advisors(t.Context(), "")
	if p := w.problem("one more guess", err, 429, "too_many"); p.RetryAfter < 1 {
		t.Errorf("told %+v", p)
	}
	_, err = w.site.Advisors(t.Context(), "")
	w.must(err)
}

// Only what a proxy of ours says is believed, and only as far back as proxies of ours go.
func TestAddressIsThePeersUnlessAProxyOfOursSaysMore(t *testing.T) {
	h := New(Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.1.0.0/16")}})
	for _, c := range []struct {
		peer string
		said []string
		want string
	}{
		{"203.0.113.9:1000", nil, "203.0.113.9"},
		{"203.0.113.9:1000", []string{"198.51.100.7"}, "203.0.113.9"},
		{"127.0.0.1:1000", []string{"198.51.100.7"}, "198.51.100.7"},
		{"[::ffff:127.0.0.1]:1000", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:1000", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		{"127.0.0.1:1000", []string{"1.1.1.1", "198.51.100.7, 10.1.2.3"}, "198.51.100.7"},
		{"127.0.0.1:1000", []string{"10.1.9.9"}, "10.1.9.9"},
		{"127.0.0.1:1000", []string{"nonsense"}, "127.0.0.1"},
		{"127.0.0.1:1000", nil, "127.0.0.1"},
		{"[2001:db8:1:2:3::4]:1000", nil, "2001:db8:1:2::/64"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.said
		if got := h.address(r); got != c.want {
			t.Errorf("%s says %q: %s, want %s", c.peer, c.said, got, c.want)
		}
	}
}

// Strangers cannot fill the memory, and do not wash away who asks all the time.
func TestLimitsForgetStrangersOnly(t *testing.T) {
	l := newLimit(ratelimit.Limit(0.001), 2)
	if l.take("busy") != nil || l.take("busy") != nil || l.take("busy") == nil {
		t.Fatal("two are allowed")
	}
	for i := range 5 * bucketsMost {
		if err := l.take(fmt.Sprint("stranger ", i)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 && l.take("busy") == nil {
			t.Fatalf("forgotten after %d strangers", i)
		}
	}
	if n := len(l.young) + len(l.old); n > 2*bucketsMost {
		t.Errorf("%d are remembered", n)
	}
}
