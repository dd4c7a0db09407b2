package ivr

import (
	"context"
	"time"

	"parley/dialplan"
)

// noticeLeast is how much time a plan that shortens a talk leaves it, if the plan's own
// last warning does not leave more.
const noticeLeast = 10 * time.Second

// Follow makes the calls that are up follow the plan in force, where it says so: its
// longest talk and its warnings hold for them at once. Their price never changes. The
// same plan again changes nothing.
func (s *Service) Follow(plan *dialplan.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, call := range s.live {
		call.mu.Lock()
		call.newPlan = plan
		call.mu.Unlock()
		call.wakeMeter()
	}
}

// revise makes a talk follow a plan that was activated since. It never takes away the
// time that a last warning needs, and never gives an appointment more than was agreed.
func (s *Service) revise(ctx context.Context, call *Call, t *talking) {
	call.mu.Lock()
	plan := call.newPlan
	call.newPlan = nil
	call.mu.Unlock()
	if plan == nil || plan.Version == call.Plan.Version || plan.Limits.LiveCalls != dialplan.Follow {
		return
	}
	terms := call.Terms
	longest := plan.Terms(string(call.Loan.Advisor), call.Loan.Wish).LongestTalk
	if terms.SetBy == "appointment" || !call.Loan.FreeUntil.IsZero() {
		longest = min(longest, terms.LongestTalk)
	}
	terms.Warnings = plan.Limits.Warnings
	notice := noticeLeast
	if n := len(terms.Warnings); n > 0 {
		notice = max(notice, terms.Warnings[n-1]+lastStretch)
	}
	soonest := talkTime(call.segments) + time.Since(t.began) + notice
	terms.LongestTalk = max(longest, min(soonest.Truncate(time.Second), terms.LongestTalk))
	if err := s.Ledger.Revise(ctx, call.ID, plan.Version, terms); err != nil {
		s.Log.Warn("the call keeps its limits", "call", call.ID, "plan", plan.Version, "err", err)
		return
	}
	revised := *call.Plan
	revised.Version = plan.Version
	call.Terms, call.Plan = terms, &revised
	left := s.cutBothAfter(ctx, call, t)
	s.Log.Info("call follows a new plan", "call", call.ID, "plan", plan.Version, "left", left.Round(time.Second))
}
