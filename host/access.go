package host

import (
	"context"
	"errors"
	"net/http"
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
		token, problem := h.authenticate(r, ctx.Operation().OperationID, roles)
		if problem != nil {
			writeProblem(w, problem)
			return
		}
		next(huma.WithValue(ctx, tokenKey{}, token))
	}
}

// onlyFor is admit for what is no operation of the API.
func (h *Host) onlyFor(role store.Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, problem := h.authenticate(r, r.URL.Path, []store.Role{role}); problem != nil {
			writeProblem(w, problem)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authenticate is whose token a request carries, if it may ask for the operation.
func (h *Host) authenticate(r *http.Request, operation string, roles []store.Role) (store.Token, *Problem) {
	secret, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return store.Token{}, newProblem("no_token")
	}
	token, err := h.Store.Authenticate(r.Context(), secret)
	switch {
	case errors.Is(err, store.ErrNoToken):
		return token, h.noToken(r)
	case err != nil:
		return token, h.problem(r.Context(), operation, err)
	case !slices.Contains(roles, token.Role):
		return token, newProblem("not_allowed")
	}
	if err := h.limits.tokens.take(string(token.ID)); err != nil {
		return token, h.problem(r.Context(), operation, err)
	}
	return token, nil
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
