package ivr_test

import (
	"testing"

	"parley/lab/mutant"
)

// mutants are bugs planted in this package, one at a time, and a seed of TestTown that
// finds each: the proof that the town would see them.
var mutants = []mutant.Bug{
	{"more is charged than is held", "call.go",
		"charge := min(c.Terms.Rate.Charge(talkTime(c.segments)), c.Held)",
		"charge := c.Terms.Rate.Charge(talkTime(c.segments) + time.Minute)", 0},
	{"ringing is charged", "meter.go", "min(t.length(until), left)", "min(until.Sub(call.StartedAt), left)", 159},
	{"the timers of a second segment forget the first", "meter.go", "return longest - talkTime(c.segments), over", "return longest, over", 8842},
	{"the end moves by twice what is bought", "meter.go", "call.Held += more", "call.Held += 2 * more", 390},
	{"the advisor is left in the call", "call.go", "call.Advisor.Hangup(NormalClearing) // first of all", "// first of all", 159},
	{"a settlement is tried once", "call.go", `s.Log.Error("call not settled; will try again"`, `return; s.Log.Error("call not settled; will try again"`, 12},
	{"calls of a dead program are forgotten", "recover.go", "go s.closeOrphan(o)", "_ = s.closeOrphan", 16},
	{"who could not be asked is taken for gone", "recover.go",
		`return fmt.Errorf("list what is up: %w", err)`, `survivors = nil`, 1395},
	{"an adopted talk starts anew", "recover.go", "began: o.Began}", "began: time.Now()}", 14171},
	{"no timer guards the talk", "meter.go", "= 200 * time.Millisecond\n\tadvisorCutGrace = 230 * time.Millisecond",
		"= 12 * time.Hour\n\tadvisorCutGrace = 13 * time.Hour", 238},
}

func TestPlantedBugsAreFound(t *testing.T) { mutant.Found(t, mutants, "TestTown", "-seed") }
