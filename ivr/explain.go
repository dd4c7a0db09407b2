package ivr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/dialplan"
	"parley/ivr/money"
)

// Explanation is what would happen if somebody called now.
type Explanation struct {
	Steps   []string       // what is found on the way, in order
	Terms   dialplan.Terms // zero where the call would not get that far
	Held    money.Amount
	Longest time.Duration
	Outcome Outcome // how it would end, were nobody to talk
	Rings   bool    // whether the advisor's line would ring
}

// Explain answers what would happen if ani called did now under a plan, with the
// steps that a call takes, and writes nothing.
func (s *Service) Explain(ctx context.Context, plan dialplan.Plan, did, ani string) (Explanation, error) {
	var e Explanation
	note := func(format string, args ...any) { e.Steps = append(e.Steps, fmt.Sprintf(format, args...)) }
	ends := func(why error) (Explanation, error) {
		if e.Outcome = outcomeOf(why); e.Outcome.Disposition == Failed {
			return e, why
		}
		note("%v: %s, cause %d", why, e.Outcome.Disposition, e.Outcome.Cause)
		return e, nil
	}
	call := s.begin(ClientCall, did, ani)
	call.Plan = &plan
	number, listed := plan.Number(did)
	if !listed {
		note("%s is not among the numbers of plan %d", did, plan.Version)
		return ends(ErrNoLoan)
	}
	note("%s is a number of plan %d (%s)", did, plan.Version, number.Country)
	var err error
	call.Loan, err = s.Directory.LoanByANI(ctx, did, ani)
	if errors.Is(err, ErrNotIdentified) {
		note("it is lent, but not to who calls from %s: the PIN is asked for, %d times at most", Mask(ani), plan.Limits.EntryTries)
		return ends(err)
	}
	if err != nil {
		return ends(err)
	}
	note("it is lent to %s (%q) for %s (%s) until %s", call.Loan.Client, call.Loan.ClientAlias,
		call.Loan.Advisor, call.Loan.AdvisorName, call.Loan.Until.Format(time.RFC3339))
	opening, err := admit(call)
	if err != nil {
		return ends(err)
	}
	e.Terms = opening.Terms
	note("rate %q: %v %s a minute; money must cover %v (set by the %s): %v; no talk is longer than %v",
		e.Terms.RateName, e.Terms.Rate.PerMinute, e.Terms.Currency, e.Terms.Predetermined, e.Terms.SetBy, opening.Least, e.Terms.LongestTalk)
	if e.Held, err = s.Ledger.WouldHold(ctx, opening); err != nil {
		return ends(err)
	}
	e.Longest, _ = e.Terms.Talk(e.Held)
	e.Rings, e.Outcome = true, completed
	note("%v %s would be held, which buys %v", e.Held, e.Terms.Currency, e.Longest)
	note("line %s (%s) would ring for %v", call.Loan.Line.ID, call.Loan.Line.Kind, plan.Limits.Ring)
	return e, nil
}
