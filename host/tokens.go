package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/store"
)

// Token is a right to ask.
type Token struct {
	ID        store.TokenID `json:"id" example:"tok_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"Names it without being it."`
	Role      store.Role    `json:"role" enum:"site,client,advisor,admin"`
	Client    ivr.ClientID  `json:"client,omitempty" doc:"Whose session it is."`
	Advisor   ivr.AdvisorID `json:"advisor,omitempty" doc:"Whose app has it."`
	Holder    string        `json:"holder,omitempty" example:"Ada" doc:"Who holds it, or what it is for."`
	MadeAt    time.Time     `json:"made_at"`
	Until     time.Time     `json:"until"`
	RevokedAt *time.Time    `json:"revoked_at,omitempty"`
}

func tokenOf(t store.Token) Token {
	out := Token{ID: t.ID, Role: t.Role, Client: t.Client, Advisor: t.Advisor, Holder: t.Holder, MadeAt: t.MadeAt, Until: t.Until}
	if !t.RevokedAt.IsZero() {
		out.RevokedAt = &t.RevokedAt
	}
	return out
}

// NewToken is one with its secret, which is told to whoever asked for it and nobody else.
type NewToken struct {
	Token
	Secret string `json:"token" example:"parley_..." doc:"To be sent as Authorization: Bearer TOKEN. It is kept nowhere."`
}

type newTokenAnswer struct{ Body NewToken }

// Tokens is a page of tokens.
type Tokens struct {
	Tokens []Token `json:"tokens" nullable:"false"`
}

func (h *Host) tokenRoutes() {
	everyone := []store.Role{store.RoleSite, store.RoleClient, store.RoleAdvisor, store.RoleAdmin}
	keyed := []int{http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	add(h, huma.Operation{
		OperationID: "rotate-token", Method: http.MethodPost, Path: "/v1/tokens/rotation", DefaultStatus: http.StatusCreated,
		Summary: "Exchange the token for a new one",
		Description: "With the same rights and what is left of its time, or less. The old one is good for one more minute: " +
			"who did not get the answer sends the same request again in that time, with the same key, and gets the same token.",
		Errors: keyed,
	}, h.rotateToken, everyone...)
	add(h, huma.Operation{
		OperationID: "revoke-current-token", Method: http.MethodDelete, Path: "/v1/tokens/current", DefaultStatus: http.StatusNoContent,
		Summary: "End the token that asks", Description: "Such as when a client signs out.",
	}, h.revokeCurrentToken, everyone...)
	add(h, huma.Operation{
		OperationID: "create-session", Method: http.MethodPost, Path: "/v1/clients/{id}/sessions", DefaultStatus: http.StatusCreated,
		Summary:     "Make a token for a client's session",
		Description: "For the page of a client whom the site has signed in. The site proves who they are; the host does not ask.",
		Errors:      append([]int{http.StatusNotFound}, keyed...),
	}, h.createSession, store.RoleSite)
	add(h, huma.Operation{
		OperationID: "create-advisor-token", Method: http.MethodPost, Path: "/v1/advisors/{id}/tokens", DefaultStatus: http.StatusCreated,
		Summary: "Make a token for an advisor's app", Errors: append([]int{http.StatusNotFound}, keyed...),
	}, h.createAdvisorToken, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: "/v1/tokens", Summary: "List tokens, the newest first",
	}, h.tokens, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "revoke-token", Method: http.MethodDelete, Path: "/v1/tokens/{id}", DefaultStatus: http.StatusNoContent,
		Summary: "End a token for good", Errors: []int{http.StatusNotFound},
	}, h.revokeToken, store.RoleAdmin)
}

func (h *Host) rotateToken(ctx context.Context, in *struct {
	Keyed
	Body struct {
		Lasts int64 `json:"lasts,omitempty" minimum:"1" maximum:"31536000" example:"3600" doc:"Seconds, at most what is left; all that is left where not said."`
	}
}) (*newTokenAnswer, error) {
	request, err := in.request(ctx, "rotate-token", in.Body)
	if err != nil {
		return nil, err
	}
	t, secret, err := h.Store.RotateToken(ctx, request, time.Duration(in.Body.Lasts)*time.Second)
	return newToken(t, secret, err)
}

func newToken(t store.Token, secret string, err error) (*newTokenAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &newTokenAnswer{NewToken{tokenOf(t), secret}}, nil
}

func (h *Host) revokeCurrentToken(ctx context.Context, _ *struct{}) (*struct{}, error) {
	return nil, h.Store.RevokeToken(ctx, asker(ctx).Who(), asker(ctx).ID)
}

func (h *Host) createSession(ctx context.Context, in *struct {
	ByID[ivr.ClientID]
	Keyed
	Body struct {
		Lasts int64 `json:"lasts,omitempty" minimum:"60" maximum:"86400" default:"3600" example:"3600" doc:"Seconds, at most a day."`
	}
}) (*newTokenAnswer, error) {
	request, err := in.request(ctx, "create-session "+string(in.ID), in.Body)
	if err != nil {
		return nil, err
	}
	t, secret, err := h.Store.RequestToken(ctx, request, asker(ctx).Who(),
		store.Token{Role: store.RoleClient, Client: in.ID}, time.Duration(in.Body.Lasts)*time.Second)
	return newToken(t, secret, err)
}

func (h *Host) createAdvisorToken(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Keyed
	Body struct {
		Lasts  int64  `json:"lasts,omitempty" minimum:"60" maximum:"31536000" default:"2592000" example:"2592000" doc:"Seconds, at most a year."`
		Holder string `json:"holder,omitempty" maxLength:"80" pattern:"^[\\p{L}\\p{N} .,'-]*$" example:"Anna's telephone" doc:"What it is for."`
	}
}) (*newTokenAnswer, error) {
	request, err := in.request(ctx, "create-advisor-token "+string(in.ID), in.Body)
	if err != nil {
		return nil, err
	}
	t, secret, err := h.Store.RequestToken(ctx, request, asker(ctx).Who(),
		store.Token{Role: store.RoleAdvisor, Advisor: in.ID, Holder: in.Body.Holder}, time.Duration(in.Body.Lasts)*time.Second)
	return newToken(t, secret, err)
}

func (h *Host) tokens(ctx context.Context, in *struct {
	Before store.TokenID `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only those after this one in the list: the next page."`
	Limit  int           `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*struct{ Body Tokens }, error) {
	list, err := h.Store.Tokens(ctx, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	page := Tokens{make([]Token, len(list))}
	for i, t := range list {
		page.Tokens[i] = tokenOf(t)
	}
	return &struct{ Body Tokens }{page}, nil
}

func (h *Host) revokeToken(ctx context.Context, in *ByID[store.TokenID]) (*struct{}, error) {
	return nil, h.Store.RevokeToken(ctx, asker(ctx).Who(), in.ID)
}
