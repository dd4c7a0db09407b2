package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
)

func (h *hosted) webhook(types ...string) Webhook {
	h.t.Helper()
	// What happened before cannot be read while an older transaction runs, anywhere in the
	// cluster, and would be told to it too.
	for readableYet := false; !readableYet; {
		h.must(h.db.Get(&readableYet, `SELECT NOT EXISTS (SELECT FROM events WHERE NOT (`+readable+`))`))
	}
	w, err := h.RequestWebhook(h.t.Context(), Request{h.site, fmt.Sprint("hook-", h.calls.Add(1)), "hook"}, "test", "https://site.example/hook", types)
	h.must(err)
	return w
}

// happen writes an event of a type in a transaction of its own.
func (h *hosted) happen(kind string) {
	h.t.Helper()
	h.must(h.inTx(h.t.Context(), func(ctx context.Context, tx *sqlx.Tx) error { return h.emit(ctx, tx, Event{Type: kind}) }))
}

// claim queues and claims until this many were claimed.
func (h *hosted) claim(want int) (claimed []Delivery) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); len(claimed) < want; {
		_, err := h.QueueDeliveries(h.t.Context())
		h.must(err)
		more, err := h.ClaimDeliveries(h.t.Context(), nil, 100, time.Minute)
		h.must(err)
		if claimed = append(claimed, more...); time.Now().After(end) {
			h.t.Fatalf("only %d of %d can be claimed", len(claimed), want)
		}
	}
	return claimed
}

func (h *hosted) states(id WebhookID) (words []string) {
	h.t.Helper()
	list, err := h.Deliveries(h.t.Context(), id, Cursor{}, 100)
	h.must(err)
	for _, d := range list {
		words = append(words, fmt.Sprint(d.Type, " ", d.State, " ", d.Tries, " ", d.Status, d.Fault))
	}
	slices.Sort(words)
	return words
}

// A webhook is told of the types that it wants, of what happened since it was made, and
// of its own tests; its secret is told once and written nowhere.
func TestWebhookIsToldWhatItWants(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	h.happen("test.before")
	some, all := h.webhook("test.one"), h.webhook()
	if again, err := h.RequestWebhook(ctx, Request{h.site, "hook-again", "hook"}, "test", some.URL, nil); err != nil || !strings.HasPrefix(again.Secret, "whsec_") {
		t.Errorf("made %+v, %v", again, err)
	} else if same, err := h.RequestWebhook(ctx, Request{h.site, "hook-again", "hook"}, "test", some.URL, nil); err != nil || same.Secret != again.Secret || same.ID != again.ID {
		t.Errorf("the same request made %+v, %v", same, err)
	} else {
		h.must(h.RemoveWebhook(ctx, "test", again.ID))
		h.must(h.RemoveWebhook(ctx, "test", again.ID))
	}
	h.happen("test.one")
	h.happen("test.two")
	for range 2 {
		h.must(h.RequestWebhookTest(ctx, Request{h.site, "test-test", "x"}, some.ID))
	}
	claimed := map[string][]string{}
	for _, d := range h.claim(4) {
		if d.Tries != 1 || d.URL != some.URL || d.Event.At.IsZero() {
			t.Errorf("claimed %+v", d)
		}
		if secret := map[WebhookID]string{some.ID: some.Secret, all.ID: all.Secret}[d.Webhook]; d.Secret != secret || secret == "" {
			t.Error("the secret is another")
		}
		claimed[string(d.Webhook)] = append(claimed[string(d.Webhook)], d.Event.Type)
	}
	if got := fmt.Sprint(claimed[string(some.ID)], claimed[string(all.ID)]); got != "[test.one webhook.test] [test.one test.two]" {
		t.Errorf("claimed %s", got)
	}
	list, err := h.Webhooks(ctx)
	h.must(err)
	if len(list) != 2 || list[0].Secret != "" || list[0].State != WebhookActive || !slices.Equal(list[1].Types, []string{"test.one"}) {
		t.Errorf("listed %+v", list)
	}
	for where, text := range h.everything() {
		if strings.Contains(string(text), strings.TrimPrefix(all.Secret, "whsec_")) {
			t.Errorf("%s holds a secret", where)
		}
	}
	for range webhooksMost - 2 {
		h.webhook()
	}
	if _, err := h.RequestWebhook(ctx, Request{h.site, "hook-over", "hook"}, "test", some.URL, nil); !errors.Is(err, ErrTooManyWebhooks) {
		t.Errorf("one too many: %v", err)
	}
	if err := h.RemoveWebhook(ctx, "test", "hook_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if _, err := h.Deliveries(ctx, "hook_no", Cursor{}, 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("the deliveries of one that is not there: %v", err)
	}
}

// Of many processes each delivery is claimed by one; what one died with is claimed again
// when its lease is over, and then what the dead one says changes nothing.
func TestDeliveryIsClaimedByOneAtATime(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	hook := h.webhook()
	const events = 30
	for range events {
		h.happen("test.event")
	}
	var mu sync.Mutex
	claims := map[string]int{}
	var last Delivery
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
				if _, err := h.QueueDeliveries(ctx); err != nil {
					t.Error(err)
				}
				claimed, err := h.ClaimDeliveries(ctx, nil, 3, time.Minute)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, d := range claimed {
					claims[d.Event.Cursor.String()]++
					last = d
				}
				done := len(claims) == events
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	wg.Wait()
	for event, n := range claims {
		if n != 1 {
			t.Errorf("%s was claimed %d times", event, n)
		}
	}
	if len(claims) != events {
		t.Fatalf("%d of %d were claimed", len(claims), events)
	}
	h.superuser().MustExec(`UPDATE deliveries SET next_at = now() WHERE event = $1`, int64(last.Event.Cursor.id))
	second := h.claim(1)
	if second[0].Tries != 2 || second[0].Event.Cursor != last.Event.Cursor {
		t.Fatalf("claimed %+v", second)
	}
	h.must(h.FinishDelivery(ctx, last, DeliveryResult{Status: 200}))
	if n := inState(h.states(hook.ID), "delivered"); n != 0 {
		t.Error("who lost the claim decided")
	}
	h.must(h.FinishDelivery(ctx, second[0], DeliveryResult{Status: 200}))
	if n := inState(h.states(hook.ID), "delivered"); n != 1 {
		t.Errorf("%d are delivered", n)
	}
}

func inState(words []string, word string) (n int) {
	for _, w := range words {
		if strings.Contains(w, " "+word+" ") {
			n++
		}
	}
	return n
}

// A failure is tried again at its time; one that is given up marks the webhook until one
// is delivered, 410 ends it. The audit log says so.
func TestWebhookIsMarkedByItsDeliveries(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	hook := h.webhook()
	state := func(want WebhookState) {
		t.Helper()
		if list, err := h.Webhooks(ctx); err != nil || len(list) != 1 || list[0].State != want {
			t.Errorf("the webhooks are %+v, %v; want %s", list, err, want)
		}
	}
	step := func(r DeliveryResult, states string, want WebhookState) {
		t.Helper()
		h.happen("test.event")
		d := h.claim(1)[0]
		for range 2 {
			h.must(h.FinishDelivery(ctx, d, r))
		}
		if got := h.states(hook.ID); !slices.Contains(got, states) {
			t.Errorf("the deliveries are %v, want %s", got, states)
		}
		state(want)
	}
	step(DeliveryResult{Status: 500, Again: time.Hour}, "test.event waiting 1 500", WebhookActive)
	step(DeliveryResult{Fault: "too_slow"}, "test.event given_up 1 0too_slow", WebhookFailing)
	step(DeliveryResult{Status: 503}, "test.event given_up 1 503", WebhookFailing)
	step(DeliveryResult{Status: 204, Again: time.Hour}, "test.event delivered 1 204", WebhookActive)
	h.happen("test.event")
	step(DeliveryResult{Status: 410, Again: time.Hour}, "test.event given_up 1 410", WebhookGone)
	h.happen("test.event")
	if _, err := h.QueueDeliveries(ctx); err != nil {
		t.Error(err)
	}
	if claimed, err := h.ClaimDeliveries(ctx, nil, 100, time.Minute); err != nil || len(claimed) > 0 {
		t.Errorf("one that is gone is sent %v, %v", claimed, err)
	}
	if n := inState(h.states(hook.ID), "waiting"); n != 0 {
		t.Errorf("%d wait for one that is gone", n)
	}
	acts, err := h.Log(ctx, string(hook.ID), 10)
	h.must(err)
	var whats []string
	for _, a := range acts {
		whats = append(whats, a.What)
	}
	if got := strings.Join(whats, ", "); got != "webhook gone, webhook works again, webhook failing, webhook made" {
		t.Errorf("the audit log says %s", got)
	}
	h.clean()
}
