package ivr_test

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A talk is one goroutine that waits. The runtime gives half of a stack back where less than
// a quarter is in use, of 8 kB some 1.2: one frame too much on the way to [Service.watch]
// and every talk costs 4 kB more.
func TestATalkKeepsAHalvedStack(t *testing.T) {
	const talks = 2000
	most := 4 << 10
	if raceDetector() { // its frames are larger
		most = 16 << 10
	}
	synctest.Test(t, func(t *testing.T) {
		before := stacks()
		var ends []func()
		for range talks {
			s := newScene()
			s.town.Balance = 10_000
			s.inForce.Store(&s.plan)
			program := s.town.Program()
			service, stop := s.service(program)
			ends = append(ends, func() { stop(); program.Die() })
			go service.Serve(program.View(s.town.PickUp(s.town.Client, "sip-1")), did, s.ani)
		}
		time.Sleep(time.Minute)
		each := (stacks() - before) / talks
		for _, end := range ends {
			end()
		}
		time.Sleep(time.Minute)
		t.Logf("%d bytes of stack a talk", each)
		if each > most+most/8 {
			t.Errorf("%d bytes of stack a talk, and %d were meant to do", each, most)
		}
	})
}

// stacks is what all stacks hold, each as small as the runtime makes it: it halves them once
// in a collection.
func stacks() int {
	synctest.Wait()
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.StackInuse)
}

func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
