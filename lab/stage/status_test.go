package stage

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"parley/dialplan"
)

// tailing is `parley calls tail`, until it is stopped.
type tailing struct {
	*scene
	cmd   *exec.Cmd
	lines chan string
}

func (s *scene) tails(args ...string) *tailing {
	s.Helper()
	t := &tailing{s, s.stage.Command(s.ctx, append([]string{"calls", "tail"}, args...)...), make(chan string, 10_000)}
	out, err := t.cmd.StdoutPipe()
	s.must(err)
	s.must(t.cmd.Start())
	go func() {
		defer close(t.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			t.lines <- lines.Text()
		}
	}()
	return t
}

// says waits for the next line of a call: the shared stage has others.
func (t *tailing) says(of string) string {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case line, more := <-t.lines:
			if !more {
				t.Fatal("the tail has ended by itself")
			}
			if strings.Contains(line, of) {
				return line
			}
		case <-late:
			t.Fatalf("the tail says nothing of %s", of)
		}
	}
}

// stop is Ctrl-C. Nothing more was said of the call.
func (t *tailing) stop(call string) {
	t.Helper()
	t.must(t.cmd.Process.Signal(os.Interrupt))
	for line := range t.lines {
		if strings.Contains(line, call) {
			t.Errorf("it says of the call once more: %s", line)
		}
	}
	if err := t.cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C is taken for a fault: %v", err)
	}
}

// A tail tells of a call when it opens and when it ends, once each, and one that is begun
// in mid-call tells of it at once: with what the record says, and no whole number.
func TestCallsAreTailed(t *testing.T) {
	s := newScene(t, 2000)
	words, data := s.tails(), s.tails("--json")
	client, advisor := s.talk()
	var opened, ended Call
	s.must(json.Unmarshal([]byte(data.says(s.client.ID)), &opened))
	if !opened.EndedAt.IsZero() || opened.Kind != "client" || opened.Disposition != "" || opened.Charge != 0 {
		t.Errorf("a call that is up is told as %+v", opened)
	}
	masked := s.client.Number[:3] + strings.Repeat("*", len(s.client.Number)-5) + s.client.Number[len(s.client.Number)-2:]
	live := words.says(opened.ID)
	if f := strings.Fields(live); len(f) != 11 || f[0] != opened.ID || strings.Join(f[3:], " ") != "client "+masked+" talk 0s charge 0.00 EUR live" {
		t.Errorf("a call that is up is told as %q", live)
	}
	late := s.tails()
	if line := late.says(opened.ID); !strings.HasSuffix(line, " live") || !strings.Contains(line, masked) {
		t.Errorf("who comes later is told %q", line)
	}
	time.Sleep(time.Second) // of talk, to be charged
	s.must(client.Hangup(s.ctx))
	s.ends(advisor)
	call := s.recorded("completed")
	s.must(json.Unmarshal([]byte(data.says(call.ID)), &ended))
	if !ended.EndedAt.Equal(call.EndedAt) || ended.Charge != call.Charge || call.Charge == 0 || ended.Talk() != call.Talk() || ended.Disposition != "completed" {
		t.Errorf("the end is told as %+v, the record is %+v", ended, call)
	}
	for _, tail := range []*tailing{words, late} {
		line := tail.says(call.ID)
		if want := fmt.Sprintf("talk %-9v charge 0.%02d EUR  completed (client, cause 16)", call.Talk().Round(time.Second/10), call.Charge); !strings.HasSuffix(line, want) || !strings.Contains(line, masked) {
			t.Errorf("the end is told as %q, want %q", line, want)
		}
		tail.stop(call.ID)
	}
	data.stop(call.ID)
}

// The status counts what there is to count, and names the plan and the last audit. A tail
// tells of a call's end also where hundreds have come since.
func TestStatusSaysHowItIs(t *testing.T) {
	stage, anna, ctx := newStage(t)
	status := func() (is statusOf, text string) {
		t.Helper()
		text, err := stage.Parley(ctx, "status")
		if err == nil {
			err = stage.ParleyJSON(ctx, &is, "status")
		}
		if err != nil {
			t.Fatal(err)
		}
		return is, text
	}
	plan, err := dialplan.Parse([]byte(Plan))
	if err != nil {
		t.Fatal(err)
	}
	numbers := len(plan.Numbers)
	is, text := status()
	if want := fmt.Sprintf("plan      version 1\ncalls     0 open\nnumbers   %d free, 0 lent, 0 in quarantine\nqueues    0 wait, the first for 0s\naudit     none yet\n", numbers); text != want {
		t.Errorf("of a quiet host it says:\n%s\nwant:\n%s", text, want)
	}
	if is.Plan != 1 || is.Numbers["free"] != numbers || is.Calls+is.Waiting+is.Faults+len(is.Held) != 0 || is.Audited != nil {
		t.Errorf("of a quiet host it says %+v", is)
	}

	s := newSceneOn(t, ctx, stage, anna, 2000)
	_, err = stage.Parley(ctx, "advisor", "online", anna.ID)
	s.must(err)
	client, advisor := s.talk()
	waits := (&tapper{scene: s}).another()
	waits.joins("page")
	is, text = status()
	if is.Calls != 1 || is.Numbers["lent"] != 1 || is.Numbers["free"] != numbers-1 || is.Waiting != 1 || is.LongestWait <= 0 {
		t.Errorf("with a call up, and a client who waits, it says %+v", is)
	}
	for _, want := range []string{"calls     1 open\n", fmt.Sprintf("numbers   %d free, 1 lent, 0 in quarantine\n", numbers-1), "queues    1 wait, the first for ", "held      20.00 EUR\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("with a call up, and a client who waits, it does not say %q:\n%s", want, text)
		}
	}
	if len(is.Held) != 1 || is.Held["EUR"] != "20.00" {
		t.Errorf("%v is held", is.Held)
	}

	data := s.tails("--json")
	var opened, ended Call
	s.must(json.Unmarshal([]byte(data.says(s.client.ID)), &opened))
	s.manyCallsSince()
	data.says("call_zz_300")
	s.must(client.Hangup(ctx))
	s.ends(advisor)
	s.must(json.Unmarshal([]byte(data.says(opened.ID)), &ended))
	if ended.ID != opened.ID || ended.Disposition != "completed" {
		t.Errorf("its end is told as %+v", ended)
	}
	data.stop(opened.ID)

	s.audit()
	is, text = status()
	if is.Calls != 0 || len(is.Held) != 0 || is.Audited == nil || time.Since(*is.Audited) > time.Minute || is.Faults != 0 {
		t.Errorf("after the call, and an audit, it says %+v", is)
	}
	if want := "audit     0 faults, " + is.Audited.UTC().Format(time.DateTime) + "\n"; !strings.HasSuffix(text, want) {
		t.Errorf("after an audit it does not say %q:\n%s", want, text)
	}
}

// statusOf is what `parley status --json` says.
type statusOf struct {
	Plan        int64             `json:"plan"`
	Calls       int               `json:"calls_open"`
	Held        map[string]string `json:"held"`
	Numbers     map[string]int    `json:"numbers"`
	Waiting     int               `json:"waiting"`
	LongestWait float64           `json:"longest_wait_seconds"`
	Audited     *time.Time        `json:"audited"`
	Faults      int               `json:"audit_faults"`
}

// manyCallsSince writes the records of two hundred and one calls that came to nothing.
func (s *scene) manyCallsSince() {
	s.Helper()
	db, err := sql.Open("postgres", s.stage.OwnerDSN)
	s.must(err)
	defer db.Close()
	_, err = db.ExecContext(s.ctx, `
		INSERT INTO calls (id, kind, did, ani, started_at, ended_at, ended_by, disposition, cause, ring_ms, talk_ms, held, charge, advisor_share, platform_share)
		SELECT 'call_zz_' || n, 'client', '', '', now(), now(), 'client', 'not identified', 16, 0, 0, 0, 0, 0, 0 FROM generate_series(100, 300) AS n`)
	s.must(err)
}
