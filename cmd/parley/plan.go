package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/dialplan"
	"parley/ivr"
	"parley/store"
)

func (a *app) planCommand() *cobra.Command {
	plan := &cobra.Command{
		Use: "plan", Short: "Numbers, rates and limits: check, save, activate, roll back",
		Long: `Numbers, rates and limits, as one YAML text.

A text is validated whole and saved as a numbered version that never changes.
Activating a version makes it hold for the next call; calls that are up keep the
version they began with. Rolling back activates the version before.`,
	}
	var note string
	save := &cobra.Command{
		Use: "save FILE", Short: "Save a text as a new version", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			text, err := readPlan(args[0])
			if err != nil {
				return answer{}, err
			}
			version, err := s.SavePlan(ctx, string(text), operator(), note)
			if err != nil {
				return answer{}, err
			}
			return say(map[string]int64{"version": version}, "saved as version %d; `parley plan activate %d` makes it hold", version, version), nil
		}),
	}
	save.Flags().StringVar(&note, "note", "", "why, for the history")
	plan.AddCommand(save, a.planExample(), a.planCheck(), a.planDiff(), a.planShow(), a.planList(),
		a.planActivate(), a.planCancel(), a.planRollback(), a.planExplain())
	return plan
}

func (a *app) planExample() *cobra.Command {
	return &cobra.Command{
		Use: "example", Short: "Print a whole plan with a word on each field", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(dialplan.Example)
			return err
		},
	}
}

func (a *app) planCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Say all that is wrong with a text (- reads standard input)", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := readFile(args[0])
			if err != nil {
				return err
			}
			_, err = dialplan.Parse(text)
			var faults dialplan.Faults
			if errors.As(err, &faults) {
				return a.print(cmd.OutOrStdout(), answer{
					text: fmt.Sprintf("%v\n%d faults", faults, len(faults)), data: map[string]any{"faults": faults}, bad: true,
				})
			}
			return a.print(cmd.OutOrStdout(), say(map[string]any{"faults": []any{}}, "no faults"))
		},
	}
}

func (a *app) planDiff() *cobra.Command {
	return &cobra.Command{
		Use: "diff FILE|VERSION [FILE|VERSION]", Short: "Say what would change, from the active plan unless a second is named first",
		Args: cobra.RangeArgs(1, 2),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			if len(args) == 1 {
				active, err := s.ActivePlan(ctx)
				if err != nil {
					return answer{}, err
				}
				args = []string{strconv.FormatInt(active, 10), args[0]}
			}
			var texts [2][]byte
			for i, name := range args {
				var err error
				if texts[i], err = planText(ctx, s, name); err != nil {
					return answer{}, err
				}
			}
			changes, err := dialplan.Diff(texts[0], texts[1])
			if err != nil {
				return answer{}, err
			}
			if len(changes) == 0 {
				return say(changes, "nothing changes"), nil
			}
			return say(changes, "%s", strings.Join(changes, "\n")), nil
		}),
	}
}

func (a *app) planShow() *cobra.Command {
	return &cobra.Command{
		Use: "show [VERSION]", Short: "Print the text of a version, or of the active one", Args: cobra.MaximumNArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			version, err := versionOrActive(ctx, s, args)
			if err != nil {
				return answer{}, err
			}
			text, err := s.Plan(ctx, version)
			return say(map[string]any{"version": version, "text": text}, "%s", strings.TrimSpace(text)), err
		}),
	}
}

func (a *app) planList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the versions, newest first", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			saved, err := s.Plans(ctx, 0, listMost)
			if err != nil {
				return answer{}, err
			}
			var text strings.Builder
			for _, p := range saved {
				mark, starts := "       ", ""
				if p.Active {
					mark = "active "
				}
				if !p.StartsAt.IsZero() {
					starts = "  (from " + p.StartsAt.Format(time.RFC3339) + ")"
				}
				fmt.Fprintf(&text, "%s%4d  %s  %-12s %s%s\n", mark, p.Version, p.SavedAt.Format(time.DateTime), p.Author, p.Note, starts)
			}
			return say(saved, "%s", strings.TrimRight(text.String(), "\n")), nil
		}),
	}
}

func (a *app) planActivate() *cobra.Command {
	var at string
	activate := &cobra.Command{
		Use: "activate VERSION", Short: "Make a version hold for the next call, or from a time on", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			version, err := versionOrActive(ctx, s, args)
			if err != nil {
				return answer{}, err
			}
			if _, err := (&planner{store: s}).version(ctx, version); err != nil {
				return answer{}, err
			}
			if at == "" {
				err := s.ActivatePlan(ctx, version, operator())
				return say(map[string]int64{"active": version}, "version %d holds for the next call", version), err
			}
			from, err := time.Parse(time.RFC3339, at)
			if err != nil {
				return answer{}, fmt.Errorf("%q is not a time such as 2026-11-23T06:00:00+01:00", at)
			}
			planned, err := s.RequestActivation(ctx, store.Request{}, version, operator(), from)
			return say(planned, "version %d holds from %s on; `parley plan cancel %d` takes that back",
				version, planned.HoldsFrom.UTC().Format(time.RFC3339), version), err
		}),
	}
	activate.Flags().StringVar(&at, "at", "", "from when, such as 2026-11-23T06:00:00+01:00; from now on unless said")
	return activate
}

func (a *app) planRollback() *cobra.Command {
	return &cobra.Command{
		Use: "rollback", Short: "Activate the version that was active before", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			version, err := s.PlanBefore(ctx)
			if errors.Is(err, store.ErrNoPlanBefore) {
				return answer{}, errors.New("no version was active before; `parley plan list` shows what can be activated")
			}
			if err != nil {
				return answer{}, err
			}
			if err := s.ActivatePlan(ctx, version, operator()); err != nil {
				return answer{}, err
			}
			return say(map[string]int64{"active": version}, "version %d holds again", version), nil
		}),
	}
}

func (a *app) planExplain() *cobra.Command {
	var version string
	explain := &cobra.Command{
		Use: "explain ANI DID", Short: "Say what would happen if ANI called DID now", Args: cobra.ExactArgs(2),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			p := &planner{store: s}
			var versions []string
			if version != "" {
				versions = append(versions, version)
			}
			number, err := versionOrActive(ctx, s, versions)
			if err != nil {
				return answer{}, err
			}
			plan, err := p.version(ctx, number)
			if err != nil {
				return answer{}, err
			}
			e, err := explainer(s)(ctx, *plan, args[1], args[0])
			return say(e, "%s", strings.Join(e.Steps, "\n")), err
		}),
	}
	explain.Flags().StringVar(&version, "plan", "", "another version than the active one")
	return explain
}

// explainer is who explains what would happen on a call: a service that answers none.
func explainer(s *store.Store) func(ctx context.Context, plan dialplan.Plan, did, ani string) (ivr.Explanation, error) {
	return (&ivr.Service{Ledger: s, Directory: s, Log: slog.New(slog.DiscardHandler)}).Explain
}

// planText is the text of a saved version, or of a file.
func planText(ctx context.Context, s *store.Store, name string) ([]byte, error) {
	version, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return readPlan(name)
	}
	text, err := s.Plan(ctx, version)
	return []byte(text), err
}

func versionOrActive(ctx context.Context, s *store.Store, args []string) (int64, error) {
	if len(args) == 0 {
		version, err := s.ActivePlan(ctx)
		return version, err
	}
	version, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a version; `parley plan list` shows them", args[0])
	}
	return version, nil
}

// readPlan reads a text that must be a plan.
func readPlan(name string) ([]byte, error) {
	text, err := readFile(name)
	if err != nil {
		return nil, err
	}
	_, err = dialplan.Parse(text)
	return text, err
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// operator is who gives a command, for the history.
func operator() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
