package host

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Price is what talk costs.
type Price struct {
	PerMinute money.Amount `json:"per_minute" example:"199" doc:"In minor units."`
	Currency  string       `json:"currency" example:"EUR"`
	Fee       money.Amount `json:"fee" example:"0" doc:"Once for a talk that is charged."`
	Free      int64        `json:"free_seconds" example:"0" doc:"The first seconds cost nothing."`
	Minimum   int64        `json:"minimum_seconds" example:"0" doc:"The least that is counted."`
	Increment int64        `json:"increment_seconds" example:"1" doc:"Talk is counted in whole ones, rounded up."`
}

func priceOf(t dialplan.Terms) Price {
	r := t.Rate
	return Price{r.PerMinute, t.Currency, r.Fee, seconds(r.Free), seconds(r.Minimum), seconds(r.Increment)}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Named is who, and what others call them.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name" example:"Anna"`
}

// Talk is a number to call, and what is to be known before.
type Talk struct {
	ID      ivr.LoanID   `json:"id" example:"loan_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	State   string       `json:"state" enum:"waiting,over" doc:"waiting: the advisor is reserved, the number works. over: talked, cancelled or expired."`
	Client  ivr.ClientID `json:"client"`
	Advisor Named        `json:"advisor"`
	Number  string       `json:"number,omitempty" example:"+493055500101" doc:"To be dialled by the client, E.164. Not there where we call the client."`
	Tel     string       `json:"tel,omitempty" format:"uri" example:"tel:+493055500101"`
	PIN     string       `json:"pin,omitempty" example:"042816" doc:"Asked for when the client calls from another phone. Not told to administrators."`
	Until   time.Time    `json:"until" doc:"Until then the number works and the advisor is reserved."`
	Price   Price        `json:"price"`
	Seconds int64        `json:"seconds" example:"1507" doc:"The longest talk that the client's money buys, beside what is held for a call, and the limits allow."`
	Minutes int64        `json:"minutes" example:"25" doc:"Its whole minutes."`
	Calls   []ivr.CallID `json:"calls" nullable:"false" doc:"That were made by it: ask for their receipts."`
}

func talkOf(ctx context.Context, t store.Talk) Talk {
	longest, _ := t.Terms.Talk(t.Available)
	out := Talk{
		ID: t.Loan, State: "waiting", Client: t.Client, Advisor: Named{string(t.Advisor), t.AdvisorName},
		Number: t.DID, Tel: "tel:" + t.DID, PIN: t.PIN, Until: t.Until, Price: priceOf(t.Terms),
		Seconds: seconds(longest), Minutes: int64(longest / time.Minute), Calls: t.Calls,
	}
	if t.Over {
		out.State = "over"
	}
	if t.DID == "" {
		out.Tel, out.PIN = "", ""
	}
	if asker(ctx).Role == store.RoleAdmin {
		out.PIN = ""
	}
	return out
}

type talkBody struct {
	Client  ivr.ClientID  `json:"client,omitempty" maxLength:"64" pattern:"^[a-z0-9_]+$" example:"cli_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"Who taps. A client's session need not say it."`
	Advisor ivr.AdvisorID `json:"advisor" minLength:"1" maxLength:"64" pattern:"^[a-z0-9_]+$" example:"adv_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"On whom."`
	Topic   string        `json:"topic,omitempty" maxLength:"80" pattern:"^[\\p{L}\\p{N} .,!?'-]*$" example:"my cat" doc:"What it is about. The advisor hears it before accepting."`
	Country string        `json:"country,omitempty" pattern:"^[A-Z]{2}$" example:"DE" doc:"Of the number, ISO 3166-1; any where not said."`
}

// Keyed is what every POST carries.
type Keyed struct {
	Key string `header:"Idempotency-Key" required:"true" minLength:"8" maxLength:"128" pattern:"^[!-~]+$" example:"4f9d1c1e-tap-1" doc:"Chosen by the sender, new for each new request. It is remembered for 30 days."`
}

// request is what the store remembers of a request, to do it once.
func (k Keyed) request(ctx context.Context, operation string, content any) (store.Request, error) {
	text, err := json.Marshal(content)
	return store.Request{Token: asker(ctx).ID, Key: k.Key, Content: operation + " " + string(text)}, err
}

type talkAnswer struct {
	Location string `header:"Location"`
	Body     Talk
}

func (h *Host) talkRoutes() {
	add(h, huma.Operation{
		OperationID: "request-talk", Method: http.MethodPost, Path: "/v1/talk", DefaultStatus: http.StatusCreated,
		Summary: "Ask for a talk",
		Description: "Checks the client's money, then the advisor; then reserves the advisor and lends the client a number, in one step. " +
			"A client who asks again while the advisor is reserved for them gets the same number.",
		Errors: []int{http.StatusPaymentRequired, http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.requestTalk, store.RoleSite, store.RoleClient)
	add(h, huma.Operation{
		OperationID: "get-talk", Method: http.MethodGet, Path: "/v1/talk/{id}", Summary: "See a talk",
		Errors: []int{http.StatusNotFound},
	}, h.getTalk, store.RoleSite, store.RoleClient, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "cancel-talk", Method: http.MethodDelete, Path: "/v1/talk/{id}", DefaultStatus: http.StatusNoContent, Summary: "Cancel a talk",
		Description: "The advisor is free at once and the number works no more. A call that is up goes on. What is over already is no error.",
		Errors:      []int{http.StatusNotFound},
	}, h.cancelTalk, store.RoleSite, store.RoleClient, store.RoleAdmin)
}

func (h *Host) requestTalk(ctx context.Context, in *struct {
	Keyed
	Body talkBody
}) (*talkAnswer, error) {
	client, err := actFor(ctx, in.Body.Client)
	if err != nil {
		return nil, err
	}
	in.Body.Client = client
	if err := h.limits.talks.take(string(client)); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "request-talk", in.Body)
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	talk, err := h.Store.RequestTalk(ctx, request, plan, store.TalkRequest{
		Client: client, Advisor: in.Body.Advisor, Topic: in.Body.Topic, Country: in.Body.Country,
	})
	if err != nil {
		return nil, h.topUp(err, client, plan)
	}
	return &talkAnswer{"/v1/talk/" + string(talk.Loan), talkOf(ctx, talk)}, nil
}

// ByID is a request for one thing.
type ByID[ID ~string] struct {
	ID ID `path:"id" maxLength:"64" pattern:"^[a-z0-9_]+$"`
}

func (h *Host) getTalk(ctx context.Context, in *ByID[ivr.LoanID]) (*struct{ Body Talk }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	talk, err := h.Store.Talk(ctx, plan, in.ID, own(ctx))
	if err != nil {
		return nil, err
	}
	return &struct{ Body Talk }{talkOf(ctx, talk)}, nil
}

func (h *Host) cancelTalk(ctx context.Context, in *ByID[ivr.LoanID]) (*struct{}, error) {
	return nil, h.Store.CancelTalk(ctx, in.ID, own(ctx))
}
