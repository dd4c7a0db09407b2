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

// Advisor is an advisor as a client sees them.
type Advisor struct {
	Named
	State   store.State  `json:"state" enum:"free,busy,away" doc:"Whether they can be asked for a talk now."`
	Price   Price        `json:"price"`
	Least   money.Amount `json:"least" example:"995" doc:"What a client must have, in minor units, to be put through."`
	Seconds int64        `json:"least_seconds" example:"300" doc:"The talk that this pays for."`

	Words     string     `json:"words" doc:"About them, plain text."`
	Languages []string   `json:"languages" nullable:"false" example:"[\"de\"]" doc:"ISO 639-1."`
	Topics    []string   `json:"topics" nullable:"false"`
	Stars     float64    `json:"stars" example:"4.6" doc:"The mean of what clients gave; 0 where nobody has."`
	Rated     int        `json:"rated" example:"12" doc:"How many calls that is of."`
	Picture   string     `json:"picture,omitempty" format:"uri-reference" example:"/v1/advisors/adv_06g3/picture?v=3f79bb7b435b0532" doc:"Where it is; another picture has another address."`
	NextAt    *time.Time `json:"next_at,omitempty" doc:"When their hours begin next. Not there within them."`
}

// Client is who pays.
type Client struct {
	ID        ivr.ClientID `json:"id"`
	Alias     string       `json:"alias" example:"Blue Heron" doc:"What advisors hear."`
	Phone     string       `json:"phone" example:"+49********01" doc:"Masked."`
	Currency  string       `json:"currency" example:"EUR"`
	Available money.Amount `json:"available" example:"5000" doc:"In minor units."`
	Held      money.Amount `json:"held" example:"0" doc:"Set aside for calls that are up."`
}

func clientOf(c store.Client) Client {
	return Client{c.ID, c.Alias, c.Phone, c.Currency, c.Available(), c.Held}
}

// Receipt says what a call cost, and why.
type Receipt struct {
	Call      ivr.CallID      `json:"call"`
	State     string          `json:"state" enum:"live,ended"`
	Advisor   Named           `json:"advisor"`
	Number    string          `json:"number" doc:"That was dialled."`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
	Outcome   ivr.Disposition `json:"outcome,omitempty" example:"completed"`
	EndedBy   string          `json:"ended_by,omitempty" enum:"client,advisor,parley"`
	Segments  []Segment       `json:"segments" nullable:"false" doc:"The stretches in which both could talk."`
	Seconds   float64         `json:"seconds" example:"143.2" doc:"Of talk, all segments together."`
	Price     *Price          `json:"price,omitempty" doc:"Not there where no money was held."`
	Charge    money.Amount    `json:"charge" example:"478" doc:"In minor units."`
	Refunded  money.Amount    `json:"refunded" example:"0" doc:"What was paid back of the charge."`
	Held      money.Amount    `json:"held" example:"5000" doc:"What was set aside for it; what was not charged is available again."`
	Longest   int64           `json:"longest_seconds,omitempty" example:"1507" doc:"While it is live: the longest talk, in all, that what is held and what the client can still spend pay for, within the limits. Not there in lists."`
	Stars     int             `json:"stars,omitempty" minimum:"1" maximum:"5" doc:"That the client gave by key after the talk."`
}

// Segment is one stretch of talk.
type Segment struct {
	From    time.Time `json:"from"`
	Seconds float64   `json:"seconds" example:"143.2"`
}

func receiptOf(r store.Receipt) Receipt {
	out := Receipt{
		Call: r.ID, State: "live", Advisor: Named{string(r.Advisor), r.AdvisorName}, Number: r.DID, StartedAt: r.StartedAt,
		Outcome: r.Disposition, EndedBy: r.EndedBy, Segments: []Segment{}, Seconds: r.Talk().Seconds(), Charge: r.Charge, Refunded: r.Refunded(), Stars: r.Stars,
	}
	if !r.Open() {
		out.State, out.EndedAt = "ended", &r.EndedAt
	}
	if r.Terms != nil {
		price := priceOf(*r.Terms)
		out.Price = &price
	}
	for _, s := range r.Segments {
		out.Segments = append(out.Segments, Segment{s.JoinedAt, s.Talk.Seconds()})
	}
	for _, hold := range r.Holds {
		out.Held += hold.Amount
	}
	return out
}

type depositBody struct {
	Client   ivr.ClientID `json:"client" minLength:"1" maxLength:"64" pattern:"^[a-z0-9_]+$"`
	Payment  string       `json:"payment" minLength:"1" maxLength:"128" pattern:"^[!-~]+$" example:"bank-4711" doc:"The payment's ID. A payment credits once."`
	Amount   money.Amount `json:"amount" minimum:"1" maximum:"1000000000" example:"2000" doc:"In minor units."`
	Currency string       `json:"currency" pattern:"^[A-Z]{3}$" example:"EUR" doc:"Must be that of the client's account."`
}

func (h *Host) peopleRoutes() {
	everyone := []store.Role{store.RoleSite, store.RoleClient, store.RoleAdmin}
	add(h, huma.Operation{
		OperationID: "list-advisors", Method: http.MethodGet, Path: "/v1/advisors", Summary: "List advisors, whether they are free, and their price",
	}, h.advisors, everyone...)
	add(h, huma.Operation{
		OperationID: "get-client", Method: http.MethodGet, Path: "/v1/clients/{id}", Summary: "See a client's balance",
		Errors: []int{http.StatusNotFound},
	}, h.client, everyone...)
	add(h, huma.Operation{
		OperationID: "get-receipt", Method: http.MethodGet, Path: "/v1/calls/{id}/receipt", Summary: "See what a call cost, and why",
		Errors: []int{http.StatusNotFound},
	}, h.receipt, everyone...)
	add(h, huma.Operation{
		OperationID: "deposit", Method: http.MethodPost, Path: "/v1/deposits", DefaultStatus: http.StatusCreated, Summary: "Credit a client with a payment",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.deposit, store.RoleSite)
}

// Advisors is a page of advisors.
type Advisors struct {
	Advisors []Advisor `json:"advisors" nullable:"false"`
}

func (h *Host) advisors(ctx context.Context, in *struct {
	Before ivr.AdvisorID `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only those after this one in the list: the next page."`
	Limit  int           `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*struct{ Body Advisors }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	states, err := h.Store.AdvisorStates(ctx, own(ctx), in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	list := make([]Advisor, len(states))
	for i, s := range states {
		list[i] = advisorOf(plan, s)
	}
	return &struct{ Body Advisors }{Advisors{list}}, nil
}

func (h *Host) client(ctx context.Context, in *ByID[ivr.ClientID]) (*struct{ Body Client }, error) {
	if mine := own(ctx); mine != "" && mine != in.ID {
		return nil, newProblem("not_found")
	}
	c, err := h.Store.Client(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Client }{clientOf(c)}, nil
}

func (h *Host) receipt(ctx context.Context, in *ByID[ivr.CallID]) (*struct{ Body Receipt }, error) {
	r, err := h.Store.ReceiptOf(ctx, own(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := receiptOf(r)
	out.Longest, err = h.longest(ctx, r, out.Held)
	return &struct{ Body Receipt }{out}, err
}

// longest is for how long, in all, a live call can be paid: seconds, 0 where it is over.
func (h *Host) longest(ctx context.Context, r store.Receipt, held money.Amount) (int64, error) {
	if !r.Open() || r.Terms == nil {
		return 0, nil
	}
	caps, err := h.Store.Caps(ctx, r.Client)
	longest, _ := r.Terms.Talk(held + caps.MayHold)
	return seconds(longest), err
}

func (h *Host) deposit(ctx context.Context, in *struct {
	Keyed
	Body depositBody
}) (*struct{ Body Client }, error) {
	request, err := in.request(ctx, "deposit", in.Body)
	if err != nil {
		return nil, err
	}
	account, err := h.Store.Client(ctx, in.Body.Client)
	if err != nil {
		return nil, err
	}
	if account.Currency != in.Body.Currency { // an account never changes its currency
		return nil, invalid("body.currency", "the client's account is in "+account.Currency)
	}
	c, err := h.Store.RequestDeposit(ctx, request, in.Body.Payment, in.Body.Client, in.Body.Amount)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Client }{clientOf(c)}, nil
}
