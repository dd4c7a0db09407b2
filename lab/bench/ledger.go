package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Ledger is how many calls a second have their money held and settled, by our own code
// and by pgbench with the same statements.
type Ledger struct {
	Ways []LedgerWay
}

// LedgerWay is one way to spread the calls over clients.
type LedgerWay struct {
	Clients      int
	Ours, Theirs []float64 // pairs a second, one a round
}

const ledgerWorkers = 8

// MeasureLedger has the two take turns.
func (b *Bench) MeasureLedger(ctx context.Context, clients int) (l Ledger, err error) {
	s, err := b.open(ctx)
	if err != nil {
		return l, err
	}
	defer s.Disconnect()
	if err := b.addLedgerClients(ctx, clients); err != nil {
		return l, err
	}
	for _, spread := range []int{clients, 1} {
		way := LedgerWay{Clients: spread}
		for range b.Rounds {
			ours, err := b.ours(ctx, s, spread)
			if err != nil {
				return l, err
			}
			theirs, err := b.theirs(ctx, spread)
			if err != nil {
				return l, err
			}
			b.say("ledger over %d clients: %.0f pairs/s, pgbench %.0f", spread, ours, theirs)
			way.Ours, way.Theirs = append(way.Ours, ours), append(way.Theirs, theirs)
		}
		l.Ways = append(l.Ways, way)
	}
	return l, nil
}

// addLedgerClients adds clients with money, each with an advisor, as fast as Postgres can.
func (b *Bench) addLedgerClients(ctx context.Context, n int) error {
	series := fmt.Sprintf("FROM generate_series(0, %d) AS i", n-1)
	return b.asOwner(ctx,
		`INSERT INTO clients (id, alias, phone_sealed, phone_hash, phone_mask)
			SELECT 'cli_l' || i, 'Client', '', decode(md5('ledger' || i), 'hex'), '+49...' `+series,
		`INSERT INTO advisors (id, name) SELECT 'adv_l' || i, 'Advisor' `+series,
		`INSERT INTO accounts (id, kind, client, currency, posted, held)
			SELECT 'client/cli_l' || i, 'client', 'cli_l' || i, 'EUR', 1000000000000, 0 `+series)
}

var ledgerTerms = dialplan.Terms{
	RateName: "standard", Currency: "EUR", AdvisorPercent: 60, Language: "en", SetBy: "host",
	Rate: money.Rate{PerMinute: 600, Increment: time.Second}, Predetermined: 5 * time.Second, LongestTalk: 30 * time.Minute,
}

// ours holds and settles by the program's own store.
func (b *Bench) ours(ctx context.Context, s *store.Store, clients int) (float64, error) {
	var pairs atomic.Int64
	var all errgroup.Group
	began := time.Now()
	for range ledgerWorkers {
		all.Go(func() error {
			for time.Since(began) < b.Ledger {
				if err := holdAndSettle(ctx, s, clients); err != nil {
					return err
				}
				pairs.Add(1)
			}
			return nil
		})
	}
	err := all.Wait()
	return float64(pairs.Load()) / time.Since(began).Seconds(), err
}

func holdAndSettle(ctx context.Context, s *store.Store, clients int) error {
	o := ivr.Opening{
		Call: ivr.CallID(ivr.NewID("call")), Kind: ivr.ClientCall, DID: "+4930551", ANI: "+49...",
		Client:  ivr.ClientID(fmt.Sprint("cli_l", rand.IntN(clients))),
		Advisor: ivr.AdvisorID(fmt.Sprint("adv_l", rand.IntN(max(clients, manyAdvisors)))),
		Terms:   ledgerTerms, StartedAt: time.Now(), Least: ledgerTerms.Least(), Most: ledgerTerms.Most(),
		Concurrent: dialplan.Concurrent{All: 1 << 20, PerClient: 1 << 20, PerAdvisor: 1 << 20}, Plan: 1,
	}
	if _, err := s.Hold(ctx, o); err != nil {
		return err
	}
	const talk = 90 * time.Second
	charge := o.Terms.Rate.Charge(talk)
	return s.Close(ctx, ivr.CDR{
		Call: o.Call, Kind: o.Kind, DID: o.DID, ANI: o.ANI, Client: o.Client, Advisor: o.Advisor, Plan: o.Plan,
		StartedAt: o.StartedAt, Segments: []ivr.Segment{{JoinedAt: o.StartedAt, Talk: talk}},
		Charge: charge, Shares: money.Split(charge, 60), Disposition: ivr.Completed, Cause: ivr.NormalClearing, EndedBy: "client",
	})
}

// manyAdvisors are those of the one client: of one advisor, calls would wait for each
// other also where the clients do not.
const manyAdvisors = 10

// script is what ours asks Postgres, for pgbench.
const script = `\set id random(1, 1000000000000000)
\set client random(0, %d)
\set advisor random(0, %d)
SELECT outcome, amount FROM open_call(('{"asterisk": "", "epoch": 0, "id": "call_p' || :id || '", "kind": "client", "did": "+4930551",
"ani": "+49...", "loan": "", "client": "cli_l' || :client || '", "advisor": "adv_l' || :advisor || '", "line": "", "plan": 1,
"terms": {"rate_name": "standard", "rate": {"per_minute": 600}, "advisor_percent": 60, "currency": "EUR", "language": "en",
"predetermined_ns": 5000000000, "predetermined_by": "host", "longest_talk_ns": 1800000000000, "warnings_ns": null},
"started_at": "2026-01-01T00:00:00Z", "least": 50, "most": 18000, "all": 1048576, "per_client": 1048576, "per_advisor": 1048576}')::jsonb);
SELECT outcome, amount, percent FROM close_call(('{"asterisk": "", "epoch": 0, "id": "call_p' || :id || '", "kind": "client", "did": "+4930551",
"ani": "+49...", "loan": "", "client": "cli_l' || :client || '", "advisor": "adv_l' || :advisor || '", "line": "", "plan": 1,
"started_at": "2026-01-01T00:00:00Z", "ring_ms": 0, "talk_ms": 90000, "segments": [{"joined_at": "2026-01-01T00:00:00Z", "talk_ns": 90000000000}],
"charge": 900, "advisor_share": 540, "platform_share": 360, "disposition": "completed", "cause": 16, "ended_by": "client",
"event": {"call": "call_p' || :id || '", "outcome": "completed", "ended_by": "client", "talk_seconds": 90, "charge": 900, "share": 540}}')::jsonb, true);
`

var pgbenchSays = regexp.MustCompile(`tps = ([0-9.]+) \(without`)

// theirs has pgbench do the same, as the program's own login.
func (b *Bench) theirs(ctx context.Context, clients int) (float64, error) {
	file := filepath.Join(b.dir, "ledger.sql")
	text := fmt.Sprintf(script, clients-1, max(clients, manyAdvisors)-1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "/usr/lib/postgresql/15/bin/pgbench", "-n", "-M", "prepared", "-f", file,
		"-c", fmt.Sprint(ledgerWorkers), "-j", "2", "-T", fmt.Sprint(max(1, int(b.Ledger.Seconds()))), b.setting("PARLEY_POSTGRES_DSN"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	said := pgbenchSays.FindSubmatch(out)
	if said == nil {
		return 0, fmt.Errorf("pgbench said no rate: %s", out)
	}
	return strconv.ParseFloat(string(said[1]), 64)
}
