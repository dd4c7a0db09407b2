package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/dialplan"
	"parley/ivr"
)

const (
	// reminderLate is how late a reminder may be and still say what it says. One that is
	// later, because nobody was there to send it, is left out.
	reminderLate = time.Minute

	// numberStays is how long a lent number still answers a client who is too late, with
	// choices.
	numberStays = time.Hour

	// callStays is how much longer than its placement a loan lasts by which we call.
	callStays = time.Minute
)

// DueAppointments does what is due by the database's clock, in all copies of the program
// at once if need be: it reminds, has lines verified, lends numbers, has calls placed,
// and ends what was not kept. Call it every second. It compares with now(), the beginning
// of its short transactions, by which indexes can be searched.
func (s *Store) DueAppointments(ctx context.Context, plan dialplan.Plan) error {
	rules := plan.Appointments
	err := errors.Join(
		s.remind(ctx, rules),
		s.askToVerify(ctx, rules),
		s.followVerified(ctx),
		// Nobody has answered in time.
		s.eachDue(ctx, `p.state IN ('asked', 'proposed') AND p.starts_at <= now()`, nil,
			func(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
				return s.appointmentOver(ctx, tx, a, ApptMissed)
			}),
		s.eachDue(ctx, `p.state = 'accepted' AND p.mode = 'dial_in' AND p.until > now() AND p.starts_at <= now() + $1 * interval '1 ms'
			AND EXISTS (SELECT FROM lines WHERE advisor = p.advisor AND retired_at IS NULL)`, []any{rules.Early.Milliseconds()},
			func(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error { return s.lendNumber(ctx, tx, plan, a) }),
		s.eachDue(ctx, `p.state = 'accepted' AND p.mode = 'host_calls' AND p.until > now() AND p.starts_at <= now()
			AND EXISTS (SELECT FROM lines WHERE advisor = p.advisor AND verified_at IS NOT NULL)
			AND NOT `+advisorTaken+`
			AND (SELECT count(*) FROM calls WHERE client = p.client AND ended_at IS NULL) < $1
			AND (SELECT count(*) FROM calls WHERE ended_at IS NULL)
				+ (SELECT count(*) FROM placements WHERE ended_at IS NULL AND call IS NULL) < $2`,
			[]any{plan.Limits.Concurrent.PerClient, plan.Limits.Concurrent.All}, s.startCalling),
		s.eachDue(ctx, `p.state IN ('accepted', 'open') AND p.starts_at <= now() AND p.until <= now()
			AND NOT EXISTS (SELECT FROM calls WHERE loan = p.loan AND ended_at IS NULL)`, nil, s.judgeNotKept),
	)
	if err != nil {
		return fmt.Errorf("appointments that are due: %w", err)
	}
	return nil
}

// advisorTaken: the advisor of appointment p talks, or is reserved for another client.
const advisorTaken = `(EXISTS (SELECT FROM calls WHERE advisor = p.advisor AND ended_at IS NULL)
	OR EXISTS (SELECT FROM loans WHERE advisor = p.advisor AND client <> p.client AND ` + reserved + `))`

// eachDue does something with every appointment p for which a condition holds, in a
// transaction for each. Copies of the program share the work: an advisor whom another
// has locked is passed over, and looked at again the next time. What fails stops nothing
// else.
func (s *Store) eachDue(ctx context.Context, condition string, args []any, do func(context.Context, *sqlx.Tx, appointmentRow) error) error {
	var faults []error
	tried := []string{} // in this round, once each
	last := fmt.Sprintf("$%d", len(args)+1)
	for {
		var id string
		err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
			id = ""
			found := []string{}
			if err := tx.SelectContext(ctx, &found, `
				SELECT p.id FROM appointments p JOIN advisors a ON a.id = p.advisor
				WHERE `+condition+` AND p.id <> ALL (`+last+`::text[])
				ORDER BY p.starts_at, p.id LIMIT 1 FOR NO KEY UPDATE OF a SKIP LOCKED`,
				append(args[:len(args):len(args)], pq.Array(tried))...); err != nil || len(found) == 0 {
				return err
			}
			id = found[0]
			// Looked at again under its locks: it may have changed between the look and the lock.
			a, err := lockAppointment(ctx, tx, condition+` AND p.id = `+last, append(args[:len(args):len(args)], id)...)
			if errors.Is(err, ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			return do(ctx, tx, a)
		})
		switch {
		case id == "":
			return errors.Join(append(faults, err)...)
		case err != nil:
			faults = append(faults, fmt.Errorf("appointment %s: %w", id, err))
		}
		tried = append(tried, id)
		s.Notify(ctx, TopicEvents)
		s.Notify(ctx, TopicPlacements)
	}
}

// remind sends the reminders whose time has come. Of what nobody was there to send, only
// the last is sent, and only if it is not late.
func (s *Store) remind(ctx context.Context, rules dialplan.Appointments) error {
	var first time.Duration
	before := make([]int64, len(rules.Remind))
	for i, d := range rules.Remind {
		before[i], first = d.Milliseconds(), max(first, d)
	}
	return s.tellEach(ctx, "appointment.reminder", `
		UPDATE appointments p SET reminded_until = due.at
		FROM (
			SELECT p.id, r.at FROM appointments p CROSS JOIN LATERAL (
				SELECT max(p.starts_at - b * interval '1 ms') AS at FROM unnest($1::bigint[]) AS b
				WHERE p.starts_at - b * interval '1 ms' <= now()) r
			WHERE p.state IN ('accepted', 'open') AND p.starts_at > now() AND p.starts_at <= now() + $3 * interval '1 ms'
			  AND p.reminded_until < r.at
			ORDER BY p.id FOR NO KEY UPDATE OF p SKIP LOCKED
		) due
		WHERE p.id = due.id AND p.reminded_until < due.at
		RETURNING p.client, p.advisor, due.at > now() - $2 * interval '1 ms' AS tell, `+selectTold,
		pq.Array(before), reminderLate.Milliseconds(), first.Milliseconds())
}

// askToVerify tells advisors who have no verified line when it is time to verify one.
func (s *Store) askToVerify(ctx context.Context, rules dialplan.Appointments) error {
	return s.tellEach(ctx, "appointment.verify_line", `
		UPDATE appointments p SET verify_asked = true
		FROM (
			SELECT p.id FROM appointments p
			WHERE p.state IN ('accepted', 'open') AND NOT p.verify_asked
			  AND p.starts_at <= now() + $1 * interval '1 ms' AND p.until > now()
			  AND NOT EXISTS (SELECT FROM lines WHERE advisor = p.advisor AND verified_at IS NOT NULL)
			ORDER BY p.id FOR NO KEY UPDATE OF p SKIP LOCKED
		) due
		WHERE p.id = due.id AND NOT p.verify_asked
		RETURNING '' AS client, p.advisor, true AS tell, `+selectTold, rules.Verify.Milliseconds())
}

// tellEach tells of each appointment that a statement changes and says to tell of.
func (s *Store) tellEach(ctx context.Context, event, statement string, args ...any) error {
	told := false
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var rows []struct {
			Client  ivr.ClientID
			Advisor ivr.AdvisorID
			Tell    bool
			appointmentTold
		}
		if err := tx.SelectContext(ctx, &rows, statement, args...); err != nil {
			return fmt.Errorf("%s: %w", event, err)
		}
		for _, r := range rows {
			if !r.Tell {
				continue
			}
			if err := s.emit(ctx, tx, Event{Type: event, Client: r.Client, Advisor: r.Advisor, Data: r.data()}); err != nil {
				return err
			}
			told = true
		}
		return nil
	})
	if err == nil && told {
		s.Notify(ctx, TopicEvents)
	}
	return err
}

// followVerified leads numbers that were lent ahead to the line that was verified since.
func (s *Store) followVerified(ctx context.Context) error {
	return s.retry(ctx, func(ctx context.Context) error {
		_, err := s.db.ExecContext(ctx, `
			UPDATE loans l SET line = v.id FROM appointments p, lines n, lines v
			WHERE p.state = 'open' AND l.id = p.loan AND n.id = l.line AND n.verified_at IS NULL
			  AND v.id = (SELECT max(id) FROM lines WHERE advisor = l.advisor AND verified_at IS NOT NULL)`)
		return err
	})
}

// lendNumber lends the client a number to dial. It does not reserve the advisor, whom
// the appointment itself keeps for them.
func (s *Store) lendNumber(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, a appointmentRow) error {
	r, err := loanFor(ctx, tx, a, numberStays)
	if err != nil {
		return err
	}
	r.Quarantine = plan.Limits.Quarantine
	for _, n := range plan.Numbers {
		r.Pool = append(r.Pool, n.DID)
	}
	id := ivr.LoanID(ivr.NewID("loan"))
	if err := s.lend(ctx, tx, id, r, false); err != nil {
		return err
	}
	return s.standsWith(ctx, tx, a, ApptOpen, id, "appointment.number")
}

// startCalling reserves the advisor and has both called. What the client has reserved of
// this advisor's time by themselves is over.
func (s *Store) startCalling(ctx context.Context, tx *sqlx.Tx, a appointmentRow) error {
	var own []ivr.LoanID
	if err := tx.SelectContext(ctx, &own, `
		SELECT id FROM loans WHERE advisor = $1 AND client = $2 AND `+reserved, a.Advisor, a.Client); err != nil {
		return err
	}
	for _, loan := range own {
		if err := s.leaveTurn(ctx, tx, loan); err != nil {
			return err
		}
	}
	r, err := loanFor(ctx, tx, a, callStays)
	if err != nil {
		return err
	}
	id := ivr.LoanID(ivr.NewID("loan"))
	if err := s.reserve(ctx, tx, id, r); err != nil {
		return err
	}
	if err := place(ctx, tx, id, ivr.AppointmentCall, a.Until); err != nil {
		return err
	}
	return s.standsWith(ctx, tx, a, ApptCalling, id, "")
}

// loanFor is the loan for an appointment, longer by stays than its client is waited for.
// Its line is a verified one if there is any.
func loanFor(ctx context.Context, tx *sqlx.Tx, a appointmentRow, stays time.Duration) (LoanRequest, error) {
	var now time.Time
	r := LoanRequest{Client: a.Client, Advisor: a.Advisor, Topic: a.Topic}
	err := tx.QueryRowxContext(ctx, `
		SELECT clock_timestamp(), id FROM lines WHERE advisor = $1 AND retired_at IS NULL
		ORDER BY (verified_at IS NOT NULL) DESC, id DESC LIMIT 1`, a.Advisor).Scan(&now, &r.Line)
	r.For = a.Until.Sub(now) + stays
	return r, err
}

// standsWith writes down that a loan was made for an appointment.
func (s *Store) standsWith(ctx context.Context, tx *sqlx.Tx, a appointmentRow, to AppointmentState, loan ivr.LoanID, event string) error {
	if err := changeOne(ctx, tx, `UPDATE appointments SET state = $2, loan = $3 WHERE id = $1`, a.ID, to, loan); err != nil {
		return err
	}
	return s.changed(ctx, tx, a.ID, byHost, "clock", "", event)
}
