package host

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Problem is an error as RFC 9457 writes it, with what to do about it.
type Problem struct {
	Type   string  `json:"type" format:"uri-reference" example:"/docs#advisor_busy" doc:"Where this kind of problem is explained."`
	Title  string  `json:"title" example:"The advisor is busy" doc:"The same for all problems of this kind."`
	Status int     `json:"status" example:"409"`
	Code   string  `json:"code" example:"advisor_busy" doc:"The kind of problem, for programs."`
	Detail string  `json:"detail,omitempty" doc:"What is wrong this time."`
	Remedy string  `json:"remedy" example:"Ask again after retry_after seconds." doc:"What to do about it."`
	Errors []Fault `json:"errors,omitempty" nullable:"false" doc:"What is wrong with the request, one by one."`

	Missing   money.Amount `json:"missing,omitempty" example:"495" doc:"What has to be added, in minor units."`
	Available money.Amount `json:"available,omitempty" example:"500" doc:"What there is, in minor units."`
	Currency  string       `json:"currency,omitempty" example:"EUR"`
	TopUp     string       `json:"top_up,omitempty" format:"uri" doc:"Where the client adds money."`

	AdvisorState store.State `json:"advisor_state,omitempty" enum:"busy,away"`
	RetryAfter   int64       `json:"retry_after,omitempty" example:"540" doc:"Seconds, at most as far as is known, until asking again makes sense."`
	Choices      []Choice    `json:"choices,omitempty" nullable:"false" doc:"What the client can do instead."`
	Talk         ivr.LoanID  `json:"talk,omitempty" doc:"The talk that stands in the way."`
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Where string `json:"where" example:"body.advisor"`
	What  string `json:"what" example:"expected string"`
}

// Choice is something that a client can do who cannot talk now.
type Choice struct {
	Kind  string `json:"kind" enum:"ask_again" doc:"ask_again: send the same request after a while."`
	After int64  `json:"after" example:"540" doc:"Seconds from now."`
}

// kind is what all problems of a code have in common.
type kind struct {
	status        int
	title, remedy string
}

// kinds are all problems there are. /docs lists them.
var kinds = map[string]kind{
	"no_token":             {401, "No valid token", `Send "Authorization: Bearer TOKEN" with a token that has neither expired nor been revoked; "parley token create" makes one.`},
	"not_allowed":          {403, "Not allowed with this token", "Use a token of another role, or of the client whom this is about."},
	"not_found":            {404, "Not found", "Check the ID. What belongs to another client is not found either."},
	"no_route":             {404, "No such path or method", "/docs lists what there is."},
	"no_funds":             {402, "Not enough money", "Add what is missing, then send the same request again."},
	"advisor_away":         {409, "The advisor is not on line", "Choose another advisor, or ask again when this one is on line."},
	"advisor_not_verified": {409, "The advisor cannot be rung", "Choose another advisor, or ask again when this one has verified a line."},
	"advisor_busy":         {409, "The advisor is busy", "Choose another advisor, or ask again after retry_after seconds."},
	"client_reserved":      {409, "The client has another advisor reserved", "Talk to that one, or cancel that talk (DELETE /v1/talk/{id}), then send the same request again."},
	"key_reused":           {409, "The Idempotency-Key was used for another request", "Choose a new key for a new request."},
	"conflict":             {409, "This ID was used with other content", "If it is another payment, give it another ID."},
	"too_slow":             {408, "The request came too slowly", "Send it again, all at once."},
	"too_large":            {413, "The request is too large", "Send at most 64 kB."},
	"media_type":           {415, "Not JSON", "Send application/json."},
	"not_acceptable":       {406, "Only JSON is served", "Accept application/json."},
	"bad_request":          {400, "The request cannot be read", "Send JSON as /docs describes it."},
	"not_valid":            {422, "The request is not valid", "Correct what errors lists, and send it again."},
	"no_number":            {503, "All numbers are lent", "Send the same request again in some minutes."},
	"unavailable":          {503, "The host cannot answer now", "Send the same request again in some seconds."},
	"not_in_plan":          {503, "The active plan does not cover this talk", "The administrator must activate a plan that does."},
	"internal":             {500, "The host failed", "Send the same request again; if it fails again, tell the administrator when it was."},
}

func newProblem(code string) *Problem {
	k := kinds[code]
	return &Problem{Type: "/docs#" + code, Title: k.title, Status: k.status, Code: code, Remedy: k.remedy}
}

func invalid(where, what string) *Problem {
	p := newProblem("not_valid")
	p.Errors = []Fault{{where, what}}
	return p
}

func (p *Problem) Error() string  { return p.Title }
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of RFC 9457.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders are those that HTTP has for some problems.
func (p *Problem) GetHeaders() http.Header {
	header := http.Header{}
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if p.RetryAfter > 0 {
		header.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
	}
	return header
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // whoever asked has gone
}

// What huma finds wrong with a request becomes a Problem too. The values that were sent
// are not repeated: they may be secrets. The library offers only this variable.
func init() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		code := "internal"
		switch status {
		case http.StatusBadRequest:
			code = "bad_request"
		case http.StatusNotAcceptable:
			code = "not_acceptable"
		case http.StatusRequestTimeout:
			code = "too_slow"
		case http.StatusRequestEntityTooLarge:
			code = "too_large"
		case http.StatusUnsupportedMediaType:
			code = "media_type"
		case http.StatusUnprocessableEntity:
			code = "not_valid"
		}
		p := newProblem(code)
		if code == "internal" {
			return p
		}
		p.Detail = message
		for _, err := range errs {
			var detailed huma.ErrorDetailer
			if errors.As(err, &detailed) {
				d := detailed.ErrorDetail()
				p.Errors = append(p.Errors, Fault{d.Location, d.Message})
			} else if err != nil {
				p.Errors = append(p.Errors, Fault{"", err.Error()})
			}
		}
		return p
	}
}

// problem tells an error in words for whoever asked. What they cannot help is logged.
func (h *Host) problem(ctx context.Context, operation string, err error) *Problem {
	var (
		said     *Problem
		busy     *store.AdvisorBusy
		reserved *store.ClientReserved
	)
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, store.ErrAdvisorAway), errors.Is(err, store.ErrBlocked):
		return standsInTheWay("advisor_away", store.Away)
	case errors.Is(err, ivr.ErrNotVerified):
		return standsInTheWay("advisor_not_verified", store.Away)
	case errors.As(err, &busy):
		p := standsInTheWay("advisor_busy", store.Busy)
		p.RetryAfter = max(1, int64(math.Ceil(time.Until(busy.Until).Seconds())))
		p.Choices = []Choice{{"ask_again", p.RetryAfter}}
		return p
	case errors.As(err, &reserved):
		p := newProblem("client_reserved")
		p.Talk = reserved.Loan
		return p
	case errors.Is(err, store.ErrNoCountry):
		return invalid("body.country", "there are no numbers in this country")
	case errors.Is(err, store.ErrNotFound):
		return newProblem("not_found")
	case errors.Is(err, store.ErrKeyReused):
		return newProblem("key_reused")
	case errors.Is(err, store.ErrConflict):
		return newProblem("conflict")
	}
	p := newProblem("unavailable")
	switch {
	case errors.Is(err, store.ErrNoNumber):
		p = newProblem("no_number")
	case errors.Is(err, ivr.ErrNotInPlan), errors.Is(err, ivr.ErrNoPlan):
		p = newProblem("not_in_plan")
	}
	p.RetryAfter = 5
	if ctx.Err() == nil {
		h.Log.Error("a request was not answered", "operation", operation, "code", p.Code, "err", err)
	}
	return p
}

func standsInTheWay(code string, state store.State) *Problem {
	p := newProblem(code)
	p.AdvisorState = state
	return p
}

// topUp makes a refusal for lack of money say where to add it; another error it leaves.
func (h *Host) topUp(err error, client ivr.ClientID, plan dialplan.Plan) error {
	var poor *ivr.NoFunds
	if !errors.As(err, &poor) {
		return err
	}
	p := newProblem("no_funds")
	p.Missing, p.Available, p.Currency = poor.Missing, poor.Available, plan.Currency
	p.Detail = poor.Missing.String() + " " + plan.Currency + " are missing for a talk of " + poor.Predetermined.String() + "."
	p.TopUp = strings.NewReplacer("{client}", url.QueryEscape(string(client)), "{currency}", plan.Currency,
		"{missing}", strconv.FormatInt(int64(poor.Missing), 10)).Replace(h.TopUp)
	return p
}
