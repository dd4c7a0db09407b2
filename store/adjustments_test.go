package store

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// bureau is a town in which one client paid 4.98 for a call: 2.98 to the advisor, 2.00 to
// the platform.
type bureau struct {
	*town
	client  ivr.ClientID
	advisor ivr.AdvisorID
	call    ivr.CallID
	plan    dialplan.Plan // above 5.00 needs a second person
	keys    int
}

func newBureau(t *testing.T) *bureau {
	w := newTown(t)
	d := &bureau{town: w, client: w.client(20_00), advisor: w.advisor(), plan: dialplan.Plan{Currency: "EUR"}}
	d.plan.Limits.SecondPerson = 5_00
	d.call = d.talked(150 * time.Second)
	return d
}

// talked is a call of the bureau's client that was paid for.
func (d *bureau) talked(talk time.Duration) ivr.CallID {
	d.t.Helper()
	o := opening(d.client, d.advisor, d.town.plan())
	_, err := d.Hold(d.t.Context(), o)
	d.must(err)
	d.must(d.Close(d.t.Context(), ended(o, talk)))
	return o.Call
}

// request is one that nobody made before, by a token.
func (d *bureau) request() Request {
	d.t.Helper()
	d.keys++
	if d.keys == 1 {
		d.superuser().MustExec(`INSERT INTO tokens (id, hash, role, holder, until) VALUES ('tok_1', sha256('1'), 'admin', 'Ada', now() + interval '1 hour')`)
	}
	return Request{Token: "tok_1", Key: fmt.Sprint("key ", d.keys), Content: fmt.Sprint("content ", d.keys)}
}

func (d *bureau) adjust(by string, r AdjustmentRequest) (Adjustment, error) {
	d.t.Helper()
	if r.Reason == "" {
		r.Reason = "because"
	}
	return d.Adjust(d.t.Context(), d.request(), d.plan, by, r)
}

func (d *bureau) posted(account string) (posted money.Amount) {
	d.t.Helper()
	d.must(d.get(d.t.Context(), &posted, `SELECT posted FROM balances WHERE id = $1`, account))
	return posted
}

func TestRefundsOfACallAreAtMostItsCharge(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	platform := d.posted("platform/EUR")
	a, err := d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 1_00})
	d.must(err)
	if a.State != Made || a.Client != d.client || a.Advisor != "" || a.Debit != "platform/EUR" || a.AskedBy != "Ada" || !a.Until.IsZero() {
		t.Errorf("made %+v", a)
	}
	if got := d.posted("platform/EUR"); got != platform-1_00 {
		t.Errorf("the platform has %v, had %v", got, platform)
	}
	var tooMuch *RefundTooMuch
	if _, err := d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 2_99, FromAdvisor: true}); !errors.As(err, &tooMuch) || tooMuch.Left != 2_98 {
		t.Errorf("more than the advisor's share: %v", err)
	}
	_, err = d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 2_98, FromAdvisor: true})
	d.must(err)
	if _, err := d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 1_01}); !errors.As(err, &tooMuch) || tooMuch.Left != 1_00 {
		t.Errorf("more than the charge, in sum: %v", err)
	}
	_, err = d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 1_00})
	d.must(err)
	if posted, _ := d.balance(d.client); posted != 20_00 || d.posted("advisor/"+string(d.advisor)+"/EUR") != 0 {
		t.Errorf("after all is paid back the client has %v", posted)
	}
	r, err := d.Receipt(ctx, d.call)
	d.must(err)
	if text := r.String(); r.Refunded() != 4_98 || !strings.Contains(text, "paid back") || !strings.Contains(text, "4.98 EUR, so it cost 0.00 EUR") {
		t.Errorf("the receipt says\n%s", text)
	}
	d.clean()

	open := opening(d.client, d.advisor, d.town.plan())
	_, err = d.Hold(ctx, open)
	d.must(err)
	if _, err := d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: open.Call, Amount: 1}); !errors.Is(err, ErrCallOpen) {
		t.Errorf("of an open call: %v", err)
	}
	for what, r := range map[string]AdjustmentRequest{
		"no call": {Kind: Refund, Call: "call_no", Amount: 1}, "another's": {Kind: Refund, Call: d.call, Client: d.town.client(0), Amount: 1},
	} {
		if _, err := d.adjust("Ada", r); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	var fault *AdjustmentFault
	for _, r := range []AdjustmentRequest{
		{Kind: "gift", Client: d.client, Amount: 1}, {Kind: Refund, Client: d.client, Amount: 1}, {Kind: Refund, Call: d.call, Amount: -1},
		{Kind: Payout, Client: d.client, Advisor: d.advisor, Amount: 1}, {Kind: Payout, Client: d.client, Amount: -1},
		{Kind: Correction, Client: d.client}, {Kind: Correction, Amount: 1}, {Kind: Payout, Client: d.client, Amount: 1, FromAdvisor: true},
	} {
		if _, err := d.adjust("Ada", r); !errors.As(err, &fault) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

// Ten administrators pay one call back at once: once.
func TestRefundsAtOnceDoNotPassTheCharge(t *testing.T) {
	d := newBureau(t)
	requests := make([]Request, 10)
	for i := range requests {
		requests[i] = d.request()
	}
	var all sync.WaitGroup
	for i, request := range requests {
		all.Go(func() {
			_, err := d.Adjust(t.Context(), request, d.plan, fmt.Sprint("person ", i),
				AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 4_98, FromAdvisor: false, Reason: "because"})
			var tooMuch *RefundTooMuch
			if err != nil && !errors.As(err, &tooMuch) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if posted, _ := d.balance(d.client); posted != 20_00 {
		t.Errorf("the client has %v", posted)
	}
	d.clean()
}

func TestNothingFallsBelowZero(t *testing.T) {
	d := newBureau(t)
	d.plan.Limits.SecondPerson = 100_00
	o := opening(d.client, d.advisor, d.town.plan())
	o.Least, o.Most = 5_00, 5_00
	_, err := d.Hold(t.Context(), o) // of 15.02 now 10.02 are available
	d.must(err)
	var little *TooLittle
	for _, kind := range []AdjustmentKind{Payout, Correction} {
		amount := map[AdjustmentKind]money.Amount{Payout: 10_03, Correction: -10_03}[kind]
		if _, err := d.adjust("Ada", AdjustmentRequest{Kind: kind, Client: d.client, Amount: amount}); !errors.As(err, &little) || little.Available != 10_02 {
			t.Errorf("%s of more than there is: %v", kind, err)
		}
	}
	if _, err := d.adjust("Ada", AdjustmentRequest{Kind: Payout, Advisor: d.advisor, Amount: 2_99}); !errors.As(err, &little) || little.Available != 2_98 {
		t.Errorf("a payout of more than was earned: %v", err)
	}
	if _, err := d.adjust("Ada", AdjustmentRequest{Kind: Payout, Advisor: d.town.advisor(), Amount: 1}); !errors.As(err, &little) {
		t.Errorf("a payout to who never earned: %v", err)
	}
	for _, r := range []AdjustmentRequest{
		{Kind: Payout, Client: d.client, Amount: 1_00}, {Kind: Correction, Client: d.client, Amount: 7_00}, {Kind: Correction, Client: d.client, Amount: -2_00},
		{Kind: Payout, Advisor: d.advisor, Amount: 2_00}, {Kind: Correction, Advisor: d.advisor, Amount: 5},
	} {
		_, err := d.adjust("Ada", r)
		d.must(err)
	}
	if posted, held := d.balance(d.client); posted != 19_02 || held != 5_00 || d.posted("advisor/"+string(d.advisor)+"/EUR") != 1_03 ||
		d.posted("adjustments/EUR") != -5_05 || d.posted("outside/EUR") != -17_00 {
		t.Errorf("the client has %v, held %v", posted, held)
	}
	var others *AdjustmentFault
	if _, err := d.adjust("Ada", AdjustmentRequest{Kind: Payout, Advisor: "adv_no", Amount: 1}); !errors.Is(err, ErrNotFound) || errors.As(err, &others) {
		t.Errorf("a payout to nobody: %v", err)
	}
	d.clean()
}

func TestLargeSumsNeedASecondPerson(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	request := d.request()
	asked := AdjustmentRequest{Kind: Correction, Client: d.client, Amount: 5_01, Reason: "lost deposit"}
	a, err := d.Adjust(ctx, request, d.plan, "Ada", asked)
	d.must(err)
	if posted, _ := d.balance(d.client); a.State != Asked || posted != 15_02 || time.Until(a.Until) < 6*24*time.Hour {
		t.Fatalf("asked: %+v, the client has %v", a, posted)
	}
	for _, name := range []string{"Ada", " ada "} {
		if _, err := d.Approve(ctx, d.request(), a.ID, name); !errors.Is(err, ErrSecondPerson) {
			t.Errorf("%q approves what Ada asked for: %v", name, err)
		}
	}
	d.clean()
	approval := d.request()
	for range 2 { // the same request again
		made, err := d.Approve(ctx, approval, a.ID, "Grace")
		d.must(err)
		if made.State != Made || made.DecidedBy != "Grace" || made.AskedBy != "Ada" {
			t.Errorf("approved: %+v", made)
		}
	}
	if posted, _ := d.balance(d.client); posted != 20_03 {
		t.Errorf("the client has %v", posted)
	}
	if again, err := d.Adjust(ctx, request, d.plan, "Ada", asked); err != nil || again.ID != a.ID {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	for _, decide := range []func() (Adjustment, error){
		func() (Adjustment, error) { return d.Approve(ctx, d.request(), a.ID, "Grace") },
		func() (Adjustment, error) { return d.Refuse(ctx, d.request(), a.ID, "Grace") },
	} {
		if _, err := decide(); !errors.Is(err, ErrAdjustmentOver) {
			t.Errorf("decided again: %v", err)
		}
	}

	// Refused, by whoever asked; expired; and looked at again when it is approved.
	own, err := d.adjust("Ada", AdjustmentRequest{Kind: Correction, Client: d.client, Amount: -6_00})
	d.must(err)
	if own, err = d.Refuse(ctx, d.request(), own.ID, "Ada"); err != nil || own.State != Refused {
		t.Errorf("taken back: %+v, %v", own, err)
	}
	late, err := d.adjust("Ada", AdjustmentRequest{Kind: Payout, Client: d.client, Amount: 15_00})
	d.must(err)
	waiting, err := d.Adjustments(ctx, AdjustmentFilter{Client: d.client, Waiting: true}, 10)
	if n, err2 := d.AdjustmentsWaiting(ctx); err != nil || err2 != nil || len(waiting) != 1 || waiting[0].ID != late.ID || n != 1 {
		t.Errorf("waiting: %+v, %v", waiting, err)
	}
	poor, err := d.adjust("Grace", AdjustmentRequest{Kind: Payout, Client: d.client, Amount: 16_00})
	d.must(err)
	var little *TooLittle
	_, err = d.Approve(ctx, d.request(), late.ID, "Grace")
	d.must(err)
	if _, err := d.Approve(ctx, d.request(), poor.ID, "Ada"); !errors.As(err, &little) {
		t.Errorf("approved with too little left: %v", err)
	}
	db := d.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`)
	db.MustExec(`UPDATE adjustments SET until = now() WHERE id = $1`, poor.ID)
	if _, err := d.Approve(ctx, d.request(), poor.ID, "Ada"); !errors.Is(err, ErrAdjustmentOver) {
		t.Errorf("approved after seven days: %v", err)
	}
	if got, err := d.Adjustment(ctx, poor.ID); err != nil || got.State != Expired {
		t.Errorf("expired: %+v, %v", got, err)
	}
	if _, err := d.Approve(ctx, d.request(), "adj_no", "Ada"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no such: %v", err)
	}
	log, err := d.Log(ctx, a.ID, 10)
	d.must(err)
	if len(log) != 2 || log[0].What != "adjustment made" || log[0].Who != "Grace" || log[1].What != "adjustment asked" || log[1].Detail["reason"] != "lost deposit" {
		t.Errorf("the log says %+v", log)
	}
	d.clean()
}

// What is small on its own is not small many times over, on one account, by one person.
func TestManySmallSumsNeedASecondPersonToo(t *testing.T) {
	d := newBureau(t)
	states := ""
	for _, by := range []string{"Ada", "Ada", "Grace", "Ada"} {
		a, err := d.adjust(by, AdjustmentRequest{Kind: Correction, Client: d.client, Amount: 2_00})
		d.must(err)
		states += string(a.State) + " "
	}
	a, err := d.adjust("Ada", AdjustmentRequest{Kind: Correction, Client: d.town.client(0), Amount: 2_00})
	d.must(err)
	if states += string(a.State); states != "made made made asked made" {
		t.Errorf("they are %s", states)
	}
	d.clean()
}

// Faults in what administrators moved, planted as in [TestAuditNamesEachPlantedFault].
func TestAuditNamesEachFaultInAdjustments(t *testing.T) {
	d := newBureau(t)
	ctx := t.Context()
	refund, err := d.adjust("Ada", AdjustmentRequest{Kind: Refund, Call: d.call, Amount: 2_00})
	d.must(err)
	large, err := d.adjust("Ada", AdjustmentRequest{Kind: Correction, Client: d.client, Amount: 8_00})
	d.must(err)
	_, err = d.Approve(ctx, d.request(), large.ID, "Grace")
	d.must(err)
	waiting, err := d.adjust("Ada", AdjustmentRequest{Kind: Payout, Client: d.client, Amount: 9_00})
	d.must(err)
	poor := d.town.client(1_00)
	var transfer int64
	d.must(d.get(ctx, &transfer, `SELECT id FROM transfers WHERE key = $1`, refund.ID))
	log, err := d.Log(ctx, refund.ID, 1)
	d.must(err)
	d.clean()

	db := d.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`)
	insert := `INSERT INTO transfers (kind, key, debit, credit, currency, amount) VALUES `
	for _, f := range []struct{ name, plant, table, row string }{
		{"a refund invented", insert + `('refund', 'adj_gift', 'platform/EUR', 'client/{client}', 'EUR', 1);
			UPDATE accounts SET posted = posted + 1 WHERE id = 'client/{client}'`, "transfers", "{new}"},
		{"one with its adjustment, but nobody in the log", insert + `('payout', 'adj_gift', 'platform/EUR', 'outside/EUR', 'EUR', 1);
			INSERT INTO adjustments (id, kind, debit, credit, currency, amount, reason, asked_by, second_above)
			VALUES ('adj_gift', 'payout', 'platform/EUR', 'outside/EUR', 'EUR', 1, 'gift', 'Ada', 100)`, "transfers", "{new}"},
		{"a refund's amount changed", `UPDATE transfers SET amount = amount + 1 WHERE id = {transfer}`, "transfers", "{transfer}"},
		{"both changed", `UPDATE transfers SET amount = amount + 1 WHERE id = {transfer}; UPDATE adjustments SET amount = amount + 1 WHERE id = '{refund}'`,
			"audit_log", "{act}"},
		{"a refund to someone else", `UPDATE transfers SET credit = 'client/{poor}' WHERE id = {transfer}`, "transfers", "{transfer}"},
		{"both to someone else", `UPDATE transfers SET credit = 'client/{poor}' WHERE id = {transfer};
			UPDATE adjustments SET credit = 'client/{poor}' WHERE id = '{refund}'`, "adjustments", "{refund}"},
		{"a refund taken out", `DELETE FROM transfers WHERE id = {transfer}`, "adjustments", "{refund}"},
		{"one with all that says so", `DELETE FROM transfers WHERE id = {transfer}; DELETE FROM adjustments WHERE id = '{refund}'`, "audit_log", "{act}"},
		{"an adjustment taken out", `DELETE FROM adjustments WHERE id = '{refund}'`, "transfers", "{transfer}"},
		{"what waits was moved", insert + `('payout', '{waiting}', 'client/{client}', 'outside/EUR', 'EUR', 900)`, "transfers", "{new}"},
		{"an approval taken out", `DELETE FROM adjustment_decisions WHERE adjustment = '{large}'`, "transfers", "{large transfer}"},
		{"an approval put in", `INSERT INTO adjustment_decisions (adjustment, asked_by, decision, by_whom) VALUES ('{waiting}', 'Ada', 'approved', 'Grace')`,
			"adjustments", "{waiting}"},
		{"an approval of one's own", `ALTER TABLE adjustment_decisions DROP CONSTRAINT adjustment_decisions_by_another;
			UPDATE adjustment_decisions SET by_whom = 'ada'`, "adjustment_decisions", "{large}"},
		{"an approval that came late", `UPDATE adjustment_decisions SET at = now() + interval '8 days'`, "adjustment_decisions", "{large}"},
		{"a large sum by one", `ALTER TABLE adjustments DROP CONSTRAINT adjustments_large_by_two; UPDATE adjustments SET until = NULL WHERE id = '{large}'`,
			"adjustments", "{large}"},
		{"more paid back than charged", `UPDATE transfers SET amount = 499 WHERE id = {transfer}; UPDATE adjustments SET amount = 499 WHERE id = '{refund}'`,
			"calls", "{call}"},
		{"a charge made small after", `UPDATE calls SET charge = 100, advisor_share = 60, platform_share = 40 WHERE id = '{call}'`, "calls", "{call}"},
	} {
		t.Run(f.name, func(t *testing.T) {
			tx := db.MustBegin()
			defer tx.Rollback()
			var last, largeTransfer int64
			d.must(tx.Get(&last, `SELECT nextval('transfers_id_seq')`))
			d.must(tx.Get(&largeTransfer, `SELECT id FROM transfers WHERE key = $1`, large.ID))
			names := strings.NewReplacer("{client}", string(d.client), "{poor}", string(poor), "{call}", string(d.call), "{refund}", refund.ID,
				"{large}", large.ID, "{waiting}", waiting.ID, "{transfer}", fmt.Sprint(transfer), "{large transfer}", fmt.Sprint(largeTransfer),
				"{act}", fmt.Sprint(log[0].ID), "{new}", fmt.Sprint(last+1))
			tx.MustExec(names.Replace(f.plant))
			report, err := d.audit(ctx, tx)
			d.must(err)
			row := names.Replace(f.row)
			for _, found := range report.Faults {
				if found.Table == f.table && found.Row == row && found.Remedy != "" {
					return
				}
			}
			t.Errorf("the audit does not name %s %s:\n%v", f.table, row, report)
		})
	}
	d.clean()
}

// What administrators moved and what audits found are records.
func TestAdministratorsRecordsCannotBeChanged(t *testing.T) {
	d := newBureau(t)
	a, err := d.adjust("Ada", AdjustmentRequest{Kind: Correction, Client: d.client, Amount: 8_00})
	d.must(err)
	_, err = d.Approve(t.Context(), d.request(), a.ID, "Grace")
	d.must(err)
	_, err = d.KeepAudit(t.Context(), "Ada")
	d.must(err)
	for table, column := range map[string]string{"adjustments": "amount", "adjustment_decisions": "by_whom", "ledger_audits": "faults"} {
		for _, statement := range []string{"UPDATE " + table + " SET " + column + " = " + column, "DELETE FROM " + table, "TRUNCATE " + table + " CASCADE"} {
			if _, err := d.db.Exec(statement); sqlState(err) != "42501" {
				t.Errorf("the program: %s: %v", statement, err)
			}
			if _, err := d.superuser().Exec(statement); sqlState(err) != "23001" {
				t.Errorf("a superuser: %s: %v", statement, err)
			}
		}
	}
	for what, statement := range map[string]string{
		"a large sum by one": `INSERT INTO adjustments (id, kind, debit, credit, currency, amount, reason, asked_by, second_above)
			VALUES ('adj_x', 'payout', 'platform/EUR', 'outside/EUR', 'EUR', 501, 'x', 'Ada', 500)`,
		"an account of no kind":      `INSERT INTO accounts (id, kind, currency) VALUES ('mine', 'mine', 'EUR')`,
		"a client's account of none": `INSERT INTO accounts (id, kind, currency, posted, held) VALUES ('client/x', 'client', 'EUR', 0, 0)`,
	} {
		if _, err := d.db.Exec(statement); sqlState(err) != "23514" {
			t.Errorf("%s: %v", what, err)
		}
	}
}
