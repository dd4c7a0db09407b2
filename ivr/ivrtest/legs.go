package ivrtest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// Leg is a phone that is off the hook.
type Leg struct {
	*Person
	id    string
	town  *Town
	ctx   context.Context
	end   context.CancelCauseFunc
	cut   *time.Timer
	asked atomic.Int32
}

// PickUp starts a leg for a person.
func (t *Town) PickUp(p *Person, id string) *Leg {
	l := &Leg{Person: p, id: id, town: t}
	l.ctx, l.end = context.WithCancelCause(context.Background())
	t.mu.Lock()
	defer t.mu.Unlock()
	t.legs[id] = l
	if p.HangsUp > 0 {
		time.AfterFunc(p.HangsUp, func() { l.leave(ivr.NormalClearing, false, "hangs up") })
	}
	if p.Vanishes > 0 {
		time.AfterFunc(p.Vanishes, func() { l.leave(ivr.Unavailable, true, "is lost") })
	}
	return l
}

// leave ends the leg, once, and any talk that it is part of.
func (l *Leg) leave(cause ivr.Cause, lost bool, how string, args ...any) {
	t := l.town
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.legs[l.id] != l {
		return
	}
	delete(t.legs, l.id)
	t.note("%s "+how, append([]any{l.Name}, args...)...)
	if l.cut != nil {
		l.cut.Stop()
	}
	for call, talk := range t.bridge {
		if talk.a == l || talk.b == l {
			talk.part()
			delete(t.bridge, call)
		}
	}
	l.end(&ivr.Departure{Leg: l.id, Cause: cause, At: time.Now(), Lost: lost})
}

// view is a leg as one copy of the program has it.
type view struct {
	*Leg
	p  *Program
	up context.Context // until the leg is over, or the program
}

// View is the leg as seen by a copy of the program.
func (p *Program) View(l *Leg) ivr.Leg {
	up, end := context.WithCancelCause(l.ctx)
	context.AfterFunc(p.alive, func() { end(errDead) })
	return view{l, p, up}
}

func (v view) ID() string { return v.id }

func (v view) Context() context.Context { return v.up }

func (v view) do(ctx context.Context, what string, args ...any) error {
	if err := errors.Join(v.p.dead(), context.Cause(v.ctx), context.Cause(ctx)); err != nil {
		return firstOf(v.p.dead(), context.Cause(v.ctx), context.Cause(ctx))
	}
	if _, err := v.p.suffer(ctx, "a prompt"); err != nil {
		return err
	}
	v.town.Note("%s "+what, append([]any{v.Name}, args...)...)
	return nil
}

func (v view) Answer(ctx context.Context) error { return v.do(ctx, "is answered") }

func (v view) Play(ctx context.Context, _ string, prompts ...ivr.Prompt) error {
	if err := v.do(ctx, "hears %s", words(prompts)); err != nil {
		return err
	}
	return v.sleep(ctx, PromptLength)
}

func (v view) Gather(ctx context.Context, _ string, e ivr.Entry) (string, error) {
	return v.gather(ctx, "hears %s", e)
}

func (v view) Ask(ctx context.Context, _ string, e ivr.Entry) (string, error) {
	return v.gather(ctx, "alone hears %s", e)
}

func (v view) gather(ctx context.Context, how string, e ivr.Entry) (string, error) {
	if err := v.do(ctx, how, words(e.Prompts)); err != nil {
		return "", err
	}
	keys := ""
	if at := int(v.asked.Add(1)) - 1; at < len(v.Keys) && e.First > 0 {
		keys = v.Keys[at]
	}
	if keys == "" {
		return "", v.sleep(ctx, PromptLength+e.First)
	}
	think := v.KeyAfter
	if think >= PromptLength+e.First {
		return "", v.sleep(ctx, PromptLength+e.First)
	}
	if err := v.sleep(ctx, think); err != nil {
		return "", err
	}
	v.town.Note("%s keys %d digits", v.Name, len(keys))
	return keys, nil
}

func (v view) Entertain(ctx context.Context, what dialplan.Waiting) error {
	if err := v.do(ctx, "hears %s", what); err != nil {
		return err
	}
	return v.sleep(ctx, 24*time.Hour)
}

func (v view) Whisper(ctx context.Context, _ string, prompts ...ivr.Prompt) error {
	return v.do(ctx, "alone hears %s", words(prompts))
}

func (v view) CutAfter(ctx context.Context, d time.Duration) error {
	lost, err := v.p.suffer(ctx, "CutAfter")
	if err := firstOf(err, v.p.dead(), context.Cause(v.ctx), context.Cause(ctx)); err != nil {
		return err
	}
	v.town.mu.Lock()
	defer v.town.mu.Unlock()
	v.arm(d)
	return lost
}

// arm sets the switch's own timer on the leg.
func (l *Leg) arm(d time.Duration) {
	if l.cut != nil {
		l.cut.Stop()
	}
	l.cut = time.AfterFunc(d, func() { l.leave(0, true, "is cut by the switch") })
}

func (v view) Hangup(cause ivr.Cause) {
	if v.p.dead() == nil {
		v.leave(cause, false, "is hung up (%d)", cause)
	}
}

func (v view) TurnAway() { v.Hangup(ivr.TemporaryFailure) }

// sleep ends early when the leg leaves.
func (v view) sleep(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(v.ctx, func() { cancel(context.Cause(v.ctx)) })()
	return v.p.sleep(ctx, d)
}

// Talk is two legs that hear each other.
type Talk struct {
	town   *Town
	a, b   *Leg
	joined time.Time
	until  time.Time
	parted chan struct{}
}

// part is called with the town locked.
func (t *Talk) part() {
	t.until = time.Now()
	t.town.Talked += t.until.Sub(t.joined)
	close(t.parted)
}

// talkView is a talk as one copy of the program has it.
type talkView struct {
	*Talk
	p     *Program
	since time.Time
}

func (v talkView) JoinedAt() time.Time { return v.since }

func (v talkView) Over() <-chan struct{} { return v.parted }

func (v talkView) SeenAt() time.Time {
	select {
	case <-v.parted:
		return v.until
	default:
		return time.Now()
	}
}

func (v talkView) Unheard(time.Time) time.Duration { return 0 }

func words(prompts []ivr.Prompt) string {
	all := make([]string, len(prompts))
	for i, p := range prompts {
		all[i] = strings.TrimPrefix(string(p), "digits/")
		if text, ok := strings.CutPrefix(string(p), "text:"); ok {
			all[i] = `"` + text + `"`
		}
	}
	return strings.Join(all, " ")
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
