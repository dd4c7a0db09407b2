package stage

import (
	"context"
	"errors"
	"testing"
	"time"

	"parley/lab/phone"
)

// newStage is a stage that a test may break.
func newStage(t *testing.T) (*Stage, *Advisor, context.Context) {
	return newStageWith(t, Options{})
}

// newStageWith gives the test its time from when the stage is set: a busy machine may take
// as long again to set it.
func newStageWith(t *testing.T, o Options) (*Stage, *Advisor, context.Context) {
	t.Parallel()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		everyLineNamesItsCall(t, s.Log())
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	a, err := s.NewVerifiedAdvisor(t.Context(), "Anna")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return s, a, ctx
}

// A kill -9 in mid-talk: nobody hears it, the next process meters on, and the talk
// is charged once, in whole.
func TestProgramKilledInTalkAndStartedAgain(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 200) // twenty seconds
	client, advisor := s.talk()
	began := s.began(client)
	s.must(stage.Program.Kill())
	time.Sleep(2 * time.Second) // the talk without a program
	s.must(stage.Program.Start(ctx))
	s.must(client.HearsTone(ctx, advisorTone, patience))
	if share := client.ToneShare(advisorTone, began, time.Now()); share < 0.95 {
		s.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.hears(client, "talk-ends-in") // the new process warns
	s.cutOff(client, advisor, began, 20*time.Second)
	s.hears(client, "money-spent")
	call := s.recorded("money spent")
	if call.Charge != 200 {
		s.Errorf("charged %d for %v", call.Charge, call.Talk())
	}
	s.balance(0)
	s.audit()
}

// A kill -9 with nobody to start it again: Asterisk alone ends the talk when its
// money does, and the next start charges what was proved, no more.
func TestProgramKilledForGood(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 80) // eight seconds
	client, advisor := s.talk()
	began := s.began(client)
	s.must(stage.Program.Kill())
	s.ends(client)
	s.ends(advisor)
	for name, leg := range map[string]*phone.Call{"the client's": client, "the advisor's": advisor} {
		if over := leg.EndedAt().Sub(began) - 8*time.Second; over > 3*time.Second {
			s.Errorf("%s leg outlived the money by %v", name, over)
		}
	}
	if heard := client.ToneShare(advisorTone, began.Add(8*time.Second+500*time.Millisecond), time.Now()); heard > 0.1 {
		s.Errorf("the client heard the advisor after the money was spent: %.2f of the time", heard)
	}

	// Meanwhile who calls hears that we are sorry.
	caller := s.dial()
	s.hears(caller, "service-unavailable")
	s.ends(caller)

	s.must(stage.Program.Start(ctx))
	call := s.recorded("completed")
	if call.Charge > 80 {
		s.Errorf("charged %d for %v", call.Charge, call.Talk())
	}
	s.balance(80 - call.Charge)
	s.audit()
}

// A kill -9 while the advisor's phone rings: both legs end, nothing is charged, and
// the advisor is free for the next call.
func TestProgramKilledWhileRinging(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 2000)
	client := s.dial()
	s.must(client.Keys(ctx, "#"))
	ringing, err := anna.Phone.Accept(ctx)
	s.must(err)
	s.must(ringing.Ring())
	s.must(stage.Program.Kill())
	s.must(stage.Program.Start(ctx))
	s.ends(client)
	select {
	case <-ringing.Ended():
	case <-time.After(patience):
		s.Fatal("the advisor's phone rings on")
	}
	s.free(s.recorded("interrupted"), 2000)
	again, _ := s.talk()
	s.must(again.Hangup(ctx))
	s.recorded("completed")
	s.audit()
}

// A deploy: SIGTERM leaves the talk to the next process.
func TestProgramStoppedInTalk(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 2000)
	client, advisor := s.talk()
	began := s.began(client)
	s.must(stage.Program.Terminate(ctx))
	s.must(stage.Program.Start(ctx))
	s.must(advisor.HearsTone(ctx, clientTone, patience))
	s.must(client.Hangup(ctx))
	heard := time.Since(began)
	s.ends(advisor)
	if share := client.ToneShare(advisorTone, began, client.EndedAt()); share < 0.95 {
		s.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.near(s.recorded("completed"), heard)
	s.audit()
}

// Asterisk dies in a talk: what was proved is charged, the advisor is free again.
func TestAsteriskKilledInTalk(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 2000)
	client, advisor := s.talk()
	s.must(stage.Lab.Asterisk.Kill())
	client.Vanish()
	advisor.Vanish()
	s.must(stage.Lab.Asterisk.Start(ctx))
	call := s.recorded("completed")
	if call.Talk() > 10*time.Second {
		s.Errorf("talk of %v recorded", call.Talk())
	}
	s.balance(2000 - call.Charge)
	if !eventually(func() bool {
		_, err := s.client.Phone.Dial(ctx, "+493055599999") // of the plan or not: it is answered
		return !errors.As(err, new(*phone.Rejected)) && err == nil
	}) {
		s.Error("no call is answered after Asterisk has started again")
	}
	s.audit()
}
