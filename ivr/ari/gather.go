package ari

import (
	"context"
	"strings"
	"time"

	"parley/ivr"
)

// keys are what a party has pressed since the last entry. They are never logged.
type keys struct {
	digits  []byte
	hash    bool          // '#' was pressed: the entry is complete
	last    string        // when the last key was released, by Asterisk's clock
	pressed chan struct{} // has an element when there is something new; nil until an entry is awaited
}

const mostKeys = 64 // are kept

// press notes a key. One and the same event may come twice; two keys cannot be
// released in one millisecond. A to D are on no telephone that means well.
func (k *keys) press(digit, at string) {
	if len(digit) != 1 || !strings.Contains("0123456789*#", digit) || at != "" && at == k.last {
		return
	}
	k.last = at
	switch {
	case k.hash, len(k.digits) == mostKeys:
		return
	case digit == "#":
		k.hash = true
	default:
		k.digits = append(k.digits, digit[0])
	}
	select {
	case k.pressed <- struct{}{}:
	default:
	}
}

// entry is what has been keyed, and whether that is all there will be.
func (l *leg) entry(most int) (digits string, complete bool) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	k := &l.keys
	if k.pressed == nil {
		k.pressed = make(chan struct{}, 1)
		if k.hash || len(k.digits) > 0 {
			k.pressed <- struct{}{}
		}
	}
	return string(k.digits[:min(most, len(k.digits))]), k.hash || len(k.digits) >= most
}

// clearKeys begins a new entry.
func (l *leg) clearKeys() {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	k := &l.keys
	clear(k.digits)
	k.digits, k.hash = k.digits[:0], false
	select {
	case <-k.pressed:
	default:
	}
}

// Gather waits for the end of the prompts and for keys at the same time. The first
// key ends the prompts; keyed before them, it leaves them unspoken.
func (l *leg) Gather(ctx context.Context, language string, e ivr.Entry) (string, error) {
	l.quiet(ctx)
	return l.gather(ctx, language, e, l)
}

// gather takes this leg's keys; the prompts are spoken on the voice.
func (l *leg) gather(ctx context.Context, language string, e ivr.Entry, voice *leg) (string, error) {
	defer l.clearKeys()
	early, complete := l.entry(e.Most)
	if complete && early == "" {
		l.clearKeys() // the '#' that some press after a complete entry
	}
	var p *playback
	var heard <-chan struct{} // nil unless the prompts are being spoken
	patience := e.First
	if early == "" {
		var err error
		if p, err = voice.start(ctx, language, e.Prompts); err != nil {
			return "", err
		}
	}
	if p != nil {
		defer voice.stop(p)
		heard, patience = p.done, p.patience()
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-l.keys.pressed:
			digits, complete := l.entry(e.Most)
			if complete {
				return digits, nil
			}
			if heard != nil {
				heard = nil
				voice.stop(p)
			}
			timer.Reset(e.Between)
		case <-heard:
			heard = nil
			if err := voice.heard(p); err != nil {
				return "", err
			}
			timer.Reset(e.First)
		case <-timer.C:
			if heard != nil {
				voice.log().Warn("prompt did not report its end", "prompts", p.prompts)
				heard = nil
				timer.Reset(e.First)
				continue
			}
			digits, _ := l.entry(e.Most)
			return digits, nil
		case <-l.ctx.Done():
			return "", context.Cause(l.ctx)
		case <-ctx.Done():
			return "", l.over(ctx)
		}
	}
}
