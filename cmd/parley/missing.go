package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"parley/store"
)

func (a *app) missingCommand() *cobra.Command {
	return &cobra.Command{
		Use: "missing FILE", Short: "Name calls and payments that others know of and the books do not", Args: cobra.ExactArgs(1),
		Long: `Name the calls and payments that others know of and the books do not: after a restore,
what was written since the backup.

FILE is what was kept elsewhere: the program's log, the bodies of webhooks, one a line,
or IDs of calls and payments, one a line; - is the standard input.`,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			ids, err := knownElsewhere(args[0])
			if err != nil {
				return answer{}, err
			}
			missing, err := s.Missing(ctx, ids)
			if err != nil {
				return answer{}, err
			}
			said := say(missing, "%s%d of %d are missing", lines(missing), len(missing), len(ids))
			said.bad = len(missing) > 0
			return said, nil
		}),
	}
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}

func knownElsewhere(file string) ([]string, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	return idsIn(in)
}

const lineMost = 1 << 20

// idsIn are the IDs of calls and payments in a log, in bodies of webhooks, or in a list;
// each once, in their order.
func idsIn(in io.Reader) (ids []string, err error) {
	known := map[string]bool{}
	note := func(id string) {
		if !known[id] {
			known[id] = true
			ids = append(ids, id)
		}
	}
	text := bufio.NewScanner(in)
	text.Buffer(nil, lineMost)
	for text.Scan() {
		line := strings.TrimSpace(text.Text())
		var said any
		switch {
		case line == "":
		case json.Unmarshal([]byte(line), &said) == nil:
			idsOf(said, note)
		case len(strings.Fields(line)) == 1:
			note(line)
		}
	}
	if err := text.Err(); err != nil {
		return nil, fmt.Errorf("read what was kept elsewhere: %w", err)
	}
	if len(ids) == 0 {
		return nil, errors.New("no call and no payment is named there: give a log, bodies of webhooks, or IDs, one a line")
	}
	return ids, nil
}

// idsOf looks for the fields call and payment, however deep.
func idsOf(said any, note func(string)) {
	switch said := said.(type) {
	case map[string]any:
		for name, value := range said {
			id, text := value.(string)
			if text && (name == "call" && strings.HasPrefix(id, "call_") || name == "payment" && id != "") {
				note(id)
			}
			idsOf(value, note)
		}
	case []any:
		for _, one := range said {
			idsOf(one, note)
		}
	}
}
