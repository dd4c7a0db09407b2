package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/lab"
)

// program is one copy of the program among several.
type program struct {
	*lab.Service
	s *scene
}

// first is the copy that the stage began with.
func (s *scene) first() *program { return &program{s.stage.Program, s} }

// more starts one more copy, and waits until it has said something.
func (s *scene) more(name, says string, args ...string) *program {
	s.Helper()
	p := &program{s: s}
	p.Service = s.stage.Lab.Program(name, s.stage.bin, append([]string{"serve"}, args...),
		slices.Concat(s.stage.Env, []string{"PARLEY_HTTP_ADDR=127.0.0.1:0"}), func(context.Context) error {
			if len(p.said(says)) == 0 {
				return fmt.Errorf("it has not said %q", says)
			}
			return nil
		})
	s.must(p.Start(s.ctx))
	return p
}

// line is what these tests read of a line of a program's log.
type line struct {
	Msg, HTTP, Addr string
	Gap, After      time.Duration
}

// said are the lines of a program's log with a message.
func (p *program) said(msg string) (lines []line) {
	text, _ := os.ReadFile(p.LogFile())
	for one := range strings.Lines(string(text)) {
		var l line
		if json.Unmarshal([]byte(one), &l) == nil && l.Msg == msg {
			lines = append(lines, l)
		}
	}
	return lines
}

// logged waits until one of the programs has said something for the nth time.
func (s *scene) logged(limit time.Duration, nth int, msg string, among ...*program) (*program, line) {
	s.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		for _, p := range among {
			if lines := p.said(msg); len(lines) >= nth {
				return p, lines[nth-1]
			}
		}
		if time.Now().After(end) {
			s.Fatalf("no copy has said %q for the %d. time in %v\n%s", msg, nth, limit, among[0].log())
		}
	}
}

func (p *program) log() string {
	text, _ := os.ReadFile(p.LogFile())
	return tail(string(text), 40)
}

// standsBy checks what a copy that does not serve says of itself.
func (p *program) standsBy() {
	p.s.Helper()
	_, listening := p.s.logged(patience, 1, "listening", p)
	resp, err := http.Get("http://" + listening.HTTP + "/readyz")
	p.s.must(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	p.s.must(err)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "standing by: another copy serves") {
		p.s.Errorf("/readyz of a copy that stands by: %d %s", resp.StatusCode, body)
	}
}

// answered has one more call, of another client, and checks the books.
func (s *scene) answered() {
	s.Helper()
	other := newSceneOn(s.T, s.ctx, s.stage, s.advisor, 6000)
	client, _ := other.talk()
	s.must(client.Hangup(s.ctx))
	other.recorded("completed")
	s.audit()
}

// takesOverWithin bounds a take-over from an owner that died or froze.
const takesOverWithin = 10 * time.Second

// Three copies run. The one that serves is killed in mid-talk, then the next one is
// stopped in order: nobody hears either, and the talk is charged once, in whole.
func TestCopiesTakeOverFromOneThatDiesAndOneThatStops(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 6000)
	second, third := s.more("second", "standing by"), s.more("third", "standing by")
	second.standsBy()
	third.standsBy()
	client, advisor := s.talk()
	began := s.began(client)

	s.must(stage.Program.Kill())
	owner, said := s.logged(takesOverWithin, 1, "serving", second, third)
	t.Logf("taken over from a dead copy; its log says after %v", said.Gap)
	other := third
	if owner == third {
		other = second
	}
	other.standsBy()
	s.logged(patience, 1, "talk adopted", owner)

	asked := time.Now()
	s.must(owner.Terminate(ctx))
	_, said = s.logged(takesOverWithin, 1, "serving", other)
	took := time.Since(asked)
	_, handed := s.logged(patience, 1, "handed over", owner)
	t.Logf("taken over from a copy that stopped in %v; the logs say after %v and %v", took, handed.After, said.Gap)
	if said.Gap <= 0 || said.Gap > took || took > 3*time.Second {
		s.Errorf("the hand-over took %v, the log says %v", took, said.Gap)
	}

	s.must(advisor.HearsTone(ctx, clientTone, patience))
	s.must(client.HearsTone(ctx, advisorTone, patience))
	s.must(client.Hangup(ctx))
	heard := time.Since(began)
	s.ends(advisor)
	if share := client.ToneShare(advisorTone, began, client.EndedAt()); share < 0.95 {
		s.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.near(s.recorded("completed"), heard)
	s.answered()
}

// The copy that serves is frozen for a quarter of a minute: another takes over and keeps
// on serving; the one that wakes stands by, and takes over again when it is needed.
func TestACopyThatWakesFromBeingFrozenStandsBy(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 6000)
	first, second := s.first(), s.more("second", "standing by")
	client, advisor := s.talk()
	began := s.began(client)

	s.must(first.Stop())
	froze := time.Now()
	_, said := s.logged(takesOverWithin, 1, "serving", second)
	t.Logf("taken over from a frozen copy; its log says after %v", said.Gap)
	time.Sleep(time.Until(froze.Add(15 * time.Second)))
	s.must(first.Cont())
	s.logged(patience, 1, "standing by", first)
	s.logged(patience, 1, "talk left to the next process", first)

	s.must(advisor.HearsTone(ctx, clientTone, patience))
	s.must(client.HearsTone(ctx, advisorTone, patience))
	s.must(client.Hangup(ctx))
	heard := time.Since(began)
	s.ends(advisor)
	if share := client.ToneShare(advisorTone, began, client.EndedAt()); share < 0.95 {
		s.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.near(s.recorded("completed"), heard)
	if n := len(second.said("stopping")); n != 0 {
		s.Error("the copy that had taken over was driven out")
	}
	if before, after := len(first.said("call ended")), len(second.said("call ended")); before != 1 || after != 1 {
		s.Errorf("the frozen copy ended %d calls, the other %d; want the verification and the talk", before, after)
	}

	s.must(second.Kill())
	s.logged(takesOverWithin, 2, "serving", first)
	s.answered()
}

// A deploy by hand: a newer copy stands by, unless it is told to take over; then the older
// one stands by, and the talks are the newer's.
func TestANewerCopyTakesOverWhenToldTo(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 150) // fifteen seconds
	first := s.first()
	client, advisor := s.talk()
	began := s.began(client)
	waits := s.more("waits", "standing by")
	asked := time.Now()
	newer := s.more("newer", "serving", "--take-over")
	t.Logf("started and taken over in %v; its log says after %v", time.Since(asked), newer.said("serving")[0].Gap)
	s.logged(patience, 1, "standing by", first)
	waits.standsBy()
	s.cutOff(client, advisor, began, 15*time.Second)
	if call := s.recorded("money spent"); call.Charge != 150 {
		s.Errorf("charged %d for %v", call.Charge, call.Talk())
	}
	s.audit()

	s.must(newer.Kill()) // it was no good: the others are still there
	if !eventually(func() bool { return len(waits.said("serving")) == 1 || len(first.said("serving")) == 2 }) {
		s.Error("nobody takes over")
	}
	s.answered()
}

// Postgres is gone for longer than a copy may own Asterisk without it. Nobody can take
// over, so nobody has to stop: the talk that ends meanwhile is charged in whole.
func TestPostgresKilledInTalk(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 6000)
	first, second := s.first(), s.more("second", "standing by")
	other := newSceneOn(t, ctx, stage, anna, 6000)
	client, advisor := s.talk()
	began := s.began(client)
	s.must(stage.Lab.Postgres.Kill())
	time.Sleep(4 * time.Second)
	other.hears(other.dial(), "call-back-later")
	s.must(client.HearsTone(ctx, advisorTone, patience))
	s.must(client.Hangup(ctx))
	heard := time.Since(began)
	s.ends(advisor)
	s.must(stage.Lab.Postgres.Start(ctx))
	s.near(s.recorded("completed"), heard)
	s.answered()
	if len(first.said("stopping")) != 0 || len(second.said("serving")) != 0 {
		s.Errorf("it was taken over\n%s", first.log())
	}
}
