package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"parley/ivr"
	"parley/store"
)

// callable refuses a number that the active plan does not let us call. Before there is a
// plan, nobody is called.
func callable(s *store.Store, number string) error {
	plan, err := (&planner{store: s}).active()
	if errors.Is(err, ivr.ErrNoPlan) {
		return nil
	}
	if err != nil {
		return err
	}
	return plan.MayCall(number)
}

func (a *app) retireLineCommand() *cobra.Command {
	return &cobra.Command{
		Use: "retire LINE", Short: "End a line for good: it is never rung again", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			err := s.RetireLine(ctx, operator(), "", ivr.LineID(args[0]))
			return say(map[string]string{"id": args[0]}, "%s is retired", args[0]), err
		}),
	}
}
