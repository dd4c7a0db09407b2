// Package packaging is the Debian package, and the test that installs it: see Makefile.
package packaging

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var deb = flag.String("deb", "", "the package to be installed: `make deb-test` says which")

// fresh is a Debian of its own, with Asterisk, in which nothing of ours is installed yet. The
// suite is the one that has Asterisk 22.
func fresh(t *testing.T, ctx context.Context) (root string) {
	t.Helper()
	root = filepath.Join(t.TempDir(), "debian")
	run(t, ctx, "mmdebstrap", "--variant=minbase", "--include=systemd,asterisk,ca-certificates,ffmpeg,flite,sox",
		`--aptopt=Acquire::Check-Valid-Until "false"`, "forky", root, "http://deb.debian.org/debian")
	run(t, ctx, "mount", "-t", "proc", "proc", filepath.Join(root, "proc"))
	t.Cleanup(func() { run(t, context.Background(), "umount", "-l", filepath.Join(root, "proc")) })
	return root
}

// run runs a command that must succeed and returns what it says.
func run(t *testing.T, ctx context.Context, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// The package installs; its units are sound and shut in; an upgrade keeps secrets and what an
// operator wrote; Asterisk starts from its files and gives every number to the program.
func TestThePackageInstalls(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	root := fresh(t, ctx)
	in := func(args ...string) string {
		t.Helper()
		return run(t, ctx, append([]string{"chroot", root}, args...)...)
	}
	run(t, ctx, "cp", *deb, filepath.Join(root, "parley.deb"))
	in("dpkg", "-i", "/parley.deb")

	if out := in("parley", "settings"); !strings.Contains(out, "PARLEY_NODE") {
		t.Errorf("parley settings says %s", out)
	}
	in("id", "parley")
	for name, want := range map[string]string{
		"/etc/parley/secrets": "700 root", "/etc/parley/secrets/key": "600 root", "/etc/parley/secrets/ari": "600 root",
		"/etc/parley/parley.yaml": "644 root", "/usr/bin/parley": "755 root", "/usr/lib/parley/upgrade": "755 root",
	} {
		if got := strings.TrimSpace(in("stat", "-c", "%a %U", name)); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	key := in("cat", "/etc/parley/secrets/key")
	if len(key) != 64 {
		t.Errorf("the key has %d digits", len(key))
	}
	in("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/parley@a.service", "/usr/lib/systemd/system/parley-asterisk.service")
	for _, unit := range []string{"parley@.service", "parley-asterisk.service"} {
		out := in("systemd-analyze", "security", "--offline=yes", "--threshold=20", "/usr/lib/systemd/system/"+unit)
		t.Log(strings.TrimSpace(out[strings.LastIndex(out, "→"):]))
	}

	in("sh", "-c", "echo '# mine' >> /etc/parley/parley.yaml")
	in("dpkg", "-i", "/parley.deb")
	if in("cat", "/etc/parley/secrets/key") != key || !strings.Contains(in("cat", "/etc/parley/parley.yaml"), "# mine") {
		t.Error("an upgrade changed what was there")
	}
	startAsterisk(t, ctx, root)
	in("dpkg", "-r", "parley")
	if in("cat", "/etc/parley/secrets/key") != key {
		t.Error("the key is gone with the package")
	}
}

// startAsterisk starts it as the unit does, but for the sandbox, which needs systemd.
func startAsterisk(t *testing.T, ctx context.Context, root string) {
	t.Helper()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	run(t, ctx, "chroot", root, "install", "-d", "-o", "asterisk", "/run/asterisk", "/etc/asterisk")
	env := []string{"PARLEY_ASTERISK_PASSWORD=a-token-for-the-test", "CARRIER_URI=sip:127.0.0.3:5060", "CARRIER_ADDRESSES=127.0.0.3",
		"SIP_ADDR=127.0.0.31:5160", "MEDIA_ADDRESS=127.0.0.31", "HTTP_PORT=18088"}
	asterisk := exec.CommandContext(ctx, "chroot", append([]string{"--userspec=asterisk:asterisk", root, "/usr/bin/env"}, append(env, "/usr/lib/parley/start-asterisk")...)...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	asterisk.Stdout, asterisk.Stderr = log, log
	if err := asterisk.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stop(); asterisk.Wait() }()
	for until := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		out, err := exec.CommandContext(ctx, "chroot", root, "asterisk", "-rx", "dialplan show intake").CombinedOutput()
		if err == nil && strings.Contains(string(out), "Stasis(parley,in,") {
			return
		}
		if time.Now().After(until) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("Asterisk does not serve: %v %s\n%s", err, out, text)
		}
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *deb == "" {
		fmt.Fprintln(os.Stderr, "-deb says which package to install; `make deb-test` does")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
