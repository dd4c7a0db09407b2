package host

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"parley/host/payment"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// noticeMost is how large a provider's notice may be.
const noticeMost = 256 << 10

// Means is what a client pays with, as they know it.
type Means struct {
	Label string `json:"label" example:"Visa 4242" doc:"As it was saved."`
}

type meansBody struct {
	Customer string `json:"customer" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" example:"cus_QXg1o8vcGmoR32" doc:"The provider's name for the client. It is never told again."`
	Method   string `json:"method" minLength:"1" maxLength:"255" pattern:"^[!-~]+$" example:"pm_1Pgc6h2eZvKYlo2C" doc:"The provider's name for the means of payment. It is never told again."`
	Label    string `json:"label" minLength:"1" maxLength:"40" pattern:"^[\\p{L}\\p{N} .*-]+$" example:"Visa 4242" doc:"What the client knows it by: never the whole number."`
}

// TopUp is money that a client's saved means of payment was asked for.
type TopUp struct {
	Payment   string             `json:"payment" example:"pay_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	State     store.PaymentState `json:"state" enum:"paid,asked" doc:"paid: the money is in the client's account. asked: nobody knows yet; the event payment.paid or payment.declined tells, and so does the same request."`
	Amount    money.Amount       `json:"amount" example:"2000" doc:"In minor units."`
	Currency  string             `json:"currency" example:"EUR"`
	Available money.Amount       `json:"available" example:"5000" doc:"What the client has now, in minor units."`
}

type topUpBody struct {
	Amount money.Amount `json:"amount" minimum:"1" maximum:"1000000000" example:"2000" doc:"In minor units of the client's currency."`
}

func (h *Host) paymentRoutes() {
	const means = "/v1/clients/{id}/payment-method"
	add(h, huma.Operation{
		OperationID: "save-payment-method", Method: http.MethodPut, Path: means, DefaultStatus: http.StatusNoContent,
		Summary: "Save what a client pays with",
		Description: "For payments of which the client is not asked, such as a top-up by key in a call. The site sets it up with the provider first; " +
			"it alone may save it, since whoever names another's means would pay with it. It takes the place of what was saved before.",
		Errors: []int{http.StatusNotFound},
	}, h.saveMeans, store.RoleSite)
	add(h, huma.Operation{
		OperationID: "get-payment-method", Method: http.MethodGet, Path: means, Summary: "See what a client pays with",
		Errors: []int{http.StatusNotFound},
	}, h.getMeans, store.RoleSite, store.RoleClient)
	add(h, huma.Operation{
		OperationID: "remove-payment-method", Method: http.MethodDelete, Path: means, DefaultStatus: http.StatusNoContent,
		Summary: "Remove what a client pays with", Description: "What is not there is no error.",
		Errors: []int{http.StatusNotFound},
	}, h.removeMeans, store.RoleSite, store.RoleClient)
	add(h, huma.Operation{
		OperationID: "top-up", Method: http.MethodPost, Path: "/v1/clients/{id}/top-ups", DefaultStatus: http.StatusCreated,
		Summary: "Add money from what a client pays with",
		Description: "201 when the money is in the client's account; 202 when nobody knows yet, and then the same request tells what has become of it. " +
			"A call that is up gets longer by what was added.",
		Responses: map[string]*huma.Response{"202": {Description: "Nobody knows yet whether it was paid."}},
		Errors:    []int{http.StatusPaymentRequired, http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.topUpNow, store.RoleSite, store.RoleClient)
	h.noticeRoute()
}

func (h *Host) saveMeans(ctx context.Context, in *struct {
	ByID[ivr.ClientID]
	Body meansBody
}) (*struct{}, error) {
	if h.Cashier.provider == nil {
		return nil, ErrPaymentsOff
	}
	return nil, h.Store.SaveMeans(ctx, asker(ctx).Who(), in.ID, store.Means{
		Provider: h.Cashier.provider.Name(), Customer: in.Body.Customer, Method: in.Body.Method, Label: in.Body.Label,
	})
}

func (h *Host) getMeans(ctx context.Context, in *ByID[ivr.ClientID]) (*struct{ Body Means }, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	m, err := h.Store.Means(ctx, in.ID)
	if errors.Is(err, store.ErrNoMeans) {
		return nil, newProblem("not_found")
	}
	if err != nil {
		return nil, err
	}
	return &struct{ Body Means }{Means{m.Label}}, nil
}

func (h *Host) removeMeans(ctx context.Context, in *ByID[ivr.ClientID]) (*struct{}, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, h.Store.RemoveMeans(ctx, asker(ctx).Who(), in.ID)
}

// onlyClient refuses a client's session what is another client's, as if it were not
// there.
func onlyClient(ctx context.Context, client ivr.ClientID) error {
	if mine := own(ctx); mine != "" && mine != client {
		return newProblem("not_found")
	}
	return nil
}

type topUpAnswer struct {
	Status int
	Body   TopUp
}

func (h *Host) topUpNow(ctx context.Context, in *struct {
	ByID[ivr.ClientID]
	Keyed
	Body topUpBody
}) (*topUpAnswer, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	account, err := h.Store.Client(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	elsewhere := func(code string) *Problem { // the money can be added on the site
		p := newProblem(code)
		p.TopUp = h.whereToAdd(in.ID, in.Body.Amount, account.Currency)
		return p
	}
	p, err := h.Cashier.Pay(ctx, asker(ctx).Who(), store.Payment{ID: paymentID(in.ID, in.Key), Client: in.ID, Amount: in.Body.Amount})
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil, newProblem("key_reused")
	case errors.Is(err, store.ErrNoMeans):
		return nil, elsewhere("no_payment_method")
	case errors.Is(err, ErrPaymentsOff):
		return nil, elsewhere("payments_off")
	case err != nil:
		return nil, err
	case p.State == store.PaymentDeclined:
		declined := elsewhere("payment_declined")
		declined.Detail = declinedWords[payment.Reason(p.Reason)]
		return nil, declined
	}
	if account, err = h.Store.Client(ctx, in.ID); err != nil {
		return nil, err
	}
	answer := &topUpAnswer{http.StatusCreated, TopUp{p.ID, p.State, p.Amount, p.Currency, account.Available()}}
	if p.State == store.PaymentAsked {
		answer.Status = http.StatusAccepted
	}
	return answer, nil
}

// paymentID is the same for the same client and key, whoever asks with whichever token:
// no answer needs to be kept for the payment to be made once.
func paymentID(client ivr.ClientID, key string) string {
	sum := sha256.Sum256([]byte(string(client) + "/" + key))
	return "pay_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:20]))
}

// declinedWords say why a payment was declined, as far as its owner may know.
var declinedWords = map[payment.Reason]string{
	payment.NotEnough:  "There is not enough money on it.",
	payment.Expired:    "It has expired.",
	payment.NeedsOwner: "The bank wants its owner to confirm the payment, which can only be done on the site.",
	payment.Unusable:   "The provider does not know it any more.",
	payment.Refused:    "The bank has refused it, and does not say why.",
	unanswered:         "The provider has not answered for a long time.",
}

type notice struct {
	Provider string `path:"provider" maxLength:"20" pattern:"^[a-z]+$" enum:"stripe" doc:"Who sends it."`
	RawBody  []byte `contentType:"application/json"`
	header   http.Header
}

// Resolve implements [huma.Resolver]: which headers have the signature is for the
// provider to know.
func (n *notice) Resolve(ctx huma.Context) []error {
	n.header = http.Header{}
	ctx.EachHeader(func(name, value string) { n.header.Add(name, value) })
	return nil
}

// noticeRoute is the one route without a token: the signature says who asks.
func (h *Host) noticeRoute() {
	op := huma.Operation{
		OperationID: "payment-webhook", Method: http.MethodPost, Path: "/v1/payments/webhooks/{provider}", DefaultStatus: http.StatusNoContent,
		Summary:      "Hear of a payment from its provider",
		Description:  "For the provider alone, whose signature it carries in place of a token. A payment whose metadata name a client is credited to them, once.",
		MaxBodyBytes: noticeMost, BodyReadTimeout: bodyTakes, SkipValidateBody: true,
		Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable},
	}
	huma.Register(h.api, op, func(ctx context.Context, in *notice) (*struct{}, error) {
		if err := h.readNotice(ctx, in); err != nil {
			return nil, h.problem(ctx, op.OperationID, err)
		}
		return nil, nil
	})
}

func (h *Host) readNotice(ctx context.Context, in *notice) error {
	provider := h.Cashier.provider
	if provider == nil || provider.Name() != in.Provider {
		return newProblem("not_found")
	}
	n, paid, err := provider.ReadNotice(in.header, in.RawBody)
	switch {
	case errors.Is(err, payment.ErrSignature):
		return newProblem("bad_signature")
	case err != nil:
		p := newProblem("bad_request")
		p.Detail = err.Error()
		return p
	case !paid:
		return nil
	}
	return h.Cashier.Notice(ctx, n)
}
