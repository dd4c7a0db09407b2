package store

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/lab"
)

// Calls that have ended cost those that open nothing, also where no vacuum has come yet:
// open_call reads as much after a thousand as after a hundred.
func TestOpeningACallIsNoDearerAfterManyOthers(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	const few, many, live = 100, 1000, 30
	plan, super := w.plan(), w.superuser()
	w.must(lab.Fill(ctx, super.DB, 0, many+live+1))
	for _, statement := range []string{
		`ALTER TABLE calls SET (autovacuum_enabled = off)`,
		fmt.Sprintf(`INSERT INTO advisors (id, name) SELECT 'adv_o' || i, 'Advisor' FROM generate_series(0, %d) AS i`, many+live),
	} {
		_, err := super.Exec(statement)
		w.must(err)
	}
	next := 0
	another := func() ivr.Opening { // each of another client and advisor, whose own calls are none
		o := opening(ivr.ClientID(fmt.Sprint("cli_s", next)), ivr.AdvisorID(fmt.Sprint("adv_o", next)), plan)
		o.Least, o.Most = 1, 100
		return o
	}
	for range live {
		_, err := w.Hold(ctx, another())
		w.must(err)
		next++
	}
	end := func(until int) {
		for ; next < until; next++ {
			o := another()
			_, err := w.Hold(ctx, o)
			w.must(err)
			w.must(w.Close(ctx, ended(o)))
		}
		_, err := super.Exec(`ANALYZE calls`)
		w.must(err)
	}
	reads := func() int {
		tx, err := w.db.BeginTxx(ctx, nil)
		w.must(err)
		defer tx.Rollback()
		e := &explaining{town: w, tx: tx}
		for range 2 { // the first reads what Postgres knows of the tables, too
			_, err := w.openCall(ctx, e, another())
			w.must(err)
		}
		return e.blocks
	}
	end(live + few)
	after := reads()
	end(live + many)
	if now := reads(); now > after+after/4 {
		t.Errorf("open_call reads %d blocks after %d calls, and %d after %d", now, many, after, few)
	} else {
		t.Logf("%d blocks after %d calls, %d after %d", after, few, now, many)
	}
}

// Nor is it where a tenth of all calls is open, and the table not large yet.
func TestOpeningACallNeverReadsTheWholeTable(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	ctx := t.Context()
	const closed, live = 10_000, 1_000
	plan, super := w.plan(), w.superuser()
	w.must(lab.Fill(ctx, super.DB, 0, closed))
	_, err := super.Exec(fmt.Sprintf(`INSERT INTO calls (id, kind, did, ani, client, advisor, plan, terms, started_at)
		SELECT 'call_o' || i, 'client', '+4930551', '+49...', 'cli_s' || i, 'adv_s' || i / 100 * 100, %d, terms, now()
		FROM generate_series(1, %d) AS i, (SELECT terms FROM calls LIMIT 1) AS any_call`, plan, live))
	w.must(err)
	_, err = super.Exec(`ANALYZE calls`)
	w.must(err)
	wholeReads := func() (n int) {
		w.must(super.Get(&n, `SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'calls'`))
		return n
	}
	before := wholeReads()
	tx, err := w.db.BeginTxx(ctx, nil)
	w.must(err)
	defer tx.Rollback()
	o := opening(w.client(100_00), w.advisor(), plan)
	o.Concurrent.All = 2 * live
	_, err = w.openCall(ctx, tx, o)
	w.must(err)
	_, err = tx.Exec(`SELECT pg_stat_force_next_flush()`)
	w.must(err)
	w.must(tx.Commit())
	if n := wholeReads() - before; n != 0 {
		t.Errorf("open_call read all calls %d times", n)
	}
}

// explaining runs a statement and keeps how many blocks it read; what it answers is that
// nothing was held against.
type explaining struct {
	*town
	tx     *sqlx.Tx
	blocks int
}

func (e *explaining) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	var text []byte
	e.must(e.tx.QueryRowxContext(ctx, `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+query, args...).Scan(&text))
	var plans []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	e.must(json.Unmarshal(text, &plans))
	if len(plans) != 1 || plans[0].Plan.Hit+plans[0].Plan.Read == 0 {
		e.t.Fatalf("no blocks were read, by this plan: %s", text)
	}
	e.blocks = plans[0].Plan.Hit + plans[0].Plan.Read
	return e.tx.QueryRowxContext(ctx, `SELECT 'held', 1`)
}
