package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/pressly/goose/v3"

	"parley/dialplan"
	"parley/ivr"
)

// booksFrom is the first version that has the audit log, without which no deposit is
// accounted for.
const booksFrom = 7

// From every earlier version with rows in all of its tables: the migration to this one
// loses none of them, the books are clean, and its clients can go on talking.
func TestMigrationOfAFilledDatabase(t *testing.T) {
	source := filled(t)
	from := source.superuser()
	sources := provider(t, source.ownerDSN).ListSources()
	for _, migration := range sources[:len(sources)-1] {
		version := migration.Version
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			t.Parallel()
			owner, err := exchange.NewDatabase(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := provider(t, owner).UpTo(t.Context(), version); err != nil {
				t.Fatal(err)
			}
			w := &town{t: t, ownerDSN: owner}
			to := w.superuser()
			rows := transplant(t, from, to, version)
			to.Close()
			w.must(Migrate(t.Context(), owner))
			u := parse(t, owner)
			w.must(GrantProgram(t.Context(), owner, "program_of_"+u.User.Username(), "password"))
			u.User = nil
			w.dsn = strings.Replace(u.String(), "://", "://program_of_"+parse(t, owner).User.Username()+":password@", 1)
			w.Store = w.open(w.dsn)
			migrated := w.superuser()
			for table, n := range rows {
				var now int
				w.must(migrated.Get(&now, `SELECT count(*) FROM `+table))
				if now < n {
					t.Errorf("of %d rows of %s there are %d", n, table, now)
				}
			}
			w.clean()
			w.goesOn(version)
			w.clean()
		})
	}
}

// goesOn has the client of before pay and talk.
func (w *town) goesOn(version int64) {
	w.t.Helper()
	ctx := w.t.Context()
	var client ivr.ClientID
	w.must(w.db.Get(&client, `SELECT min(id) FROM clients`))
	if version < 4 { // it had no accounts: none was lost
		return
	}
	w.deposit(client, 100_00)
	call := opening(client, w.advisor(), w.plan())
	_, err := w.Hold(ctx, call)
	w.must(err)
	w.must(w.Close(ctx, ended(call, time.Minute)))
}

// filled is a town in which everything has happened that leaves rows behind, but for what
// moves money in ways that came late.
func filled(t *testing.T) *town {
	h := newHosted(t)
	h.plan.Limits.Queue, h.plan.Limits.Turn = 5, time.Minute
	h.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile, dialplan.Fixed}}
	h.plan.Appointments = dialplan.Appointments{Hold: dialplan.AtBooking, Ahead: 400 * time.Hour, Early: time.Minute, Late: time.Minute}
	ctx := t.Context()
	client, waits := h.client(100_00), h.client(100_00)
	h.must(h.ActivatePlan(ctx, h.plan.Version, "test"))
	talk, err := h.tap(client, h.advisor)
	h.must(err)
	_, err = h.JoinQueue(ctx, Request{h.site, "join", ""}, h.plan, WaitRequest{Client: waits, Advisor: h.advisor, Mode: CalledBack})
	h.must(err)
	o := h.call(talk)
	_, err = h.Hold(ctx, o)
	h.must(err)
	_, err = h.Extend(ctx, o.Call, 2, 1, 1_00)
	h.must(err)
	h.must(h.Close(ctx, ended(o, 200*time.Second)))
	h.must(h.GiveTurns(ctx, h.plan)) // a placement
	other, _ := h.reachable()
	open := opening(client, other, h.plan.Version)
	_, err = h.Hold(ctx, open)
	h.must(err)
	h.must(h.Prove(ctx, []ivr.Proof{{Call: open.Call, Segment: 1, Talk: time.Second}}))
	h.must(h.SetBlock(ctx, "test", ByClient, waits, other, true))
	h.must(h.Rate(ctx, o.Call, 5))
	_, err = h.RequestWebhook(ctx, Request{h.site, "webhook", ""}, "test", "https://site.example/", nil)
	h.must(err)
	at := berlin(2 * time.Hour)
	_, err = h.AskAppointment(ctx, Request{h.site, "ask", ""}, h.plan, "test",
		AppointmentRequest{Client: client, Advisor: other, At: at, Zone: "Europe/Berlin", Length: 10 * time.Minute, Mode: DialIn})
	h.must(err)
	h.clean()
	return h.town
}

func provider(t *testing.T, dsn string) *goose.Provider {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	p, err := migrations(db)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// transplant puts the rows of one database into the tables of another, of an earlier
// version: as much of each as that has columns for. It returns how many there are of each.
func transplant(t *testing.T, from, to *sqlx.DB, version int64) map[string]int {
	t.Helper()
	from.SetMaxOpenConns(1)
	to.SetMaxOpenConns(1)
	to.MustExec(`SET session_replication_role = replica`) // in any order of the tables
	var tables []string
	if err := to.Select(&tables, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> '`+versionTable+`' ORDER BY 1`); err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for _, table := range tables {
		if version < booksFrom && slices.Contains([]string{"transfers", "holds", "hold_resolutions", "calls", "segments"}, table) {
			continue
		}
		columns := commonColumns(t, from, to, table)
		texts := []string{}
		if err := from.Select(&texts, `SELECT row_to_json(r)::text FROM `+table+` r`); err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if table == "accounts" && version < booksFrom {
				text = strings.NewReplacer(moneyOf(text)...).Replace(text)
			}
			if _, err := to.Exec(`INSERT INTO `+table+` (`+columns+`) OVERRIDING SYSTEM VALUE
				SELECT `+columns+` FROM json_populate_record(NULL::`+table+`, $1) ON CONFLICT DO NOTHING`, text); violated(err) == "" && err != nil &&
				sqlState(err) != "23502" { // a row that there could not be then is left out
				t.Fatalf("%s of version %d: %v\n%s", table, version, err, text)
			}
		}
		var n int
		if err := to.Get(&n, `SELECT count(*) FROM `+table); err != nil {
			t.Fatal(err)
		}
		if n == 0 && len(texts) > 0 {
			t.Errorf("of %d rows version %d could have none in %s", len(texts), version, table)
		}
		rows[table] = n
	}
	countOn(t, to)
	return rows
}

// moneyOf replaces what an account has by nothing.
func moneyOf(account string) (replace []string) {
	for _, name := range []string{"posted", "held"} {
		_, rest, found := strings.Cut(account, `"`+name+`":`)
		value, _, _ := strings.Cut(strings.TrimRight(rest, "}"), ",")
		if found && value != "null" {
			replace = append(replace, `"`+name+`":`+value, `"`+name+`":0`)
		}
	}
	return replace
}

// commonColumns are a table's in both databases, but for what is generated.
func commonColumns(t *testing.T, from, to *sqlx.DB, table string) string {
	t.Helper()
	const columns = `SELECT quote_ident(column_name) FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' ORDER BY 1`
	var there, here []string
	for db, into := range map[*sqlx.DB]*[]string{from: &there, to: &here} {
		if err := db.Select(into, columns, table); err != nil {
			t.Fatal(err)
		}
	}
	return strings.Join(slices.DeleteFunc(here, func(c string) bool { return !slices.Contains(there, c) }), ", ")
}

// countOn has what counts by itself go on after the rows that were put there.
func countOn(t *testing.T, db *sqlx.DB) {
	t.Helper()
	if _, err := db.Exec(`DO $$ DECLARE c record; BEGIN
		FOR c IN SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' AND is_identity = 'YES' LOOP
			EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), (SELECT coalesce(max(%I), 0) + 1 FROM %I))',
				c.table_name, c.column_name, c.column_name, c.table_name);
		END LOOP; END $$`); err != nil {
		t.Fatal(err)
	}
}
