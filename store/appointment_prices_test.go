package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// A price that was agreed on stays: neither the advisor's new one nor the client's having
// waited makes the call dearer.
func TestTheAgreedPriceCounts(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	a, err := c.asks(c.wish(c.client, c.advisor, berlin(3*time.Hour), HostCalls))
	c.must(err)
	c.must(c.SetWish(ctx, c.advisor, dialplan.Wish{PerMinute: 800}))
	a, err = c.accepts(a)
	c.must(err)
	if a.Held != price {
		t.Errorf("held %v, agreed %v", a.Held, price)
	}
	c.moves(a, -time.Second)
	c.due()
	p := c.placed()
	o := c.opens(p.Loan, p.Call, p.Kind)
	held, err := c.Hold(ctx, o)
	c.must(err)
	if held != price {
		t.Errorf("held %v", held)
	}
	c.ends(o, ivr.Completed, 10*time.Minute)
	c.stands(a, ApptKept)
	c.has(100_00-price, 0)
	c.clean()
}

// A phone that is named for the appointment is the one that is called, and from which the
// client is known; it is not readable in the database, nor shown.
func TestTheAppointmentsOwnPhone(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	r := c.wish(c.client, c.advisor, berlin(3*time.Hour), DialIn)
	r.Phone = "+4917012345678"
	a, err := c.asks(r)
	c.must(err)
	a, err = c.accepts(a)
	c.must(err)
	c.moves(a, time.Minute)
	c.due()
	a = c.stands(a, ApptOpen)
	for _, phone := range []string{r.Phone, fmt.Sprintf("+4916012%05d", 2)} {
		loan, err := c.LoanByANI(ctx, a.DID, phone)
		if err != nil || loan.ClientLine.Address != r.Phone || loan.Appointment == nil || loan.Appointment.Terms.LongestTalk != 10*time.Minute {
			t.Errorf("by %s: %+v, %v", phone, loan, err)
		}
	}
	if _, err := c.LoanByANI(ctx, a.DID, "+4917012345679"); !errors.Is(err, ivr.ErrNotIdentified) {
		t.Errorf("by another phone: %v", err)
	}
	loan, err := c.LoanByPIN(ctx, a.DID, a.PIN)
	c.must(err)
	c.moves(a, 0)
	o := c.opens(loan, ivr.CallID(ivr.NewID("call")), ivr.ClientCall)
	_, err = c.Hold(ctx, o)
	c.must(err)
	open, err := c.OpenCalls(ctx)
	c.must(err)
	if len(open) != 1 || open[0].ClientLine.Address != r.Phone {
		t.Errorf("open: %+v", open)
	}
	var row string
	c.must(c.superuser().Get(&row, `SELECT p::text || (SELECT string_agg(e::text, '') FROM events e) FROM appointments p`))
	if strings.Contains(row, "17012345678") || strings.Contains(row, a.PIN) && len(a.PIN) == 6 {
		t.Errorf("readable: %s", row)
	}
}
