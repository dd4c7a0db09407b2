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
	"parley/ivr"
	"parley/ivr/ari"
	"parley/ivr/prompts"
	"parley/store"
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: "Answer calls and requests until told to stop", Args: cobra.NoArgs,
		Long: `Answer calls, and requests over HTTP (http.addr), until told to stop.

SIGTERM and Ctrl-C end calls that do not talk yet, with an apology. Talks go on:
the next "parley serve" meters them again. Until then Asterisk itself ends them
when their money does.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return serve(cmd.Context(), c)
		},
	}
}

// drainMost is how long calls that do not talk yet may take to end.
const drainMost = 20 * time.Second

// serve is the whole program: it opens the outside, takes over what an earlier
// process left, then answers calls until ctx ends.
func serve(ctx context.Context, c config) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: c.logLevel}))
	log.Info("starting")
	s, err := openStore(ctx, c)
	if err != nil {
		return err
	}
	defer s.Disconnect()
	ready := &readiness{stopping: ctx}
	plans := &planner{store: s}
	stopHost, err := startHost(ctx, c, s, plans, ready, log)
	if err != nil {
		return err
	}
	defer stopHost()
	catalogue, err := prompts.Open(ctx, c.promptsDir, c.promptsPath, c.promptsIn, dialplan.Languages...)
	if err != nil {
		return fmt.Errorf("prompts: %w", err)
	}
	asterisk, err := ari.Open(ctx, ari.Config{
		URL: c.asteriskURL, User: c.asteriskUser, Password: c.asteriskPassword,
		App: c.app, Trunk: c.trunk, RTPTimeout: c.rtpTimeout, Endpoint: c.endpoint(), Prompts: catalogue, Log: log,
	})
	if err != nil {
		return fmt.Errorf("asterisk: %w", err)
	}
	defer asterisk.Close()
	ready.asterisk.Store(asterisk)

	service := &ivr.Service{
		Switch: asterisk, Ledger: s, Directory: s, Verifications: s,
		Plan: plans.active, Stopping: ctx, Log: log,
	}
	if err := service.RecoverUntilDone(ctx); err != nil {
		return err
	}
	if err := s.AbandonChallenges(ctx); err != nil {
		log.Warn("verification calls of an earlier process end when they expire", "err", err)
	}
	ready.recovered.Store(true)
	var background sync.WaitGroup
	background.Go(func() { service.ProveTalks(ctx) })
	background.Go(func() { placeVerifications(ctx, service, s, log) })
	background.Go(func() { pushEndpoints(ctx, asterisk, s, c.key, log) })

	log.Info("serving", "asterisk", c.asteriskURL)
	why := asterisk.Serve(ctx, func(call ari.Incoming) { service.Serve(call.Leg, call.DID, call.ANI) })

	log.Info("stopping", "live", service.Live(), "why", why)
	stop() // also where another process has taken over
	background.Wait()
	service.Drain(drainMost)
	if errors.Is(why, context.Canceled) {
		return nil
	}
	return why
}

func openStore(ctx context.Context, c config) (*store.Store, error) {
	s, err := store.Open(ctx, store.Config{
		DSN: c.postgresDSN, RedisAddr: c.redisAddr, RedisPassword: c.redisPassword, Key: c.key,
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return s, nil
}

// planner knows the plan in force. It asks the store which that is for every call:
// an activation holds for the next call, and a store that does not answer means no
// call. Only the parsing is remembered.
type planner struct {
	store *store.Store

	mu     sync.Mutex
	parsed map[int64]dialplan.Plan
}

const planTimeout = 3 * time.Second

func (p *planner) active() (dialplan.Plan, error) {
	ctx, cancel := context.WithTimeout(context.Background(), planTimeout)
	defer cancel()
	version, text, err := p.store.ActivePlan(ctx)
	if err != nil {
		return dialplan.Plan{}, err
	}
	return p.parse(version, text)
}

// version is any saved version.
func (p *planner) version(ctx context.Context, version int64) (dialplan.Plan, error) {
	text, err := p.store.Plan(ctx, version)
	if err != nil {
		return dialplan.Plan{}, err
	}
	return p.parse(version, text)
}

func (p *planner) parse(version int64, text string) (dialplan.Plan, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if plan, known := p.parsed[version]; known {
		return plan, nil
	}
	plan, err := dialplan.Parse([]byte(text))
	if err != nil {
		return dialplan.Plan{}, fmt.Errorf("plan %d cannot be read by this program; activate another: %w", version, err)
	}
	plan.Version = version
	if p.parsed == nil {
		p.parsed = map[int64]dialplan.Plan{}
	}
	p.parsed[version] = plan
	return plan, nil
}

// challengesEvery is how often requested verification calls are looked for where
// no notice tells of them.
const challengesEvery = time.Second

// placeVerifications places the verification calls that were asked for. Each is
// claimed in the store, so that of all copies of the program one places it.
func placeVerifications(ctx context.Context, service *ivr.Service, s *store.Store, log *slog.Logger) {
	notices := s.Listen(ctx, store.TopicChallenges)
	var calls sync.WaitGroup
	defer calls.Wait()
	for {
		challenge, found, err := s.ClaimChallenge(ctx)
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
