package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/ivr"
)

// No code, PIN, key or whole number is in any table or in Postgres's own log.
func TestNothingSecretIsWritten(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	const clientPhone, linePhone, newPhone, endpoint = "+491607654321", "+493012345678", "+493087654321", "maria-on-the-sofa"
	client, err := w.AddClient(ctx, Client{Alias: "Heron", Phone: clientPhone, Currency: "EUR"})
	w.must(err)
	advisor := w.advisor()
	line := w.line(advisor, linePhone)
	_, err = w.AddLine(ctx, "test", ivr.Line{Advisor: advisor, Kind: ivr.SIP, Address: endpoint})
	w.must(err)
	challenge, code, err := w.CreateChallenge(ctx, line)
	w.must(err)
	wrong := "135790"
	_ = w.Check(ctx, challenge, wrong, "call_1")
	w.must(w.Check(ctx, challenge, code, "call_1"))
	loan, pin, err := w.CreateLoan(ctx, LoanRequest{Client: client.ID, Advisor: advisor, Line: line, DID: "+493055501001", For: time.Hour})
	w.must(err)
	_, _ = w.LoanByPIN(ctx, loan.DID, "246801")
	_, err = w.LoanByPIN(ctx, loan.DID, pin)
	w.must(err)
	_, _ = w.LoanByANI(ctx, loan.DID, newPhone)
	w.must(w.ChangeLine(ctx, "test", "", line, ivr.Phone, newPhone))
	w.must(w.Deposit(ctx, "test", "pay_1", client.ID, 100_00))
	o := opening(client.ID, advisor, w.plan())
	o.ANI = ivr.Mask(clientPhone)
	_, err = w.Hold(ctx, o)
	w.must(err)
	w.must(w.Close(ctx, ended(o, time.Minute)))

	secrets := map[string]string{"code": code, "wrong code": wrong, "PIN": pin, "wrong PIN": "246801", "endpoint": endpoint,
		"key": string(testKey), "client's number": clientPhone[1:], "line's number": linePhone[1:], "line's new number": newPhone[1:]}
	for where, text := range w.everything() {
		for what, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s holds the %s", where, what)
			}
		}
	}
	for _, name := range []string{"postgres.log", "redis.log"} {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(exchange.Dir()), name))
		w.must(err)
		if len(text) == 0 {
			t.Errorf("%s is empty", name)
		}
		for what, secret := range secrets {
			if len(secret) > 6 && bytes.Contains(text, []byte(secret)) { // shorter ones are found in times
				t.Errorf("%s holds the %s", name, what)
			}
		}
	}
}

// everything is what each column of text or bytes holds. Times and counts are left
// out: six digits of chance would be found in them.
func (w *town) everything() map[string][]byte {
	w.t.Helper()
	var columns []struct{ Table, Column, Type string }
	db := w.superuser()
	w.must(db.Select(&columns, `
		SELECT table_name AS table, column_name AS column, data_type AS type FROM information_schema.columns
		WHERE table_schema = 'public' AND data_type IN ('text', 'jsonb', 'bytea')`))
	if len(columns) < 40 {
		w.t.Fatalf("only %d columns were found", len(columns))
	}
	all := map[string][]byte{}
	for _, c := range columns {
		var cells [][]byte
		query := fmt.Sprintf(`SELECT %s::text::bytea FROM %s WHERE %[1]s IS NOT NULL`, c.Column, c.Table)
		if c.Type == "bytea" {
			query = fmt.Sprintf(`SELECT %s FROM %s WHERE %[1]s IS NOT NULL`, c.Column, c.Table)
		} else if c.Type == "text" {
			query = fmt.Sprintf(`SELECT convert_to(%s, 'UTF8') FROM %s WHERE %[1]s IS NOT NULL`, c.Column, c.Table)
		}
		w.must(db.Select(&cells, query))
		all[c.Table+"."+c.Column] = bytes.Join(cells, []byte{'\n'})
	}
	return all
}
