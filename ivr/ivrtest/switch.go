package ivrtest

import (
	"context"
	"time"

	"parley/ivr"
)

// Dial implements [ivr.Switch].
func (p *Program) Dial(ctx context.Context, r ivr.DialRequest) (ivr.Leg, error) {
	_, err := p.suffer(ctx, "Dial")
	if err := firstOf(err, p.sleep(ctx, dialLatency)); err != nil {
		return nil, err
	}
	who := p.Advisor
	if r.To == p.Loan.ClientLine {
		who = p.Called
	}
	switch who.Does {
	case "busy":
		p.Note("%s is busy", who.Name)
		return nil, ivr.ErrBusy
	case "unreachable":
		p.Note("%s cannot be reached", who.Name)
		return nil, ivr.ErrUnreachable
	}
	p.Note("%s rings", who.Name)
	if who.Does == "" || who.Answers > r.Ring {
		if err := p.sleep(ctx, r.Ring); err != nil {
			return nil, err
		}
		return nil, ivr.ErrNoAnswer
	}
	if err := p.sleep(ctx, who.Answers); err != nil {
		return nil, err
	}
	if who.Does == "declines" {
		p.Note("%s declines", who.Name)
		return nil, ivr.ErrDeclined
	}
	p.Note("%s answers", who.Name)
	leg := p.PickUp(who, r.LegID)
	p.mu.Lock()
	defer p.mu.Unlock()
	leg.arm(r.CutAfter - who.Answers)
	return p.View(leg), nil
}

// Bridge implements [ivr.Switch].
func (p *Program) Bridge(ctx context.Context, call ivr.CallID, a, b ivr.Leg) (ivr.Talk, error) {
	lost, err := p.suffer(ctx, "Bridge")
	if err != nil {
		return nil, err
	}
	for _, leg := range []ivr.Leg{a, b} {
		if err := firstOf(p.dead(), context.Cause(leg.Context()), context.Cause(ctx)); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	talk := &Talk{town: p.Town, a: a.(view).Leg, b: b.(view).Leg, joined: time.Now(), parted: make(chan struct{})}
	for _, leg := range []*Leg{talk.a, talk.b} {
		if p.legs[leg.id] != leg {
			return nil, context.Cause(leg.ctx)
		}
	}
	if p.calls[call] == nil {
		p.Faults = append(p.Faults, "two were joined without a hold")
	}
	p.bridge[call] = talk
	p.note("%s and %s talk", talk.a.Name, talk.b.Name)
	if lost != nil {
		return nil, lost
	}
	return talkView{talk, p, time.Now()}, nil
}

// Survivors implements [ivr.Switch].
func (p *Program) Survivors(ctx context.Context) (left []ivr.Survivor, err error) {
	_, err = p.suffer(ctx, "Survivors")
	if err := firstOf(err, p.dead(), context.Cause(ctx)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	inTalk := map[*Leg]bool{}
	for call, talk := range p.bridge {
		inTalk[talk.a], inTalk[talk.b] = true, true
		left = append(left, ivr.Survivor{
			Call: call, Client: p.View(talk.a), Advisor: p.View(talk.b),
			Talk: talkView{talk, p, talk.joined},
		})
	}
	for _, leg := range p.legs {
		if !inTalk[leg] {
			left = append(left, ivr.Survivor{Others: []ivr.Leg{p.View(leg)}})
		}
	}
	return left, nil
}
