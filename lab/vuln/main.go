// Command vuln looks for known holes in what the program is made of: govulncheck, with
// the Go team's database. That comes as a module (golang.org/x/vulndb) from the module
// proxy, like everything else, so that no further host must be reachable. Where it
// cannot be had the command fails and says so: not asked is not clean.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	database = "golang.org/x/vulndb@latest"
	checker  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "vuln:", err)
		os.Exit(1)
	}
}

func run(packages []string) error {
	module, err := download()
	if err != nil {
		return fmt.Errorf("the database could not be had, so nothing was checked: %w", err)
	}
	dir, err := os.MkdirTemp("", "vulndb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	entries, err := write(dir, filepath.Join(module.Dir, "data", "osv"), module.Time)
	if err != nil {
		return fmt.Errorf("the database cannot be read, so nothing was checked: %w", err)
	}
	fmt.Printf("%d reports, as of %s (%s); the standard library of %s\n", entries, module.Time.Format(time.DateOnly), module.Version, runtime.Version())
	check := exec.Command("go", append([]string{"run", checker, "-db", "file://" + dir}, packages...)...)
	check.Stdout, check.Stderr = os.Stdout, os.Stderr
	return check.Run()
}

type module struct {
	Dir, Version, Error string
	Time                time.Time
}

func download() (m module, err error) {
	out, err := exec.Command("go", "mod", "download", "-json", database).Output()
	if err := errors.Join(json.Unmarshal(out, &m), err); err != nil {
		return m, fmt.Errorf("go mod download %s: %w: %s", database, err, m.Error)
	}
	listed, err := exec.Command("go", "list", "-m", "-json", strings.Split(database, "@")[0]+"@"+m.Version).Output()
	return m, errors.Join(err, json.Unmarshal(listed, &m))
}

// entry is what the index needs of a report (https://ossf.github.io/osv-schema).
type entry struct {
	ID       string
	Affected []struct {
		Package struct{ Name string }
	}
}

type indexed struct {
	Path  string       `json:"path"`
	Vulns []vulnerable `json:"vulns"`
}

type vulnerable struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
}

// write lays reports out as a database is served (https://go.dev/doc/security/vuln/database):
// one file each, and an index by module. It returns how many there are.
func write(dir, reports string, at time.Time) (int, error) {
	names, err := filepath.Glob(filepath.Join(reports, "GO-*.json"))
	if err != nil || len(names) < 1000 {
		return 0, fmt.Errorf("%s holds %d reports: %w", reports, len(names), err)
	}
	for _, sub := range []string{"index", "ID"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return 0, err
		}
	}
	modules := map[string]*indexed{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return 0, err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		for _, affected := range e.Affected {
			path := affected.Package.Name
			if modules[path] == nil {
				modules[path] = &indexed{Path: path}
			}
			if m := modules[path]; !slices.ContainsFunc(m.Vulns, func(v vulnerable) bool { return v.ID == e.ID }) {
				m.Vulns = append(m.Vulns, vulnerable{e.ID, at})
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "ID", e.ID+".json"), text, 0o644); err != nil {
			return 0, err
		}
	}
	var index []*indexed
	for _, m := range modules {
		index = append(index, m)
	}
	slices.SortFunc(index, func(a, b *indexed) int { return strings.Compare(a.Path, b.Path) })
	for name, content := range map[string]any{"db": map[string]time.Time{"modified": at}, "modules": index} {
		text, err := json.Marshal(content)
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(dir, "index", name+".json"), text, 0o644); err != nil {
			return 0, err
		}
	}
	return len(names), nil
}
