package host

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/host/client"
)

// site is a site's server that is sent events.
type site struct {
	*httptest.Server
	answer func(n int, w http.ResponseWriter) // to the n-th request, from 1

	mu       sync.Mutex
	received []received
}

type received struct {
	header http.Header
	body   string
	event  struct {
		Type      string
		Timestamp time.Time
		Data      map[string]any
	}
}

func newSite(t *testing.T, answer func(n int, w http.ResponseWriter)) *site {
	s := &site{answer: answer}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		got := received{header: r.Header, body: string(text)}
		if err := json.Unmarshal(text, &got.event); err != nil {
			t.Error(err)
		}
		if err != nil || r.Method != http.MethodPost {
			t.Error(r.Method, err)
		}
		s.mu.Lock()
		s.received = append(s.received, got)
		n := len(s.received)
		s.mu.Unlock()
		s.answer(n, w)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) all() []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.received)
}

func statuses(list ...int) func(int, http.ResponseWriter) {
	return func(n int, w http.ResponseWriter) { w.WriteHeader(list[min(n, len(list))-1]) }
}

// courier delivers until the test ends.
func (w *town) courier(allowPrivate bool, pauses ...time.Duration) {
	c := &courier{store: w.store, client: guarded(allowPrivate, nil), pauses: pauses, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); c.run(ctx) }()
	w.Cleanup(func() { cancel(); <-ended })
}

// hook makes a webhook, whose URL may be any.
func (w *town) hook(url string, types ...string) client.Webhook {
	w.Helper()
	w.people++
	hook, err := w.site.MakeWebhook(w.Context(), fmt.Sprint("webhook-", w.people), url, types...)
	w.must(err)
	return hook
}

// delivered waits until a webhook's newest delivery is no longer waiting.
func (w *town) delivered(hook client.Webhook) (d client.Delivery) {
	w.Helper()
	w.await("the delivery", func() bool {
		list, err := w.site.Deliveries(w.Context(), hook.ID, "")
		w.must(err)
		if len(list) > 0 {
			d = list[0]
		}
		return len(list) > 0 && d.State != "waiting"
	})
	return d
}

// What is sent can be verified by whoever knows the secret, and only by them.
func TestWebhookIsSigned(t *testing.T) {
	w := newTown(t)
	w.host.AllowPrivate = true
	s := newSite(t, statuses(200))
	hook := w.hook(s.URL+"/hook?a=b", "deposit.made")
	w.courier(true)
	id, _ := w.newClient(0)
	w.pay(id, "pay_1")
	if d := w.delivered(hook); d.State != "delivered" || d.Status != 200 || d.Tries != 1 || d.Type != "deposit.made" || d.Fault != "" || !d.NextAt.IsZero() {
		t.Errorf("the delivery is %+v", d)
	}
	got := s.all()[0]
	// As https://www.standardwebhooks.com says: HMAC-SHA256 of "id.timestamp.body".
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hook.Secret, "whsec_"))
	w.must(err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(got.header.Get("Webhook-Id") + "." + got.header.Get("Webhook-Timestamp") + "." + got.body))
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); len(key) < 24 || got.header.Get("Webhook-Signature") != want {
		t.Errorf("the signature is %s, want %s", got.header.Get("Webhook-Signature"), want)
	}
	sent, err := strconv.ParseInt(got.header.Get("Webhook-Timestamp"), 10, 64)
	if age := time.Since(time.Unix(sent, 0)); err != nil || age > time.Minute || age < -time.Minute || !strings.HasPrefix(got.header.Get("Webhook-Id"), "evt_") ||
		got.header.Get("Content-Type") != "application/json" {
		t.Errorf("the header is %v", got.header)
	}
	if e := got.event; e.Type != "deposit.made" || time.Since(e.Timestamp) > time.Minute || e.Data["client"] != string(id) || e.Data["payment"] != "pay_1" || e.Data["amount"] != 1.0 {
		t.Errorf("sent %+v", e)
	}
	again, err := w.site.Webhooks(t.Context())
	if w.must(err); len(again) != 1 || again[0].Secret != "" || again[0].URL != hook.URL || again[0].State != "active" {
		t.Errorf("listed %+v", again)
	}
}

// The vector of the Standard Webhooks specification.
func TestSignatureIsTheStandards(t *testing.T) {
	got, err := sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Errorf("signed %s, %v; want %s", got, err, want)
	}
}

// What fails is tried again, with the same ID, until it is delivered or given up.
func TestDeliveryIsTriedAgain(t *testing.T) {
	w := newTown(t)
	w.host.AllowPrivate = true
	w.courier(true, time.Millisecond, time.Millisecond, time.Millisecond)
	id, _ := w.newClient(0)
	for _, c := range []struct {
		what         string
		answers      []int
		state, after string
		tries        int
	}{
		{"twice broken", []int{500, 302, 204}, "delivered", "active", 3},
		{"always broken", []int{503}, "given_up", "failing", 4},
		{"gone", []int{500, 410}, "given_up", "gone", 2},
	} {
		s := newSite(t, statuses(c.answers...))
		hook := w.hook(s.URL, "deposit.made")
		w.pay(id, "pay "+c.what)
		d := w.delivered(hook)
		if last := c.answers[len(c.answers)-1]; d.State != c.state || d.Tries != c.tries || d.Status != last {
			t.Errorf("%s: %+v", c.what, d)
		}
		list, err := w.site.Webhooks(t.Context())
		if w.must(err); list[0].ID != hook.ID || list[0].State != c.after {
			t.Errorf("%s: the webhook is %+v", c.what, list[0])
		}
		ids := map[string]bool{}
		for _, r := range s.all() {
			ids[r.header.Get("Webhook-Id")] = true
		}
		if len(ids) != 1 {
			t.Errorf("%s: sent with the IDs %v", c.what, ids)
		}
		w.must(w.site.RemoveWebhook(t.Context(), hook.ID))
	}
	var all time.Duration
	for _, p := range pauses {
		all += p
	}
	if pauses[0] != 5*time.Second || pauses[len(pauses)-1] != 12*time.Hour || all < 44*time.Hour || all > 52*time.Hour || !slices.IsSorted(pauses) {
		t.Errorf("in life it is tried for %v: %v", all, pauses)
	}
}

// Two couriers send each event once; one that is asked to stop loses none.
func TestCouriersShareTheWork(t *testing.T) {
	w := newTown(t)
	w.host.AllowPrivate = true
	s := newSite(t, statuses(200))
	hook := w.hook(s.URL, "deposit.made")
	id, _ := w.newClient(0)
	first := &courier{store: w.store, client: guarded(true, nil), log: slog.New(slog.DiscardHandler)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan struct{})
	go func() { defer close(ended); first.run(ctx) }()
	w.courier(true)
	const payments = 40
	for i := range payments {
		w.pay(id, fmt.Sprint("pay_", i))
		if i == payments/2 {
			stop()
			<-ended
		}
	}
	var list []client.Delivery
	defer func() {
		if t.Failed() {
			t.Logf("not delivered: %+v", slices.DeleteFunc(list, func(d client.Delivery) bool { return d.State == "delivered" }))
		}
	}()
	w.await("all", func() bool {
		var err error
		list, err = w.site.Deliveries(t.Context(), hook.ID, "")
		w.must(err)
		return len(list) == payments && !slices.ContainsFunc(list, func(d client.Delivery) bool { return d.State != "delivered" })
	})
	sent := map[any]int{}
	for _, r := range s.all() {
		sent[r.event.Data["payment"]]++
	}
	if len(sent) != payments || len(s.all()) != payments {
		t.Errorf("%d requests for %d of %d payments", len(s.all()), len(sent), payments)
	}
	page, err := w.site.Deliveries(t.Context(), hook.ID, "")
	w.must(err)
	older, err := w.site.Deliveries(t.Context(), hook.ID, page[9].Event)
	w.must(err)
	if len(older) != payments-10 || older[0] != page[10] {
		t.Errorf("the next page is %+v", older)
	}
}

// A webhook that leads within is not sent to, and who answers too much is not listened
// to.
func TestWebhookCannotReachWithin(t *testing.T) {
	w := newTown(t)
	w.host.AllowPrivate = true // so that the API takes what only the courier refuses
	within := newSite(t, statuses(200))
	hook := w.hook(within.URL, "webhook.test")
	w.courier(false, time.Hour)
	w.must(w.site.TestWebhook(t.Context(), "test-within", hook.ID))
	w.must(w.site.TestWebhook(t.Context(), "test-within", hook.ID))
	var d client.Delivery
	w.await("the try", func() bool {
		list, err := w.site.Deliveries(t.Context(), hook.ID, "")
		w.must(err)
		if len(list) > 0 {
			d = list[0]
		}
		return d.Fault != ""
	})
	if d.Fault != "address_refused" || d.State != "waiting" || d.Tries != 1 || d.Status != 0 || time.Until(d.NextAt) < 50*time.Minute || d.Type != "webhook.test" || len(within.all()) > 0 {
		t.Errorf("the delivery is %+v, %d were sent", d, len(within.all()))
	}
}

func TestLongAnswerIsNotRead(t *testing.T) {
	w := newTown(t)
	w.host.AllowPrivate = true
	s := newSite(t, func(_ int, w http.ResponseWriter) {
		w.WriteHeader(200)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	})
	hook := w.hook(s.URL)
	w.courier(true)
	w.must(w.site.TestWebhook(t.Context(), "test-long", hook.ID))
	if d := w.delivered(hook); d.State != "delivered" {
		t.Errorf("the delivery is %+v", d)
	}
}

// What would never work, or must not, is refused when a webhook is made.
func TestWebhookIsCheckedWhenItIsMade(t *testing.T) {
	w := newTown(t)
	for url, where := range map[string]string{
		"http://site.example/": "body.url", "ftp://site.example/": "body.url", "//site.example/": "body.url", "https:///": "body.url", "x": "body.url",
		"https://user:secret@site.example/": "body.url", "https://site.example/#x": "body.url", "https://127.0.0.1/": "body.url",
		"https://[::ffff:10.0.0.1]/": "body.url", "https://169.254.169.254/latest": "body.url", "https://[fe80::1%25eth0]/": "body.url",
	} {
		_, err := w.site.MakeWebhook(t.Context(), "webhook-1", url)
		if p := w.problem(url, err, 422, "not_valid"); len(p.Errors) != 1 || p.Errors[0].Where != where {
			t.Errorf("%s: %+v", url, p)
		}
	}
	_, err := w.site.MakeWebhook(t.Context(), "webhook-1", "https://site.example/", "no.such")
	w.problem("an unknown type", err, 422, "not_valid")
	made, err := w.site.MakeWebhook(t.Context(), "webhook-1", "https://site.example/", "talk.requested")
	w.must(err)
	again, err := w.site.MakeWebhook(t.Context(), "webhook-1", "https://site.example/", "talk.requested")
	if w.must(err); again.ID != made.ID || again.Secret != made.Secret || !strings.HasPrefix(made.Secret, "whsec_") {
		t.Errorf("made %+v, then %+v", made, again)
	}
	w.must(w.site.RemoveWebhook(t.Context(), made.ID))
	w.problem("one that was removed", w.site.TestWebhook(t.Context(), "test-removed", made.ID), 404, "not_found")
	if strings.Contains(w.log.String(), made.Secret) {
		t.Error("the secret was logged")
	}
}
