package main

import (
	"encoding/json"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// readyCommand asks a running copy whether it takes calls: for units and images, which have
// nothing else to ask with. It needs no settings.
func (a *app) readyCommand() *cobra.Command {
	alive := false
	ready := &cobra.Command{
		Use: "ready [HOST:PORT]", Short: "Ask a copy of the program that runs whether it takes calls", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			addr, path := find("http.addr").def, "/readyz"
			if len(args) > 0 {
				addr = args[0]
			}
			if alive {
				path = "/livez"
			}
			asking := http.Client{Timeout: 5 * time.Second}
			resp, err := asking.Get("http://" + addr + path)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			said := answer{text: "ready", bad: resp.StatusCode != http.StatusOK}
			var health struct{ Why string }
			if said.bad {
				said.text = resp.Status
				if json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&health) == nil && health.Why != "" {
					said.text = health.Why
				}
			}
			said.data = map[string]any{"ready": !said.bad, "said": said.text}
			return a.print(cmd.OutOrStdout(), said)
		},
	}
	ready.Flags().BoolVar(&alive, "alive", false, "only whether it answers: a copy that stands by does")
	return ready
}
