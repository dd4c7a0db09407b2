package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/ivr/money"
)

// Appointment returns [ErrNotFound] where there is none of this party.
func (s *Store) Appointment(ctx context.Context, id AppointmentID, of Party) (a Appointment, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		a, err = s.readAppointment(ctx, s.db, id, of)
		return err
	})
	if err != nil {
		return Appointment{}, fmt.Errorf("appointment %s: %w", id, err)
	}
	return a, nil
}

// AppointmentFilter narrows a list of appointments; zero fields do not.
type AppointmentFilter struct {
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	State   AppointmentState
	Coming  bool          // only those that are not over
	Before  AppointmentID // only those asked for earlier: the last of the page before
}

// Appointments lists appointments of a party, the last that was asked for first.
func (s *Store) Appointments(ctx context.Context, f AppointmentFilter, of Party, limit int) ([]Appointment, error) {
	var rows []appointmentView
	err := s.list(ctx, &rows, selectAppointments+`
		WHERE ($1 = '' OR p.client = $1) AND ($2 = '' OR p.advisor = $2) AND ($3 = '' OR p.state = $3)
		  AND (NOT $4 OR p.state IN ('asked', 'proposed', 'accepted', 'calling', 'open')) AND ($5 = '' OR p.id < $5)
		  AND ($6 = '' OR p.client = $6) AND ($7 = '' OR p.advisor = $7)
		ORDER BY p.id DESC LIMIT $8`, f.Client, f.Advisor, f.State, f.Coming, f.Before, of.Client, of.Advisor, limit)
	if err != nil {
		return nil, fmt.Errorf("list appointments: %w", err)
	}
	list := make([]Appointment, len(rows))
	for i, r := range rows {
		if list[i], err = s.appointment(r); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *Store) readAppointment(ctx context.Context, q sqlx.QueryerContext, id AppointmentID, of Party) (Appointment, error) {
	var r appointmentView
	err := sqlx.GetContext(ctx, q, &r, selectAppointments+`
		WHERE p.id = $1 AND ($2 = '' OR p.client = $2) AND ($3 = '' OR p.advisor = $3)`, id, of.Client, of.Advisor)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Appointment{}, err
	}
	return s.appointment(r)
}

// appointmentColumns are an appointmentRow of each appointment p.
const appointmentColumns = `p.id, p.client, p.advisor, p.mode, p.starts_at, p.ends_at, p.zone, p.topic, p.terms, p.state,
	coalesce(p.until, '0001-01-01Z') AS until, p.held, p.no_show, p.fee, p.advisor_no_show, p.compensation,
	coalesce(p.loan, '') AS loan`

type appointmentRow struct {
	ID       AppointmentID
	Client   ivr.ClientID
	Advisor  ivr.AdvisorID
	Mode     Mode
	StartsAt time.Time `db:"starts_at"`
	EndsAt   time.Time `db:"ends_at"`
	Zone     string
	Topic    string
	Terms    []byte
	State    AppointmentState
	Until    time.Time
	Held     money.Amount
	NoShow   money.Amount `db:"no_show"`
	Fee      money.Amount
	Loan     ivr.LoanID

	AdvisorNoShow money.Amount `db:"advisor_no_show"`
	Compensation  money.Amount
}

const selectAppointments = `
	SELECT ` + appointmentColumns + `, c.alias, a.name, coalesce(p.phone_mask, c.phone_mask) AS phone,
		coalesce(l.did, '') AS did, coalesce(l.until, '0001-01-01Z') AS did_until,
		(SELECT json_agg(json_build_object('at', h.at, 'side', h.side, 'state', h.state, 'mode', h.mode,
				'starts_at', h.starts_at, 'reason', h.reason) ORDER BY h.id)
			FROM appointment_changes h WHERE h.appointment = p.id) AS changes,
		(SELECT coalesce(json_agg(k.id ORDER BY k.id), '[]') FROM calls k
			WHERE k.loan IN (SELECT h.loan FROM appointment_changes h WHERE h.appointment = p.id)) AS calls
	FROM appointments p JOIN clients c ON c.id = p.client JOIN advisors a ON a.id = p.advisor
	LEFT JOIN loans l ON l.id = p.loan AND l.until > clock_timestamp()`

type appointmentView struct {
	appointmentRow
	Alias, Name, Phone string
	DID                string
	DIDUntil           time.Time `db:"did_until"`
	Changes, Calls     []byte
}

func (s *Store) appointment(r appointmentView) (Appointment, error) {
	a := Appointment{
		ID: r.ID, State: r.State, Client: r.Client, ClientAlias: r.Alias, Advisor: r.Advisor, AdvisorName: r.Name,
		Mode: r.Mode, StartsAt: r.StartsAt, Length: r.EndsAt.Sub(r.StartsAt), Zone: r.Zone, Phone: r.Phone, Topic: r.Topic,
		Held: r.Held, NoShow: r.NoShow, Fee: r.Fee, Until: r.Until,
		AdvisorNoShow: r.AdvisorNoShow, Compensation: r.Compensation,
	}
	if r.DID != "" {
		a.DID, a.DIDUntil, a.PIN = r.DID, r.DIDUntil, s.vault.pin(r.Loan)
	}
	return a, errors.Join(json.Unmarshal(r.Terms, &a.Terms), json.Unmarshal(r.Changes, &a.Changes), json.Unmarshal(r.Calls, &a.Calls))
}
