package faults

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/lab/stage"
)

var (
	all    = flag.Bool("all", false, "make all faults, not only the most telling ones")
	times  = flag.Int("times", 1, "how often each fault is made")
	report = flag.String("report", "", "where the table is written to, as Markdown")
	commit = flag.String("commit", "", "what was tested, for the table")
)

// fault is one way in which things go wrong.
type fault struct {
	name, what string
	make       func(s *scene)
	says       []string // what the program's log must say of it; "+call": with the call's ID
	short      bool     // it is also made in the short cut
	options    stage.Options
	elsewhere  string // the tests that make it, or why it is not made
}

// faults is the table of them all.
var faults = []fault{
	{name: "F1", what: "kill -9 before the hold commits", make: killedBeforeTheHold, short: true},
	{name: "F2", what: "kill -9 after the hold, before the advisor is dialled", make: killedBeforeDialling, says: []string{"call closed for a dead process +call"}},
	{name: "F3", what: "kill -9 after dialling, before the reply", make: killedBeforeTheReply, says: []string{"call closed for a dead process +call"}},
	{name: "F4", what: "kill -9 after the advisor answered, before the bridge", make: killedBeforeTheBridge, short: true, says: []string{"call closed for a dead process +call"}},
	{name: "F5", what: "kill -9 during talk, restarted in 5 s", make: killedInTalk, short: true, says: []string{"talk adopted +call"}},
	{name: "F6", what: "kill -9 during talk, not restarted", make: killedForGood, says: []string{"call closed for a dead process +call"}},
	{name: "F7", what: "kill -9 after settling, before hanging up", make: killedAfterSettling},
}

func TestMain(m *testing.M) {
	flag.Parse()
	began := time.Now()
	code := m.Run()
	if *report != "" {
		if err := os.WriteFile(*report, []byte(table(time.Since(began))), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// results are the sights of each fault, by its name and what it is.
var results = struct {
	sync.Mutex
	of map[string][]result
}{of: map[string][]result{}}

type result struct {
	sight
	passed bool
}

func TestFaults(t *testing.T) {
	for _, f := range faults {
		if f.make == nil || !f.short && !*all {
			continue
		}
		for n := range *times {
			t.Run(fmt.Sprintf("%s/%d", f.name, n+1), func(t *testing.T) {
				t.Parallel()
				s := newScene(t, f.options)
				t.Cleanup(func() {
					results.Lock()
					defer results.Unlock()
					results.of[f.name+f.what] = append(results.of[f.name+f.what], result{s.saw, !t.Failed()})
				})
				f.make(s)
				s.check(f.says)
				t.Logf("%s: %s: %+v", f.name, f.what, s.saw)
			})
		}
	}
}

// table is what was seen, as Markdown.
func table(took time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, `# The faults, and what was seen

Made by %s on commit %s, in %v, on the real Asterisk, Postgres, Redis and telephones
([lab/faults](../lab/faults)). Each try ends with all invariants checked (M1 to M4, T1, T2, A1, A2, D1,
S1, O1, R1): by SQL, by the ledger's own audit, by Asterisk's lists, by what the two phones heard, and
by one more call. The worst of all tries is shown: silence is the longest that one phone did not hear
the other in a talk that went on, to 40 ms (below 300 ms it is not counted); recovery is from the moment
in which the cause is gone to /readyz; money is charged minus the price of the talk that the phones
heard, in cents (10 are one second, and the phones' view is up to one second coarse); dropped are
talks that ended though nobody ended them.

| fault | | tries | silence | recovery | money | dropped | passed | seen |
|---|---|---|---|---|---|---|---|---|
`, "`make faults`", *commit, took.Round(time.Second))
	for _, f := range faults {
		if f.make == nil {
			fmt.Fprintf(&text, "| %s | %s | | | | | | | %s |\n", f.name, f.what, f.elsewhere)
			continue
		}
		var worst sight
		passed := 0
		tries := results.of[f.name+f.what]
		for _, r := range tries {
			if r.passed {
				passed++
			}
			worst.silence, worst.recovery = max(worst.silence, r.silence), max(worst.recovery, r.recovery)
			worst.dropped = max(worst.dropped, r.dropped)
			if max(r.money, -r.money) > max(worst.money, -worst.money) {
				worst.money = r.money
			}
			worst.notes = r.notes
		}
		fmt.Fprintf(&text, "| %s | %s | %d | %d ms | %d ms | %+d | %d | %s | %s |\n", f.name, f.what, len(tries),
			worst.silence.Milliseconds(), worst.recovery.Milliseconds(), worst.money, worst.dropped,
			verdict(passed, len(tries)), strings.Join(worst.notes, "; "))
	}
	return text.String()
}

func verdict(passed, tries int) string {
	switch {
	case tries == 0:
		return "not tried"
	case passed == tries:
		return "yes"
	}
	return fmt.Sprintf("**no**: %d of %d", tries-passed, tries)
}
