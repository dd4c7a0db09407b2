package phone_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"parley/lab"
	"parley/lab/phone"
)

const (
	did    = "+4930555000"
	client = "+4915112345601"
	mobile = "+498912345602"
)

// exchange is a real Asterisk, driven by the few ARI requests that these tests
// need.
type exchange struct {
	*lab.Asterisk
	t       *testing.T
	ctx     context.Context
	carrier *phone.Carrier
	events  chan event
}

type event struct {
	Type    string
	Digit   string
	Cause   int
	Tech    int `json:"tech_cause"`
	Channel struct{ ID string }
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	l, err := lab.Start(ctx, lab.Options{WithoutPostgres: true, WithoutRedis: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	x := &exchange{Asterisk: l.Asterisk, t: t, ctx: ctx, events: make(chan event, 1000)}
	if x.carrier, err = phone.NewCarrier(ctx, x.CarrierAddr, x.SIPAddr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.carrier.Close() })
	x.listen()
	return x
}

func (x *exchange) listen() {
	x.t.Helper()
	header := http.Header{}
	req := &http.Request{Header: header}
	req.SetBasicAuth(x.User, x.Password)
	url := strings.Replace(x.URL, "http", "ws", 1) + "/events?app=" + x.App
	conn, _, err := websocket.Dial(x.ctx, url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		x.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	go func() {
		defer conn.CloseNow()
		for {
			_, data, err := conn.Read(x.ctx)
			if err != nil {
				return
			}
			var e event
			if json.Unmarshal(data, &e) == nil {
				x.events <- e
			}
		}
	}()
}

// await skips events up to the next of a type.
func (x *exchange) await(kind string) event {
	x.t.Helper()
	for {
		select {
		case e := <-x.events:
			if e.Type == kind {
				return e
			}
		case <-x.ctx.Done():
			x.t.Fatal("no event ", kind)
		}
	}
}

func (x *exchange) do(method, path string, body any) {
	x.t.Helper()
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			x.t.Fatal(err)
		}
	}
	req, err := http.NewRequestWithContext(x.ctx, method, x.URL+path, bytes.NewReader(data))
	if err != nil {
		x.t.Fatal(err)
	}
	req.SetBasicAuth(x.User, x.Password)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		x.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		text, _ := io.ReadAll(res.Body)
		x.t.Fatalf("%s %s: %s: %s", method, path, res.Status, text)
	}
}

// prompt makes a prompt that the exchange can play, and the sound to play.
func (x *exchange) prompt(name string, pcm []int16) (media string) {
	x.t.Helper()
	data := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(36+2*len(pcm)))
	data = append(data, "WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00"...)
	data = binary.LittleEndian.AppendUint32(data, 8000)
	data = binary.LittleEndian.AppendUint32(data, 16000)
	data = append(data, "\x02\x00\x10\x00data"...)
	data = binary.LittleEndian.AppendUint32(data, uint32(2*len(pcm)))
	for _, sample := range pcm {
		data = binary.LittleEndian.AppendUint16(data, uint16(sample))
	}
	if err := os.WriteFile(filepath.Join(x.PromptsDir, name+".wav"), data, 0o644); err != nil {
		x.t.Fatal(err)
	}
	return "sound:" + x.PromptsPath + "/" + name
}

// words makes syllables of a changing pitch; each seed is another sentence.
func words(seed uint64, seconds int) []int16 {
	r := rand.New(rand.NewPCG(seed, 2))
	pcm := make([]int16, seconds*8000)
	var phase, pitch float64
	for i := range pcm {
		if i%1200 == 0 {
			pitch = 90 + 90*r.Float64()
		}
		phase += 2 * math.Pi * pitch / 8000
		envelope := math.Sin(math.Pi * float64(i%1200) / 1200)
		pcm[i] = int16(5000 * envelope * (math.Sin(phase) + 0.6*math.Sin(3*phase) + 0.3*r.NormFloat64()))
	}
	return pcm
}

// line makes an advisor's line at the exchange, as the program does.
func (x *exchange) line(user, password string) {
	x.t.Helper()
	put := func(kind string, fields ...string) {
		x.t.Helper()
		var body struct {
			Fields []map[string]string `json:"fields"`
		}
		for i := 0; i < len(fields); i += 2 {
			body.Fields = append(body.Fields, map[string]string{"attribute": fields[i], "value": fields[i+1]})
		}
		x.do("PUT", "/asterisk/config/dynamic/res_pjsip/"+kind+"/"+user, body)
	}
	put("auth", "auth_type", "digest", "username", user, "password", password)
	put("aor", "max_contacts", "1", "remove_existing", "yes")
	put("endpoint", "auth", user, "aors", user, "context", "from-advisor", "identify_by", "username",
		"disallow", "all", "allow", "alaw", "direct_media", "no",
		"media_address", "127.0.0.1", "bind_rtp_to_media_address", "yes", "rtp_timeout", "10")
}

// ring originates a call and returns the id of its channel.
func (x *exchange) ring(id, endpoint string) string {
	x.t.Helper()
	x.do("POST", "/channels/"+id, map[string]any{"endpoint": endpoint, "app": x.App, "timeout": 10, "callerId": did})
	return id
}

func TestTalkThroughTheExchange(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	welcome, warning := words(1, 2), words(2, 2)
	welcomeSound, warningSound := x.prompt("welcome", welcome), x.prompt("warning", warning)
	x.line("advisor-7", "a secret")

	advisor, err := phone.Register(x.ctx, "127.0.0.1:0", x.SIPAddr, "advisor-7", "a secret")
	if err != nil {
		t.Fatal(err)
	}
	defer advisor.Close()
	advisor.OnCall(phone.AnswerAfter(50 * time.Millisecond))

	dialled := make(chan *phone.Call, 1)
	go func() {
		call, err := x.carrier.Phone(client).Dial(x.ctx, did)
		if err != nil {
			t.Error(err)
		}
		dialled <- call
	}()
	inbound := x.await("StasisStart").Channel.ID
	x.do("POST", "/channels/"+inbound+"/answer", nil)
	hers := <-dialled
	if hers == nil {
		t.FailNow()
	}

	x.do("POST", "/channels/"+inbound+"/play", map[string]string{"media": welcomeSound})
	if _, err := hers.Hear(x.ctx, welcome); err != nil {
		t.Error("the client:", err)
	}
	for name, opts := range map[string][]phone.KeyOption{"RFC 4733": nil, "INFO": {phone.ViaINFO()}} {
		if err := hers.Keys(x.ctx, "19*#", opts...); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for range 4 {
			got.WriteString(x.await("ChannelDtmfReceived").Digit)
		}
		if got.String() != "19*#" {
			t.Errorf("keys by %s: the exchange received %q", name, got.String())
		}
	}

	outbound := x.ring("advisor-leg", "PJSIP/advisor-7")
	his, err := advisor.Answered(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	x.await("StasisStart")
	x.do("POST", "/bridges/talk", map[string]string{"type": "mixing"})
	x.do("POST", "/bridges/talk/addChannel", map[string][]string{"channel": {inbound, outbound}})
	hers.Tone(440)
	his.Tone(1000)
	if err := his.HearsTone(x.ctx, 440, 10*time.Second); err != nil {
		t.Error("the advisor:", err)
	}
	if err := hers.HearsTone(x.ctx, 1000, 10*time.Second); err != nil {
		t.Error("the client:", err)
	}
	x.do("POST", "/channels/"+inbound+"/play", map[string]string{"media": warningSound})
	if _, err := hers.Hear(x.ctx, warning); err != nil {
		t.Error("the client, in the talk:", err)
	}
	if his.HasHeard(warning) || his.HasHeard(welcome) || hers.HasHeard(words(3, 2)) {
		t.Error("a prompt was recognised where it was not played")
	}
	if seen := strings.Join(his.Messages(), ""); strings.Contains(seen, strings.TrimPrefix(client, "+")) {
		t.Errorf("the advisor's phone learned the client's number:\n%s", seen)
	}

	if err := hers.Hangup(x.ctx); err != nil {
		t.Error(err)
	}
	x.do("DELETE", "/channels/"+outbound+"?reason=normal", nil)
	<-his.Ended()
	if end := his.EndReason(); end.By != phone.RemoteBye || end.Cause != 16 {
		t.Errorf("the advisor's leg ended by %q with cause %d, want BYE with 16", end.By, end.Cause)
	}
	if late := his.LastRTPAt().Sub(his.EndedAt()); late > time.Second {
		t.Errorf("audio still came %v after the end", late)
	}
}

func TestPhonesRefuseTheExchange(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	callee := x.carrier.Phone(mobile)
	for i, c := range []struct {
		policy     phone.Policy
		cause, sip int
	}{
		{phone.Busy(), 17, 486},
		{phone.Decline(), 21, 603},
		{phone.Refuse(480), 19, 480},
		{phone.Refuse(404), 1, 404},
	} {
		callee.OnCall(c.policy)
		x.ring(fmt.Sprint("refused-", i), "PJSIP/"+mobile+"@trunk")
		if e := x.await("ChannelDestroyed"); e.Cause != c.cause || e.Tech != c.sip {
			t.Errorf("status %d: cause %d and SIP status %d, want %d", c.sip, e.Cause, e.Tech, c.cause)
		}
	}

	callee.OnCall(nil)
	id := x.ring("given-up", "PJSIP/"+mobile+"@trunk")
	in, err := callee.Accept(x.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Ring(); err != nil {
		t.Fatal(err)
	}
	x.do("DELETE", "/channels/"+id, nil)
	<-in.Ended()
	if end := in.EndReason(); end.By != phone.RemoteCancel {
		t.Errorf("the ringing ended by %q, want CANCEL", end.By)
	}
}

func TestNobodyAtTheExchangeIsRejectedWithACause(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	var rejected *phone.Rejected
	_, err := x.carrier.Phone(client).Dial(x.ctx, "not-a-number")
	if !errors.As(err, &rejected) || rejected.Status != 404 {
		t.Errorf("got %v, want 404", err)
	}
}
