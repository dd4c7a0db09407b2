package store

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

var visa = Means{Provider: "stripe", Customer: "cus_secret", Method: "pm_secret", Label: "Visa 4242"}

// payer is a client who has saved what they pay with.
func (w *town) payer() ivr.ClientID {
	w.t.Helper()
	client := w.client(0)
	w.must(w.SaveMeans(w.t.Context(), "test", client, visa))
	return client
}

func (w *town) ask(id string, client ivr.ClientID, amount money.Amount) Payment {
	w.t.Helper()
	p, err := w.AskPayment(w.t.Context(), "test", "stripe", Payment{ID: id, Client: client, Amount: amount})
	w.must(err)
	return p
}

func paidIn(p Payment) PaidIn {
	return PaidIn{Payment: p.ID, Reference: "pi_" + p.ID, Client: p.Client, Amount: p.Amount, Currency: "EUR"}
}

// count is how many there are of what a query selects.
func (w *town) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.must(w.superuser().Get(&n, `SELECT count(*) FROM `+query, args...))
	return n
}

// What a client pays with is kept sealed, one at a time, and overwritten when it is
// removed.
func TestMeansAreSealedAndRemoved(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client := w.payer()
	if m, err := w.Means(ctx, client); err != nil || m != visa {
		t.Errorf("%+v, %v", m, err)
	}
	other := Means{Provider: "test", Customer: "c", Method: "test_ok", Label: "Test"}
	w.must(w.SaveMeans(ctx, "test", client, other))
	if m, err := w.Means(ctx, client); err != nil || m != other {
		t.Errorf("the second: %+v, %v", m, err)
	}
	if n := w.count(`payment_means WHERE encode(sealed, 'escape') LIKE '%test_ok%'`); n != 0 {
		t.Error("it is kept as it is")
	}
	if _, err := w.AskPayment(ctx, "test", "stripe", Payment{ID: "pay_1", Client: client, Amount: 1}); !errors.Is(err, ErrNoMeans) {
		t.Errorf("asked of another provider: %v", err)
	}
	for range 2 {
		w.must(w.RemoveMeans(ctx, "test", client))
	}
	if _, err := w.Means(ctx, client); !errors.Is(err, ErrNoMeans) {
		t.Errorf("once it is removed: %v", err)
	}
	if n := w.count(`payment_means WHERE sealed IS NOT NULL OR label <> ''`); n != 0 {
		t.Error("it is still there")
	}
	for _, err := range []error{w.SaveMeans(ctx, "test", "cli_no", visa), w.RemoveMeans(ctx, "test", "cli_no")} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("nobody's: %v", err)
		}
	}
	if err := w.SaveMeans(ctx, "test", client, Means{Provider: "stripe"}); err == nil {
		t.Error("nothing was saved")
	}
}

// The answer and the notice of one payment, many times and at once: one deposit, one
// event.
func TestAPaymentCreditsOnceWhoeverTells(t *testing.T) {
	w := newTown(t)
	client := w.payer()
	p := w.ask("pay_1", client, 20_00)
	if p.State != PaymentAsked || p.Means.Customer != visa.Customer || p.Means.Method != visa.Method {
		t.Fatalf("asked: %+v", p)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := w.CreditPayment(t.Context(), "stripe", paidIn(p)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if posted, _ := w.balance(client); posted != 20_00 {
		t.Errorf("credited %v", posted)
	}
	if n := w.count(`events WHERE type = 'payment.paid'`); n != 1 {
		t.Errorf("%d events", n)
	}
	if again := w.ask("pay_1", client, 20_00); again.State != PaymentPaid || again.Reference != "pi_pay_1" || again.Means != (Means{}) {
		t.Errorf("asked again: %+v", again)
	}
	w.must(w.DeclinePayment(t.Context(), "pay_1", "", "refused"))
	if again := w.ask("pay_1", client, 20_00); again.State != PaymentPaid {
		t.Errorf("declined once it was paid: %+v", again)
	}
	w.clean()
}

// The same ID is the same payment, and another with it is refused.
func TestOnePaymentForOneID(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, other := w.payer(), w.payer()
	w.ask("pay_1", client, 20_00)
	for what, p := range map[string]Payment{
		"another amount":   {ID: "pay_1", Client: client, Amount: 20_01},
		"another client":   {ID: "pay_1", Client: other, Amount: 20_00},
		"for a call":       {ID: "pay_1", Client: client, Amount: 20_00, Call: "call_1"},
		"another currency": {ID: "pay_2", Client: client, Amount: 20_00, Currency: "CHF"},
	} {
		if _, err := w.AskPayment(ctx, "test", "stripe", p); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
	in := paidIn(Payment{ID: "pay_1", Client: client, Amount: 19_99})
	if err := w.CreditPayment(ctx, "stripe", in); !errors.Is(err, ErrConflict) {
		t.Errorf("another amount came in: %v", err)
	}
	in.Amount, in.Currency = 20_00, "CHF"
	if err := w.CreditPayment(ctx, "stripe", in); !errors.Is(err, ErrConflict) {
		t.Errorf("another currency came in: %v", err)
	}
	in.Client, in.Currency = "cli_no", "EUR"
	if err := w.CreditPayment(ctx, "stripe", in); !errors.Is(err, ErrNotFound) {
		t.Errorf("for nobody: %v", err)
	}
	for range 2 {
		w.must(w.LogUncredited(ctx, "stripe", in, ErrNotFound))
	}
	if n := w.count(`audit_log WHERE what = 'payment not credited' AND subject = 'pay_1'`); n != 1 {
		t.Errorf("written down %d times", n)
	}
	if posted, _ := w.balance(client); posted != 0 {
		t.Errorf("credited %v", posted)
	}
	if _, err := w.AskPayment(ctx, "test", "stripe", Payment{ID: "pay_3", Client: client}); err == nil {
		t.Error("nothing was asked for")
	}
	w.clean()
}

// A payment that was declined, or given up, is still credited when it comes in; one that
// nobody asked for here too, once.
func TestMoneyThatComesInIsCredited(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client := w.payer()
	p := w.ask("pay_1", client, 20_00)
	w.must(w.DeclinePayment(ctx, p.ID, "", "not_enough"))
	if again := w.ask("pay_1", client, 20_00); again.State != PaymentDeclined || again.Reason != "not_enough" {
		t.Errorf("declined: %+v", again)
	}
	if n := w.count(`payments WHERE sealed IS NOT NULL`); n != 0 {
		t.Error("what it was to be paid with is still there")
	}
	w.must(w.CreditPayment(ctx, "stripe", paidIn(p)))
	site := PaidIn{Payment: "pi_of_the_site", Reference: "pi_of_the_site", Client: client, Amount: 5_00, Currency: "EUR"}
	for range 2 {
		w.must(w.CreditPayment(ctx, "stripe", site))
	}
	site.Amount = 6_00
	if err := w.CreditPayment(ctx, "stripe", site); !errors.Is(err, ErrConflict) {
		t.Errorf("another amount: %v", err)
	}
	w.must(w.Deposit(ctx, "test", "pay_2", client, 3_00))
	w.must(w.CreditPayment(ctx, "stripe", PaidIn{Payment: "pay_2", Client: client, Amount: 3_00, Currency: "EUR"}))
	if posted, _ := w.balance(client); posted != 28_00 {
		t.Errorf("credited %v", posted)
	}
	if n := w.count(`events WHERE type = 'payment.paid'`); n != 2 {
		t.Errorf("%d events", n)
	}
	w.clean()
}

// What is not answered is found again, with what it is paid with, whatever the client has
// saved since; what its provider named is known.
func TestUnansweredPaymentsAreFound(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client := w.payer()
	p := w.ask("pay_1", client, 20_00)
	w.ask("pay_2", client, 1_00)
	w.must(w.DeclinePayment(ctx, "pay_2", "", "refused"))
	w.must(w.RemoveMeans(ctx, "test", client))
	w.must(w.NotePayment(ctx, p.ID, "pi_1"))
	if young, err := w.UnansweredPayments(ctx, time.Minute, 10); err != nil || len(young) != 0 {
		t.Errorf("those of a minute ago: %+v, %v", young, err)
	}
	find := func() Payment {
		t.Helper()
		found, err := w.UnansweredPayments(ctx, 0, 10)
		if err != nil || len(found) != 1 {
			t.Fatalf("found %+v, %v", found, err)
		}
		return found[0]
	}
	if f := find(); f.ID != p.ID || f.Reference != "pi_1" || f.Means != p.Means || f.Late || f.Amount != 20_00 {
		t.Errorf("found %+v", f)
	}
	w.superuser().MustExec(`UPDATE payments SET asked_at = asked_at - interval '20 hours' WHERE id = 'pay_1'`)
	if f := find(); !f.Late {
		t.Errorf("20 hours later: %+v", f)
	}
	w.must(w.CreditPayment(ctx, "stripe", paidIn(p)))
	if found, err := w.UnansweredPayments(ctx, 0, 10); err != nil || len(found) != 0 {
		t.Errorf("once it is paid: %+v, %v", found, err)
	}
	for what, statement := range map[string]string{
		"taken back": `UPDATE payments SET state = 'declined', reason = 'x' WHERE id = 'pay_1'`,
		"larger":     `UPDATE payments SET amount = 99 WHERE id = 'pay_1'`,
		"asked anew": `UPDATE payments SET state = 'asked', sealed = '\x00', reason = '', ended_at = NULL WHERE id = 'pay_2'`,
		"deleted":    `DELETE FROM payments`,
		"truncated":  `TRUNCATE payments`,
	} {
		if _, err := w.superuser().Exec(statement); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
