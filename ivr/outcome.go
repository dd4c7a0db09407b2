package ivr

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/ivr/money"
)

// Why a call, or a step of one, ended.
var (
	ErrHungUp        = errors.New("party hung up")
	ErrLost          = errors.New("party was lost without hanging up")
	ErrBusy          = errors.New("the line is busy")
	ErrDeclined      = errors.New("the advisor declined")
	ErrNoAnswer      = errors.New("nobody answered")
	ErrNotAccepted   = errors.New("answered, but not accepted by key")
	ErrUnreachable   = errors.New("the line cannot be reached")
	ErrNotVerified   = errors.New("the line is not verified")
	ErrNoLoan        = errors.New("the number is lent to nobody")
	ErrLoanExpired   = errors.New("the number is no longer lent")
	ErrNotIdentified = errors.New("the caller is not the client the number is lent to")
	ErrTooManyTries  = errors.New("too many tries")
	ErrClientBusy    = errors.New("the client already has a call")
	ErrAdvisorBusy   = errors.New("the advisor already has a call")
	ErrAllBusy       = errors.New("all lines are in use")
	ErrNoPlan        = errors.New("no plan is active")
	ErrNotInPlan     = errors.New("the plan does not cover this call")
	ErrFundsSpent    = errors.New("the money is spent")
	ErrTimeLimit     = errors.New("the time limit is reached")
	ErrWrongCode     = errors.New("wrong code")
	ErrChallengeOver = errors.New("the code has expired or was used")
	ErrNothingKeyed  = errors.New("nothing was keyed")
	ErrShutdown      = errors.New("the program is stopping")
	ErrHandedOver    = errors.New("the talk is left to the next process")
	ErrOrphaned      = errors.New("the program died during the call")
	ErrNotReached    = errors.New("the client was not reached")
	ErrNotConsented  = errors.New("the client answered, but did not press 1")
	ErrEndedByHost   = errors.New("the host ended the call")
	ErrTooEarly      = errors.New("the appointment has not begun")
	ErrTooLate       = errors.New("the appointment is over")
	ErrToBeCalled    = errors.New("the client will be called")

	ErrPaymentDeclined = errors.New("the payment was declined")

	ErrConflict = errors.New("this ID was used with other content")
)

// NoFunds says how much is missing for a talk of the predetermined length.
type NoFunds struct {
	Available, Missing money.Amount
	Predetermined      time.Duration
	ByCap              bool // it is the client's own spending cap that leaves too little
}

func (e *NoFunds) Error() string {
	if e.ByCap {
		return fmt.Sprintf("the client's spending cap leaves %v too little for %v", e.Missing, e.Predetermined)
	}
	return fmt.Sprintf("not enough money: %v missing for %v", e.Missing, e.Predetermined)
}

// Departure is why and when a party left. It is the cause with which a leg's
// context ends.
type Departure struct {
	Leg   string
	Cause Cause
	At    time.Time // until when the party certainly was there
	Lost  bool      // it did not hang up: its network, its phone or our switch failed

	Quality *Quality // of its sound; nil where it is not known
}

func (d *Departure) Error() string {
	if d.Lost {
		return fmt.Sprintf("%v (cause %d)", ErrLost, d.Cause)
	}
	return fmt.Sprintf("%v (cause %d)", ErrHungUp, d.Cause)
}

func (d *Departure) Is(target error) bool {
	return target == ErrHungUp && !d.Lost || target == ErrLost && d.Lost
}

// Disposition says, on the CDR, how a call ended.
type Disposition string

// Cause is a Q.850 hang-up cause.
type Cause int

// The causes that we give and read. Q.850 table 1.
const (
	UnallocatedNumber Cause = 1
	NormalClearing    Cause = 16
	UserBusy          Cause = 17
	NoAnswer          Cause = 19
	CallRejected      Cause = 21
	TemporaryFailure  Cause = 41
	Unavailable       Cause = 44
)

// Outcome is everything the end of a call decides.
type Outcome struct {
	Disposition Disposition
	Cause       Cause
	LastWords   Prompt // what the client hears before we hang up; "" for none
}

const (
	Completed   Disposition = "completed"
	Failed      Disposition = "failed"      // our fault; the log says why
	Interrupted Disposition = "interrupted" // the program stopped or died
)

var completed = Outcome{Completed, NormalClearing, ""}

// outcomes is the whole mapping from why a script ended to how the call ends.
// A new way to end is a new line here.
var outcomes = []struct {
	why error
	Outcome
}{
	{ErrFundsSpent, Outcome{"money spent", NormalClearing, "money-spent"}},
	{ErrEndedByHost, Outcome{"ended", NormalClearing, "ended-by-host"}},
	{ErrTimeLimit, Outcome{"time limit", NormalClearing, "time-limit"}},
	{ErrNotReached, Outcome{"client not reached", NoAnswer, ""}},
	{ErrNotConsented, Outcome{"client not reached", NormalClearing, ""}},
	{ErrToBeCalled, Outcome{"to be called", NormalClearing, "you-will-be-called"}},
	{ErrTooEarly, Outcome{"too early", NormalClearing, "call-at-its-time"}},
	{ErrTooLate, Outcome{"too late", NormalClearing, "good-bye"}},
	{ErrBusy, Outcome{"busy", UserBusy, "advisor-busy"}},
	{ErrAdvisorBusy, Outcome{"busy", UserBusy, "advisor-busy"}},
	{ErrDeclined, Outcome{"declined", CallRejected, "advisor-declined"}},
	{ErrNoAnswer, Outcome{"no answer", NoAnswer, "advisor-no-answer"}},
	{ErrNotAccepted, Outcome{"no answer", NoAnswer, "advisor-no-answer"}},
	{ErrUnreachable, Outcome{"unreachable", Unavailable, "advisor-unreachable"}},
	{ErrNotVerified, Outcome{"unreachable", Unavailable, "advisor-unreachable"}},
	{ErrNoLoan, Outcome{"unknown number", UnallocatedNumber, "unknown-number"}},
	{ErrLoanExpired, Outcome{"expired number", UnallocatedNumber, "expired-number"}},
	{ErrNotIdentified, Outcome{"not identified", CallRejected, "not-identified"}},
	{ErrTooManyTries, Outcome{"not identified", CallRejected, "not-identified"}},
	{ErrClientBusy, Outcome{"client busy", CallRejected, "client-busy"}},
	{ErrAllBusy, Outcome{"all busy", TemporaryFailure, "all-busy"}},
	{ErrWrongCode, Outcome{"not verified", NormalClearing, "not-verified"}},
	{ErrNothingKeyed, Outcome{"not verified", NormalClearing, "not-verified"}},
	{ErrChallengeOver, Outcome{"not verified", NormalClearing, "code-expired"}},
	{ErrOrphaned, Outcome{Interrupted, TemporaryFailure, "call-back-later"}},
	{ErrShutdown, Outcome{Interrupted, TemporaryFailure, "call-back-later"}},
	{context.Canceled, Outcome{Interrupted, TemporaryFailure, "call-back-later"}},

	// Last, since an error above may have come about by a leg that left.
	{ErrHungUp, Outcome{"abandoned", NormalClearing, ""}}, // before talking
	{ErrLost, Outcome{"abandoned", NormalClearing, ""}},
}

// outcomeOf explains why a script ended. What nobody foresaw is [Failed].
func outcomeOf(why error) Outcome {
	if why == nil {
		return completed
	}
	var poor *NoFunds
	if errors.As(why, &poor) {
		words := Prompt("not-enough-money")
		if poor.ByCap {
			words = "cap-reached"
		}
		return Outcome{"no funds", CallRejected, words}
	}
	for _, o := range outcomes {
		if errors.Is(why, o.why) {
			return o.Outcome
		}
	}
	return Outcome{Failed, TemporaryFailure, "call-back-later"}
}
