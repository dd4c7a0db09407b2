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
)

// returnForCall gives the client the money back that is set aside for an appointment, in
// the transaction in which its call holds it: in all other eyes it never was theirs to
// spend. It returns [ivr.ErrTooLate] where the appointment does not stand any more.
func returnForCall(ctx context.Context, tx *sqlx.Tx, o ivr.Opening) error {
	if o.Terms.SetBy != appointmentTerms {
		return nil
	}
	a, err := lockAppointment(ctx, tx, `p.loan = $1 AND p.state IN ('calling', 'open')`, o.Loan)
	if errors.Is(err, ErrNotFound) {
		return ivr.ErrTooLate
	}
	if err != nil {
		return err
	}
	return giveBack(ctx, tx, a)
}

// appointmentTerms is who sets the length of talk in terms made by
// [dialplan.Terms.Lasting].
const appointmentTerms = "appointment"

// appointmentCalled learns how a call ended by a loan that may be an appointment's. It
// locks the client's account, where that is not locked already, and not the advisor: no
// advisor becomes less free by it.
func (s *Store) appointmentCalled(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID, d ivr.Disposition, talk time.Duration) error {
	found, err := tx.ExecContext(ctx, `
		SELECT FROM accounts WHERE id = (SELECT 'client/' || client FROM appointments WHERE loan = $1) FOR NO KEY UPDATE`, loan)
	if err != nil {
		return err
	}
	if n, err := found.RowsAffected(); err != nil || n == 0 {
		return err
	}
	var a appointmentRow
	if err := tx.GetContext(ctx, &a, `SELECT `+appointmentColumns+` FROM appointments p WHERE p.loan = $1 FOR NO KEY UPDATE`, loan); err != nil {
		return err
	}
	stands := a.State == ApptCalling || a.State == ApptOpen
	switch {
	case talk > 0 && stands:
		return s.appointmentOver(ctx, tx, a, ApptKept)
	case talk > 0: // too late, and they talked all the same
		return takeBack(ctx, tx, loan)
	case a.State != ApptCalling: // a client who dials in may dial again
		return nil
	}
	var early bool
	if err := tx.GetContext(ctx, &early, `SELECT clock_timestamp() < $1`, a.Until); err != nil {
		return err
	}
	if (d == "client busy" || d == "all busy") && early { // nobody was rung: once more
		if err := takeBack(ctx, tx, loan); err != nil {
			return err
		}
		return s.standsWith(ctx, tx, a, ApptAccepted, loan, "")
	}
	return s.appointmentOver(ctx, tx, a, blame(d))
}

// blame says what becomes of an appointment whose call ended like this before the two
// could talk.
func blame(d ivr.Disposition) AppointmentState {
	switch d {
	case "client not reached", "client busy":
		return ApptClientNoShow
	case "busy", "declined", "no answer", "unreachable":
		return ApptAdvisorNoShow
	case "no funds":
		return ApptNoFunds
	}
	return ApptMissed // our fault, or the client came and did not wait for the advisor
}

// judgeNotKept ends an appointment to which nobody came in time.
func (s *Store) judgeNotKept(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
	if a.State == ApptOpen {
		// The client came, if one of their calls got as far as to the money.
		var last []ivr.Disposition
		if err := tx.SelectContext(ctx, &last, `
			SELECT disposition FROM calls WHERE loan = $1
			  AND (terms IS NOT NULL OR disposition IN ('no funds', 'busy', 'unreachable', 'client busy', 'all busy', 'failed'))
			ORDER BY id DESC LIMIT 1`, a.Loan); err != nil {
			return err
		}
		if len(last) == 0 {
			return s.appointmentOver(ctx, tx, a, ApptClientNoShow)
		}
		return s.appointmentOver(ctx, tx, a, blame(last[0]))
	}
	var why struct{ Unverified, Unreachable, Taken, ClientTalks bool }
	if err := tx.QueryRowxContext(ctx, `
		SELECT NOT EXISTS (SELECT FROM lines WHERE advisor = p.advisor AND verified_at IS NOT NULL),
			NOT EXISTS (SELECT FROM lines WHERE advisor = p.advisor AND retired_at IS NULL), `+advisorTaken+`,
			EXISTS (SELECT FROM calls WHERE client = p.client AND ended_at IS NULL)
		FROM appointments p WHERE p.id = $1`, a.ID).Scan(&why.Unverified, &why.Unreachable, &why.Taken, &why.ClientTalks); err != nil {
		return err
	}
	switch {
	case why.Unreachable, a.Mode == HostCalls && (why.Unverified || why.Taken):
		return s.appointmentOver(ctx, tx, a, ApptAdvisorNoShow)
	case a.Mode == HostCalls && why.ClientTalks:
		return s.appointmentOver(ctx, tx, a, ApptClientNoShow)
	}
	return s.appointmentOver(ctx, tx, a, ApptMissed) // nobody was there to call or to lend, or there was no number
}

// appointmentOver ends an appointment by what happened, and settles what was set aside.
// The client's account is locked. A number that was lent stays for the client who is too
// late; who was on a call with it needs it no more.
func (s *Store) appointmentOver(ctx context.Context, tx *sqlx.Tx, a appointmentRow, to AppointmentState) error {
	if err := giveBack(ctx, tx, a); err != nil {
		return err
	}
	var err error
	switch to {
	case ApptClientNoShow:
		a.Fee, err = payNoShow(ctx, tx, a)
	case ApptAdvisorNoShow:
		a.Compensation = a.AdvisorNoShow
		err = compensate(ctx, tx, a)
	}
	if err != nil {
		return err
	}
	if to == ApptKept || a.State == ApptCalling {
		if err := takeBack(ctx, tx, a.Loan); err != nil {
			return err
		}
	}
	if err := changeOne(ctx, tx, `UPDATE appointments SET state = $2, fee = $3, compensation = $4 WHERE id = $1`, a.ID, to, a.Fee, a.Compensation); err != nil {
		return err
	}
	event := "appointment.missed"
	if to == ApptKept {
		event = "appointment.kept"
	}
	return s.changed(ctx, tx, a.ID, byHost, "clock", "", event)
}

// takeBack ends a loan that was made for an appointment, if it is not over. It reads the
// clock: the loan may have been made while a lock was waited for.
func takeBack(ctx context.Context, tx *sqlx.Tx, loan ivr.LoanID) error {
	_, err := tx.ExecContext(ctx, `
		UPDATE loans SET until = at, kept_until = at + (kept_until - until)
		FROM (SELECT clock_timestamp() AS at) AS clock WHERE id = $1 AND until > at`, loan)
	return err
}

// CallAtTime implements [ivr.Desk]: we call instead of the client's dialling in. The
// number works no more. A loan that has nothing to do with an appointment any more is
// [ErrNotFound].
func (s *Store) CallAtTime(ctx context.Context, loan ivr.LoanID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		a, err := lockAppointment(ctx, tx, `p.loan = $1`, loan)
		if err != nil {
			return err
		}
		if a.Mode == HostCalls && a.State == ApptAccepted {
			return nil // asked for before
		}
		if a.State != ApptOpen {
			return &NotInState{a.State}
		}
		if err := takeBack(ctx, tx, loan); err != nil {
			return err
		}
		if err := changeOne(ctx, tx, `UPDATE appointments SET mode = 'host_calls', state = 'accepted' WHERE id = $1`, a.ID); err != nil {
			return err
		}
		return s.changed(ctx, tx, a.ID, ByClient, "by key", "", "")
	})
	if err != nil {
		return fmt.Errorf("call the client of loan %s at the time: %w", loan, err)
	}
	return nil
}

// nextAppointment is the advisor's next, or the one that is on; the zero time for none.
type nextAppointment struct {
	NextAt  time.Time `db:"next_at"`
	NextEnd time.Time `db:"next_end"`
}

// selectNextAppointment is that of advisor $1.
const selectNextAppointment = `
	coalesce((SELECT min(starts_at) FROM appointments WHERE advisor = $1 AND state IN ` + standing + ` AND until > clock_timestamp()), '0001-01-01Z') AS next_at,
	coalesce((SELECT min(ends_at) FROM appointments WHERE advisor = $1 AND state IN ` + standing + ` AND until > clock_timestamp()), '0001-01-01Z') AS next_end`

// lasts is how long a loan can last, at most as long as wanted: who dials in its last
// moment still has the talk that their money must cover before the advisor's next
// appointment.
func (m meeting) lasts(wanted time.Duration) time.Duration {
	if m.NextAt.IsZero() {
		return wanted
	}
	return min(wanted, m.NextAt.Sub(m.Now)-putThrough(m.plan.Limits, false)-m.terms.Predetermined)
}

// selectAgreed is an agreedRow of each loan l, of which appt is the appointment, if any.
const selectAgreed = `coalesce(appt.id, '') AS agreed, coalesce(appt.starts_at, '0001-01-01Z') AS agreed_at,
		coalesce(appt.until, '0001-01-01Z') AS agreed_until,
		appt.terms AS agreed_terms,
		appt.phone_hash AS agreed_phone_hash, appt.phone_sealed AS agreed_phone_sealed,
		(SELECT min(starts_at) FROM appointments WHERE advisor = l.advisor AND loan IS DISTINCT FROM l.id
			AND state IN ` + standing + ` AND until > clock_timestamp()) AS free_until`

// agreedRow is what appointments say of a loan.
type agreedRow struct {
	Agreed            AppointmentID
	AgreedAt          time.Time    `db:"agreed_at"`
	AgreedUntil       time.Time    `db:"agreed_until"`
	AgreedTerms       []byte       `db:"agreed_terms"`
	AgreedPhoneHash   []byte       `db:"agreed_phone_hash"`
	AgreedPhoneSealed []byte       `db:"agreed_phone_sealed"`
	FreeUntil         sql.NullTime `db:"free_until"`
}

// agreed tells a loan of its appointment, and of the advisor's next.
func (s *Store) agreed(r agreedRow, loan *ivr.Loan) (err error) {
	loan.FreeUntil = r.FreeUntil.Time
	if r.Agreed == "" {
		return nil
	}
	loan.Appointment = &ivr.Appointment{At: r.AgreedAt, Until: r.AgreedUntil}
	if err := json.Unmarshal(r.AgreedTerms, &loan.Appointment.Terms); err != nil {
		return fmt.Errorf("read the terms of appointment %s: %w", r.Agreed, err)
	}
	if r.AgreedPhoneSealed != nil {
		loan.ClientLine.Address, err = s.vault.open(string(r.Agreed), r.AgreedPhoneSealed)
	}
	return err
}
