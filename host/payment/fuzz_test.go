package payment

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Whatever a body is that Stripe has signed: it is a payment with IDs, an amount and a
// currency, or it is refused, or passed over.
func FuzzNotice(f *testing.F) {
	s := NewStripe("http://127.0.0.1:1", "key", secret)
	at := time.Unix(1_800_000_000, 0)
	s.now = func() time.Time { return at }
	f.Add([]byte(`{"type":"payment_intent.succeeded","data":{"object":{"id":"pi_1","amount_received":2000,"currency":"eur","metadata":{"client":"cli_1","payment":"pay_1"}}}}`))
	f.Add([]byte(`{"type":"payment_intent.succeeded","data":{"object":{"id":"pi_1\u0000","amount_received":-1,"currency":"eur"}}}`))
	f.Add([]byte(`{"type":"payment_intent.succeeded","data":{"object":{"id":"pi 1","amount_received":9223372036854775807,"currency":"x"}}}`))
	f.Add([]byte(`{"type":"charge.refunded","data":null}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, ok, err := s.ReadNotice(http.Header{"Stripe-Signature": {signedHeader(at, string(body), secret)}}, body)
		switch {
		case err != nil && (ok || !errors.Is(err, ErrUnreadable)):
			t.Errorf("%v, %v", ok, err)
		case ok && (n.Amount <= 0 || !identifier.MatchString(n.Payment) || !identifier.MatchString(n.Reference) ||
			n.Client != "" && !identifier.MatchString(n.Client) || !currency.MatchString(n.Currency)):
			t.Errorf("taken for a payment: %+v", n)
		case !ok && n != (Notice{}):
			t.Errorf("passed over, and told: %+v", n)
		}
	})
}

func signedHeader(at time.Time, body, with string) string {
	return fmt.Sprintf("t=%d,%s", at.Unix(), sign(at, body, with))
}

var (
	identifier = regexp.MustCompile(`^[!-~]{1,255}$`)
	currency   = regexp.MustCompile(`^[A-Z]{3}$`)
)

// Nobody signs as Stripe does without its secret, however the header is written.
func FuzzSignature(f *testing.F) {
	s := NewStripe("http://127.0.0.1:1", "key", "whsec_test")
	at := time.Unix(1_800_000_000, 0)
	s.now = func() time.Time { return at }
	f.Add(signedHeader(at, "{}", "whsec_other"), []byte("{}"))
	f.Add("t=1800000000,v1=,v1=00", []byte("{}"))
	f.Add("v1=,t=-9223372036854775808,t=1800000000", []byte(""))
	f.Add("t=1800000000", []byte("{}"))
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if _, ok, err := s.ReadNotice(http.Header{"Stripe-Signature": {header}}, body); ok || !errors.Is(err, ErrSignature) {
			t.Errorf("signed by nobody: %v, %v", ok, err)
		}
	})
}

// Of whatever Stripe answers to a charge: paid is only what says so, of this amount.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(succeeded("pi_1", "succeeded", 2000)))
	f.Add(200, []byte(`{"object":"payment_intent","id":"pi_1","status":"succeeded","amount_received":1,"currency":"eur"}`))
	f.Add(402, []byte(`{"error":{"type":"card_error","code":"card_declined","payment_intent":{"id":"pi_1"}}}`))
	f.Add(500, []byte(`<html>`))
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		a, err := answerOf(Charge{ID: "pay_1", Amount: 2000, Currency: "EUR"}, status, text)
		if err == nil && a.Declined == "" && (status != http.StatusOK || !strings.Contains(strings.ToLower(string(text)), "succeeded") || a.Reference == "") {
			t.Errorf("%d %s is taken for paid: %+v", status, text, a)
		}
	})
}
