package payment

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// double is as much of Stripe as is asked: it makes one intent for one Idempotency-Key,
// and answers the key again with what it answered first.
type double struct {
	*testing.T
	*httptest.Server

	mu      sync.Mutex
	how     map[string]string // by payment method: what becomes of a charge
	intents map[string]string // by ID: their status now
	kept    map[string]answer // by Idempotency-Key
	forms   []url.Values      // of what was asked to be made
	lose    int               // so many answers are lost on the way
}

type answer struct {
	status int
	text   string
}

const testKey = "sk_test_secret"

func newDouble(t *testing.T) *double {
	d := &double{T: t, intents: map[string]string{}, kept: map[string]answer{}}
	d.Server = httptest.NewServer(d)
	t.Cleanup(d.Close)
	return d
}

func (d *double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+testKey || r.Header.Get("Stripe-Version") == "" {
		d.write(w, answer{401, `{"error": {"type": "invalid_request_error"}}`})
		return
	}
	if id, one := strings.CutPrefix(r.URL.Path, "/v1/payment_intents/"); one && r.Method == http.MethodGet {
		d.write(w, answer{200, succeeded(id, d.intents[id], 2000)})
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v1/payment_intents" {
		d.Errorf("asked %s %s", r.Method, r.URL)
	}
	if err := r.ParseForm(); err != nil {
		d.Error(err)
	}
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		d.Error("a charge without an Idempotency-Key")
	}
	if _, again := d.kept[key]; !again {
		d.forms = append(d.forms, r.PostForm)
		d.kept[key] = d.make(r.PostForm)
	}
	if d.lose > 0 {
		d.lose--
		panic(http.ErrAbortHandler) // the connection breaks
	}
	d.write(w, d.kept[key])
}

func (d *double) write(w http.ResponseWriter, a answer) {
	w.WriteHeader(a.status)
	io.WriteString(w, a.text)
}

func (d *double) make(form url.Values) answer {
	id := fmt.Sprintf("pi_%d", len(d.forms))
	switch how := form.Get("payment_method"); how {
	case "pm_ok":
		d.intents[id] = "succeeded"
		return answer{200, succeeded(id, "succeeded", 2000)}
	case "pm_less":
		return answer{200, succeeded(id, "succeeded", 1999)}
	case "pm_processing", "pm_requires_action", "pm_canceled":
		d.intents[id] = strings.TrimPrefix(how, "pm_")
		return answer{200, succeeded(id, d.intents[id], 0)}
	case "pm_missing":
		return answer{404, `{"error": {"type": "invalid_request_error", "code": "resource_missing"}}`}
	case "pm_no_json":
		return answer{200, `<html>`}
	case "pm_other_json":
		return answer{200, `{"object": "list", "data": []}`}
	case "pm_key_reused":
		return answer{400, `{"error": {"type": "idempotency_error"}}`}
	case "pm_409", "pm_429", "pm_500":
		status, _ := strconv.Atoi(strings.TrimPrefix(how, "pm_"))
		return answer{status, `{"error": {"type": "api_error"}}`}
	default: // the decline code of a card
		return answer{402, fmt.Sprintf(`{"error": {"type": "card_error", "code": "card_declined", "decline_code": %q,
			"payment_intent": {"id": %q, "status": "requires_payment_method"}}}`, how, id)}
	}
}

func succeeded(id, status string, received int) string {
	return fmt.Sprintf(`{"id": %q, "object": "payment_intent", "status": %q, "amount": 2000, "amount_received": %d, "currency": "eur"}`, id, status, received)
}

func charge(id, method string) Charge {
	return Charge{ID: id, Client: "cli_1", Means: Means{"cus_1", method}, Amount: 20_00, Currency: "EUR"}
}

// What Stripe answers is paid, declined, or not known; nothing is taken for paid that
// was not, and for declined that may be paid.
func TestWhatStripesAnswersMean(t *testing.T) {
	d := newDouble(t)
	s := NewStripe(d.URL+"/", testKey, "")
	for method, want := range map[string]struct {
		Answer
		unknown string // what the error says
	}{
		"pm_ok":                   {Answer{Reference: "pi_x"}, ""},
		"insufficient_funds":      {Answer{"pi_x", NotEnough}, ""},
		"expired_card":            {Answer{"pi_x", Expired}, ""},
		"authentication_required": {Answer{"pi_x", NeedsOwner}, ""},
		"stolen_card":             {Answer{"pi_x", Refused}, ""},
		"pm_requires_action":      {Answer{"pi_x", NeedsOwner}, ""},
		"pm_canceled":             {Answer{"pi_x", Refused}, ""},
		"pm_missing":              {Answer{"", Unusable}, ""},
		"pm_processing":           {Answer{Reference: "pi_x"}, "being processed"},
		"pm_less":                 {Answer{Reference: "pi_x"}, "received 19.99"},
		"pm_key_reused":           {Answer{}, "idempotency_error"},
		"pm_409":                  {Answer{}, "409"},
		"pm_429":                  {Answer{}, "429"},
		"pm_500":                  {Answer{}, "500"},
		"pm_no_json":              {Answer{}, "no JSON"},
		"pm_other_json":           {Answer{}, "no error in it"},
	} {
		got, err := s.Charge(t.Context(), charge("pay_"+method, method))
		if want.Reference != "" {
			want.Reference = fmt.Sprintf("pi_%d", len(d.forms))
		}
		if got != want.Answer || (err != nil) != (want.unknown != "") || err != nil && !strings.Contains(err.Error(), want.unknown) {
			t.Errorf("%s: %+v, %v; want %+v", method, got, err, want)
		}
	}
	if _, err := NewStripe(d.URL, "sk_wrong", "").Charge(t.Context(), charge("pay_1", "pm_ok")); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "sk_wrong") {
		t.Errorf("with a wrong key: %v", err)
	}
}

// The owner cannot be asked anything, and the payment can be told from its notice.
func TestWhatStripeIsAsked(t *testing.T) {
	d := newDouble(t)
	if _, err := NewStripe(d.URL, testKey, "").Charge(t.Context(), charge("pay_1", "pm_ok")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"amount": "2000", "currency": "eur", "customer": "cus_1", "payment_method": "pm_ok",
		"off_session": "true", "confirm": "true", "error_on_requires_action": "true",
		"automatic_payment_methods[allow_redirects]": "never", "metadata[client]": "cli_1", "metadata[payment]": "pay_1"} {
		if got := d.forms[0].Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// An answer that was lost is asked for again with the same key: one charge.
func TestALostAnswerChargesOnce(t *testing.T) {
	d := newDouble(t)
	s := NewStripe(d.URL, testKey, "")
	s.http.Transport = &http.Transport{DisableKeepAlives: true} // nothing below tries again
	d.lose = 1
	if got, err := s.Charge(t.Context(), charge("pay_1", "pm_ok")); err == nil {
		t.Fatalf("the lost answer was %+v", got)
	}
	for range 2 {
		if got, err := s.Charge(t.Context(), charge("pay_1", "pm_ok")); err != nil || got != (Answer{Reference: "pi_1"}) {
			t.Errorf("asked again: %+v, %v", got, err)
		}
	}
	if len(d.forms) != 1 {
		t.Errorf("%d charges", len(d.forms))
	}
}

// What was being processed is looked at later, not asked for again: its key would be
// answered as before.
func TestAProcessedPaymentIsLookedAt(t *testing.T) {
	d := newDouble(t)
	s := NewStripe(d.URL, testKey, "")
	c := charge("pay_1", "pm_processing")
	first, err := s.Charge(t.Context(), c)
	if err == nil || first.Reference != "pi_1" {
		t.Fatalf("%+v, %v", first, err)
	}
	c.Reference = first.Reference
	if got, err := s.Charge(t.Context(), c); err == nil {
		t.Errorf("while it is processed: %+v", got)
	}
	d.intents["pi_1"] = "succeeded"
	if got, err := s.Charge(t.Context(), c); err != nil || got != (Answer{Reference: "pi_1"}) {
		t.Errorf("once it is paid: %+v, %v", got, err)
	}
	d.intents["pi_1"] = "requires_payment_method"
	if got, err := s.Charge(t.Context(), c); err != nil || got.Declined != Refused {
		t.Errorf("once it has failed: %+v, %v", got, err)
	}
	if len(d.forms) != 1 {
		t.Errorf("%d charges", len(d.forms))
	}
}

// Nobody waits for ever, and nobody is sent elsewhere with the key.
func TestNoAnswerIsNotKnown(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { close(asked); <-release }))
	defer slow.Close()
	defer close(release)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("it took too long")
	go func() { <-asked; cancel(why) }()
	if got, err := NewStripe(slow.URL, testKey, "").Charge(ctx, charge("pay_1", "pm_ok")); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", got, err)
	}
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("was followed") }))
	defer elsewhere.Close()
	sends := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer sends.Close()
	if got, err := NewStripe(sends.URL, testKey, "").Charge(t.Context(), charge("pay_1", "pm_ok")); err == nil {
		t.Errorf("redirected: %+v", got)
	}
}

const secret = "whsec_test"

func sign(at time.Time, body, with string) string {
	mac := hmac.New(sha256.New, []byte(with))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

const event = `{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1", "object": "payment_intent",
	"amount": 2000, "amount_received": 1500, "currency": "eur", "metadata": {"client": "cli_1", "payment": "pay_1"}}}}`

// Only what Stripe signed with our secret, not long ago, is believed.
func TestOnlySignedNoticesAreBelieved(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	stamp := func(at time.Time) string { return fmt.Sprintf("t=%d,", at.Unix()) }
	good := sign(now, event, secret)
	old, early := now.Add(-noticeAge-time.Second), now.Add(noticeAge+time.Second)
	for what, c := range map[string]struct {
		signature, body string
		believed        bool
	}{
		"signed":                         {stamp(now) + good, event, true},
		"with spaces":                    {stamp(now) + " " + good, event, true},
		"two secrets":                    {stamp(now) + sign(now, event, "whsec_old") + "," + good, event, true},
		"four minutes old":               {stamp(now.Add(-4*time.Minute)) + sign(now.Add(-4*time.Minute), event, secret), event, true},
		"no signature":                   {"", event, false},
		"no v1":                          {stamp(now), event, false},
		"only v0":                        {stamp(now) + "v0" + strings.TrimPrefix(good, "v1"), event, false},
		"no time":                        {good, event, false},
		"a time that is none":            {"t=now," + good, event, false},
		"another's secret":               {stamp(now) + sign(now, event, "whsec_other"), event, false},
		"an empty secret":                {stamp(now) + sign(now, event, ""), event, false},
		"another body":                   {stamp(now) + good, strings.Replace(event, "1500", "9500", 1), false},
		"another time":                   {stamp(now.Add(time.Second)) + good, event, false},
		"old":                            {stamp(old) + sign(old, event, secret), event, false},
		"from the future":                {stamp(early) + sign(early, event, secret), event, false},
		"a time at the end of all times": {"t=-9223372036854775808," + good, event, false},
		"not hex":                        {stamp(now) + "v1=zz", event, false},
	} {
		s := NewStripe("", "", secret)
		s.now = func() time.Time { return now }
		n, ok, err := s.ReadNotice(http.Header{"Stripe-Signature": {c.signature}}, []byte(c.body))
		if c.believed != ok || c.believed != (err == nil) || !c.believed && (!errors.Is(err, ErrSignature) || n != Notice{}) {
			t.Errorf("%s: %+v, %v, %v", what, n, ok, err)
		}
	}
	s := NewStripe("", "", "")
	if _, _, err := s.ReadNotice(http.Header{"Stripe-Signature": {"t=" + fmt.Sprint(time.Now().Unix()) + "," + sign(time.Now(), event, "")}}, []byte(event)); !errors.Is(err, ErrSignature) {
		t.Errorf("without a secret of our own: %v", err)
	}
}

func TestNoticesSayWhatCameInForWhom(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		body string
		want Notice
		ok   bool
		err  error
	}{
		"of ours":      {event, Notice{"pay_1", "pi_1", "cli_1", 15_00, "EUR"}, true, nil},
		"of a site":    {strings.Replace(event, `, "payment": "pay_1"`, "", 1), Notice{"pi_1", "pi_1", "cli_1", 15_00, "EUR"}, true, nil},
		"for nobody":   {strings.Replace(event, `{"client": "cli_1", "payment": "pay_1"}`, "{}", 1), Notice{"pi_1", "pi_1", "", 15_00, "EUR"}, true, nil},
		"other news":   {strings.Replace(event, "succeeded", "payment_failed", 1), Notice{}, false, nil},
		"an odd ID":    {strings.Replace(event, "cli_1", "cli_\\u0000", 1), Notice{}, false, ErrUnreadable},
		"not JSON":     {"{", Notice{}, false, ErrUnreadable},
		"no amount":    {strings.Replace(event, `"amount_received": 1500`, `"amount_received": 0`, 1), Notice{}, false, ErrUnreadable},
		"no reference": {strings.Replace(event, "pi_1", "", 1), Notice{}, false, ErrUnreadable},
	} {
		s := NewStripe("", "", secret)
		header := http.Header{"Stripe-Signature": {fmt.Sprintf("t=%d,%s", now.Unix(), sign(now, c.body, secret))}}
		n, ok, err := s.ReadNotice(header, []byte(c.body))
		if n != c.want || ok != c.ok || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v, %v; want %+v", what, n, ok, err, c.want)
		}
	}
}

func TestTheTestProviderDoesAsItIsTold(t *testing.T) {
	var p Test
	for method, want := range map[string]Answer{TestOK: {Reference: "test_pay_1"}, TestDeclined: {"test_pay_1", Refused}, "pm_card": {"test_pay_1", Unusable}} {
		if got, err := p.Charge(t.Context(), charge("pay_1", method)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", method, got, err)
		}
	}
	if got, err := p.Charge(t.Context(), charge("pay_2", TestLost)); err == nil {
		t.Errorf("lost: %+v", got)
	}
	if got, err := p.Charge(t.Context(), charge("pay_2", TestLost)); err != nil || got.Declined != "" {
		t.Errorf("asked again: %+v, %v", got, err)
	}
	if _, _, err := p.ReadNotice(nil, []byte(event)); !errors.Is(err, ErrSignature) {
		t.Errorf("a notice of nobody's: %v", err)
	}
}
