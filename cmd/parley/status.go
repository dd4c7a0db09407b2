package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/ivr"
	"parley/store"
)

// summary is what `parley status` says.
type summary struct {
	Plan        int64             `json:"plan"` // 0: none is active
	Calls       int               `json:"calls_open"`
	Held        map[string]string `json:"held"` // by currency
	Numbers     map[string]int    `json:"numbers"`
	Waiting     int               `json:"waiting"`
	LongestWait float64           `json:"longest_wait_seconds"`
	Audited     *time.Time        `json:"audited,omitempty"`
	Faults      int               `json:"audit_faults"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "See how the host does: calls, money, numbers, queues", Args: cobra.NoArgs,
		Long: "See how the host does: calls, money, numbers, queues.\n\nIt asks the database alone; `parley doctor` looks at all the rest.",
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			is, err := summaryOf(ctx, s)
			if err != nil {
				return answer{}, err
			}
			return say(is, "%s", is.text()), nil
		}),
	}
}

func (is summary) text() string {
	plan, audit := "none is active", "none yet"
	if is.Plan > 0 {
		plan = fmt.Sprintf("version %d", is.Plan)
	}
	if is.Audited != nil {
		audit = fmt.Sprintf("%d faults, %s", is.Faults, is.Audited.Format(time.DateTime))
	}
	text := fmt.Sprintf("plan      %s\ncalls     %d open\nnumbers   %d free, %d lent, %d in quarantine\nqueues    %d wait, the first for %v\naudit     %s",
		plan, is.Calls, is.Numbers["free"], is.Numbers["lent"], is.Numbers["quarantine"], is.Waiting,
		time.Duration(is.LongestWait)*time.Second, audit)
	for _, currency := range slices.Sorted(maps.Keys(is.Held)) {
		text += fmt.Sprintf("\nheld      %s %s", is.Held[currency], currency)
	}
	return text
}

func summaryOf(ctx context.Context, s *store.Store) (is summary, err error) {
	is.Held, is.Numbers = map[string]string{}, map[string]int{}
	levels, err := s.Levels(ctx)
	if err != nil {
		return is, err
	}
	is.Calls, is.Waiting, is.LongestWait = levels.OpenCalls, levels.Waiting, levels.LongestWait.Seconds()
	for currency, amount := range levels.Held {
		is.Held[currency] = amount.String()
	}
	e, err := s.Examine(ctx)
	if err != nil {
		return is, err
	}
	if is.Faults = e.Faults; !e.Audited.IsZero() {
		is.Audited = &e.Audited
	}
	if is.Plan, err = s.ActivePlan(ctx); errors.Is(err, ivr.ErrNoPlan) {
		return is, nil
	}
	dids, _, err := (&planner{store: s}).inForce(ctx)
	if err != nil {
		return is, err
	}
	states, err := s.NumberStates(ctx, dids)
	for _, n := range states {
		is.Numbers[n.State()]++
	}
	return is, err
}

// tailLooks is how often calls are looked at where no notice tells of them, and tailed
// how many at once, beside those that are open.
const (
	tailLooks = time.Second
	tailed    = 200
)

func (a *app) callsTail() *cobra.Command {
	return &cobra.Command{
		Use: "tail", Short: "Tell of calls as they open and end, until Ctrl-C", Args: cobra.NoArgs,
		Long: "Tell of calls as they open and end, until Ctrl-C. With --json each is a line of JSON.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			s, err := openStore(cmd.Context(), c)
			if err != nil {
				return err
			}
			defer s.Disconnect()
			return a.tail(cmd.Context(), s, cmd.OutOrStdout())
		},
	}
}

func (a *app) tail(ctx context.Context, s *store.Store, to io.Writer) error {
	notices := s.Listen(ctx, store.TopicEvents)
	var told map[ivr.CallID]bool // whether it was open then
	for {
		calls, err := toTell(ctx, s, told)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		now := map[ivr.CallID]bool{}
		for _, c := range calls {
			wasOpen, known := told[c.ID]
			now[c.ID] = c.Open()
			if known && wasOpen == c.Open() || told == nil && !c.Open() {
				continue
			}
			if err := a.tellCall(to, c); err != nil {
				return err
			}
		}
		told = now
		select {
		case <-ctx.Done():
			return nil
		case <-notices:
		case <-time.After(tailLooks):
		}
	}
}

// toTell are the newest calls, those that are open, and those that were open when they were
// told of, however many have come since. The oldest is first.
func toTell(ctx context.Context, s *store.Store, told map[ivr.CallID]bool) ([]store.Call, error) {
	newest, err := s.Calls(ctx, store.CallFilter{}, tailed)
	if err != nil {
		return nil, err
	}
	open, err := s.Calls(ctx, store.CallFilter{Open: true}, listMost)
	if err != nil {
		return nil, err
	}
	calls := map[ivr.CallID]store.Call{}
	for _, c := range slices.Concat(newest, open) {
		calls[c.ID] = c
	}
	for id, wasOpen := range told {
		if _, listed := calls[id]; wasOpen && !listed {
			if calls[id], err = s.Call(ctx, id); err != nil {
				return nil, err
			}
		}
	}
	return slices.SortedFunc(maps.Values(calls), func(a, b store.Call) int { return cmp.Compare(a.ID, b.ID) }), nil
}

func (a *app) tellCall(to io.Writer, c store.Call) error {
	if a.json {
		return json.NewEncoder(to).Encode(c)
	}
	_, err := fmt.Fprintln(to, callLine(c))
	return err
}

func callLine(c store.Call) string {
	state := fmt.Sprintf("%s (%s, cause %d)", c.Disposition, c.EndedBy, c.Cause)
	if c.Open() {
		state = "live"
	}
	return strings.TrimRight(fmt.Sprintf("%s  %s  %-12s %-15s talk %-9v charge %v %s  %s", c.ID, c.StartedAt.Format(time.DateTime),
		c.Kind, c.ANI, c.Talk().Round(time.Second/10), c.Charge, c.Currency(), state), " ")
}
