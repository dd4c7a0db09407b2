package lab

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

// RunTests is a test package's TestMain: it starts a lab, puts it where the tests find
// it, runs them, ends the lab, and returns the exit code. m is the *testing.M.
func RunTests(m interface{ Run() int }, o Options, into **Lab) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l, err := Start(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*into = l
	code = m.Run()
	if err := l.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
