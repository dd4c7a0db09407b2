package stage

import (
	"context"
	"testing"
	"time"
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
