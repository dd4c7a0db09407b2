package metrics

import (
	"parley/ivr"
)

// Staged implements [ivr.Observer].
func (m *Metrics) Staged(_ ivr.Kind, stage ivr.Stage) {
	if stage.Name == ivr.Settling {
		m.settled.Observe(stage.Took.Seconds())
		return
	}
	m.stages.WithLabelValues(string(stage.Name)).Observe(stage.Took.Seconds())
}

// Ended implements [ivr.Observer]. What is handed over is counted by who settles it.
func (m *Metrics) Ended(r ivr.Report) {
	if r.HandedOver {
		return
	}
	m.calls.WithLabelValues(string(r.Kind), string(r.Disposition)).Inc()
	if r.CutBySwitch {
		m.cut.Inc()
	}
	m.reconnected.Add(float64(max(0, len(r.Segments)-1)))
	for _, s := range r.Segments {
		m.talked.Add(s.Talk.Seconds())
	}
	for _, q := range r.Quality {
		m.loss.WithLabelValues(q.Side).Observe(q.Loss())
		m.jitter.WithLabelValues(q.Side).Observe(q.Jitter.Seconds())
		if q.RoundTrip > 0 { // the phone reports
			m.trip.WithLabelValues(q.Side).Observe(q.RoundTrip.Seconds())
			m.missed.WithLabelValues(q.Side).Observe(q.SentLoss())
		}
		if q.Bad() {
			m.bad.Inc()
		}
	}
	if r.Currency != "" {
		m.held.WithLabelValues(r.Currency).Add(float64(r.Held))
		m.captured.WithLabelValues(r.Currency).Add(float64(r.Charge))
	}
}

// Recovered implements [ivr.Observer].
func (m *Metrics) Recovered(what ivr.Recovery) { m.recovered.WithLabelValues(string(what)).Inc() }
