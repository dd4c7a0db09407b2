package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Token is a right to ask.
type Token struct {
	ID, Role, Client, Advisor, Holder string
	MadeAt                            time.Time `json:"made_at"`
	Until                             time.Time
	RevokedAt                         time.Time `json:"revoked_at"`
	Secret                            string    `json:"token"` // of a new one
}

// lasting is for how long a token is asked for; 0 leaves it to the host.
func lasting(d time.Duration) map[string]any {
	body := map[string]any{}
	if d > 0 {
		body["lasts"] = int64(d / time.Second)
	}
	return body
}

// Rotate exchanges the token of c. The same key again gets the same token.
func (c Client) Rotate(ctx context.Context, key string, lasts time.Duration) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/tokens/rotation", key, lasting(lasts), &t)
}

// SignOut ends the token of c.
func (c Client) SignOut(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, "/v1/tokens/current", "", nil, nil)
}

// NewSession makes a client's token.
func (c Client) NewSession(ctx context.Context, key, client string, lasts time.Duration) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, of(client)+"/sessions", key, lasting(lasts), &t)
}

// NewAdvisorToken makes a token for an advisor's app.
func (c Client) NewAdvisorToken(ctx context.Context, key, advisor, holder string, lasts time.Duration) (t Token, err error) {
	body := lasting(lasts)
	if holder != "" {
		body["holder"] = holder
	}
	return t, c.do(ctx, http.MethodPost, "/v1/advisors/"+url.PathEscape(advisor)+"/tokens", key, body, &t)
}

// Tokens is a page of the list; before is the last token of the page before.
func (c Client) Tokens(ctx context.Context, before string) ([]Token, error) {
	var page struct{ Tokens []Token }
	err := c.do(ctx, http.MethodGet, "/v1/tokens?before="+url.QueryEscape(before), "", nil, &page)
	return page.Tokens, err
}

func (c Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(id), "", nil, nil)
}
