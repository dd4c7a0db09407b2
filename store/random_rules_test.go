package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
	"parley/ivr/money"
)

// problems is what must never be, of some clients and advisors: a row for each.
const problems = `
	SELECT 'client ' || client || ' has two live calls' FROM calls WHERE client = ANY ($1) AND ended_at IS NULL GROUP BY client HAVING count(*) > 1
	UNION ALL
	SELECT 'advisor ' || advisor || ' has two live calls' FROM calls WHERE advisor = ANY ($2) AND ended_at IS NULL GROUP BY advisor HAVING count(*) > 1
	UNION ALL
	SELECT format('advisor %s talks to %s and is reserved for %s', c.advisor, c.client, l.client)
	FROM calls c JOIN loans l ON l.advisor = c.advisor AND l.client <> c.client AND l.reserves AND l.until > clock_timestamp()
	WHERE c.advisor = ANY ($2) AND c.ended_at IS NULL
	UNION ALL
	SELECT format('client %s has %s, %s held, of which %s by calls', a.client, a.posted, a.held, h.sum)
	FROM accounts a CROSS JOIN LATERAL (
		SELECT coalesce(sum(h.amount), 0) AS sum FROM holds h LEFT JOIN hold_resolutions r USING (call, number)
		WHERE h.account = a.id AND r.call IS NULL) h
	WHERE a.client = ANY ($1) AND (a.held <> h.sum OR a.held < 0 OR a.posted < a.held)
	UNION ALL
	SELECT format('wait %s was passed over: %s came later and has its turn', w.id, t.id)
	FROM waits t JOIN loans tl ON tl.id = t.loan JOIN waits w ON w.advisor = t.advisor AND w.ticket < t.ticket AND w.state = 'waiting'
	WHERE t.advisor = ANY ($2) AND t.state = 'turn' AND w.ready_at <= tl.made_at
		AND NOT EXISTS (SELECT FROM calls WHERE client = w.client AND (ended_at IS NULL OR ended_at >= tl.made_at) AND opened_at <= tl.made_at)
		AND NOT EXISTS (SELECT FROM loans WHERE client = w.client AND advisor <> w.advisor AND reserves AND until > tl.made_at AND made_at <= tl.made_at)
	UNION ALL
	SELECT format('appointment %s is kept, and they talked %s times', p.id, count(c.id))
	FROM appointments p LEFT JOIN calls c ON c.loan = p.loan AND c.talk_ms > 0
	WHERE p.client = ANY ($1) AND p.state = 'kept' GROUP BY p.id HAVING count(c.id) <> 1
	UNION ALL
	SELECT format('appointment %s is %s, though they talked', p.id, p.state) FROM appointments p JOIN calls c ON c.loan = p.loan AND c.talk_ms > 0
	WHERE p.client = ANY ($1) AND p.state IN ('calling', 'accepted', 'open', 'cancelled', 'advisor_no_show')
	UNION ALL
	SELECT format('call %s of an appointment was charged %s, more than was agreed', c.id, c.charge)
	FROM calls c JOIN appointments p ON p.loan = c.loan AND p.state = 'kept'
	WHERE c.client = ANY ($1) AND c.charge > p.held`

// left is what must not be any more when the day is over.
const left = `
	SELECT format('call %s is open', id) FROM calls WHERE client = ANY ($1) AND ended_at IS NULL
	UNION ALL
	SELECT format('loan %s of advisor %s is in force', id, advisor) FROM loans WHERE client = ANY ($1) AND until > clock_timestamp()
	UNION ALL
	SELECT format('wait %s is %s', id, state) FROM waits WHERE client = ANY ($1) AND ended_at IS NULL
	UNION ALL
	SELECT format('appointment %s is %s', id, state) FROM appointments WHERE client = ANY ($1) AND state IN ('asked', 'proposed', 'accepted', 'calling', 'open')
	UNION ALL
	SELECT format('the call of loan %s is to be placed', p.loan) FROM placements p JOIN loans l ON l.id = p.loan WHERE l.client = ANY ($1) AND p.ended_at IS NULL
	UNION ALL
	SELECT format('%s of client %s are held', held, client) FROM accounts WHERE client = ANY ($1) AND held <> 0
	UNION ALL
	SELECT format('advisor %s is reserved', advisor) FROM loans WHERE advisor = ANY ($2) AND reserves AND until > clock_timestamp()`

// holds checks what must hold at any moment, and that nothing that was over came back.
func (h *chance) holds() error {
	if err := h.none(h.owner.problems); err != nil {
		return err
	}
	var all []struct{ ID, State string }
	if err := h.owner.states.Select(&all, pq.Array(h.clients)); err != nil {
		return err
	}
	for _, one := range all {
		was := h.states[one.ID]
		if was != one.State && !strings.Contains(after[was], " "+one.State+" ") {
			return fmt.Errorf("%s was %s and is %s", one.ID, was, one.State)
		}
		h.states[one.ID] = one.State
	}
	return nil
}

// after is what may become of a wait, and of an appointment: of what is not here, nothing.
var after = map[string]string{
	"":        " waiting turn asked accepted ",
	"waiting": " turn left no_funds failed talked not_reached not_accepted missed_turn ",
	"turn":    " talked left missed_turn no_funds not_reached not_accepted failed ",

	"asked":    " proposed accepted declined cancelled missed ",
	"proposed": " accepted declined cancelled missed ",
	"accepted": " calling open cancelled client_no_show advisor_no_show missed no_funds ",
	"calling":  " accepted kept cancelled client_no_show advisor_no_show missed no_funds ",
	"open":     " accepted kept cancelled client_no_show advisor_no_show missed no_funds ",
}

// none runs a query that finds what must not be.
func (h *chance) none(query *sqlx.Stmt) error {
	var found []string
	if err := query.Select(&found, pq.Array(h.clients), pq.Array(h.advisors)); err != nil {
		return err
	}
	if len(found) > 0 {
		return errors.New(strings.Join(found, "\n"))
	}
	return nil
}

// evening lets everything come to its end: calls end, clients do not answer, nobody asks
// for anything, and hours pass. Then nothing is left.
func (h *chance) evening() error {
	ctx := h.t.Context()
	h.tell("evening")
	for _, advisor := range h.advisors {
		if err := h.SetPresence(ctx, advisor, true); err != nil {
			return err
		}
	}
	if err := h.restart(); err != nil {
		return err
	}
	for range 40 {
		if h.none(h.owner.left) == nil {
			return h.holds()
		}
		if err := errors.Join(h.GiveTurns(ctx, h.plan), h.EndMissedPlacements(ctx), h.DueAppointments(ctx, h.plan)); err != nil {
			return err
		}
		if err := h.holds(); err != nil {
			return err
		}
		p, found, err := h.ClaimPlacement(ctx)
		if err != nil {
			return err
		}
		if found {
			err = h.opens(p.Loan, p.Call, p.Kind)
			h.tell("a call is placed: %v", err)
			if errors.Is(err, errCrash) {
				err = h.restart()
			}
			if err = h.mayBe(err); err != nil {
				return err
			}
		}
		for _, o := range h.calls {
			cdr := ended(o)
			cdr.Kind, cdr.Disposition = o.Kind, "client not reached"
			if err := h.Close(ctx, cdr); err != nil {
				return err
			}
		}
		h.calls = nil
		if err := h.pass(11 * time.Minute); err != nil {
			return err
		}
	}
	return fmt.Errorf("hours later: %w", h.none(h.owner.left))
}

// clockwork is the database's owner, by whom time passes, and who sees everything. What it
// asks is prepared: it asks after every step.
type clockwork struct {
	problems, left, states, why, pass *sqlx.Stmt
}

// passes brings everything nearer that is to come, one row after the other: two that may
// not overlap must not do so on the way.
const passes = `CREATE FUNCTION passes(d interval) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE r record;
	BEGIN
		FOR r IN SELECT id FROM loans WHERE until > clock_timestamp() LOOP
			UPDATE loans SET until = greatest(made_at, until - d), kept_until = greatest(made_at, kept_until - d) WHERE id = r.id;
		END LOOP;
		FOR r IN SELECT id FROM appointments WHERE state IN ('asked', 'proposed', 'accepted', 'calling', 'open') ORDER BY starts_at LOOP
			UPDATE appointments SET starts_at = starts_at - d, ends_at = ends_at - d, until = until - d, reminded_until = reminded_until - d WHERE id = r.id;
		END LOOP;
		UPDATE waits SET ready_at = ready_at - d WHERE ended_at IS NULL;
		UPDATE placements SET until = until - d WHERE ended_at IS NULL;
	END $$`

func newClockwork(db *sqlx.DB) (c *clockwork, err error) {
	if _, err := db.Exec(passes); err != nil {
		return nil, err
	}
	// Planned once: with these few people in it every plan is as good as another.
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`SET plan_cache_mode = force_generic_plan`); err != nil {
		return nil, err
	}
	c = &clockwork{}
	for _, q := range []struct {
		into **sqlx.Stmt
		text string
	}{
		{&c.problems, problems}, {&c.left, left}, {&c.why, why},
		{&c.states, `SELECT id, state FROM waits WHERE client = ANY ($1) UNION ALL SELECT id, state FROM appointments WHERE client = ANY ($1)`},
		{&c.pass, `SELECT passes($1 * interval '1 ms')`},
	} {
		if *q.into, err = db.Preparex(q.text); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// reasons are what may stand in the way of a tap.
type reasons struct {
	Taken     bool // the advisor: a call, a reservation, somebody in line, an appointment
	Mine      bool // the client's own already
	Behind    bool // somebody who could talk is before the client in line
	OnLine    bool `db:"on_line"`
	Available money.Amount
}

const why = `
		SELECT EXISTS (SELECT FROM waits w WHERE advisor = $2 AND client <> $1 AND state = 'waiting' AND ready_at <= clock_timestamp()
				AND NOT EXISTS (SELECT FROM calls WHERE client = w.client AND ended_at IS NULL)
				AND NOT EXISTS (SELECT FROM loans WHERE client = w.client AND advisor <> $2 AND reserves AND until > clock_timestamp())
				AND ticket < coalesce((SELECT ticket FROM waits WHERE advisor = $2 AND client = $1 AND state = 'waiting'), 9e18)) AS behind,
			EXISTS (SELECT FROM calls WHERE advisor = $2 AND ended_at IS NULL)
			OR EXISTS (SELECT FROM loans WHERE advisor = $2 AND client <> $1 AND reserves AND until > clock_timestamp())
			OR EXISTS (SELECT FROM waits WHERE advisor = $2 AND client <> $1 AND ended_at IS NULL)
			OR EXISTS (SELECT FROM appointments WHERE advisor = $2 AND state IN ('accepted', 'calling', 'open')) AS taken,
			EXISTS (SELECT FROM loans WHERE advisor = $2 AND client = $1 AND reserves AND until > clock_timestamp()) AS mine,
			(SELECT on_line_since IS NOT NULL FROM advisors WHERE id = $2) AS on_line,
			(SELECT posted - held FROM accounts WHERE client = $1) AS available`

// tapped says where a tap was answered otherwise than things stood. Where the program
// died, who asked knows nothing.
func (r reasons) tapped(err error) error {
	var poor *ivr.NoFunds
	switch {
	case errors.As(err, &poor) && (r.Mine || r.Available >= least):
		return fmt.Errorf("a client with %v is refused for lack of money, %w", r.Available, errWrong)
	case r.Mine: // it is told again, whatever has changed
		return err
	case err == nil && r.Behind:
		return fmt.Errorf("a client may talk, and others wait before them, %w", errWrong)
	case err == nil && r.Available < least:
		return fmt.Errorf("a client with %v may talk, %w", r.Available, errWrong)
	case errors.Is(err, ivr.ErrAdvisorBusy) && !r.Taken:
		return fmt.Errorf("the advisor is busy, and nobody has them, %w", errWrong)
	case errors.Is(err, ErrAdvisorAway) && r.OnLine:
		return fmt.Errorf("the advisor is away, and on line, %w", errWrong)
	case err == nil && !r.OnLine:
		return fmt.Errorf("the advisor is off line, and may be talked to, %w", errWrong)
	}
	return err
}

var errWrong = errors.New("which is wrong")
