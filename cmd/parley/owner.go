package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/ivr"
	"parley/ivr/ari"
	"parley/store"
)

// keep keeps the ownership of Asterisk until ctx ends, or calls stop when it is lost or
// asked for. Where another copy has it, the calls are that one's: no command is sent any
// more, not even to apologise.
func (o *owner) keep(ctx context.Context, stop context.CancelCauseFunc) error {
	why := o.ownership.Keep(ctx, o.ready.connected)
	if asterisk := o.ready.asterisk.Load(); errors.Is(why, store.ErrNotOwner) && asterisk != nil {
		asterisk.Close()
	}
	stop(why)
	return why
}

// release gives the ownership back, unless another copy has it already, and returns why
// we serve no more. No call has been taken since idle.
//
// A switch that was replaced belongs to whom the ownership belongs. Where that still is
// us, it was taken by a program that does not share our database, and to take it back
// would be a quarrel without end.
func (o *owner) release(why error, idle time.Time) error {
	ctx := context.Background() // bounded by the ownership itself
	if errors.Is(why, ari.ErrReplaced) {
		switch err := o.ownership.Renew(ctx); {
		case err == nil, errors.Is(err, store.ErrWanted):
			why = fmt.Errorf("a program that does not share our database has taken over Asterisk's application %q; "+
				"stop it, or set asterisk.app: %w", o.app, why)
		default:
			why = errors.Join(why, store.ErrNotOwner)
		}
	}
	if errors.Is(why, store.ErrNotOwner) {
		return why
	}
	if err := o.ownership.Release(ctx, time.Since(idle)); err != nil {
		o.log.Warn("others take over later than they could", "err", err)
		return why
	}
	o.log.Info("handed over", "after", time.Since(idle))
	return why
}

// drain waits until no call is left to end, or for limit, or until another copy has
// taken over: then what is left is that one's to end.
func drain(service *ivr.Service, asterisk *ari.Switch, limit time.Duration) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		service.Drain(limit)
	}()
	select {
	case <-over:
	case <-asterisk.Done():
	}
}
