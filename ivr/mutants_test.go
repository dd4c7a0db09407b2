package ivr_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var find = flag.Int("find", 0, "let TestPlantedBugsAreFound look for seeds that find the bugs, among so many")

// mutants are bugs planted in this package, one at a time, and a seed of TestTown that
// finds each: the proof that the town would see them.
var mutants = []struct {
	name     string
	file     string
	from, to string
	seed     uint64
}{
	{"more is charged than is held", "call.go",
		"charge := min(c.Terms.Rate.Charge(talkTime(c.segments)), c.Held)",
		"charge := c.Terms.Rate.Charge(talkTime(c.segments) + time.Minute)", 0},
	{"ringing is charged", "meter.go", "min(t.length(until), left)", "min(until.Sub(call.StartedAt), left)", 159},
	{"the timers of a second segment forget the first", "client_call.go", "left := longest - talkTime(call.segments)", "left := longest", 8842},
	{"the end moves by twice what is bought", "meter.go", "call.Held += more", "call.Held += 2 * more", 390},
	{"the advisor is left in the call", "call.go", "call.Advisor.Hangup(NormalClearing) // first of all", "// first of all", 103},
	{"a settlement is tried once", "call.go", `s.Log.Error("call not settled; will try again"`, `return; s.Log.Error("call not settled; will try again"`, 12},
	{"calls of a dead program are forgotten", "recover.go", "go s.closeOrphan(o)", "_ = s.closeOrphan", 16},
	{"who could not be asked is taken for gone", "recover.go",
		`return fmt.Errorf("list what is up: %w", err)`, `survivors = nil`, 1395},
	{"an adopted talk starts anew", "recover.go", "began: o.Began}", "began: time.Now()}", 2931},
	{"no timer guards the talk", "meter.go", "CutAfter(ctx, max(0, time.Until(deadline))+grace)", "CutAfter(ctx, 12*time.Hour)", 14476},
}

var failedSeed = regexp.MustCompile(`# seed (\d+)`)

func TestPlantedBugsAreFound(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(m.file)
			if err != nil || strings.Count(string(text), m.from) != 1 {
				t.Fatalf("%s has %d times %q (%v): plant the bug elsewhere", m.file, strings.Count(string(text), m.from), m.from, err)
			}
			dir := t.TempDir()
			mutant := filepath.Join(dir, m.file)
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(text), m.from, m.to, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, m.file): mutant}})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o644); err != nil {
				t.Fatal(err)
			}
			town := exec.Command("go", "test", "-overlay", filepath.Join(dir, "overlay.json"), "-count=1", "-run", "^TestTown$", ".",
				"-timeout", "60s", "-seed", fmt.Sprint(m.seed), "-seeds", fmt.Sprint(max(1, *find)))
			out, err := town.CombinedOutput()
			switch {
			case strings.Contains(string(out), "[build failed]"):
				t.Fatalf("the bug does not compile:\n%s", out)
			case err == nil:
				t.Fatalf("it is not found by seed %d", m.seed)
			case *find > 0:
				t.Logf("%q is found by %s", m.name, failedSeed.FindString(string(out)))
			}
		})
	}
}
