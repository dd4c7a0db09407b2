package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"parley/ivr"
	"parley/ivr/ari"
	"parley/store"
)

const (
	// registeredEvery is how often it is looked which phones are registered here.
	registeredEvery = time.Second

	// locateTakes bounds how long a call waits to learn where its advisor's phone is: long
	// enough for one that has only just registered to be recorded.
	locateTakes, locateEvery = 2500 * time.Millisecond, 250 * time.Millisecond
)

// neighbours does what a node does for the others, and they for it, until ctx ends: it tells
// them which phones are registered here, settles for one that nobody serves, and takes no new
// calls while it is to be drained.
func (o *owner) neighbours(ctx context.Context, asterisk *ari.Switch, service *ivr.Service) {
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() { o.drains(ctx, asterisk, service) })
	all.Go(func() {
		o.store.SettleAbandoned(ctx, o.log, func(ctx context.Context, node *store.Store) error {
			dead := &ivr.Service{Ledger: node, Stopping: ctx, Log: o.log}
			if err := dead.CloseOrphans(ctx); err != nil {
				return err
			}
			if err := node.AbandonPlacements(ctx); err != nil {
				return err
			}
			return node.AbandonChallenges(ctx)
		})
	})
	if o.nodeSIP != "" {
		all.Go(func() { o.recordRegistered(ctx, asterisk) })
	}
}

// drains turns new calls away for as long as the node is to be drained.
func (o *owner) drains(ctx context.Context, asterisk *ari.Switch, service *ivr.Service) {
	empty := false
	for look(ctx, nil) {
		draining := o.ownership.Draining()
		if draining != o.ready.draining.Swap(draining) {
			asterisk.Drain(draining)
			o.log.Info(map[bool]string{true: "draining", false: "taking calls again"}[draining], "live", service.Live())
			empty = false
		}
		if draining && !empty && service.Live() == 0 {
			empty = true
			o.log.Info("drained")
		}
	}
}

// recordRegistered records which phones are registered here: whenever that has changed, and
// at the start, after it was told where this node's Asterisk is.
func (o *owner) recordRegistered(ctx context.Context, asterisk *ari.Switch) {
	var recorded []string
	known, broken := false, false
	for {
		names, err := asterisk.Registered(ctx)
		if err == nil {
			slices.Sort(names)
			if !known {
				err = o.ownership.Announce(ctx, o.nodeSIP)
			}
			if err == nil && (!known || !slices.Equal(names, recorded)) {
				err = o.store.SetRegistered(ctx, names)
				recorded, known = names, err == nil
			}
		}
		if err != nil && !broken && ctx.Err() == nil {
			o.log.Warn("other nodes may not find the phones that are registered here", "err", err)
		}
		broken = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(registeredEvery):
		}
	}
}

// elsewhere finds the node where a phone registered last. Where nobody knows, it is dialled
// here.
func (c config) elsewhere(s *store.Store, log *slog.Logger) func(context.Context, string) string {
	if c.nodeSIP == "" {
		return nil
	}
	return func(ctx context.Context, endpoint string) string {
		ctx, cancel := context.WithTimeout(ctx, locateTakes)
		defer cancel()
		for {
			nodes, err := s.RegisteredAt(ctx, endpoint)
			switch {
			case err != nil:
				log.Warn("it is not known where an advisor's phone is; it is rung here", "err", err)
				return ""
			case len(nodes) > 0 && nodes[0].Name == c.node:
				return ""
			case len(nodes) > 0:
				return nodes[0].SIP
			}
			select {
			case <-ctx.Done():
				return "" // it will be found to be nowhere
			case <-time.After(locateEvery):
			}
		}
	}
}

// endAsked ends the calls that somebody wants ended who asked another copy of the program,
// until ctx ends.
func endAsked(ctx context.Context, service *ivr.Service, s *store.Store, log *slog.Logger) {
	notices := s.Listen(ctx, store.TopicEnds)
	for look(ctx, notices) {
		ends, err := s.AskedEnds(ctx)
		if err != nil && ctx.Err() == nil {
			log.Warn("calls that are to be ended go on", "err", err)
		}
		for _, end := range ends {
			service.End(end.Call, end.Why)
		}
	}
}

func (a *app) nodeCommand() *cobra.Command {
	node := &cobra.Command{Use: "node", Short: "The nodes: each an Asterisk and its copies of the program"}
	node.AddCommand(&cobra.Command{
		Use: "list", Short: "List the nodes", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			nodes, err := s.Nodes(ctx)
			var text strings.Builder
			for _, n := range nodes {
				state := "nobody serves it"
				if n.Served {
					state = "takes calls"
				}
				if n.Draining {
					state = "draining"
				}
				fmt.Fprintf(&text, "%-16s %-21s %5d open  %s\n", n.Name, n.SIP, n.Open, state)
			}
			return say(nodes, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	})
	for use, draining := range map[string]bool{"drain": true, "undrain": false} {
		node.AddCommand(&cobra.Command{
			Use: use + " NODE", Args: cobra.ExactArgs(1),
			Short: map[bool]string{true: "Have a node take no new calls; those that are up go on", false: "Have a node take calls again"}[draining],
			RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
				err := s.DrainNode(ctx, operator(), args[0], draining)
				words := map[bool]string{true: "takes no new calls; `parley node list` says when its last one is over", false: "takes calls again"}
				return say(map[string]any{"node": args[0], "draining": draining}, "%s %s", args[0], words[draining]), err
			}),
		})
	}
	return node
}
