package host

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"parley/ivr"
	"parley/store"
)

// SMS sends short messages to telephones.
type SMS interface {
	Send(ctx context.Context, to, text string) error
}

const (
	smsTakes     = 20 * time.Second
	sessionLasts = 12 * time.Hour      // of a client who has signed in
	stayLasts    = 30 * 24 * time.Hour // likewise, on a device that is theirs alone
)

// SignInWays is how a client can sign in.
type SignInWays struct {
	Code bool   `json:"code" doc:"By a code to the telephone: POST /v1/sign-ins."`
	Site string `json:"site,omitempty" format:"uri" example:"https://site.example/sign-in" doc:"Where the site signs its people in; not there where the host knows no such place."`
}

// SignIn is a code that was asked for.
type SignIn struct {
	ID    string    `json:"id" example:"sign_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	Until time.Time `json:"until" doc:"How long the code is good."`
}

type signInBody struct {
	Phone string `json:"phone" minLength:"4" maxLength:"32" pattern:"^[+0-9 ()/.-]+$" example:"0151 12345601" doc:"E.164, or as it is written in the country of the plan's first number."`
}

type codeBody struct {
	Code string `json:"code" pattern:"^[0-9]{6}$" example:"031415"`
	Stay bool   `json:"stay,omitempty" doc:"true: the device is the client's own, and the session lasts 30 days, not 12 hours."`
}

type addressKey struct{}

// addOpen registers what anyone may ask, without a token.
func addOpen[I, O any](h *Host, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes, op.BodyReadTimeout = bodyMost, bodyTakes
	op.Errors = append(op.Errors, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	op.Middlewares = huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if err := h.limits.open.take(h.address(r)); err != nil {
			writeProblem(w, h.problem(ctx.Context(), op.OperationID, err))
			return
		}
		next(huma.WithValue(ctx, addressKey{}, h.address(r)))
	}}
	huma.Register(h.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, h.problem(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

func (h *Host) signInRoutes() {
	sent := []int{http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	addOpen(h, huma.Operation{
		OperationID: "sign-in-ways", Method: http.MethodGet, Path: "/v1/sign-in", Summary: "See how a client can sign in",
	}, func(context.Context, *struct{}) (*struct{ Body SignInWays }, error) {
		return &struct{ Body SignInWays }{SignInWays{Code: h.SMS != nil, Site: h.SignInURL}}, nil
	})
	addOpen(h, huma.Operation{
		OperationID: "ask-sign-in", Method: http.MethodPost, Path: "/v1/sign-ins", DefaultStatus: http.StatusAccepted,
		Summary: "Ask for a code to sign in",
		Description: "It is sent to the telephone where that is a client's. The answer is the same where it is not, and nothing is sent. " +
			"A number gets 5 codes in an hour and 10 in a day. No Idempotency-Key is looked at: the same request again asks for another code.",
		Errors: sent,
	}, h.askSignIn)
	addOpen(h, huma.Operation{
		OperationID: "sign-in", Method: http.MethodPost, Path: "/v1/sign-ins/{id}/session", DefaultStatus: http.StatusCreated,
		Summary:     "Exchange a code for a client's session",
		Description: "A code can be tried 5 times. The same request again within a minute, because the answer was lost, gets the same token.",
		Errors:      append([]int{http.StatusConflict}, sent...),
	}, h.signIn)
}

func (h *Host) askSignIn(ctx context.Context, in *struct{ Body signInBody }) (*struct{ Body SignIn }, error) {
	if h.SMS == nil {
		return nil, newProblem("sign_in_off")
	}
	if err := h.limits.signIns.take(ctx.Value(addressKey{}).(string)); err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	phone, ok := plan.E164(in.Body.Phone)
	if !ok {
		return nil, invalid("body.phone", "this is no telephone number; write it with its country, such as +49 151 12345601")
	}
	made, err := h.Store.CreateSignIn(ctx, phone)
	if err != nil {
		return nil, err
	}
	// Nobody waits for it, so that nobody can tell by the time it takes whose number it is.
	if made.Client != "" {
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), smsTakes)
			defer cancel()
			text := fmt.Sprintf("%s is your code to sign in. It is good for 10 minutes. Tell it to nobody.", made.Code)
			err := plan.MayCall(phone)
			if err == nil {
				err = h.SMS.Send(ctx, phone, text)
			}
			if err != nil {
				h.Log.Error("a code was not sent", "sign_in", made.ID, "err", err)
			}
		}()
	}
	return &struct{ Body SignIn }{SignIn{made.ID, made.Until}}, nil
}

func (h *Host) signIn(ctx context.Context, in *struct {
	ID   string `path:"id" maxLength:"64" pattern:"^[a-z0-9_]*$"`
	Body codeBody
}) (*newTokenAnswer, error) {
	lasts := sessionLasts
	if in.Body.Stay {
		lasts = stayLasts
	}
	t, secret, err := h.Store.UseSignIn(ctx, in.ID, in.Body.Code, lasts)
	switch {
	case errors.Is(err, ivr.ErrWrongCode):
		if err := h.limits.refused.take(ctx.Value(addressKey{}).(string)); err != nil {
			return nil, err
		}
		return nil, newProblem("wrong_code")
	case errors.Is(err, store.ErrSignInOver):
		return nil, newProblem("code_over")
	}
	return newToken(t, secret, err)
}
