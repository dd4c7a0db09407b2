package ivrtest

import (
	"context"

	"parley/ivr"
)

// Of implements [ivr.Leg]: the town keeps no log.
func (l *Leg) Of(ivr.CallID) {}

// KeepQuality implements [ivr.Ledger]. The town has no sound that could be bad.
func (p *Program) KeepQuality(context.Context, ivr.CallID, []ivr.LegQuality) error { return nil }
