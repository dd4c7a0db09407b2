package main

import (
	"errors"
	"fmt"
	"time"

	"parley/lab/phone"
)

// talking is a talk, as the phones see it.
type talking struct {
	client, advisor *phone.Call
	accepted        time.Time // before the advisor accepted
	joined          time.Time // both have heard each other
}

// callsAnna dials the number, skips the price, and waits until the advisor answers.
func (a *act) callsAnna(opts ...phone.DialOption) (t talking, err error) {
	if t.client, err = a.dials(opts...); err != nil {
		return t, err
	}
	if err := t.client.Keys(a.ctx, "#"); err != nil {
		return t, err
	}
	t.advisor, err = a.answers(a.anna.phone)
	return t, err
}

// joins has the advisor accept, and waits until both hear each other.
func (a *act) joins(t *talking) error {
	t.accepted = time.Now()
	t.client.Tone(clientTone)
	t.advisor.Tone(advisorTone)
	if err := t.advisor.Keys(a.ctx, "1"); err != nil {
		return err
	}
	if err := a.hearEachOther(*t); err != nil {
		return err
	}
	t.joined = time.Now()
	return nil
}

func (a *act) hearEachOther(t talking) error {
	if err := t.client.HearsTone(a.ctx, advisorTone, patience); err != nil {
		return fmt.Errorf("the client: %w", err)
	}
	if err := t.advisor.HearsTone(a.ctx, clientTone, patience); err != nil {
		return fmt.Errorf("the advisor: %w", err)
	}
	return nil
}

// over compares the record of a talk that has ended with what the phones saw of it: never
// more than there can have been, and not less than there certainly was.
func (a *act) over(t talking, disposition string) error {
	certain := time.Since(t.joined)
	for _, call := range []*phone.Call{t.client, t.advisor} {
		if err := a.ends(call); err != nil {
			return err
		}
		if at := call.EndedAt(); at.Sub(t.joined) < certain {
			certain = at.Sub(t.joined)
		}
	}
	most := time.Since(t.accepted)
	r, err := a.recorded()
	switch {
	case err != nil:
		return err
	case r.talk > most:
		return fmt.Errorf("%w: call %s talked for %v, the phones for %v at most", errNever, r.id, r.talk, most)
	case r.talk < certain-time.Second:
		return fmt.Errorf("call %s talked for %v, the phones for %v", r.id, r.talk, certain)
	case disposition != "" && r.disposition != disposition:
		return fmt.Errorf("call %s is recorded as %q, not %q", r.id, r.disposition, disposition)
	}
	return nil
}

// talkFor lets them talk, and both hear each other still.
func (a *act) talkFor(t talking, d time.Duration) error {
	if !pause(a.ctx, d) {
		return errors.New("the act took too long")
	}
	return a.hearEachOther(t)
}

// funded checks that nobody hears the other beyond what the money bought, and the two
// seconds that Asterisk's own timer may take; tones are known to 100 ms.
func (a *act) funded(t talking, money int64) error {
	longest := time.Duration(money/perSecond) * time.Second
	first, last := t.client.ToneTimes(advisorTone)
	if heard := last.Sub(first); heard > longest+2*time.Second+300*time.Millisecond {
		return fmt.Errorf("%w: the client heard the advisor for %v, the money bought %v", errNever, heard, longest)
	}
	return nil
}

// mayBeOver is the outcome of a key under which the call may end.
func mayBeOver(error) {}
