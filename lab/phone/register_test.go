package phone

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
)

// registrar is the least exchange that a phone can register with: it challenges
// every request and declines calls.
type registrar struct {
	addr     string
	password string
	contacts chan string // of REGISTER that was let in, with its expiry
}

func newRegistrar(t *testing.T, password string) *registrar {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.4:0")
	if err != nil {
		t.Fatal(err)
	}
	ua, err := sipgo.NewUA()
	if err != nil {
		t.Fatal(err)
	}
	server, err := sipgo.NewServer(ua)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close(); ua.Close() })
	r := &registrar{addr: socket.LocalAddr().String(), password: password, contacts: make(chan string, 8)}
	server.OnRegister(r.guard(func(req *sip.Request) int {
		r.contacts <- req.Contact().Address.String() + " " + req.GetHeader("Expires").Value()
		return 200
	}))
	server.OnInvite(r.guard(func(*sip.Request) int { return 603 }))
	server.OnAck(func(*sip.Request, sip.ServerTransaction) {})
	go server.ServeUDP(socket)
	return r
}

const challenge = `Digest realm="test", nonce="n0nce", algorithm=MD5`

func (r *registrar) guard(admit func(*sip.Request) int) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		status := 401
		if h := req.GetHeader("Authorization"); h != nil && r.knows(req.Method.String(), h.Value()) {
			status = admit(req)
		} else if h != nil {
			status = 403
		}
		res := sip.NewResponseFromRequest(req, status, "x", nil)
		if status == 401 {
			res.AppendHeader(sip.NewHeader("WWW-Authenticate", challenge))
		}
		tx.Respond(res)
	}
}

// knows checks a digest without qop (RFC 2617 3.2.2.1).
func (r *registrar) knows(method, credentials string) bool {
	field := func(name string) string {
		_, rest, _ := strings.Cut(credentials, " "+name+`="`)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	sum := func(s string) string {
		h := md5.Sum([]byte(s))
		return hex.EncodeToString(h[:])
	}
	a1 := sum(fmt.Sprintf("%s:test:%s", field("username"), r.password))
	a2 := sum(method + ":" + field("uri"))
	return field("response") == sum(a1+":n0nce:"+a2)
}

func TestRegisteredPhoneCallsAndIsCalled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	r := newRegistrar(t, "secret")
	p, err := Register(ctx, "127.0.0.1:0", r.addr, "advisor-7", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	contact, expires, _ := strings.Cut(<-r.contacts, " ")
	if want := "sip:advisor-7@" + p.agent.addr; contact != want || expires != "120" {
		t.Errorf("registered %s for %s s, want %s for 120 s", contact, expires, want)
	}

	caller := carrier(t, ctx, "127.0.0.2:0", p.agent.addr).Phone(alice)
	p.OnCall(AnswerAfter(0))
	if _, err := caller.Dial(ctx, "advisor-7"); err != nil {
		t.Error("calling the registered phone:", err)
	}

	var rejected *Rejected
	if _, err := p.Dial(ctx, bob); !errors.As(err, &rejected) || rejected.Status != 603 {
		t.Errorf("its own call: %v, want that the exchange knew it and declined", err)
	}

	if err := p.Unregister(ctx); err != nil {
		t.Fatal(err)
	}
	if _, expires, _ := strings.Cut(<-r.contacts, " "); expires != "0" {
		t.Errorf("unregistered with expiry %s, want 0", expires)
	}
}

func TestWrongPasswordDoesNotRegister(t *testing.T) {
	t.Parallel()
	r := newRegistrar(t, "secret")
	_, err := Register(t.Context(), "127.0.0.1:0", r.addr, "advisor-7", "guess")
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v, want that the exchange answered 403", err)
	}
}
