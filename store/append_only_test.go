package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// Neither the program's login nor the owner can change or delete what is a record,
// and the program can do nothing to the schema.
func TestRecordsCannotBeChanged(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	plan := w.plan()
	w.must(w.ActivatePlan(ctx, plan, "test"))
	o := opening(w.client(100_00), w.advisor(), plan)
	_, err := w.Hold(ctx, o)
	w.must(err)
	w.must(w.Close(ctx, ended(o, time.Minute)))
	w.must(w.KeepQuality(ctx, o.Call, []ivr.LegQuality{{Side: "client"}}))
	owner, err := sqlx.Connect("postgres", w.ownerDSN)
	w.must(err)
	t.Cleanup(func() { owner.Close() })

	type attempt struct{ statement, program, owner string } // the SQLSTATE that refuses it
	const (
		denied   = "42501" // insufficient_privilege
		recorded = "23001" // restrict_violation: a trigger
	)
	var attempts []attempt
	for _, table := range []string{"transfers", "holds", "hold_resolutions", "audit_log", "plans", "plan_activations", "leg_quality"} {
		column := map[string]string{"transfers": "amount", "holds": "amount", "hold_resolutions": "captured", "audit_log": "who",
			"plans": "text", "plan_activations": "version", "leg_quality": "lost"}[table]
		attempts = append(attempts,
			attempt{"UPDATE " + table + " SET " + column + " = " + column, denied, recorded},
			attempt{"DELETE FROM " + table, denied, recorded},
			attempt{"TRUNCATE " + table + " CASCADE", denied, recorded},
			attempt{"ALTER TABLE " + table + " DISABLE TRIGGER ALL", denied, ""},
			attempt{"DROP TABLE " + table, denied, ""},
		)
	}
	for _, column := range []string{"held", "charge", "advisor_share", "platform_share", "talk_ms", "ended_at"} {
		attempts = append(attempts, attempt{"UPDATE calls SET " + column + " = " + column, recorded, recorded})
	}
	attempts = append(attempts,
		attempt{"UPDATE calls SET terms = terms", denied, recorded},
		attempt{"DELETE FROM calls", denied, recorded},
		attempt{"TRUNCATE calls CASCADE", denied, recorded},
		attempt{"UPDATE segments SET talk_ns = talk_ns + 1", recorded, recorded},
		attempt{"INSERT INTO segments (call, number, joined_at) SELECT id, 9, now() FROM calls", recorded, recorded},
		attempt{"DELETE FROM segments", denied, recorded},
		attempt{"DELETE FROM accounts", denied, "23503"},                 // foreign_key_violation
		attempt{"UPDATE accounts SET currency = 'CHF'", denied, "23514"}, // check_violation
		attempt{"UPDATE accounts SET posted = -1 WHERE kind = 'client'", "23514", "23514"},
		attempt{"UPDATE accounts SET held = posted + 1 WHERE kind = 'client'", "23514", "23514"},
		attempt{"INSERT INTO transfers (kind, key, debit, credit, currency, amount) SELECT kind, key, debit, credit, currency, amount FROM transfers",
			"23505", "23505"}, // unique_violation
		attempt{"INSERT INTO hold_resolutions SELECT * FROM hold_resolutions", "23505", "23505"},
		attempt{"UPDATE vault_key SET fingerprint = ''", denied, recorded},
		attempt{"SET session_replication_role = replica", denied, denied},
		attempt{"CREATE TABLE mine (n int)", denied, ""},
		attempt{"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'", denied, ""},
	)
	for _, a := range attempts {
		if _, err := w.db.Exec(a.statement); sqlState(err) != a.program {
			t.Errorf("the program: %s: %v, want %s", a.statement, err, a.program)
		}
		if a.owner == "" {
			continue // the owner may change the schema
		}
		tx := owner.MustBegin()
		if _, err := tx.Exec(a.statement); sqlState(err) != a.owner {
			t.Errorf("the owner: %s: %v, want %s", a.statement, err, a.owner)
		}
		w.must(tx.Rollback())
	}
	w.clean()

	// What the program may only add to is a record, whatever table it is: a trigger
	// guards it from the owner too.
	var records []struct {
		Name               string
		Guarded, Truncated bool
	}
	w.must(owner.Select(&records, `
		SELECT c.relname AS name, coalesce(bool_or(t.tgtype & 27 = 27), false) AS guarded, coalesce(bool_or(t.tgtype & 32 = 32), false) AS truncated
		FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgenabled <> 'D' AND t.tgfoid IN ('refuse_change'::regproc, 'refuse_change_while_young'::regproc)
		WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
			AND has_table_privilege($1, c.oid, 'INSERT') AND NOT has_any_column_privilege($1, c.oid, 'UPDATE')
		GROUP BY c.relname ORDER BY c.relname`, ProgramRole))
	if len(records) < 15 {
		t.Errorf("only %d tables were found: %v", len(records), records)
	}
	archived := []string{"answers", "events"} // by the owner, when the database has grown
	for _, r := range records {
		if !r.Guarded || !r.Truncated && !slices.Contains(archived, r.Name) {
			t.Errorf("%s is only added to, and no trigger refuses its owner: %+v", r.Name, r)
		}
	}

	// Nothing was granted that is not listed here.
	var granted []string
	w.must(owner.Select(&granted, `
		SELECT DISTINCT table_name || ' ' || privilege_type FROM information_schema.table_privileges
		WHERE grantee IN ('PUBLIC', $1) AND table_schema = 'public' AND privilege_type NOT IN ('SELECT', 'INSERT')`, ProgramRole))
	if len(granted) > 0 {
		t.Errorf("granted on whole tables: %s", strings.Join(granted, ", "))
	}
}
