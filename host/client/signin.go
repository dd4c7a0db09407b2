package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// SignIn is a code that was asked for.
type SignIn struct {
	ID    string
	Until time.Time
}

// AskSignIn asks for a code to be sent to a client's telephone.
func (c Client) AskSignIn(ctx context.Context, phone string) (s SignIn, err error) {
	return s, c.do(ctx, http.MethodPost, "/v1/sign-ins", "", map[string]string{"phone": phone}, &s)
}

// SignIn exchanges the code for a session; stay lets it last.
func (c Client) SignIn(ctx context.Context, id, code string, stay bool) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/sign-ins/"+url.PathEscape(id)+"/session", "", map[string]any{"code": code, "stay": stay}, &t)
}

// HandIn exchanges a site's assertion for a session.
func (c Client) HandIn(ctx context.Context, assertion string) (t Token, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/sessions", "", map[string]string{"assertion": assertion}, &t)
}

// SiteKey is by what a site's assertions are checked.
type SiteKey struct {
	ID, Name  string
	PublicKey string    `json:"public_key"`
	MadeAt    time.Time `json:"made_at"`
	RevokedAt time.Time `json:"revoked_at"`
}

func (c Client) AddSiteKey(ctx context.Context, key, name, pem string) (k SiteKey, err error) {
	return k, c.do(ctx, http.MethodPost, "/v1/site-keys", key, map[string]string{"name": name, "public_key": pem}, &k)
}

func (c Client) SiteKeys(ctx context.Context) ([]SiteKey, error) {
	var all struct{ Keys []SiteKey }
	err := c.do(ctx, http.MethodGet, "/v1/site-keys", "", nil, &all)
	return all.Keys, err
}

func (c Client) RevokeSiteKey(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/site-keys/"+url.PathEscape(id), "", nil, nil)
}
