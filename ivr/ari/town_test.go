package ari

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"parley/ivr"
	"parley/lab"
	"parley/lab/phone"
)

const rtpTimeout = 3 * time.Second

// exchange is a real Asterisk, started by the first test that wants it.
var exchange = sync.OnceValues(func() (*lab.Lab, error) {
	l, err := lab.Start(context.Background(), lab.Options{
		WithoutPostgres: true, WithoutRedis: true, RTPTimeout: rtpTimeout,
	})
	if err != nil {
		return nil, err
	}
	for name, hz := range tones {
		if err = writeTone(filepath.Join(l.Asterisk.PromptsDir, "en", name+".wav"), hz, promptLength); err != nil {
			break
		}
	}
	return l, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if l, err := exchange(); err == nil {
			l.Close()
		}
	}
	os.Exit(code)
}

var started bool

// The prompts of these tests are tones, told apart by their pitch.
var tones = map[string]float64{"low": low, "high": high}

const promptLength = 2 * time.Second

func writeTone(file string, hz float64, length time.Duration) error {
	const rate = 8000
	samples := make([]int16, int(length.Seconds()*rate))
	for i := range samples {
		samples[i] = int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/rate))
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	size := uint32(2 * len(samples))
	for _, part := range []any{
		[]byte("RIFF"), 36 + size, []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1),
		uint32(rate), uint32(2 * rate), uint16(2), uint16(16), []byte("data"), size, samples,
	} {
		if err := binary.Write(f, binary.LittleEndian, part); err != nil {
			return err
		}
	}
	return nil
}

// tonePrompts finds the tones where the real Asterisk sees them.
type tonePrompts struct{ dir string }

func (p tonePrompts) Media(language string, name ivr.Prompt) (string, time.Duration, error) {
	if tones[string(name)] == 0 {
		return "", 0, fmt.Errorf("no prompt %q", name)
	}
	return "sound:" + filepath.Join(p.dir, language, string(name)), promptLength, nil
}

// The numbers of these tests.
const (
	did      = "+493055501001"
	clients  = "+4915112345678"
	advisors = "+4915198765432"
)

// town is the real Asterisk with a switch on it, and the telephone network.
type town struct {
	*testing.T
	lab     *lab.Lab
	carrier *phone.Carrier
	s       *Switch
	in      <-chan incoming
	id      ivr.CallID
}

func newTown(t *testing.T) *town {
	t.Helper()
	started = true
	l, err := exchange()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	carrier, err := phone.NewCarrier(ctx, l.Asterisk.CarrierAddr, l.Asterisk.SIPAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { carrier.Close() })
	town := &town{T: t, lab: l, carrier: carrier}
	town.s = town.open()
	t.Cleanup(town.s.Close)
	town.in = calls(t, town.s)
	return town
}

func (t *town) open() *Switch { return t.openAt(t.lab.Asterisk.URL) }

func (t *town) openAt(url string) *Switch {
	t.Helper()
	s, err := Open(within(t.T, soon), Config{
		URL: url, User: t.lab.Asterisk.User, Password: t.lab.Asterisk.Password,
		RTPTimeout: rtpTimeout,
		Endpoint: map[ivr.LineKind]map[string]string{ivr.SIP: {
			"transport": "udp", "media_address": "127.0.0.1", "bind_rtp_to_media_address": "yes",
		}},
		Prompts: tonePrompts{t.lab.Asterisk.PromptsPath}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// call lets the client call, and answers.
func (t *town) call() (ivr.Leg, *phone.Call) {
	t.Helper()
	dialled := make(chan *phone.Call, 1)
	go func() {
		c, err := t.carrier.Phone(clients).Dial(within(t.T, soon), did)
		if err != nil {
			t.Errorf("the client's call: %v", err)
		}
		dialled <- c
	}()
	in := next(t.T, t.in)
	if in.did != did || in.ani != clients {
		t.Errorf("came in for %q from %q", in.did, in.ani)
	}
	if err := in.leg.Answer(within(t.T, soon)); err != nil {
		t.Fatal(err)
	}
	c := next(t.T, dialled)
	if c == nil {
		t.FailNow()
	}
	return in.leg, c
}

// request dials the advisor's telephone.
func (t *town) request(ring time.Duration) ivr.DialRequest {
	return ivr.DialRequest{
		LegID: string(t.callID()) + ".advisor-1", To: ivr.Line{ID: "line_1", Kind: ivr.Phone, Address: advisors},
		CallerID: did, Ring: ring, CutAfter: time.Minute,
	}
}

// callID is the one call of a test.
func (t *town) callID() ivr.CallID {
	if t.id == "" {
		t.id = ivr.CallID(ivr.NewID("call"))
	}
	return t.id
}

// advisor dials the advisor's telephone, which answers.
func (t *town) advisor() (ivr.Leg, *phone.Call) {
	t.Helper()
	p := t.carrier.Phone(advisors)
	p.OnCall(phone.AnswerAfter(0))
	leg, err := t.s.Dial(within(t.T, soon), t.request(soon))
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Answered(within(t.T, soon))
	if err != nil {
		t.Fatal(err)
	}
	return leg, c
}

const low, high, ours, theirs = 500, 1300, 800, 2000 // Hz

// talk joins the client and the advisor, each of whom makes a tone.
func (t *town) talk() (talk ivr.Talk, client, advisor *party) {
	t.Helper()
	client, advisor = new(party), new(party)
	client.leg, client.Call = t.call()
	advisor.leg, advisor.Call = t.advisor()
	client.Tone(ours)
	advisor.Tone(theirs)
	start := time.Now()
	talk, err := t.s.Bridge(within(t.T, soon), t.callID(), client.leg, advisor.leg)
	if err != nil {
		t.Fatal(err)
	}
	if at := talk.JoinedAt(); at.Before(start) || at.After(time.Now()) {
		t.Errorf("joined at %v", at)
	}
	t.hears(advisor.Call, ours)
	t.hears(client.Call, theirs)
	return talk, client, advisor
}

// party is a leg and the phone at its other end.
type party struct {
	leg ivr.Leg
	*phone.Call
}

func (t *town) hears(c *phone.Call, hz int) {
	t.Helper()
	if err := c.HearsTone(within(t.T, soon), hz, soon); err != nil {
		t.Error(err)
	}
}

// nothingIsLeft waits until Asterisk has no channel and no bridge.
func (t *town) nothingIsLeft() {
	t.Helper()
	var channels []channel
	var bridges []bridge
	if !eventually(func() bool {
		err := t.s.client.do(context.Background(), command{method: "GET", path: path("channels")}, &channels)
		if err == nil {
			err = t.s.client.do(context.Background(), command{method: "GET", path: path("bridges")}, &bridges)
		}
		return err == nil && len(channels)+len(bridges) == 0
	}) {
		t.Errorf("left in Asterisk: %v %v", channels, bridges)
	}
}
