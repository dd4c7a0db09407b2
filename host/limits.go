package host

import (
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	ratelimit "golang.org/x/time/rate"
)

// limits are how often one may ask. They are kept in memory, by each process for itself,
// and forgotten with it: they spare the host work. What guards a secret (codes, PINs,
// the calls of a line) or money is counted by the store, in Postgres.
type limits struct {
	tokens        *limit // all requests, by token
	refused       *limit // requests with a token that is none, by address
	talks         *limit // requests for a talk, by client
	verifications *limit // of a line, by advisor
	open          *limit // requests without a token, by address
	signIns       *limit // codes that are asked for, by address
}

func newLimits() limits {
	return limits{
		tokens:        newLimit(50, 100),
		refused:       newLimit(ratelimit.Every(6*time.Second), 20),
		talks:         newLimit(ratelimit.Every(3*time.Second), 10),
		verifications: newLimit(ratelimit.Every(time.Minute), 5),
		open:          newLimit(2, 60),
		signIns:       newLimit(ratelimit.Every(30*time.Second), 10),
	}
}

// limit is a token bucket for each of many.
type limit struct {
	every ratelimit.Limit
	burst int

	mu sync.Mutex
	// Those who asked lately, and those before them: when the young are bucketsMost they
	// become the old, and the old are forgotten. So strangers cannot fill the memory, and
	// who asks all the time is not forgotten.
	young, old map[string]*ratelimit.Limiter
}

const bucketsMost = 20_000 // some 3 MB

func newLimit(every ratelimit.Limit, burst int) *limit {
	return &limit{every: every, burst: burst, young: map[string]*ratelimit.Limiter{}}
}

// take counts a request of one who asks, or returns a problem that says when to ask again.
func (l *limit) take(who string) error {
	now := time.Now()
	r := l.bucket(who).ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return tooMany(wait)
}

func (l *limit) bucket(who string) *ratelimit.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, known := l.young[who]
	if known {
		return b
	}
	if b, known = l.old[who]; !known {
		b = ratelimit.NewLimiter(l.every, l.burst)
	}
	if len(l.young) >= bucketsMost {
		l.old, l.young = l.young, map[string]*ratelimit.Limiter{}
	}
	l.young[who] = b
	return b
}

func tooMany(wait time.Duration) *Problem {
	p := newProblem("too_many")
	p.RetryAfter = max(1, int64(math.Ceil(wait.Seconds())))
	return p
}

// noToken is the answer to a token that is none. Only these requests are counted by
// address: many people may share one, and who has a good token is never refused for what
// others send from there.
func (h *Host) noToken(r *http.Request) *Problem {
	if h.limits.refused.take(h.address(r)) != nil {
		return tooMany(time.Minute)
	}
	return newProblem("no_token")
}

// address is whence a request comes: the peer, or, where that is a proxy of ours, whom
// it says it asks for. IPv6 hands out networks, not addresses.
func (h *Host) address(r *http.Request) string {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := peer.Addr().Unmap().WithZone("")
	said := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(said) - 1; i >= 0 && h.trusts(addr); i-- { // the last was added by the nearest
		before, err := netip.ParseAddr(strings.TrimSpace(said[i]))
		if err != nil {
			break
		}
		addr = before.Unmap().WithZone("")
	}
	if addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}

func (h *Host) trusts(addr netip.Addr) bool {
	for _, proxy := range h.TrustedProxies {
		if proxy.Contains(addr) {
			return true
		}
	}
	return false
}
