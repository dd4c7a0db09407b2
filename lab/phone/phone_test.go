package phone

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

const (
	alice = "+4915112345601"
	bob   = "+498912345602"
)

// TestMain lets more tests run side by side than there are processors: they
// wait for audio more than they compute.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}

// town is two telephone networks that call each other without an exchange.
type town struct {
	ctx        context.Context
	alice, bob *Phone
}

func newTown(t *testing.T) town {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	there := carrier(t, ctx, "127.0.0.3:0", "127.0.0.1:9")
	here := carrier(t, ctx, "127.0.0.2:0", there.Addr())
	return town{ctx: ctx, alice: here.Phone(alice), bob: there.Phone(bob)}
}

func carrier(t *testing.T, ctx context.Context, addr, asterisk string) *Carrier {
	t.Helper()
	c, err := NewCarrier(ctx, addr, asterisk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// talk is a call from Alice that Bob has answered.
func (w town) talk(t *testing.T, opts ...DialOption) (hers, his *Call) {
	t.Helper()
	w.bob.OnCall(AnswerAfter(0))
	hers, err := w.alice.Dial(w.ctx, bob, opts...)
	if err != nil {
		t.Fatal(err)
	}
	if his, err = w.bob.Answered(w.ctx); err != nil {
		t.Fatal(err)
	}
	return hers, his
}

func (w town) awaitEnd(t *testing.T, call *Call) End {
	t.Helper()
	select {
	case <-call.Ended():
		return call.EndReason()
	case <-w.ctx.Done():
		t.Fatal("the call did not end")
		return End{}
	}
}

func TestRefusalsReachTheCaller(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy Policy
		number string
		status int
	}{
		"busy":        {Busy(), bob, 486},
		"declined":    {Decline(), bob, 603},
		"unavailable": {Refuse(480), bob, 480},
		"not found":   {Refuse(404), bob, 404},
		"no phone":    {nil, "+498900000000", 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			w.bob.OnCall(c.policy)
			_, err := w.alice.Dial(w.ctx, c.number)
			var rejected *Rejected
			if !errors.As(err, &rejected) || rejected.Status != c.status {
				t.Fatalf("got %v, want status %d", err, c.status)
			}
			if len(rejected.Messages) == 0 {
				t.Error("the received messages are missing")
			}
			w.allForgotten(t)
		})
	}
}

// allForgotten checks that ended calls leave nothing behind.
func (w town) allForgotten(t *testing.T) {
	t.Helper()
	for _, p := range []*Phone{w.alice, w.bob} {
		a := p.agent
		a.mu.Lock()
		if len(a.calls) != 0 || len(a.traces) != 0 {
			t.Errorf("%d calls and %d traces are left", len(a.calls), len(a.traces))
		}
		a.mu.Unlock()
	}
}

func TestCancelReachesTheRingingPhone(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	dialling, giveUp := context.WithCancel(w.ctx)
	result := make(chan error, 1)
	go func() {
		_, err := w.alice.Dial(dialling, bob)
		result <- err
	}()
	in, err := w.bob.Accept(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Ring(); err != nil {
		t.Fatal(err)
	}
	giveUp()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Dial returned %v, want that it was cancelled", err)
	}
	<-in.Ended()
	if end := in.EndReason(); end.By != RemoteCancel {
		t.Errorf("the call ended by %q, want %q", end.By, RemoteCancel)
	}
	if _, err := in.Answer(w.ctx); !errors.Is(err, ErrOver) {
		t.Errorf("Answer after the CANCEL returned %v, want %v", err, ErrOver)
	}
	if last := in.Messages(); !strings.HasPrefix(last[len(last)-1], "CANCEL ") && !strings.HasPrefix(last[len(last)-2], "CANCEL ") {
		t.Errorf("the CANCEL is not among the %d messages", len(last))
	}
}

func TestUnansweredCallRingsUntilTheCallerGivesUp(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]Policy{"ringing": NeverAnswer(), "dead": Dead()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			w.bob.OnCall(policy)
			patience, cancel := context.WithTimeout(w.ctx, 700*time.Millisecond)
			defer cancel()
			_, err := w.alice.Dial(patience, bob)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want that the deadline passed", err)
			}
		})
	}
}

func TestHangupEndsTheOtherLeg(t *testing.T) {
	t.Parallel()
	for _, side := range []string{"caller", "called"} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			first, other := w.talk(t)
			if side == "called" {
				first, other = other, first
			}
			if err := other.media.ear.awaitSample(w.ctx, 3*frame); err != nil {
				t.Fatal(err)
			}
			if err := first.Hangup(w.ctx); err != nil {
				t.Fatal(err)
			}
			if end := w.awaitEnd(t, other); end.By != RemoteBye {
				t.Errorf("the other leg ended by %q, want %q", end.By, RemoteBye)
			}
			if end := first.EndReason(); end.By != HungUp {
				t.Errorf("this leg ended by %q, want %q", end.By, HungUp)
			}
			if other.EndedAt().Before(other.AnsweredAt()) || other.LastRTPAt().IsZero() {
				t.Error("the times of the other leg make no sense")
			}
			if err := other.Hangup(w.ctx); err != nil {
				t.Error("hanging up an ended call:", err)
			}
			w.allForgotten(t)
		})
	}
}

func TestBothHangUpAtOnce(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	hers, his := w.talk(t)
	errs := make(chan error, 2)
	go func() { errs <- hers.Hangup(w.ctx) }()
	go func() { errs <- his.Hangup(w.ctx) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestVanishedPhoneGivesNoSign(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	hers, his := w.talk(t)
	if err := his.media.ear.awaitSample(w.ctx, frame); err != nil {
		t.Fatal(err)
	}
	hers.Vanish()
	gone := time.Now()
	patience, cancel := context.WithTimeout(w.ctx, 800*time.Millisecond)
	defer cancel()
	if err := his.media.ear.awaitSample(patience, his.media.ear.received()+sampleRate); err == nil {
		t.Error("a second of audio came from a vanished phone")
	}
	if late := his.LastRTPAt().Sub(gone); late > 200*time.Millisecond {
		t.Errorf("audio still came %v after the phone vanished", late)
	}
	select {
	case <-his.Ended():
		t.Errorf("the other leg ended by %q, want that it knows nothing", his.EndReason().By)
	default:
	}
	patience, cancel = context.WithTimeout(w.ctx, 300*time.Millisecond)
	defer cancel()
	if err := his.Hangup(patience); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("BYE to a vanished phone: %v, want no answer", err)
	}
	if end := hers.EndReason(); end.By != Lost {
		t.Errorf("the vanished leg ended by %q, want %q", end.By, Lost)
	}
}

func TestCallerShowsWhatItChooses(t *testing.T) {
	t.Parallel()
	const hostile = `"; DROP TABLE calls; -- <sip:evil@example.com> \`
	for name, c := range map[string]struct {
		opts       []DialOption
		from, name string
		privacy    string
	}{
		"own number": {nil, alice, "", ""},
		"withheld":   {[]DialOption{Withheld()}, "anonymous", "Anonymous", "id"},
		"spoofed":    {[]DialOption{CallerNumber("+19005550100")}, "+19005550100", "", ""},
		"hostile":    {[]DialOption{DisplayName(hostile)}, alice, quoted.Replace(hostile), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			go w.alice.Dial(w.ctx, bob, c.opts...)
			in, err := w.bob.Accept(w.ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Reject(603)
			if in.From() != c.from || in.DisplayName() != c.name || in.Header("Privacy") != c.privacy {
				t.Errorf("the phone shows %q, name %q, privacy %q; want %q, %q, %q",
					in.From(), in.DisplayName(), in.Header("Privacy"), c.from, c.name, c.privacy)
			}
			if in.Called() != bob {
				t.Errorf("called number is %q, want Bob's", in.Called())
			}
			seen := strings.Join(in.Messages(), "")
			if c.from != alice && strings.Contains(seen, bare(alice)) {
				t.Errorf("the caller's own number shows:\n%s", seen)
			}
		})
	}
}

func TestMessagesAreTheWireText(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	hers, his := w.talk(t, Header("X-Mark", "for the trace"))
	hers.Hangup(w.ctx)
	w.awaitEnd(t, his)
	got := his.Messages()
	var starts []string
	for _, m := range got {
		start, _, _ := strings.Cut(m, " ")
		starts = append(starts, start)
	}
	if want := "INVITE ACK BYE"; strings.Join(starts, " ") != want {
		t.Errorf("Bob received %q, want %s", starts, want)
	}
	if !strings.Contains(got[0], "X-Mark: for the trace\r\n") || !strings.Contains(got[0], "m=audio ") {
		t.Errorf("the INVITE lacks its header or SDP:\n%s", got[0])
	}
	if answer := strings.Join(hers.Messages(), ""); !strings.HasPrefix(answer, "SIP/2.0 180") || !strings.Contains(answer, "a=sendrecv") {
		t.Errorf("Alice's messages lack the ringing or the answer:\n%s", answer)
	}
}

func TestSessionRefreshIsAgreedTo(t *testing.T) {
	t.Parallel()
	for _, method := range []sip.RequestMethod{sip.UPDATE, sip.INVITE} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			w := newTown(t)
			hers, his := w.talk(t)
			his.Tone(1000)
			req := hers.request(method)
			setSession(req, hers.media.session())
			res, err := hers.agent.client.Do(w.ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if method == sip.INVITE {
				hers.agent.client.WriteRequest(hers.request(sip.ACK))
			}
			if res.StatusCode != 200 || string(res.Body()) != string(his.media.session()) {
				t.Errorf("got %d with session\n%s\nwant 200 with\n%s", res.StatusCode, res.Body(), his.media.session())
			}
			if err := hers.HearsTone(w.ctx, 1000, 5*time.Second); err != nil {
				t.Error("after the refresh:", err)
			}
		})
	}
}

func TestClosingANetworkEndsItsCalls(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	_, his := w.talk(t)
	w.bob.OnCall(NeverAnswer())
	result := make(chan error, 1)
	go func() {
		_, err := w.alice.Dial(w.ctx, bob)
		result <- err
	}()
	if err := w.alice.agent.close(); err != nil {
		t.Fatal(err)
	}
	if end := w.awaitEnd(t, his); end.By != RemoteBye {
		t.Errorf("Bob's leg ended by %q, want %q", end.By, RemoteBye)
	}
	if err := <-result; err == nil {
		t.Error("a call being dialled survived the close")
	}
	if _, err := w.alice.Accept(w.ctx); !errors.Is(err, errClosed) {
		t.Errorf("Accept returned %v, want %v", err, errClosed)
	}
}
