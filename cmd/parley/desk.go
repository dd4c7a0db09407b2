package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

func (a *app) adjustCommand() *cobra.Command {
	var r store.AdjustmentRequest
	var kind, amount, from string
	adjust := &cobra.Command{
		Use: "adjust refund|adjustment|payout AMOUNT --reason WHY", Short: "Move money: back to a client, out of the house, or to correct an account",
		Args: cobra.ExactArgs(2),
		Long: `Move money: back to a client, out of the house, or to correct an account.

A refund pays back what a call cost, all or a part: --call says which. A payout left
the house for a client or an advisor. An adjustment puts an account right; below 0
(after --) it takes. Amounts are whole minor units, such as cents.

Above the plan's limits.second_person nothing moves until another administrator has
approved it, over the HTTP API, where tokens say who they are.`,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			kind, amount = args[0], args[1]
			n, err := strconv.ParseInt(amount, 10, 64)
			if err != nil {
				return answer{}, fmt.Errorf("%q is not an amount; write whole minor units: 2000 is 20.00", amount)
			}
			if from != "platform" && from != "advisor" {
				return answer{}, fmt.Errorf("a refund is paid by the platform or the advisor, not %q", from)
			}
			plan, err := (&planner{store: s}).active()
			if err != nil {
				return answer{}, err
			}
			r.Kind, r.Amount, r.FromAdvisor = store.AdjustmentKind(kind), money.Amount(n), from == "advisor"
			made, err := s.Adjust(ctx, store.Request{}, *plan, operator(), r)
			if err != nil {
				return answer{}, err
			}
			return say(made, "%s", adjustmentWords(made)), nil
		}),
	}
	adjust.Flags().StringVar((*string)(&r.Client), "client", "", "whose account; a refund goes to the call's client")
	adjust.Flags().StringVar((*string)(&r.Advisor), "advisor", "", "or whose")
	adjust.Flags().StringVar((*string)(&r.Call), "call", "", "what is paid back, or what it is about")
	adjust.Flags().StringVar(&r.Reason, "reason", "", "why")
	adjust.Flags().StringVar(&from, "from", "platform", "who pays a refund: platform or advisor, of their share")
	require(adjust, "reason")
	var f store.AdjustmentFilter
	list := &cobra.Command{
		Use: "list", Short: "List the newest adjustments", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			found, err := s.Adjustments(ctx, f, listMost)
			var text strings.Builder
			for _, made := range found {
				fmt.Fprintf(&text, "%s\n", adjustmentWords(made))
			}
			return say(found, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	}
	list.Flags().BoolVar(&f.Waiting, "waiting", false, "only those that another person must approve")
	list.Flags().StringVar((*string)(&f.Client), "client", "", "only of this client")
	list.Flags().StringVar((*string)(&f.Advisor), "advisor", "", "only of this advisor")
	adjust.AddCommand(list)
	return adjust
}

func adjustmentWords(a store.Adjustment) string {
	state := string(a.State)
	if a.State == store.Asked {
		state = "waits for another person until " + a.Until.Format(time.DateTime)
	}
	return fmt.Sprintf("%s  %s of %v %s from %s to %s, by %s: %s  %s", a.ID, a.Kind, a.Amount, a.Currency, a.Debit, a.Credit, a.AskedBy, a.Reason, state)
}

func (a *app) planCancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel VERSION", Short: "Take back that a version is to be activated at a time", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			version, err := versionOrActive(ctx, s, args)
			if err != nil {
				return answer{}, err
			}
			err = s.WithdrawPlan(ctx, version, operator())
			return say(map[string]int64{"version": version}, "version %d is not to be activated", version), err
		}),
	}
}

// auditsLooked is how often it is looked whether the night's audit is due.
const auditsLooked = 5 * time.Minute

// auditNightly audits once a night, of all copies of the program.
func auditNightly(ctx context.Context, s *store.Store, log *slog.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(auditsLooked):
		}
		a, done, err := s.AuditNightly(ctx, "parley")
		switch {
		case err != nil && ctx.Err() == nil:
			log.Warn("the night's audit was not done; will try again", "in", auditsLooked, "err", err)
		case a.Count > 0:
			log.Error("the night's audit found faults; see `parley ledger audit`", "faults", a.Count, "audit", a.ID, "first", a.Faults[0].String())
		case done:
			log.Info("the night's audit found no fault", "audit", a.ID, "calls", a.Calls, "took", a.Took)
		}
	}
}

// forgetEvery is how often it is looked for what is kept for a time and no longer.
const forgetEvery = time.Hour

// forgetOld forgets it, until ctx ends.
func forgetOld(ctx context.Context, s *store.Store, log *slog.Logger) {
	for {
		n, err := s.ForgetOld(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			log.Warn("what is old was not forgotten; will try again", "in", forgetEvery, "err", err)
		case n > 0:
			log.Info("old answers and events are forgotten", "rows", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(forgetEvery):
		}
	}
}

// running is what the HTTP API is told of the calls that this copy runs.
type running struct{ ready *readiness }

func (r running) Calls() []ivr.LiveCall {
	if service := r.ready.service.Load(); service != nil {
		return service.Calls()
	}
	return nil
}

func (r running) HangUp(id ivr.CallID) bool {
	service := r.ready.service.Load()
	return service != nil && service.HangUp(id)
}

func (r running) End(id ivr.CallID, why string) bool {
	service := r.ready.service.Load()
	return service != nil && service.End(id, why)
}
