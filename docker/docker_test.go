// Package docker is the images and compose, and the test that builds them, starts all of it and
// places a paid call: `make docker-test`.
package docker

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is where containers run: the machine's own dockerd, or one that the test starts.
type machine struct {
	*testing.T
	ctx context.Context
	dir string // for what the test makes
	env []string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	// Not t.Context(), which ends before what is cleaned up with it.
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Minute)
	t.Cleanup(cancel)
	builds(t)
	m := &machine{T: t, ctx: ctx, dir: t.TempDir(), env: append(os.Environ(), "DOCKER_BUILDKIT=1", "COMPOSE_DOCKER_CLI_BUILD=1",
		"COMPOSE_HTTP_TIMEOUT=300", "RTP_END=16423")}
	if _, err := m.try("docker", "info"); err == nil {
		return m
	}
	// Images are kept for the next time.
	data := "/var/cache/parley/docker"
	socket := "unix://" + filepath.Join(m.dir, "docker.sock")
	m.env = append(m.env, "DOCKER_HOST="+socket)
	dockerd := exec.Command("dockerd", "-H", socket, "--data-root", data,
		"--userland-proxy=false",
		"--exec-root", filepath.Join(m.dir, "exec"), "--pidfile", filepath.Join(m.dir, "pid"))
	log, err := os.Create(filepath.Join(m.dir, "dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	dockerd.Stdout, dockerd.Stderr = log, log
	if err := dockerd.Start(); err != nil {
		t.Fatalf("no dockerd runs, and none starts: %v", err)
	}
	t.Cleanup(func() {
		dockerd.Process.Signal(os.Interrupt)
		defer time.AfterFunc(time.Minute, func() { dockerd.Process.Kill() }).Stop()
		dockerd.Wait()
	})
	for until := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		out, err := m.try("docker", "info")
		if err == nil {
			return m
		}
		if time.Now().After(until) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd does not serve: %v %s\n%s", err, out, text)
		}
	}
}

// builds sees to it that "docker" is one that builds by BuildKit. Where the first of that name
// lacks the plug-in that this takes, Debian's, which needs none, goes before it.
func builds(t *testing.T) {
	t.Helper()
	const debians = "/usr/bin/docker"
	first, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	if first == debians || exec.Command(first, "buildx", "version").Run() == nil {
		return
	}
	dir := t.TempDir()
	if err := os.Symlink(debians, filepath.Join(dir, "docker")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func (m *machine) try(args ...string) (string, error) {
	cmd := exec.CommandContext(m.ctx, args[0], args[1:]...)
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) run(args ...string) string {
	m.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// get is what a published port of this machine answers.
func (m *machine) get(url string) string {
	m.Helper()
	answer, err := http.Get(url)
	if err != nil {
		m.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		m.Fatal(err)
	}
	return string(text)
}

// base is an image that others are built from: from the registry where there is one, and else
// a Debian of the same release, debootstrapped and imported.
func (m *machine) base(name, suite string) {
	m.Helper()
	if _, err := m.try("docker", "image", "inspect", name); err == nil {
		return
	}
	if _, err := m.try("timeout", "60", "docker", "pull", "-q", name); err == nil {
		return
	}
	m.Logf("%s is not to be had: Debian %s is imported in its place", name, suite)
	tree := filepath.Join(m.dir, suite+".tar")
	if _, err := os.Stat(tree); err != nil {
		m.run("mmdebstrap", "--variant=minbase", `--aptopt=Acquire::Check-Valid-Until "false"`, suite, tree, "http://deb.debian.org/debian")
	}
	m.run("docker", "import", tree, name)
}

// standIn is an image that does what an official one does for us, where that is not to be had.
func (m *machine) standIn(name, recipe string) {
	m.Helper()
	if _, err := m.try("docker", "image", "inspect", name); err == nil {
		return
	}
	if _, err := m.try("timeout", "60", "docker", "pull", "-q", name); err == nil {
		return
	}
	m.Logf("%s is not to be had: Debian's package stands in for it", name)
	dir := filepath.Join(m.dir, strings.ReplaceAll(name, ":", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(recipe), 0o644); err != nil {
		m.Fatal(err)
	}
	m.run("docker", "build", "-q", "-t", name, dir)
}

const (
	postgres = "postgres:15.14-bookworm"
	redis    = "redis:7.4.5-bookworm"

	postgresRecipe = `FROM debian:12.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends postgresql-15 && install -d -o postgres -m 700 /var/lib/postgresql/data
ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin
USER postgres
VOLUME /var/lib/postgresql/data
RUN printf '#!/bin/sh\nset -e\ncd /var/lib/postgresql/data\n[ -e PG_VERSION ] || { echo "$POSTGRES_PASSWORD" > /tmp/pw; initdb -D . -U "$POSTGRES_USER" --pwfile=/tmp/pw --auth-host=scram-sha-256 -E UTF8 --locale=C.UTF-8; echo "host all all all scram-sha-256" >> pg_hba.conf; pg_ctl -D . -w -o "-c listen_addresses= -k /tmp" start; createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"; pg_ctl -D . -w stop; }\nexec postgres -D . -c listen_addresses=* -k /tmp\n' > /tmp/start
ENV PGHOST=/tmp
CMD ["sh", "/tmp/start"]
`
	redisRecipe = `FROM debian:12.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends redis-server
USER redis
CMD ["redis-server", "--protected-mode", "no"]
`
)

// built is an image with the programs in it, as the Go of this machine makes them: the images'
// own Go stages need a registry. Where there is one, they are used.
func (m *machine) built() (image string) {
	m.Helper()
	if _, err := m.try("timeout", "60", "docker", "pull", "-q", "golang:1.26-bookworm"); err == nil {
		return "build"
	}
	m.Log("golang:1.26-bookworm is not to be had: the programs are built by this machine's Go")
	dir := filepath.Join(m.dir, "built")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.Fatal(err)
	}
	m.env = append(m.env, "CGO_ENABLED=0")
	for name, path := range map[string]string{"parley": "./cmd/parley", "start": "./docker/asterisk", "demo": "./docker/demo"} {
		m.run("go", "-C", "..", "build", "-o", filepath.Join(dir, name), path)
	}
	m.run("tar", "-C", dir, "-cf", filepath.Join(m.dir, "built.tar"), ".")
	m.run("docker", "import", filepath.Join(m.dir, "built.tar"), "parley-built")
	return "parley-built"
}

// All of compose comes up, healthy, and the demo places a paid call in it; nothing runs as root.
func TestComposePlacesACall(t *testing.T) {
	m := newMachine(t)
	m.base("debian:12.11-slim", "bookworm")
	m.base("debian:forky-slim", "forky")
	m.standIn(postgres, postgresRecipe)
	m.standIn(redis, redisRecipe)
	m.env = append(m.env, "PROGRAM="+m.built())
	secrets := filepath.Join(m.dir, "env")
	if err := os.WriteFile(secrets, []byte(m.run("sh", "make-env", "demo")), 0o600); err != nil {
		t.Fatal(err)
	}
	compose := func(args ...string) []string {
		return append([]string{"docker-compose", "--env-file", secrets, "-p", "parley-test", "-f", "compose.yaml", "--profile", "demo"}, args...)
	}
	m.run(compose("down", "-v")...) // what a test that was killed has left
	m.run(compose("build")...)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		m.ctx = ctx // however much of the test's own time is left
		m.run(compose("down", "-v", "--rmi", "local", "--timeout", "20")...)
	})
	m.run(compose("up", "-d", "postgres", "redis", "asterisk", "migrate", "parley")...)
	began := time.Now()
	out, err := m.try(compose("run", "--rm", "demo")...)
	if err != nil || !strings.Contains(out, "both hear each other") {
		logs, _ := m.try(compose("logs", "--tail", "40")...)
		t.Fatalf("the demo: %v\n%s\n%s", err, out, logs)
	}
	t.Logf("after %v:\n%s", time.Since(began).Round(time.Second), out)
	if text := m.get("http://127.0.0.1:9464/metrics"); !strings.Contains(text, "\nparley_") {
		t.Errorf("/metrics says %q", text)
	}
	for container := range strings.FieldsSeq(m.run(compose("ps", "-q")...)) {
		said := m.run("docker", "inspect", "-f", "{{.Name}} user={{.Config.User}} health={{if .State.Health}}{{.State.Health.Status}}{{end}} {{.State.Status}}", container)
		t.Log(strings.TrimSpace(said))
		if strings.Contains(said, "user= ") || strings.Contains(said, "health=unhealthy") {
			t.Errorf("it runs as root, or is not well: %s", said)
		}
	}
	t.Log(m.run("docker", "images", "--filter", "reference=parley-test*", "--format", "{{.Repository}} {{.Size}}"))
}
