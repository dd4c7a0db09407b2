package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"parley/dialplan"
	"parley/host"
	"parley/ivr"
	"parley/ivr/ari"
	"parley/ivr/prompts"
	"parley/metrics"
	"parley/store"
	"parley/traces"
)

func (a *app) serveCommand() *cobra.Command {
	var takeOver bool
	serve := &cobra.Command{
		Use: "serve", Short: "Answer calls and requests until told to stop", Args: cobra.NoArgs,
		Long: `Answer calls, and requests over HTTP (http.addr), until told to stop.

Several copies may run: one answers the calls, the others stand by (and say so at
/readyz). When it dies or freezes, another takes over within ten seconds; when it is
stopped, at once. With --take-over it is asked to hand over, and then stands by itself:
start the new version so, and stop the old one when you are content.

SIGTERM and Ctrl-C end calls that do not talk yet, with an apology. Talks go on:
the copy that takes over, or the next "parley serve", meters them again. Until then
Asterisk itself ends them when their money does.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c, takeOver)
		},
	}
	serve.Flags().BoolVar(&takeOver, "take-over", false, "ask the copy that answers the calls to hand over")
	return serve
}

const (
	// apologyLasts is for how long calls that do not talk yet may hold up the hand-over:
	// their callers have heard the first sentence of why. drainMost is how long the calls
	// may take to end where no other copy ends them sooner.
	apologyLasts = 4 * time.Second
	drainMost    = 20 * time.Second
)

// serve is the whole program: it opens the outside, waits until Asterisk is its own, and
// answers calls; for as often as Asterisk becomes its own, until ctx ends.
func serve(ctx context.Context, c config, takeOver bool) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	counted := metrics.New(host.ProgramVersion())
	log := slog.New(counted.Log(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.logLevel})))
	slog.SetDefault(log) // for whoever is handed no log
	log.Info("starting")
	s, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer s.Disconnect()
	s.Waited = counted.Waited
	ready := &readiness{stopping: ctx}
	plans := &planner{store: s}
	cashier := c.cashier(s, log)
	var background sync.WaitGroup
	background.Go(func() { cashier.Serve(ctx) })
	background.Go(func() { s.AnnouncePlans(ctx) })
	background.Go(func() { host.DeliverWebhooks(ctx, s, c.allowPrivate, log) })
	if c.pushContact != "" {
		background.Go(func() { host.PushEvents(ctx, s, c.pushContact, c.allowPrivate, log) })
	}
	background.Go(func() { auditNightly(ctx, s, log) })
	background.Go(func() { forgetOld(ctx, s, log) })
	defer func() { stop(); background.Wait() }()
	observers := ivr.Observers{counted}
	if c.tracesEndpoint != "" {
		tracer, err := traces.New(ctx, c.tracesEndpoint, host.ProgramVersion(), log)
		if err != nil {
			return err
		}
		defer tracer.Close()
		observers = append(observers, tracer)
	}
	stopMetrics, err := startMetrics(c, s, plans, ready, counted, log)
	if err != nil {
		return err
	}
	defer stopMetrics()
	stopHost, err := startHost(ctx, c, s, plans, cashier, ready, counted, log)
	if err != nil {
		return err
	}
	defer stopHost()
	catalogue, err := prompts.Open(ctx, c.promptsDir, c.promptsPath, c.promptsIn, dialplan.Languages...)
	if err != nil {
		return fmt.Errorf("prompts: %w", err)
	}
	catalogue.Greetings = s.GreetingNamed
	ownership, err := s.Ownership(log)
	if err != nil {
		return err
	}
	defer ownership.Disconnect()
	o := &owner{config: c, store: s, plans: plans, cashier: cashier, prompts: catalogue, ownership: ownership, ready: ready, metrics: counted, observers: observers, log: log}
	for {
		why := ownership.Await(ctx, takeOver)
		if why == nil {
			why = o.serve(ctx)
		}
		takeOver = false
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(why, store.ErrNotOwner), errors.Is(why, store.ErrWanted):
			continue
		}
		return why
	}
}

// owner is the program while Asterisk is its own.
type owner struct {
	config
	store     *store.Store
	plans     *planner
	cashier   *host.Cashier
	prompts   ari.Prompts
	ownership *store.Ownership
	ready     *readiness
	metrics   *metrics.Metrics
	observers ivr.Observers
	log       *slog.Logger
}

// serve takes over what earlier owners left, then answers calls until ctx ends or the
// ownership does. It returns why.
func (o *owner) serve(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	owned := time.Now()
	c, s, log, ready := o.config, o.store, o.log, o.ready
	ready.owner.Store(true)
	defer ready.standBy()
	kept := make(chan error, 1)
	go func() { kept <- o.keep(ctx, stop) }()

	asterisk, err := ari.Open(ctx, ari.Config{
		URL: c.asteriskURL, User: c.asteriskUser, Password: c.asteriskPassword,
		App: c.app, Trunk: c.trunk, RTPTimeout: c.rtpTimeout, Endpoint: c.endpoint(), Elsewhere: c.elsewhere(s, log),
		Prompts: o.prompts, Observer: o.metrics, Log: log,
	})
	if err != nil {
		stop(err)
		<-kept
		return o.release(fmt.Errorf("asterisk: %w", err), time.Now())
	}
	defer asterisk.Close()
	ready.asterisk.Store(asterisk)

	service := &ivr.Service{
		Switch: asterisk, Ledger: s, Directory: s, Verifications: s, Desk: s, Payments: o.cashier,
		Plan: o.plans.active, Unspoken: c.unspoken, Stopping: ctx, Observer: o.observers, Log: log,
	}
	if err := service.RecoverUntilDone(ctx); err != nil {
		stop(err)
		<-kept
		return o.release(err, time.Now())
	}
	if err := s.AbandonChallenges(ctx); err != nil {
		log.Warn("verification calls of an earlier process end when they expire", "err", err)
	}
	ready.service.Store(service)
	ready.recovered.Store(true)
	var background sync.WaitGroup
	background.Go(func() { service.ProveTalks(ctx) })
	background.Go(func() { placeVerifications(ctx, service, s, ready, log) })
	background.Go(func() { placeCalls(ctx, service, s, ready, log) })
	background.Go(func() { giveTurns(ctx, s, o.plans, log) })
	background.Go(func() { keepAppointments(ctx, s, o.plans, log) })
	background.Go(func() { followPlans(ctx, service, o.plans, s, o.metrics, log) })
	background.Go(func() { pushEndpoints(ctx, asterisk, s, log) })
	background.Go(func() { watchCalls(ctx, asterisk, ready, log) })
	background.Go(func() { endAsked(ctx, service, s, log) })
	background.Go(func() { o.neighbours(ctx, asterisk, service) })

	log.Info("serving", "asterisk", c.asteriskURL, "epoch", o.ownership.Epoch, "gap", o.ownership.Idle+time.Since(owned))
	why := asterisk.Serve(ctx, service)

	idle := time.Now()
	log.Info("stopping", "live", service.Live(), "why", why)
	stop(why)
	if lost := <-kept; errors.Is(lost, store.ErrNotOwner) {
		why = lost
	}
	drain(service, asterisk, apologyLasts)
	why = o.release(why, idle)
	drain(service, asterisk, drainMost)
	asterisk.Close()
	background.Wait()
	return why
}

func openStore(ctx context.Context, c config) (*store.Store, error) {
	s, err := store.Open(ctx, store.Config{
		DSN: c.postgresDSN, RedisAddr: c.redisAddr, RedisUser: c.redisUser, RedisPassword: c.redisPassword, Key: c.key, Node: c.node,
		Sentinels: c.sentinels, RedisMaster: c.redisMaster,
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// planner knows the plan in force. It asks the store which that is for every call:
// an activation holds for the next call, and a store that does not answer means no
// call. What a version says never changes: it is read and parsed once.
type planner struct {
	store *store.Store

	mu     sync.Mutex
	parsed map[int64]*dialplan.Plan
}

// active waits as long as the store does. With a shorter time of ours the driver would ask
// a frozen Postgres to cancel, and the caller wait for that too.
func (p *planner) active() (*dialplan.Plan, error) {
	ctx := context.Background()
	version, err := p.store.ActivePlan(ctx)
	if err != nil {
		return nil, err
	}
	return p.version(ctx, version)
}

// copied is active for those who may change what they get.
func (p *planner) copied() (plan dialplan.Plan, err error) {
	active, err := p.active()
	if err == nil {
		plan = *active
	}
	return plan, err
}

// version is any saved version, which nobody changes.
func (p *planner) version(ctx context.Context, version int64) (*dialplan.Plan, error) {
	p.mu.Lock()
	plan, known := p.parsed[version]
	p.mu.Unlock()
	if known {
		return plan, nil
	}
	text, err := p.store.Plan(ctx, version)
	if err != nil {
		return nil, err
	}
	parsed, err := dialplan.Parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("plan %d cannot be read by this program; activate another: %w", version, err)
	}
	parsed.Version = version
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.parsed == nil {
		p.parsed = map[int64]*dialplan.Plan{}
	}
	p.parsed[version] = &parsed
	return &parsed, nil
}

// challengesEvery is how often requested verification calls are looked for where
// no notice tells of them.
const challengesEvery = time.Second

// placeVerifications places the verification calls that were asked for. Each is
// claimed in the store, so that of all copies of the program one places it.
func placeVerifications(ctx context.Context, service *ivr.Service, s *store.Store, ready *readiness, log *slog.Logger) {
	notices := s.Listen(ctx, store.TopicChallenges)
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		var challenge ivr.Challenge
		var found bool
		var err error
		if !ready.draining.Load() {
			challenge, found, err = s.ClaimChallenge(ctx)
		}
		if err != nil && ctx.Err() == nil {
			log.Warn("verification calls are waiting", "err", err)
		}
		if found {
			calls.Go(func() {
				disposition := service.Verify(challenge)
				if err := s.FinishChallenge(context.WithoutCancel(ctx), challenge.ID, disposition); err != nil {
					log.Error("verification not recorded", "challenge", challenge.ID, "err", err)
				}
			})
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-notices:
		case <-time.After(challengesEvery):
		}
	}
}
