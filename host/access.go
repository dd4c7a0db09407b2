package host

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"parley/ivr"
	"parley/store"
)

type tokenKey struct{}

// admit lets through who has a token of one of the roles, and tells the handlers
// whose it is. Nothing of the body is read before.
func (h *Host) admit(roles []store.Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		secret, found := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
		if !found {
			writeProblem(w, newProblem("no_token"))
			return
		}
		token, err := h.Store.Authenticate(ctx.Context(), secret)
		switch {
		case errors.Is(err, store.ErrNoToken):
			writeProblem(w, h.noToken(r))
		case err != nil:
			writeProblem(w, h.problem(ctx.Context(), ctx.Operation().OperationID, err))
		case !slices.Contains(roles, token.Role):
			writeProblem(w, newProblem("not_allowed"))
		default:
			if err := h.limits.tokens.take(string(token.ID)); err != nil {
				writeProblem(w, h.problem(ctx.Context(), ctx.Operation().OperationID, err))
				return
			}
			next(huma.WithValue(ctx, tokenKey{}, token))
		}
	}
}

// asker is whose token a request carries.
func asker(ctx context.Context) store.Token { return ctx.Value(tokenKey{}).(store.Token) }

// own narrows what the store is asked to what the asker may see: a client's session to
// that client, others to nobody ("").
func own(ctx context.Context) ivr.ClientID { return asker(ctx).Client }

// ownAdvisor is the same for an advisor's app.
func ownAdvisor(ctx context.Context) ivr.AdvisorID { return asker(ctx).Advisor }

// onlyOwn refuses an advisor's app what is another advisor's, as if it were not there.
func onlyOwn(ctx context.Context, advisor ivr.AdvisorID) error {
	if mine := ownAdvisor(ctx); mine != "" && mine != advisor {
		return newProblem("not_found")
	}
	return nil
}

// actFor is the client for whom the asker acts: the session's own, or who is named.
func actFor(ctx context.Context, named ivr.ClientID) (ivr.ClientID, error) {
	mine := own(ctx)
	switch {
	case mine == "" && named == "":
		return "", invalid("body.client", "name the client for whom you ask")
	case mine != "" && named != "" && named != mine:
		return "", newProblem("not_allowed")
	case mine != "":
		return mine, nil
	}
	return named, nil
}
