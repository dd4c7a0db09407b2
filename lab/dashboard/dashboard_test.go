// Package dashboard asks Debian's Prometheus, which scrapes a program that has had calls,
// every query of docker/grafana/parley.json, and plays the alerts of docker/prometheus:
// `make dashboard-test`. Grafana itself is not asked.
package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"parley/host/client"
	"parley/lab/phone"
	"parley/lab/stage"
)

var prometheus = flag.String("prometheus", "", "where Debian's package is unpacked")

const (
	alertsFile = "../../docker/prometheus/alerts.yaml"
	testsFile  = "../../docker/prometheus/alerts_test.yaml"
	configFile = "../../docker/prometheus/prometheus.yaml"
	boardFile  = "../../docker/grafana/parley.json"

	patience = 30 * time.Second
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *prometheus == "" {
		fmt.Fprintln(os.Stderr, "say by -prometheus where it is: `make dashboard-test` does")
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// read reads a file of YAML, which JSON is too.
func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err := errors.Join(err, yaml.Unmarshal(text, into)); err != nil {
		t.Fatal(err)
	}
}

func alerts(t *testing.T) (names []string) {
	var rules struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	read(t, alertsFile, &rules)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			names = append(names, r.Alert)
		}
	}
	return names
}

// Each alert is played on series on which it must be silent, and on which it must fire.
func TestEachAlertFiresWhereItMust(t *testing.T) {
	var played struct {
		Tests []struct {
			Cases []struct {
				Alert string `yaml:"alertname"`
				Fires []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	read(t, testsFile, &played)
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range played.Tests {
		for _, c := range test.Cases {
			fires[c.Alert] = fires[c.Alert] || len(c.Fires) > 0
			silent[c.Alert] = silent[c.Alert] || len(c.Fires) == 0
		}
	}
	for _, name := range alerts(t) {
		if !fires[name] || !silent[name] {
			t.Errorf("%s is not played both ways", name)
		}
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"check", "config", "--syntax-only", "prometheus.yaml"}, {"test", "rules", "alerts_test.yaml"}} {
		cmd := exec.Command(filepath.Join(*prometheus, "usr/bin/promtool"), args...)
		cmd.Dir = filepath.Dir(alertsFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// watched is a stage, and the Prometheus that scrapes it.
type watched struct {
	*testing.T
	*stage.Stage
	ctx context.Context
	url string
}

// newWatched has Prometheus run with the configuration that is handed out, but for where the
// program is and how often it is asked.
func newWatched(t *testing.T) *watched {
	s, err := stage.Open(t.Context(), stage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	w := &watched{t, s, ctx, "http://" + s.Lab.SpareAddr()}
	rules, err := filepath.Abs(alertsFile)
	w.must(err)
	text, err := os.ReadFile(configFile)
	w.must(err)
	config := string(text)
	for handedOut, ours := range map[string]string{"127.0.0.1:9464": w.metricsAddr(), "alerts.yaml": rules, "15s": "1s"} {
		if !strings.Contains(config, handedOut) {
			t.Fatalf("%s has no %s", configFile, handedOut)
		}
		config = strings.ReplaceAll(config, handedOut, ours)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yaml")
	w.must(os.WriteFile(file, []byte(config), 0o644))
	service := s.Lab.Program("prometheus", filepath.Join(*prometheus, "usr/bin/prometheus"), []string{
		"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"), "--web.listen-address=" + s.Lab.SpareAddr(),
	}, nil, func(context.Context) error {
		if up, err := w.ask(`up{job="parley"}`); err != nil || len(up) != 1 || up[0] != 1 {
			return fmt.Errorf("it has not scraped the program: %v, %v", up, err)
		}
		return nil
	})
	w.must(service.Start(ctx))
	return w
}

func (w *watched) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// metricsAddr is where the program says that its metrics are.
func (w *watched) metricsAddr() string {
	w.Helper()
	said := regexp.MustCompile(`"msg":"metrics","addr":"([^"]+)"`).FindStringSubmatch(w.Log())
	if said == nil {
		w.Fatal("the program does not say where its metrics are")
	}
	return said[1]
}

// get asks Prometheus' API.
func (w *watched) get(path string, data any) error {
	resp, err := http.Get(w.url + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Status != "success" {
		return fmt.Errorf("%s: %s %s %w", path, resp.Status, answer.Error, err)
	}
	return nil
}

// ask is what a query gives now: a value for each series.
func (w *watched) ask(query string) (values []float64, err error) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := w.get("/api/v1/query?query="+url.QueryEscape(query), &data); err != nil {
		return nil, err
	}
	for _, series := range data.Result {
		text, _ := series.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

func (w *watched) until(what string, done func() bool) {
	w.Helper()
	for give := time.Now().Add(patience); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(give) {
			w.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// becomes waits until a query gives one value.
func (w *watched) becomes(query string, want float64) {
	w.Helper()
	w.until(fmt.Sprintf("%s is %v", query, want), func() bool {
		values, err := w.ask(query)
		return err == nil && slices.Equal(values, []float64{want})
	})
}

// anEvening is a call of which the phones report, a client who waits for its end and has
// their turn, another who leaves, and an audit.
func (w *watched) anEvening(anna *stage.Advisor) (charge int64) {
	caller, err := w.NewClient(w.ctx, "Blue Heron", "+4915110000001", 2000)
	w.must(err)
	loan, err := w.Lend(w.ctx, caller, anna)
	w.must(err)
	_, err = w.Parley(w.ctx, "advisor", "online", anna.ID)
	w.must(err)
	w.becomes("sum(parley_calls_live)", 0)
	call, err := caller.Phone.Dial(w.ctx, loan.DID)
	w.must(err)
	w.must(call.Keys(w.ctx, "#"))
	ringing, err := anna.Phone.Accept(w.ctx)
	w.must(err)
	hers, err := ringing.Answer(w.ctx)
	w.must(err)
	w.must(hers.AwaitSound(w.ctx))
	w.must(hers.Keys(w.ctx, "1"))
	w.becomes(`parley_calls_live{step="talking"}`, 1)
	w.becomes("parley_money_held", 2000)
	for _, side := range []*phone.Call{call, hers} {
		side.FarAway(60 * time.Millisecond)
	}
	waits := w.joins(anna, "+4915110000002")
	leaves := w.joins(anna, "+4915110000003")
	w.becomes("parley_queue_waiting", 2)
	w.must(leaves.LeaveQueue(w.ctx, leaves.wait))
	time.Sleep(14 * time.Second) // of talk: Asterisk and the phones report every five seconds
	w.must(call.Hangup(w.ctx))
	w.until("the second client has their turn", func() bool {
		wait, err := waits.Wait(w.ctx, waits.wait)
		w.must(err)
		return wait.State == "turn"
	})
	_, err = w.Parley(w.ctx, "ledger", "audit")
	w.must(err)
	record, err := w.LastCall(w.ctx, caller)
	w.must(err)
	w.becomes(`parley_calls_total{kind="client",disposition="completed"}`, 1)
	w.becomes("parley_audit_faults", 0)
	return record.Charge
}

type waiting struct {
	client.Client
	wait string
}

func (w *watched) joins(anna *stage.Advisor, number string) waiting {
	w.Helper()
	c, err := w.NewClient(w.ctx, "Red Fox", number, 2000)
	w.must(err)
	session, err := w.API(w.ctx, "--role", "client", "--client", c.ID)
	w.must(err)
	wait, err := session.JoinQueue(w.ctx, "join-no-1", client.QueueRequest{Advisor: anna.ID, Mode: "page"})
	w.must(err)
	return waiting{session, wait.ID}
}

// Every query of the dashboard has an answer once there was an evening on the line, of
// numbers, and what can be known otherwise is what it says. No alert fires, until Postgres
// goes away.
func TestTheDashboardShowsAnEvening(t *testing.T) {
	w := newWatched(t)
	anna, err := w.NewVerifiedAdvisor(w.ctx, "Anna")
	w.must(err)
	charge := w.anEvening(anna)

	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	read(t, boardFile, &board)
	var shown bytes.Buffer
	queries := 0
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries++
			values, err := w.ask(strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
			if err != nil || len(values) == 0 {
				t.Errorf("%s: %s: %v, %v", panel.Title, target.Expr, values, err)
			}
			if slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
				t.Errorf("%s: %s: %v", panel.Title, target.Expr, values)
			}
			fmt.Fprintf(&shown, "%-50s %.4g\n", panel.Title, values)
		}
	}
	t.Logf("%d queries:\n%s", queries, &shown)
	if queries < 40 {
		t.Errorf("only %d queries are asked", queries)
	}
	for query, want := range map[string]float64{
		"sum(parley_owner)":                                        1,
		"min(parley_up)":                                           1,
		"sum(parley_money_captured_total)":                         float64(charge),
		`sum(parley_queue_wait_seconds_count{until="turn"})`:       1,
		`sum(parley_queue_wait_seconds_count{until="left"})`:       1,
		`sum(parley_calls_total{kind="verification"})`:             1,
		"count(parley_leg_round_trip_seconds_count == 1)":          2,
		`sum(parley_leg_round_trip_seconds_bucket{le="0.05"}) < 1`: 0, // both phones are further away
	} {
		w.becomes(query, want)
	}

	if state, unwell := w.alerts(); len(state) != len(alerts(t)) || len(unwell) > 0 {
		t.Errorf("of a host that is well: %v, %v", state, unwell)
	}
	w.must(w.Lab.Postgres.Kill())
	w.until("the alert about Postgres comes up", func() bool {
		state, _ := w.alerts()
		return state["ParleyPostgresAway"] == "pending" || state["ParleyPostgresAway"] == "firing"
	})
	w.must(w.Lab.Postgres.Start(w.ctx))
	w.until("the alert about Postgres goes", func() bool {
		state, _ := w.alerts()
		return state["ParleyPostgresAway"] == "inactive"
	})
}

// alerts are the states of all; unwell those that cannot be evaluated, or are not inactive.
func (w *watched) alerts() (states map[string]string, unwell []string) {
	w.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, State, Health, LastError string }
		}
	}
	w.must(w.get("/api/v1/rules", &rules))
	states = map[string]string{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			states[r.Name] = r.State
			if r.Health != "ok" || r.State != "inactive" {
				unwell = append(unwell, fmt.Sprint(r))
			}
		}
	}
	return states, unwell
}
