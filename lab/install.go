package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Asterisk comes from the Debian release that has it, into a root directory of its own.
// Versions below this one deadlock under ARI's load, or let ARI run commands.
const (
	asteriskSuite   = "forky"
	asteriskVersion = "22.10.1"
)

// asteriskPackages is part of the recipe by which the root is known in the cache.
var asteriskPackages = []string{"asterisk", "asterisk-core-sounds-en-wav", "asterisk-moh-opsound-wav", "ca-certificates"}

// postgresVersion is Debian 12's.
const postgresVersion = "15"

// hostPackages are what this machine needs, each with a file that shows it is there.
var hostPackages = []struct{ name, file string }{
	{"ca-certificates", "/usr/sbin/update-ca-certificates"},
	{"espeak-ng", "/usr/bin/espeak-ng"},
	{"ffmpeg", "/usr/bin/ffmpeg"},
	{"flite", "/usr/bin/flite"},
	{"mmdebstrap", "/usr/bin/mmdebstrap"},
	{"postgresql-" + postgresVersion, "/usr/lib/postgresql/" + postgresVersion + "/bin/postgres"},
	{"redis-server", "/usr/bin/redis-server"},
	{"sip-tester", "/usr/bin/sipp"},
	{"sox", "/usr/bin/sox"},
}

// installation is what Install leaves on the machine.
type installation struct {
	cache            string
	asteriskRoot     string
	postgresBin      string
	postgresTemplate string // an empty data directory; beside it TEMPLATE.password
	postgresUser     *syscall.Credential
	redisUser        *syscall.Credential
}

// Install makes the machine able to start labs: Debian's packages, a root directory with
// Asterisk, an empty Postgres. It does nothing that is done already. Built things are
// kept in $PARLEY_CACHE, or else in /var/cache/parley. What it does, it tells progress.
func Install(ctx context.Context, progress io.Writer) error {
	_, err := install(ctx, progress)
	return err
}

func install(ctx context.Context, progress io.Writer) (inst installation, err error) {
	release, _ := os.ReadFile("/etc/os-release") // missing: not Debian
	if err := supported(os.Geteuid(), string(release)); err != nil {
		return inst, err
	}
	inst.cache = os.Getenv("PARLEY_CACHE")
	if inst.cache == "" {
		inst.cache = "/var/cache/parley"
	}
	if inst.cache, err = filepath.Abs(inst.cache); err != nil {
		return inst, err
	}
	if err := os.MkdirAll(inst.cache, 0o755); err != nil {
		return inst, err
	}
	if err := reachable(inst.cache); err != nil {
		return inst, err
	}
	recipe := sha256.Sum256(fmt.Append(nil, asteriskSuite, asteriskPackages, asteriskSetup))
	inst.asteriskRoot = filepath.Join(inst.cache, fmt.Sprintf("asterisk-%x", recipe[:6]))
	inst.postgresBin = "/usr/lib/postgresql/" + postgresVersion + "/bin"
	inst.postgresTemplate = filepath.Join(inst.cache, "postgres-"+postgresVersion)

	if !inst.complete() {
		unlock, err := lock(ctx, filepath.Join(inst.cache, "install.lock"))
		if err != nil {
			return inst, err
		}
		defer unlock()
		if err := inst.buildMissing(ctx, progress); err != nil {
			return inst, err
		}
	}
	if inst.postgresUser, err = owner("postgres"); err != nil {
		return inst, err
	}
	inst.redisUser, err = owner("redis")
	return inst, err
}

// supported says what to do where a machine cannot run a lab. release is its
// /etc/os-release.
func supported(uid int, release string) error {
	const remedy = "run it in Docker instead, as docker/README.md says"
	if uid != 0 {
		return errors.New("the private exchange needs root, for a chroot and for users of its own: become root, or " + remedy)
	}
	lines := strings.Split(release, "\n")
	if !slices.Contains(lines, "ID=debian") || !slices.Contains(lines, `VERSION_ID="12"`) {
		return errors.New("the private exchange is installed from Debian 12, which this machine does not run: " + remedy)
	}
	return nil
}

// reachable reports a directory that the services' own users could not get to.
func reachable(dir string) error {
	for ; dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("%s is closed to other users, so Postgres and Redis cannot work below it: set PARLEY_CACHE to another directory", dir)
		}
	}
	return nil
}

func (inst installation) complete() bool {
	return len(missingPackages()) == 0 && exists(inst.asteriskRoot) && exists(inst.postgresTemplate)
}

// buildMissing brings in what is missing. The caller holds the lock.
func (inst installation) buildMissing(ctx context.Context, progress io.Writer) error {
	if missing := missingPackages(); len(missing) > 0 {
		if err := installPackages(ctx, progress, missing); err != nil {
			return err
		}
	}
	if !exists(inst.asteriskRoot) {
		if err := buildAsterisk(ctx, progress, inst.asteriskRoot); err != nil {
			return fmt.Errorf("build Asterisk's root: %w", err)
		}
	}
	if !exists(inst.postgresTemplate) {
		if err := inst.buildPostgres(ctx); err != nil {
			return fmt.Errorf("make an empty Postgres: %w", err)
		}
	}
	return nil
}

func missingPackages() []string {
	var missing []string
	for _, p := range hostPackages {
		if !exists(p.file) {
			missing = append(missing, p.name)
		}
	}
	return missing
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// installPackages installs packages and keeps Debian from running them as services of
// the machine, now or at the next boot.
func installPackages(ctx context.Context, progress io.Writer, names []string) error {
	fmt.Fprintf(progress, "lab: installing Debian's %s\n", strings.Join(names, " "))
	undo, err := forbidServices()
	if err != nil {
		return err
	}
	defer undo()
	apt := []string{"apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"}
	if err := command(ctx, append(apt, "update")...); err != nil {
		return err
	}
	// An up-to-date keyring knows the keys of the release that has Asterisk.
	install := append(apt, "install", "-y", "--no-install-recommends", "debian-archive-keyring")
	if err := command(ctx, append(install, names...)...); err != nil {
		return err
	}
	for _, name := range names {
		if name == "redis-server" && exists("/usr/bin/systemctl") {
			return command(ctx, "systemctl", "disable", "redis-server")
		}
	}
	return nil
}

// forbidServices keeps maintainer scripts from starting services (policy-rc.d, exit
// status 101) and Postgres from making a cluster, until undo.
func forbidServices() (undo func(), err error) {
	const (
		cluster = "/etc/postgresql-common/createcluster.d/parley.conf"
		policy  = "/usr/sbin/policy-rc.d"
		refusal = "#!/bin/sh\n# While parley's lab is being installed.\nexit 101\n"
	)
	if err := os.MkdirAll(filepath.Dir(cluster), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(cluster, []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return nil, err
	}
	undo = func() { os.Remove(cluster) }
	present, err := os.ReadFile(policy)
	if err == nil && string(present) != refusal {
		return undo, nil // this machine has a policy of its own
	}
	if err := os.WriteFile(policy, []byte(refusal), 0o755); err != nil {
		undo()
		return nil, err
	}
	return func() { os.Remove(cluster); os.Remove(policy) }, nil
}

// asteriskSetup runs inside the new root, and is part of the recipe too.
const asteriskSetup = "install -d -m 755 /run/parley"

// buildAsterisk makes the root under another name and renames it when it is whole.
func buildAsterisk(ctx context.Context, progress io.Writer, root string) error {
	fmt.Fprintf(progress, "lab: building a private Asterisk from Debian %s in %s (once; about a minute)\n", asteriskSuite, root)
	temp := root + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	args := []string{"mmdebstrap", "--variant=minbase",
		"--include=" + strings.Join(asteriskPackages, ","),
		"--customize-hook=chroot \"$1\" sh -c \"" + asteriskSetup + "\"",
		// Mirrors may lag behind the week for which a testing release is valid.
		`--aptopt=Acquire::Check-Valid-Until "false"`,
	}
	args = append(args, proxies(ctx)...)
	args = append(args, asteriskSuite, temp, mirror(ctx))
	if err := command(ctx, args...); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "chroot", temp, "/usr/sbin/asterisk", "-V").Output()
	if err != nil {
		return err
	}
	if !atLeast(string(out), asteriskVersion) {
		return fmt.Errorf("%s offers %q, and %s is needed", asteriskSuite, bytes.TrimSpace(out), asteriskVersion)
	}
	return os.Rename(temp, root)
}

// mirror is where this machine gets Debian from, or else Debian's own address.
func mirror(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Origin: Debian", "Label: Debian").Output()
	if uri, _, found := strings.Cut(string(out), "\n"); err == nil && found && uri != "" {
		return uri
	}
	return "http://deb.debian.org/debian"
}

// proxies passes this machine's own proxies on, as options of mmdebstrap.
func proxies(ctx context.Context) []string {
	var options []string
	for _, section := range []string{"Acquire::http", "Acquire::https"} {
		out, err := exec.CommandContext(ctx, "apt-config", "dump", "--no-empty", section).Output()
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "::Proxy") {
				options = append(options, "--aptopt="+strings.TrimSpace(line))
			}
		}
	}
	return options
}

// atLeast compares the version in a text such as "Asterisk 22.10.1+dfsg-1".
func atLeast(text, want string) bool {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return false
	}
	have := strings.FieldsFunc(fields[1], func(r rune) bool { return r < '0' || r > '9' })
	for i, w := range strings.Split(want, ".") {
		if i >= len(have) {
			return false
		}
		h, _ := strconv.Atoi(have[i])
		n, _ := strconv.Atoi(w)
		if h != n {
			return h > n
		}
	}
	return true
}

// buildPostgres makes the data directory that every lab's Postgres begins as a copy of.
func (inst installation) buildPostgres(ctx context.Context) error {
	credential, err := owner("postgres")
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp(inst.cache, "postgres-new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chown(temp, int(credential.Uid), int(credential.Gid)); err != nil {
		return err
	}
	data, password := filepath.Join(temp, "data"), filepath.Join(temp, "password")
	if err := os.WriteFile(password, []byte(rand.Text()), 0o600); err != nil {
		return err
	}
	if err := os.Chown(password, int(credential.Uid), int(credential.Gid)); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(inst.postgresBin, "initdb"), "-D", data,
		"--username=postgres", "--pwfile="+password, "--auth=scram-sha-256",
		"--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := os.Rename(password, inst.postgresTemplate+".password"); err != nil {
		return err
	}
	return os.Rename(data, inst.postgresTemplate)
}

// command runs one of Install's steps; the end of its output goes into the error.
func command(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	// Both apt and mmdebstrap tidy up after themselves when interrupted.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	if end, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args[:min(2, len(args))], " "), err, end[max(0, len(end)-2000):])
	}
	return nil
}

func owner(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	return credential(u.Uid, u.Gid)
}

// ownerIn looks a user up in a root directory's own list.
func ownerIn(root, name string) (*syscall.Credential, error) {
	text, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 3 && f[0] == name {
			return credential(f[2], f[3])
		}
	}
	return nil, fmt.Errorf("%s has no user %s", root, name)
}

func credential(uid, gid string) (*syscall.Credential, error) {
	u, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return nil, err
	}
	g, err := strconv.ParseUint(gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(u), Gid: uint32(g)}, nil
}
