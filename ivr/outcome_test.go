package ivr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every way in which a call can end has a transcript, but for those that only
// operators and verification's store cause.
func TestTranscriptsCoverEveryOutcome(t *testing.T) {
	files, err := filepath.Glob("testdata/*.call")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if _, cdr, ok := strings.Cut(line, "CDR: "); ok {
				disposition, _, _ := strings.Cut(cdr, " by ")
				seen[disposition] = true
			}
			if _, heard, ok := strings.Cut(line, " hears "); ok {
				seen[strings.TrimSpace(heard)] = true
			}
		}
	}
	for _, o := range outcomes {
		if !seen[string(o.Disposition)] {
			t.Errorf("no transcript ends as %q", o.Disposition)
		}
		if o.LastWords != "" && !seen[string(o.LastWords)] {
			t.Errorf("in no transcript somebody hears %q", o.LastWords)
		}
	}
	for _, d := range []Disposition{Completed, Failed, "no funds"} {
		if !seen[string(d)] {
			t.Errorf("no transcript ends as %q", d)
		}
	}
}

func TestOutcomes(t *testing.T) {
	hungUp := &Departure{Cause: NormalClearing}
	for _, c := range []struct {
		why  error
		want Disposition
	}{
		{nil, Completed},
		{hungUp, "abandoned"},
		{&Departure{Cause: Unavailable, Lost: true}, "abandoned"},
		{fmt.Errorf("%w: %w", ErrBusy, hungUp), "busy"}, // the line's departure is not the client's
		{fmt.Errorf("hold: %w", &NoFunds{Missing: 1}), "no funds"},
		{context.Canceled, "interrupted"},
		{errors.New("unforeseen"), Failed},
	} {
		if got := outcomeOf(c.why).Disposition; got != c.want {
			t.Errorf("%v: %q, want %q", c.why, got, c.want)
		}
	}
}
