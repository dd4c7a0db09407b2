package store

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"parley/ivr"
	"parley/ivr/money"
)

// faults are planted one at a time in clean books, each by someone who may write
// what they like. The audit must name the row.
var faults = []struct{ name, plant, table, row string }{
	{"a balance changed", `UPDATE accounts SET posted = posted + 1 WHERE id = 'client/{client}'`, "accounts", "client/{client}"},
	{"a held sum changed", `UPDATE accounts SET held = held - 1 WHERE id = 'client/{client}'`, "accounts", "client/{client}"},
	{"a transfer doubled", `INSERT INTO transfers (kind, key, debit, credit, currency, amount)
		SELECT kind, key || '/2', debit, credit, currency, amount FROM transfers WHERE id = {share}`, "transfers", "{new transfer}"},
	{"a transfer's amount changed", `UPDATE transfers SET amount = amount + 1 WHERE id = {share}`, "calls", "{ended}"},
	{"a transfer to someone else", `UPDATE transfers SET credit = 'advisor/{other}/EUR' WHERE id = {share}`, "transfers", "{share}"},
	{"a transfer taken out", `DELETE FROM transfers WHERE id = {share}`, "calls", "{ended}"},
	{"a deposit invented", `INSERT INTO transfers (kind, key, debit, credit, currency, amount)
		VALUES ('deposit', 'gift', 'outside/EUR', 'client/{client}', 'EUR', 100);
		UPDATE accounts SET posted = posted + 100 WHERE id = 'client/{client}'`, "transfers", "{new transfer}"},
	{"a deposit taken out", `DELETE FROM transfers WHERE kind = 'deposit'`, "audit_log", "1"},
	{"a transfer between currencies", `UPDATE transfers SET currency = 'CHF' WHERE id = {share}`, "transfers", "{share}"},
	{"a resolution lost", `DELETE FROM hold_resolutions WHERE call = '{ended}'`, "holds", "{ended}/1"},
	{"a resolution without its hold", `DELETE FROM holds WHERE call = '{ended}'`, "hold_resolutions", "{ended}/1"},
	{"captured more than held", `ALTER TABLE hold_resolutions DROP CONSTRAINT hold_resolutions_are_the_hold;
		UPDATE hold_resolutions SET captured = amount + 1 WHERE call = '{ended}'`, "hold_resolutions", "{ended}/1"},
	{"captured less than charged", `UPDATE hold_resolutions SET captured = captured - 1, released = released + 1 WHERE call = '{ended}'`,
		"calls", "{ended}"},
	{"a hold given to another client", `UPDATE holds SET account = 'client/{poor}' WHERE call = '{ended}'`, "holds", "{ended}/1"},
	{"an ended call opened again", `UPDATE calls SET ended_at = NULL, ended_by = NULL, disposition = NULL, cause = NULL, ring_ms = NULL,
		talk_ms = NULL, held = NULL, charge = NULL, advisor_share = NULL, platform_share = NULL WHERE id = '{ended}'`,
		"calls", "{ended}"},
	{"an open call without its hold", `DELETE FROM holds WHERE call = '{open}'`, "calls", "{open}"},
	{"a call open for days", `UPDATE calls SET opened_at = now() - interval '2 days' WHERE id = '{open}'`, "calls", "{open}"},
	{"a charge raised with all that follows", `UPDATE calls SET charge = charge + 10, platform_share = platform_share + 10 WHERE id = '{ended}';
		UPDATE hold_resolutions SET captured = captured + 10, released = released - 10 WHERE call = '{ended}';
		UPDATE transfers SET amount = amount + 10 WHERE key = '{ended}' AND kind = 'platform share';
		UPDATE accounts SET posted = posted - 10 WHERE id = 'client/{client}'`, "calls", "{ended}"},
	{"shares moved", `UPDATE calls SET advisor_share = advisor_share + 1, platform_share = platform_share - 1 WHERE id = '{ended}';
		UPDATE transfers SET amount = amount + CASE kind WHEN 'advisor share' THEN 1 ELSE -1 END WHERE key = '{ended}'`, "calls", "{ended}"},
	{"talk made longer", `UPDATE segments SET talk_ns = talk_ns + 1000000000 WHERE call = '{ended}'`, "calls", "{ended}"},
	{"terms made dearer", `UPDATE calls SET terms = jsonb_set(terms, '{rate,PerMinute}', '299') WHERE id = '{ended}'`, "calls", "{ended}"},
	{"a plan edited", `UPDATE plans SET text = text || ' '`, "plans", "1"},
	{"the audit log edited", `UPDATE audit_log SET who = 'nobody' WHERE id = 2`, "audit_log", "2"},
	{"a row of the audit log taken out", `DELETE FROM audit_log WHERE id = 2`, "audit_log", "3"},
}

func TestAuditNamesEachPlantedFault(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, poor, advisor, plan := w.client(100_00), w.client(1_00), w.advisor(), w.plan()
	other, o, open := opening(client, w.advisor(), plan), opening(client, advisor, plan), opening(client, advisor, plan)
	for _, o := range []ivr.Opening{other, o} {
		_, err := w.Hold(ctx, o)
		w.must(err)
		w.must(w.Close(ctx, ended(o, 150*time.Second)))
	}
	_, err := w.Hold(ctx, open)
	w.must(err)
	w.deposit(poor, 1_00)
	w.clean()
	r, err := w.Receipt(ctx, o.Call)
	w.must(err)

	db := w.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`) // triggers and foreign keys are off
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			tx := db.MustBegin()
			defer tx.Rollback()
			var last int64
			w.must(tx.Get(&last, `SELECT nextval('transfers_id_seq')`))
			names := strings.NewReplacer("{client}", string(client), "{poor}", string(poor), "{other}", string(other.Advisor),
				"{ended}", string(o.Call), "{open}", string(open.Call), "{share}", fmt.Sprint(r.Transfers[0].ID),
				"{new transfer}", fmt.Sprint(last+1))
			tx.MustExec(names.Replace(f.plant))
			report, err := w.audit(ctx, tx)
			w.must(err)
			row := names.Replace(f.row)
			for _, found := range report.Faults {
				if found.Table == f.table && found.Row == row && found.Remedy != "" {
					return
				}
			}
			t.Errorf("the audit does not name %s %s:\n%v", f.table, row, report)
		})
	}
	w.clean() // all faults are taken back
}

// On ten thousand calls that are as they should be the audit names none, and one
// wrong cent among them it finds.
func TestAuditOfTenThousandCleanCalls(t *testing.T) {
	const calls, clients = 10_000, 50
	w := newTown(t)
	advisor, plan := w.advisor(), w.plan()
	var ids []string
	for range clients {
		ids = append(ids, string(w.client(100_000_00)))
	}
	text, err := json.Marshal(terms)
	w.must(err)
	r := rand.New(rand.NewPCG(1, 2))
	var id, client []string
	var talk, held, charge, share []int64
	for i := range calls {
		d := time.Duration(r.Int64N(int64(10 * time.Minute)))
		c := terms.Rate.Charge(d)
		id, client = append(id, fmt.Sprintf("call_%05d", i)), append(client, ids[i%clients])
		talk, held, charge = append(talk, int64(d)), append(held, int64(terms.Most())), append(charge, int64(c))
		share = append(share, int64(money.Split(c, terms.AdvisorPercent).Advisor))
	}
	db := w.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`) // faster than ten thousand holds and closes
	db.MustExec(`CREATE TEMP TABLE made AS SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
		AS m (id, client, talk_ns, held, charge, share)`,
		pq.Array(id), pq.Array(client), pq.Array(talk), pq.Array(held), pq.Array(charge), pq.Array(share))
	db.MustExec(`INSERT INTO calls (id, kind, did, ani, client, advisor, plan, terms, started_at, ended_at, ended_by, disposition, cause,
			ring_ms, talk_ms, held, charge, advisor_share, platform_share)
		SELECT id, 'client', '+49', '', client, $1, $2, $3, now(), now(), 'client', 'completed', 16,
			0, talk_ns / 1000000, held, charge, share, charge - share FROM made`, advisor, plan, string(text))
	account := "advisor/" + string(advisor) + "/EUR"
	db.MustExec(`INSERT INTO accounts (id, kind, advisor, currency) VALUES ($1, 'advisor', $2, 'EUR')`, account, advisor)
	for _, s := range []string{
		`INSERT INTO segments (call, number, joined_at, talk_ns) SELECT id, 1, now(), talk_ns FROM made`,
		`INSERT INTO holds (call, number, account, least, most, amount) SELECT id, 1, 'client/' || client, 0, held, held FROM made`,
		`INSERT INTO hold_resolutions (call, number, amount, captured, released) SELECT id, 1, held, charge, held - charge FROM made`,
		`INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			SELECT 'advisor share', id, 'client/' || client, '` + account + `', 'EUR', share FROM made WHERE share > 0 UNION ALL
			SELECT 'platform share', id, 'client/' || client, 'platform/EUR', 'EUR', charge - share FROM made WHERE charge > share`,
		`UPDATE accounts SET posted = posted - sum FROM (SELECT client, sum(charge) FROM made GROUP BY client) m WHERE accounts.client = m.client`,
		`ANALYZE`,
	} {
		db.MustExec(s)
	}
	begun := time.Now()
	w.clean()
	t.Logf("the audit of %d calls took %v", calls, time.Since(begun).Round(time.Millisecond))

	db.MustExec(`UPDATE calls SET charge = charge + 1, platform_share = platform_share + 1 WHERE id = 'call_07777'`)
	report, err := w.Audit(t.Context())
	w.must(err)
	if len(report.Faults) == 0 {
		t.Fatal("the audit misses a cent")
	}
	for _, f := range report.Faults {
		if f.Row != "call_07777" {
			t.Errorf("the audit names another row: %v", f)
		}
	}
}
