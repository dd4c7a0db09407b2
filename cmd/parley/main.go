// Command parley is the host of an advice line: `parley serve` answers the calls,
// the other commands are for whoever runs it. Start reading at serve.go, and at
// package ivr for what happens on a call.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"parley/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newApp().root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "parley:", err)
		os.Exit(1)
	}
}

// app is what the commands share.
type app struct {
	configFile string
	json       bool
}

func newApp() *app { return &app{} }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "parley",
		Short: "The host of a pay-per-minute advice line",
		Long: `The host of a pay-per-minute advice line, on top of Asterisk.

Settings come from a file (--config, or parley.yaml here or in /etc/parley) and
from the environment, which goes before it: postgres.dsn is PARLEY_POSTGRES_DSN.
"parley settings" lists them all.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "file with the settings")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "answer in JSON")
	root.AddCommand(
		a.serveCommand(), a.migrateCommand(), a.settingsCommand(), a.doctorCommand(), a.statusCommand(),
		a.planCommand(), a.clientCommand(), a.advisorCommand(), a.lineCommand(),
		a.loanCommand(), a.verifyCommand(), a.callsCommand(), a.adjustCommand(), a.ledgerCommand(),
		a.tokenCommand(), a.siteKeyCommand(), a.blockCommand(), a.nodeCommand(), a.readyCommand(),
	)
	return root
}

// withStore runs a command that needs nothing but the database.
func (a *app) withStore(run func(ctx context.Context, s *store.Store, c config, args []string) (answer, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := a.config()
		if err != nil {
			return err
		}
		s, err := openStore(cmd.Context(), c)
		if err != nil {
			return err
		}
		defer s.Disconnect()
		said, err := run(cmd.Context(), s, c, args)
		if err != nil {
			return err
		}
		return a.print(cmd.OutOrStdout(), said)
	}
}

// answer is what a command says: for people, and for programs.
type answer struct {
	text string
	data any
	bad  bool // the answer is "no": the command fails once it is said
}

func say(data any, format string, args ...any) answer {
	return answer{text: fmt.Sprintf(format, args...), data: data}
}

var errSaid = errors.New("see above")

func (a *app) print(w io.Writer, said answer) error {
	var err error
	if a.json {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		err = out.Encode(said.data)
	} else {
		_, err = fmt.Fprintln(w, said.text)
	}
	if err == nil && said.bad {
		return errSaid
	}
	return err
}
