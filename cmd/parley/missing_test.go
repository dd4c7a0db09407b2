package main

import (
	"slices"
	"strings"
	"testing"
)

// A log, bodies of webhooks and plain IDs, in one file: each is found once.
func TestIDsThatAreKnownElsewhere(t *testing.T) {
	ids, err := idsIn(strings.NewReader(`{"time":"2026-11-27T18:11:46Z","level":"INFO","msg":"call ended","call":"call_1","kind":"client"}
{"type":"call.ended","data":{"call":"call_1","charge":100}}
{"type":"deposit.made","data":{"payment":"pi_1","call":""}}
{"msg":"plan activated","version":3}
{"a":[{"call":"call_2"}],"call":"of somebody"}

pay_2
two words
`))
	if want := []string{"call_1", "pi_1", "call_2", "pay_2"}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("%q, %v; want %q", ids, err, want)
	}
	if ids, err := idsIn(strings.NewReader("{}\n")); err == nil {
		t.Errorf("nothing is named, and %q found", ids)
	}
}
