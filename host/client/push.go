package client

import (
	"context"
	"net/http"
	"net/url"
)

// PushSubscription is where an app is told by push.
type PushSubscription struct {
	Endpoint string `json:"endpoint"`
	P256dh   string `json:"p256dh"`
	Auth     string `json:"auth"`
	Line     string `json:"line,omitempty"`
}

func pushOf(advisor string) string { return "/v1/advisors/" + url.PathEscape(advisor) + "/push" }

// PushKey is the host's key for push services; "" where it pushes nothing.
func (c Client) PushKey(ctx context.Context, advisor string) (string, error) {
	var answer struct{ Key string }
	err := c.do(ctx, http.MethodGet, pushOf(advisor), "", nil, &answer)
	return answer.Key, err
}

func (c Client) SavePush(ctx context.Context, advisor string, p PushSubscription) error {
	return c.do(ctx, http.MethodPut, pushOf(advisor), "", p, nil)
}

func (c Client) EndPush(ctx context.Context, advisor string) error {
	return c.do(ctx, http.MethodDelete, pushOf(advisor), "", nil, nil)
}
