package lab_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"parley/lab"
	"parley/lab/phone"
)

// exchange is one Asterisk, the carrier's network in front of it, and a program that
// takes its calls.
type exchange struct {
	*lab.Asterisk
	carrier *phone.Carrier
	events  chan event
}

type event struct {
	Type    string
	Args    []string
	Digit   string
	Channel struct{ ID string }
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	l, err := lab.Start(t.Context(), lab.Options{WithoutPostgres: true, WithoutRedis: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	carrier, err := phone.NewCarrier(t.Context(), l.Asterisk.CarrierAddr, l.Asterisk.SIPAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { carrier.Close() })
	return &exchange{Asterisk: l.Asterisk, carrier: carrier, events: make(chan event, 1000)}
}

// connect makes the test the program that calls are given to.
func (x *exchange) connect(t *testing.T) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://none", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(x.User, x.Password)
	url := "ws" + strings.TrimPrefix(x.URL, "http") + "/events?app=" + x.App
	conn, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: req.Header})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	go func() {
		for {
			_, text, err := conn.Read(t.Context())
			if err != nil {
				return // the test has ended
			}
			var e event
			if json.Unmarshal(text, &e) == nil {
				x.events <- e
			}
		}
	}()
}

// await returns the next event of a type and drops those before it.
func (x *exchange) await(t *testing.T, kind string) event {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-x.events:
			if e.Type == kind {
				return e
			}
		case <-limit:
			t.Fatalf("no %s", kind)
		}
	}
}

// ari gives one command and returns the answer.
func (x *exchange) ari(t *testing.T, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, x.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(x.User, x.Password)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, answer, err)
	}
	return string(answer)
}

func TestACallGivesEveryEventThatIsNeeded(t *testing.T) {
	x := newExchange(t)
	x.connect(t)
	ctx := t.Context()
	client, advisor := x.carrier.Phone("+442070000001"), x.carrier.Phone("+442070000002")
	advisor.OnCall(phone.AnswerAfter(0))

	type dialled struct {
		call *phone.Call
		err  error
	}
	dialling := make(chan dialled, 1)
	go func() {
		call, err := client.Dial(ctx, "+442070000999")
		dialling <- dialled{call, err}
	}()
	start := x.await(t, "StasisStart")
	if want := []string{"in", "442070000999"}; !slices.Equal(start.Args, want) {
		t.Errorf("the program is told %q, not %q", start.Args, want)
	}
	in := "/channels/" + start.Channel.ID
	if got := x.ari(t, "GET", in+"/variable?variable=TIMEOUT(absolute)", ""); !strings.Contains(got, `"8`) && !strings.Contains(got, `"9`) {
		t.Errorf("the call may live without the program for %s, not 90 s", got)
	}
	x.ari(t, "POST", "/applications/"+x.App+"/subscription?eventSource=channel:"+start.Channel.ID, "")
	x.ari(t, "POST", in+"/answer", "")
	x.await(t, "ChannelStateChange")
	d := <-dialling
	if d.err != nil {
		t.Fatal(d.err)
	}

	for keys, how := range map[string][]phone.KeyOption{"12": nil, "*#": {phone.ViaINFO()}} {
		if err := d.call.Keys(ctx, keys, how...); err != nil {
			t.Fatal(err)
		}
		if got := x.await(t, "ChannelDtmfReceived").Digit + x.await(t, "ChannelDtmfReceived").Digit; got != keys {
			t.Errorf("keys %s arrive as %s", keys, got)
		}
	}
	x.ari(t, "POST", in+"/play?media=sound:digits/4", "")
	x.await(t, "PlaybackStarted")
	x.await(t, "PlaybackFinished")
	x.ari(t, "POST", in+"/ring", "")
	if err := d.call.HearsTone(ctx, 440, 10*time.Second); err != nil {
		t.Errorf("no ringing: %v", err)
	}
	x.ari(t, "DELETE", in+"/ring", "")

	// The number of the originator is what Asterisk would show by itself.
	x.ari(t, "POST", "/channels/advisor", fmt.Sprintf(
		`{"endpoint":"PJSIP/%s@trunk","app":%q,"originator":%q,"callerId":"A Name"}`, "+442070000002", x.App, start.Channel.ID))
	x.await(t, "Dial")
	answered, err := advisor.Answered(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range answered.Messages() {
		if strings.Contains(message, "70000001") || strings.Contains(message, "70000999") {
			t.Errorf("the advisor's phone is told the client's number or the line's:\n%s", message)
		}
	}
	x.await(t, "StasisStart")
	x.ari(t, "POST", "/bridges/talk?type=mixing", "")
	x.ari(t, "POST", "/bridges/talk/addChannel?channel=advisor,"+start.Channel.ID, "")
	x.await(t, "ChannelEnteredBridge")
	x.await(t, "ChannelEnteredBridge")
	if err := d.call.Hangup(ctx); err != nil {
		t.Fatal(err)
	}
	x.await(t, "ChannelHangupRequest")
	x.await(t, "ChannelLeftBridge")
	x.await(t, "ChannelDestroyed")
	x.ari(t, "DELETE", "/channels/advisor", "")
	x.await(t, "ChannelDestroyed")
}

func TestWithoutTheProgramCallersHearAnApology(t *testing.T) {
	x := newExchange(t)
	x.apologise(t, "Asterisk's own sounds", nil)

	file := filepath.Join(x.PromptsDir, "en/service-unavailable.wav")
	speak(t, file, "Sorry. Please call again later.")
	prompt, err := phone.LoadWAV(file)
	if err != nil {
		t.Fatal(err)
	}
	x.apologise(t, "the prompt", prompt)
}

// apologise calls a line that no program serves, and checks what the caller hears.
func (x *exchange) apologise(t *testing.T, with string, prompt []int16) {
	t.Helper()
	call, err := x.carrier.Phone("+442070000001").Dial(t.Context(), "442070000999")
	if err != nil {
		t.Fatalf("%s: %v", with, err)
	}
	select {
	case <-call.Ended():
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: the call does not end", with)
	}
	if end := call.EndReason(); end.By != phone.RemoteBye || end.Cause != 34 {
		t.Errorf("%s: the call ends by %+v", with, end)
	}
	if loudness(call.Audio()) < 100 {
		t.Errorf("%s: nothing is heard", with)
	}
	if prompt != nil && !call.HasHeard(prompt) {
		t.Errorf("%s: something else is heard", with)
	}
}

// speak renders a prompt as Asterisk wants it: 8 kHz, mono, 16 bit.
func speak(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	wide := filepath.Join(t.TempDir(), "wide.wav")
	if out, err := exec.CommandContext(t.Context(), "flite", "-voice", "slt", "-t", text, "-o", wide).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), "sox", wide, "-r", "8000", "-c", "1", "-b", "16", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// loudness is the root mean square of a sound.
func loudness(pcm []int16) float64 {
	var sum float64
	for _, sample := range pcm {
		sum += float64(sample) * float64(sample)
	}
	return math.Sqrt(sum / float64(max(1, len(pcm))))
}

func TestWhatIsNotANumberReachesNobody(t *testing.T) {
	x := newExchange(t)
	x.connect(t)
	for _, number := range []string{"+44abc20", "12,34", "s", "123)4", "12%7D3", "12%24%7BEXTEN%7D", strings.Repeat("1", 33), "++44207"} {
		_, err := x.carrier.Phone("+442070000001").Dial(t.Context(), number)
		refused(t, number, err, 404)
	}
	select {
	case e := <-x.events:
		t.Errorf("the program is told: %+v", e)
	default:
	}
}

func TestOnlyTheCarrierMayCall(t *testing.T) {
	x := newExchange(t)
	stranger, err := phone.NewCarrier(t.Context(), "127.0.0.1:0", x.SIPAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	for _, name := range []string{"trunk", "+442070000001"} {
		_, err := stranger.Phone(name).Dial(t.Context(), "442070000999")
		refused(t, "a stranger as "+name, err, 401)
	}
}

func TestAnAdvisorsPhoneCanBeCalledAndCallNobody(t *testing.T) {
	x := newExchange(t)
	x.connect(t)
	x.push(t, "auth", "adv_1", map[string]string{"auth_type": "digest", "username": "adv_1", "password": "secret"})
	x.push(t, "aor", "adv_1", map[string]string{"max_contacts": "1"})
	x.push(t, "endpoint", "adv_1", map[string]string{"transport": "udp", "context": "from-advisor", "aors": "adv_1", "auth": "adv_1",
		"disallow": "all", "allow": "ulaw", "direct_media": "no", "media_address": "127.0.0.1", "bind_rtp_to_media_address": "yes"})
	x.ari(t, "POST", "/applications/"+x.App+"/subscription?eventSource=endpoint:PJSIP/adv_1", "")

	advisor, err := phone.Register(t.Context(), "127.0.0.1:0", x.SIPAddr, "adv_1", "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer advisor.Close()
	x.await(t, "ContactStatusChange")
	if got := x.ari(t, "GET", "/endpoints/PJSIP/adv_1", ""); !strings.Contains(got, `"online"`) {
		t.Errorf("the registered phone is %s", got)
	}
	for _, number := range []string{"442070000999", "+442070000999", "1", "s", "600"} {
		_, err := advisor.Dial(t.Context(), number)
		refused(t, number, err, 404)
	}

	advisor.OnCall(phone.Decline())
	x.ari(t, "POST", "/channels/ring-adv", fmt.Sprintf(`{"endpoint":"PJSIP/adv_1","app":%q}`, x.App))
	if e := x.await(t, "ChannelDestroyed"); e.Channel.ID != "ring-adv" {
		t.Errorf("%s ended", e.Channel.ID)
	}
	if _, err := phone.Register(t.Context(), "127.0.0.1:0", x.SIPAddr, "adv_1", "wrong"); err == nil {
		t.Error("a wrong password is taken")
	}
}

// push makes an object of res_pjsip's.
func (x *exchange) push(t *testing.T, kind, id string, attributes map[string]string) {
	t.Helper()
	type field struct {
		Attribute string `json:"attribute"`
		Value     string `json:"value"`
	}
	var fields []field
	for attribute, value := range attributes {
		fields = append(fields, field{attribute, value})
	}
	// disallow clears what allow has set.
	slices.SortFunc(fields, func(a, b field) int { return -strings.Compare(a.Attribute, b.Attribute) })
	body, err := json.Marshal(map[string]any{"fields": fields})
	if err != nil {
		t.Fatal(err)
	}
	x.ari(t, http.MethodPut, "/asterisk/config/dynamic/res_pjsip/"+kind+"/"+id, string(body))
}

// refused checks that a call was refused with a SIP status.
func refused(t *testing.T, what string, err error, status int) {
	t.Helper()
	var rejected *phone.Rejected
	if !errors.As(err, &rejected) || rejected.Status != status {
		t.Errorf("%s: %v, not %d", what, err, status)
	}
}
