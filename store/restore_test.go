package store

import (
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"parley/ivr"
)

// The disk is lost and a backup of five minutes ago restored: its books are clean, and of
// all that others know of, exactly what came after it is named as missing. Payments are
// credited again by their IDs, once; the call that was up is settled by its proof.
func TestRestoreNamesWhatIsMissing(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client, advisor, plan := w.client(0), w.advisor(), w.plan()
	w.must(w.Deposit(ctx, "test", "pay_before", client, 100_00))
	before, up := opening(client, advisor, plan), opening(client, advisor, plan)
	for _, o := range []ivr.Opening{before, up} {
		_, err := w.Hold(ctx, o)
		w.must(err)
	}
	w.must(w.Close(ctx, ended(before, 150*time.Second)))
	w.must(w.Prove(ctx, []ivr.Proof{{Call: up.Call, Segment: 1, Talk: 10 * time.Second}}))
	noted, err := w.Audit(ctx)
	w.must(err)
	file := filepath.Join(t.TempDir(), "parley.dump")
	run(t, "pg_dump", "--format=custom", "--file="+file, w.ownerDSN)

	known := []string{"pay_before", string(before.Call), string(up.Call)}
	w.must(w.Close(ctx, ended(up, 400*time.Second)))
	var lost []string
	for range 3 {
		o := opening(client, advisor, plan)
		_, err := w.Hold(ctx, o)
		w.must(err)
		w.must(w.Close(ctx, ended(o, 30*time.Second)))
		lost = append(lost, string(o.Call))
	}
	w.must(w.Deposit(ctx, "test", "pay_after", client, 7_00))
	lost = append(lost, "pay_after")
	known = append(known, lost...)
	if missing, err := w.Missing(ctx, known); err != nil || len(missing) > 0 {
		t.Errorf("before the loss: %q, %v", missing, err)
	}

	restored := w.restore(file)
	restored.clean()
	if report, err := restored.Audit(ctx); err != nil || report.LogRow != noted.LogRow || report.LogHash != noted.LogHash {
		t.Errorf("the audit log ends with row %d, %s; when the backup was made with row %d, %s: %v", report.LogRow, report.LogHash, noted.LogRow, noted.LogHash, err)
	}
	missing, err := restored.Missing(ctx, known)
	if err != nil || !slices.Equal(missing, lost) {
		t.Errorf("missing are %q, %v; want %q", missing, err, lost)
	}
	for range 2 {
		w.must(restored.Deposit(ctx, "test", "pay_before", client, 100_00))
		w.must(restored.Deposit(ctx, "test", "pay_after", client, 7_00))
	}
	w.must(restored.Close(ctx, ended(up, 10*time.Second)))
	charged := ended(before, 150*time.Second).Charge + ended(up, 10*time.Second).Charge
	if posted, held := restored.balance(client); posted != 107_00-charged || held != 0 {
		t.Errorf("the client has %v, %v held", posted, held)
	}
	if missing, err := restored.Missing(ctx, known); err != nil || !slices.Equal(missing, lost[:3]) {
		t.Errorf("then missing are %q, %v", missing, err)
	}
	restored.clean()
}

// restore makes a town of a backup, as OPERATIONS.md says.
func (w *town) restore(file string) *town {
	w.t.Helper()
	owner, err := exchange.NewDatabase(w.t.Context())
	w.must(err)
	run(w.t, "pg_restore", "--no-owner", "--exit-on-error", "--dbname="+owner, file)
	w.must(Migrate(w.t.Context(), owner))
	u := parse(w.t, owner)
	login := "program_of_" + u.User.Username()
	w.must(GrantProgram(w.t.Context(), owner, login, "password"))
	u.User = url.UserPassword(login, "password")
	restored := &town{t: w.t, ownerDSN: owner, dsn: u.String()}
	restored.Store = restored.open(restored.dsn)
	return restored
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
