package main

import (
	"testing"
	"time"
)

// A minute of calls of every kind, while everything that can be killed is: nothing is left
// behind, nothing leaks, and the books are clean.
func TestAMinute(t *testing.T) {
	s, err := run(t.Context(), options{lasts: time.Minute, rate: 60, progress: t.Output()})
	t.Log("\n" + s.summary())
	if err != nil {
		t.Fatal(err)
	}
	if svg := s.svg(plots[0].title, plots[0].unit, plots[0].lines); len(s.samples) < 10 || len(svg) < 2000 {
		t.Errorf("%d samples, and a plot of %d bytes", len(s.samples), len(svg))
	}
}
