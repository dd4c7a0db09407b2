package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fails runs a command that must refuse, and returns what it says.
func (s *scene) fails(args ...string) string {
	s.Helper()
	out, err := s.stage.Parley(s.ctx, args...)
	if err == nil {
		s.Fatalf("parley %s does not refuse:\n%s", strings.Join(args, " "), out)
	}
	return err.Error()
}

func (s *scene) says(want string, args ...string) string {
	s.Helper()
	out, err := s.stage.Parley(s.ctx, args...)
	s.must(err)
	if !strings.Contains(out, want) {
		s.Errorf("parley %s says nothing of %q:\n%s", strings.Join(args, " "), want, out)
	}
	return out
}

func (s *scene) file(text string) string {
	s.Helper()
	name := filepath.Join(s.TempDir(), "plan.yaml")
	s.must(os.WriteFile(name, []byte(text), 0o644))
	return name
}

// An administrator shortens an advisor's talks while one of them is up: that one
// keeps the version it began with, the next is cut off by the new limit; a bad text
// is refused with its faults, and a rollback brings the old plan back.
func TestPlanIsEditedWhileACallIsUp(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 2000)
	client, advisor := s.talk()

	limit := fmt.Sprintf("advisors:\n  %s: {longest_talk: 7s}\n", anna.ID)
	said := s.fails("plan", "save", s.file(strings.Replace(Plan, "ring: 8s", "ring: soon", 1)+"advisors: {anna: {}}\n"))
	for _, want := range []string{"limits.ring", `"soon"`, "advisors.anna", "line "} {
		if !strings.Contains(said, want) {
			s.Errorf("the refusal says nothing of %q:\n%s", want, said)
		}
	}
	s.says("1", "plan", "list") // nothing was saved
	shorter := s.file(Plan + limit)
	s.says("no faults", "plan", "check", shorter)
	s.says("+ advisors."+anna.ID+".longest_talk: 7s", "plan", "diff", shorter)
	s.says("version 2", "plan", "save", shorter, "--note", "shorter talks")
	s.says("version 2", "plan", "activate", "2")
	s.says("7s", "plan", "explain", s.client.Number, s.loan.DID)

	began := s.began(client)
	time.Sleep(time.Until(began.Add(9 * time.Second))) // beyond the new limit
	s.must(client.HearsTone(ctx, advisorTone, patience))
	s.must(client.Hangup(ctx))
	s.ends(advisor)
	s.recorded("completed")
	s.says("plan 1", "calls", "show", s.lastID())

	client, advisor = s.talk()
	s.cutOff(client, advisor, s.began(client), 7*time.Second)
	s.hears(client, "time-limit")
	if call := s.recorded("time limit"); call.Charge != 70 {
		s.Errorf("charged %d for %v", call.Charge, call.Talk())
	}
	s.says("plan 2", "calls", "show", s.lastID())

	s.says("version 1", "plan", "rollback")
	if said := s.says("30m", "plan", "explain", s.client.Number, s.loan.DID); strings.Contains(said, " 7s") {
		s.Errorf("the limit outlives its plan:\n%s", said)
	}

	// A plan that says so holds for the talk that is up, after a warning.
	client, advisor = s.talk()
	s.says("version 3", "plan", "save", s.file(strings.Replace(Plan, "live_calls: keep", "live_calls: follow", 1)+limit))
	s.says("version 3", "plan", "activate", "3")
	s.warned(client)
	s.ends(advisor)
	s.hears(client, "time-limit")
	if call := s.recorded("time limit"); call.Talk() < 7*time.Second || call.Talk() > 20*time.Second {
		s.Errorf("the talk lasted %v", call.Talk())
	}
	s.says("of plan 3 since it was activated", "calls", "show", s.lastID())
	s.audit()
}

func (s *scene) lastID() string {
	s.Helper()
	call, err := s.stage.LastCall(s.ctx, s.client)
	s.must(err)
	return call.ID
}

// What explain says is what a call does.
func TestExplainSaysWhatACallDoes(t *testing.T) {
	s := newScene(t, 40) // too little
	s.says("not enough money", "plan", "explain", s.client.Number, s.loan.DID)
	s.says("PIN is asked for", "plan", "explain", "+4915199999999", s.loan.DID)
	s.says("not among the numbers", "plan", "explain", s.client.Number, "+493055599999")
	s.says("lent to nobody", "plan", "explain", s.client.Number, "+493055500299")
}

func TestCommandsSayWhatToDoInstead(t *testing.T) {
	s := newScene(t, 0)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"client", "add", "--alias", "x", "--phone", "0151123"}, "E.164"},
		{[]string{"client", "deposit", s.client.ID, "20.00", "--payment", "p"}, "minor units"},
		{[]string{"line", "add", s.advisor.ID}, "--phone NUMBER or --sip"},
		{[]string{"line", "add", "adv_nobody", "--sip"}, "not found"},
		{[]string{"loan", "cli_nobody", s.advisor.ID}, "cli_nobody"},
		{[]string{"plan", "activate", "first"}, "parley plan list"},
		{[]string{"plan", "activate", "999"}, "not found"},
		{[]string{"calls", "show", "call_none"}, "not found"},
		{[]string{"verify", "line_none"}, "not found"},
		{[]string{"serve", "--config", "/nowhere.yaml"}, "nowhere.yaml"},
	} {
		if said := s.fails(c.args...); !strings.Contains(said, c.says) {
			s.Errorf("parley %s says nothing of %q:\n%s", strings.Join(c.args, " "), c.says, said)
		}
	}
}
