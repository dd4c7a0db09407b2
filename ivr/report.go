package ivr

import (
	"time"

	"parley/ivr/money"
)

// Observer is told what happens on calls, to count it and to show it. It must not wait,
// and is called by many goroutines.
type Observer interface {
	// Staged is told of each stage of a call, when that is over.
	Staged(Kind, Stage)

	// Ended is told once of each call that is settled, or handed over.
	Ended(Report)

	// Recovered is told of each call that an earlier process left.
	Recovered(Recovery)
}

// Observers are told one after the other.
type Observers []Observer

func (all Observers) Staged(kind Kind, stage Stage) {
	for _, o := range all {
		o.Staged(kind, stage)
	}
}

func (all Observers) Ended(r Report) {
	for _, o := range all {
		o.Ended(r)
	}
}

func (all Observers) Recovered(what Recovery) {
	for _, o := range all {
		o.Recovered(what)
	}
}

// Stage is a part of a call that took time.
type Stage struct {
	Name  StageName
	Began time.Time
	Took  time.Duration
}

// StageName says what happened in a stage.
type StageName string

// The stages, in the order in which they come. [Settling] and [LastWords] are at once.
const (
	Answered    StageName = "answer"      // from our command to Asterisk's answer
	Identified  StageName = "identify"    // whom the number is lent to, a keyed PIN included
	Held        StageName = "hold"        // the ledger's answer
	ClientRung  StageName = "call client" // of a call that we place, until they press 1
	PriceTold   StageName = "price"
	Dialled     StageName = "dial"   // the advisor's line, until it answers or will not
	Accepted    StageName = "accept" // from then on, until the advisor presses a key
	Joined      StageName = "join"   // from then on, until both are known to hear each other
	CodeAsked   StageName = "code"   // of a verification call
	Talked      StageName = "talk"
	Reconnected StageName = "reconnect" // whether it succeeded or not
	Settling    StageName = "settle"    // from the end of the call to the ledger's answer
	LastWords   StageName = "last words"
)

// Stages are all of them.
var Stages = []StageName{Answered, Identified, Held, ClientRung, PriceTold, Dialled, Accepted, Joined, CodeAsked, Talked, Reconnected, Settling, LastWords}

// Report is what became of a call.
type Report struct {
	CDR
	Currency    string       // "" where nothing was held
	Held        money.Amount // by all of its holds
	Stages      []Stage
	Quality     []LegQuality // of its legs, where it is known
	HandedOver  bool         // the talk goes on, in another process: the record is not final
	CutBySwitch bool         // the switch's own timer ended the talk, before we could
}

// Recovery is what became of a call that an earlier process left.
type Recovery string

const (
	Adopted  Recovery = "adopted" // its talk goes on
	Closed   Recovery = "closed"  // it was over, and is settled with what was proved
	HungUpOn Recovery = "hung up" // legs were up that are part of no talk
)

// stage times a part of a call, from now until over is called.
func (s *Service) stage(call *Call, name StageName) (over func()) {
	began := time.Now()
	return func() { s.staged(call, name, began) }
}

// staged notes a stage that is over.
func (s *Service) staged(call *Call, name StageName, began time.Time) {
	stage := Stage{name, began, time.Since(began)}
	call.mu.Lock()
	call.stages = append(call.stages, stage)
	call.mu.Unlock()
	if s.Observer != nil {
		s.Observer.Staged(call.Kind, stage)
	}
}

// report tells of a call that is over.
func (s *Service) report(call *Call, cdr CDR, quality []LegQuality, handedOver bool) {
	if s.Observer == nil {
		return
	}
	s.Observer.Ended(Report{
		CDR: cdr, Currency: call.Terms.Currency, Held: call.Held, Stages: call.stages, Quality: quality,
		HandedOver: handedOver, CutBySwitch: call.cutBySwitch,
	})
}

func (s *Service) recovered(what Recovery) {
	if s.Observer != nil {
		s.Observer.Recovered(what)
	}
}

// Unsettled is the number of calls that the ledger has not settled when asked, and is
// being asked again to.
func (s *Service) Unsettled() int { return int(s.unsettled.Load()) }
