package host

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"parley/store"
)

// pauses are how long a webhook is waited for after each try that failed: two days in
// all, then an event is given up. Up to a fifth is added by chance, so that what failed
// together does not come again together.
var pauses = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
	3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 12 * time.Hour, 12 * time.Hour,
}

const (
	deliveredAtOnce = 8 // events claimed for one webhook, sent one after the other
	deliveryLease   = deliveredAtOnce*answerTakes + 40*time.Second
	deliveryPolled  = time.Second
)

// DeliverWebhooks sends events to the webhooks that want them, until ctx ends. Each is
// sent at least once, as a rule in order, and never while its transaction could still be
// undone. Copies of the program share the work. Without allowPrivate only public
// addresses are sent to.
func DeliverWebhooks(ctx context.Context, s *store.Store, allowPrivate bool, log *slog.Logger) {
	(&courier{store: s, client: guarded(allowPrivate, nil), pauses: pauses, log: log}).run(ctx)
}

type courier struct {
	store  *store.Store
	client *http.Client
	pauses []time.Duration
	log    *slog.Logger
}

func (c *courier) run(ctx context.Context) {
	notices := c.store.Listen(ctx, store.TopicEvents, store.TopicWebhooks)
	busy, done := map[store.WebhookID]bool{}, make(chan store.WebhookID)
	for ctx.Err() == nil {
		more, err := c.store.QueueDeliveries(ctx)
		var claimed []store.Delivery
		if err == nil {
			// A claim is not broken off: what was claimed unheard would wait for its lease.
			claimed, err = c.store.ClaimDeliveries(context.WithoutCancel(ctx), slices.Collect(maps.Keys(busy)), deliveredAtOnce, deliveryLease)
		}
		if err != nil && ctx.Err() == nil {
			c.log.Warn("webhooks are told later", "err", err)
		}
		for _, d := range claimed {
			if busy[d.Webhook] {
				continue
			}
			busy[d.Webhook] = true
			go func() {
				c.deliver(ctx, slices.DeleteFunc(slices.Clone(claimed), func(o store.Delivery) bool { return o.Webhook != d.Webhook }))
				done <- d.Webhook
			}()
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-notices:
		case id := <-done:
			delete(busy, id)
		case <-time.After(deliveryPolled):
		}
	}
	for range busy { // each ends with its request
		<-done
	}
}

// deliver sends the claimed events of one webhook. What ctx leaves unsent can be claimed
// again at once.
func (c *courier) deliver(ctx context.Context, claimed []store.Delivery) {
	for _, d := range claimed {
		result := store.DeliveryResult{Fault: "stopping", Again: time.Millisecond}
		if ctx.Err() == nil {
			result = c.try(ctx, d)
		}
		if err := c.store.FinishDelivery(context.WithoutCancel(ctx), d, result); err != nil {
			c.log.Warn("a webhook may be told again", "webhook", d.Webhook, "event", d.Event.Cursor, "err", err)
		}
	}
}

// try sends one event, and lets a request that is under way end.
func (c *courier) try(ctx context.Context, d store.Delivery) (result store.DeliveryResult) {
	if d.Tries <= len(c.pauses) {
		pause := c.pauses[d.Tries-1]
		result.Again = pause + rand.N(pause/5+1)
	}
	request, err := newDelivery(context.WithoutCancel(ctx), d, time.Now())
	if err != nil {
		result.Fault = "not_valid"
		return result
	}
	answer, err := c.client.Do(request)
	if err != nil {
		result.Fault = faultOf(err)
		return result
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, answerMost) // so that the connection can be used again; the status decides
	result.Status = answer.StatusCode
	return result
}

// newDelivery makes a request as Standard Webhooks 1.0 describes it.
func newDelivery(ctx context.Context, d store.Delivery, now time.Time) (*http.Request, error) {
	data := maps.Clone(d.Event.Data)
	if d.Event.Client != "" {
		data["client"] = d.Event.Client
	}
	if d.Event.Advisor != "" {
		data["advisor"] = d.Event.Advisor
	}
	body, err := json.Marshal(struct {
		Type      string         `json:"type"`
		Timestamp time.Time      `json:"timestamp"`
		Data      map[string]any `json:"data"`
	}{d.Event.Type, d.Event.At, data})
	if err != nil {
		return nil, err
	}
	id, at := "evt_"+d.Event.Cursor.String(), fmt.Sprint(now.Unix())
	signature, err := sign(d.Secret, id, at, body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "parley/"+Version)
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", at)
	request.Header.Set("webhook-signature", signature)
	return request, nil
}

func sign(secret, id, at string, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return "", errors.New("the webhook's secret cannot be read")
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// faultOf is why there was no answer, in a word that tells nothing of our network.
func faultOf(err error) string {
	var (
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		timely interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, errNotPublic):
		return "address_refused"
	case errors.As(err, &dns):
		return "no_such_host"
	case errors.As(err, &cert):
		return "certificate"
	case errors.As(err, &timely) && timely.Timeout():
		return "too_slow"
	}
	return "no_connection"
}
