package prompts

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// promptName is how a prompt's name is spelled, so that the strings in package
// ivr that are prompts can be told from those that are not.
var promptName = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)+$`)

// Every prompt that a script names has words in every language, and every prompt
// that has words is named.
func TestEveryPromptHasWordsInEveryLanguage(t *testing.T) {
	named := map[string]bool{"pause": true, "verified": true, "service-unavailable": true}
	files, err := filepath.Glob("../*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, _ := strconv.Unquote(lit.Value); promptName.MatchString(s) {
					named[s] = true
				}
			}
			return true
		})
	}
	for _, unit := range []string{"minute", "second"} {
		named[unit+"-one"], named[unit+"-many"] = true, true
	}
	for _, c := range dialplan.Currencies {
		for _, part := range []string{"-major-one", "-major-many", "-minor-one", "-minor-many"} {
			named[c+part] = true
		}
	}
	for _, language := range dialplan.Languages {
		words, err := Texts(language)
		if err != nil {
			t.Fatal(err)
		}
		for name := range named {
			if _, ok := words[ivr.Prompt(name)]; !ok {
				t.Errorf("%s: no words for %s", language, name)
			}
		}
		for name := range words {
			if !named[string(name)] {
				t.Errorf("%s: nobody says %s", language, name)
			}
		}
	}
}

func open(t *testing.T, dir string) *Catalogue {
	t.Helper()
	c, err := Open(context.Background(), dir, "/as/seen", os.Getenv("PARLEY_PROMPT_CACHE"), "en")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRenderedRecordedAndSpokenPrompts(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	for _, p := range []struct {
		prompt   ivr.Prompt
		uri      string
		from, to time.Duration
	}{
		{"enter-code", "sound:/as/seen/en/enter-code", 2 * time.Second, 8 * time.Second},
		{"pause", "sound:/as/seen/en/pause", 300 * time.Millisecond, 300 * time.Millisecond},
		{"digits/7", "sound:digits/7", time.Second, 2 * time.Second},
		{ivr.Text("Blue Heron"), "sound:/as/seen/en/text/" + hash("Blue Heron"), 400 * time.Millisecond, 2 * time.Second},
	} {
		uri, length, err := c.Media("en", p.prompt)
		if err != nil || uri != p.uri || length < p.from || length > p.to {
			t.Errorf("%s: %s, %v, %v; want %s, %v to %v", p.prompt, uri, length, err, p.uri, p.from, p.to)
		}
	}
	if _, _, err := c.Media("en", "never-recorded"); err == nil {
		t.Error("a prompt that is not there is found")
	}
}

func TestARecordingTakesTheRenderedPromptsPlace(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "en", "enter-code.wav")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	recording := make([]byte, wavHeader+bytesASecond)
	if err := os.WriteFile(file, recording, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, length, err := open(t, dir).Media("en", "enter-code"); err != nil || length != time.Second {
		t.Errorf("length %v, %v; want the recording's second", length, err)
	}
}

// A greeting is fetched once and kept whole; one that cannot be had is an error, and
// is asked for again.
func TestGreetingsAreFetchedOnce(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	asked, recording, failed := 0, make([]byte, wavHeader+2*bytesASecond), errors.New("the database does not answer")
	const greeting = "greeting:adv_1/00ff"
	if _, _, err := c.Media("en", greeting); err == nil {
		t.Error("a greeting is found where there are none")
	}
	c.Greetings = func(_ context.Context, name string) ([]byte, error) {
		asked++
		if name != "adv_1/00ff" {
			t.Errorf("asked for %q", name)
		}
		if asked == 1 {
			return nil, failed
		}
		return recording, nil
	}
	if _, _, err := c.Media("en", greeting); !errors.Is(err, failed) {
		t.Errorf("a greeting that cannot be had: %v", err)
	}
	for range 2 {
		uri, length, err := c.Media("en", greeting)
		if err != nil || uri != "sound:/as/seen/greetings/adv_1/00ff" || length != 2*time.Second {
			t.Errorf("%s, %v, %v", uri, length, err)
		}
	}
	kept, err := os.ReadFile(filepath.Join(dir, "greetings", "adv_1", "00ff.wav"))
	if err != nil || len(kept) != len(recording) || asked != 2 {
		t.Errorf("kept %d bytes, %v, asked %d times", len(kept), err, asked)
	}
	for _, name := range []ivr.Prompt{"greeting:../en/pause", "greeting:/etc/passwd", "greeting:adv_1/..", "greeting:"} {
		if uri, _, err := c.Media("en", name); err == nil {
			t.Errorf("%s leads to %s", name, uri)
		}
	}
}
