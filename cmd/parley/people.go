package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

func (a *app) clientCommand() *cobra.Command {
	client := &cobra.Command{Use: "client", Short: "Who pays"}
	var c store.Client
	add := &cobra.Command{
		Use: "add", Short: "Add a client with an empty account", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			if err := callable(s, c.Phone); err != nil {
				return answer{}, err
			}
			added, err := s.AddClient(ctx, c)
			return say(added, "%s  %s  %s", added.ID, added.Phone, added.Alias), err
		}),
	}
	add.Flags().StringVar(&c.Alias, "alias", "", "what advisors hear instead of a name")
	add.Flags().StringVar(&c.Phone, "phone", "", "the number they call from, E.164")
	add.Flags().StringVar(&c.Currency, "currency", "EUR", "of the account: "+strings.Join(dialplan.Currencies, ", "))
	require(add, "alias", "phone")

	var payment string
	deposit := &cobra.Command{
		Use: "deposit CLIENT AMOUNT", Short: "Credit a client with a payment, in minor units such as cents", Args: cobra.ExactArgs(2),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			amount, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil || amount <= 0 {
				return answer{}, fmt.Errorf("%q is not an amount; write whole minor units: 2000 is 20.00", args[1])
			}
			id := ivr.ClientID(args[0])
			if err := s.Deposit(ctx, operator(), payment, id, money.Amount(amount)); err != nil {
				return answer{}, err
			}
			c, err := s.Client(ctx, id)
			return say(c, "%s has %v %s", c.ID, c.Available(), c.Currency), err
		}),
	}
	deposit.Flags().StringVar(&payment, "payment", "", "the payment's ID; the same again credits nothing")
	require(deposit, "payment")

	client.AddCommand(add, deposit, &cobra.Command{
		Use: "list", Short: "List the newest clients with their balances", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			clients, err := s.Clients(ctx, listMost)
			var text strings.Builder
			for _, c := range clients {
				fmt.Fprintf(&text, "%s  %s  %-20s available %v %s, held %v\n", c.ID, c.Phone, c.Alias, c.Available(), c.Currency, c.Held)
			}
			return say(clients, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	})
	return client
}

// listMost is how many rows a list shows.
const listMost = 100

func require(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err) // there is no such flag: a slip in this program
		}
	}
}

func (a *app) advisorCommand() *cobra.Command {
	advisor := &cobra.Command{Use: "advisor", Short: "Who is paid"}
	var wish time.Duration
	add := &cobra.Command{
		Use: "add NAME", Short: "Add an advisor", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			added, err := s.AddAdvisor(ctx, store.Advisor{Name: args[0], Wish: dialplan.Wish{Predetermined: wish}})
			return say(added, "%s  %s", added.ID, added.Name), err
		}),
	}
	add.Flags().DurationVar(&wish, "predetermined", 0, "the talk that a client's money must cover, as the advisor wishes")
	advisor.AddCommand(a.presenceCommands()...)
	advisor.AddCommand(add, &cobra.Command{
		Use: "list", Short: "List the newest advisors", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			advisors, err := s.Advisors(ctx, listMost)
			var text strings.Builder
			for _, advisor := range advisors {
				fmt.Fprintf(&text, "%s  %s\n", advisor.ID, advisor.Name)
			}
			return say(advisors, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	})
	return advisor
}

func (a *app) lineCommand() *cobra.Command {
	line := &cobra.Command{Use: "line", Short: "Where an advisor is rung"}
	var phone string
	var sip bool
	add := &cobra.Command{
		Use: "add ADVISOR (--phone NUMBER | --sip)", Short: "Add a line, not verified yet", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			l := ivr.Line{ID: ivr.LineID(ivr.NewID("line")), Advisor: ivr.AdvisorID(args[0]), Kind: ivr.Phone, Address: phone}
			if sip == (phone != "") {
				return answer{}, errors.New("say either --phone NUMBER or --sip")
			}
			if sip {
				l.Kind = ivr.SIP
			} else if err := callable(s, phone); err != nil {
				return answer{}, err
			}
			if _, err := s.AddLine(ctx, operator(), l); err != nil {
				return answer{}, err
			}
			if !sip {
				return say(map[string]any{"id": l.ID}, "%s  not verified; `parley verify %s` calls it", l.ID, l.ID), nil
			}
			s.Notify(ctx, store.TopicLines)
			user := store.EndpointName(l.ID, 1)
			password := s.EndpointPassword(user)
			return say(map[string]any{"id": l.ID, "user": user, "password": password},
				"%s  not verified; `parley verify %s` calls it\nSIP user: %s\npassword: %s", l.ID, l.ID, user, password), nil
		}),
	}
	add.Flags().StringVar(&phone, "phone", "", "a telephone number, E.164, reached through the trunk")
	add.Flags().BoolVar(&sip, "sip", false, "a SIP phone that registers with Asterisk")
	var number string
	change := &cobra.Command{
		Use: "change LINE --phone NUMBER", Short: "Lead a line to another number; it must be verified again", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			id := ivr.LineID(args[0])
			if err := callable(s, number); err != nil {
				return answer{}, err
			}
			if err := s.ChangeLine(ctx, operator(), "", id, ivr.Phone, number); err != nil {
				return answer{}, err
			}
			return say(map[string]any{"id": id}, "%s  not verified any more; `parley verify %s` calls it", id, id), nil
		}),
	}
	change.Flags().StringVar(&number, "phone", "", "a telephone number, E.164, reached through the trunk")
	require(change, "phone")
	line.AddCommand(add, change, a.retireLineCommand(), &cobra.Command{
		Use: "list [ADVISOR]", Short: "List lines and whether they are verified", Args: cobra.MaximumNArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			lines, err := s.Lines(ctx, ivr.AdvisorID(strings.Join(args, "")))
			var text strings.Builder
			for _, l := range lines {
				verified := "not verified"
				if !l.VerifiedAt.IsZero() {
					verified = fmt.Sprintf("verified %s by %s", l.VerifiedAt.Format(time.DateTime), l.VerifiedHow)
				}
				fmt.Fprintf(&text, "%s  %s  %-5s %s\n", l.ID, l.Advisor, l.Kind, verified)
			}
			return say(lines, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	})
	return line
}

func (a *app) loanCommand() *cobra.Command {
	var r store.LoanRequest
	var line string
	loan := &cobra.Command{
		Use: "loan CLIENT ADVISOR", Short: "Lend a client a number to reach an advisor", Args: cobra.ExactArgs(2),
		Long: `Lend a client a number to reach an advisor.

The client dials it from their own phone; from another they are asked for the PIN,
which is shown here and nowhere else.`,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			plan, err := (&planner{store: s}).active()
			if err != nil {
				return answer{}, err
			}
			r.Client, r.Advisor, r.Quarantine = ivr.ClientID(args[0]), ivr.AdvisorID(args[1]), plan.Limits.Quarantine
			if r.For == 0 {
				r.For = plan.Limits.Loan
			}
			for _, number := range plan.Numbers {
				r.Pool = append(r.Pool, number.DID)
			}
			if _, listed := plan.Number(r.DID); r.DID != "" && !listed {
				return answer{}, fmt.Errorf("%s is not among the numbers of plan %d", r.DID, plan.Version)
			}
			if r.Line, err = lineFor(ctx, s, r.Advisor, ivr.LineID(line)); err != nil {
				return answer{}, err
			}
			lent, pin, err := s.CreateLoan(ctx, r)
			return say(map[string]any{"id": lent.ID, "did": lent.DID, "pin": pin, "until": lent.Until},
				"%s  %s  PIN %s  until %s", lent.ID, lent.DID, pin, lent.Until.Format(time.DateTime)), err
		}),
	}
	loan.Flags().DurationVar(&r.For, "for", 0, "how long; the plan's limits.loan unless said")
	loan.Flags().StringVar(&r.DID, "number", "", "which; the one that has rested longest unless said")
	loan.Flags().StringVar(&r.Topic, "topic", "", "what the client wants; the advisor hears it")
	loan.Flags().StringVar(&line, "line", "", "the advisor's line; a verified one unless said")
	return loan
}

// lineFor picks the line on which an advisor is rung: a verified one where there is
// one.
func lineFor(ctx context.Context, s *store.Store, advisor ivr.AdvisorID, said ivr.LineID) (ivr.LineID, error) {
	if said != "" {
		return said, nil
	}
	lines, err := s.Lines(ctx, advisor)
	if err != nil {
		return "", err
	}
	if len(lines) == 0 {
		return "", fmt.Errorf("advisor %s has no line: add one with `parley line add`", advisor)
	}
	for _, l := range lines {
		if !l.VerifiedAt.IsZero() {
			return l.ID, nil
		}
	}
	return lines[0].ID, nil
}
