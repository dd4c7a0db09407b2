// Package traces tells an OpenTelemetry collector of each call that is over: a trace a
// call, a span a stage, over OTLP/HTTP. It hangs on package ivr as an observer.
//
// A trace's ID is made from the call's, so that whoever has one finds the other, and a
// talk that two processes carried is one trace. No span holds a telephone number.
package traces

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"parley/ivr"
)

// flushTakes bounds the wait for the last traces when the program ends.
const flushTakes = 3 * time.Second

// Tracer is an [ivr.Observer]. Spans that the collector does not take in time are
// dropped: no call waits for it.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

var _ ivr.Observer = (*Tracer)(nil)

// New makes a tracer for a collector such as http://127.0.0.1:4318/v1/traces. It does
// not wait for it.
func New(ctx context.Context, endpoint, version string, log *slog.Logger) (*Tracer, error) {
	to, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint))
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	otel.SetErrorHandler(&errorLog{log: log})
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(to),
		sdk.WithIDGenerator(idsOfCall{}),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "parley"), attribute.String("service.version", version))),
	)
	return &Tracer{provider, provider.Tracer("parley/ivr")}, nil
}

// Close sends what is left.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTakes)
	defer cancel()
	return t.provider.Shutdown(ctx)
}

// Ended implements [ivr.Observer].
func (t *Tracer) Ended(r ivr.Report) {
	end := r.StartedAt
	for _, s := range r.Stages {
		if over := s.Began.Add(s.Took); over.After(end) {
			end = over
		}
	}
	ctx, call := t.tracer.Start(context.WithValue(context.Background(), callKey{}, r.Call), "call",
		trace.WithTimestamp(r.StartedAt), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes(r)...))
	for _, s := range r.Stages {
		_, span := t.tracer.Start(ctx, string(s.Name), trace.WithTimestamp(s.Began))
		span.End(trace.WithTimestamp(s.Began.Add(s.Took)))
	}
	if r.Disposition == ivr.Failed {
		call.SetStatus(codes.Error, "the log says why")
	}
	call.End(trace.WithTimestamp(end))
}

func attributes(r ivr.Report) []attribute.KeyValue {
	var talk time.Duration
	for _, s := range r.Segments {
		talk += s.Talk
	}
	return []attribute.KeyValue{
		attribute.String("parley.call", string(r.Call)),
		attribute.String("parley.kind", string(r.Kind)),
		attribute.String("parley.disposition", string(r.Disposition)),
		attribute.Int("parley.cause", int(r.Cause)), // Q.850
		attribute.String("parley.ended_by", r.EndedBy),
		attribute.String("parley.advisor", string(r.Advisor)),
		attribute.Int64("parley.plan", r.Plan),
		attribute.Float64("parley.talk_seconds", talk.Seconds()),
		attribute.Int64("parley.charge", int64(r.Charge)), // minor units
		attribute.String("parley.currency", r.Currency),
		attribute.Bool("parley.handed_over", r.HandedOver),
	}
}

// Staged and Recovered implement [ivr.Observer]: a report holds all stages.
func (t *Tracer) Staged(ivr.Kind, ivr.Stage) {}
func (t *Tracer) Recovered(ivr.Recovery)     {}

type callKey struct{}

// idsOfCall makes a trace's ID from its call's.
type idsOfCall struct{}

// TraceID is the ID of a call's trace.
func TraceID(call ivr.CallID) (id trace.TraceID) {
	sum := sha256.Sum256([]byte(call))
	copy(id[:], sum[:])
	return id
}

func (idsOfCall) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	call, _ := ctx.Value(callKey{}).(ivr.CallID)
	return TraceID(call), newSpanID()
}

func (idsOfCall) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

func newSpanID() (id trace.SpanID) {
	rand.Read(id[:]) // never fails, by its documentation
	return id
}

// errorLog logs that a collector does not answer, but not each time.
type errorLog struct {
	log *slog.Logger

	mu   sync.Mutex
	said time.Time
}

const sayAgain = time.Minute

func (e *errorLog) Handle(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if time.Since(e.said) < sayAgain || errors.Is(err, context.Canceled) {
		return
	}
	e.said = time.Now()
	e.log.Warn("traces are not sent", "err", err)
}
