package store

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The audit names what was changed of an appointment or of what is set aside for it.
func TestAuditOfAppointments(t *testing.T) {
	c := newCalendar(t)
	ctx := t.Context()
	a := c.agreed(DialIn)
	missed, err := c.asks(c.wish(c.client, c.advisor, berlin(6*time.Hour), DialIn))
	c.must(err)
	missed, err = c.accepts(missed)
	c.must(err)
	c.moves(missed, time.Minute)
	c.due()
	c.moves(missed, -11*time.Minute)
	c.due()
	c.stands(missed, ApptClientNoShow)
	waited, err := c.asks(c.wish(c.client, c.advisor, berlin(8*time.Hour), HostCalls))
	c.must(err)
	waited, err = c.accepts(waited)
	c.must(err)
	c.superuser().MustExec(`UPDATE lines SET verified_at = NULL, verified_how = NULL`)
	c.moves(waited, -11*time.Minute)
	c.due()
	c.stands(waited, ApptAdvisorNoShow)
	c.clean()
	db := c.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`)
	for _, f := range []struct{ name, plant, table, row string }{
		{"what is set aside made more", `UPDATE appointments SET held = held + 1 WHERE id = '{a}'`, "transfers", ""},
		{"the transfer that set it aside taken out", `DELETE FROM transfers WHERE kind = 'appointment held' AND key = '{a}'`, "appointments", "{a}"},
		{"set aside from another client", `UPDATE transfers SET debit = 'client/cli_x' WHERE kind = 'appointment held' AND key = '{a}'`, "transfers", ""},
		{"given back too soon", `INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			SELECT 'appointment released', key, credit, debit, currency, amount FROM transfers WHERE key = '{a}';
			UPDATE accounts SET posted = posted + (SELECT held FROM appointments WHERE id = '{a}') WHERE client = '{c}'`, "appointments", "{a}"},
		{"not given back", `DELETE FROM transfers WHERE kind = 'appointment released' AND key = '{m}'`, "appointments", "{m}"},
		{"ended behind our back", `UPDATE appointments SET state = 'cancelled' WHERE id = '{a}'`, "appointments", "{a}"},
		{"a fee raised", `UPDATE appointments SET fee = fee - 1 WHERE id = '{m}'`, "appointments", "{m}"},
		{"a fee's shares moved", `UPDATE transfers SET amount = amount + CASE kind WHEN 'appointment fee' THEN 1 ELSE -1 END
			WHERE key = '{m}' AND kind LIKE '%fee'`, "appointments", "{m}"},
		{"a fee to another advisor", `UPDATE transfers SET credit = 'advisor/adv_x/EUR' WHERE kind = 'appointment fee'`, "transfers", ""},
		{"a fee for no appointment", `UPDATE transfers SET key = 'appt_no' WHERE kind = 'appointment platform fee'`, "transfers", ""},
		{"a compensation that was not paid", `DELETE FROM transfers WHERE kind = 'appointment compensation';
			UPDATE accounts SET posted = posted - 300 WHERE client = '{c}'`, "appointments", "{w}"},
		{"a compensation raised", `UPDATE transfers SET amount = amount + 1 WHERE kind = 'appointment compensation'`, "transfers", ""},
		{"a compensation to another client", `UPDATE transfers SET credit = 'client/cli_x' WHERE kind = 'appointment compensation'`, "transfers", ""},
		{"money into the account otherwise", `INSERT INTO transfers (kind, key, debit, credit, currency, amount)
			VALUES ('adjustment', 'x', 'adjustments/EUR', 'appointments/EUR', 'EUR', 5)`, "transfers", ""},
	} {
		t.Run(f.name, func(t *testing.T) {
			tx := db.MustBegin()
			defer tx.Rollback()
			names := strings.NewReplacer("{a}", string(a.ID), "{m}", string(missed.ID), "{w}", string(waited.ID), "{c}", string(c.client))
			tx.MustExec(names.Replace(f.plant))
			report, err := c.audit(ctx, tx)
			c.must(err)
			if !slices.ContainsFunc(report.Faults, func(found Fault) bool {
				return found.Table == f.table && found.Remedy != "" && (f.row == "" || found.Row == names.Replace(f.row))
			}) {
				t.Errorf("the audit does not name %s %s:\n%v", f.table, names.Replace(f.row), report)
			}
		})
	}
	c.clean()
}
