package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// cast is who can be in an act, each in one at a time.
type cast struct {
	clients  chan *person // with money
	poor     chan *person // with a little, and a card
	advisors chan *advisor
	novices  chan *advisor // whose lines are never verified for long
	deck     []kind
}

// person is a client.
type person struct {
	id      string
	phone   *phone.Phone
	session client.Client
}

// advisor is an advisor.
type advisor struct {
	id    string
	phone *phone.Phone
	app   client.Client
}

// How many there are: acts last a quarter of a minute, and take one advisor and up to
// two clients.
const (
	clientsMost  = 120
	poorMost     = 24
	advisorsMost = 64
	ofSIP        = 8 // advisors whose line is a SIP phone that registers, not a telephone number
	novicesMost  = 12

	plenty = 1_000_000
)

// keepAudio is what a phone remembers: a prompt, and the end of a talk.
const keepAudio = 25 * time.Second

var numbers atomic.Int64

func newNumber() string { return fmt.Sprintf("+49151%08d", 10_000_000+numbers.Add(1)) }

// gather makes the cast, with real verification calls.
func (s *soak) gather(ctx context.Context) error {
	s.stage.Carrier.KeepAudio(keepAudio)
	s.clients, s.poor = make(chan *person, clientsMost), make(chan *person, poorMost)
	s.advisors, s.novices = make(chan *advisor, advisorsMost), make(chan *advisor, novicesMost)
	todo := make(chan func() error)
	var faults []error
	var mu sync.Mutex
	var hands sync.WaitGroup
	for range 8 {
		hands.Go(func() {
			for one := range todo {
				if err := one(); err != nil {
					mu.Lock()
					faults = append(faults, err)
					mu.Unlock()
				}
			}
		})
	}
	for range clientsMost {
		todo <- func() error { return s.newClient(ctx, plenty, s.clients) }
	}
	for range poorMost {
		todo <- func() error { return s.newClient(ctx, 0, s.poor) }
	}
	for i := range advisorsMost {
		todo <- func() error { return s.newAdvisor(ctx, i < ofSIP, true, s.advisors) }
	}
	for range novicesMost {
		todo <- func() error { return s.newAdvisor(ctx, false, false, s.novices) }
	}
	close(todo)
	hands.Wait()
	if len(faults) > 0 {
		return fmt.Errorf("%d people are missing: %w", len(faults), errors.Join(faults[:min(3, len(faults))]...))
	}
	s.say("%d clients, %d advisors with verified lines", clientsMost+poorMost, advisorsMost)
	return nil
}

func (s *soak) newClient(ctx context.Context, money int64, into chan *person) error {
	number := newNumber()
	site := s.patient(s.site)
	account, err := site.AddClient(ctx, "add-"+number, client.NewClient{Alias: "Blue Heron", Phone: number, Currency: "EUR"})
	if err != nil {
		return err
	}
	token, err := site.NewSession(ctx, "session-"+number, account.ID, 24*time.Hour)
	if err != nil {
		return err
	}
	if money > 0 {
		_, err = site.Deposit(ctx, "deposit-"+number, client.Deposit{Client: account.ID, Payment: "first-" + number, Amount: money, Currency: "EUR"})
	} else {
		err = site.SavePaymentMethod(ctx, account.ID, client.PaymentMethod{Customer: "cus_" + number[1:], Method: "test_ok", Label: "Visa 4242"})
	}
	session := site
	session.Token = token.Secret
	into <- &person{id: account.ID, phone: s.stage.Carrier.Phone(number), session: session}
	return err
}

func (s *soak) newAdvisor(ctx context.Context, sip, verified bool, into chan *advisor) error {
	number, name := newNumber(), "Anna"
	admin := s.patient(s.admin)
	made, err := admin.AddAdvisor(ctx, "add-"+number, client.AdvisorChange{Name: &name})
	if err != nil {
		return err
	}
	token, err := admin.NewAdvisorToken(ctx, "token-"+number, made.ID, name, 30*24*time.Hour)
	if err != nil {
		return err
	}
	a := &advisor{id: made.ID, app: admin}
	a.app.Token = token.Secret
	defer func() { into <- a }()
	if !verified {
		return nil
	}
	if err := s.firstLine(ctx, a, number, sip); err != nil {
		return err
	}
	return a.app.SetPresence(ctx, a.id, true)
}

// firstLine gives an advisor a line, and verifies it.
func (s *soak) firstLine(ctx context.Context, a *advisor, number string, sip bool) error {
	if !sip {
		a.phone = s.stage.Carrier.Phone(number)
		line, err := a.app.AddLine(ctx, "line-"+number, a.id, "phone", number)
		if err != nil {
			return err
		}
		return s.verified(ctx, a, line.ID)
	}
	line, err := a.app.AddLine(ctx, "line-"+number, a.id, "sip", "")
	if err != nil {
		return err
	}
	for give := time.Now().Add(patience); ; { // the endpoint is made on a notice
		a.phone, err = phone.Register(ctx, "127.0.0.1:0", s.stage.Lab.Asterisk.SIPAddr, line.Credentials.User, line.Credentials.Password)
		if err == nil || time.Now().After(give) || !pause(ctx, 200*time.Millisecond) {
			break
		}
	}
	if err != nil {
		return err
	}
	a.phone.KeepAudio(keepAudio)
	return s.verified(ctx, a, line.ID)
}

// verified verifies a line by a call, the code keyed at once.
func (s *soak) verified(ctx context.Context, a *advisor, line string) error {
	verification, err := a.app.VerifyLine(ctx, "verify-"+line, line)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ringing, err := a.phone.Accept(waiting)
	if err != nil {
		return err
	}
	call, err := ringing.Answer(waiting)
	if err != nil {
		return err
	}
	if err := call.Keys(waiting, verification.Code+"#"); err != nil {
		return err
	}
	return errors.Join(s.comes(waiting, func() (bool, error) {
		v, err := a.app.Verification(waiting, verification.ID)
		return v.State == "verified", err
	}), call.Hangup(waiting))
}

// comes asks until it is so.
func (s *soak) comes(ctx context.Context, so func() (bool, error)) error {
	for {
		switch yes, err := so(); {
		case err != nil:
			return err
		case yes:
			return nil
		}
		if !pause(ctx, 250*time.Millisecond) {
			return fmt.Errorf("it does not come to that: %w", context.Cause(ctx))
		}
	}
}

// pause waits, and reports whether ctx lasted as long.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
