package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
)

// ClientFilter narrows a list of clients; zero fields do not.
type ClientFilter struct {
	Alias  string       // how it begins, in whatever case
	Phone  string       // the whole number, E.164
	Before ivr.ClientID // only older ones: the last of the page before
}

// SearchClients lists clients, the newest first.
func (s *Store) SearchClients(ctx context.Context, f ClientFilter, limit int) (list []Client, err error) {
	prefix := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(f.Alias)) + "%"
	hash := []byte(nil)
	if f.Phone != "" {
		hash = s.vault.numberHash(string(ivr.Phone), f.Phone)
	}
	err = s.list(ctx, &list, selectClients+`
		WHERE lower(c.alias) LIKE $1 AND ($2::bytea IS NULL OR c.phone_hash = $2) AND ($3 = '' OR c.id < $3)
		ORDER BY c.id DESC LIMIT $4`, prefix, hash, f.Before, limit)
	if err != nil {
		return nil, fmt.Errorf("search clients: %w", err)
	}
	return list, nil
}

// RequestClient is [Store.AddClient] for whoever may ask twice. The ID is made here.
func (s *Store) RequestClient(ctx context.Context, request Request, by string, c Client) (Client, error) {
	c.ID = ivr.ClientID(ivr.NewID("cli"))
	if err := checkClient(c); err != nil {
		return Client{}, err
	}
	var added Client
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		added = Client{}
		return s.once(ctx, tx, request, &added, func() error {
			if err := s.addClient(ctx, tx, c); err != nil {
				return err
			}
			if err := tx.GetContext(ctx, &added, selectClients+` WHERE c.id = $1`, c.ID); err != nil {
				return err
			}
			return s.log(ctx, tx, Act{Who: by, What: "client added", Subject: string(c.ID),
				Detail: map[string]string{"phone": added.Phone, "currency": c.Currency}})
		})
	})
	if violated(err) == "clients_phone_key" {
		err = ErrTaken
	}
	if err != nil {
		return Client{}, fmt.Errorf("add a client: %w", err)
	}
	return added, nil
}

// NumberState is a DID and what has become of it.
type NumberState struct {
	DID       string
	Loan      ivr.LoanID // that has it, or had it last while it is kept back; "" where it is free
	Client    ivr.ClientID
	Advisor   ivr.AdvisorID
	Until     time.Time // lent until then
	KeptUntil time.Time `db:"kept_until"` // and not lent again before then
	Lent      bool
}

// State is lent, quarantine or free.
func (n NumberState) State() string {
	switch {
	case n.Lent:
		return "lent"
	case n.Loan != "":
		return "quarantine"
	}
	return "free"
}

// NumberStates tells of each of these DIDs, in their order.
func (s *Store) NumberStates(ctx context.Context, dids []string) (list []NumberState, err error) {
	err = s.list(ctx, &list, `
		SELECT p.did, coalesce(l.id, '') AS loan, coalesce(l.client, '') AS client, coalesce(l.advisor, '') AS advisor,
			coalesce(l.until, '0001-01-01Z') AS until, coalesce(l.kept_until, '0001-01-01Z') AS kept_until, coalesce(l.until > now(), false) AS lent
		FROM unnest($1::text[]) WITH ORDINALITY AS p (did, place)
		LEFT JOIN LATERAL (
			SELECT * FROM loans WHERE did = p.did AND made_at <= now() AND kept_until > now() ORDER BY made_at DESC LIMIT 1
		) l ON true ORDER BY p.place`, pq.Array(dids))
	if err != nil {
		return nil, fmt.Errorf("look what the numbers do: %w", err)
	}
	return list, nil
}

// TakeBackLoan is [Store.EndLoan] by an administrator: it is written down. One that is
// over already is no error.
func (s *Store) TakeBackLoan(ctx context.Context, by string, id ivr.LoanID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var ended []struct {
			Client   ivr.ClientID
			Advisor  ivr.AdvisorID
			DID      string
			Reserves bool
		}
		if err := tx.SelectContext(ctx, &ended, `
			UPDATE loans SET until = now(), kept_until = now() + (kept_until - until)
			WHERE id = $1 AND until > now() RETURNING client, advisor, coalesce(did, '') AS did, reserves`, id); err != nil {
			return err
		}
		if len(ended) == 0 {
			var known bool
			if err := tx.GetContext(ctx, &known, `SELECT EXISTS (SELECT FROM loans WHERE id = $1)`, id); err != nil || known {
				return err
			}
			return ErrNotFound
		}
		e := ended[0]
		if e.Reserves {
			if err := s.emit(ctx, tx, Event{Type: "talk.over", Client: e.Client, Advisor: e.Advisor,
				Data: map[string]any{"talk": id, "why": "taken back"}}); err != nil {
				return err
			}
		}
		return s.log(ctx, tx, Act{Who: by, What: "loan taken back", Subject: string(id),
			Detail: map[string]string{"did": e.DID, "client": string(e.Client), "advisor": string(e.Advisor)}})
	})
	if err != nil {
		return fmt.Errorf("take back loan %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	return nil
}

// Names is what clients and advisors are called, by ID. Those who are not there are not
// in it.
func (s *Store) Names(ctx context.Context, clients []ivr.ClientID, advisors []ivr.AdvisorID) (map[string]string, error) {
	var rows []struct{ ID, Name string }
	if err := s.list(ctx, &rows, `
		SELECT id, alias AS name FROM clients WHERE id = ANY ($1) UNION ALL SELECT id, name FROM advisors WHERE id = ANY ($2)`,
		pq.Array(clients), pq.Array(advisors)); err != nil {
		return nil, fmt.Errorf("look up names: %w", err)
	}
	names := make(map[string]string, len(rows))
	for _, r := range rows {
		names[r.ID] = r.Name
	}
	return names, nil
}

// ErrCallOver: there is nothing to end any more.
var ErrCallOver = errors.New("the call is over")

// RequestEnd writes down that somebody wants a call ended, before it is. running is the
// call where this program runs it; else the program that does finds it written, and ends it.
// It returns [ErrNotFound] or [ErrCallOver]. first is false where the same request was
// answered before.
func (s *Store) RequestEnd(ctx context.Context, request Request, by, reason string, id ivr.CallID, running *ivr.LiveCall) (at time.Time, first bool, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		return s.once(ctx, tx, request, &at, func() error {
			first = true
			call := running
			if call == nil {
				var err error
				if call, err = askEnd(ctx, tx, id, by+": "+reason); err != nil {
					return err
				}
			}
			if err := tx.GetContext(ctx, &at, `SELECT clock_timestamp()`); err != nil {
				return err
			}
			if err := s.emit(ctx, tx, Event{Type: "call.end_asked", Client: call.Client, Advisor: call.Advisor,
				Data: map[string]any{"call": id}}); err != nil {
				return err
			}
			return s.log(ctx, tx, Act{Who: by, What: "call end asked", Subject: string(id), Detail: map[string]string{"reason": reason}})
		})
	})
	if err != nil {
		return at, first, fmt.Errorf("end call %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicEnds)
	return at, first, nil
}

// askEnd asks whichever program runs an open call to end it.
func askEnd(ctx context.Context, tx *sqlx.Tx, id ivr.CallID, why string) (*ivr.LiveCall, error) {
	var call struct {
		Client  ivr.ClientID
		Advisor ivr.AdvisorID
		Open    bool
	}
	err := tx.GetContext(ctx, &call, `
		SELECT coalesce(client, '') AS client, coalesce(advisor, '') AS advisor, ended_at IS NULL AS open FROM calls WHERE id = $1`, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, ErrNotFound
	case err != nil:
		return nil, err
	case !call.Open:
		return nil, ErrCallOver
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO call_ends (call, why) VALUES ($1, $2) ON CONFLICT (call) DO NOTHING`, id, why)
	return &ivr.LiveCall{ID: id, Client: call.Client, Advisor: call.Advisor}, err
}

// Ended says that a call's record is whole.
func (s *Store) Ended(ctx context.Context, id ivr.CallID) (ended bool, err error) {
	err = s.get(ctx, &ended, `SELECT EXISTS (SELECT FROM calls WHERE id = $1 AND ended_at IS NOT NULL)`, id)
	return ended, err
}

// ActFilter narrows a list of acts; zero fields do not.
type ActFilter struct {
	Subjects []string // what it was done to: one of these
	Who      string
	Before   int64 // only older ones: the last of the page before
}

// Acts lists acts, the newest first.
func (s *Store) Acts(ctx context.Context, f ActFilter, limit int) (acts []Act, err error) {
	if f.Subjects == nil {
		f.Subjects = []string{}
	}
	var rows []actRow
	err = s.list(ctx, &rows, `
		SELECT * FROM audit_log WHERE (cardinality($1::text[]) = 0 OR subject = ANY ($1)) AND $2 IN ('', who) AND ($3 = 0 OR id < $3)
		ORDER BY id DESC LIMIT $4`, pq.Array(f.Subjects), f.Who, f.Before, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	for _, r := range rows {
		a, err := r.act()
		if err != nil {
			return nil, err
		}
		acts = append(acts, a)
	}
	return acts, nil
}

// PingRedis asks Redis for a sign of life.
func (s *Store) PingRedis(ctx context.Context) error {
	if s.redis == nil {
		return errors.New("no Redis is set")
	}
	return s.redis.Ping(ctx).Err()
}
