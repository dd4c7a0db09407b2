package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"parley/ivr"
	"parley/store"
)

func (a *app) callsCommand() *cobra.Command {
	calls := &cobra.Command{Use: "calls", Short: "Finished and live calls, and what they cost"}
	var f store.CallFilter
	var limit int
	list := &cobra.Command{
		Use: "list", Short: "List calls, the newest first", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			calls, err := s.Calls(ctx, f, limit)
			var text strings.Builder
			for _, c := range calls {
				fmt.Fprintln(&text, callLine(c))
			}
			return say(calls, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	}
	list.Flags().IntVar(&limit, "limit", 20, "how many")
	list.Flags().BoolVar(&f.Open, "live", false, "only live ones")
	list.Flags().StringVar((*string)(&f.Client), "client", "", "only of this client")
	list.Flags().StringVar((*string)(&f.Advisor), "advisor", "", "only of this advisor")
	list.Flags().StringVar((*string)(&f.Before), "before", "", "only older than this call: the next page")
	calls.AddCommand(list, a.callsTail(), &cobra.Command{
		Use: "show CALL", Short: "Explain a call's charge: its receipt", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			receipt, err := s.Receipt(ctx, ivr.CallID(args[0]))
			if err != nil {
				return answer{}, err
			}
			return say(receipt, "%s", strings.TrimSpace(receipt.String()+receipt.Sound())), nil
		}),
	})
	return calls
}

func (a *app) ledgerCommand() *cobra.Command {
	ledger := &cobra.Command{Use: "ledger", Short: "The money"}
	ledger.AddCommand(&cobra.Command{
		Use: "audit", Short: "Check every account, call, hold and transfer, and name each row that is wrong", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			kept, err := s.KeepAudit(ctx, operator())
			if err != nil {
				return answer{}, err
			}
			said := say(kept, "%s", strings.TrimSpace(kept.String()))
			said.bad = kept.Count > 0
			return said, nil
		}),
	}, &cobra.Command{
		Use: "accounts", Short: "List all accounts with their balances", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			accounts, err := s.Accounts(ctx)
			var text strings.Builder
			for _, account := range accounts {
				fmt.Fprintf(&text, "%-48s %12v %s, held %v\n", account.ID, account.Posted, account.Currency, account.Held)
			}
			return say(accounts, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	}, a.missingCommand())
	return ledger
}
