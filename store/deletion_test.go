package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"parley/ivr"
)

func (h *hosted) deleteClient(client ivr.ClientID) error {
	return h.DeleteClient(h.t.Context(), Request{h.site, ivr.NewID("key"), string(client)}, "Ada", client)
}

func (h *hosted) deleteAdvisor(advisor ivr.AdvisorID) error {
	return h.DeleteAdvisor(h.t.Context(), Request{h.site, ivr.NewID("key"), string(advisor)}, "Ada", advisor)
}

// spend ends a call that costs all that a client has.
func (h *hosted) spend(client ivr.ClientID) ivr.CallID {
	h.t.Helper()
	talk, err := h.tap(client, h.advisor)
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(h.t.Context(), o)
	h.must(err)
	cdr := ended(o, 5*time.Minute)
	cdr.Loan = talk.Loan
	h.must(h.Close(h.t.Context(), cdr))
	return o.Call
}

// What is known of a client is overwritten, the books stay, and their number may be
// another client's.
func TestADeletedClientIsForgottenAndTheBooksStay(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client, err := h.AddClient(ctx, Client{Alias: "Blue Heron", Phone: "+491601234567", Currency: "EUR"})
	h.must(err)
	h.deposit(client.ID, least)
	call := h.spend(client.ID)
	h.must(h.SaveMeans(ctx, "test", client.ID, visa))
	h.must(h.SetNote(ctx, h.advisor, client.ID, "wants to know of cats"))
	_, secret, err := h.CreateToken(ctx, "test", Token{Role: RoleClient, Client: client.ID}, time.Hour)
	h.must(err)
	loan, _, err := h.CreateLoan(ctx, LoanRequest{Client: client.ID, Advisor: h.advisor, Line: h.line, Topic: "my cat", DID: "+493055509999", For: time.Hour})
	h.must(err)

	request := Request{h.site, "deletion", "it"}
	for range 2 { // the second is the same request: its answer was lost
		h.must(h.DeleteClient(ctx, request, "Ada", client.ID))
	}
	if err := h.deleteClient(client.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("deleted again: %v", err)
	}
	if _, err := h.Client(ctx, client.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("they are still there: %v", err)
	}
	if list, err := h.Clients(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("they are listed: %+v, %v", list, err)
	}
	if list, err := h.OwnClients(ctx, h.advisor, "", 10); err != nil || len(list) != 0 {
		t.Errorf("their advisor sees %+v, %v", list, err)
	}
	if _, err := h.Authenticate(ctx, secret); !errors.Is(err, ErrNoToken) {
		t.Errorf("their token: %v", err)
	}
	if _, _, err := h.CreateToken(ctx, "test", Token{Role: RoleClient, Client: client.ID}, time.Hour); !errors.Is(err, ErrNotFound) {
		t.Errorf("a new token: %v", err)
	}
	if _, err := h.LoanByANI(ctx, loan.DID, "+491601234567"); !errors.Is(err, ivr.ErrLoanExpired) {
		t.Errorf("their number: %v", err)
	}
	if err := h.Deposit(ctx, "test", "pay_1", client.ID, 1_00); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deposit: %v", err)
	}
	if _, err := h.tap(client.ID, h.advisor); !errors.Is(err, ErrNotFound) {
		t.Errorf("a tap: %v", err)
	}
	if _, err := h.Means(ctx, client.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("their means of payment: %v", err)
	}
	var known string
	h.must(h.superuser().Get(&known, `
		SELECT concat_ws(' ', alias, phone_mask, (SELECT string_agg(topic, '') FROM loans WHERE client = c.id),
			(SELECT label FROM payment_means WHERE client = c.id)) FROM clients c WHERE id = $1`, client.ID))
	if known != "deleted   " {
		t.Errorf("known of them: %q", known)
	}
	if l, err := h.Loan(ctx, loan.ID); err != nil || l.ClientAlias != "deleted" || l.ClientLine.Address != "" || l.Topic != "" {
		t.Errorf("their loan: %+v, %v", l, err)
	}
	if note, _, err := h.Note(ctx, h.advisor, client.ID); err != nil || note != "" {
		t.Errorf("the advisor's note: %q, %v", note, err)
	}
	again, err := h.AddClient(ctx, Client{Alias: "Blue Heron", Phone: "+491601234567", Currency: "EUR"})
	if err != nil || again.ID == client.ID {
		t.Errorf("the number registers anew: %+v, %v", again, err)
	}
	if r, err := h.Receipt(ctx, call); err != nil || r.Charge != least || r.Client != client.ID || r.ClientAlias != "deleted" {
		t.Errorf("the receipt: %+v, %v", r, err)
	}
	h.clean()
}

// Nobody is deleted while a call is up, an appointment or a payment is not over, or money
// is left.
func TestNobodyIsDeletedWithBusinessLeft(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client := h.payer()
	h.deposit(client, least)
	talk, err := h.tap(client, h.advisor)
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	if err := h.deleteClient(client); !errors.Is(err, ErrCallUp) {
		t.Errorf("in a call: %v", err)
	}
	if err := h.deleteAdvisor(h.advisor); !errors.Is(err, ErrCallUp) {
		t.Errorf("the advisor in a call: %v", err)
	}
	cdr := ended(o, 2*time.Minute)
	cdr.Loan = talk.Loan
	h.must(h.Close(ctx, cdr))
	p := h.town.ask("pay_1", client, 5_00)
	if err := h.deleteClient(client); !errors.Is(err, ErrPaymentAsked) {
		t.Errorf("with a payment on its way: %v", err)
	}
	h.must(h.DeclinePayment(ctx, p.ID, "", "refused"))
	var left *MoneyLeft
	if err := h.deleteClient(client); !errors.As(err, &left) || left.Amount != least-cdr.Charge {
		t.Errorf("with money: %v", err)
	}
	if err := h.deleteAdvisor(h.advisor); !errors.As(err, &left) || left.Amount != cdr.Shares.Advisor {
		t.Errorf("the advisor with money: %v", err)
	}
	if err := h.deleteClient("cli_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	if err := h.deleteAdvisor("adv_no"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no advisor: %v", err)
	}
	if c, err := h.Client(ctx, client); err != nil || c.Alias == deleted {
		t.Errorf("who was refused is as before: %+v, %v", c, err)
	}
	h.clean()
}

func TestADeletedAdvisorIsForgotten(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client := h.client(50_00)
	h.must(h.SetNote(ctx, h.advisor, h.knows(client), "of the advisor"))
	talk, err := h.tap(client, h.advisor)
	h.must(err)
	_, secret, err := h.CreateToken(ctx, "test", Token{Role: RoleAdvisor, Advisor: h.advisor}, time.Hour)
	h.must(err)
	h.must(h.deleteAdvisor(h.advisor))

	if _, err := h.Authenticate(ctx, secret); !errors.Is(err, ErrNoToken) {
		t.Errorf("their token: %v", err)
	}
	if over, err := h.Talk(ctx, h.plan, talk.Loan, client); err != nil || !over.Over || over.AdvisorName != "deleted" {
		t.Errorf("the talk that was asked for: %+v, %v", over, err)
	}
	if _, err := h.tap(client, h.advisor); !errors.Is(err, ErrNotFound) {
		t.Errorf("a tap: %v", err)
	}
	for what, list := range map[string]func() (int, error){
		"advisors": func() (int, error) { l, err := h.Advisors(ctx, 10); return len(l), err },
		"states":   func() (int, error) { l, err := h.AdvisorStates(ctx, "", "", 10); return len(l), err },
		"lines":    func() (int, error) { l, err := h.Lines(ctx, h.advisor); return len(l), err },
	} {
		if n, err := list(); err != nil || n != 0 {
			t.Errorf("%s lists %d, %v", what, n, err)
		}
	}
	if _, err := h.Advisor(ctx, h.advisor); !errors.Is(err, ErrNotFound) {
		t.Errorf("they are still there: %v", err)
	}
	if err := h.SetPresence(ctx, h.advisor, true); !errors.Is(err, ErrNotFound) {
		t.Errorf("they come on line: %v", err)
	}
	name := "Maria"
	if err := h.ChangeAdvisor(ctx, "test", h.advisor, AdvisorChange{Name: &name}); !errors.Is(err, ErrNotFound) {
		t.Errorf("they are named again: %v", err)
	}
	if l, err := h.Loan(ctx, talk.Loan); err != nil || l.Line.Address != "" || l.Line.Verified {
		t.Errorf("their line: %+v, %v", l.Line, err)
	}
	if n := h.count(`lines WHERE advisor = $1 AND (address_mask <> '' OR retired_at IS NULL)`, h.advisor); n != 0 {
		t.Errorf("%d of their lines are as before", n)
	}
	h.clean()
}

// knows makes the client one whom the advisor has talked to.
func (h *hosted) knows(client ivr.ClientID) ivr.ClientID {
	h.t.Helper()
	_, _, err := h.CreateLoan(h.t.Context(), LoanRequest{Client: client, Advisor: h.advisor, Line: h.line, DID: fmt.Sprintf("+4930555%05d", h.calls.Add(1)), For: time.Hour})
	h.must(err)
	return client
}
