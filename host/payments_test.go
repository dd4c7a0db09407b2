package host

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/host/payment"
	"parley/ivr"
	"parley/store"
)

// payBy lets a provider take the town's money.
func (w *town) payBy(p payment.Provider) *Cashier {
	w.host.Cashier = NewCashier(w.store, p, slog.New(slog.NewTextHandler(&w.log, nil)))
	return w.host.Cashier
}

// payer is a client without money who has saved what they pay with.
func (w *town) payer(method string) (ivr.ClientID, client.Client) {
	w.Helper()
	id, session := w.newClient(0)
	w.must(w.site.SavePaymentMethod(w.Context(), string(id), client.PaymentMethod{Customer: "cus_secret", Method: method, Label: "Visa 4242"}))
	return id, session
}

func (w *town) available(id ivr.ClientID) int64 {
	w.Helper()
	account, err := w.site.Account(w.Context(), string(id))
	w.must(err)
	return account.Available
}

// What a client pays with is saved by the site, shown by its label, and removed.
func TestPaymentMethods(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	method := client.PaymentMethod{Customer: "cus_secret", Method: "test_ok", Label: "Visa 4242"}
	id, session := w.newClient(0)
	w.problem("payments are off", w.site.SavePaymentMethod(ctx, string(id), method), 503, "payments_off")
	_, err := session.TopUp(ctx, "top-up-1", string(id), 20_00)
	w.problem("a top-up while they are", err, 503, "payments_off")

	w.payBy(new(payment.Test))
	_, err = session.TopUp(ctx, "top-up-1", string(id), 20_00)
	if p := w.problem("nothing saved", err, 409, "no_payment_method"); p.TopUp != "https://site.example/add?client="+string(id)+"&amount=2000&currency=EUR" {
		t.Errorf("led to %q", p.TopUp)
	}
	_, err = session.PaymentMethod(ctx, string(id))
	w.problem("nothing to see", err, 404, "not_found")
	w.problem("a client names the means", session.SavePaymentMethod(ctx, string(id), method), 403, "not_allowed")
	w.problem("of nobody", w.site.SavePaymentMethod(ctx, "cli_no", method), 404, "not_found")
	w.must(w.site.SavePaymentMethod(ctx, string(id), method))
	answer := w.send("GET", "/v1/clients/"+string(id)+"/payment-method", "", nil)
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	if strings.TrimSpace(string(text)) != `{"label":"Visa 4242"}` {
		t.Errorf("told %s", text)
	}
	_, other := w.newClient(0)
	_, err = other.PaymentMethod(ctx, string(id))
	w.problem("another's", err, 404, "not_found")
	w.problem("remove another's", other.RemovePaymentMethod(ctx, string(id)), 404, "not_found")
	_, err = other.TopUp(ctx, "top-up-1", string(id), 20_00)
	w.problem("top up another", err, 404, "not_found")
	w.must(session.RemovePaymentMethod(ctx, string(id)))
	_, err = session.PaymentMethod(ctx, string(id))
	w.problem("once it is removed", err, 404, "not_found")
}

// A top-up is paid, declined or not known yet, and made once for one key.
func TestTopUps(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	cashier := w.payBy(new(payment.Test))
	id, session := w.payer(payment.TestOK)
	for range 2 {
		got, err := session.TopUp(ctx, "top-up-1", string(id), 20_00)
		if w.must(err); got.State != "paid" || got.Amount != 20_00 || got.Currency != "EUR" || got.Available != 20_00 {
			t.Errorf("paid: %+v", got)
		}
	}
	if got, err := w.site.TopUp(ctx, "top-up-1", string(id), 20_00); err != nil || got.Available != 20_00 {
		t.Errorf("by another token: %+v, %v", got, err)
	}
	_, err := session.TopUp(ctx, "top-up-1", string(id), 30_00)
	w.problem("the key for another amount", err, 409, "key_reused")
	if got, err := session.TopUp(ctx, "top-up-2", string(id), 5_00); err != nil || got.Available != 25_00 {
		t.Errorf("another key: %+v, %v", got, err)
	}
	_, err = session.TopUp(ctx, "top-up-3", string(id), 0)
	w.problem("nothing", err, 422, "not_valid")

	poor, hers := w.payer(payment.TestDeclined)
	for range 2 {
		_, err = hers.TopUp(ctx, "top-up-1", string(poor), 20_00)
		if p := w.problem("declined", err, 402, "payment_declined"); p.Detail == "" {
			t.Errorf("told %+v", p)
		}
	}
	if w.available(poor) != 0 {
		t.Error("what was declined was credited")
	}

	unlucky, his := w.payer(payment.TestLost)
	got, err := his.TopUp(ctx, "top-up-1", string(unlucky), 20_00)
	if w.must(err); got.State != "asked" || got.Available != 0 {
		t.Errorf("not known yet: %+v", got)
	}
	w.must(cashier.Sweep(ctx, 0))
	if got, err := his.TopUp(ctx, "top-up-1", string(unlucky), 20_00); err != nil || got.State != "paid" || got.Available != 20_00 {
		t.Errorf("asked again by the sweep: %+v, %v", got, err)
	}
	again, err := his.TopUp(ctx, "top-up-2", string(unlucky), 1_00)
	if w.must(err); again.State != "asked" {
		t.Errorf("another: %+v", again)
	}
	if again, err = his.TopUp(ctx, "top-up-2", string(unlucky), 1_00); err != nil || again.State != "paid" {
		t.Errorf("asked again by the same request: %+v, %v", again, err)
	}
	if strings.Contains(w.log.String(), "cus_secret") {
		t.Error("what a client pays with was logged")
	}
}

// strangely does with charges what a test wants.
type strangely struct {
	payment.Test
	charge func(context.Context, payment.Charge) (payment.Answer, error)
}

func (s *strangely) Charge(ctx context.Context, c payment.Charge) (payment.Answer, error) {
	return s.charge(ctx, c)
}

// A call buys once for each number, and is told what became of it.
func TestCallsBuy(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	provider := &strangely{}
	cashier := w.payBy(provider)
	id, session := w.payer(payment.TestOK)
	w.must(w.store.Deposit(ctx, "test", "pay_first", id, 50_00))
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	call := w.hold(talk)
	var charges atomic.Int64
	provider.charge = func(_ context.Context, c payment.Charge) (payment.Answer, error) {
		charges.Add(1)
		if c.Client != string(id) || c.Amount != 10_00 || c.Currency != "EUR" || c.Means != (payment.Means{Customer: "cus_secret", Method: payment.TestOK}) {
			t.Errorf("asked for %+v", c)
		}
		return payment.Answer{Reference: "ref_" + c.ID}, nil
	}
	if can, err := cashier.CanBuy(ctx, id); err != nil || !can {
		t.Errorf("can buy: %v, %v", can, err)
	}
	for range 3 {
		w.must(cashier.Buy(ctx, call, 1, id, 10_00, "EUR"))
	}
	w.must(cashier.Buy(ctx, call, 2, id, 10_00, "EUR"))
	if w.available(id) != 20_00 || charges.Load() != 2 {
		t.Errorf("%d charges, available %d", charges.Load(), w.available(id))
	}
	provider.charge = func(context.Context, payment.Charge) (payment.Answer, error) {
		return payment.Answer{Declined: payment.NotEnough}, nil
	}
	for range 2 {
		if err := cashier.Buy(ctx, call, 3, id, 10_00, "EUR"); !errors.Is(err, ivr.ErrPaymentDeclined) {
			t.Errorf("declined: %v", err)
		}
	}
	provider.charge = func(context.Context, payment.Charge) (payment.Answer, error) {
		return payment.Answer{Reference: "ref_slow"}, errors.New("being processed")
	}
	if err := cashier.Buy(ctx, call, 4, id, 10_00, "EUR"); err == nil || errors.Is(err, ivr.ErrPaymentDeclined) {
		t.Errorf("not known: %v", err)
	}
	if err := cashier.Buy(ctx, call, 4, id, 11_00, "EUR"); err == nil || errors.Is(err, ivr.ErrPaymentDeclined) {
		t.Errorf("another amount: %v", err)
	}
	w.must(w.store.RemoveMeans(ctx, "test", id))
	if can, err := cashier.CanBuy(ctx, id); err != nil || can {
		t.Errorf("can buy with nothing: %v, %v", can, err)
	}
	if err := cashier.Buy(ctx, call, 5, id, 10_00, "EUR"); !errors.Is(err, ivr.ErrPaymentDeclined) {
		t.Errorf("with nothing: %v", err)
	}
	provider.charge = func(_ context.Context, c payment.Charge) (payment.Answer, error) {
		if c.Reference != "ref_slow" {
			t.Errorf("asked for %+v again", c)
		}
		return payment.Answer{Reference: c.Reference}, nil
	}
	w.must(cashier.Sweep(ctx, 0))
	w.must(cashier.Buy(ctx, call, 4, id, 10_00, "EUR"))
	if w.available(id) != 30_00 {
		t.Errorf("available %d", w.available(id))
	}
}

// Nobody who has spent what their cap allows is offered more.
func TestWhoHasReachedTheirCapIsOfferedNothing(t *testing.T) {
	w := newTown(t)
	cashier := w.payBy(new(payment.Test))
	id, session := w.payer(payment.TestOK)
	w.must(w.store.Deposit(t.Context(), "test", "pay_first", id, 50_00))
	most := int64(10_00)
	_, err := session.SetCaps(t.Context(), string(id), &most, nil)
	w.must(err)
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	if can, err := cashier.CanBuy(t.Context(), id); err != nil || !can {
		t.Errorf("before the call: %v, %v", can, err)
	}
	w.hold(talk)
	if can, err := cashier.CanBuy(t.Context(), id); err != nil || can {
		t.Errorf("with all of the cap held: %v, %v", can, err)
	}
}

// hold opens a call by a talk.
func (w *town) hold(talk client.Talk) ivr.CallID {
	w.Helper()
	terms := w.plan.Terms(talk.Advisor.ID, dialplan.Wish{})
	o := ivr.Opening{Kind: ivr.ClientCall, Call: ivr.CallID(ivr.NewID("call")), Loan: ivr.LoanID(talk.ID), DID: talk.Number, ANI: "+49****01",
		Client: ivr.ClientID(talk.Client), Advisor: ivr.AdvisorID(talk.Advisor.ID), Plan: w.plan.Version, Terms: terms, StartedAt: time.Now(),
		Least: terms.Least(), Most: terms.Most(), Concurrent: w.plan.Limits.Concurrent}
	_, err := w.store.Hold(w.Context(), o)
	w.must(err)
	return o.Call
}

// A provider that answers nobody is asked again under the same ID, is given up before it
// forgets, and what comes in after all is credited.
func TestWhatIsNotAnsweredIsAskedAgainUntilItIsLate(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	provider := &strangely{}
	cashier := w.payBy(provider)
	id, session := w.payer(payment.TestOK)
	var mu sync.Mutex
	asked := map[string]int{}
	provider.charge = func(_ context.Context, c payment.Charge) (payment.Answer, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[c.ID]++
		return payment.Answer{}, errors.New("nobody answers")
	}
	top, err := session.TopUp(ctx, "top-up-1", string(id), 20_00)
	w.must(err)
	w.must(cashier.Sweep(ctx, time.Hour)) // somebody may be waiting still
	w.must(cashier.Sweep(ctx, 0))
	if asked[top.Payment] != 2 || len(asked) != 1 {
		t.Errorf("asked %v", asked)
	}
	w.older(top.Payment, 20*time.Hour)
	w.must(cashier.Sweep(ctx, 0))
	_, err = session.TopUp(ctx, "top-up-1", string(id), 20_00)
	w.problem("given up", err, 402, "payment_declined")
	if asked[top.Payment] != 2 {
		t.Errorf("asked %v times, once too late", asked)
	}
	w.must(cashier.Notice(ctx, payment.Notice{Payment: top.Payment, Reference: "pi_1", Client: string(id), Amount: 20_00, Currency: "EUR"}))
	if got, err := session.TopUp(ctx, "top-up-1", string(id), 20_00); err != nil || got.State != "paid" || got.Available != 20_00 {
		t.Errorf("paid after all: %+v, %v", got, err)
	}
}

// Money that was taken is credited though nobody waits for the answer any more.
func TestWhoHangsUpHasPaid(t *testing.T) {
	w := newTown(t)
	provider := &strangely{}
	cashier := w.payBy(provider)
	id, _ := w.payer(payment.TestOK)
	ctx, hangUp := context.WithCancel(t.Context())
	provider.charge = func(context.Context, payment.Charge) (payment.Answer, error) {
		hangUp()
		return payment.Answer{Reference: "pi_1"}, nil
	}
	p, err := cashier.Pay(ctx, "test", store.Payment{ID: "pay_1", Client: id, Amount: 20_00})
	if w.must(err); p.State != store.PaymentPaid || w.available(id) != 20_00 {
		t.Errorf("%+v, available %d", p, w.available(id))
	}
}

// The sweep at the start finds what an earlier process asked for and did not live to hear
// of.
func TestWhatADeadProcessAskedForIsAskedAgainAtTheStart(t *testing.T) {
	w := newTown(t)
	provider := &strangely{charge: func(context.Context, payment.Charge) (payment.Answer, error) {
		return payment.Answer{}, errors.New("killed")
	}}
	w.payBy(provider)
	id, session := w.payer(payment.TestOK)
	top, err := session.TopUp(t.Context(), "top-up-1", string(id), 20_00)
	w.must(err)
	w.older(top.Payment, time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	next := NewCashier(w.store, &strangely{charge: func(_ context.Context, c payment.Charge) (payment.Answer, error) {
		if c.ID != top.Payment {
			t.Errorf("asked for %+v", c)
		}
		stop()
		return payment.Answer{Reference: "pi_1"}, nil
	}}, slog.New(slog.DiscardHandler))
	next.Serve(ctx)
	if w.available(id) != 20_00 {
		t.Errorf("available %d", w.available(id))
	}
}

// older moves a payment into the past.
func (w *town) older(payment string, by time.Duration) {
	w.Helper()
	w.sql(`UPDATE payments SET asked_at = asked_at - $2 * interval '1 s' WHERE id = $1`, payment, by.Seconds())
}

// sql does something as the database's owner.
func (w *town) sql(statement string, args ...any) {
	w.Helper()
	db, err := sql.Open("postgres", w.owner)
	w.must(err)
	defer db.Close()
	_, err = db.ExecContext(w.Context(), statement, args...)
	w.must(err)
}

const webhookSecret = "whsec_test"

// notify sends a notice as Stripe does.
func (w *town) notify(body, secret string, at time.Time) (status int, text string) {
	w.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.url+"/v1/payments/webhooks/stripe", strings.NewReader(body))
	w.must(err)
	if secret != "" {
		r.Header.Set("Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil))))
	}
	answer, err := http.DefaultClient.Do(r)
	w.must(err)
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	w.must(err)
	return answer.StatusCode, string(all)
}

func stripeEvent(payment, client string, amount int, currency string) string {
	return fmt.Sprintf(`{"type": "payment_intent.succeeded", "data": {"object": {"id": "pi_%s", "amount_received": %d, "currency": %q,
		"metadata": {"client": %q}}}}`, payment, amount, currency, client)
}

// A signed notice credits once; one that is not signed nothing; and what cannot be
// credited is written down, and not sent again.
func TestNoticesFromTheProvider(t *testing.T) {
	w := newTown(t)
	id, _ := w.newClient(0)
	body := stripeEvent("1", string(id), 20_00, "eur")
	if status, _ := w.notify(body, webhookSecret, time.Now()); status != 404 {
		t.Errorf("payments are off: %d", status)
	}
	w.payBy(payment.NewStripe("http://127.0.0.1:1", "sk_test", webhookSecret))
	for range 2 {
		if status, text := w.notify(body, webhookSecret, time.Now()); status != 204 {
			t.Errorf("signed: %d %s", status, text)
		}
	}
	if w.available(id) != 20_00 {
		t.Errorf("credited %d", w.available(id))
	}
	for what, c := range map[string]struct {
		body, secret string
		at           time.Time
		status       int
		code         string
	}{
		"not signed":       {stripeEvent("2", string(id), 1, "eur"), "", time.Now(), 400, "bad_signature"},
		"by another":       {stripeEvent("2", string(id), 1, "eur"), "whsec_other", time.Now(), 400, "bad_signature"},
		"old":              {stripeEvent("2", string(id), 1, "eur"), webhookSecret, time.Now().Add(-time.Hour), 400, "bad_signature"},
		"not JSON":         {"{", webhookSecret, time.Now(), 400, "bad_request"},
		"for nobody":       {stripeEvent("3", "cli_no", 1_00, "eur"), webhookSecret, time.Now(), 204, ""},
		"in francs":        {stripeEvent("4", string(id), 1_00, "chf"), webhookSecret, time.Now(), 204, ""},
		"of another shop":  {stripeEvent("5", "", 1_00, "eur"), webhookSecret, time.Now(), 204, ""},
		"another amount":   {stripeEvent("1", string(id), 30_00, "eur"), webhookSecret, time.Now(), 204, ""},
		"something else":   {`{"type": "customer.created"}`, webhookSecret, time.Now(), 204, ""},
		"more than fits":   {strings.Repeat(" ", noticeMost+1), webhookSecret, time.Now(), 413, "too_large"},
		"an odd client ID": {strings.Replace(stripeEvent("6", "cli_x", 1_00, "eur"), "cli_x", "cli_\\u0000", 1), webhookSecret, time.Now(), 400, "bad_request"},
	} {
		status, text := w.notify(c.body, c.secret, c.at)
		if status != c.status || c.code != "" && !strings.Contains(text, `"code":"`+c.code+`"`) {
			t.Errorf("%s: %d %s", what, status, text)
		}
	}
	if w.available(id) != 20_00 {
		t.Errorf("credited %d", w.available(id))
	}
	for _, payment := range []string{"pi_1", "pi_3", "pi_4", "pi_5"} {
		acts, err := w.store.Log(t.Context(), payment, 10)
		w.must(err)
		uncredited := len(acts) > 0 && acts[0].What == "payment not credited"
		if uncredited != (payment != "pi_5") {
			t.Errorf("%s: %+v", payment, acts)
		}
	}
	if status := w.send("POST", "/v1/payments/webhooks/paypal", "application/json", strings.NewReader("{}")).StatusCode; status != 404 && status != 422 {
		t.Errorf("another provider: %d", status)
	}
}
