package ari

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/ivr"
	"parley/lab/phone"
)

// pipe carries connections to Asterisk until it is cut or frozen.
type pipe struct {
	net.Listener
	to string

	mu     sync.Mutex
	open   bool
	frozen bool
	conns  []net.Conn
}

func newPipe(t *testing.T, to string) *pipe {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{Listener: l, to: to, open: true}
	t.Cleanup(func() {
		l.Close()
		p.set(false, false)
	})
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", p.to)
			if err != nil || !p.add(from, to) {
				from.Close()
				continue
			}
			go p.carry(from, to)
			go p.carry(to, from)
		}
	}()
	return p
}

func (p *pipe) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	return p.open
}

func (p *pipe) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen {
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// set opens the pipe, or cuts it, or lets it swallow everything.
func (p *pipe) set(open, frozen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.frozen = open, frozen
	if !frozen {
		for _, c := range p.conns {
			c.Close()
		}
		p.conns = nil
	}
}

// throughPipe replaces the town's switch by one behind a pipe.
func (t *town) throughPipe() *pipe {
	t.Helper()
	host := strings.TrimSuffix(strings.TrimPrefix(t.lab.Asterisk.URL, "http://"), "/ari")
	p := newPipe(t.T, host)
	t.s.Close()
	t.s = t.openAt("http://" + p.Addr().String() + "/ari")
	t.Cleanup(t.s.Close)
	t.in = calls(t.T, t.s)
	return p
}

func TestAsteriskATalkOutlivesTheEventsConnection(t0 *testing.T) {
	t := newTown(t0)
	p := t.throughPipe()
	talk, client, advisor := t.talk()
	for name, frozen := range map[string]bool{"cut": false, "half open": true} {
		epoch := t.s.Epoch()
		p.set(false, frozen)
		if !eventually(func() bool { return !t.s.Connected() }) {
			t.Fatalf("%s: not noticed", name)
		}
		seen := talk.SeenAt()
		t.hears(client.Call, theirs)
		t.hears(advisor.Call, ours)
		if again := talk.SeenAt(); again != seen {
			t.Errorf("%s: seen without a connection", name)
		}
		p.set(false, false)
		p.set(true, false)
		if !eventually(func() bool { return t.s.Connected() && t.s.Epoch() > epoch }) {
			t.Fatalf("%s: not connected again", name)
		}
		if !talk.SeenAt().After(seen) {
			t.Errorf("%s: not seen again", name)
		}
	}
	p.set(false, false)
	cut := time.Now()
	if err := client.Call.Hangup(within(t.T, soon)); err != nil {
		t.Error(err)
	}
	p.set(true, false)
	if end := until(t.T, talk); end.After(cut) {
		t.Errorf("the talk ended %v after it was last seen", end.Sub(cut))
	}
	if d := departure(t.T, client.leg); !d.Lost {
		t.Errorf("%+v", d)
	}
	advisor.leg.Hangup(ivr.NormalClearing)
	next(t.T, advisor.Ended())
	t.nothingIsLeft()
}

func TestAsteriskEndsATalkWhoseProgramIsDead(t0 *testing.T) {
	t := newTown(t0)
	p := t.throughPipe()
	_, client, advisor := t.talk()
	start := time.Now()
	for leg, d := range map[ivr.Leg]time.Duration{client.leg: 1500 * time.Millisecond, advisor.leg: 2 * time.Second} {
		if err := leg.CutAfter(within(t.T, soon), d); err != nil {
			t.Error(err)
		}
	}
	var talked struct{ Value string }
	if err := t.s.client.do(within(t.T, soon), command{
		method: "GET", path: path("channels", client.leg.ID(), "variable"), query: url.Values{"variable": {"TALKED"}},
	}, &talked); err != nil || talked.Value != "yes" {
		t.Errorf("the dialplan is told %q, %v", talked.Value, err)
	}
	p.set(false, false)
	next(t.T, client.Ended())
	next(t.T, advisor.Ended())
	if took := time.Since(start); took < 1500*time.Millisecond || took > 4*time.Second {
		t.Errorf("it took %v", took)
	}
	p.set(true, false)
}

func TestAsteriskTheNextProcessAdoptsTheTalk(t0 *testing.T) {
	t := newTown(t0)
	talk, client, advisor := t.talk()
	lone, caller := t.call() // hears the price, say
	ringing := t.request(soon)
	ringing.LegID = string(t.callID()) + ".advisor-2"
	ringing.To.Address = "+4915100000000"
	t.carrier.Phone(ringing.To.Address).OnCall(phone.NeverAnswer())
	go t.s.Dial(context.Background(), ringing)
	old := t.s
	t.awaitChannel(ringing.LegID)

	t.s = t.open()
	t.Cleanup(t.s.Close)
	next(t.T, old.Done())
	if old.Err() != ErrReplaced || client.leg.Context().Err() != nil {
		t.Errorf("%v", old.Err())
	}
	client.leg.Hangup(ivr.NormalClearing) // of the old process: does nothing
	if isOver(talk) {
		t.Error("the talk has ended for the old process")
	}

	survivors, err := t.s.Survivors(context.Background())
	if err != nil || len(survivors) != 2 {
		t.Fatalf("%+v, %v", survivors, err)
	}
	stray, adopted := survivors[0], survivors[1]
	if stray.Call != "" || len(stray.Others) != 1 || stray.Others[0].ID() != lone.ID() {
		t.Errorf("%+v", stray)
	}
	if adopted.Call != t.callID() || adopted.Talk == nil || adopted.Client.ID() != client.leg.ID() ||
		adopted.Advisor.ID() != advisor.leg.ID() || len(adopted.Others) != 1 || adopted.Others[0].ID() != ringing.LegID {
		t.Fatalf("%+v", adopted)
	}
	// The switch itself knows since when they talk.
	if off := adopted.Talk.JoinedAt().Sub(talk.JoinedAt()).Abs(); off > 200*time.Millisecond {
		t.Errorf("the talk began %v off", off)
	}
	t.hears(client.Call, theirs)
	t.hears(advisor.Call, ours)
	for _, l := range append(stray.Others, adopted.Others...) {
		l.Hangup(ivr.TemporaryFailure)
		departure(t.T, l)
	}
	next(t.T, caller.Ended())
	start := time.Now()
	if err := client.Call.Hangup(within(t.T, soon)); err != nil {
		t.Error(err)
	}
	if end := until(t.T, adopted.Talk); end.Before(start) {
		t.Errorf("the talk ended %v before its end", start.Sub(end))
	}
	// The cause of a leg that came in is told only because all channels are subscribed to.
	if d := departure(t.T, adopted.Client); d.Lost || d.Cause != ivr.NormalClearing {
		t.Errorf("%+v", d)
	}
	adopted.Advisor.Hangup(ivr.NormalClearing)
	departure(t.T, adopted.Advisor)
	t.nothingIsLeft()
}

// awaitChannel waits until Asterisk has a channel.
func (t *town) awaitChannel(id string) {
	t.Helper()
	if !eventually(func() bool {
		return t.s.client.do(context.Background(), command{method: "GET", path: path("channels", id)}, nil) == nil
	}) {
		t.Fatalf("no channel %s", id)
	}
}

func TestAsteriskALegThatIsTakenAwayIsLost(t0 *testing.T) {
	t := newTown(t0)
	talk, client, advisor := t.talk()
	if err := t.s.client.do(within(t.T, soon), command{ // as an operator might
		method: "POST", path: path("channels", client.leg.ID(), "continue"),
		query: url.Values{"context": {"noapp"}, "extension": {"s"}, "priority": {"1"}},
	}, nil); err != nil {
		t.Fatal(err)
	}
	until(t.T, talk)
	if d := departure(t.T, client.leg); !d.Lost {
		t.Errorf("%+v", d)
	}
	next(t.T, client.Ended())
	advisor.leg.Hangup(ivr.NormalClearing)
	next(t.T, advisor.Ended())
	t.nothingIsLeft()
}

func TestAsteriskTheDialplanApologisesWhenNobodyServes(t0 *testing.T) {
	t := newTown(t0)
	drained := t.open()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = drained.Serve(ctx, handlerFunc(func(incoming) { t.Error("served") }))
	for _, connected := range []bool{true, false} {
		if !connected {
			drained.Close()
		}
		c, err := t.carrier.Phone(clients).Dial(within(t.T, soon), did)
		if err != nil {
			t.Fatalf("connected %v: %v", connected, err)
		}
		if !loud(c) && !eventually(func() bool { return loud(c) }) {
			t.Errorf("connected %v: no apology", connected)
		}
		if err := c.Hangup(within(t.T, soon)); err != nil {
			t.Error(err)
		}
	}
}

// The client's phone writes the cause of a silent line into its BYE.
func TestAsteriskAClientCannotClaimToHaveBeenGoneForLong(t0 *testing.T) {
	t := newTown(t0)
	talk, client, _ := t.talk()
	start := time.Now()
	t.bye(client.Call, "Q.850;cause=44")
	d := departure(t.T, client.leg)
	if d.Cause != ivr.Unavailable {
		t.Errorf("the Reason header did not arrive: %+v", d)
	}
	if end := until(t.T, talk); end.Before(start) || d.At.Before(start) {
		t.Errorf("the talk ended %v before its end", start.Sub(end))
	}
}

// bye ends a call that the phone dialled, with a Reason header of its choice.
func (t *town) bye(c *phone.Call, reason string) {
	t.Helper()
	var answer string
	for _, m := range c.Messages() {
		if strings.HasPrefix(m, "SIP/2.0 200") {
			answer = m
		}
	}
	header := func(name string) string {
		found := regexp.MustCompile(`(?m)^` + name + `:\s*(.*?)\r?$`).FindStringSubmatch(answer)
		if found == nil {
			t.Fatalf("no %s in %q", name, answer)
		}
		return found[1]
	}
	from, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := net.ResolveUDPAddr("udp", t.lab.Asterisk.SIPAddr)
	if err != nil {
		t.Fatal(err)
	}
	bye := fmt.Sprintf("BYE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: %s\r\nTo: %s\r\n"+
		"Call-ID: %s\r\nCSeq: 4711 BYE\r\nReason: %s\r\nContent-Length: 0\r\n\r\n",
		strings.Trim(header("Contact"), "<>"), from.LocalAddr(), newName(""), header("From"), header("To"), header("Call-ID"), reason)
	if _, err := from.WriteTo([]byte(bye), to); err != nil {
		t.Fatal(err)
	}
}

func TestAsteriskFrozenIsFoundOutAndServesAgain(t0 *testing.T) {
	t := newTown(t0)
	talk, client, advisor := t.talk()
	if err := t.lab.Asterisk.Stop(); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if !eventually(func() bool { return !t.s.Connected() }) {
		t.Fatal("not noticed")
	}
	if at := talk.SeenAt(); at.After(stopped) {
		t.Errorf("seen %v after it froze", at.Sub(stopped))
	}
	time.Sleep(usual.dial + 2*time.Second) // for longer than an attempt to connect may take
	resumed := time.Now()                  // and not after: it may speak before Cont returns
	if err := t.lab.Asterisk.Cont(); err != nil {
		t.Fatal(err)
	}
	if !eventually(t.s.Connected) {
		t.Fatalf("not connected again: %v", t.s.Err())
	}
	// It may have given the legs up, having heard nothing for longer than rtpTimeout,
	// or have found their sound in its buffers.
	for _, l := range []ivr.Leg{client.leg, advisor.leg} {
		select {
		case <-l.Context().Done():
			d, end := departure(t.T, l), until(t.T, talk)
			for _, at := range []time.Time{d.At, end} {
				if !d.Lost || at.After(stopped) && at.Before(resumed) {
					t.Errorf("%+v, talk until %v, frozen from %v to %v", d, end, stopped, resumed)
				}
			}
		case <-time.After(rtpTimeout):
			l.Hangup(ivr.NormalClearing)
			departure(t.T, l)
		}
	}
	leg, c := t.call()
	leg.Hangup(ivr.NormalClearing)
	next(t.T, c.Ended())
	t.nothingIsLeft()
}

func TestAsteriskARestartEndsEverythingAndServesAgain(t0 *testing.T) {
	t := newTown(t0)
	talk, client, advisor := t.talk()
	if err := t.lab.Asterisk.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if err := client.leg.Answer(within(t.T, soon)); err == nil || errors.Is(err, ivr.ErrLost) {
		t.Errorf("a command to a dead Asterisk: %v", err)
	}
	if client.leg.Context().Err() != nil {
		t.Error("a leg has ended before anyone could ask")
	}
	if err := t.lab.Asterisk.Start(within(t.T, time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, l := range []ivr.Leg{client.leg, advisor.leg} {
		if d := departure(t.T, l); !d.Lost || d.At.After(killed) {
			t.Errorf("%+v, killed at %v", d, killed)
		}
	}
	if end := until(t.T, talk); end.After(killed) {
		t.Errorf("the talk ended %v after Asterisk", end.Sub(killed))
	}
	leg, c := t.call()
	leg.Hangup(ivr.NormalClearing)
	next(t.T, c.Ended())
}
