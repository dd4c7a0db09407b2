package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every panel of the dashboard is drawn from what Prometheus says, and says so where that is
// nothing; a picture of nothing at all is refused.
func TestTheDashboardIsDrawn(t *testing.T) {
	var silent bool
	asked := map[string]bool{}
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.FormValue("query")
		asked[query] = true
		if silent || strings.Contains(query, "parley_queue_waiting") {
			fmt.Fprint(w, `{"status":"success","data":{"result":[]}}`)
			return
		}
		now := time.Now().Unix()
		fmt.Fprintf(w, `{"status":"success","data":{"result":[{"metric":{"step":"talk<ing"},"values":[[%d,"7"],[%d,"NaN"],[%d,"42"]]}]}}`, now-60, now-30, now)
	}))
	defer prometheus.Close()
	const file = "../../../docker/grafana/parley.json"
	out := filepath.Join(t.TempDir(), "board.svg")
	if err := run(prometheus.URL, file, out, time.Hour); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	drawn := string(text)
	for read := xml.NewDecoder(strings.NewReader(drawn)); ; {
		if _, err := read.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the picture is no XML: %v", err)
		}
	}
	text, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	queries := 0
	for _, p := range b.Panels {
		if !strings.Contains(drawn, ">"+p.Title+"<") {
			t.Errorf("%s is not drawn", p.Title)
		}
		queries += len(p.Targets)
	}
	if len(asked) < queries/2 || queries < 40 {
		t.Errorf("of %d queries %d were asked", queries, len(asked))
	}
	for _, want := range []string{">42<", "talk&lt;ing", "nothing in this time"} {
		if !strings.Contains(drawn, want) {
			t.Errorf("there is no %s in the picture", want)
		}
	}
	silent = true
	if err := run(prometheus.URL, file, out, time.Hour); err == nil {
		t.Error("a picture of nothing is drawn")
	}
}

func TestValuesAreWrittenInTheirUnit(t *testing.T) {
	for _, tt := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0.25, "percentunit", "25 %"}, {0.0047, "s", "4.7 ms"}, {1.5, "s", "1.5 s"}, {0, "s", "0 s"},
		{3 << 20, "bytes", "3 MiB"}, {150000, "short", "150000"}, {0.125, "short", "0.125"},
	} {
		if got := written(tt.value, tt.unit); got != tt.want {
			t.Errorf("%v in %s is %q, want %q", tt.value, tt.unit, got, tt.want)
		}
	}
}
