package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/store"
)

// Block is someone who is kept apart.
type Block struct {
	Named
	Since time.Time `json:"since"`
}

// Blocks is a list of them.
type Blocks struct {
	Blocks []Block `json:"blocks" nullable:"false"`
}

func (h *Host) blockRoutes() {
	const quietly = "The other side is not told: the advisor seems to be away. A call that is up goes on."
	none := []int{http.StatusNotFound}
	for method, o := range map[string]struct {
		verb    string
		blocked bool
	}{http.MethodPut: {"block", true}, http.MethodDelete: {"unblock", false}} {
		add(h, huma.Operation{
			OperationID: o.verb + "-client", Method: method, Path: "/v1/advisors/{id}/blocks/{client}", DefaultStatus: http.StatusNoContent,
			Summary: map[bool]string{true: "Keep a client from an advisor", false: "Let a client come to an advisor again"}[o.blocked], Description: quietly, Errors: none,
		}, func(ctx context.Context, in *ByPair) (*struct{}, error) {
			if err := onlyOwn(ctx, in.ID); err != nil {
				return nil, err
			}
			return nil, h.Store.SetBlock(ctx, asker(ctx).Who(), store.ByAdvisor, in.Client, in.ID, o.blocked)
		}, store.RoleAdvisor, store.RoleAdmin)
		add(h, huma.Operation{
			OperationID: o.verb + "-advisor", Method: method, Path: "/v1/clients/{id}/blocks/{advisor}", DefaultStatus: http.StatusNoContent,
			Summary: map[bool]string{true: "Keep an advisor from a client", false: "Let an advisor come to a client again"}[o.blocked], Description: quietly, Errors: none,
		}, func(ctx context.Context, in *struct {
			ByID[ivr.ClientID]
			Advisor ivr.AdvisorID `path:"advisor" maxLength:"64" pattern:"^[a-z0-9_]+$"`
		}) (*struct{}, error) {
			if mine := own(ctx); mine != "" && mine != in.ID {
				return nil, newProblem("not_found")
			}
			return nil, h.Store.SetBlock(ctx, asker(ctx).Who(), store.ByClient, in.ID, in.Advisor, o.blocked)
		}, store.RoleSite, store.RoleClient, store.RoleAdmin)
	}
	add(h, huma.Operation{
		OperationID: "list-blocked-clients", Method: http.MethodGet, Path: "/v1/advisors/{id}/blocks", Summary: "List the clients whom an advisor blocks", Errors: none,
	}, func(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{ Body Blocks }, error) {
		if err := onlyOwn(ctx, in.ID); err != nil {
			return nil, err
		}
		list, err := h.Store.BlocksByAdvisor(ctx, in.ID)
		return blocksOf(list, func(b store.Block) Named { return Named{string(b.Client), b.Alias} }), err
	}, store.RoleAdvisor, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "list-blocked-advisors", Method: http.MethodGet, Path: "/v1/clients/{id}/blocks", Summary: "List the advisors whom a client blocks", Errors: none,
	}, func(ctx context.Context, in *ByID[ivr.ClientID]) (*struct{ Body Blocks }, error) {
		if mine := own(ctx); mine != "" && mine != in.ID {
			return nil, newProblem("not_found")
		}
		list, err := h.Store.BlocksByClient(ctx, in.ID)
		return blocksOf(list, func(b store.Block) Named { return Named{string(b.Advisor), b.Name} }), err
	}, store.RoleSite, store.RoleClient, store.RoleAdmin)
}

func blocksOf(list []store.Block, who func(store.Block) Named) *struct{ Body Blocks } {
	out := Blocks{make([]Block, len(list))}
	for i, b := range list {
		out.Blocks[i] = Block{who(b), b.Since}
	}
	return &struct{ Body Blocks }{out}
}
