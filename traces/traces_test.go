package traces

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"parley/ivr"
)

// A call is one trace, whose ID is made from the call's; each stage is a span in the
// call's, with the times that it had; and no number is told.
func TestACallIsOneTrace(t *testing.T) {
	sent := make(chan []byte, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		sent <- body
	}))
	defer receiver.Close()
	tracer, err := New(t.Context(), receiver.URL+"/v1/traces", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now().Add(-time.Minute)
	tracer.Ended(ivr.Report{
		CDR: ivr.CDR{Call: "call_1", Kind: ivr.ClientCall, StartedAt: began, DID: "+493055500101", ANI: "+49*********01",
			Disposition: ivr.Completed, Charge: 150, Segments: []ivr.Segment{{Talk: 15 * time.Second}}},
		Currency: "EUR",
		Stages:   []ivr.Stage{{Name: ivr.Held, Began: began.Add(time.Second), Took: 10 * time.Millisecond}, {Name: ivr.Talked, Began: began.Add(2 * time.Second), Took: 15 * time.Second}},
	})
	if err := tracer.Close(); err != nil {
		t.Fatal(err)
	}
	body := <-sent
	if strings.Contains(string(body), "+49") {
		t.Error("a number is told")
	}
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(body, &request); err != nil {
		t.Fatal(err)
	}
	spans := map[string]*otlp.Span{}
	for _, s := range request.ResourceSpans[0].ScopeSpans[0].Spans {
		spans[s.Name] = s
		if id := TraceID("call_1"); string(s.TraceId) != string(id[:]) {
			t.Errorf("%s is of another trace", s.Name)
		}
	}
	call, hold, talk := spans["call"], spans["hold"], spans["talk"]
	if len(spans) != 3 || call == nil || hold == nil || talk == nil {
		t.Fatalf("spans: %v", spans)
	}
	if len(call.ParentSpanId) != 0 || string(hold.ParentSpanId) != string(call.SpanId) || string(talk.ParentSpanId) != string(call.SpanId) {
		t.Error("the stages are not within the call")
	}
	if took := talk.EndTimeUnixNano - talk.StartTimeUnixNano; took != uint64(15*time.Second) || call.EndTimeUnixNano != talk.EndTimeUnixNano ||
		call.StartTimeUnixNano != uint64(began.UnixNano()) {
		t.Errorf("the talk took %v, the call from %d to %d", time.Duration(took), call.StartTimeUnixNano, call.EndTimeUnixNano)
	}
	if !strings.Contains(call.String(), `"parley.disposition"`) || !strings.Contains(call.String(), `"completed"`) {
		t.Errorf("the call's span: %v", call)
	}
}

// A collector that is away costs no call anything.
func TestACollectorThatIsAwayHoldsNothingUp(t *testing.T) {
	tracer, err := New(t.Context(), "http://127.0.0.1:1/v1/traces", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 10_000 {
		tracer.Ended(ivr.Report{CDR: ivr.CDR{Call: "call_1"}, Stages: make([]ivr.Stage, 10)})
	}
	_ = tracer.Close() // which says that it could not send
	if took := time.Since(began); took > 2*flushTakes {
		t.Errorf("it took %v", took)
	}
}
