package faults

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/lab"
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
	counts     string   // what /metrics must count of it
	short      bool     // it is also made in the short cut
	options    stage.Options
	elsewhere  string // the tests that make it, or why it is not made
}

// faults is the table of them all.
var faults = []fault{
	{name: "F1", what: "kill -9 before the hold commits", make: killedBeforeTheHold, short: true},
	{name: "F2", what: "kill -9 after the hold, before the advisor is dialled", make: killedBeforeDialling, says: []string{"call closed for a dead process +call"}, counts: `calls_recovered_total{result="closed"}`},
	{name: "F3", what: "kill -9 after dialling, before the reply", make: killedBeforeTheReply, short: true, says: []string{"call closed for a dead process +call"}, counts: `calls_recovered_total{result="closed"}`},
	{name: "F4", what: "kill -9 after the advisor answered, before the bridge", make: killedBeforeTheBridge, says: []string{"call closed for a dead process +call"}, counts: `calls_recovered_total{result="closed"}`},
	{name: "F5", what: "kill -9 during talk, restarted in 5 s", make: killedInTalk, short: true, says: []string{"talk adopted +call"}, counts: `calls_recovered_total{result="adopted"}`},
	{name: "F6", what: "kill -9 during talk, not restarted", make: killedForGood, short: true, says: []string{"call closed for a dead process +call"}, counts: `calls_recovered_total{result="closed"}`},
	{name: "F7", what: "kill -9 after settling, before hanging up", make: killedAfterSettling, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F8", what: "Asterisk killed during talk, restarted", make: asteriskKilled, short: true, says: []string{"events connection is down", "Asterisk was restarted", "call ended +call"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F9", what: "Asterisk restarted by `core restart now`", make: asteriskRestarted, says: []string{"events connection is down", "Asterisk was restarted"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F9", what: "Asterisk restarted by `core restart gracefully`", make: asteriskRestartedGracefully, says: []string{"Asterisk answers, but takes no calls", "Asterisk was restarted"}, counts: `log_lines_total{level="ERROR"}`},
	{name: "F10", what: "Asterisk stopped (SIGSTOP) for 60 s", make: asteriskFrozen(time.Minute), says: []string{"events connection is down", "Asterisk was silent"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F10", what: "Asterisk stopped (SIGSTOP) for 15 s", make: asteriskFrozen(15 * time.Second), short: true, says: []string{"events connection is down", "Asterisk was silent"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F11", what: "events connection cut for 1 s", make: eventsCut(time.Second, false), says: []string{"events connection is down"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F11", what: "events connection cut for 10 s, the client hangs up in it", make: eventsCut(10*time.Second, true), short: true, says: []string{"events connection is down"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F11", what: "events connection cut for 60 s", make: eventsCut(time.Minute, false), says: []string{"events connection is down"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F11", what: "connections to Asterisk half-open, without FIN", make: halfOpen, says: []string{"events connection is down", "Asterisk was silent"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F12", what: "a burst of 10,000 events", make: eventsBurst, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F13", what: "Redis gone", make: redisGone, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F13", what: "Redis flushed, then slow by 2 s", make: redisFlushed},
	{name: "F14", what: "Postgres gone during talk", make: postgresGone, short: true, says: []string{"ownership of Asterisk not renewed"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F15", what: "Postgres slow (5 s)", make: postgresSlow, says: []string{"ownership of Asterisk not renewed"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F15", what: "no connection to Postgres answers: the pool is used up", make: poolUsedUp, says: []string{"ownership of Asterisk not renewed"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F15", what: "an account row locked", make: accountLocked, short: true, counts: `log_lines_total{level="ERROR"}`},
	{name: "F16", what: "disk full for Postgres", make: diskFull, options: stage.Options{Lab: lab.Options{PostgresDisk: 160 << 20}}, counts: `log_lines_total{level="ERROR"}`},
	{name: "F17", what: "the database's clock +1 h, and the program dies; then -1 h", make: clockJumps, options: stage.Options{Lab: lab.Options{PostgresClock: true}}, says: []string{"talk adopted +call"}, counts: `calls_recovered_total{result="adopted"}`},
	{name: "F18", what: "events doubled and out of order", make: eventsDoubled, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F18", what: "events missing, then the connection", make: eventsMissing, short: true, says: []string{"events connection is down"}, counts: `log_lines_total{level="WARN"}`},
	{name: "F19", what: "advisor busy, 603, no answer, 480, 404, dead", make: advisorRefuses, says: []string{"call ended +call"}, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F20", what: "voicemail answers the advisor's leg", make: voicemail, says: []string{"call ended +call"}, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F21", what: "client hangs up while hearing the price, ringing, while the advisor accepts", make: clientHangsUp, says: []string{"call ended +call"}, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F22", what: "both hang up in the same instant", make: bothHangUp, says: []string{"call ended +call"}, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F22", what: "a phone is gone without BYE, its RTP stops", make: packetsStop, short: true, options: stage.Options{RTPTimeout: 3 * time.Second}, says: []string{"call ended +call"}, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F23", what: "answer after cancel", make: answerAfterCancel, says: []string{"call ended +call"}, counts: `calls_total{disposition="completed",kind="client"}`},
	{name: "F24", what: "keys doubled in-band, A-D, of no length, 120 in 10 s", make: keysInDoubt},
	{name: "F25", what: "caller ID spoofed, withheld, malformed; hostile display name", make: callersWhoLie},
	{name: "F27", what: "the same HTTP request 100 times, with another body, slow, 10 MB", make: theSameRequest},
	{name: "F30", what: "two copies on one Asterisk, one dies, then the other", make: twoCopies, says: []string{"talk adopted +call"}, counts: `calls_recovered_total{result="adopted"}`},
	{name: "F31", what: "bad config, database not migrated, missing secret", make: refusesToStart},
	{name: "F26", what: "1,000 loans and releases racing on the same numbers; an old client redials", elsewhere: "made in store: TestNumberLeadsToOnePairAtATime; and in lab/stage: TestNumbersThatLeadNowhere"},
	{name: "F28", what: "SIP flood and torture messages (RFC 4475)", elsewhere: "made in lab/abuse: TestTalksKeepTheirAudioInASIPFlood, TestTortureMessages"},
	{name: "F29", what: "5,000 idle event streams or websockets, wrong Origin", elsewhere: "made in lab/abuse: TestIdleEventStreams, TestStrangersPagesMayNotUseThePhone"},
	{name: "F32", what: "restore from a backup of five minutes ago", elsewhere: "made in store: TestRestoreNamesWhatIsMissing"},
	{name: "F33", what: "scheduler killed between claim and dial; 1,000 due in one second", elsewhere: "made in lab/stage: TestAppointmentWhileACopyIsKilled, TestFiveHundredAppointmentsInOneSecond; and in store: TestEveryWayOutOfAnAppointment"},
	{name: "F16", what: "disk full for the program", elsewhere: "not tried: it writes nothing of a call to a disk; prompts are rendered beside their place and renamed"},
	{name: "F17", what: "the program's own wall clock +1 h, -1 h", elsewhere: "not tried as a whole: Go does not ask libc for the time, and the machine's clock is not ours to set; by parts in ivr/ari: TestABridgesNameSaysHowOldItIs"},
	{name: "F20", what: "voicemail answers the client's leg", elsewhere: "made in lab/stage: TestCallBackToAVoicemail"},
	{name: "F24", what: "DTMF flood", elsewhere: "made in lab/abuse: TestAFloodOfKeys"},
	{name: "deaf", what: "Asterisk answers commands and takes no calls", make: asteriskDeaf, says: []string{"Asterisk answers, but takes no calls", "Asterisk takes calls again"}, counts: `log_lines_total{level="ERROR"}`},
	{name: "SIGTERM", what: "stopped in order in a talk, and started again", make: deployed, short: true, says: []string{"talk left to the next process +call", "talk adopted +call"}, counts: `calls_recovered_total{result="adopted"}`},
}

// sideBySide faults are made at a time: most of a fault is waiting.
const sideBySide = 5

// program is the program, built.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	began := time.Now()
	dir, err := os.MkdirTemp("", "faults")
	if err == nil {
		program = filepath.Join(dir, "parley")
		err = stage.Build(context.Background(), program)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := flag.Set("test.parallel", fmt.Sprint(sideBySide)); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(dir)
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
				s.check(f.says, f.counts)
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
the other in a talk that went on (below 300 ms it is not counted); recovery is from the moment
in which the cause is gone to /readyz; money is charged minus the price of the talk that the phones
heard, in cents (10 are one second, and the phones' view is up to one second coarse); dropped are
talks that ended though nobody ended them.

| fault | | tries | silence | recovery | money | dropped | passed | seen |
|---|---|---|---|---|---|---|---|---|
`, "`make faults`", *commit, took.Round(time.Second))
	inOrder := slices.SortedStableFunc(slices.Values(faults), func(a, b fault) int { return cmp.Compare(a.number(), b.number()) })
	for _, f := range inOrder {
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

// number is the place of a fault in the table; those without one come last.
func (f fault) number() int {
	if n, err := strconv.Atoi(strings.TrimPrefix(f.name, "F")); err == nil {
		return n
	}
	return len(faults)
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
