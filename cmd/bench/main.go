// Command bench is `make bench`: it measures, as package parley/lab/bench says, and writes
// a table and a plot.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"parley/lab/bench"
)

func main() {
	if was, err := bench.ServeAGI(); was {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	o := bench.Full()
	o.Progress = os.Stdout
	out := flag.String("out", "docs", "the directory that bench.md and bench.svg are written to")
	flag.IntVar(&o.Rounds, "rounds", o.Rounds, "how often everything is measured")
	flag.IntVar(&o.Calls, "calls", o.Calls, "of each design in each round")
	flag.IntVar(&o.Pairs, "pairs", o.Pairs, "of clients and advisors")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o bench.Options, out string) error {
	r, err := bench.Run(ctx, o)
	if len(r.Cost.By) == 0 {
		return err
	}
	var text strings.Builder
	r.Write(&text, about(ctx), "bench.svg")
	return errors.Join(
		err,
		os.MkdirAll(out, 0o755),
		os.WriteFile(filepath.Join(out, "bench.md"), []byte(text.String()), 0o644),
		os.WriteFile(filepath.Join(out, "bench.svg"), []byte(r.Plot()), 0o644),
	)
}

// about says where the figures come from.
func about(ctx context.Context) string {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	load, _ := os.ReadFile("/proc/loadavg")
	return fmt.Sprintf("`make bench`, commit %s, %s, %d processors, load average at the end %s.",
		strings.TrimSpace(string(commit)), time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), strings.TrimSpace(string(load)))
}
