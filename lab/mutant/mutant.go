// Package mutant plants bugs, one at a time, in a copy of a package's source, and runs one
// of its tests on it: the proof that the test would see them.
package mutant

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

var find = flag.Int("find", 0, "look for seeds that find the planted bugs, among so many")

// Bug is a piece of a file of the package whose test runs, what is put in its place, and a
// seed of the test that finds it.
type Bug = struct {
	Name, File, From, To string
	Seed                 uint64
}

var failedSeed = regexp.MustCompile(`# seed (\d+)`)

// Found fails t for each bug that a test does not find. The test plays as many seeds as
// -seeds says, from the one that the flag called first names.
func Found(t *testing.T, bugs []Bug, test, first string) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bugs {
		t.Run(b.Name, func(t *testing.T) {
			t.Parallel()
			overlay, err := plant(b, here, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			run := exec.Command("go", "test", "-overlay", overlay, "-count=1", "-run", "^"+test+"$", ".",
				"-timeout", "10m", first, fmt.Sprint(b.Seed), "-seeds", fmt.Sprint(max(1, *find)))
			out, err := run.CombinedOutput()
			seed := failedSeed.FindString(string(out))
			switch {
			case err == nil:
				t.Fatalf("it is not found by seed %d", b.Seed)
			case seed == "": // nor is a test that cannot run a bug that was found
				t.Fatalf("the test does not name a seed:\n%s", out)
			case *find > 0:
				t.Logf("%q is found by %s", b.Name, seed)
			}
		})
	}
}

// plant writes the file with the bug, and what has the compiler take it.
func plant(b Bug, here, dir string) (overlay string, err error) {
	text, err := os.ReadFile(b.File)
	if err != nil || strings.Count(string(text), b.From) != 1 {
		return "", fmt.Errorf("%s has %d times %q (%w): plant the bug elsewhere", b.File, strings.Count(string(text), b.From), b.From, err)
	}
	mutated := filepath.Join(dir, b.File)
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(text), b.From, b.To, 1)), 0o644); err != nil {
		return "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, b.File): mutated}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, replace, 0o644)
}
