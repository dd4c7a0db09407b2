package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// AcceptAppointment is the advisor's yes to what a client asked for, or the client's to
// the other time that the advisor proposed. Where the plan holds the money at booking,
// it is set aside here. It returns [*NotInState], [*Overlap], [*ivr.NoFunds], an [*Unfit]
// or [ErrNotFound].
func (s *Store) AcceptAppointment(ctx context.Context, request Request, plan dialplan.Plan, by Party, id AppointmentID) (Appointment, error) {
	return s.answerAppointment(ctx, request, by, id, func(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
		if a.State != ApptAsked && a.State != ApptProposed || (a.State == ApptAsked) != (by.side() == ByAdvisor) {
			return &NotInState{a.State}
		}
		if err := fitsOthers(ctx, tx, a.ID, a.Client, a.Advisor, a.StartsAt, a.EndsAt.Sub(a.StartsAt)); err != nil {
			return err
		}
		var now time.Time
		if err := tx.GetContext(ctx, &now, `SELECT clock_timestamp()`); err != nil {
			return err
		}
		if !a.StartsAt.After(now) {
			return &Unfit{"starts_at", "this time has passed"}
		}
		var held money.Amount
		if plan.Appointments.Hold == dialplan.AtBooking {
			var err error
			if held, err = setAside(ctx, tx, a); err != nil {
				return err
			}
		}
		if err := changeOne(ctx, tx, `
			UPDATE appointments SET state = 'accepted', until = $2, held = $3, no_show = $4, advisor_no_show = $5, reminded_until = $6 WHERE id = $1`,
			a.ID, a.StartsAt.Add(plan.Appointments.Late), held, min(plan.Appointments.ClientNoShow, held), plan.Appointments.AdvisorNoShow, now); err != nil {
			return err
		}
		if err := s.changed(ctx, tx, a.ID, by.side(), by.Who, "", "appointment.accepted"); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by.Who, What: "appointment accepted", Subject: string(a.ID),
			Detail: map[string]string{"client": string(a.Client), "advisor": string(a.Advisor), "held": fmt.Sprint(int64(held))}})
	})
}

// DeclineAppointment is the advisor's no to what a client asked for, or the client's to
// the other time. It returns [*NotInState] or [ErrNotFound].
func (s *Store) DeclineAppointment(ctx context.Context, request Request, by Party, id AppointmentID, reason string) (Appointment, error) {
	return s.answerAppointment(ctx, request, by, id, func(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
		if a.State != ApptAsked && a.State != ApptProposed || (a.State == ApptAsked) != (by.side() == ByAdvisor) {
			return &NotInState{a.State}
		}
		return s.endAppointment(ctx, tx, a, ApptDeclined, "appointment.declined", by, reason)
	})
}

// ProposeAppointment names another time, as the advisor; the price stays. It returns
// [*NotInState], an [*Unfit], an [*Overlap] or [ErrNotFound].
func (s *Store) ProposeAppointment(ctx context.Context, request Request, plan dialplan.Plan, by Party, id AppointmentID, at time.Time) (Appointment, error) {
	return s.answerAppointment(ctx, request, by, id, func(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
		if a.State != ApptAsked && a.State != ApptProposed || by.side() != ByAdvisor {
			return &NotInState{a.State}
		}
		at, length := at.Truncate(time.Second), a.EndsAt.Sub(a.StartsAt)
		if err := fitsClock(ctx, tx, plan, at, a.Zone); err != nil {
			return err
		}
		if err := fitsOthers(ctx, tx, a.ID, a.Client, a.Advisor, at, length); err != nil {
			return err
		}
		if err := changeOne(ctx, tx, `
			UPDATE appointments SET state = 'proposed', starts_at = $2, ends_at = $3 WHERE id = $1`, a.ID, at, at.Add(length)); err != nil {
			return err
		}
		return s.changed(ctx, tx, a.ID, by.side(), by.Who, "", "appointment.proposed")
	})
}

// CancelAppointment ends an appointment before it begins, for either side and at no
// cost: what was set aside is the client's again. It returns [*NotInState] or
// [ErrNotFound].
func (s *Store) CancelAppointment(ctx context.Context, request Request, by Party, id AppointmentID, reason string) (Appointment, error) {
	return s.answerAppointment(ctx, request, by, id, func(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
		var early bool
		if err := tx.GetContext(ctx, &early, `SELECT clock_timestamp() < $1`, a.StartsAt); err != nil {
			return err
		}
		switch a.State {
		case ApptAsked, ApptProposed, ApptAccepted, ApptOpen:
			if early {
				return s.endAppointment(ctx, tx, a, ApptCancelled, "appointment.cancelled", by, reason)
			}
		}
		return &NotInState{a.State}
	})
}

// endAppointment ends one that was not to be, by one of the two.
func (s *Store) endAppointment(ctx context.Context, tx *sqlx.Tx, a appointmentRow, to AppointmentState, event string, by Party, reason string) error {
	if err := giveBack(ctx, tx, a); err != nil {
		return err
	}
	if err := takeBack(ctx, tx, a.Loan); err != nil {
		return err
	}
	if err := changeOne(ctx, tx, `UPDATE appointments SET state = $2 WHERE id = $1`, a.ID, to); err != nil {
		return err
	}
	if err := s.changed(ctx, tx, a.ID, by.side(), by.Who, reason, event); err != nil || a.Held == 0 {
		return err
	}
	return s.log(ctx, tx, Act{Who: by.Who, What: "appointment " + string(to), Subject: string(a.ID),
		Detail: map[string]string{"client": string(a.Client), "advisor": string(a.Advisor), "released": fmt.Sprint(int64(a.Held))}})
}

// answerAppointment changes an appointment of one of its parties, once for a request.
func (s *Store) answerAppointment(ctx context.Context, request Request, by Party, id AppointmentID,
	change func(context.Context, *sqlx.Tx, appointmentRow) error) (a Appointment, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a = Appointment{}
		return s.once(ctx, tx, request, &a, func() error {
			locked, err := lockAppointment(ctx, tx, `p.id = $1 AND ($2 = '' OR p.client = $2) AND ($3 = '' OR p.advisor = $3)`, id, by.Client, by.Advisor)
			if err != nil {
				return err
			}
			if err := change(ctx, tx, locked); err != nil {
				return err
			}
			a, err = s.readAppointment(ctx, tx, id, Party{})
			return err
		})
	})
	switch violated(err) {
	case "appointments_one_an_advisor":
		err = &Overlap{ByAdvisor}
	case "appointments_one_a_client":
		err = &Overlap{ByClient}
	}
	if err != nil {
		return Appointment{}, fmt.Errorf("appointment %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	return a, nil
}

// lockAppointment locks the one appointment p for which a condition holds, after its
// advisor and its client's account: in the order of all that moves money. It returns
// [ErrNotFound] where it does not hold, or not any more once the locks are there.
func lockAppointment(ctx context.Context, tx *sqlx.Tx, condition string, args ...any) (a appointmentRow, err error) {
	var of struct {
		Client  ivr.ClientID
		Advisor ivr.AdvisorID
	}
	err = tx.GetContext(ctx, &of, `SELECT p.client, p.advisor FROM appointments p WHERE `+condition, args...)
	for _, lock := range []struct{ query, id string }{
		{`SELECT FROM advisors WHERE id = $1 FOR NO KEY UPDATE`, string(of.Advisor)},
		{`SELECT FROM accounts WHERE id = 'client/' || $1 FOR NO KEY UPDATE`, string(of.Client)},
	} {
		if err == nil {
			_, err = tx.ExecContext(ctx, lock.query, lock.id)
		}
	}
	if err == nil {
		err = tx.GetContext(ctx, &a, `SELECT `+appointmentColumns+` FROM appointments p WHERE `+condition+` FOR NO KEY UPDATE`, args...)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return a, err
}
