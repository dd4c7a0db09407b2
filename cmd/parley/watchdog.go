package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parley/ivr/ari"
)

// probeEvery is how often Asterisk is seen to take calls. It may be late once: two probes
// in a row that fail are a fault.
const probeEvery = 10 * time.Second

var errNoCalls = errors.New("Asterisk answers, but takes no calls: restart it")

// watchCalls sees, until ctx ends, that an Asterisk that answers commands takes calls too.
func watchCalls(ctx context.Context, asterisk *ari.Switch, ready *readiness, log *slog.Logger) {
	failed := 0
	defer ready.deaf.Store(false)
	for every := time.NewTicker(probeEvery); ; {
		select {
		case <-ctx.Done():
			every.Stop()
			return
		case <-every.C:
		}
		err := asterisk.Probe(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil || !asterisk.Connected():
			if failed = 0; ready.deaf.Swap(false) {
				log.Info("Asterisk takes calls again")
			}
		default:
			if failed++; failed == 2 {
				ready.deaf.Store(true)
				log.Error(errNoCalls.Error(), "err", err)
			}
		}
	}
}
