package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// kind is a kind of act, and how often it comes.
type kind struct {
	name   string
	weight int
	takes  []func(*act) (give func(), err error)
	play   func(*act) error
}

type taking = []func(*act) (func(), error)

// both is whom most acts take.
var both = taking{withClient, withAdvisor}

// kinds are all of them: the deck that is dealt from.
var kinds = []kind{
	{"a talk, the client hangs up", 16, both, (*act).clientHangsUp},
	{"a talk, the advisor hangs up", 6, both, (*act).advisorHangsUp},
	{"a talk, both hang up at once", 3, both, (*act).bothHangUp},
	{"a talk until the money is spent", 4, taking{withPoor, withAdvisor}, (*act).moneySpent},
	{"a number withheld, the PIN keyed", 4, both, (*act).byPIN},
	{"a wrong PIN, three times", 1, both, (*act).wrongPIN},
	{"the advisor is busy", 2, both, refused(phone.Busy(), "busy")},
	{"the advisor declines", 2, both, refused(phone.Decline(), "declined")},
	{"the advisor declines by key", 2, both, (*act).declinedByKey},
	{"the advisor does not answer", 2, both, refused(phone.NeverAnswer(), "no answer")},
	{"the advisor's voicemail", 1, both, refused(phone.Voicemail(time.Second), "no answer")},
	{"hung up while the price is told", 3, both, (*act).abandonsPrice},
	{"hung up while it rings", 3, both, (*act).abandonsRinging},
	{"hung up while the advisor is asked", 3, both, (*act).abandonsAsking},
	{"the advisor hangs up instead of accepting", 2, both, (*act).advisorGoes},
	{"a tap taken back", 2, both, (*act).tap},
	{"a number that leads nowhere", 1, taking{withClient}, (*act).nowhere},
	{"a turn in the queue", 5, both, (*act).turn},
	{"a call-back", 5, both, (*act).callBack},
	{"a call-back to a voicemail", 1, both, (*act).callBackToVoicemail},
	{"an appointment, we call both", 5, both, (*act).weCall},
	{"an appointment, the client dials in", 4, both, (*act).dialsIn},
	{"an appointment, the client does not come", 1, both, (*act).clientNoShow},
	{"a verification", 4, taking{withNovice}, (*act).verification},
	{"a verification, wrong codes", 1, taking{withNovice}, (*act).wrongCodes},
	{"a top-up by key", 4, taking{withPoor, withAdvisor}, (*act).topUp},
	{"a reconnection", 4, both, (*act).reconnection},
	{"a client who is lost, and not called again", 2, both, (*act).lost},
}

func (a *act) clientHangsUp() error {
	return a.whole(func(t talking) error { return t.client.Hangup(a.ctx) })
}

func (a *act) advisorHangsUp() error {
	return a.whole(func(t talking) error {
		if err := t.advisor.Hangup(a.ctx); err != nil {
			return err
		}
		mayBeOver(t.client.Keys(a.ctx, "5")) // a talk of some length is rated
		return nil
	})
}

func (a *act) bothHangUp() error {
	return a.whole(func(t talking) error {
		other := make(chan error)
		go func() { other <- t.advisor.Hangup(a.ctx) }()
		return errors.Join(t.client.Hangup(a.ctx), <-other)
	})
}

// whole is a talk from the tap on, until somebody ends it.
func (a *act) whole(end func(talking) error, opts ...phone.DialOption) error {
	if err := a.tap(); err != nil {
		return err
	}
	t, err := a.callsAnna(opts...)
	if err != nil {
		return err
	}
	if err := a.joins(&t); err != nil {
		return err
	}
	if err := a.talkFor(t, time.Duration(1000+rand.IntN(7000))*time.Millisecond); err != nil {
		return err
	}
	if err := end(t); err != nil {
		return err
	}
	return a.over(t, "completed")
}

// rich tells what a client has, and adds what is missing of it.
func (a *act) rich(least int64) (available int64, err error) {
	account, err := a.client.session.Account(a.ctx, a.client.id)
	if err != nil || account.Available >= least {
		return account.Available, err
	}
	account, err = a.patient(a.site).Deposit(a.ctx, a.key+"-deposit", client.Deposit{
		Client: a.client.id, Payment: a.key, Amount: least - account.Available, Currency: "EUR"})
	return account.Available, err
}

func (a *act) moneySpent() error {
	money, err := a.rich(80)
	if err != nil {
		return err
	}
	if err := a.tap(); err != nil {
		return err
	}
	t, err := a.callsAnna()
	if err != nil {
		return err
	}
	if err := a.joins(&t); err != nil {
		return err
	}
	if err := errors.Join(a.ends(t.advisor), a.ends(t.client)); err != nil {
		return err
	}
	return errors.Join(a.funded(t, money), a.over(t, "money spent"))
}

func (a *act) byPIN() error {
	if err := a.tap(); err != nil {
		return err
	}
	t := talking{}
	var err error
	if t.client, err = a.dials(phone.Withheld()); err != nil {
		return err
	}
	if err := a.hears(t.client, "enter-pin"); err != nil {
		return err
	}
	if err := t.client.Keys(a.ctx, a.pin+"#"); err != nil {
		return err
	}
	if err := t.client.Keys(a.ctx, "#"); err != nil {
		return err
	}
	if t.advisor, err = a.answers(a.anna.phone); err != nil {
		return err
	}
	if err := a.joins(&t); err != nil {
		return err
	}
	if err := errors.Join(a.talkFor(t, time.Second), t.client.Hangup(a.ctx)); err != nil {
		return err
	}
	return a.over(t, "completed")
}

func (a *act) wrongPIN() error {
	if err := a.tap(); err != nil {
		return err
	}
	call, err := a.dials(phone.Withheld())
	if err != nil {
		return err
	}
	wrong := "000000"
	if wrong == a.pin {
		wrong = "000001"
	}
	for _, question := range []string{"enter-pin", "wrong-pin", "wrong-pin"} {
		if err := a.hears(call, question); err != nil {
			return err
		}
		if err := call.Keys(a.ctx, wrong); err != nil {
			return err
		}
	}
	return a.ends(call)
}

// refused is a call to a phone that does something by itself.
func refused(policy phone.Policy, disposition string) func(*act) error {
	return func(a *act) error {
		if err := a.tap(); err != nil {
			return err
		}
		a.anna.phone.OnCall(policy)
		call, err := a.dials()
		if err != nil {
			return err
		}
		if err := call.Keys(a.ctx, "#"); err != nil {
			return err
		}
		if err := a.ends(call); err != nil {
			return err
		}
		// Whoever does not answer is off line until they say otherwise.
		back := a.anna.app.SetPresence(a.ctx, a.anna.id, true)
		return errors.Join(back, a.recordedAs(disposition))
	}
}

func (a *act) declinedByKey() error {
	if err := a.tap(); err != nil {
		return err
	}
	t, err := a.callsAnna()
	if err != nil {
		return err
	}
	mayBeOver(t.advisor.Keys(a.ctx, "2"))
	return errors.Join(a.ends(t.client), a.ends(t.advisor), a.recordedAs("declined"))
}

func (a *act) abandonsPrice() error {
	if err := a.tap(); err != nil {
		return err
	}
	call, err := a.dials()
	if err != nil {
		return err
	}
	if err := a.hears(call, "price-you-call"); err != nil {
		return err
	}
	return errors.Join(call.Hangup(a.ctx), a.recordedAs("abandoned"))
}

func (a *act) abandonsRinging() error {
	if err := a.tap(); err != nil {
		return err
	}
	call, err := a.dials()
	if err != nil {
		return err
	}
	if err := call.Keys(a.ctx, "#"); err != nil {
		return err
	}
	ringing, err := a.rings(a.anna.phone)
	if err != nil {
		return err
	}
	if err := errors.Join(ringing.Ring(), call.Hangup(a.ctx)); err != nil {
		return err
	}
	select {
	case <-ringing.Ended():
	case <-time.After(patience):
		return errors.New("the advisor's phone rings on")
	}
	return a.recordedAs("abandoned")
}

func (a *act) abandonsAsking() error {
	if err := a.tap(); err != nil {
		return err
	}
	t, err := a.callsAnna()
	if err != nil {
		return err
	}
	return errors.Join(t.client.Hangup(a.ctx), a.ends(t.advisor), a.recordedAs("abandoned"))
}

func (a *act) advisorGoes() error {
	if err := a.tap(); err != nil {
		return err
	}
	t, err := a.callsAnna()
	if err != nil {
		return err
	}
	return errors.Join(t.advisor.Hangup(a.ctx), a.ends(t.client), a.recordedAs("declined"))
}

// nowhere dials a number that may be lent to somebody else, or to nobody.
func (a *act) nowhere() error {
	a.number = "+493055599999"
	call, err := a.dials()
	var rejected *phone.Rejected
	if errors.As(err, &rejected) {
		return nil
	}
	if err != nil {
		return err
	}
	return a.ends(call)
}

func (a *act) topUp() error {
	money, err := a.rich(80)
	if err != nil {
		return err
	}
	if err := a.tap(); err != nil {
		return err
	}
	t, err := a.callsAnna()
	if err != nil {
		return err
	}
	if err := a.joins(&t); err != nil {
		return err
	}
	if err := a.hears(t.client, "talk-ends-in"); err != nil {
		return err
	}
	if err := t.client.Keys(a.ctx, "1"); err != nil {
		return err
	}
	ends := t.joined.Add(time.Duration(money/perSecond) * time.Second)
	if err := a.talkFor(t, time.Until(ends.Add(time.Second))); err != nil {
		return fmt.Errorf("beyond the money that it began with: %w", err)
	}
	if err := t.client.Hangup(a.ctx); err != nil {
		return err
	}
	return a.over(t, "completed")
}

// verification verifies a line that is retired afterwards.
func (a *act) verification() error {
	line, err := a.newLine()
	if err != nil {
		return err
	}
	return a.verified(a.ctx, a.anna, line)
}

func (a *act) newLine() (string, error) {
	number := newNumber()
	a.anna.phone = a.stage.Carrier.Phone(number)
	line, err := a.anna.app.AddLine(a.ctx, a.key+"-line", a.anna.id, "phone", number)
	if err != nil {
		return "", err
	}
	a.undo = append(a.undo, func(ctx context.Context) error {
		err := a.anna.app.RetireLine(ctx, line.ID)
		return errors.Join(err, a.anna.phone.Close())
	})
	return line.ID, nil
}

func (a *act) wrongCodes() error {
	line, err := a.newLine()
	if err != nil {
		return err
	}
	verification, err := a.anna.app.VerifyLine(a.ctx, a.key+"-verify", line)
	if err != nil {
		return err
	}
	call, err := a.answers(a.anna.phone)
	if err != nil {
		return err
	}
	wrong := verification.Code[:5] + string('0'+(verification.Code[5]-'0'+1)%10)
	for _, question := range []string{"enter-code", "wrong-code", "wrong-code"} {
		if err := a.hears(call, question); err != nil {
			return err
		}
		if err := call.Keys(a.ctx, wrong+"#"); err != nil {
			return err
		}
	}
	if err := a.ends(call); err != nil {
		return err
	}
	return a.comes(a.ctx, func() (bool, error) {
		v, err := a.anna.app.Verification(a.ctx, verification.ID)
		if v.State == "verified" {
			err = fmt.Errorf("%w: a wrong code verifies", errNever)
		}
		return v.State == "failed", err
	})
}

// vanishes loses the client's phone in a talk; the advisor is asked.
func (a *act) vanishes() (t talking, err error) {
	if err := a.tap(); err != nil {
		return t, err
	}
	if t, err = a.callsAnna(); err != nil {
		return t, err
	}
	if err := a.joins(&t); err != nil {
		return t, err
	}
	if err := a.talkFor(t, time.Second); err != nil {
		return t, err
	}
	t.client.Vanish()
	return t, a.hears(t.advisor, "client-lost-press-1")
}

func (a *act) reconnection() error {
	t, err := a.vanishes()
	if err != nil {
		return err
	}
	if err := t.advisor.Keys(a.ctx, "1"); err != nil {
		return err
	}
	if t.client, err = a.answers(a.client.phone); err != nil {
		return err
	}
	t.client.Tone(clientTone)
	if err := t.client.Keys(a.ctx, "1"); err != nil {
		return err
	}
	if err := errors.Join(a.hearEachOther(t), t.client.Hangup(a.ctx)); err != nil {
		return err
	}
	t.joined = time.Now() // the first segment is less certain
	return a.over(t, "completed")
}

func (a *act) lost() error {
	t, err := a.vanishes()
	if err != nil {
		return err
	}
	mayBeOver(t.advisor.Keys(a.ctx, "2"))
	t.joined = time.Now()
	return a.over(t, "completed")
}
