package host

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Adjustment is money that an administrator moved, or wants to.
type Adjustment struct {
	ID        string                `json:"id" example:"adj_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	Kind      store.AdjustmentKind  `json:"kind" enum:"refund,adjustment,payout"`
	State     store.AdjustmentState `json:"state" enum:"asked,made,refused,expired" doc:"asked: another person must approve it; nothing has moved."`
	Client    ivr.ClientID          `json:"client,omitempty"`
	Advisor   ivr.AdvisorID         `json:"advisor,omitempty"`
	Call      ivr.CallID            `json:"call,omitempty"`
	From      string                `json:"from" example:"platform/EUR" doc:"The account that gives."`
	To        string                `json:"to" example:"client/cli_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"The account that receives."`
	Amount    money.Amount          `json:"amount" example:"478" doc:"In minor units, above 0."`
	Currency  string                `json:"currency" example:"EUR"`
	Reason    string                `json:"reason"`
	AskedBy   string                `json:"asked_by" example:"Ada"`
	AskedAt   time.Time             `json:"asked_at"`
	Until     *time.Time            `json:"until,omitempty" doc:"By then another person must approve it. Not there where one was enough."`
	DecidedBy string                `json:"decided_by,omitempty" example:"Grace" doc:"Who approved or refused it."`
	DecidedAt *time.Time            `json:"decided_at,omitempty"`
}

func adjustmentOf(a store.Adjustment) Adjustment {
	return Adjustment{a.ID, a.Kind, a.State, a.Client, a.Advisor, a.Call, a.Debit, a.Credit, a.Amount, a.Currency, a.Reason,
		a.AskedBy, a.AskedAt, timeOrNil(a.Until), a.DecidedBy, timeOrNil(a.DecidedAt)}
}

type adjustmentBody struct {
	Kind    store.AdjustmentKind `json:"kind" enum:"refund,adjustment,payout" doc:"refund: all or a part of what a call cost, back to its client. adjustment: an account is put right. payout: money that left the house for a client or an advisor."`
	Client  ivr.ClientID         `json:"client,omitempty" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Whose account. A refund goes to its call's client, who need not be named."`
	Advisor ivr.AdvisorID        `json:"advisor,omitempty" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Or whose."`
	Call    ivr.CallID           `json:"call,omitempty" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"What is paid back, or what it is about."`
	Amount  money.Amount         `json:"amount" minimum:"-100000000000" maximum:"100000000000" example:"478" doc:"In minor units. An adjustment's is below 0 where it takes."`
	Reason  string               `json:"reason" minLength:"3" maxLength:"500" example:"The line was bad."`
	From    string               `json:"from,omitempty" enum:"platform,advisor" doc:"Who pays a refund: the platform unless said, which may pay more than it has earned; or the advisor, at most their share of the call."`
}

func (h *Host) adjustmentRoutes() {
	doing := []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	admin := store.RoleAdmin
	add(h, huma.Operation{
		OperationID: "adjust", Method: http.MethodPost, Path: "/v1/adjustments", DefaultStatus: http.StatusCreated,
		Summary: "Move money: a refund, a correction or a payout",
		Description: "Done at once, or, above the plan's limits.second_person, once another person has approved it, within seven days. " +
			"What the same person moved on the same account in the last 24 hours, without another, counts with it. " +
			"No client's and no advisor's account falls below zero; all refunds of a call are at most its charge.",
		Errors: doing,
	}, h.adjust, admin)
	add(h, huma.Operation{
		OperationID: "list-adjustments", Method: http.MethodGet, Path: "/v1/adjustments", Summary: "List adjustments, the newest first",
	}, h.adjustments, admin)
	add(h, huma.Operation{
		OperationID: "get-adjustment", Method: http.MethodGet, Path: "/v1/adjustments/{id}", Summary: "See an adjustment",
		Errors: []int{http.StatusNotFound},
	}, h.adjustment, admin)
	add(h, huma.Operation{
		OperationID: "approve-adjustment", Method: http.MethodPost, Path: "/v1/adjustments/{id}/approval",
		Summary: "Approve what another person asked for", Description: "The money moves. Nobody approves their own, with whatever token.",
		Errors: doing,
	}, h.approve, admin)
	add(h, huma.Operation{
		OperationID: "refuse-adjustment", Method: http.MethodPost, Path: "/v1/adjustments/{id}/refusal",
		Summary: "Refuse what another person asked for, or take back your own", Errors: doing,
	}, h.refuse, admin)
}

// person is who asks, by name: of old tokens nobody said who holds them.
func person(ctx context.Context) (string, error) {
	if strings.TrimSpace(asker(ctx).Holder) == "" {
		p := newProblem("not_allowed")
		p.Detail = "The token does not say who holds it."
		return "", p
	}
	return asker(ctx).Holder, nil
}

func (h *Host) adjust(ctx context.Context, in *struct {
	Keyed
	Body adjustmentBody
}) (*struct{ Body Adjustment }, error) {
	by, err := person(ctx)
	if err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "adjust", in.Body)
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	b := in.Body
	a, err := h.Store.Adjust(ctx, request, plan, by, store.AdjustmentRequest{
		Kind: b.Kind, Client: b.Client, Advisor: b.Advisor, Call: b.Call, Amount: b.Amount, FromAdvisor: b.From == "advisor", Reason: b.Reason,
	})
	return &struct{ Body Adjustment }{adjustmentOf(a)}, adjustmentProblem(err)
}

// Adjustments is a page of adjustments.
type Adjustments struct {
	Adjustments []Adjustment `json:"adjustments" nullable:"false"`
}

func (h *Host) adjustments(ctx context.Context, in *struct {
	State   string        `query:"state" enum:"asked" doc:"Only those that another person must approve."`
	Client  ivr.ClientID  `query:"client" maxLength:"64" pattern:"^[a-z0-9_]*$"`
	Advisor ivr.AdvisorID `query:"advisor" maxLength:"64" pattern:"^[a-z0-9_]*$"`
	Call    ivr.CallID    `query:"call" maxLength:"64" pattern:"^[a-z0-9_]*$"`
	Before  string        `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only older ones: the last of the page before."`
	Limit   int           `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*struct{ Body Adjustments }, error) {
	list, err := h.Store.Adjustments(ctx, store.AdjustmentFilter{
		Client: in.Client, Advisor: in.Advisor, Call: in.Call, Waiting: in.State != "", Before: in.Before,
	}, in.Limit)
	return &struct{ Body Adjustments }{Adjustments{each(list, adjustmentOf)}}, err
}

func (h *Host) adjustment(ctx context.Context, in *ByID[string]) (*struct{ Body Adjustment }, error) {
	a, err := h.Store.Adjustment(ctx, in.ID)
	return &struct{ Body Adjustment }{adjustmentOf(a)}, err
}

// decision is a request about one adjustment.
type decision struct {
	ID string `path:"id" maxLength:"64" pattern:"^[a-z0-9_]+$"`
	Keyed
}

func (h *Host) approve(ctx context.Context, in *decision) (*struct{ Body Adjustment }, error) {
	return decide(ctx, in, "approve-adjustment", h.Store.Approve)
}

func (h *Host) refuse(ctx context.Context, in *decision) (*struct{ Body Adjustment }, error) {
	return decide(ctx, in, "refuse-adjustment", h.Store.Refuse)
}

func decide(ctx context.Context, in *decision, operation string,
	do func(ctx context.Context, request store.Request, id, by string) (store.Adjustment, error)) (*struct{ Body Adjustment }, error) {
	by, err := person(ctx)
	if err != nil {
		return nil, err
	}
	request, err := in.request(ctx, operation, in.ID)
	if err != nil {
		return nil, err
	}
	a, err := do(ctx, request, in.ID, by)
	return &struct{ Body Adjustment }{adjustmentOf(a)}, adjustmentProblem(err)
}

// adjustmentProblem says what stands in the way of an adjustment; another error it
// leaves.
func adjustmentProblem(err error) error {
	var (
		fault   *store.AdjustmentFault
		tooMuch *store.RefundTooMuch
		little  *store.TooLittle
		p       *Problem
	)
	switch {
	case errors.As(err, &fault):
		return invalid("body."+fault.Field, fault.Problem)
	case errors.As(err, &tooMuch):
		p = newProblem("refund_too_much")
		p.Available = tooMuch.Left
	case errors.As(err, &little):
		p = newProblem("too_little")
		p.Available = little.Available
	case errors.Is(err, store.ErrCallOpen):
		return newProblem("call_open")
	case errors.Is(err, store.ErrSecondPerson):
		return newProblem("second_person")
	case errors.Is(err, store.ErrAdjustmentOver):
		return newProblem("adjustment_over")
	default:
		return err
	}
	p.Detail = err.Error()
	return p
}
