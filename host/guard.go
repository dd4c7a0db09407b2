package host

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Addresses that others choose are dialled by this guard alone: so nobody can make the
// host ask what only the host can reach. It looks at the address that is really
// dialled, after all names were resolved, so that a name cannot change its mind between
// the look and the call. Redirects are not followed, proxies not used.

// errNotPublic: the address is not on the public Internet.
var errNotPublic = errors.New("the address is not a public one")

const (
	dialTakes   = 5 * time.Second
	answerTakes = 10 * time.Second // all of a request and its answer
	answerMost  = 4 << 10
)

// guarded makes a client for addresses that others choose. Without allowPrivate it
// reaches only public ones. resolver nil is the machine's.
func guarded(allowPrivate bool, resolver *net.Resolver) *http.Client {
	dialer := &net.Dialer{Timeout: dialTakes, Resolver: resolver}
	if !allowPrivate {
		dialer.ControlContext = refusePrivate
	}
	return &http.Client{
		Timeout:       answerTakes,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: dialTakes, ResponseHeaderTimeout: answerTakes, MaxResponseHeaderBytes: 16 << 10,
			DisableCompression: true, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute,
		},
	}
}

func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	dialled, err := netip.ParseAddrPort(address)
	if err != nil || !public(dialled.Addr()) {
		return errNotPublic
	}
	return nil
}

// public says that an address is a stranger's on the Internet. Of IPv6 only the global
// unicast space is: all that maps IPv4 into it, and all else, is not.
func public(a netip.Addr) bool {
	if a.Zone() != "" || a.Is4In6() || a.Is6() && !globalUnicast.Contains(a) {
		return false
	}
	for _, p := range reserved {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}

var globalUnicast = netip.MustParsePrefix("2000::/3") // RFC 4291, 2.4

// reserved are the special blocks of RFC 6890 and its registry.
var reserved = prefixes(
	"0.0.0.0/8",        // this network
	"10.0.0.0/8",       // private
	"100.64.0.0/10",    // carriers' NAT
	"127.0.0.0/8",      // loopback
	"169.254.0.0/16",   // link-local; clouds keep their metadata there
	"172.16.0.0/12",    // private
	"192.0.0.0/24",     // IETF protocols
	"192.0.2.0/24",     // documentation
	"192.88.99.0/24",   // 6to4 relays
	"192.168.0.0/16",   // private
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"224.0.0.0/4",      // multicast
	"240.0.0.0/4",      // future use, and broadcast
	"168.63.129.16/32", // public, but Azure's own to each machine there
	"2001::/23",        // IETF protocols, with Teredo
	"2001:db8::/32",    // documentation
	"2002::/16",        // 6to4: an IPv4 address is in it
	"3fff::/20",        // documentation
)

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}
