package store

import (
	"testing"

	"parley/lab/mutant"
)

// mutants are bugs planted in this package, one at a time, and a seed of TestHostAtRandom
// that finds each: the proof that it would see them.
var mutants = []mutant.Bug{
	{"the last who came is first in line", "turns.go", "ORDER BY w.ticket LIMIT 1`, advisor, plan", "ORDER BY w.ticket DESC LIMIT 1`, advisor, plan", 111},
	{"a missed turn is never over", "turns.go", "if err := s.endMissedTurns(ctx, tx, advisor); err != nil {", "if err := error(nil); err != nil {", 12},
}

func TestPlantedBugsAreFound(t *testing.T) { mutant.Found(t, mutants, "TestHostAtRandom", "-first") }
