package faults

import (
	"time"
)

// kill ends the program at once; for a trap, what it has just said does not get through.
func (s *scene) kill() (pass bool) {
	if err := s.Program.Kill(); err != nil {
		s.Error(err)
	}
	return false
}

// await waits for a trap.
func (s *scene) await(sprung <-chan struct{}) {
	s.Helper()
	select {
	case <-sprung:
	case <-time.After(patience):
		s.Fatalf("the program has not come so far\n%s", s.tail())
	}
}

// apologised checks that a caller in a dead program's hands hears why, from the dialplan.
func (p *pair) apologised() {
	p.s.Helper()
	p.s.hears(p.c, patience, "service-unavailable")
	p.s.ends(p.c)
}

func killedBeforeTheHold(s *scene) {
	dead := s.postgres.When("open_call", s.kill)
	p := s.caller(plenty).dials()
	s.await(dead)
	s.restart()
	p.apologised()
	p.neverRung()
	if r := p.record(); r.id != "" {
		s.Errorf("a call was recorded: %+v", r)
	}
}

func killedBeforeDialling(s *scene) {
	dead := s.asterisk.When(".advisor-1 HTTP", s.kill)
	p := s.caller(plenty).dials().skips()
	s.await(dead)
	s.restart()
	p.apologised()
	p.neverRung()
	p.recorded("interrupted")
}

func killedBeforeTheReply(s *scene) {
	dialled := s.asterisk.When(".advisor-1 HTTP", func() bool {
		go s.asterisk.Freeze() // the command passes, its reply does not
		return true
	})
	p := s.caller(plenty).dials().skips()
	s.await(dialled)
	ringing := p.rings()
	s.kill()
	s.asterisk.Heal()
	s.restart()
	select {
	case <-ringing.Ended():
	case <-time.After(patience):
		s.Error("the advisor's phone rings on")
	}
	p.apologised()
	p.neverRung() // a second time
	p.recorded("interrupted")
}

func killedBeforeTheBridge(s *scene) {
	dead := s.asterisk.When("POST /ari/bridges/", s.kill)
	p := s.caller(plenty).dials().skips().answers()
	s.must(p.a.Keys(s.ctx, "1"))
	s.await(dead)
	s.restart()
	p.apologised()
	s.ends(p.a)
	p.recorded("interrupted")
}

func killedInTalk(s *scene) {
	p := s.talk(plenty)
	s.kill()
	time.Sleep(5 * time.Second) // the talk without a program
	s.restart()
	s.says("talk adopted", 1)
	p.hearStill()
	p.hangUp()
	r := p.recorded("completed")
	if heard := p.over.Sub(p.began); r.talk < heard-time.Second || r.talk > heard+time.Second {
		s.Errorf("talk of %v recorded, they heard each other for %v", r.talk, heard)
	}
}

func killedForGood(s *scene) {
	p := s.talk(80) // eight seconds
	s.kill()
	s.ends(p.c)
	s.ends(p.a)
	late := s.caller(plenty).dials() // meanwhile
	late.apologised()
	s.restart()
	p.recorded("completed")
}

func killedAfterSettling(s *scene) {
	p := s.talk(50) // five seconds
	s.until("the call is settled", func() bool { return p.record().ended })
	select {
	case <-p.c.Ended():
		s.Error("the client was hung up before the program could be killed")
	default:
	}
	s.kill()
	s.restart()
	s.ends(p.c)
	s.ends(p.a)
	p.recorded("money spent")
}
