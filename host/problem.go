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
	"parley/host/audio"
	"parley/host/picture"
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

	Faults []PlanFault `json:"faults,omitempty" nullable:"false" doc:"What is wrong with the plan, one by one."`

	Missing   money.Amount `json:"missing,omitempty" example:"495" doc:"What has to be added, in minor units."`
	Available money.Amount `json:"available,omitempty" example:"500" doc:"What there is, in minor units."`
	Currency  string       `json:"currency,omitempty" example:"EUR"`
	TopUp     string       `json:"top_up,omitempty" format:"uri" doc:"Where the client adds money."`

	AdvisorState store.State `json:"advisor_state,omitempty" enum:"busy,away"`
	NextAt       *time.Time  `json:"next_at,omitempty" doc:"When the advisor's hours begin next, where it is these that are in the way."`
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
	Kind  string `json:"kind" enum:"ask_again,queue,call_back,appointment" doc:"ask_again: send the same request after a while. queue: wait on the page (POST /v1/queue). call_back: wait and be called (likewise). appointment: agree on a time (POST /v1/appointments)."`
	After int64  `json:"after,omitempty" example:"540" doc:"Seconds from now, at most as far as is known, until it leads to a talk; not there where it is not known."`
	Place int    `json:"place,omitempty" example:"2" doc:"In line, from 1, of queue and call_back."`
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
	"advisor_busy":         {409, "The advisor is busy", "Choose one of choices, or another advisor."},
	"advisor_free":         {409, "The advisor is free", "There is nobody to wait for: talk now (POST /v1/talk)."},
	"queue_full":           {409, "As many clients wait for the advisor as may", "Choose another advisor or an appointment, or ask again later."},
	"to_be_called":         {409, "The client is about to be called", "Wait for the call; or cancel that talk (DELETE /v1/talk/{id}), then send the same request again."},
	"client_reserved":      {409, "The client has another advisor reserved", "Talk to that one, or cancel that talk (DELETE /v1/talk/{id}), then send the same request again."},
	"cap_reached":          {402, "The client's own spending cap is reached", "Wait until less was charged in its time, or raise it, which holds after a day: /v1/clients/{id}/caps. More money does not help."},
	"payment_declined":     {402, "The payment was declined", "Save another means of payment (the site does), or choose a smaller amount, and send a new request with a new key."},
	"no_payment_method":    {409, "The client has saved nothing to pay with", "The site saves it: PUT /v1/clients/{id}/payment-method."},
	"payments_off":         {503, "Payments are off", "The administrator sets payment.provider. Money that came in otherwise is credited by POST /v1/deposits."},
	"bad_signature":        {400, "The signature is missing, wrong or too old", "Sign with the secret that payment.stripe_webhook_secret has, and compare the clocks."},
	"money_left":           {409, "Money is left in the account", "An administrator pays available out (POST /v1/adjustments), then send the same request again."},
	"payment_asked":        {409, "A payment has not been answered yet", "Send the same request again when payment.paid or payment.declined was told: within a day."},
	"appointment_taken":    {409, "There is another appointment at that time", "Choose another time: GET /v1/advisors/{id}/free-times."},
	"appointment_state":    {409, "The appointment does not allow this as it stands", "See how it stands (GET /v1/appointments/{id})."},
	"client_no_funds":      {409, "The client's money does not cover the appointment now", "Propose a later time, or accept it when the client has added money."},
	"appointment_open":     {409, "An appointment is not over", "Cancel it, then send the same request again."},
	"not_callable":         {422, "This telephone number may not be called", "Use a number of a country and a kind that the plan's destinations name; premium numbers never are."},
	"wrong_code":           {422, "The code is not right", "Look at the newest message, and send the code that it has. A code can be tried 5 times."},
	"code_over":            {409, "The code is over", "It has expired, was used, or was tried too often: ask for another (POST /v1/sign-ins)."},
	"sign_in_off":          {503, "Signing in by a code is off", "The administrator sets sms.provider. The site can hand its clients in: POST /v1/sessions."},
	"bad_assertion":        {400, "The assertion is not believed", "Correct what detail says. Each sign-in needs an assertion of its own."},
	"key_reused":           {409, "The Idempotency-Key was used for another request", "Choose a new key for a new request."},
	"conflict":             {409, "This ID was used with other content", "If it is another payment, give it another ID."},
	"too_slow":             {408, "The request came too slowly", "Send it again, all at once."},
	"too_large":            {413, "The request is too large", "Send at most 64 kB; of a plan, 1 MB; of a picture or a recording, 10 MB."},
	"media_type":           {415, "Not JSON", "Send application/json."},
	"not_acceptable":       {406, "Only JSON is served", "Accept application/json."},
	"bad_request":          {400, "The request cannot be read", "Send JSON as /docs describes it."},
	"not_valid":            {422, "The request is not valid", "Correct what errors lists, and send it again."},
	"plan_faults":          {422, "The plan is not valid", "Correct what faults lists, and send it again."},
	"no_plan_before":       {409, "No other plan was active before", "Activate a version: GET /v1/plans lists them."},
	"call_over":            {409, "The call is over", "There is nothing to end. GET /v1/calls/{id} says how it ended."},
	"call_open":            {409, "The call is not over", "Send the same request again when it is, or end it (POST /v1/calls/{id}/end)."},
	"too_little":           {409, "The account has less than this", "available is what there is beside what is held: take less."},
	"refund_too_much":      {409, "More would be paid back than was charged", "available is what is left of the charge, or of the advisor's share: pay back less."},
	"second_person":        {409, "Another person must approve this", "Ask another administrator. A second token of your own is no second person."},
	"adjustment_over":      {409, "The adjustment does not wait any more", "GET /v1/adjustments/{id} says what has become of it."},
	"phone_taken":          {409, "Another client has this number", "Find them: GET /v1/clients?phone=..."},
	"audit_runs":           {409, "An audit is under way", "Send the same request again in a minute."},
	"audit_long":           {503, "The audit takes longer than a request may", "See the last night's (GET /v1/ledger/audits), or run \"parley ledger audit\"."},
	"too_many":             {429, "Too many requests", "Send the same request again after retry_after seconds."},
	"too_many_webhooks":    {409, "There are too many webhooks", "Remove one (DELETE /v1/webhooks/{id}), then send the same request again."},
	"not_audio":            {422, "The recording cannot be used", "Send WAV, MP3, Ogg, FLAC, M4A, AAC or WebM with at most 60 seconds of speech."},
	"not_a_picture":        {422, "The picture cannot be used", "Send a JPEG, PNG or WebP of at most 25 million pixels."},
	"no_ffmpeg":            {503, "Recordings cannot be read here", "The administrator must install ffmpeg where the program runs."},
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
		closed   *store.OutOfHours
		later    *store.VerifyLater
		codes    *store.SignInLater
		sound    *audio.Unusable
		shot     *picture.Unusable
		called   *store.ToBeCalled
		not      *dialplan.NotCallable
		left     *store.MoneyLeft
		unfit    *store.Unfit
		overlap  *store.Overlap
		stands   *store.NotInState
	)
	switch {
	case errors.As(err, &said):
		return said
	case errors.Is(err, store.ErrAdvisorAway), errors.Is(err, store.ErrBlocked):
		p := standsInTheWay("advisor_away", store.Away)
		if errors.As(err, &closed) {
			p.NextAt = someTime(closed.Next)
		}
		return p
	case errors.Is(err, ivr.ErrNotVerified):
		return standsInTheWay("advisor_not_verified", store.Away)
	case errors.As(err, &sound):
		return detailed("not_audio", sound.Why)
	case errors.As(err, &shot):
		return detailed("not_a_picture", shot.Why)
	case errors.Is(err, audio.ErrNoFFmpeg):
		return newProblem("no_ffmpeg")
	case errors.As(err, &later):
		return tooMany(time.Until(later.At))
	case errors.As(err, &codes):
		return tooMany(time.Until(codes.At))
	case errors.As(err, &busy):
		p := standsInTheWay("advisor_busy", store.Busy)
		p.RetryAfter = max(1, int64(math.Ceil(time.Until(busy.Until).Seconds())))
		p.Choices = choices(busy, p.RetryAfter)
		return p
	case errors.As(err, &reserved):
		p := newProblem("client_reserved")
		p.Talk = reserved.Loan
		return p
	case errors.As(err, &called):
		p := newProblem("to_be_called")
		p.Talk = called.Loan
		return p
	case errors.As(err, &not):
		return notCallable(not)
	case errors.Is(err, store.ErrAdvisorFree):
		return newProblem("advisor_free")
	case errors.Is(err, store.ErrQueueFull):
		p := newProblem("queue_full")
		p.Choices = []Choice{{Kind: "appointment"}}
		return p
	case errors.Is(err, store.ErrNoCountry):
		return invalid("body.country", "there are no numbers in this country")
	case errors.Is(err, store.ErrNotFound):
		return newProblem("not_found")
	case errors.Is(err, store.ErrTooManyWebhooks):
		return newProblem("too_many_webhooks")
	case errors.Is(err, store.ErrNoPlanBefore):
		return newProblem("no_plan_before")
	case errors.Is(err, store.ErrPast):
		return invalid("body.at", "this time is over")
	case errors.Is(err, store.ErrCallOver):
		return newProblem("call_over")
	case errors.Is(err, store.ErrTaken):
		return newProblem("phone_taken")
	case errors.Is(err, store.ErrAuditRuns):
		return newProblem("audit_runs")
	case errors.Is(err, ErrPaymentsOff):
		return newProblem("payments_off")
	case errors.Is(err, store.ErrNoMeans):
		return newProblem("no_payment_method")
	case errors.Is(err, store.ErrCallUp):
		return newProblem("call_open")
	case errors.As(err, &unfit):
		return invalid("body."+unfit.Field, unfit.Why)
	case errors.As(err, &overlap):
		return detailed("appointment_taken", "It is the "+string(overlap.Of)+" who has it.")
	case errors.As(err, &stands):
		return detailed("appointment_state", "It is "+string(stands.State)+".")
	case errors.Is(err, store.ErrAppointmentOpen):
		return newProblem("appointment_open")
	case errors.Is(err, store.ErrPaymentAsked):
		return newProblem("payment_asked")
	case errors.Is(err, store.ErrNoToken):
		return newProblem("no_token")
	case errors.As(err, &left):
		p := newProblem("money_left")
		p.Available = left.Amount
		return p
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

// detailed is a problem that says what is wrong this time.
func detailed(code, why string) *Problem {
	p := newProblem(code)
	p.Detail = why
	return p
}

func standsInTheWay(code string, state store.State) *Problem {
	p := newProblem(code)
	p.AdvisorState = state
	if state == store.Away {
		p.Choices = []Choice{{Kind: "appointment"}}
	}
	return p
}

// topUp makes a refusal for lack of money say where to add it; another error it leaves.
func (h *Host) topUp(err error, client ivr.ClientID, plan dialplan.Plan) error {
	var poor *ivr.NoFunds
	if !errors.As(err, &poor) {
		return err
	}
	if poor.ByCap {
		p := newProblem("cap_reached")
		p.Available, p.Currency = poor.Available, plan.Currency
		p.Detail = "It leaves " + poor.Available.String() + " " + plan.Currency + ", too little for a talk of " + poor.Predetermined.String() + "."
		return p
	}
	p := newProblem("no_funds")
	p.Missing, p.Available, p.Currency = poor.Missing, poor.Available, plan.Currency
	p.Detail = poor.Missing.String() + " " + plan.Currency + " are missing for a talk of " + poor.Predetermined.String() + "."
	p.TopUp = h.whereToAdd(client, poor.Missing, plan.Currency)
	return p
}

// whereToAdd is where a client adds an amount; "" where the host knows no place.
func (h *Host) whereToAdd(client ivr.ClientID, amount money.Amount, currency string) string {
	return strings.NewReplacer("{client}", url.QueryEscape(string(client)), "{currency}", currency,
		"{missing}", strconv.FormatInt(int64(amount), 10)).Replace(h.TopUp)
}
