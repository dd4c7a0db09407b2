package lab

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// orphan, in the environment, makes this binary the owner of a lab that is to be killed.
const orphan = "PARLEY_LAB_ORPHAN"

func TestMain(m *testing.M) {
	if os.Getenv(orphan) != "" {
		beOrphaned()
	}
	os.Exit(m.Run())
}

func start(t *testing.T, o Options) *Lab {
	t.Helper()
	l, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (l *Lab) services() []*Service { return l.run.services }

func TestTwoLabsRunSideBySide(t *testing.T) {
	var labs [2]*Lab
	var faults [2]error
	var both sync.WaitGroup
	for i := range labs {
		both.Go(func() { labs[i], faults[i] = Start(t.Context(), Options{}) })
	}
	both.Wait()
	for i, l := range labs {
		if faults[i] != nil {
			t.Fatal(faults[i])
		}
		defer l.Close()
	}

	taken := map[string]bool{}
	for _, l := range labs {
		for _, addr := range []string{l.Asterisk.URL, l.Asterisk.SIPAddr, l.Asterisk.CarrierAddr, l.Postgres.Addr, l.Redis.Addr, l.Asterisk.PromptsDir} {
			if taken[addr] {
				t.Errorf("both labs have %s", addr)
			}
			taken[addr] = true
		}
		checkAsterisk(t, l)
		checkPostgres(t, l)
		if got := redis(t, l.Redis, "INFO server"); !strings.HasPrefix(got, "$") {
			t.Errorf("INFO: %q", got)
		}
		for _, s := range l.services() {
			if uid := uidOf(t, s.PID()); uid == "0" {
				t.Errorf("%s runs as root", s.name)
			}
		}
	}
}

// checkAsterisk checks the version, that each module of modules.conf runs, and that
// starting wrote nothing worse than a notice.
func checkAsterisk(t *testing.T, l *Lab) {
	t.Helper()
	var info struct{ System struct{ Version string } }
	ari(t, l, "/asterisk/info", &info)
	if !atLeast("Asterisk "+info.System.Version, asteriskVersion) {
		t.Errorf("Asterisk is %q", info.System.Version)
	}

	var modules []struct{ Name, Status string }
	ari(t, l, "/asterisk/modules", &modules)
	running := map[string]bool{}
	for _, m := range modules {
		running[m.Name] = m.Status == "Running"
	}
	conf := read(t, filepath.Join(filepath.Dir(l.Asterisk.LogDir), "etc/modules.conf"))
	wanted := regexp.MustCompile(`(?m)^load = (.*)$`).FindAllStringSubmatch(conf, -1)
	if len(wanted) < 50 {
		t.Errorf("modules.conf names %d modules only", len(wanted))
	}
	for _, m := range wanted {
		if !running[m[1]] {
			t.Errorf("%s does not run", m[1])
		}
	}
	for line := range strings.Lines(read(t, filepath.Join(l.Asterisk.LogDir, "messages.log"))) {
		if strings.Contains(line, "ERROR[") || strings.Contains(line, "WARNING[") {
			t.Errorf("Asterisk said at its start: %s", line)
		}
	}
	out, err := l.Asterisk.CLI(t.Context(), "dialplan show from-trunk")
	if err != nil || !strings.Contains(out, "intake,s,1") {
		t.Errorf("dialplan: %v\n%s", err, out)
	}
}

// checkPostgres checks the version, and that a database's owner may do what migrations do.
func checkPostgres(t *testing.T, l *Lab) {
	t.Helper()
	dsn, err := l.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dsn)
	var version string
	if err := db.QueryRowContext(t.Context(), "SHOW server_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version, postgresVersion+".") {
		t.Errorf("Postgres is %s", version)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (); CREATE ROLE app_of_t; GRANT SELECT ON t TO app_of_t"); err != nil {
		t.Error(err)
	}
	other, err := l.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, other).ExecContext(t.Context(), "SELECT 1 FROM t"); err == nil {
		t.Error("a new database is not empty")
	}
}

func TestDurableReachesTheDisk(t *testing.T) {
	for durable, want := range map[bool]string{false: "off off", true: "on on"} {
		l := start(t, Options{WithoutAsterisk: true, Durable: durable})
		var got string
		err := open(t, l.Postgres.SuperuserDSN).QueryRowContext(t.Context(),
			"SELECT current_setting('fsync') || ' ' || current_setting('full_page_writes')").Scan(&got)
		if err != nil || got != want {
			t.Errorf("durable %v: fsync and full_page_writes are %q, %v", durable, got, err)
		}
	}
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	l := start(t, Options{})
	var pids []int
	for _, s := range l.services() {
		pids = append(pids, s.PID())
		pids = append(pids, children(s.PID())...)
	}
	were := map[int]string{}
	for _, pid := range pids {
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		were[pid] = string(command)
	}
	if len(pids) < 6 { // Postgres alone has several
		t.Fatalf("too few processes: %v", pids)
	}
	if err := l.Postgres.Stop(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range pids {
		if alive(pid) {
			now, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			t.Errorf("process %d is still there, which was %q:\n%s", pid, were[pid], now)
		}
	}
	for _, dir := range []string{l.run.dir, l.run.asterisk} {
		if exists(dir) {
			t.Errorf("%s is still there", dir)
		}
	}
}

// legacy is what an owner tells of its lab before it is killed.
type legacy struct {
	PIDs []int
	Dirs []string
}

// beOrphaned starts a lab, freezes its Postgres, says what there is and waits for the end.
func beOrphaned() {
	l, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	left := legacy{Dirs: []string{l.run.dir, l.run.asterisk}}
	for _, s := range l.services() {
		left.PIDs = append(left.PIDs, s.PID())
	}
	if err := l.Postgres.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(left)
	select {}
}

func TestAKilledOwnerLeavesNothing(t *testing.T) {
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), orphan+"=yes")
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var left legacy
	if err := json.NewDecoder(out).Decode(&left); err != nil {
		t.Fatal(err)
	}
	if len(left.PIDs) != 3 {
		t.Fatalf("owner tells of %+v", left)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	owner.Wait()

	// The kernel ends what is not frozen; the next lab ends the rest and tidies up.
	start(t, Options{WithoutAsterisk: true, WithoutPostgres: true})
	for _, pid := range left.PIDs {
		eventually(t, fmt.Sprintf("process %d ends", pid), func() error {
			if alive(pid) {
				return errors.New("it lives")
			}
			return nil
		})
	}
	for _, dir := range left.Dirs {
		if exists(dir) {
			t.Errorf("%s is still there", dir)
		}
	}
}

func TestAKilledServiceComesBackWithItsPortAndData(t *testing.T) {
	l := start(t, Options{})
	dsn, err := l.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dsn)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE kept AS SELECT 42 AS n"); err != nil {
		t.Fatal(err)
	}
	redis(t, l.Redis, "SET kept 42")
	if out, err := l.Asterisk.CLI(t.Context(), "database put family kept 42"); err != nil {
		t.Fatal(out, err)
	}
	// Asterisk writes its database behind, about once a second.
	eventually(t, "Asterisk writes its database", func() error {
		if !strings.Contains(read(t, filepath.Join(l.run.asterisk, "lib/astdb.sqlite3")), "/family/kept") {
			return errors.New("not yet")
		}
		return nil
	})

	for _, s := range l.services() {
		pid, done := s.PID(), s.Done()
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		if alive(pid) {
			t.Errorf("%s lives", s.name)
		}
		if err := s.ready(t.Context()); err == nil {
			t.Errorf("%s still serves", s.name)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.PID() == pid {
			t.Errorf("%s is the old process", s.name)
		}
		if err := s.ready(t.Context()); err != nil {
			t.Error(err)
		}
	}

	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT n FROM kept").Scan(&n); err != nil || n != 42 {
		t.Errorf("Postgres kept %d, %v", n, err)
	}
	if got := redis(t, l.Redis, "GET kept"); got != "$2" {
		t.Errorf("Redis kept %q", got)
	}
	if out, err := l.Asterisk.CLI(t.Context(), "database get family kept"); err != nil || !strings.Contains(out, "42") {
		t.Errorf("Asterisk kept %q, %v", out, err)
	}
}

func TestAStoppedServiceIsSilentUntilItGoesOn(t *testing.T) {
	l := start(t, Options{})
	for _, s := range l.services() {
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := s.ready(ctx); err == nil {
			t.Errorf("%s answers although it is stopped", s.name)
		}
		cancel()
		if err := s.Cont(); err != nil {
			t.Fatal(err)
		}
		eventually(t, s.name+" serves again", func() error { return s.ready(t.Context()) })
	}
}

func TestAServiceThatDoesNotComeUpShowsItsOwnLog(t *testing.T) {
	l := start(t, Options{WithoutAsterisk: true, WithoutRedis: true})
	if err := l.Postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	l.Postgres.args = append(l.Postgres.args, "-c", "no_such_setting=1")
	err := l.Postgres.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such_setting"`) {
		t.Errorf("error: %v", err)
	}
}

func TestPromptsAreSeenByAsterisk(t *testing.T) {
	l := start(t, Options{WithoutPostgres: true, WithoutRedis: true})
	inside := filepath.Join(l.Asterisk.attr.Chroot, l.Asterisk.PromptsPath)
	if inside != l.Asterisk.PromptsDir {
		t.Errorf("%s is not %s", inside, l.Asterisk.PromptsDir)
	}
	for _, sound := range []string{"digits/4.wav", "beep.wav", "sorry.wav", "please-try-call-later.wav"} {
		link := filepath.Join(l.Asterisk.attr.Chroot, "usr/share/asterisk/sounds/en_US_f_Allison", sound)
		if !exists(link) {
			t.Errorf("no core sound %s", sound)
		}
	}
}

func ari(t *testing.T, l *Lab, path string, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.Asterisk.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(l.Asterisk.User, l.Asterisk.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		t.Fatalf("%s: %s: %v", path, resp.Status, err)
	}
}

func open(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// redis sends one command and returns the first line of the answer.
func redis(t *testing.T, r *Redis, command string) string {
	t.Helper()
	conn, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\n", command)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "-") {
		t.Fatalf("%s: %q, %v", command, line, err)
	}
	return strings.TrimSpace(line)
}

func uidOf(t *testing.T, pid int) string {
	t.Helper()
	status := read(t, fmt.Sprintf("/proc/%d/status", pid))
	uid := regexp.MustCompile(`(?m)^Uid:\t(\d+)`).FindStringSubmatch(status)
	if uid == nil {
		t.Fatalf("no Uid in %s", status)
	}
	return uid[1]
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventually waits until check succeeds.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	limit := time.After(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("%s: %v", what, err)
		case <-again.C:
		}
	}
}
