package cluster

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/lab/phone"
	"parley/lab/stage"
)

const (
	patience                = 30 * time.Second
	clientTone, advisorTone = 440, 1000
)

// scene is one client, one advisor and a number lent to call them.
type scene struct {
	*testing.T
	ctx     context.Context
	client  *stage.Client
	advisor *stage.Advisor
	loan    stage.Loan
}

var clients atomic.Int64

// newScene has an advisor with a verified phone that is registered at an address: a node, or
// Kamailio.
func newScene(t *testing.T, exchange string) *scene {
	t.Helper()
	if town.kamailio == nil {
		t.Skip("-short: Kamailio, and a second Postgres and Redis, are left out")
	}
	return newShortScene(t, exchange)
}

// newShortScene is one for a test that needs no more than the two nodes.
func newShortScene(t *testing.T, exchange string) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	s := &scene{T: t, ctx: ctx}
	var err error
	s.advisor, err = town.NewVerifiedAdvisorAt(ctx, "Anna", exchange)
	s.must(err)
	s.another()
	return s
}

// another is another client of the same advisor.
func (s *scene) another() {
	s.Helper()
	number := fmt.Sprintf("+49151%08d", 20000000+clients.Add(1))
	var err error
	s.client, err = town.NewClient(s.ctx, "Blue Heron", number, 6000)
	s.must(err)
	s.loan, err = town.Lend(s.ctx, s.client, s.advisor)
	s.must(err)
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatalf("%v\n%s\n%s", err, town.one.log(), town.two.log())
	}
}

// talk is a call up to the talk, with both hearing each other. Where another node than want has
// it, the client hangs up and calls again: the nodes take turns.
func (s *scene) talk(want *node) (client, advisor *phone.Call) {
	s.Helper()
	caller := s.client.Phone
	if town.trunk != nil && want == town.two {
		caller = town.trunk.Phone(s.client.Number)
	}
	for began := time.Now(); time.Since(began) < patience; {
		call, err := caller.Dial(s.ctx, s.loan.DID)
		s.must(err)
		if want != nil && !strings.HasPrefix(mediaOf(call), hostOf(want)) {
			// A client has one call at a time: the next begins once the books have closed this one,
			// which they have not before they have opened it.
			s.eventually(patience, "the call is opened", func() bool { return s.open() == 1 })
			s.must(call.Hangup(s.ctx))
			s.eventually(patience, "the call is closed", func() bool { return s.open() == 0 })
			continue
		}
		s.must(call.Keys(s.ctx, "#"))
		return call, s.joined(call)
	}
	s.Fatalf("within %v no call came to node %s", patience, want.name)
	return nil, nil
}

// joined has the advisor accept, until both hear each other.
func (s *scene) joined(client *phone.Call) (advisor *phone.Call) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	ringing, err := s.advisor.Phone.Accept(ctx)
	s.must(err)
	advisor, err = ringing.Answer(s.ctx)
	s.must(err)
	s.must(advisor.Keys(s.ctx, "1"))
	client.Tone(clientTone)
	advisor.Tone(advisorTone)
	s.must(client.HearsTone(s.ctx, advisorTone, patience))
	s.must(advisor.HearsTone(s.ctx, clientTone, patience))
	return advisor
}

// hostOf is where a node's Asterisk speaks.
func hostOf(n *node) string {
	host, _, _ := net.SplitHostPort(n.asterisk.SIPAddr)
	return host
}

// mediaOf is where the other side of a call wants its sound sent, as it has answered.
func mediaOf(call *phone.Call) string {
	for _, message := range call.Messages() {
		if _, rest, found := strings.Cut(message, "c=IN IP4 "); found && strings.HasPrefix(message, "SIP/2.0 200") {
			address, _, _ := strings.Cut(rest, "\r\n")
			return address
		}
	}
	return ""
}

// hungUp is the record of the talk after the client hangs up.
func (s *scene) hungUp(client, advisor *phone.Call) stage.Call {
	s.Helper()
	s.must(client.Hangup(s.ctx))
	select {
	case <-advisor.Ended():
	case <-time.After(patience):
		s.Fatalf("the advisor's phone is still in the call:\n%s", strings.Join(advisor.Messages(), "\n"))
	}
	call, err := town.LastCall(s.ctx, s.client)
	s.must(err)
	if call.Disposition != "completed" {
		s.Errorf("the call ended as %q", call.Disposition)
	}
	return call
}

// nodeOf is the node that a call's record names.
func (s *scene) nodeOf(call string) (name string) {
	s.Helper()
	s.must(town.db.QueryRowContext(s.ctx, `SELECT node FROM calls WHERE id = $1`, call).Scan(&name))
	return name
}

// open is how many calls of the client are not closed.
func (s *scene) open() (calls int) {
	s.Helper()
	s.must(town.db.QueryRowContext(s.ctx, `SELECT count(*) FROM calls WHERE client = $1 AND ended_at IS NULL`, s.client.ID).Scan(&calls))
	return calls
}

// audit fails the test unless the books agree.
func (s *scene) audit() {
	s.Helper()
	out, err := town.Parley(s.ctx, "ledger", "audit")
	if err != nil {
		s.Errorf("the audit: %v\n%s", err, out)
	}
}

// eventually waits until something is so.
func (s *scene) eventually(limit time.Duration, what string, is func() bool) time.Duration {
	s.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > limit {
			s.Fatalf("not within %v: %s\n%s\n%s", limit, what, town.one.log(), town.two.log())
		}
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// ping asks a SIP server by OPTIONS whether it is there, from an address.
func ping(server, from string) error { return options(server, from, "lab") }

// options sends one OPTIONS and waits for an answer, for half a second.
func options(server, from, agent string) error {
	local, err := net.ResolveUDPAddr("udp", from)
	if err != nil {
		return err
	}
	remote, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return err
	}
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		return err
	}
	defer conn.Close()
	me := conn.LocalAddr().String()
	n := clients.Add(1)
	fmt.Fprintf(conn, "OPTIONS sip:ping@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d;rport\r\nMax-Forwards: 9\r\n"+
		"From: <sip:lab@%s>;tag=%d\r\nTo: <sip:ping@%s>\r\nCall-ID: ping-%d@lab\r\nCSeq: 1 OPTIONS\r\nUser-Agent: %s\r\nContent-Length: 0\r\n\r\n",
		server, me, n, me, n, server, n, agent)
	if err := conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		return err
	}
	answer := make([]byte, 2048)
	_, err = conn.Read(answer)
	return err
}

// inviteFrom sends an INVITE from an address, as a node would, and returns the final status.
func inviteFrom(from, server, user string) (status int, err error) {
	local, err := net.ResolveUDPAddr("udp", from)
	if err != nil {
		return 0, err
	}
	remote, err := net.ResolveUDPAddr("udp", server)
	if err != nil {
		return 0, err
	}
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	me, n := conn.LocalAddr().String(), clients.Add(1)
	host, _, _ := net.SplitHostPort(me)
	sdp := fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8\r\n", host, host)
	fmt.Fprintf(conn, "INVITE sip:%s@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d;rport\r\nMax-Forwards: 9\r\n"+
		"From: <sip:4930@%s>;tag=%d\r\nTo: <sip:%s@%s>\r\nContact: <sip:lab@%s>\r\nCall-ID: invite-%d@lab\r\nCSeq: 1 INVITE\r\n"+
		"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", user, server, me, n, me, n, user, server, me, n, len(sdp), sdp)
	answer := make([]byte, 4096)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return 0, err
		}
		size, err := conn.Read(answer)
		if err != nil {
			return status, err
		}
		if _, err := fmt.Sscanf(string(answer[:size]), "SIP/2.0 %d", &status); err != nil {
			return 0, err
		}
		if status >= 200 {
			return status, nil
		}
	}
}

// flood sends REGISTERs as fast as it can, a bounded number, and reads no answer.
func flood(t *testing.T, from string, count int) {
	local, err := net.ResolveUDPAddr("udp", from)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := net.ResolveUDPAddr("udp", town.Lab.Proxy)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	me := conn.LocalAddr().String()
	for n := range count {
		fmt.Fprintf(conn, "REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKf%d;rport\r\nMax-Forwards: 9\r\n"+
			"From: <sip:line_%d@lab>;tag=%d\r\nTo: <sip:line_%d@lab>\r\nContact: <sip:lab@%s>\r\nCall-ID: flood-%d@lab\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n",
			town.Lab.Proxy, me, n, n, n, n, me, n)
	}
}
