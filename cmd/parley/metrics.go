package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"parley/metrics"
	"parley/store"
)

// startMetrics serves /metrics until stop is called. It begins before Asterisk is this
// copy's: one that stands by is watched too.
func startMetrics(c config, s *store.Store, plans *planner, ready *readiness, counted *metrics.Metrics, log *slog.Logger) (stop func(), err error) {
	counted.Watch(metrics.Sources{
		Store: s, Plan: plans.inForce, Owner: ready.owner.Load, Asterisk: ready.connected, Service: ready.service.Load,
	})
	if c.metricsAddr == httpOff {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", c.metricsAddr)
	if err != nil {
		return nil, fmt.Errorf("metrics.addr: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", counted.Handler())
	server := &http.Server{
		Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "err", err)
		}
	}()
	log.Info("metrics", "addr", listener.Addr().String())
	return func() { server.Close() }, nil
}

// inForce are the DIDs and the currency of the plan in force.
func (p *planner) inForce(ctx context.Context) (dids []string, currency string, err error) {
	version, err := p.store.ActivePlan(ctx)
	if err != nil {
		return nil, "", err
	}
	plan, err := p.version(ctx, version)
	if err != nil {
		return nil, "", err
	}
	dids = make([]string, len(plan.Numbers))
	for i, n := range plan.Numbers {
		dids[i] = n.DID
	}
	return dids, plan.Currency, nil
}
