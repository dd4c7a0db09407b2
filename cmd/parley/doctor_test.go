package main

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// run runs a command as a shell would, with these settings and no others.
func run(t *testing.T, settings map[string]string, args ...string) (string, error) {
	t.Helper()
	for _, s := range environment(settings) {
		t.Setenv(s[0], s[1])
	}
	var out bytes.Buffer
	root := newApp().root()
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func environment(settings map[string]string) (env [][2]string) {
	for key, value := range settings {
		env = append(env, [2]string{"PARLEY_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")), value})
	}
	return env
}

// Nothing is there: each thing is said, with what to do, and the command fails.
func TestDoctorWithNothingThere(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	go func() { // a stranger, who answers nothing that we would
		for {
			conn, err := taken.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	said, err := run(t, map[string]string{
		"key": strings.Repeat("ab", 32), "postgres.dsn": "postgres://parley:x@127.0.0.1:1/parley?sslmode=disable",
		"asterisk.url": "http://127.0.0.1:1/ari", "prompts.dir": t.TempDir(), "http.addr": taken.Addr().String(), "metrics.addr": "off",
		"http.origins": "http://parley.example",
	}, "doctor", "--json")
	if err == nil {
		t.Error("it says that all is well")
	}
	var found []finding
	if err := json.Unmarshal([]byte(said), &found); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	is := map[string]finding{}
	for _, f := range found {
		is[f.Check] = f
		if (f.State == fine) != (f.Mend == "") {
			t.Errorf("%+v", f)
		}
	}
	for check, want := range map[string]state{"settings": fine, "postgres": fault, "asterisk": fault, "prompts": warning,
		"http.addr": fault, "metrics.addr": fine, "certificate": warning} {
		if is[check].State != want {
			t.Errorf("%s: %+v, want %s", check, is[check], want)
		}
	}
}

// A setting that is wrong is named, its value is not.
func TestDoctorWithWrongSettings(t *testing.T) {
	said, err := run(t, map[string]string{"key": "secret", "postgres.dsn": "", "asterisk.rtp_timeout": "soon"}, "doctor")
	for _, want := range []string{"fault", "key must be", "postgres.dsn is not set", "asterisk.rtp_timeout", "->"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
	}
	if err == nil || strings.Contains(said, "secret") {
		t.Errorf("%v\n%s", err, said)
	}
}

// Every command takes --json, says what it does, and can be completed.
func TestEveryCommandTakesJSON(t *testing.T) {
	var walk func(*cobra.Command) int
	walk = func(c *cobra.Command) (n int) {
		for _, sub := range c.Commands() {
			n += walk(sub)
		}
		if c.Runnable() && c.HasParent() {
			n++
			if c.Short == "" || c.InheritedFlags().Lookup("json") == nil {
				t.Errorf("%s", c.CommandPath())
			}
		}
		return n
	}
	if n := walk(newApp().root()); n < 30 {
		t.Errorf("there are only %d commands", n)
	}
	if script, err := run(t, nil, "completion", "bash"); err != nil || !strings.Contains(script, "__start_parley") {
		t.Errorf("no completion: %v", err)
	}
	said, err := run(t, nil, "settings", "--json")
	var rows []map[string]string
	if err != nil || json.Unmarshal([]byte(said), &rows) != nil || len(rows) != len(settings) {
		t.Errorf("%v: %s", err, said)
	}
}
