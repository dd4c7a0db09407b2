package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Webhook is where events are sent to. Secret is there only when it was just made.
type Webhook struct {
	ID, URL string
	Types   []string
	State   string
	MadeAt  time.Time `json:"made_at"`
	Secret  string
}

// Delivery is an event on its way to a webhook.
type Delivery struct {
	Event, Type string
	At          time.Time
	State       string
	Tries       int
	Status      int
	Fault       string
	NextAt      time.Time `json:"next_at"`
}

// MakeWebhook has events of some types, or of all, sent to a URL.
func (c Client) MakeWebhook(ctx context.Context, key, address string, types ...string) (w Webhook, err error) {
	return w, c.do(ctx, http.MethodPost, "/v1/webhooks", key, map[string]any{"url": address, "types": append([]string{}, types...)}, &w)
}

func (c Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var all struct{ Webhooks []Webhook }
	err := c.do(ctx, http.MethodGet, "/v1/webhooks", "", nil, &all)
	return all.Webhooks, err
}

func (c Client) RemoveWebhook(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/webhooks/"+url.PathEscape(id), "", nil, nil)
}

func (c Client) TestWebhook(ctx context.Context, key, id string) error {
	return c.do(ctx, http.MethodPost, "/v1/webhooks/"+url.PathEscape(id)+"/test", key, nil, nil)
}

// Deliveries is a page of what is or was sent to a webhook, the newest event first;
// before is the last event of the page before.
func (c Client) Deliveries(ctx context.Context, id, before string) ([]Delivery, error) {
	var page struct{ Deliveries []Delivery }
	err := c.do(ctx, http.MethodGet, "/v1/webhooks/"+url.PathEscape(id)+"/deliveries?before="+url.QueryEscape(before), "", nil, &page)
	return page.Deliveries, err
}
