package host

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/store"
)

// Webhook is where events are sent to.
type Webhook struct {
	ID     store.WebhookID    `json:"id" example:"hook_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	URL    string             `json:"url" format:"uri" example:"https://site.example/parley"`
	Types  []string           `json:"types" nullable:"false" example:"[\"talk.requested\"]" doc:"Of the events that are sent; empty: all."`
	State  store.WebhookState `json:"state" enum:"active,failing,gone" doc:"failing: an event was given up after two days, and none delivered since. gone: it answered 410, and nothing is sent there any more."`
	MadeAt time.Time          `json:"made_at"`
	Secret string             `json:"secret,omitempty" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD" doc:"Signs what is sent. Told here and nowhere else."`
}

func webhookOf(w store.Webhook) Webhook {
	return Webhook{w.ID, w.URL, append([]string{}, w.Types...), w.State, w.MadeAt, w.Secret}
}

// Delivery is an event on its way to a webhook.
type Delivery struct {
	Event  string              `json:"event" example:"2f1-9c" doc:"The id of the event."`
	Type   string              `json:"type" example:"talk.requested"`
	At     time.Time           `json:"at" doc:"When it happened."`
	State  store.DeliveryState `json:"state" enum:"waiting,delivered,given_up"`
	Tries  int                 `json:"tries" example:"1"`
	Status int                 `json:"status,omitempty" example:"204" doc:"What the last try was answered."`
	Fault  string              `json:"fault,omitempty" example:"too_slow" doc:"Why it was not: address_refused, no_such_host, certificate, too_slow, no_connection, not_valid, or stopping."`
	NextAt *time.Time          `json:"next_at,omitempty" doc:"When it is tried again."`
}

type webhookBody struct {
	URL   string   `json:"url" minLength:"1" maxLength:"2048" example:"https://site.example/parley"`
	Types []string `json:"types,omitempty" nullable:"false" maxItems:"50" doc:"Of the events that it wants; all where not said."`
}

func (h *Host) webhookRoutes() {
	both := []store.Role{store.RoleSite, store.RoleAdmin}
	add(h, huma.Operation{
		OperationID: "make-webhook", Method: http.MethodPost, Path: "/v1/webhooks", DefaultStatus: http.StatusCreated, Summary: "Have events sent to a URL",
		Description: "From now on, by POST, signed as Standard Webhooks 1.0 says (webhook-id, webhook-timestamp, webhook-signature), with " +
			`{"type", "timestamp", "data"} as the body: data is the event's, with its client and advisor. Answer 2xx within 10 seconds; anything else is ` +
			"tried again for two days, 410 ends it. An event may come twice, with the same webhook-id, and out of order. Redirects are not followed.",
		Errors: []int{http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.makeWebhook, both...)
	add(h, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/v1/webhooks", Summary: "List webhooks",
	}, h.listWebhooks, both...)
	add(h, huma.Operation{
		OperationID: "remove-webhook", Method: http.MethodDelete, Path: "/v1/webhooks/{id}", DefaultStatus: http.StatusNoContent, Summary: "Remove a webhook",
		Description: "For good: nothing that waits is sent any more. What was removed already is no error.",
		Errors:      []int{http.StatusNotFound},
	}, h.removeWebhook, both...)
	add(h, huma.Operation{
		OperationID: "test-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/test", DefaultStatus: http.StatusAccepted, Summary: "Send a webhook a test",
		Description: "An event webhook.test, whatever types it wants. Its deliveries tell how that went.",
		Errors:      []int{http.StatusNotFound, http.StatusConflict},
	}, h.testWebhook, both...)
	add(h, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: "/v1/webhooks/{id}/deliveries", Summary: "List what is or was sent to a webhook",
		Errors: []int{http.StatusNotFound},
	}, h.listDeliveries, both...)
}

func (h *Host) makeWebhook(ctx context.Context, in *struct {
	Keyed
	Body webhookBody
}) (*struct{ Body Webhook }, error) {
	if err := h.checkWebhook(in.Body); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "make-webhook", in.Body)
	if err != nil {
		return nil, err
	}
	w, err := h.Store.RequestWebhook(ctx, request, asker(ctx).Who(), in.Body.URL, in.Body.Types)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Webhook }{webhookOf(w)}, nil
}

// checkWebhook says early what would never work. Where a name leads is looked at when it
// is dialled.
func (h *Host) checkWebhook(b webhookBody) error {
	u, err := url.Parse(b.URL)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return invalid("body.url", "write a whole URL, such as https://site.example/parley, without a user and a fragment")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && h.AllowPrivate) {
		return invalid("body.url", "it must begin with https://")
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !h.AllowPrivate && !public(addr) {
		return invalid("body.url", "this address is not a public one")
	}
	for _, t := range b.Types {
		if _, known := eventKinds[t]; !known {
			return invalid("body.types", "choose from the events that /docs lists")
		}
	}
	return nil
}

// Webhooks are all there are.
type Webhooks struct {
	Webhooks []Webhook `json:"webhooks" nullable:"false"`
}

func (h *Host) listWebhooks(ctx context.Context, _ *struct{}) (*struct{ Body Webhooks }, error) {
	hooks, err := h.Store.Webhooks(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Webhook, len(hooks))
	for i, w := range hooks {
		list[i] = webhookOf(w)
	}
	return &struct{ Body Webhooks }{Webhooks{list}}, nil
}

func (h *Host) removeWebhook(ctx context.Context, in *ByID[store.WebhookID]) (*struct{}, error) {
	return nil, h.Store.RemoveWebhook(ctx, asker(ctx).Who(), in.ID)
}

func (h *Host) testWebhook(ctx context.Context, in *struct {
	Keyed
	ByID[store.WebhookID]
}) (*struct{}, error) {
	request, err := in.request(ctx, "test-webhook", in.ID)
	if err != nil {
		return nil, err
	}
	return nil, h.Store.RequestWebhookTest(ctx, request, in.ID)
}

// Deliveries is a page of deliveries.
type Deliveries struct {
	Deliveries []Delivery `json:"deliveries" nullable:"false"`
}

func (h *Host) listDeliveries(ctx context.Context, in *struct {
	ByID[store.WebhookID]
	Before string `query:"before" maxLength:"40" pattern:"^[0-9a-f-]*$" doc:"Only those of events before this one: the next page."`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}) (*struct{ Body Deliveries }, error) {
	var before store.Cursor
	if in.Before != "" {
		var err error
		if before, err = store.ParseCursor(in.Before); err != nil {
			return nil, invalid("query.before", err.Error())
		}
	}
	records, err := h.Store.Deliveries(ctx, in.ID, before, in.Limit)
	if err != nil {
		return nil, err
	}
	list := make([]Delivery, len(records))
	for i, r := range records {
		list[i] = Delivery{r.Event.String(), r.Type, r.At, r.State, r.Tries, r.Status, r.Fault, nil}
		if !r.NextAt.IsZero() {
			list[i].NextAt = &r.NextAt
		}
	}
	return &struct{ Body Deliveries }{Deliveries{list}}, nil
}
