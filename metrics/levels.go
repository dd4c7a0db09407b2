package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"parley/ivr"
	"parley/store"
)

// Sources are asked when Prometheus asks.
type Sources struct {
	Store    *store.Store
	Plan     func(context.Context) (dids []string, currency string, err error) // in force
	Owner    func() bool                                                       // Asterisk is this copy's
	Asterisk func() bool                                                       // it is connected
	Service  func() *ivr.Service                                               // nil while none answers calls
}

const (
	scrapeTakes = 8 * time.Second
	sourceTakes = 2 * time.Second // for each that may not answer
)

// Watch adds what is asked for when Prometheus asks.
func (m *Metrics) Watch(s Sources) {
	describe := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	m.registry.MustRegister(&levels{
		Sources:     s,
		up:          describe("up", "Whether a part answers, as this copy of the program sees it.", "part"),
		owner:       describe("owner", "1 where Asterisk is this copy's, 0 where it stands by."),
		live:        describe("calls_live", "Calls that this copy runs, by how far they have come.", "step"),
		unsettled:   describe("calls_unsettled", "Calls that are over and that the ledger could not settle yet."),
		open:        describe("calls_open", "Calls that are held and not settled, in the ledger."),
		held:        describe("money_held", "Minor units that are set aside for open calls.", "currency"),
		numbers:     describe("numbers", "Numbers of the plan: free, lent, or in quarantine after a loan.", "state"),
		waiting:     describe("queue_waiting", "Clients who wait on a queue."),
		wait:        describe("queue_longest_wait_seconds", "For how long the first of them has waited."),
		auditAt:     describe("audit_timestamp_seconds", "When the ledger was last audited."),
		auditFaults: describe("audit_faults", "Faults that the last audit found."),
		connections: describe("postgres_connections", "Connections to Postgres that are in use, and the most that may be.", "state"),
	})
}

type levels struct {
	Sources
	up, owner, live, unsettled *prometheus.Desc
	open, held, numbers        *prometheus.Desc
	waiting, wait              *prometheus.Desc
	auditAt, auditFaults       *prometheus.Desc
	connections                *prometheus.Desc
}

func (l *levels) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(l, to) }

// Collect reads each source; of one that does not answer nothing is said but that.
func (l *levels) Collect(to chan<- prometheus.Metric) {
	say := func(of *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(of, prometheus.GaugeValue, value, labels...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), sourceTakes)
	defer cancel()
	l.own(say)
	say(l.up, number(l.Store.PingRedis(ctx) == nil), "redis")
	say(l.up, number(l.fromStore(ctx, say) == nil), "postgres")
}

// own is what this copy knows by itself.
func (l *levels) own(say func(*prometheus.Desc, float64, ...string)) {
	say(l.owner, number(l.Owner()))
	say(l.up, number(l.Asterisk()), "asterisk")
	used, most := l.Store.Connections()
	say(l.connections, float64(used), "used")
	say(l.connections, float64(most), "most")
	steps, unsettled := map[ivr.Step]int{}, 0
	for _, step := range ivr.Steps {
		steps[step] = 0
	}
	if service := l.Service(); service != nil {
		unsettled = service.Unsettled()
		for _, call := range service.Calls() {
			steps[call.Step]++
		}
	}
	say(l.unsettled, float64(unsettled))
	for step, n := range steps {
		say(l.live, float64(n), string(step))
	}
}

// fromStore is what the database knows.
func (l *levels) fromStore(ctx context.Context, say func(*prometheus.Desc, float64, ...string)) error {
	of, err := l.Store.Levels(ctx)
	if err != nil {
		return err
	}
	say(l.open, float64(of.OpenCalls))
	dids, currency, planErr := l.Plan(ctx)
	if planErr == nil {
		of.Held[currency] += 0 // where nothing is held, that is told
	}
	for currency, amount := range of.Held {
		say(l.held, float64(amount), currency)
	}
	say(l.waiting, float64(of.Waiting))
	say(l.wait, of.LongestWait.Seconds())
	last, err := l.Store.Audits(ctx, 1, 0)
	if err != nil {
		return err
	}
	if len(last) > 0 {
		say(l.auditAt, float64(last[0].At.Unix()))
		say(l.auditFaults, float64(last[0].Count))
	}
	if planErr != nil {
		return nil // no plan is active, which Postgres cannot help
	}
	states, err := l.Store.NumberStates(ctx, dids)
	if err != nil {
		return err
	}
	count := map[string]int{"free": 0, "lent": 0, "quarantine": 0}
	for _, s := range states {
		count[s.State()]++
	}
	for state, n := range count {
		say(l.numbers, float64(n), state)
	}
	return nil
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
