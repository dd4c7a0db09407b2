package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if was, err := ServeAGI(); was {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Everything that `make bench` measures can be measured. What it measures here, on a busy
// machine and in seconds, means nothing.
func TestEverythingCanBeMeasured(t *testing.T) {
	o := Short()
	o.Progress = io.Discard
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range designs {
		if len(r.Cost.By[d]) != o.Rounds || len(r.Capacity.By[d]) != o.Rounds {
			t.Errorf("%s: measured %d and %d times, want %d", d, len(r.Cost.By[d]), len(r.Capacity.By[d]), o.Rounds)
		}
	}
	if r.Setup.Unjoined > 0 || r.Setup.Calls != 2*o.Calls {
		t.Errorf("on the wire %d calls were seen, %d of them not joined; %d were made", r.Setup.Calls, r.Setup.Unjoined, 2*o.Calls)
	}
	if got := len(r.CutOffs.Alive) + len(r.CutOffs.Dead); got != 4*o.CutOffs || r.CutOffs.Uncut > 0 {
		t.Errorf("%d phones were cut and %d not, want %d", got, r.CutOffs.Uncut, 4*o.CutOffs)
	}
	if r.CutOffs.Before > 0 {
		t.Errorf("%d phones were cut before the limit of what was paid", r.CutOffs.Before)
	}
	for _, s := range r.Sound {
		if s.Through < 0.9 || s.SentPerSecond < 80*float64(s.Live) {
			t.Errorf("of %.0f packets a second in %d talks %.3f came through", s.SentPerSecond, s.Live, s.Through)
		}
	}
	if len(r.Live) != len(o.Live) || len(r.Sound) != len(o.Talks) || len(r.Clients) != len(o.Clients) || len(r.Ledger.Ways) != 2 || r.Memory.Live != o.Pairs {
		t.Errorf("not everything was measured: %+v", r)
	}
	var text strings.Builder
	r.Write(&text, "", "")
	if strings.Contains(text.String(), "NaN") || !strings.HasPrefix(r.Plot(), "<svg") {
		t.Error(text.String())
	}
}
