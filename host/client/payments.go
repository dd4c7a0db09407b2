package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// PaymentMethod is what a client pays with. What it is at the provider is said, never
// told.
type PaymentMethod struct {
	Customer string `json:"customer"`
	Method   string `json:"method"`
	Label    string `json:"label"`
}

// TopUp is money that was asked of it. Asked: nobody knows yet.
type TopUp struct {
	Payment, State, Currency string
	Amount, Available        int64
}

func (c Client) SavePaymentMethod(ctx context.Context, client string, m PaymentMethod) error {
	return c.do(ctx, http.MethodPut, of(client)+"/payment-method", "", m, nil)
}

// PaymentMethod returns its label.
func (c Client) PaymentMethod(ctx context.Context, client string) (string, error) {
	var m PaymentMethod
	err := c.do(ctx, http.MethodGet, of(client)+"/payment-method", "", nil, &m)
	return m.Label, err
}

func (c Client) RemovePaymentMethod(ctx context.Context, client string) error {
	return c.do(ctx, http.MethodDelete, of(client)+"/payment-method", "", nil, nil)
}

// TopUp asks for money. The same key again is the same payment, and tells what has become
// of it.
func (c Client) TopUp(ctx context.Context, key, client string, amount int64) (t TopUp, err error) {
	return t, c.do(ctx, http.MethodPost, of(client)+"/top-ups", key, map[string]int64{"amount": amount}, &t)
}

// Caps are how much a client lets themselves spend; a nil Amount is no cap.
type Caps struct {
	Currency  string
	Day, Week Cap
	Held      int64
	MaySpend  int64 `json:"may_spend"`
}

// Cap is one of them: now, and what it will be.
type Cap struct {
	Amount  *int64
	Charged int64
	Next    *struct {
		Amount *int64
		From   time.Time
	}
}

func (c Client) Caps(ctx context.Context, client string) (caps Caps, err error) {
	return caps, c.do(ctx, http.MethodGet, of(client)+"/caps", "", nil, &caps)
}

func (c Client) SetCaps(ctx context.Context, client string, day, week *int64) (caps Caps, err error) {
	body := struct {
		Day  *int64 `json:"day,omitempty"`
		Week *int64 `json:"week,omitempty"`
	}{day, week}
	return caps, c.do(ctx, http.MethodPut, of(client)+"/caps", "", body, &caps)
}

// Receipts is a page of the list; before is the last call of the page before.
func (c Client) Receipts(ctx context.Context, client, before string) ([]Receipt, error) {
	var page struct{ Receipts []Receipt }
	err := c.do(ctx, http.MethodGet, of(client)+"/receipts?before="+url.QueryEscape(before), "", nil, &page)
	return page.Receipts, err
}

func (c Client) DeleteClient(ctx context.Context, key, client string) error {
	return c.do(ctx, http.MethodPost, of(client)+"/deletion", key, nil, nil)
}

func (c Client) DeleteAdvisor(ctx context.Context, key, advisor string) error {
	return c.do(ctx, http.MethodPost, "/v1/advisors/"+url.PathEscape(advisor)+"/deletion", key, nil, nil)
}

func of(client string) string { return "/v1/clients/" + url.PathEscape(client) }
