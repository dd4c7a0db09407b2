package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Receipts is a page of receipts.
type Receipts struct {
	Receipts []Receipt `json:"receipts" nullable:"false"`
}

// Caps are how much a client lets themselves spend.
type Caps struct {
	Currency string       `json:"currency" example:"EUR"`
	Day      Cap          `json:"day" doc:"In any 24 hours."`
	Week     Cap          `json:"week" doc:"In any 7 days."`
	Held     money.Amount `json:"held" example:"0" doc:"Set aside for calls that are up: it counts as spent until they end."`
	MaySpend money.Amount `json:"may_spend" example:"1500" doc:"What a call can cost that begins now: by the caps and by what is available, in minor units."`
}

// Cap is one of them.
type Cap struct {
	Amount  *money.Amount `json:"amount,omitempty" example:"5000" doc:"What it is now, in minor units; not there: no cap."`
	Charged money.Amount  `json:"charged" example:"3500" doc:"In its time until now. It is counted only where there is a cap."`
	Next    *NextCap      `json:"next,omitempty" doc:"What it will be; not there: it stays."`
}

// NextCap is what a cap will be.
type NextCap struct {
	Amount *money.Amount `json:"amount,omitempty" example:"10000" doc:"Not there: no cap."`
	From   time.Time     `json:"from"`
}

func capsOf(c store.Caps) Caps {
	cap := func(c store.Cap) Cap {
		out := Cap{Amount: c.Amount, Charged: c.Charged}
		if c.Next != nil {
			out.Next = &NextCap{c.Next.Amount, c.Next.From}
		}
		return out
	}
	return Caps{c.Currency, cap(c.Day), cap(c.Week), c.Held, c.MayHold}
}

type capsBody struct {
	Day  *money.Amount `json:"day,omitempty" minimum:"0" maximum:"1000000000" example:"5000" doc:"In any 24 hours, in minor units; not there: no cap."`
	Week *money.Amount `json:"week,omitempty" minimum:"0" maximum:"1000000000" example:"20000" doc:"In any 7 days; not there: no cap."`
}

func (h *Host) clientRoutes() {
	const caps = "/v1/clients/{id}/caps"
	everyone := []store.Role{store.RoleSite, store.RoleClient, store.RoleAdmin}
	add(h, huma.Operation{
		OperationID: "list-receipts", Method: http.MethodGet, Path: "/v1/clients/{id}/receipts", Summary: "See a client's receipts, the newest first",
		Errors: []int{http.StatusNotFound},
	}, h.receipts, everyone...)
	add(h, huma.Operation{
		OperationID: "get-caps", Method: http.MethodGet, Path: caps, Summary: "See how much a client lets themselves spend",
		Errors: []int{http.StatusNotFound},
	}, h.getCaps, everyone...)
	add(h, huma.Operation{
		OperationID: "set-caps", Method: http.MethodPut, Path: caps, Summary: "Set how much a client lets themselves spend",
		Description: "A cap that is tighter than before holds at once, and no call is begun or lengthened beyond it. One that is raised or taken away does so after a day.",
		Errors:      []int{http.StatusNotFound},
	}, h.setCaps, store.RoleSite, store.RoleClient)
	add(h, huma.Operation{
		OperationID: "delete-client", Method: http.MethodPost, Path: "/v1/clients/{id}/deletion", DefaultStatus: http.StatusNoContent,
		Summary: "Delete a client",
		Description: "What is known of them is overwritten, their numbers and tokens end at once, and their telephone number may be another client's. " +
			"What was called and paid stays in the books, under their ID.",
		Errors: deletionErrors,
	}, h.deleteClient, everyone...)
	add(h, huma.Operation{
		OperationID: "delete-advisor", Method: http.MethodPost, Path: "/v1/advisors/{id}/deletion", DefaultStatus: http.StatusNoContent,
		Summary: "Delete an advisor", Description: "As a client is deleted. Their lines are never rung again.",
		Errors: deletionErrors,
	}, h.deleteAdvisor, store.RoleAdmin)
}

var deletionErrors = []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}

func (h *Host) receipts(ctx context.Context, in *struct {
	ByID[ivr.ClientID]
	Before ivr.CallID `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only those after this call in the list: the next page."`
	Limit  int        `query:"limit" minimum:"1" maximum:"50" default:"20"`
}) (*struct{ Body Receipts }, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	list, err := h.Store.Receipts(ctx, in.ID, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	page := Receipts{make([]Receipt, len(list))}
	for i, r := range list {
		page.Receipts[i] = receiptOf(r)
	}
	return &struct{ Body Receipts }{page}, nil
}

func (h *Host) getCaps(ctx context.Context, in *ByID[ivr.ClientID]) (*struct{ Body Caps }, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	c, err := h.Store.Caps(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Caps }{capsOf(c)}, nil
}

func (h *Host) setCaps(ctx context.Context, in *struct {
	ByID[ivr.ClientID]
	Body capsBody
}) (*struct{ Body Caps }, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	c, err := h.Store.SetCaps(ctx, asker(ctx).Who(), in.ID, in.Body.Day, in.Body.Week)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Caps }{capsOf(c)}, nil
}

func (h *Host) deleteClient(ctx context.Context, in *struct {
	ByID[ivr.ClientID]
	Keyed
}) (*struct{}, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "delete-client", in.ID)
	if err != nil {
		return nil, err
	}
	return nil, h.Store.DeleteClient(ctx, request, asker(ctx).Who(), in.ID)
}

func (h *Host) deleteAdvisor(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Keyed
}) (*struct{}, error) {
	request, err := in.request(ctx, "delete-advisor", in.ID)
	if err != nil {
		return nil, err
	}
	return nil, h.Store.DeleteAdvisor(ctx, request, asker(ctx).Who(), in.ID)
}
