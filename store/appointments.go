package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// AppointmentID is appt_..., and sorts by when it was asked for.
type AppointmentID string

// Mode is who calls at the time.
type Mode string

const (
	HostCalls Mode = "host_calls" // we do: first the client, then the advisor
	DialIn    Mode = "dial_in"    // the client does, a number that they are lent
)

// AppointmentState is how an appointment stands. Those from ApptKept on are over.
type AppointmentState string

const (
	ApptAsked    AppointmentState = "asked"    // the advisor has to answer
	ApptProposed AppointmentState = "proposed" // the advisor has named another time, the client has to answer
	ApptAccepted AppointmentState = "accepted"
	ApptCalling  AppointmentState = "calling" // we call, or they talk
	ApptOpen     AppointmentState = "open"    // a number is lent

	ApptKept          AppointmentState = "kept"
	ApptDeclined      AppointmentState = "declined"
	ApptCancelled     AppointmentState = "cancelled"
	ApptClientNoShow  AppointmentState = "client_no_show"
	ApptAdvisorNoShow AppointmentState = "advisor_no_show"
	ApptNoFunds       AppointmentState = "no_funds"
	ApptMissed        AppointmentState = "missed" // neither is to blame, or nobody answered
)

// standing are the states of appointments that take up their time, in SQL.
const standing = `('accepted', 'calling', 'open')`

// Unfit: a part of what was asked for cannot be.
type Unfit struct{ Field, Why string }

func (e *Unfit) Error() string { return e.Field + ": " + e.Why }

// Overlap: one of the two has another appointment at that time.
type Overlap struct{ Of Side }

func (e *Overlap) Error() string {
	return "the " + string(e.Of) + " has another appointment at that time"
}

// NotInState: as the appointment stands, this cannot be done.
type NotInState struct{ State AppointmentState }

func (e *NotInState) Error() string { return "the appointment is " + string(e.State) }

// Party is who sees or answers appointments: a client, an advisor, or anyone where both
// are "".
type Party struct {
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	Who     string // for the audit log
}

func (p Party) side() Side {
	if p.Advisor != "" {
		return ByAdvisor
	}
	return ByClient
}

// byHost is the side of what happens by itself.
const byHost Side = "host"

// AppointmentRequest is a client's wish for an appointment.
type AppointmentRequest struct {
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	At      time.Time // with the offset that the zone has then
	Zone    string    // IANA
	Length  time.Duration
	Mode    Mode
	Phone   string // the client's at that time, E.164; their own where empty
	Topic   string // the advisor hears it; may be empty
}

// Appointment is one as it stands.
type Appointment struct {
	ID          AppointmentID
	State       AppointmentState
	Client      ivr.ClientID
	ClientAlias string
	Advisor     ivr.AdvisorID
	AdvisorName string
	Mode        Mode
	StartsAt    time.Time
	Length      time.Duration
	Zone        string
	Phone       string // masked
	Topic       string
	Terms       dialplan.Terms // agreed on: it costs no more
	Held        money.Amount   // set aside when it was accepted
	NoShow, Fee money.Amount   // what a client who does not come pays, and has paid

	AdvisorNoShow, Compensation money.Amount // what the house pays the client where the advisor does not come, and has paid

	Until    time.Time // a client who comes later has not come; zero until it is accepted
	DID, PIN string    // where a number is lent
	DIDUntil time.Time
	Calls    []ivr.CallID // made for it, in their order
	Changes  []AppointmentChange
}

// AppointmentChange is a step in what became of an appointment.
type AppointmentChange struct {
	At       time.Time        `json:"at"`
	Side     Side             `json:"side"` // client, advisor or host
	State    AppointmentState `json:"state"`
	Mode     Mode             `json:"mode"`
	StartsAt time.Time        `json:"starts_at"`
	Reason   string           `json:"reason"`
}

// AskAppointment asks an advisor for a time, at today's price: that is what counts. It
// returns an [*Unfit], [*ivr.NoFunds], [ErrBlocked], an [*Overlap], a
// [*dialplan.NotCallable] or [ErrNotFound].
func (s *Store) AskAppointment(ctx context.Context, request Request, plan dialplan.Plan, who string, r AppointmentRequest) (a Appointment, err error) {
	id := AppointmentID(ivr.NewID("appt"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a = Appointment{}
		return s.once(ctx, tx, request, &a, func() error {
			if err := s.askAppointment(ctx, tx, id, plan, who, r); err != nil {
				return err
			}
			a, err = s.readAppointment(ctx, tx, id, Party{})
			return err
		})
	})
	if err != nil {
		return Appointment{}, fmt.Errorf("appointment of client %s with advisor %s: %w", r.Client, r.Advisor, err)
	}
	s.Notify(ctx, TopicEvents)
	return a, nil
}

func (s *Store) askAppointment(ctx context.Context, tx *sqlx.Tx, id AppointmentID, plan dialplan.Plan, who string, r AppointmentRequest) error {
	r.At = r.At.Truncate(time.Second)
	if err := fitsClock(ctx, tx, plan, r.At, r.Zone); err != nil {
		return err
	}
	terms, err := s.fitsPeople(ctx, tx, plan, r)
	if err != nil {
		return err
	}
	if err := fitsOthers(ctx, tx, id, r.Client, r.Advisor, r.At, r.Length); err != nil {
		return err
	}
	var sealed, hash []byte
	var mask sql.NullString
	if r.Phone != "" {
		sealed, hash = s.vault.seal(string(id), r.Phone), s.vault.numberHash(string(ivr.Phone), r.Phone)
		mask = sql.NullString{String: ivr.Mask(r.Phone), Valid: true}
	}
	text, err := json.Marshal(terms)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `
		INSERT INTO appointments (id, client, advisor, mode, starts_at, ends_at, zone, topic, phone_sealed, phone_hash, phone_mask, terms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		id, r.Client, r.Advisor, r.Mode, r.At, r.At.Add(r.Length), r.Zone, r.Topic, sealed, hash, mask, string(text)); err != nil {
		return err
	}
	return s.changed(ctx, tx, id, ByClient, who, "", "appointment.asked")
}

// fitsClock says what is wrong with a time, by the database's clock.
func fitsClock(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, at time.Time, zone string) error {
	loc, err := loadZone(zone)
	if err != nil {
		return &Unfit{"zone", err.Error()}
	}
	// Between them the offset and the zone leave no doubt in the night when the clocks
	// change: an hour that is skipped has an offset that the zone does not have, one that
	// comes twice has it once with each.
	_, said := at.Zone()
	there := at.In(loc)
	if _, is := there.Zone(); said != is {
		return &Unfit{"starts_at", fmt.Sprintf("%s has the offset %s then: say %s if that instant is meant",
			zone, there.Format("-07:00"), there.Format(time.RFC3339))}
	}
	var now time.Time
	if err := tx.GetContext(ctx, &now, `SELECT clock_timestamp()`); err != nil {
		return err
	}
	if !at.After(now) {
		return &Unfit{"starts_at", "this time has passed"}
	}
	if last := now.Add(plan.Appointments.Ahead); at.After(last) {
		return &Unfit{"starts_at", fmt.Sprintf("appointments are made up to %s ahead: %s at the latest",
			plan.Appointments.Ahead, last.In(loc).Format(time.RFC3339))}
	}
	return nil
}

// fitsPeople checks what depends on the two: the length and its price, the client's
// phone and money. It returns the terms that they agree on.
func (s *Store) fitsPeople(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, r AppointmentRequest) (terms dialplan.Terms, err error) {
	var advisor wishRow
	err = tx.GetContext(ctx, &advisor, `SELECT per_minute, predetermined_ms FROM advisors WHERE id = $1 AND deleted_at IS NULL`, r.Advisor)
	if errors.Is(err, sql.ErrNoRows) {
		return terms, fmt.Errorf("advisor %s: %w", r.Advisor, ErrNotFound)
	}
	if err != nil {
		return terms, err
	}
	currency, err := lockClient(ctx, tx, r.Client)
	if err != nil {
		return terms, fmt.Errorf("client %s: %w", r.Client, err)
	}
	var client struct {
		Available money.Amount
		Phone     []byte `db:"phone_sealed"`
		Blocked   bool
		Cap       sql.Null[money.Amount]
	}
	err = tx.GetContext(ctx, &client, `
		SELECT m.posted - m.held AS available, c.phone_sealed,
			EXISTS (SELECT FROM blocks WHERE client = c.id AND advisor = $2 AND blocked) AS blocked,
			(SELECT min(amount) FROM caps_of(c.id)) AS cap
		FROM clients c JOIN accounts m ON m.client = c.id WHERE c.id = $1`, r.Client, r.Advisor)
	if err != nil {
		return terms, err
	}
	if r.Phone == "" {
		if r.Phone, err = s.vault.open(string(r.Client), client.Phone); err != nil {
			return terms, err
		}
	}
	if err := plan.MayCall(r.Phone); err != nil {
		return terms, err
	}
	terms = plan.Terms(string(r.Advisor), advisor.wish())
	if shortest := plan.Limits.Predetermined.Least; r.Length < shortest || r.Length > terms.LongestTalk || r.Length%time.Second != 0 {
		return terms, &Unfit{"seconds", fmt.Sprintf("a talk lasts from %d to %d seconds", shortest/time.Second, terms.LongestTalk/time.Second)}
	}
	terms = terms.Lasting(r.Length)
	price := terms.Least()
	poor := &ivr.NoFunds{Available: client.Available, Missing: price - client.Available, Predetermined: r.Length}
	switch {
	case price <= 0:
		return terms, fmt.Errorf("%w: rate %q of plan %d asks no money for %v of talk", ivr.ErrNotInPlan, terms.RateName, plan.Version, r.Length)
	case currency != terms.Currency:
		return terms, fmt.Errorf("the plan counts in %s, client %s has another currency: %w", terms.Currency, r.Client, ivr.ErrNotInPlan)
	case client.Available < price:
		return terms, poor
	case client.Cap.Valid && client.Cap.V < price: // it would be refused on any day
		poor.Available, poor.Missing, poor.ByCap = client.Cap.V, price-client.Cap.V, true
		return terms, poor
	case client.Blocked:
		return terms, ErrBlocked
	}
	return terms, nil
}

// fitsOthers returns an [*Overlap] where one of the two has agreed on another
// appointment then, or where the client has asked this advisor for another.
func fitsOthers(ctx context.Context, tx *sqlx.Tx, id AppointmentID, client ivr.ClientID, advisor ivr.AdvisorID, at time.Time, length time.Duration) error {
	var found []Side
	err := tx.SelectContext(ctx, &found, `
		SELECT CASE WHEN client = $2 THEN 'client' ELSE 'advisor' END FROM appointments
		WHERE id <> $1 AND tstzrange(starts_at, ends_at) && tstzrange($4, $5)
		  AND ((client = $2 OR advisor = $3) AND state IN `+standing+`
			OR client = $2 AND advisor = $3 AND state IN ('asked', 'proposed'))
		LIMIT 1`, id, client, advisor, at, at.Add(length))
	if err == nil && len(found) > 0 {
		err = &Overlap{found[0]}
	}
	return err
}

// changed writes down how an appointment stands now, by whom, and tells both; without
// an event nobody is told.
func (s *Store) changed(ctx context.Context, tx *sqlx.Tx, id AppointmentID, side Side, who, reason, event string) error {
	var r struct {
		Client  ivr.ClientID
		Advisor ivr.AdvisorID
		appointmentTold
	}
	if err := tx.GetContext(ctx, &r, `
		WITH change AS (
			INSERT INTO appointment_changes (appointment, side, who, state, mode, starts_at, loan, reason)
			SELECT id, $2, $3, state, mode, starts_at, loan, $4 FROM appointments WHERE id = $1
		)
		SELECT client, advisor, `+selectTold+` FROM appointments p WHERE id = $1`, id, side, who, reason); err != nil {
		return fmt.Errorf("write down a change of appointment %s: %w", id, err)
	}
	if event == "" {
		return nil
	}
	data := r.data()
	data["by"] = side
	return s.emit(ctx, tx, Event{Type: event, Client: r.Client, Advisor: r.Advisor, Data: data})
}

const selectTold = `p.id, p.state, p.mode, p.starts_at, p.zone, (extract(epoch FROM p.ends_at - p.starts_at))::bigint AS seconds`

// appointmentTold is what an event tells of an appointment.
type appointmentTold struct {
	ID       AppointmentID
	State    AppointmentState
	Mode     Mode
	StartsAt time.Time `db:"starts_at"`
	Zone     string
	Seconds  int64
}

func (t appointmentTold) data() map[string]any {
	at := t.StartsAt
	if loc, err := loadZone(t.Zone); err == nil {
		at = at.In(loc)
	}
	return map[string]any{"appointment": t.ID, "state": t.State, "mode": t.Mode, "starts_at": at.Format(time.RFC3339), "zone": t.Zone, "seconds": t.Seconds}
}
