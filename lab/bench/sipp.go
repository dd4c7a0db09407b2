package bench

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/template"
	"time"
)

//go:embed callers.xml
var callersXML string

//go:embed advisors.xml
var advisorsXML string

// load is one run of SIPp as the callers.
type load struct {
	design design
	rate   float64 // calls a second
	calls  int
	talk   time.Duration // after which callers hang up; they wait for us to where it is 0
	skip   int           // pairs that are in other calls
}

// seen is what the callers have seen.
type seen struct {
	calls, failed, retransmitted int
	answered                     []time.Duration // INVITE to 200, sorted
}

func (s seen) clean() bool {
	const tolerable = 100 * time.Millisecond
	return s.failed == 0 && s.calls > 0 && quantile(s.answered, 0.99) <= tolerable
}

// startAdvisors has SIPp answer every call that Asterisk sends to the carrier.
func (b *Bench) startAdvisors(ctx context.Context) error {
	scenario := filepath.Join(b.dir, "advisors.xml")
	if err := os.WriteFile(scenario, []byte(advisorsXML), 0o644); err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(b.stage.Lab.Asterisk.CarrierAddr)
	if err != nil {
		return err
	}
	b.advisors = b.sipp(ctx, "-sf", scenario, "-i", host, "-p", port, "-nostdin", "-aa", "-skip_rlimit")
	return b.advisors.Start()
}

// sipp is a SIPp that ends with this process.
func (b *Bench) sipp(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/usr/bin/sipp", args...)
	cmd.Dir = b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run has callers call, and returns when the last call is over.
func (b *Bench) run(ctx context.Context, l load) (s seen, err error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("run-%d", b.runs.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return s, err
	}
	defer os.RemoveAll(dir)
	var scenario bytes.Buffer
	if err := template.Must(template.New("").Parse(callersXML)).Execute(&scenario, map[string]any{
		"Dialled": l.design.dialled(), "Talk": l.talk.Milliseconds(),
	}); err != nil {
		return s, err
	}
	if err := os.WriteFile(filepath.Join(dir, "callers.xml"), scenario.Bytes(), 0o644); err != nil {
		return s, err
	}
	if err := b.writePeople(filepath.Join(dir, "people.csv"), l.skip); err != nil {
		return s, err
	}
	host, _, err := net.SplitHostPort(b.stage.Lab.Asterisk.CarrierAddr)
	if err != nil {
		return s, err
	}
	cmd := b.sipp(ctx, b.stage.Lab.Asterisk.SIPAddr, "-sf", "callers.xml", "-inf", "people.csv", "-i", host, "-p", freePort(host),
		"-r", fmt.Sprint(int(1000*l.rate)), "-rp", "1000000", "-m", fmt.Sprint(l.calls), "-l", fmt.Sprint(l.calls+1),
		"-nostdin", "-aa", "-skip_rlimit", "-trace_stat", "-fd", "60", "-trace_rtt", "-rtt_freq", "1")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // some calls failed, which is counted
	}
	if err != nil {
		return s, fmt.Errorf("sipp: %w: %.2000s", err, out)
	}
	return readTraces(dir)
}

// freePort is a UDP port of the carrier's that is free now.
func freePort(host string) string {
	c, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
	if err != nil {
		return "0"
	}
	defer c.Close()
	return strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port)
}

// readTraces reads what SIPp wrote about a run: totals, and each call's time to the answer.
func readTraces(dir string) (s seen, err error) {
	totals, err := readCSV(dir, "callers_*_.csv")
	if err != nil {
		return s, err
	}
	last := totals[len(totals)-1]
	count := func(column string) (n int) {
		if i := slices.Index(totals[0], column); i >= 0 {
			n, _ = strconv.Atoi(last[i])
		}
		return n
	}
	s.calls, s.failed, s.retransmitted = count("TotalCallCreated"), count("FailedCall(C)"), count("Retransmissions(C)")
	times, err := readCSV(dir, "callers_*_rtt.csv")
	if err != nil {
		return s, err
	}
	for _, row := range times[1:] {
		if ms, err := strconv.ParseFloat(row[1], 64); err == nil {
			s.answered = append(s.answered, time.Duration(ms*float64(time.Millisecond)))
		}
	}
	slices.Sort(s.answered)
	return s, nil
}

func readCSV(dir, pattern string) ([][]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) != 1 {
		return nil, fmt.Errorf("SIPp wrote %d files %s: %w", len(names), pattern, err)
	}
	text, err := os.ReadFile(names[0])
	if err != nil {
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(string(text)))
	r.Comma, r.FieldsPerRecord = ';', -1
	rows, err := r.ReadAll()
	if err == nil && len(rows) < 2 {
		err = fmt.Errorf("%s is empty", names[0])
	}
	return rows, err
}
