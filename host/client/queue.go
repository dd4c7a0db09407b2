package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// QueueRequest asks for a place in an advisor's line.
type QueueRequest struct {
	Client  string `json:"client,omitempty"` // need not be said by a client's session
	Advisor string `json:"advisor"`
	Mode    string `json:"mode"` // page or call_back
	Topic   string `json:"topic,omitempty"`
	Country string `json:"country,omitempty"`
}

// Wait is a client's waiting for an advisor.
type Wait struct {
	ID, State, Mode, Client string
	Advisor                 Named
	Topic                   string
	JoinedAt                time.Time `json:"joined_at"`
	Place                   int
	AtMost                  *int64 `json:"at_most"` // seconds
	Away                    bool   `json:"advisor_away"`
	Talk                    string
	Until                   *time.Time
}

// InLine is a client who waits, as the advisor is told.
type InLine struct {
	ID, State, Alias, Mode, Topic string
	Since                         time.Time
	Place                         int
}

// JoinQueue asks for a place. The same key again gives the same answer.
func (c Client) JoinQueue(ctx context.Context, key string, r QueueRequest) (w Wait, err error) {
	return w, c.do(ctx, http.MethodPost, "/v1/queue", key, r, &w)
}

func (c Client) Wait(ctx context.Context, id string) (w Wait, err error) {
	return w, c.do(ctx, http.MethodGet, "/v1/queue/"+url.PathEscape(id), "", nil, &w)
}

func (c Client) LeaveQueue(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/queue/"+url.PathEscape(id), "", nil, nil)
}

// Waits are a client's that are not over.
func (c Client) Waits(ctx context.Context, client string) ([]Wait, error) {
	var page struct{ Waits []Wait }
	err := c.do(ctx, http.MethodGet, "/v1/clients/"+url.PathEscape(client)+"/queue", "", nil, &page)
	return page.Waits, err
}

// Queue is an advisor's.
func (c Client) Queue(ctx context.Context, advisor string) ([]InLine, error) {
	var page struct{ Waits []InLine }
	err := c.do(ctx, http.MethodGet, "/v1/advisors/"+url.PathEscape(advisor)+"/queue", "", nil, &page)
	return page.Waits, err
}
