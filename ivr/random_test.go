package ivr_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"parley/ivr/ivrtest"
)

var (
	seeds = flag.Int("seeds", 5000, "how many random calls TestTown plays")
	first = flag.Uint64("seed", 0, "the first of them")
)

// TestTown plays many random calls, half of them in a town where answers are lost and
// programs die at any step, and checks what must hold of every one of them: one CDR, no
// leg left up, no money made or lost, no talk beyond its money, and a charge for the
// time in which both could hear each other and for nothing else. A seed replays.
func TestTown(t *testing.T) {
	var next atomic.Uint64
	next.Store(*first)
	for range runtime.GOMAXPROCS(0) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			for !t.Failed() {
				seed := next.Add(1) - 1
				if seed >= *first+uint64(*seeds) {
					return
				}
				setup := randomScene(rand.New(rand.NewPCG(seed, 0)))
				var town *ivrtest.Town
				synctest.Test(t, func(t *testing.T) { town = play(t, setup) })
				checkTown(t, town, fmt.Sprintf("# seed %d\n%s", seed, setup))
			}
		})
	}
}

func randomScene(r *rand.Rand) (setup string) {
	say := func(format string, args ...any) { setup += fmt.Sprintf(format, args...) + "\n" }
	sometimes := func(oneIn int) bool { return r.IntN(oneIn) == 0 }
	// Times with odd milliseconds, so that few things happen at one instant.
	at := func(most int) string { return fmt.Sprintf("%dms", 100+r.IntN(most*1000)) }

	say("balance %d", r.IntN(1500))
	if sometimes(2) {
		say("rate 199 1s")
	}
	if sometimes(3) {
		say("longest %ds", 120+r.IntN(600))
	}
	if sometimes(6) {
		say("script call-back")
	}
	if sometimes(2) {
		say("card %s", pick(r, "ok", "declined", "lost"))
		say("client keys %s", pick(r, "- 1", "- - 1", "- 1 1 1", "- 2 1"))
		say("client thinks %s", at(9))
	}
	if sometimes(3) {
		say("rated %s", at(120))
	}
	if sometimes(8) {
		say("appointment at %ds until %ds length %ds", r.IntN(120)-60, r.IntN(200)-20, 120+r.IntN(200))
	}
	if sometimes(8) {
		say("next-appointment at %ds", 100+r.IntN(400))
	}
	if sometimes(5) {
		say("plan longest %ds %s after %s", 30+r.IntN(600), pick(r, "follow", "keep"), at(400))
	}
	if sometimes(12) {
		say("host ends after %s", at(300))
	}
	if sometimes(8) {
		say("loan %s", pick(r, "none", "expired"))
	}
	if sometimes(12) {
		say("line unverified")
	}
	if sometimes(12) {
		say("ledger %s", pick(r, "down", "client-busy", "advisor-busy", "all-busy"))
	}
	if sometimes(3) {
		say("deposit %d after %s", 1+r.IntN(900), at(600))
	}
	if sometimes(6) {
		say("close-fails %d", 1+r.IntN(4))
	}
	if sometimes(4) {
		say("client calls-from withheld")
		say("client keys %s", pick(r, "471100", "1 471100", "1 2 471100", "1 2 3", "- 471100", "-"))
	}
	if sometimes(2) {
		say("client %s %s", pick(r, "hangs-up", "vanishes"), at(700))
	}
	say("advisor %s", pick(r, "busy", "never", "unreachable", "declines 3s", "answers 2s", "answers 3s", "answers 10s", "answers 19s", "answers 25s"))
	say("advisor keys %s", pick(r, "1", "1 1", "1 1 1", "1 2", "5 1", "2", "-"))
	say("called %s", pick(r, "never", "busy", "answers 3s", "answers 9s"))
	say("called keys %s", pick(r, "1", "1 -", "1 - 1", "2", "-"))
	say("called thinks %s", at(8))
	say("advisor thinks %s", at(12))
	if sometimes(3) {
		say("advisor %s %s", pick(r, "hangs-up", "vanishes"), at(700))
	}
	if sometimes(2) {
		say("faults %d", 1+r.IntN(1<<30))
	}
	if sometimes(6) {
		say("program dies-at line %d restarts %s", 1+r.IntN(25), at(900))
	} else if sometimes(3) {
		ends := 100 + r.IntN(300_000)
		say("program %s %dms restarts %dms", pick(r, "dies", "dies", "stops"), ends, ends+1+r.IntN(900_000))
	}
	return setup
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }
