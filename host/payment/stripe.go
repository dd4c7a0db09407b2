package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley/ivr/money"
)

// Stripe charges by its PaymentIntents, off session.
type Stripe struct {
	url, key, webhookSecret string
	http                    *http.Client
	now                     func() time.Time
}

const (
	// stripeVersion is the API that the requests and answers here are written in.
	stripeVersion = "2024-06-20"

	stripeTakes      = 20 * time.Second // a bank may have to be asked
	stripeAnswerMost = 1 << 20
)

// NewStripe makes a provider. url is https://api.stripe.com but in tests; without a
// webhook secret no notice is believed.
func NewStripe(url, key, webhookSecret string) *Stripe {
	return &Stripe{
		url: strings.TrimSuffix(url, "/"), key: key, webhookSecret: webhookSecret, now: time.Now,
		http: &http.Client{
			Timeout: stripeTakes,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // the key goes nowhere else
			},
		},
	}
}

func (*Stripe) Name() string { return "stripe" }

// Charge creates and confirms a PaymentIntent under the charge's ID as Idempotency-Key:
// Stripe answers the same key the same for a day at least, also with an intent that was
// "processing" or with its own failure. So one that has a Reference is fetched instead.
func (s *Stripe) Charge(ctx context.Context, c Charge) (Answer, error) {
	if c.Reference != "" {
		return s.ask(ctx, c, http.MethodGet, "/v1/payment_intents/"+url.PathEscape(c.Reference), nil)
	}
	return s.ask(ctx, c, http.MethodPost, "/v1/payment_intents", url.Values{
		"amount":                             {strconv.FormatInt(int64(c.Amount), 10)},
		"currency":                           {strings.ToLower(c.Currency)},
		"customer":                           {c.Means.Customer},
		"payment_method":                     {c.Means.Method},
		"off_session":                        {"true"},
		"confirm":                            {"true"},
		"error_on_requires_action":           {"true"}, // nothing is left open that could be paid later
		"automatic_payment_methods[enabled]": {"true"},
		"automatic_payment_methods[allow_redirects]": {"never"},
		"metadata[client]":                           {c.Client},
		"metadata[payment]":                          {c.ID},
	})
}

// intent is what is read of a PaymentIntent.
type intent struct {
	ID             string
	Object         string
	Status         string
	Amount         money.Amount
	AmountReceived money.Amount `json:"amount_received"`
	Currency       string
	Metadata       struct{ Client, Payment string }
	LastError      *stripeError `json:"last_payment_error"`
}

type stripeError struct {
	Type, Code  string
	DeclineCode string  `json:"decline_code"`
	Intent      *intent `json:"payment_intent"`
}

func (s *Stripe) ask(ctx context.Context, c Charge, method, path string, form url.Values) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return Answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	r.Header.Set("Stripe-Version", stripeVersion)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Idempotency-Key", c.ID)
	}
	response, err := s.http.Do(r)
	if err != nil {
		return Answer{}, fmt.Errorf("stripe: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, stripeAnswerMost))
	if err != nil {
		return Answer{}, fmt.Errorf("stripe: %w", err)
	}
	return answerOf(c, response.StatusCode, text)
}

// answerOf is what Stripe's answer means. What is neither surely paid nor surely not is
// an error.
func answerOf(c Charge, status int, text []byte) (Answer, error) {
	var body struct {
		intent
		Error *stripeError
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return Answer{}, fmt.Errorf("stripe: %d, and no JSON", status)
	}
	if status == http.StatusOK && body.Object == "payment_intent" && body.ID != "" {
		return body.intent.answer(c)
	}
	if body.Error == nil {
		return Answer{}, fmt.Errorf("stripe: %d, and no error in it", status)
	}
	e := *body.Error
	var reference string
	if e.Intent != nil {
		reference = e.Intent.ID
	}
	switch {
	case status == http.StatusPaymentRequired: // card_error: the bank was asked and said no
		return Answer{reference, e.reason()}, nil
	case (status == http.StatusBadRequest || status == http.StatusNotFound) && e.Type == "invalid_request_error" && c.Reference == "":
		return Answer{reference, Unusable}, nil // such as resource_missing: nobody was asked for money
	}
	// 401 and 403 are our key, 409 is the same charge being asked for right now, 429 too
	// many; all others are Stripe's own failures.
	return Answer{Reference: reference}, fmt.Errorf("stripe: %d %s %s", status, e.Type, e.Code)
}

func (i intent) answer(c Charge) (Answer, error) {
	switch i.Status {
	case "succeeded":
		if i.AmountReceived != c.Amount || !strings.EqualFold(i.Currency, c.Currency) {
			return Answer{Reference: i.ID}, fmt.Errorf("stripe: %s received %v %s, not %v %s", i.ID, i.AmountReceived, i.Currency, c.Amount, c.Currency)
		}
		return Answer{Reference: i.ID}, nil
	case "processing":
		return Answer{Reference: i.ID}, errors.New("stripe: the payment is being processed")
	case "requires_action":
		return Answer{i.ID, NeedsOwner}, nil
	case "requires_payment_method", "canceled":
		if i.LastError != nil {
			return Answer{i.ID, i.LastError.reason()}, nil
		}
		return Answer{i.ID, Refused}, nil
	}
	return Answer{Reference: i.ID}, fmt.Errorf("stripe: %s is %q", i.ID, i.Status)
}

// reason tells the owner what they can help, and of a card that is reported stolen no
// more than that it was refused.
func (e stripeError) reason() Reason {
	switch {
	case e.DeclineCode == "insufficient_funds":
		return NotEnough
	case e.Code == "expired_card" || e.DeclineCode == "expired_card":
		return Expired
	case e.Code == "authentication_required" || e.DeclineCode == "authentication_required":
		return NeedsOwner
	}
	return Refused
}
