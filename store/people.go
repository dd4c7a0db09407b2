package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// ErrTaken: another client has this telephone number.
var ErrTaken = errors.New("another client has this number")

// Client is who pays.
type Client struct {
	ID           ivr.ClientID
	Alias        string       // what advisors hear instead of a name
	Phone        string       // E.164 to add a client; masked when read
	Currency     string       // of the account, such as EUR
	Posted, Held money.Amount // posted - held is available
	MadeAt       time.Time    `db:"made_at"`
}

// Available is what can be held.
func (c Client) Available() money.Amount { return c.Posted - c.Held }

// AddClient adds a client with an empty account. Where the ID is empty one is made;
// the same client again is no error.
func (s *Store) AddClient(ctx context.Context, c Client) (Client, error) {
	if c.ID == "" {
		c.ID = ivr.ClientID(ivr.NewID("cli"))
	}
	if err := checkClient(c); err != nil {
		return Client{}, err
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return s.addClient(ctx, tx, c) })
	if violated(err) == "clients_phone_key" {
		err = ErrTaken
	}
	if err != nil {
		return Client{}, fmt.Errorf("add client %s: %w", c.ID, err)
	}
	return s.Client(ctx, c.ID)
}

func checkClient(c Client) error {
	if !e164.MatchString(c.Phone) {
		return errors.New("a client's number must be E.164, such as +491601234567")
	}
	if !printable.MatchString(c.Alias) || !currency.MatchString(c.Currency) {
		return errors.New("a client needs an alias of at most 80 letters and signs on one line, and a currency such as EUR")
	}
	return nil
}

func (s *Store) addClient(ctx context.Context, tx *sqlx.Tx, c Client) error {
	hash := s.vault.numberHash(string(ivr.Phone), c.Phone)
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO clients (id, alias, phone_sealed, phone_hash, phone_mask)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING`,
		c.ID, c.Alias, s.vault.seal(string(c.ID), c.Phone), hash, ivr.Mask(c.Phone)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
		INSERT INTO accounts (id, kind, client, currency, posted, held) VALUES
			('outside/' || $2, 'outside', NULL, $2, NULL, NULL),
			('platform/' || $2, 'platform', NULL, $2, NULL, NULL),
			('client/' || $1, 'client', $1, $2, 0, 0)
		ON CONFLICT DO NOTHING`, c.ID, c.Currency)
	if err != nil {
		return err
	}
	var same bool
	err = tx.GetContext(ctx, &same, `
		SELECT (alias, phone_hash, currency) = ($2, $3, $4)
		FROM clients c JOIN accounts a ON a.client = c.id WHERE c.id = $1`, c.ID, c.Alias, hash, c.Currency)
	if err == nil && !same {
		err = ErrConflict
	}
	return err
}

// printable is a name on one line, without what steers a terminal or turns writing around.
var printable = regexp.MustCompile(`^[^\p{C}\p{Zl}\p{Zp}]{1,80}$`)

var currency = regexp.MustCompile(`^[A-Z]{3}$`)

const selectClients = `
	SELECT c.id, c.alias, c.phone_mask AS phone, c.made_at, a.currency, a.posted, a.held
	FROM clients c JOIN accounts a ON a.client = c.id AND c.deleted_at IS NULL`

// Client returns [ErrNotFound] where there is none.
func (s *Store) Client(ctx context.Context, id ivr.ClientID) (c Client, err error) {
	if err := s.get(ctx, &c, selectClients+` WHERE c.id = $1`, id); err != nil {
		return c, fmt.Errorf("client %s: %w", id, err)
	}
	return c, nil
}

// Clients lists all clients, the newest first.
func (s *Store) Clients(ctx context.Context, limit int) (list []Client, err error) {
	err = s.list(ctx, &list, selectClients+` ORDER BY c.id DESC LIMIT $1`, limit)
	return list, err
}

// list reads rows into a slice, afresh on every try.
func (s *Store) list(ctx context.Context, dest any, query string, args ...any) error {
	return s.retry(ctx, func(ctx context.Context) error { return s.db.SelectContext(ctx, dest, query, args...) })
}

// often is as list, for what is asked many times a second.
func (s *Store) often(ctx context.Context, dest any, query string, args ...any) error {
	return s.retry(ctx, func(ctx context.Context) error { return s.prepared.SelectContext(ctx, dest, query, args...) })
}

// Advisor is who is paid.
type Advisor struct {
	ID   ivr.AdvisorID
	Name string // what clients hear
	Wish dialplan.Wish
}

type advisorRow struct {
	ID   ivr.AdvisorID
	Name string
	wishRow
}

func (r advisorRow) advisor() Advisor { return Advisor{r.ID, r.Name, r.wish()} }

// wishRow is what an advisor asks for themselves, as the table advisors has it.
type wishRow struct {
	PerMinute       money.Amount `db:"per_minute"`
	PredeterminedMS int64        `db:"predetermined_ms"`
}

func (r wishRow) wish() dialplan.Wish {
	return dialplan.Wish{PerMinute: r.PerMinute, Predetermined: time.Duration(r.PredeterminedMS) * time.Millisecond}
}

const selectAdvisors = `
	SELECT id, name, per_minute, predetermined_ms FROM (SELECT * FROM advisors WHERE deleted_at IS NULL) a`

// AddAdvisor adds an advisor. Where the ID is empty one is made; the same advisor
// again is no error.
func (s *Store) AddAdvisor(ctx context.Context, a Advisor) (Advisor, error) {
	if a.ID == "" {
		a.ID = ivr.AdvisorID(ivr.NewID("adv"))
	}
	if !printable.MatchString(a.Name) || a.Wish.Predetermined < 0 || a.Wish.PerMinute < 0 {
		return a, errors.New("an advisor needs a name of at most 80 letters and signs on one line; the price and the length that they set cannot be negative")
	}
	err := s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `
			INSERT INTO advisors (id, name, per_minute, predetermined_ms) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
			a.ID, a.Name, a.Wish.PerMinute, a.Wish.Predetermined.Milliseconds())
		return err
	})
	if err != nil {
		return a, fmt.Errorf("add advisor %s: %w", a.ID, err)
	}
	there, err := s.Advisor(ctx, a.ID)
	if err == nil && there != a {
		err = fmt.Errorf("add advisor %s: %w", a.ID, ErrConflict)
	}
	return there, err
}

// SetWish is what the advisor asks for themselves; zero fields withdraw it.
func (s *Store) SetWish(ctx context.Context, advisor ivr.AdvisorID, wish dialplan.Wish) error {
	var known string
	err := s.get(ctx, &known, `
		UPDATE advisors SET per_minute = $2, predetermined_ms = $3 WHERE id = $1 RETURNING id`,
		advisor, wish.PerMinute, wish.Predetermined.Milliseconds())
	if err != nil {
		return fmt.Errorf("set what advisor %s wishes: %w", advisor, err)
	}
	return nil
}

// Advisor returns [ErrNotFound] where there is none.
func (s *Store) Advisor(ctx context.Context, id ivr.AdvisorID) (Advisor, error) {
	var r advisorRow
	if err := s.get(ctx, &r, selectAdvisors+` WHERE id = $1`, id); err != nil {
		return Advisor{}, fmt.Errorf("advisor %s: %w", id, err)
	}
	return r.advisor(), nil
}

// Advisors lists all advisors, the newest first.
func (s *Store) Advisors(ctx context.Context, limit int) ([]Advisor, error) {
	var rows []advisorRow
	if err := s.list(ctx, &rows, selectAdvisors+` ORDER BY id DESC LIMIT $1`, limit); err != nil {
		return nil, err
	}
	advisors := make([]Advisor, len(rows))
	for i, r := range rows {
		advisors[i] = r.advisor()
	}
	return advisors, nil
}

// Line is a line as it may be shown: its address is masked.
type Line struct {
	ID          ivr.LineID
	Advisor     ivr.AdvisorID
	Kind        ivr.LineKind
	Address     string    `db:"address_mask"`
	Generation  int       // one more whenever the line is changed
	VerifiedAt  time.Time `db:"verified_at"` // zero: not verified, and not rung for clients
	VerifiedHow string    `db:"verified_how"`
}

// AddLine adds an unverified line. Where the ID is empty one is made, and where it is
// no telephone and the address is empty, its endpoint is named; the same line again is
// no error.
func (s *Store) AddLine(ctx context.Context, by string, l ivr.Line) (ivr.LineID, error) {
	if l.ID == "" {
		l.ID = ivr.LineID(ivr.NewID("line"))
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return s.addLine(ctx, tx, by, l) })
	if violated(err) == "lines_advisor_fkey" {
		err = fmt.Errorf("advisor %s: %w", l.Advisor, ErrNotFound)
	}
	if err != nil {
		return "", fmt.Errorf("add line %s: %w", l.ID, err)
	}
	return l.ID, nil
}

func (s *Store) addLine(ctx context.Context, tx *sqlx.Tx, by string, l ivr.Line) error {
	if l.Kind != ivr.Phone && l.Address == "" {
		l.Address = EndpointName(l.ID, 1)
	}
	if err := checkAddress(l.Kind, l.Address); err != nil {
		return err
	}
	hash := s.vault.numberHash(string(l.Kind), l.Address)
	done, err := tx.ExecContext(ctx, `
		INSERT INTO lines (id, advisor, kind, address_sealed, address_hash, address_mask)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING`,
		l.ID, l.Advisor, l.Kind, s.vault.seal(string(l.ID), l.Address), hash, ivr.Mask(l.Address))
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 1 {
		return errors.Join(err, s.log(ctx, tx, Act{Who: by, What: "line added", Subject: string(l.ID),
			Detail: map[string]string{"advisor": string(l.Advisor), "kind": string(l.Kind), "address": ivr.Mask(l.Address)}}))
	}
	var same bool
	err = tx.GetContext(ctx, &same, `
		SELECT (advisor, kind, address_hash) = ($2, $3, $4) FROM lines WHERE id = $1`, l.ID, l.Advisor, l.Kind, hash)
	if err == nil && !same {
		err = ErrConflict
	}
	return err
}

func checkAddress(kind ivr.LineKind, address string) error {
	switch {
	case kind != ivr.Phone && kind != ivr.SIP && kind != ivr.App:
		return fmt.Errorf("a line is a %s, %s or %s, not %q", ivr.Phone, ivr.SIP, ivr.App, kind)
	case kind == ivr.Phone && !e164.MatchString(address):
		return errors.New("a phone line's address must be E.164, such as +491601234567")
	case address == "":
		return errors.New("a line needs the name of its endpoint as its address")
	}
	return nil
}

// ChangeLine leads a line of an advisor, or of anyone where own is "", to another
// telephone, or to another device: an endpoint with another name and password, while
// the one before is taken from Asterisk. Either way it is not verified any more.
func (s *Store) ChangeLine(ctx context.Context, by string, own ivr.AdvisorID, id ivr.LineID, kind ivr.LineKind, address string) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		line, err := lockLine(ctx, tx, own, id)
		if err == nil && line.Retired {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		generation := line.Generation + 1
		address := address // fn may run again
		if kind != ivr.Phone {
			address = EndpointName(id, generation)
		}
		if err := checkAddress(kind, address); err != nil {
			return err
		}
		if err := changeOne(ctx, tx, `
			UPDATE lines SET kind = $2, address_sealed = $3, address_hash = $4, address_mask = $5, generation = $6,
				verified_at = NULL, verified_how = NULL
			WHERE id = $1`,
			id, kind, s.vault.seal(string(id), address), s.vault.numberHash(string(kind), address), ivr.Mask(address), generation); err != nil {
			return err
		}
		if err := s.unverified(ctx, tx, line.Advisor, id, "line changed"); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "line changed, not verified any more", Subject: string(id),
			Detail: map[string]string{"kind": string(kind), "address": ivr.Mask(address)}})
	})
	if err != nil {
		return fmt.Errorf("change line %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicLines)
	return nil
}

const selectLines = `
	SELECT id, advisor, kind, address_mask, generation, coalesce(verified_at, '0001-01-01Z') AS verified_at,
		coalesce(verified_how, '') AS verified_how
	FROM lines`

// Lines lists an advisor's lines, or everyone's where advisor is "", newest first.
// Those that were retired are not among them.
func (s *Store) Lines(ctx context.Context, advisor ivr.AdvisorID) (list []Line, err error) {
	err = s.list(ctx, &list, selectLines+` WHERE retired_at IS NULL AND ($1 = '' OR advisor = $1) ORDER BY id DESC`, advisor)
	return list, err
}

// Line returns [ErrNotFound] where there is none.
func (s *Store) Line(ctx context.Context, id ivr.LineID) (l Line, err error) {
	if err := s.get(ctx, &l, selectLines+` WHERE id = $1 AND retired_at IS NULL`, id); err != nil {
		return l, fmt.Errorf("line %s: %w", id, err)
	}
	return l, nil
}
