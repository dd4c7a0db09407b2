package stage

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"parley/ivr"
	"parley/lab/phone"
	"parley/traces"
)

// collected is what an OpenTelemetry collector has been told.
type collected struct {
	*httptest.Server
	mu    sync.Mutex
	asked int // how often
	spans []*otlp.Span
}

func newCollector(t *testing.T) *collected {
	c := &collected{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var told collector.ExportTraceServiceRequest
		body, err := io.ReadAll(r.Body)
		if err := errors.Join(err, proto.Unmarshal(body, &told)); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked++
		for _, resource := range told.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				c.spans = append(c.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// of are the spans of a call's trace, in the order in which they began.
func (c *collected) of(call string) (spans []*otlp.Span) {
	id := traces.TraceID(ivr.CallID(call))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if string(s.TraceId) == string(id[:]) {
			spans = append(spans, s)
		}
	}
	slices.SortStableFunc(spans, func(a, b *otlp.Span) int { return int(int64(a.StartTimeUnixNano - b.StartTimeUnixNano)) })
	return spans
}

func (c *collected) count() (asked, spans int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked, len(c.spans)
}

// A call by a PIN, from a telephone that is not the client's, is one trace at the collector:
// each stage a span within the call's, which has the call's ID and what the record says, and
// no number nor key. Where no collector is set none is told, whatever the environment says.
func TestACallIsOneTraceAtTheCollector(t *testing.T) {
	told := newCollector(t)
	stage, anna, ctx := newStageWith(t, Options{Settings: func(*Stage) ([]string, error) {
		return []string{"PARLEY_TRACES_ENDPOINT=" + told.URL + "/v1/traces"}, nil
	}})
	s := newSceneOn(t, ctx, stage, anna, 2000)
	const from = "+4915199999998"
	call := s.talkByPIN(from)
	if !eventually(func() bool { return len(told.of(call.ID)) > 0 }) {
		t.Fatal("the collector is not told of the call")
	}
	spans := told.of(call.ID)
	whole, stages := spans[0], spans[1:]
	if whole.Name != "call" || len(whole.ParentSpanId) != 0 {
		t.Fatalf("the first span is %v", whole)
	}
	var names []string
	for _, span := range stages {
		names = append(names, span.Name)
		if string(span.ParentSpanId) != string(whole.SpanId) || span.StartTimeUnixNano < whole.StartTimeUnixNano || span.EndTimeUnixNano > whole.EndTimeUnixNano {
			t.Errorf("stage %q is not within the call", span.Name)
		}
		took := time.Duration(span.EndTimeUnixNano - span.StartTimeUnixNano)
		if off := took - call.Talk(); span.Name == "talk" && (off < -time.Second || off > time.Second) {
			t.Errorf("the talk took %v, the record says %v", took, call.Talk())
		}
		if len(span.Attributes) > 0 {
			t.Errorf("stage %q says %v", span.Name, span.Attributes)
		}
	}
	slices.Sort(names) // the last two are at once
	if want := []string{"accept", "answer", "dial", "hold", "identify", "join", "last words", "price", "settle", "talk"}; !slices.Equal(names, want) {
		t.Errorf("its stages are %q, want %q", names, want)
	}
	says := map[string]*common.AnyValue{}
	var keys []string
	for _, a := range whole.Attributes {
		says[a.Key] = a.Value
		keys = append(keys, strings.TrimPrefix(a.Key, "parley."))
	}
	slices.Sort(keys)
	if want := []string{"advisor", "call", "cause", "charge", "currency", "disposition", "ended_by", "handed_over", "kind", "plan", "talk_seconds"}; !slices.Equal(keys, want) {
		t.Errorf("of the call it says %q, want %q", keys, want)
	}
	if id, how, charge := says["parley.call"].GetStringValue(), says["parley.disposition"].GetStringValue(), says["parley.charge"].GetIntValue(); id != call.ID || how != "completed" || charge != call.Charge {
		t.Errorf("it says of %s that it was %s, and cost %d; the record is %+v", id, how, charge, call)
	}
	for _, span := range spans {
		for name, secret := range map[string]string{"the client's number": s.client.Number, "the caller's": from, "ours": s.loan.DID, "the PIN": s.loan.PIN} {
			if strings.Contains(span.String(), strings.TrimPrefix(secret, "+")) {
				t.Errorf("a span tells %s: %v", name, span)
			}
		}
	}

	s.must(stage.Program.Terminate(ctx)) // which sends what is left
	asked, all := told.count()
	if again := told.of(call.ID); len(again) != len(spans) {
		t.Errorf("the trace has grown to %d spans from %d", len(again), len(spans))
	}
	if all == 0 || asked == 0 {
		t.Fatal("the collector counts nothing")
	}
	silent := stage.Another("untraced", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + told.URL}, func(context.Context) error { return nil })
	s.must(silent.Start(ctx))
	s.logged(patience, 1, "serving", &program{silent, s})
	s.talkByPIN(from)
	s.must(silent.Terminate(ctx))
	if now, _ := told.count(); now != asked {
		t.Errorf("a collector that is not set was told %d times", now-asked)
	}
}

// talkByPIN is a short talk by keying the PIN, from any number.
func (s *scene) talkByPIN(from string) Call {
	s.Helper()
	client := s.dial(phone.CallerNumber(from))
	s.hears(client, "enter-pin")
	advisor := s.accepted(client, s.loan.PIN)
	client.Tone(clientTone)
	s.must(advisor.HearsTone(s.ctx, clientTone, patience))
	s.must(client.Hangup(s.ctx))
	s.ends(advisor)
	return s.recorded("completed")
}
