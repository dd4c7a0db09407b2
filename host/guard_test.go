package host

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// What is not a stranger's address on the Internet is refused, in all its forms.
func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for _, text := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
		"239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:10::1",
		"2001:db8::1", "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1",
	} {
		if public(netip.MustParseAddr(text)) {
			t.Errorf("%s can be dialled", text)
		}
	}
	for _, text := range []string{"1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.169.0.1",
		"198.20.0.1", "223.255.255.254", "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888"} {
		if !public(netip.MustParseAddr(text)) {
			t.Errorf("%s cannot be dialled", text)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address can be dialled")
	}
}

// trap is a server within, which must not be reached.
func trap(t *testing.T) (address string, reached *atomic.Int64) {
	reached = new(atomic.Int64)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			conn.Close()
		}
	}()
	return listener.Addr().String(), reached
}

// However an address within is written, not even a connection is made.
func TestGuardLooksAtTheAddressThatIsDialled(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	address, reached := trap(t)
	_, port, _ := net.SplitHostPort(address)
	guard := guarded(false, nil)
	for _, host := range []string{"127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
		"[::7f00:1]", "[64:ff9b::7f00:1]", "0", "0.0.0.0", "[::]"} {
		for _, scheme := range []string{"http", "https"} {
			answer, err := guard.Get(scheme + "://" + host + ":" + port + "/")
			if err == nil {
				answer.Body.Close()
				t.Errorf("%s was asked", host)
			}
		}
		if _, err := guard.Get("http://" + host + ":" + port + "/"); !errors.Is(err, errNotPublic) && faultOf(err) != "no_such_host" {
			t.Errorf("%s: %v", host, err)
		}
	}
	if reached.Load() > 0 {
		t.Error("a server within was reached")
	}
}

// A name that was public when it was looked at, and leads within when it is dialled, is
// refused: what is dialled is what is looked at.
func TestNameThatChangesItsMindIsRefused(t *testing.T) {
	address, reached := trap(t)
	_, port, _ := net.SplitHostPort(address)
	resolver, asked := rebinding(t, "93.184.216.34", "127.0.0.1")
	first, err := resolver.LookupNetIP(t.Context(), "ip4", "rebind.example")
	if err != nil || len(first) != 1 || !public(first[0].Unmap()) {
		t.Fatalf("looked up %v, %v", first, err)
	}
	_, err = guarded(false, resolver).Get("http://rebind.example:" + port + "/")
	if !errors.Is(err, errNotPublic) || faultOf(err) != "address_refused" {
		t.Errorf("dialled: %v", err)
	}
	if reached.Load() > 0 || asked.Load() < 2 {
		t.Errorf("reached %d, asked %d", reached.Load(), asked.Load())
	}
	resolver, _ = rebinding(t, "127.0.0.1", "127.0.0.1")
	if _, err := guarded(true, resolver).Get("http://rebind.example:" + port + "/"); errors.Is(err, errNotPublic) || reached.Load() == 0 {
		t.Errorf("with allow_private the name is not followed: %v", err) // so it was the guard that refused
	}
}

// rebinding is a resolver whose name server answers the first question for an IPv4
// address with one, all later ones with another, and knows no IPv6.
func rebinding(t *testing.T, first, later string) (*net.Resolver, *atomic.Int64) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	asked := new(atomic.Int64)
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			end := 12 + strings.IndexByte(string(packet[12:n]), 0) + 5 // the header, the name, its type and class: RFC 1035, 4.1
			answer := append([]byte{}, packet[:end]...)
			copy(answer[2:], []byte{0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}) // answered, one question
			if binary.BigEndian.Uint16(packet[end-4:]) == 1 {            // A
				address := netip.MustParseAddr(later)
				if asked.Add(1) == 1 {
					address = netip.MustParseAddr(first)
				}
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4) // the name as above, A, IN, at once stale
				answer = append(answer, address.AsSlice()...)
			}
			_, _ = server.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}, asked
}

// A redirect is an answer like any other, and is not followed.
func TestRedirectIsNotFollowed(t *testing.T) {
	address, reached := trap(t)
	redirects := httptest.NewServer(http.RedirectHandler("http://"+address+"/", http.StatusTemporaryRedirect))
	t.Cleanup(redirects.Close)
	answer, err := guarded(true, nil).Post(redirects.URL, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusTemporaryRedirect || reached.Load() > 0 {
		t.Errorf("%s, %v, %d followed it", answer.Status, err, reached.Load())
	}
}
