package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
)

// A node is an Asterisk and the copies of the program that serve it. All nodes share the
// database: any of them takes any call. What is in a node's hands, its open calls and what
// it has claimed, is its own while somebody owns it, and is settled by another node when
// nobody does.

// DefaultNode is the node's name where there is but one.
const DefaultNode = "asterisk"

// abandonedAfter is for how long nobody has owned a node before another settles for it: no
// copy of it stands by then, and a program that was only started anew has long been back.
const abandonedAfter = 18 * time.Second

// Node is a node as the others see it.
type Node struct {
	Name     string
	SIP      string // host:port of its Asterisk
	Served   bool   // a copy of the program owns it, and lives
	Draining bool   // it takes no new calls
	Open     int    // calls
}

// Nodes lists all nodes that ever were served.
func (s *Store) Nodes(ctx context.Context) (nodes []Node, err error) {
	err = s.list(ctx, &nodes, `
		SELECT asterisk AS name, sip, draining,
			holder <> '' AND renewed_at > clock_timestamp() - $1 * interval '1 ms' AS served,
			(SELECT count(*) FROM calls WHERE node = o.asterisk AND ended_at IS NULL) AS open
		FROM owners o ORDER BY asterisk`, leaseLasts.Milliseconds())
	return nodes, err
}

// DrainNode has a node take no new calls, or take them again. Those that are up go on.
func (s *Store) DrainNode(ctx context.Context, by, name string, draining bool) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE owners SET draining = $2 WHERE asterisk = $1`, name, draining)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		what := map[bool]string{true: "node draining", false: "node takes calls"}[draining]
		return s.log(ctx, tx, Act{Who: by, What: what, Subject: name})
	})
	if err != nil {
		return fmt.Errorf("node %q: %w", name, err)
	}
	s.Notify(ctx, TopicOwner)
	return nil
}

// SetRegistered records which endpoints are registered with this node now: all others are
// not.
func (s *Store) SetRegistered(ctx context.Context, endpoints []string) error {
	if endpoints == nil {
		endpoints = []string{} // which is no NULL
	}
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `
			WITH gone AS (
				UPDATE registrations SET since = NULL WHERE node = $1 AND since IS NOT NULL AND endpoint <> ALL ($2::text[])
			)
			INSERT INTO registrations AS r (endpoint, node, since) SELECT e, $1, clock_timestamp() FROM unnest($2::text[]) AS e
			ON CONFLICT (endpoint, node) DO UPDATE SET since = excluded.since WHERE r.since IS NULL`,
			s.config.Node, pq.Array(endpoints))
		return err
	})
	if err != nil {
		return fmt.Errorf("record which phones are registered: %w", err)
	}
	return nil
}

// RegisteredAt lists the nodes that are served and where an endpoint is registered: first
// that where it registered last.
func (s *Store) RegisteredAt(ctx context.Context, endpoint string) (nodes []Node, err error) {
	err = s.list(ctx, &nodes, `
		SELECT asterisk AS name, sip FROM registrations JOIN owners ON asterisk = node
		WHERE endpoint = $1 AND since IS NOT NULL AND renewed_at > clock_timestamp() - $2 * interval '1 ms'
		ORDER BY since DESC`, endpoint, abandonedAfter.Milliseconds())
	return nodes, err
}

// TopicEnds is noticed when a call is to be ended by whichever program runs it.
const TopicEnds = "ends"

// AskedEnd is a call that somebody wants ended.
type AskedEnd struct {
	Call ivr.CallID
	Why  string
}

// AskedEnds are this node's open calls that are to be ended.
func (s *Store) AskedEnds(ctx context.Context) (ends []AskedEnd, err error) {
	err = s.list(ctx, &ends, `
		SELECT e.call, e.why FROM calls c JOIN call_ends e ON e.call = c.id WHERE c.ended_at IS NULL AND c.node = $1`, s.config.Node)
	return ends, err
}

// forNode is the same store for another node, with that one's tenure.
func (s *Store) forNode(t *tenure) *Store {
	config := s.config
	config.Node = t.asterisk
	other := &Store{db: s.db, prepared: s.prepared, redis: s.redis, notices: s.notices, vault: s.vault, config: config, patience: s.patience}
	other.tenure.Store(t)
	return other
}

// abandoned is another node's lease, where the node has something in its hands.
type abandoned struct {
	Name string
	lease
}

// SettleAbandoned looks after the other nodes until ctx ends. Where nobody has owned one for
// [abandonedAfter], it becomes the owner itself, which fences whoever was frozen; settles
// what the node had in its hands, by settle; and gives it back to whoever starts it again.
func (s *Store) SettleAbandoned(ctx context.Context, log *slog.Logger, settle func(ctx context.Context, node *Store) error) {
	seen := map[string]*sighting{}
	for {
		var busy []abandoned
		err := s.list(ctx, &busy, `
			SELECT asterisk AS name, holder, epoch, renewed_at FROM owners o WHERE asterisk <> $1
				AND (EXISTS (SELECT FROM calls WHERE node = o.asterisk AND ended_at IS NULL)
					OR EXISTS (SELECT FROM placements WHERE node = o.asterisk AND ended_at IS NULL AND call IS NOT NULL)
					OR EXISTS (SELECT FROM challenges WHERE node = o.asterisk AND claimed_at IS NOT NULL
						AND finished_at IS NULL AND verified_at IS NULL AND until > now()))`, s.config.Node)
		if err != nil {
			busy = nil // which begins all sightings anew
		}
		now := time.Now()
		for _, n := range busy {
			if seen[n.Name] == nil {
				seen[n.Name] = &sighting{}
			}
			seen[n.Name].note(n.lease, now)
			if now.Sub(seen[n.Name].since) < abandonedAfter {
				continue
			}
			err := s.settleFor(ctx, n, log, settle)
			if err != nil && !errors.Is(err, ErrNotOwner) && ctx.Err() == nil {
				log.Warn("calls of a node that nobody serves are not settled yet", "node", n.Name, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

// settleFor settles for one node that nobody owns.
func (s *Store) settleFor(ctx context.Context, n abandoned, log *slog.Logger, settle func(context.Context, *Store) error) error {
	o := &Ownership{store: s.forNode(&tenure{}), db: s.db, asterisk: n.Name, log: log, holder: ivr.NewID("own")}
	if err := o.acquire(ctx, n.lease); err != nil {
		return err
	}
	log.Warn("nobody serves a node: what it had is settled here", "node", n.Name, "epoch", o.Epoch)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		stop(o.Keep(ctx, func() bool { return false }))
	}()
	err := settle(ctx, o.store)
	stop(nil)
	<-kept
	return errors.Join(err, o.Release(context.WithoutCancel(ctx), abandonedAfter)) // nobody has served it all that time
}

// preferred says that a placement of a loan is for this node to claim at once: the advisor's
// line is a telephone, or registered here, or nowhere. Others wait a moment for the node
// where it is, and then place the call through it.
const preferred = `(made_at < clock_timestamp() - interval '2 s' OR NOT EXISTS (
	SELECT FROM loans l JOIN lines ON lines.id = l.line
	JOIN registrations r ON r.endpoint = lines.id || CASE WHEN lines.generation > 1 THEN '_' || lines.generation ELSE '' END
	WHERE l.id = placements.loan AND r.since IS NOT NULL AND r.node <> $2
		AND NOT EXISTS (SELECT FROM registrations h WHERE h.endpoint = r.endpoint AND h.node = $2 AND h.since IS NOT NULL)))`
