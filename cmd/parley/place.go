package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parley/ivr"
	"parley/store"
)

const (
	// lookEvery is how often turns and calls to be placed are looked for where no notice
	// tells of them: time itself ends reservations without one.
	lookEvery = time.Second

	placeEvery = 20 * time.Millisecond // no faster: Asterisk and the carrier take them one by one
)

// giveTurns gives the clients who wait in line their turns, until ctx ends.
func giveTurns(ctx context.Context, s *store.Store, plans *planner, log *slog.Logger) {
	notices := s.Listen(ctx, store.TopicQueue)
	for look(ctx, notices) {
		plan, err := plans.active()
		switch {
		case err == nil:
			err = s.GiveTurns(ctx, *plan)
		case errors.Is(err, ivr.ErrNoPlan): // then there are none
			err = nil
		}
		if err = errors.Join(err, s.EndMissedPlacements(ctx)); err != nil && ctx.Err() == nil {
			log.Warn("clients wait longer than they need", "err", err)
		}
	}
}

// keepAppointments does what is due of appointments, until ctx ends.
func keepAppointments(ctx context.Context, s *store.Store, plans *planner, log *slog.Logger) {
	for look(ctx, nil) {
		plan, err := plans.active()
		if err == nil {
			err = s.DueAppointments(ctx, *plan)
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("some appointments wait", "err", err)
		}
	}
}

// placeCalls places the calls whose time has come, until ctx ends: call-backs and
// appointments. Each is claimed in the store, so that of all copies of the program one
// places it.
func placeCalls(ctx context.Context, service *ivr.Service, s *store.Store, ready *readiness, log *slog.Logger) {
	for err := s.AbandonPlacements(ctx); err != nil; err = s.AbandonPlacements(ctx) { // before the first is claimed
		log.Warn("no calls are placed", "err", err)
		if !look(ctx, nil) {
			return
		}
	}
	notices := s.Listen(ctx, store.TopicPlacements)
	for look(ctx, notices) {
		for !ready.draining.Load() {
			placed, found, err := s.ClaimPlacement(ctx)
			if err != nil && ctx.Err() == nil {
				log.Warn("calls to be placed are waiting", "err", err)
			}
			if !found {
				break
			}
			go service.Place(placed) // which is waited for as all calls are: by draining
			time.Sleep(placeEvery)
		}
	}
}

// look waits until it is time to look again; false when ctx has ended.
func look(ctx context.Context, notices <-chan string) bool {
	select {
	case <-ctx.Done():
		return false
	case <-notices:
	case <-time.After(lookEvery):
	}
	return ctx.Err() == nil
}
