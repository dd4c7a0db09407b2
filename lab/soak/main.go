// Command soak has people call for a long time, on the real program, Asterisk, Postgres
// and Redis, with real telephones, while parts of it are killed: acts of every kind that
// there is, at a rate, and then asks what is left. It fails where an act did not go as it
// was meant though nothing was broken, where money or talk was ever wrong, where anything
// is left up, held or lent, and where a process grows. Its report has tables and plots.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	lasts := flag.Duration("for", time.Hour, "how long people call")
	rate := flag.Int("rate", 100, "how many acts begin in a minute")
	report := flag.String("report", "", "write the report into this file, its plots beside it")
	command := flag.String("command", "", "what the report says made it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := run(ctx, options{lasts: *lasts, rate: *rate, progress: os.Stderr})
	if *report != "" && len(s.samples) > 0 {
		err = errors.Join(err, s.write(*report, *command))
	}
	fmt.Println(s.summary())
	if err != nil {
		fmt.Fprintln(os.Stderr, "NOT as it must be:", err)
		os.Exit(1)
	}
}
