package abuse

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// leaves are all commands, found as a shell's completion finds them.
func (s *scene) leaves(words ...string) (all [][]string) {
	s.Helper()
	out, err := shared.Parley(s.ctx, append(append([]string{"__complete"}, words...), "")...)
	s.must(err)
	for line := range strings.Lines(out) {
		name, _, isCommand := strings.Cut(strings.TrimSpace(line), "\t")
		if !isCommand || strings.HasPrefix(name, "-") || name == "help" || name == "completion" {
			continue
		}
		all = append(all, s.leaves(append(slices.Clone(words), name)...)...)
	}
	if len(all) == 0 {
		return [][]string{slices.Clone(words)}
	}
	return all
}

// Every secret setting is a canary. Every command is run with them, rightly and against
// things that are broken or refuse them: no output holds a canary, in clear or in another
// writing.
func TestNoSecretIsPrinted(t *testing.T) {
	s := newScene(t)
	var settings []struct{ Key, Env, What string }
	s.must(shared.ParleyJSON(s.ctx, &settings, "settings"))
	canaries := map[string]string{} // by environment variable
	for _, setting := range settings {
		if strings.Contains(setting.What, "(or "+setting.Key+"_file)") {
			canaries[setting.Env] = "canary" + strings.ToLower(rand.Text())
		}
	}
	if len(canaries) < 7 {
		s.Fatalf("only %d settings are secret", len(canaries))
	}
	key := make([]byte, 32)
	rand.Read(key)
	canaries["PARLEY_KEY"] = hex.EncodeToString(key)
	owner, err := shared.Lab.NewDatabase(s.ctx)
	s.must(err)
	ownerURL, err := url.Parse(owner)
	s.must(err)
	password, _ := ownerURL.User.Password()
	dsn := func(password, host string) string {
		return "postgres://" + ownerURL.User.Username() + ":" + password + "@" + host + ownerURL.Path + "?sslmode=disable"
	}
	good := maps.Clone(canaries)
	good["PARLEY_POSTGRES_DSN"], good["PARLEY_POSTGRES_OWNER_DSN"] = owner, owner
	for name, value := range map[string]string{
		"PARLEY_ASTERISK_URL": shared.Lab.Asterisk.URL, "PARLEY_REDIS_ADDR": shared.Lab.Redis.Addr, "PARLEY_REDIS_USER": shared.Lab.Redis.User,
		"PARLEY_PAYMENT_PROVIDER": "stripe", "PARLEY_PAYMENT_STRIPE_URL": "http://127.0.0.1:1", "PARLEY_LOG_LEVEL": "debug", "PARLEY_HTTP_ADDR": "127.0.0.1:0",
		"PARLEY_PROMPTS_DIR": filepath.Join(shared.Lab.Dir(), "canary-prompts"), "PARLEY_PROMPTS_CACHE": filepath.Join(os.TempDir(), "parley-canary-prompts"),
	} {
		good[name] = value
	}
	s.must(os.MkdirAll(good["PARLEY_PROMPTS_DIR"], 0o755))
	with := func(changes map[string]string) map[string]string {
		env := maps.Clone(good)
		maps.Copy(env, changes)
		return env
	}
	both := func(dsn string) map[string]string {
		return with(map[string]string{"PARLEY_POSTGRES_DSN": dsn, "PARLEY_POSTGRES_OWNER_DSN": dsn})
	}
	secret := canaries["PARLEY_POSTGRES_DSN"]
	broken := map[string]map[string]string{
		"a database that refuses":     both(dsn(secret, shared.Lab.Postgres.Addr)),
		"a database that is not":      both(dsn(secret, "127.0.0.1:1")),
		"a DSN that is none":          both("postgres://user:" + secret + "@[::1/parley"),
		"a DSN with another port":     both(dsn(secret, "127.0.0.1:"+secret)),
		"a DSN by words":              both("host=127.0.0.1 password='" + secret + " user"),
		"a key that is none":          with(map[string]string{"PARLEY_KEY": secret}),
		"a level that is none":        with(map[string]string{"PARLEY_LOG_LEVEL": "x", "PARLEY_HTTP_TRUSTED_PROXIES": "x"}),
		"a file that is not":          with(map[string]string{"PARLEY_KEY": "", "PARLEY_KEY_FILE": "/no/such/file"}),
		"everything right but others": good,
	}
	search := []string{password, base64.StdEncoding.EncodeToString(key)}
	for _, value := range canaries {
		search = append(search, value, strings.ToUpper(value), base64.StdEncoding.EncodeToString([]byte(value)))
	}
	var runs, failures atomic.Int64
	check := func(what string, env map[string]string, args ...string) string {
		out, err := s.runWith(env, args...)
		runs.Add(1)
		if err != nil {
			failures.Add(1)
		}
		for _, value := range search {
			if strings.Contains(out, value) {
				s.Errorf("with %s, parley %s prints a secret:\n%s", what, strings.Join(args, " "), out)
			}
		}
		return out
	}
	check("nothing wrong", good, "migrate")
	commands := s.leaves()
	if len(commands) < 25 {
		s.Fatalf("only these commands were found: %v", commands)
	}
	inTurn(len(commands), 3, func(i int) {
		words := commands[i]
		if words[0] == "serve" {
			return
		}
		for what, env := range broken {
			if !*long && what != "everything right but others" && (i+len(what))%9 != 0 {
				continue // the short form spreads the faults over the commands
			}
			check(what, env, words...)
			check(what, env, append(slices.Clone(words), "x", "y", "--json")...)
		}
	})
	names := slices.Sorted(maps.Keys(broken))
	inTurn(len(names), 3, func(i int) {
		if out := check(names[i], broken[names[i]], "serve"); len(out) == 0 {
			s.Errorf("with %s, serve says nothing", names[i])
		}
	})
	// The search can fail: what is printed is found.
	if out, _ := s.runWith(good, "plan", "check", good["PARLEY_KEY"]); !strings.Contains(out, good["PARLEY_KEY"]) {
		s.Errorf("a canary that is given as an argument is not found in %q", out)
	}
	record(t, fmt.Sprintf("%d secret settings as canaries, %d commands, %d runs of which %d failed as they should", len(canaries), len(commands), runs.Load(), failures.Load()),
		"no output holds a secret")
}

// runWith runs a command with nothing of this process's environment. One that serves is
// told to end after a while.
func (s *scene) runWith(env map[string]string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(s.ctx, time.Duration(amount(8, 20))*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.Command(ctx).Path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	cmd.Dir = shared.Lab.Dir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// What the stage's own program, at debug, and its Asterisk, Postgres and Redis have
// logged so far holds none of the secrets that they were really given, nor a token, nor
// a whole telephone number.
func TestLogsHoldNoSecrets(t *testing.T) {
	s := newScene(t)
	c := s.newCaller("Token Owner", 10_00)
	a := s.newAdvisor("Log Watcher", "")
	s.verify(a)
	s.end(s.talk(c, a))
	for _, wrong := range []string{"parley_" + rand.Text(), c.session.Token + "x"} {
		other := c.session
		other.Token = wrong
		_, _ = other.Account(s.ctx, c.ID) // refused, and perhaps logged
	}
	secrets := map[string]string{"a session's token": c.session.Token, "an app's token": a.app.Token, "the site's token": site.Token,
		"a caller's number": strings.TrimPrefix(c.Number, "+")}
	for _, setting := range shared.Env {
		name, value, _ := strings.Cut(setting, "=")
		if u, err := url.Parse(value); err == nil && u.User != nil {
			value, _ = u.User.Password()
		}
		if strings.Contains(name, "PASSWORD") || strings.HasSuffix(name, "_DSN") || name == "PARLEY_KEY" {
			secrets[name] = value
		}
	}
	delete(secrets, "PARLEY_POSTGRES_DSN") // the password of the stage's database is a plain word
	places := s.everywhere()
	for where, text := range places {
		for what, secret := range secrets {
			if secret == "" {
				s.Errorf("%s is empty", what)
			} else if strings.Contains(text, secret) {
				s.Errorf("%s holds %s", where, what)
			}
		}
	}
	record(t, fmt.Sprintf("%d logs, tables and files after talks and refused requests", len(places)), "none holds a token, a password, the key or a caller's number (%d looked for)", len(secrets))
}

// everywhere is all that was written: the database, and each log and file of the program,
// Asterisk, Postgres and Redis.
func (s *scene) everywhere() map[string]string {
	s.Helper()
	dump, err := exec.CommandContext(s.ctx, "pg_dump", "--data-only", "--inserts", shared.OwnerDSN).Output()
	s.must(err)
	places := map[string]string{"the database": string(dump)}
	asterisk := filepath.Dir(shared.Lab.Asterisk.LogDir)
	for _, dir := range []string{filepath.Join(asterisk, "log"), filepath.Join(asterisk, "lib"), filepath.Join(asterisk, "spool"), filepath.Dir(shared.Program.LogFile())} {
		s.must(filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
			base := filepath.Base(name)
			if err == nil && entry.IsDir() && (base == "postgres" || base == "work" || base == "keys") {
				return filepath.SkipDir // its data is in the dump; what the tests themselves keep
			}
			if err != nil || !entry.Type().IsRegular() || strings.HasSuffix(base, ".acl") || base == "parley" {
				return err
			}
			text, err := os.ReadFile(name)
			places[name] = string(text)
			return err
		}))
	}
	if len(places) < 6 || len(dump) < 1000 || len(shared.Log()) < 1000 {
		s.Fatalf("looked in too few places: %d, and %d bytes of database, %d of log", len(places), len(dump), len(shared.Log()))
	}
	return places
}
