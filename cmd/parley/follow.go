package main

import (
	"context"
	"log/slog"
	"time"

	"parley/ivr"
	"parley/metrics"
	"parley/store"
)

// planEvery is how often the plan in force is asked for where no notice tells of a new
// one.
const planEvery = 5 * time.Second

// followPlans has calls that are up follow the plan in force, until ctx ends: also talks
// that were taken over, where it was activated meanwhile. Its currency is counted from then
// on.
func followPlans(ctx context.Context, service *ivr.Service, plans *planner, s *store.Store, counted *metrics.Metrics, log *slog.Logger) {
	notices := s.Listen(ctx, store.TopicPlan)
	var followed int64
	for {
		plan, err := plans.active()
		switch {
		case err != nil:
			log.Warn("the plan in force is not known", "err", err)
		case plan.Version != followed:
			service.Follow(plan)
			counted.Currency(plan.Currency)
			followed = plan.Version
		}
		select {
		case <-ctx.Done():
			return
		case <-notices:
		case <-time.After(planEvery):
		}
	}
}
