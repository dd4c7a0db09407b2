package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"parley/ivr"
	"parley/lab/phone"
)

// scraped is what a program tells Prometheus.
type scraped map[string]*dto.MetricFamily

// aboutNoCall are lines of the log about legs of which nobody knows the call.
var aboutNoCall = []string{"leg of no call is hung up"}

// everyLineNamesItsCall checks a program's log: JSON, a line each, and one about a leg
// or a bridge says of which call.
func everyLineNamesItsCall(t *testing.T, log string) {
	t.Helper()
	for text := range strings.Lines(log) {
		var line struct{ Time, Level, Msg, Call, Leg, Bridge string }
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Time == "" || line.Level == "" || line.Msg == "" {
			t.Errorf("not a line of the log: %s", text)
		}
		if line.Leg+line.Bridge != "" && !strings.HasPrefix(line.Call, "call_") && !slices.Contains(aboutNoCall, line.Msg) {
			t.Errorf("of which call? %s", text)
		}
	}
}

// scrape reads /metrics of the program whose log names its address last.
func (s *scene) scrape(p *program) scraped {
	s.Helper()
	var at string
	s.must(func() error {
		lines := p.said("metrics")
		if len(lines) == 0 {
			return fmt.Errorf("the program has not said where its metrics are")
		}
		at = lines[len(lines)-1].Addr
		return nil
	}())
	resp, err := http.Get("http://" + at + "/metrics")
	s.must(err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	s.must(err)
	return families
}

// value adds up the series of a name that have these labels: the value, or how often a
// histogram was observed.
func (m scraped) value(name string, labels ...string) (sum float64) {
	for _, series := range m[name].GetMetric() {
		has := map[string]string{}
		for _, l := range series.GetLabel() {
			has[l.GetName()] = l.GetValue()
		}
		matches := true
		for i := 0; i < len(labels); i += 2 {
			matches = matches && has[labels[i]] == labels[i+1]
		}
		if matches {
			sum += series.GetCounter().GetValue() + series.GetGauge().GetValue() + float64(series.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

// sum adds up what a histogram has observed.
func (m scraped) sum(name string) (sum float64) {
	for _, series := range m[name].GetMetric() {
		sum += series.GetHistogram().GetSampleSum()
	}
	return sum
}

// A call shows in the metrics while it is up, and when it is over with its money.
func TestACallIsCounted(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 2000)
	before := s.scrape(s.first())
	client, advisor := s.talk()
	during := s.scrape(s.first())
	if n := during.value("parley_calls_live", "step", "talking"); n != 1 {
		t.Errorf("%v calls talk", n)
	}
	if held, open := during.value("parley_money_held", "currency", "EUR"), during.value("parley_calls_open"); held <= 0 || held > 2000 || open != 1 {
		t.Errorf("%v is held for %v calls", held, open)
	}
	if lent := during.value("parley_numbers", "state", "lent"); lent != 1 {
		t.Errorf("%v numbers are lent", lent)
	}
	time.Sleep(time.Second) // of talk, to be charged
	s.must(client.Hangup(ctx))
	s.ends(advisor)
	call := s.recorded("completed")
	var after scraped
	rose := func(name string, labels ...string) float64 {
		return after.value(name, labels...) - before.value(name, labels...)
	}
	if !eventually(func() bool {
		after = s.scrape(s.first())
		return rose("parley_calls_total", "kind", "client", "disposition", "completed") == 1
	}) {
		t.Fatal("the call is not counted")
	}
	if got := rose("parley_money_captured_total", "currency", "EUR"); got != float64(call.Charge) {
		t.Errorf("captured %v, the record says %d", got, call.Charge)
	}
	if got := rose("parley_talk_seconds_total"); got < call.Talk().Seconds()-.01 || got > call.Talk().Seconds()+.01 {
		t.Errorf("talked %v, the record says %v", got, call.Talk())
	}
	for _, stage := range []string{"answer", "identify", "hold", "price", "dial", "accept", "join", "talk", "last words"} {
		if n := rose("parley_call_stage_seconds", "stage", stage); n != 1 {
			t.Errorf("stage %q was timed %v times", stage, n)
		}
	}
	if n := rose("parley_settle_seconds"); n != 1 {
		t.Errorf("%v settlements were timed", n)
	}
	for _, part := range []string{"postgres", "redis", "asterisk"} {
		if after.value("parley_up", "part", part) != 1 {
			t.Errorf("%s is said to be away", part)
		}
	}
	if after.value("parley_owner") != 1 || after.value("parley_ari_connections_total") != 1 ||
		rose("parley_ari_command_seconds") == 0 || rose("parley_ari_event_lag_seconds") == 0 {
		t.Error("Asterisk is not seen")
	}
	maps.Copy(during, after) // money is held while a call is up
	everySeriesIsThere(t, during)
}

// everySeriesIsThere checks that the dashboard and the alerts ask for nothing that a
// program which has had a call does not tell, and that each alert says what to do.
func everySeriesIsThere(t *testing.T, told scraped) {
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	var alerts struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	text, err := os.ReadFile("../../docker/grafana/parley.json")
	if err := errors.Join(err, json.Unmarshal(text, &dashboard)); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile("../../docker/prometheus/alerts.yaml")
	if err := errors.Join(err, yaml.Unmarshal(text, &alerts)); err != nil {
		t.Fatal(err)
	}
	operations, err := os.ReadFile("../../OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			asked += told.answers(t, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
		}
	}
	for _, g := range alerts.Groups {
		for _, rule := range g.Rules {
			asked += told.answers(t, rule.Expr)
			if !strings.Contains(string(operations), "| `"+rule.Alert+"` |") {
				t.Errorf("OPERATIONS.md does not say what to do at %s", rule.Alert)
			}
		}
	}
	if asked < 40 {
		t.Errorf("only %d series are asked for", asked)
	}
}

// notYet are series that nothing need have happened for: no audit was made, no answer
// was late.
var notYet = []string{"parley_audit_faults", "parley_audit_timestamp_seconds"}

// answers checks that each series of a query is told, with the labels that it names.
func (m scraped) answers(t *testing.T, query string) (asked int) {
	expr, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %v", query, err)
		return 0
	}
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		series, ok := e.(*metricsql.MetricExpr)
		if !ok {
			return
		}
		asked++
		for _, filters := range series.LabelFilterss {
			name := filters[0].Value
			base := strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")
			family := m[name]
			if family == nil && m[base].GetType() == dto.MetricType_HISTOGRAM {
				family = m[base]
			}
			if family == nil && !slices.Contains(notYet, name) {
				t.Errorf("%s: the program tells no %s", query, name)
			}
			for _, f := range filters[1:] {
				if f.Label != "job" && !slices.ContainsFunc(family.GetMetric(), func(series *dto.Metric) bool {
					return slices.ContainsFunc(series.GetLabel(), func(l *dto.LabelPair) bool {
						matches, _ := regexp.MatchString("^(?:"+f.Value+")$", l.GetValue())
						return l.GetName() == f.Label && matches != f.IsNegative
					})
				}) {
					t.Errorf("%s: no %s has %s like %s", query, name, f.Label, f.Value)
				}
			}
		}
	})
	return asked
}

// sounded is the record of a talk that goes on until Asterisk, which counts and is told
// every five seconds, has counted more than once, and how each leg of it sounded.
func (s *scene) sounded(client, advisor *phone.Call) (call Call, one, other ivr.LegQuality) {
	s.Helper()
	time.Sleep(14 * time.Second) // of talk
	s.must(client.Hangup(s.ctx))
	s.ends(advisor)
	call = s.recorded("completed")
	var shown struct{ Quality []ivr.LegQuality }
	if !eventually(func() bool {
		s.must(s.stage.ParleyJSON(s.ctx, &shown, "calls", "show", call.ID))
		return len(shown.Quality) == 2
	}) {
		s.Fatalf("how it sounded is not recorded: %+v", shown)
	}
	return call, shown.Quality[0], shown.Quality[1]
}

// A phone that loses one packet in five: the record says so, of that leg alone, and so do
// the log and the metrics. Asterisk counts every five seconds.
func TestBadSoundIsRecorded(t *testing.T) {
	s := newScene(t, 2000)
	before := s.scrape(s.first())
	client, advisor := s.talk()
	client.Loses(5)
	call, one, other := s.sounded(client, advisor)
	if one.Side != "client" || one.Loss() < .05 || one.Loss() > .25 || !one.Bad() || one.Jitter > time.Second {
		t.Errorf("the client's leg: %+v, loss %.3f", one, one.Loss())
	}
	if other.Side != "advisor" || other.Loss() > .01 || other.Received < 500 {
		t.Errorf("the advisor's leg: %+v", other)
	}
	t.Logf("of the client's packets %.1f %% were lost, says Asterisk", 100*one.Loss())
	if !strings.Contains(s.stage.Log(), `"msg":"bad sound","call":"`+call.ID+`","side":"client"`) {
		t.Error("nobody is warned")
	}
	if after := s.scrape(s.first()); after.value("parley_legs_bad_total") <= before.value("parley_legs_bad_total") ||
		after.value("parley_leg_loss_ratio", "side", "client") <= before.value("parley_leg_loss_ratio", "side", "client") {
		t.Error("the metrics do not show it")
	}
	words, err := s.stage.Parley(s.ctx, "calls", "show", call.ID)
	s.must(err)
	if !strings.Contains(words, "lost on the way to us") || !strings.Contains(words, "bad") {
		t.Errorf("shown:\n%s", words)
	}
}

// A wait on a queue is counted when it is over: by the turn that came, with how long it
// took, or by the client who left before.
func TestAWaitIsCounted(t *testing.T) {
	p := newQueuer(t, 2000)
	s := p.scene
	before := s.scrape(s.first())
	began := time.Now()
	wait, other := p.joins("page"), p.another()
	later := other.joins("page")
	if n := s.scrape(s.first()).value("parley_queue_waiting"); n != 2 {
		t.Errorf("%v wait", n)
	}
	p.must(other.session.LeaveQueue(p.ctx, later.ID))
	p.free()
	p.comesTo(wait, "turn", nextComes)
	most := time.Since(began).Seconds()
	var after scraped
	if !eventually(func() bool {
		after = s.scrape(s.first())
		return after.value("parley_queue_wait_seconds", "until", "turn") > before.value("parley_queue_wait_seconds", "until", "turn")
	}) {
		t.Fatal("the wait is not counted")
	}
	for until, want := range map[string]float64{"turn": 1, "left": 1, "no_funds": 0, "failed": 0} {
		rose := after.value("parley_queue_wait_seconds", "until", until) - before.value("parley_queue_wait_seconds", "until", until)
		if rose != want {
			t.Errorf("%v waits are counted that lasted until %s, want %v", rose, until, want)
		}
	}
	if long := after.sum("parley_queue_wait_seconds") - before.sum("parley_queue_wait_seconds"); long <= 0 || long > 2*most {
		t.Errorf("two clients waited for %v s, and all of it took %v s", long, most)
	}
	if n := after.value("parley_queue_waiting"); n != 0 {
		t.Errorf("then %v wait", n)
	}
}

// A phone that is far away and misses one packet in five says so by RTCP: the record tells
// the round trip and the loss on the way to it, of that leg alone, and so do the metrics.
// Asterisk and the phones report every five seconds.
func TestWhatAPhoneReportsIsRecorded(t *testing.T) {
	s := newScene(t, 2000)
	before := s.scrape(s.first())
	client, advisor := s.talk()
	const way = 200 * time.Millisecond
	client.Misses(5)
	client.FarAway(way)
	call, one, other := s.sounded(client, advisor)
	if one.Side != "client" || one.SentLoss() < .05 || one.SentLoss() > .25 || one.RoundTrip < way || one.RoundTrip > 10*way || !one.Bad() || one.Loss() > .01 {
		t.Errorf("the client's leg: %+v, loss %.3f to us, %.3f to them", one, one.Loss(), one.SentLoss())
	}
	if other.Side != "advisor" || other.SentLoss() > .01 || other.RoundTrip <= 0 || other.RoundTrip >= way {
		t.Errorf("the advisor's leg: %+v, loss %.3f to them", other, other.SentLoss())
	}
	t.Logf("of the packets to the client %.1f %% were missed, and the round trip is %v; to the advisor %v", 100*one.SentLoss(), one.RoundTrip, other.RoundTrip)
	words, err := s.stage.Parley(s.ctx, "calls", "show", call.ID)
	s.must(err)
	if want := fmt.Sprintf("%.1f %% on the way to them, round trip %d ms", 100*one.SentLoss(), one.RoundTrip.Milliseconds()); !strings.Contains(words, want) {
		t.Errorf("shown, without %q:\n%s", want, words)
	}
	after := s.scrape(s.first())
	for _, name := range []string{"parley_leg_round_trip_seconds", "parley_leg_sent_loss_ratio"} {
		for _, side := range []string{"client", "advisor"} {
			if after.value(name, "side", side) <= before.value(name, "side", side) {
				t.Errorf("%s does not show the %s's leg", name, side)
			}
		}
	}
}
