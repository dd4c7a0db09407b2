package store

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/lab"
)

// grown are the tables that have more rows with every call, client or day.
const grown = `accounts|answers|appointments|call_ends|calls|challenges|clients|deliveries|events|hold_resolutions|holds|leg_quality|loans|placements|ratings|segments|sign_ins|tokens|transfers|waits`

var (
	readWhole = regexp.MustCompile(`Seq Scan on (` + grown + `)\b`)
	inVain    = regexp.MustCompile(`Scan[^\n]* on (` + grown + `)\b[^\n]*(?:\n\s+[A-Z][a-z]+ Cond: [^\n]*)*\n\s+Filter: [^\n]*\n\s+Rows Removed by Filter: (\d+)`)
	oneOf     = regexp.MustCompile(`Scan[^\n]* on (` + grown + `)\b`)
)

// In a database of many clients and calls nothing that a call, a page or the looking for
// something to do asks reads a whole table that grows, nor much of one in vain: Postgres
// explains each statement, those inside functions and triggers too, while all of it is done
// once.
func TestNothingThatIsAskedOftenReadsAllCalls(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	const many = 20_000
	super := h.superuser()
	super.SetMaxOpenConns(1) // what is SET is the connection's
	h.must(lab.Fill(ctx, super.DB, 0, many))
	h.must(fillRest(super, many, h.advisor))
	login := parse(t, h.dsn).User.Username()
	for _, setting := range []string{"session_preload_libraries = 'auto_explain'", "auto_explain.log_min_duration = 0", "auto_explain.log_nested_statements = on", "auto_explain.log_analyze = on"} {
		_, err := super.Exec(fmt.Sprintf(`ALTER ROLE %q SET %s`, login, setting))
		h.must(err)
	}
	log := filepath.Join(filepath.Dir(exchange.Dir()), "postgres.log")
	before, err := os.ReadFile(log)
	h.must(err)
	h.Store = h.open(h.dsn)
	h.must(doAllOnce(h))
	after, err := os.ReadFile(log)
	h.must(err)

	database := "@" + strings.TrimPrefix(parse(t, h.dsn).Path, "/") + " "
	explained, met := 0, map[string]bool{}
	for _, entry := range regexp.MustCompile(`\n(?:[^\t])`).Split(string(after[len(before):]), -1) {
		head, plan, found := strings.Cut(entry, "plan:\n")
		if !found || !strings.Contains(head, database) {
			continue
		}
		explained++
		for _, scan := range oneOf.FindAllStringSubmatch(plan, -1) {
			met[scan[1]] = true
		}
		if readWhole.MatchString(plan) {
			t.Errorf("it reads a whole table that grows:\n%s", plan)
		}
		for _, scan := range inVain.FindAllStringSubmatch(plan, -1) {
			if n, err := strconv.Atoi(scan[2]); err != nil || n > 50 {
				t.Errorf("it reads %s rows of %s that it does not want:\n%s", scan[2], scan[1], plan)
			}
		}
	}
	t.Logf("%d statements were explained; they touch %d of the tables that grow", explained, len(met))
	if explained < 100 || len(met) < 12 {
		t.Errorf("only %d statements were explained, which touch only %v", explained, met)
	}
}

// fillRest adds what [lab.Fill] does not: loans that are over, waits, answers and the like,
// most of them an advisor's who has long been there.
func fillRest(super *sqlx.DB, many int, advisor ivr.AdvisorID) error {
	series := fmt.Sprintf("FROM generate_series(0, %d) AS i", many-1)
	const ago = `now() - interval '1 year' + i * interval '20 min'`
	whose := fmt.Sprintf("CASE WHEN i %% 4 = 0 THEN 'adv_s' || i / 100 * 100 ELSE '%s' END", advisor)
	for _, statement := range []string{
		`SET session_replication_role = replica`,
		`INSERT INTO loans (id, did, client, advisor, line, topic, pin_hash, made_at, until, kept_until, reserves)
			SELECT 'loan_s' || i, '+493055' || i % 50, 'cli_s' || i, ` + whose + `, 'line', '', '', ` + ago + `, ` + ago + ` + interval '1 min',
				` + ago + ` + interval '2 min', true ` + series,
		`INSERT INTO waits (id, client, advisor, mode, topic, country, state, ended_at)
			SELECT 'wait_s' || i, 'cli_s' || i, ` + whose + `, 'page', '', '', 'left', ` + ago + ` ` + series,
		`INSERT INTO placements (loan, kind, until, ended_at, disposition) SELECT 'loan_s' || i, 'call back', ` + ago + `, ` + ago + `, 'missed' ` + series,
		`INSERT INTO answers (token, key, request_hash, answer_sealed) SELECT 'tok_s', 'key' || i, '', '' ` + series,
		`INSERT INTO leg_quality (call, leg, side, received, lost, sent, sent_lost, jitter_us, round_trip_us)
			SELECT 'call_s' || i, 1, 'client', 100, 0, 100, 0, 0, 0 ` + series,
		`INSERT INTO sign_ins (id, phone_hash, code_hash, until) SELECT 'sign_s' || i, decode(md5('sign' || i), 'hex'), '', ` + ago + ` ` + series,
		`INSERT INTO appointments (id, client, advisor, mode, starts_at, ends_at, zone, topic, terms, state)
			SELECT 'appt_s' || i, 'cli_s' || i, ` + whose + `, 'dial_in', ` + ago + `, ` + ago + ` + interval '10 min', 'UTC', '', '{}', 'kept' ` + series,
		`INSERT INTO challenges (id, line, advisor, address_hash, code_hash, until, claimed_at, claimed_by, finished_at, disposition)
			SELECT 'chal_s' || i, 'line_s' || i, ` + whose + `, '', '', ` + ago + `, ` + ago + `, 'call_c' || i, ` + ago + `, 'completed' ` + series,
		`INSERT INTO tokens (id, hash, role, client, until)
			SELECT 'tok_s' || i, sha256(('token' || i)::bytea), 'client', 'cli_s' || i, now() + interval '1 day' ` + series,
		`INSERT INTO call_ends (call, why) SELECT 'call_s' || i, 'test' ` + series,
		`INSERT INTO ratings (call, stars) SELECT 'call_s' || i, 5 ` + series,
		`INSERT INTO deliveries (webhook, xid, event, next_at, delivered_at) SELECT 'hook_s', xid, id, NULL, at FROM events`,
		`SET session_replication_role = DEFAULT`,
		`ANALYZE`,
	} {
		if _, err := super.Exec(statement); err != nil {
			return fmt.Errorf("%.60s: %w", statement, err)
		}
	}
	return nil
}

// doAllOnce does what calls, pages and the program's rounds do.
func doAllOnce(h *hosted) error {
	ctx := h.t.Context()
	client, advisor := h.client(100_00), h.advisor
	h.webhook()
	talk, err := h.tap(client, advisor)
	h.must(err)
	if _, err := h.LoanByANI(ctx, talk.DID, "+49160120001"); err != nil && err != ivr.ErrNotIdentified {
		return err
	}
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	h.must(h.Prove(ctx, []ivr.Proof{{Call: o.Call, Segment: 1, Talk: time.Second}}))
	_, err = h.Extend(ctx, o.Call, 2, 1, 1_00)
	h.must(err)
	h.plan.Limits.Queue, h.plan.Limits.Turn = 20, 2*time.Minute
	waits, err := h.join(h.client(100_00), OnPage)
	h.must(err)
	cdr := ended(o, 90*time.Second)
	h.must(h.Close(ctx, cdr))
	h.turns()
	for _, ask := range []func() error{
		func() error { _, err := h.Receipts(ctx, client, "", 20); return err },
		func() error { _, err := h.Receipt(ctx, o.Call); return err },
		func() error { _, err := h.Calls(ctx, CallFilter{Client: client}, 50); return err },
		func() error { _, err := h.Calls(ctx, CallFilter{Advisor: advisor}, 50); return err },
		func() error { _, err := h.Calls(ctx, CallFilter{Open: true}, 50); return err },
		func() error { _, err := h.Calls(ctx, CallFilter{}, 50); return err },
		func() error { _, err := h.AdvisorCalls(ctx, advisor, "", 50); return err },
		func() error { _, err := h.AdvisorStates(ctx, client, "", 50); return err },
		func() error { _, err := h.Wait(ctx, h.plan, waits.ID, ""); return err },
		func() error { _, err := h.WaitsOf(ctx, h.plan, client); return err },
		func() error { _, err := h.LongestWait(ctx, h.plan, advisor, terms); return err },
		func() error { _, err := h.Talk(ctx, h.plan, talk.Loan, client); return err },
		func() error { _, err := h.Events(ctx, client, "", Cursor{}, 100); return err },
		func() error { _, err := h.Events(ctx, "", advisor, Cursor{}, 100); return err },
		func() error { _, err := h.CapsAllow(ctx, client); return err },
		func() error { _, err := h.Client(ctx, client); return err },
		func() error { _, err := h.OpenCalls(ctx); return err },
		func() error { _, err := h.AskedEnds(ctx); return err },
		func() error { _, _, err := h.ClaimPlacement(ctx); return err },
		func() error { return h.EndMissedPlacements(ctx) },
		func() error { _, err := h.QueueDeliveries(ctx); return err },
		func() error { _, err := h.ClaimDeliveries(ctx, nil, 10, time.Minute); return err },
		func() error { _, _, err := h.PushEvents(ctx); return err },
		func() error { _, err := h.Pushes(ctx, advisor); return err },
		func() error {
			return h.KeepQuality(ctx, o.Call, []ivr.LegQuality{{Side: "client", Quality: ivr.Quality{Received: 100, Sent: 100}}})
		},
		func() error {
			_, err := h.Appointments(ctx, AppointmentFilter{Client: client}, Party{}, 50)
			return err
		},
		func() error { _, err := h.NumberStates(ctx, []string{talk.DID}); return err },
	} {
		if err := ask(); err != nil {
			return err
		}
	}
	return nil
}
