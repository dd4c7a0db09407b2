package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

const (
	patience = 30 * time.Second // for one step; a busy machine takes its time
	actMost  = 3 * time.Minute

	perSecond = 10 // minor units, by the stage's plan

	// Tones in Hz that are not each other's harmonics.
	clientTone, advisorTone = 700, 1100
)

// act is one thing that people do, from its beginning until all it used is free again.
type act struct {
	*soak
	kind   kind
	began  time.Time
	ctx    context.Context
	client *person
	anna   *advisor
	key    string // of its requests
	number string // that was lent
	pin    string

	calls []*phone.Call
	undo  []func(context.Context) error // take back what it asked of the host, when it is over

	talk    time.Duration
	charged int64
}

var acts atomic.Int64

// run plays the act and leaves everything as it was.
func (a *act) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, actMost)
	defer cancel()
	a.ctx, a.key = ctx, fmt.Sprintf("act-%d", acts.Add(1))
	for _, take := range a.kind.takes {
		give, err := take(a)
		if err != nil {
			return err
		}
		defer give()
	}
	defer func() { err = errors.Join(err, a.leave()) }()
	return a.kind.play(a)
}

// What an act can take, and gives back.

func withClient(a *act) (func(), error) { return a.takeClient(a.clients) }
func withPoor(a *act) (func(), error)   { return a.takeClient(a.poor) }

func (a *act) takeClient(from chan *person) (func(), error) {
	select {
	case a.client = <-from:
		taken := a.client
		return func() { from <- taken }, nil
	case <-a.ctx.Done():
		return nil, errors.New("no client was free")
	}
}

func withAdvisor(a *act) (func(), error) { return a.takeAdvisor(a.advisors) }
func withNovice(a *act) (func(), error)  { return a.takeAdvisor(a.novices) }

func (a *act) takeAdvisor(from chan *advisor) (func(), error) {
	select {
	case a.anna = <-from:
		taken := a.anna
		return func() { from <- taken }, nil
	case <-a.ctx.Done():
		return nil, errors.New("no advisor was free")
	}
}

// leave hangs up, takes back what was asked for, and answers nobody who still rings.
func (a *act) leave() (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(a.ctx), askMost)
	defer cancel()
	for _, call := range a.calls {
		call.Hangup(ctx) // most have ended; one whose BYE is lost is Asterisk's to end
	}
	for _, undo := range a.undo {
		err = errors.Join(err, undo(ctx))
	}
	for _, p := range a.phones() {
		p.OnCall(nil)
		turnAway(p)
	}
	return err
}

func (a *act) phones() (all []*phone.Phone) {
	if a.client != nil {
		all = append(all, a.client.phone)
	}
	if a.anna != nil && a.anna.phone != nil {
		all = append(all, a.anna.phone)
	}
	return all
}

// turnAway refuses whoever waits to be answered.
func turnAway(p *phone.Phone) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		ringing, err := p.Accept(over)
		if err != nil {
			return
		}
		ringing.Reject(486)
	}
}

// ringsOn is the longest that a call goes on by itself whose act a fault has ended.
const ringsOn = time.Minute

// tap asks for a talk. The advisor's last act may have ended this moment: they are free
// again within half a minute. A call of an act that a fault had ended may have rung on, and
// not been answered: then they come back on line.
func (a *act) tap() error {
	var talk client.Talk
	session, key := a.client.session, a.key+"-tap"
	ask := func(ctx context.Context) (err error) {
		talk, err = session.RequestTalk(ctx, key, client.TalkRequest{Advisor: a.anna.id, Topic: "a cat"})
		return err
	}
	a.undo = append(a.undo, func(ctx context.Context) error {
		if talk.ID == "" { // an answer that was lost comes again
			if err := ask(ctx); err != nil {
				return refusedIsFine(err)
			}
		}
		return session.CancelTalk(ctx, talk.ID)
	})
	err := a.comes(a.ctx, func() (bool, error) {
		err := ask(a.ctx)
		var no *client.Problem
		if !errors.As(err, &no) || time.Since(a.began) >= patience {
			return true, err
		}
		switch {
		case no.Code == "advisor_busy":
			return false, nil
		case no.Code == "advisor_away" && a.disturbed(a.began.Add(-ringsOn), time.Now()):
			return false, a.anna.app.SetPresence(a.ctx, a.anna.id, true)
		}
		return true, err
	})
	if err != nil {
		return fmt.Errorf("tap: %w", err)
	}
	a.number, a.pin = talk.Number, talk.PIN
	return nil
}

// refusedIsFine passes over what the host refuses: it is not there to be taken back.
func refusedIsFine(err error) error {
	if errors.As(err, new(*client.Problem)) {
		return nil
	}
	return err
}

// dials calls the number that was lent.
func (a *act) dials(opts ...phone.DialOption) (*phone.Call, error) {
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	call, err := a.client.phone.Dial(ctx, a.number, opts...)
	return a.up(call, err)
}

func (a *act) up(call *phone.Call, err error) (*phone.Call, error) {
	if err == nil {
		a.calls = append(a.calls, call)
	}
	return call, err
}

// rings waits until a phone rings. It passes over what rang for an act that a fault had
// ended, and is over.
func (a *act) rings(p *phone.Phone) (*phone.Incoming, error) {
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	for {
		ringing, err := p.Accept(ctx)
		if err != nil {
			return nil, err
		}
		select {
		case <-ringing.Ended():
		default:
			return ringing, nil
		}
	}
}

// answers waits until a phone rings, and answers it.
func (a *act) answers(p *phone.Phone) (*phone.Call, error) {
	ringing, err := a.rings(p)
	if err != nil {
		return nil, err
	}
	return a.up(ringing.Answer(a.ctx))
}

// hears waits until a prompt has been heard, or its beginning.
func (a *act) hears(call *phone.Call, name string) error {
	prompt, err := a.stage.Prompt(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	if _, err := call.HearStart(ctx, prompt, time.Second); err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return nil
}

// ends waits until a call is over at its phone.
func (a *act) ends(call *phone.Call) error {
	select {
	case <-call.Ended():
		return nil
	case <-time.After(patience):
		return errors.New("a phone was left in its call")
	}
}

// record is what the books say of a call.
type record struct {
	id, disposition string
	charge          int64
	talk            time.Duration
}

// recorded waits for the record of the client's call since the act began, and compares its
// charge with its talk.
func (a *act) recorded() (r record, err error) {
	ctx, cancel := context.WithTimeout(a.ctx, patience)
	defer cancel()
	err = a.comes(ctx, func() (bool, error) {
		err := a.db.QueryRowContext(ctx, `
			SELECT id, coalesce(disposition, ''), coalesce(charge, 0), (SELECT coalesce(sum(talk_ns), 0)::bigint FROM segments WHERE call = calls.id) FROM calls
			WHERE client = $1 AND opened_at > now() - $2 * interval '1 ms' AND ended_at IS NOT NULL ORDER BY id DESC LIMIT 1`,
			a.client.id, time.Since(a.began).Milliseconds()).Scan(&r.id, &r.disposition, &r.charge, &r.talk)
		if errors.Is(err, sql.ErrNoRows) || err != nil && ctx.Err() == nil { // Postgres may be away
			return false, nil
		}
		return true, err
	})
	if err != nil {
		return r, fmt.Errorf("no record: %w", err)
	}
	a.talk += r.talk
	a.charged += r.charge
	if want := perSecond * int64((r.talk+time.Second-1)/time.Second); r.charge > want {
		return r, fmt.Errorf("%w: call %s of %v costs %d, charged %d", errNever, r.id, r.talk, want, r.charge)
	}
	return r, nil
}

// recordedAs is recorded, and how it ended.
func (a *act) recordedAs(disposition string) error {
	r, err := a.recorded()
	if err == nil && r.disposition != disposition {
		err = fmt.Errorf("call %s is recorded as %q, not %q", r.id, r.disposition, disposition)
	}
	if err == nil && disposition != "completed" && disposition != "money spent" && r.charge != 0 {
		err = fmt.Errorf("%w: call %s, %s, is charged %d", errNever, r.id, r.disposition, r.charge)
	}
	return err
}
