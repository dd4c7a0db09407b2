package stage

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// systemctl does what the upgrade asks systemd for, with the units' files under $UNITS.
const systemctl = `#!/bin/sh
set -eu
for unit; do :; done # the last word
pid="$UNITS/$unit.pid"
case "$*" in
*is-active*) [ -e "$pid" ] ;;
start*)
	eval "$(cat "$UNITS/$unit.env")"
	setsid parley serve >"$UNITS/$unit.log" 2>&1 &
	echo $! >"$pid" ;;
stop*)
	kill -TERM "$(cat "$pid")"
	while kill -0 "$(cat "$pid")" 2>/dev/null; do sleep 0.1; done
	rm "$pid" ;;
esac
`

// The package's upgrade, in a talk: the new copy comes up beside the old one, which hands over
// and is gone. Nobody hears it, and the talk is charged in whole.
func TestThePackagesUpgradeDropsNoCall(t *testing.T) {
	stage, anna, ctx := newStage(t)
	s := newSceneOn(t, ctx, stage, anna, 6000)
	client, advisor := s.talk()
	began := s.began(client)

	dir := t.TempDir()
	s.must(os.WriteFile(filepath.Join(dir, "systemctl"), []byte(systemctl), 0o755))
	s.must(os.Symlink(stage.bin, filepath.Join(dir, "parley")))
	s.must(os.MkdirAll(filepath.Join(dir, "secrets"), 0o700))
	for _, kv := range stage.Env { // the script names files, as the units do
		for name, key := range map[string]string{"key": "PARLEY_KEY=", "dsn": "PARLEY_POSTGRES_DSN="} {
			if value, found := strings.CutPrefix(kv, key); found {
				s.must(os.WriteFile(filepath.Join(dir, "secrets", name), []byte(value), 0o600))
			}
		}
	}
	// The old copy is parley@a; the new one listens where the package has b listen.
	s.must(os.WriteFile(filepath.Join(dir, "parley@a.pid"), fmt.Appendf(nil, "%d\n", stage.Program.PID()), 0o644))
	addr := stage.Lab.SpareAddr()
	s.must(os.WriteFile(filepath.Join(dir, "b.env"), []byte("PARLEY_HTTP_ADDR="+addr+"\n"), 0o644))
	s.must(os.WriteFile(filepath.Join(dir, "parley@b.env"), []byte("export PARLEY_HTTP_ADDR="+addr+"\n"), 0o644))

	script, err := filepath.Abs("../../packaging/upgrade")
	s.must(err)
	upgrade := exec.CommandContext(ctx, "/bin/sh", script)
	upgrade.Env = append(append(os.Environ(), stage.Env...), "PATH="+dir+":/usr/bin:/bin", "PARLEY_ETC="+dir, "UNITS="+dir)
	asked := time.Now()
	out, err := upgrade.CombinedOutput()
	t.Cleanup(func() {
		exec.Command("/bin/sh", "-c", "kill -KILL $(cat "+filepath.Join(dir, "parley@b.pid")+")").Run()
	})
	if err != nil || !strings.Contains(string(out), "parley@b serves") {
		t.Fatalf("the upgrade: %v\n%s", err, out)
	}
	t.Logf("upgraded in %v", time.Since(asked).Round(10*time.Millisecond))
	select {
	case <-stage.Program.Done():
	default:
		t.Error("the old copy still runs")
	}
	s.must(client.HearsTone(ctx, advisorTone, patience))
	s.must(client.Hangup(ctx))
	heard := time.Since(began)
	s.ends(advisor)
	if share := client.ToneShare(advisorTone, began, client.EndedAt()); share < 0.95 {
		s.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.near(s.recorded("completed"), heard)
	s.audit()
}
