// Package metrics counts what happens and tells Prometheus of it. It hangs on the
// program by the small interfaces of those it watches, which know nothing of it.
//
// Amounts are whole minor units of a currency, such as cents; times are seconds. A
// counter counts from this process's start, and only what this copy of the program did;
// gauges of calls, money, numbers and queues are read from the database when asked, and
// so are the same in every copy.
package metrics

import (
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley/ivr"
	"parley/store"
)

const namespace = "parley"

// quick are the bounds of what should take no time that anyone notices, slow of what
// people do, queued of how long they wait for somebody else.
var (
	quick  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	ratios = []float64{0, .001, .005, .01, .02, .05, .1, .2, .5}
	slow   = []float64{.01, .05, .1, .5, 1, 2, 5, 10, 20, 40, 60, 300, 900, 3600}
	queued = []float64{10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400}
)

// Metrics is all that is counted. It is an [ivr.Observer].
type Metrics struct {
	registry *prometheus.Registry

	calls       *prometheus.CounterVec
	stages      *prometheus.HistogramVec
	settled     prometheus.Histogram
	talked      prometheus.Counter
	reconnected prometheus.Counter
	held        *prometheus.CounterVec
	captured    *prometheus.CounterVec
	recovered   *prometheus.CounterVec
	cut         prometheus.Counter

	bad    prometheus.Counter
	loss   *prometheus.HistogramVec
	missed *prometheus.HistogramVec
	jitter *prometheus.HistogramVec
	trip   *prometheus.HistogramVec

	commands    prometheus.Histogram
	unanswered  prometheus.Counter
	lag         prometheus.Histogram
	connections prometheus.Counter

	waited   *prometheus.HistogramVec
	lines    *prometheus.CounterVec
	requests *prometheus.HistogramVec
}

var _ ivr.Observer = (*Metrics)(nil)

// New makes the counters of a program that is of this version.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	gauge := m.gauge("build_info", "Always 1; the label says which version runs.", "version")
	gauge.WithLabelValues(version).Set(1)

	m.calls = m.counter("calls_total", "Calls that are over, by kind and by how they ended.", "kind", "disposition")
	m.stages = m.histogram("call_stage_seconds", "How long a call was in a stage.", slow, "stage")
	m.settled = m.histogram("settle_seconds", "From the end of a call to the ledger's answer that it is settled.", quick).WithLabelValues().(prometheus.Histogram)
	m.talked = m.counter("talk_seconds_total", "Talk of calls that are settled.").WithLabelValues()
	m.reconnected = m.counter("calls_reconnected_total", "Talks that were joined again after the client was lost.").WithLabelValues()
	m.held = m.counter("money_held_total", "Minor units that were set aside, of calls that are settled.", "currency")
	m.captured = m.counter("money_captured_total", "Minor units that were charged.", "currency")
	m.recovered = m.counter("calls_recovered_total", "Calls that an earlier process left, by what became of them.", "result")
	m.cut = m.counter("dead_mans_timers_total", "Talks that Asterisk's own timer ended, before the program could.").WithLabelValues()

	m.bad = m.counter("legs_bad_total", "Legs that sounded bad: 5 % loss, 50 ms of jitter, or a round trip of 400 ms.").WithLabelValues()
	m.loss = m.histogram("leg_loss_ratio", "Of a leg's packets, the share that was lost on the way to us.", ratios, "side")
	m.missed = m.histogram("leg_sent_loss_ratio", "Of the packets to a leg's phone, the share that it missed, where it reports that.", ratios, "side")
	m.jitter = m.histogram("leg_jitter_seconds", "Of what came from a leg's party.", quick, "side")
	m.trip = m.histogram("leg_round_trip_seconds", "To a leg's phone and back, where that reports it.", quick, "side")

	m.commands = m.histogram("ari_command_seconds", "Asterisk's answer to one command.", quick).WithLabelValues().(prometheus.Histogram)
	m.unanswered = m.counter("ari_commands_unanswered_total", "Commands that Asterisk did not answer.").WithLabelValues()
	m.lag = m.histogram("ari_event_lag_seconds", "An event of our own through Asterisk and back: how late events are.", quick).WithLabelValues().(prometheus.Histogram)
	m.connections = m.counter("ari_connections_total", "Events connections that came up; each but the first is a reconnection.").WithLabelValues()

	m.waited = m.histogram("queue_wait_seconds", "How long clients waited on a queue until their turn, or until they left it or it was ended before.", queued, "until")
	m.lines = m.counter("log_lines_total", "Lines of the log, by level.", "level")
	m.requests = m.histogram("http_request_seconds", "Requests over HTTP, without streams.", quick, "code")

	// What has not happened yet is 0, and not absent: a rate needs a first value.
	for _, kind := range []ivr.Kind{ivr.ClientCall, ivr.VerificationCall, ivr.CallBack, ivr.AppointmentCall} {
		for _, how := range []ivr.Disposition{ivr.Completed, ivr.Failed, ivr.Interrupted} {
			m.calls.WithLabelValues(string(kind), string(how))
		}
	}
	for _, stage := range ivr.Stages {
		if stage != ivr.Settling {
			m.stages.WithLabelValues(string(stage))
		}
	}
	for _, what := range []ivr.Recovery{ivr.Adopted, ivr.Closed, ivr.HungUpOn} {
		m.recovered.WithLabelValues(string(what))
	}
	for _, side := range []string{"client", "advisor"} {
		for _, of := range []*prometheus.HistogramVec{m.loss, m.missed, m.jitter, m.trip} {
			of.WithLabelValues(side)
		}
	}
	for _, until := range []store.WaitState{store.Turn, store.Left, store.NoFunds, store.WaitFailed} {
		m.waited.WithLabelValues(string(until))
	}
	m.requests.WithLabelValues("200")
	for _, level := range []string{"WARN", "ERROR"} {
		m.lines.WithLabelValues(level)
	}
	return m
}

// Handler answers Prometheus.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 2, Timeout: scrapeTakes})
}

// Requests counts the requests that next answers. A stream lasts as long as its page.
func (m *Metrics) Requests(next http.Handler, streams ...string) http.Handler {
	counted := promhttp.InstrumentHandlerDuration(m.requests, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(streams, r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		counted.ServeHTTP(w, r)
	})
}

// Commanded implements the ARI client's Observer, as the next two do.
func (m *Metrics) Commanded(took time.Duration, answered bool) {
	m.commands.Observe(took.Seconds())
	if !answered {
		m.unanswered.Inc()
	}
}

func (m *Metrics) Beat(took time.Duration) { m.lag.Observe(took.Seconds()) }
func (m *Metrics) Connected()              { m.connections.Inc() }

// Currency has the money of a plan's calls counted from 0 on.
func (m *Metrics) Currency(of string) {
	m.held.WithLabelValues(of)
	m.captured.WithLabelValues(of)
}

// Waited is for [store.Store.Waited].
func (m *Metrics) Waited(until store.WaitState, long time.Duration) {
	m.waited.WithLabelValues(string(until)).Observe(long.Seconds())
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, bounds []float64, labels ...string) *prometheus.HistogramVec {
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: bounds}, labels)
	m.registry.MustRegister(v)
	return v
}
