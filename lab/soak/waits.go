package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// inLine puts the client on the queue of an advisor whom a rival has reserved, and who is
// then free.
func (a *act) inLine(mode string) (client.Wait, error) {
	var wait client.Wait
	waiter := a.client
	give, err := a.takeClient(a.clients)
	if err != nil {
		return wait, err
	}
	defer give()
	err = a.tap()
	a.client = waiter
	if err != nil {
		return wait, fmt.Errorf("the rival: %w", err)
	}
	cancelRival := a.undo[len(a.undo)-1]
	wait, err = waiter.session.JoinQueue(a.ctx, a.key+"-join", client.QueueRequest{Advisor: a.anna.id, Mode: mode, Topic: "a cat"})
	if err != nil {
		return wait, err
	}
	a.key += "-turn"
	a.undo = append(a.undo, func(ctx context.Context) error { return waiter.session.LeaveQueue(ctx, wait.ID) })
	return wait, cancelRival(a.ctx)
}

// standsAt waits until the wait stands so.
func (a *act) standsAt(wait client.Wait, state string) error {
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	err := a.comes(ctx, func() (_ bool, err error) {
		wait, err = a.client.session.Wait(ctx, wait.ID)
		return wait.State == state, err
	})
	if err != nil {
		return fmt.Errorf("the wait is %q, not %q: %w", wait.State, state, err)
	}
	return nil
}

func (a *act) turn() error {
	wait, err := a.inLine("page")
	if err != nil {
		return err
	}
	if err := a.standsAt(wait, "turn"); err != nil {
		return err
	}
	if err := a.clientHangsUp(); err != nil {
		return err
	}
	return a.standsAt(wait, "talked")
}

func (a *act) callBack() error {
	wait, err := a.inLine("call_back")
	if err != nil {
		return err
	}
	if err := a.calledTalk(); err != nil {
		return err
	}
	return a.standsAt(wait, "talked")
}

// calledTalk is a talk for which we call the client.
func (a *act) calledTalk() error {
	t := talking{}
	var err error
	if t.client, err = a.answers(a.client.phone); err != nil {
		return err
	}
	if err := a.hears(t.client, "placed-press-1"); err != nil {
		return err
	}
	if err := t.client.Keys(a.ctx, "1#"); err != nil {
		return err
	}
	if t.advisor, err = a.answers(a.anna.phone); err != nil {
		return err
	}
	if err := a.joins(&t); err != nil {
		return err
	}
	if err := a.talkFor(t, 2*time.Second); err != nil {
		return err
	}
	if err := t.client.Hangup(a.ctx); err != nil {
		return err
	}
	return a.over(t, "completed")
}

func (a *act) callBackToVoicemail() error {
	a.client.phone.OnCall(phone.Voicemail(time.Second))
	wait, err := a.inLine("call_back")
	if err != nil {
		return err
	}
	return errors.Join(a.standsAt(wait, "not_reached"), a.recordedAs("client not reached"))
}

// agrees makes an appointment.
func (a *act) agrees(in time.Duration, mode string) (agreed client.Appointment, err error) {
	asked, err := a.client.session.AskAppointment(a.ctx, a.key+"-ask", client.AppointmentRequest{
		Advisor: a.anna.id, StartsAt: time.Now().Add(in).Truncate(time.Second).UTC(), Zone: "UTC", Seconds: 20, Mode: mode, Topic: "a cat"})
	if err != nil {
		return asked, err
	}
	agreed, err = a.anna.app.AcceptAppointment(a.ctx, a.key+"-accept", asked.ID)
	if err != nil {
		_, declined := a.anna.app.DeclineAppointment(a.ctx, a.key+"-decline", asked.ID, "no time")
		return agreed, errors.Join(err, declined)
	}
	a.undo = append(a.undo, func(ctx context.Context) error { return a.isOver(ctx, agreed.ID) })
	return agreed, nil
}

// isOver waits until an appointment is over: it ends by itself, soon after its time.
func (a *act) isOver(ctx context.Context, id string) error {
	return a.comes(ctx, func() (bool, error) {
		it, err := a.client.session.Appointment(ctx, id)
		switch it.State {
		case "asked", "proposed", "accepted", "calling", "open":
			return false, err
		}
		return true, err
	})
}

// becomes waits until an appointment stands so.
func (a *act) becomes(it *client.Appointment, state string) error {
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	err := a.comes(ctx, func() (_ bool, err error) {
		*it, err = a.client.session.Appointment(ctx, it.ID)
		return it.State == state, err
	})
	if err != nil {
		return fmt.Errorf("the appointment is %q, not %q: %w", it.State, state, err)
	}
	return nil
}

func (a *act) weCall() error {
	it, err := a.agrees(4*time.Second, "host_calls")
	if err != nil {
		return err
	}
	return errors.Join(a.calledTalk(), a.becomes(&it, "kept"))
}

func (a *act) dialsIn() error {
	it, err := a.agrees(4*time.Second, "dial_in")
	if err != nil {
		return err
	}
	if err := a.becomes(&it, "open"); err != nil {
		return err
	}
	pause(a.ctx, time.Until(it.StartsAt.Add(200*time.Millisecond)))
	a.number = it.Number
	t, err := a.callsAnna()
	if err != nil {
		return err
	}
	if err := a.joins(&t); err != nil {
		return err
	}
	if err := errors.Join(a.talkFor(t, 2*time.Second), t.client.Hangup(a.ctx)); err != nil {
		return err
	}
	return errors.Join(a.over(t, "completed"), a.becomes(&it, "kept"))
}

func (a *act) clientNoShow() error {
	a.client.phone.OnCall(phone.Busy())
	it, err := a.agrees(3*time.Second, "host_calls")
	if err != nil {
		return err
	}
	return errors.Join(a.becomes(&it, "client_no_show"), a.recordedAs("client not reached"))
}
