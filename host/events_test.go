package host

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/store"
)

var (
	typeAlone = regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	typeInSQL = regexp.MustCompile(`'([a-z_]+\.[a-z_]+)'`)
)

// Every event that package store writes is in the list that /docs shows, with all the
// fields of its data; and every one in the list is written.
func TestEveryEventIsDocumented(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(`for each, add a line to eventKinds in host/events.go, such as
	"noun.verb": {"What has happened.", []eventField{{"field", "what it says", ""}}},
where the last of a field is "", or store.RoleClient or store.RoleAdvisor where of the two only that one is to know it,
or store.RoleAdmin where neither is`)
		}
	})
	written := writtenEvents(t)
	for kind, fields := range written {
		documented, known := eventKinds[kind]
		if !known {
			t.Errorf("the event %s is not documented", kind)
			continue
		}
		for field := range fields {
			if !documentsField(documented, field) {
				t.Errorf("the field %q of the event %s is not documented: neither a client nor an advisor is told of it", field, kind)
			}
		}
	}
	for kind := range eventKinds {
		if _, known := written[kind]; !known {
			t.Errorf("host/events.go documents the event %s, and nothing in package store writes it: take it out, or write it", kind)
		}
	}
}

func documentsField(k eventKind, name string) bool {
	for _, f := range k.fields {
		if f.name == name {
			return true
		}
	}
	return false
}

// writtenEvents are the types of events in the source of package store, with the fields
// of their data where these are written beside the type. Every text there that looks
// like a type, in Go or quoted in SQL, is one.
func writtenEvents(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../store/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	written := map[string]map[string]bool{}
	add := func(kind string, fields ...string) {
		if written[kind] == nil {
			written[kind] = map[string]bool{}
		}
		for _, f := range fields {
			written[kind][f] = true
		}
	}
	// What a migration's functions write, statement by statement.
	migrations, err := filepath.Glob("../store/migrations/*.sql")
	if err != nil || len(migrations) == 0 {
		t.Fatal(migrations, err)
	}
	for _, name := range migrations {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(string(text), ";") {
			if strings.Contains(statement, "INTO events") {
				for _, found := range typeInSQL.FindAllStringSubmatch(statement, -1) {
					add(found[1], sqlFields(statement)...)
				}
			}
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec:
				return false
			case *ast.BasicLit:
				text, _ := strconv.Unquote(n.Value)
				if typeAlone.MatchString(text) && !strings.HasPrefix(text, "parley.") { // which a setting of Postgres's has
					add(text)
				}
				if strings.Contains(text, "INTO events") {
					for _, found := range typeInSQL.FindAllStringSubmatch(text, -1) {
						add(found[1], sqlFields(text)...)
					}
				}
			case *ast.CompositeLit:
				if kind, isType := n.Type.(*ast.Ident); isType && kind.Name == "Event" {
					types, fields := literalParts(n)
					for _, t := range types {
						add(t, fields...)
					}
				}
			}
			return true
		})
	}
	return written
}

// sqlFields are the names in jsonb_build_object('name', value, ...).
func sqlFields(text string) (names []string) {
	_, after, found := strings.Cut(text, "jsonb_build_object(")
	if !found {
		return nil
	}
	for i, part := range strings.Split(after[:strings.Index(after, ")")], ",") {
		if i%2 == 0 {
			names = append(names, strings.Trim(part, " '\n\t"))
		}
	}
	return names
}

// literalParts are the types and the data's fields of an Event{...}.
func literalParts(event *ast.CompositeLit) (types, fields []string) {
	for _, element := range event.Elts {
		pair, isPair := element.(*ast.KeyValueExpr)
		if !isPair {
			continue
		}
		data, isMap := pair.Value.(*ast.CompositeLit)
		switch name := pair.Key.(*ast.Ident).Name; {
		case name == "Type":
			ast.Inspect(pair.Value, func(n ast.Node) bool {
				if lit, isText := n.(*ast.BasicLit); isText {
					if text, _ := strconv.Unquote(lit.Value); typeAlone.MatchString(text) {
						types = append(types, text)
					}
				}
				return true
			})
		case name == "Data" && isMap:
			for _, e := range data.Elts {
				if lit, isText := e.(*ast.KeyValueExpr).Key.(*ast.BasicLit); isText {
					text, _ := strconv.Unquote(lit.Value)
					fields = append(fields, text)
				}
			}
		}
	}
	return types, fields
}

// The client and the advisor of a call are told of it, each without the other's money.
func TestNeitherIsToldOfTheOthersMoney(t *testing.T) {
	e := store.Event{Type: "call.ended", Client: "cli_1", Advisor: "adv_1", At: time.Now(),
		Data: map[string]any{"call": "call_1", "charge": 300, "share": 180, "something": "new"}}
	for role, want := range map[store.Role]string{
		store.RoleSite: "call charge share something", store.RoleAdmin: "call charge share something",
		store.RoleClient: "call charge", store.RoleAdvisor: "call share",
	} {
		got := eventFor(role, e)
		for _, field := range []string{"call", "charge", "share", "something"} {
			if _, told := got.Data[field]; told != strings.Contains(want, field) {
				t.Errorf("the %s is told %v, want %s", role, got.Data, want)
			}
		}
		if got.Client != e.Client || got.Advisor != e.Advisor || len(e.Data) != 4 {
			t.Errorf("the %s is told %+v", role, got)
		}
	}
}

// The page lists every event.
func TestDocsShowEveryEvent(t *testing.T) {
	w := newTown(t)
	text, err := io.ReadAll(w.send("GET", "/docs", "", nil).Body)
	w.must(err)
	page := string(text)
	for _, kind := range eventTypes() {
		if !strings.Contains(page, `id="`+kind+`"`) {
			t.Errorf("%s is missing", kind)
		}
	}
	if !strings.Contains(page, "GET /v1/events") {
		t.Error("the stream is not shown")
	}
}
