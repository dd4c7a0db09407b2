package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/ivr"
)

// Three things together see to it that one copy of the program serves an Asterisk.
//
// The lease decides who may. Its owner renews it every two seconds, and gives it back
// when it stops. Who waits succeeds an owner that dies or is frozen when it has itself
// seen the lease unrenewed for as long as it lasts, with Postgres answering all the
// while. So no wall clock decides anything, and after an outage of Postgres, which no
// lease survives, the owner that lives comes first.
//
// Asterisk is the second fence. Whoever has acquired the lease takes Asterisk's
// application over before anything else, and Asterisk tells the copy that had it in that
// instant. So an owner to whom Postgres does not answer need not guess whether it is
// alone with that: for as long as it hears Asterisk, nobody has succeeded it, and it goes
// on. The talks keep their meter, inside what is held already; calls that come in hear
// that we are sorry, for lack of a ledger. Only who hears neither stops, well before
// others may have the lease. Were the lease alone to decide, an outage of Postgres would
// end the metering of every talk, with nobody there to succeed the owner.
//
// The epoch guards the books: [Store.owns] refuses, in the transaction itself, a copy
// that was frozen, was succeeded, and woke up.
const (
	leaseLasts = 6 * time.Second
	renewEvery = 2 * time.Second
	renewAgain = 500 * time.Millisecond // after a fault
	lookEvery  = time.Second

	// ownMargin is how long before its lease ends an owner counts it as over: longer than
	// one renewal that gets no answer and the pause after it.
	ownMargin = 2 * time.Second
)

// Await waits until Asterisk is this copy's. Where takeOver, it asks the owner to hand
// over; else it has to wait until that one stops or dies.
func (o *Ownership) Await(ctx context.Context, takeOver bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.holder, o.Idle = ivr.NewID("own"), 0
	notices := o.store.Listen(ctx, TopicOwner)
	var seen sighting
	var told string
	broken := false
	for {
		err := o.try(ctx, takeOver, &seen)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, ErrNotOwner):
			if !broken {
				o.log.Warn("cannot ask who owns Asterisk; will go on asking", "err", err)
			}
		case seen.Holder != told:
			told = seen.Holder
			o.log.Info("standing by", "owner", seen.Holder, "epoch", seen.Epoch)
		}
		broken = !errors.Is(err, ErrNotOwner)
		pause := lookEvery
		if left := time.Until(seen.since.Add(leaseLasts)); left > 0 {
			pause = min(pause, left)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-notices:
		case <-time.After(pause):
		}
	}
}

// sighting is a lease as it was seen by who waits for it.
type sighting struct {
	lease
	since  time.Time // it has not changed, as far as we know
	looked time.Time
}

// note takes in what a look has shown: the zero lease where Postgres did not answer.
func (s *sighting) note(l lease, now time.Time) {
	if frozen := now.Sub(s.looked) > 3*lookEvery; frozen || l.Epoch != s.Epoch || !l.RenewedAt.Equal(s.RenewedAt) {
		s.lease, s.since = l, now
	}
	s.looked = now
}

// try makes Asterisk this copy's, if it was given back, or if its owner is dead. Else it
// returns [ErrNotOwner], after the owner was asked to hand over if takeOver.
func (o *Ownership) try(ctx context.Context, takeOver bool, seen *sighting) error {
	now := time.Now()
	l, age, wanted, err := o.look(ctx)
	seen.note(l, now)
	given := l.Holder == ""
	switch {
	case err != nil:
		return err
	case l.Holder == o.holder: // acquired, and only the reply was lost
		o.acquired(l.Epoch, now.Add(-leaseLasts))
		return nil
	case !wanted && (given || now.Sub(seen.since) >= leaseLasts):
		if l.Epoch > 0 {
			o.Idle = max(0, age)
		}
		return o.acquire(ctx, l)
	case takeOver && !given:
		if err := o.ask(ctx); err != nil {
			return err
		}
	}
	return ErrNotOwner
}

// Keep renews the lease for as long as ctx lasts, and returns its cause. It returns
// [ErrWanted] where another copy asks for Asterisk, and [ErrNotOwner] where another copy
// has it, or may: where the lease has all but run out and alone, which is whether
// Asterisk tells us that it is ours, says no.
func (o *Ownership) Keep(ctx context.Context, alone func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notices := o.store.Listen(ctx, TopicOwner)
	broken := false
	for {
		err := o.Renew(ctx)
		over := time.Until(o.until) < ownMargin
		pause := renewEvery
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ErrNotOwner), errors.Is(err, ErrWanted):
			return err
		case err != nil && over && !alone():
			return fmt.Errorf("neither Postgres nor Asterisk answers: %w, or may", errors.Join(err, ErrNotOwner))
		case err != nil:
			pause = renewAgain
			if !broken {
				o.log.Warn("ownership of Asterisk not renewed; will go on trying", "err", err)
			}
		case broken:
			o.log.Info("ownership of Asterisk renewed again")
		}
		broken = err != nil
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-notices:
		case <-time.After(pause):
		}
	}
}
