package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/dialplan"
	"parley/ivr"
)

// TopicLines is noticed when a line is added, changed or retired.
const TopicLines = "lines"

// EndpointName is the name by which a line that is no telephone registers with
// Asterisk. A changed line has another, so that no phone of before is rung: not even
// one that is registered still.
func EndpointName(line ivr.LineID, generation int) string {
	if generation == 1 {
		return string(line)
	}
	return fmt.Sprintf("%s_%d", line, generation)
}

// EndpointPassword is what an endpoint of this name registers with: made of the key, so
// that it need not be kept. 120 bits.
func (s *Store) EndpointPassword(name string) string {
	mac := hmac.New(sha256.New, s.config.Key)
	mac.Write([]byte("SIP password of " + name))
	return strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil)[:15]))
}

// Endpoint is the name by which the line registers with Asterisk.
func (l Line) Endpoint() string { return EndpointName(l.ID, l.Generation) }

// Endpoints are what Asterisk is to know of a line, and to know no more.
type Endpoints struct {
	Line       ivr.LineID
	Kind       ivr.LineKind
	Generation int  // the names of all before are gone
	Retired    bool // this one's too
}

// Endpoints lists those of all lines that ever had any and were changed since an earlier
// look: all of them where that is the zero Cursor. The next look is from next on. What was
// being written at the time of a look may be listed by the next one again.
func (s *Store) Endpoints(ctx context.Context, since Cursor) (list []Endpoints, next Cursor, err error) {
	next, err = s.EventsEnd(ctx) // before the look: who writes now is seen from there
	if err != nil {
		return nil, since, err
	}
	err = s.list(ctx, &list, `
		SELECT id AS line, kind, generation, retired_at IS NOT NULL AS retired FROM lines
		WHERE (kind <> 'phone' OR generation > 1) AND endpoint_xid >= $1::xid8 ORDER BY id`, fmt.Sprint(since.xid))
	if err != nil {
		return nil, since, fmt.Errorf("list endpoints: %w", err)
	}
	return list, next, nil
}

// RequestLine is [Store.AddLine] for whoever may ask twice. The ID and the address of l
// are not looked at but for a telephone's number; that the plan must let us call, or it
// is a [*dialplan.NotCallable].
func (s *Store) RequestLine(ctx context.Context, request Request, plan dialplan.Plan, by string, l ivr.Line) (line Line, err error) {
	l.ID = ivr.LineID(ivr.NewID("line"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		line = Line{}
		return s.once(ctx, tx, request, &line, func() error {
			if l.Kind != ivr.Phone {
				l.Address = ""
			} else if err := plan.MayCall(l.Address); err != nil {
				return err
			}
			if err := s.addLine(ctx, tx, by, l); err != nil {
				return err
			}
			return tx.GetContext(ctx, &line, selectLines+` WHERE id = $1`, l.ID)
		})
	})
	if violated(err) == "lines_advisor_fkey" {
		err = ErrNotFound
	}
	if err != nil {
		return Line{}, fmt.Errorf("line of advisor %s: %w", l.Advisor, err)
	}
	s.Notify(ctx, TopicLines)
	return line, nil
}

// RetireLine ends a line of an advisor, or of anyone where own is "", for good: it is
// never rung again. A call that is up goes on. One that is retired already is no error.
func (s *Store) RetireLine(ctx context.Context, by string, own ivr.AdvisorID, id ivr.LineID) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		line, err := lockLine(ctx, tx, own, id)
		if err != nil || line.Retired {
			return err
		}
		if err := changeOne(ctx, tx, `
			UPDATE lines SET retired_at = now(), verified_at = NULL, verified_how = NULL WHERE id = $1`, id); err != nil {
			return err
		}
		if err := s.unverified(ctx, tx, line.Advisor, id, "line retired"); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: by, What: "line retired", Subject: string(id)})
	})
	if err != nil {
		return fmt.Errorf("retire line %s: %w", id, err)
	}
	s.Notify(ctx, TopicEvents)
	s.Notify(ctx, TopicLines)
	return nil
}

type lockedLine struct {
	Advisor     ivr.AdvisorID
	AddressHash []byte `db:"address_hash"`
	Generation  int
	Retired     bool
}

// lockLine locks a line of an advisor, or of anyone where own is "", before its
// challenges.
func lockLine(ctx context.Context, tx *sqlx.Tx, own ivr.AdvisorID, id ivr.LineID) (line lockedLine, err error) {
	err = tx.GetContext(ctx, &line, `
		SELECT advisor, address_hash, generation, retired_at IS NOT NULL AS retired FROM lines
		WHERE id = $1 AND ($2 = '' OR advisor = $2) FOR NO KEY UPDATE`, id, own)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return line, err
}

// unverified ends the codes that were made for a line as it was, and tells.
func (s *Store) unverified(ctx context.Context, tx *sqlx.Tx, advisor ivr.AdvisorID, line ivr.LineID, why string) error {
	if _, err := tx.ExecContext(ctx, `
		UPDATE challenges SET finished_at = now(), disposition = $2
		WHERE line = $1 AND finished_at IS NULL AND verified_at IS NULL`, line, why); err != nil {
		return err
	}
	return s.emit(ctx, tx, Event{Type: "line.unverified", Advisor: advisor, Data: map[string]any{"line": line}})
}

// VerifyLater: the line, or its number as another line, has had as many verification calls as
// it bears, until a time.
type VerifyLater struct{ At time.Time }

func (e *VerifyLater) Error() string {
	return fmt.Sprintf("%v: %d verification calls in an hour", ivr.ErrTooManyTries, challengeCalls)
}

func (e *VerifyLater) Is(target error) bool { return target == ivr.ErrTooManyTries }

// Challenge is a verification call that was asked for, and what its advisor is shown.
type Challenge struct {
	ID, Code string
	Line     ivr.LineID
	Until    time.Time
}

// RequestChallenge is [Store.CreateChallenge] for whoever may ask twice, for a line of
// an advisor or of anyone where own is "". It also returns a [*dialplan.NotCallable]:
// the plan may have changed since the line was added.
func (s *Store) RequestChallenge(ctx context.Context, request Request, plan dialplan.Plan, own ivr.AdvisorID, line ivr.LineID) (c Challenge, err error) {
	id := ivr.NewID("chal")
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		c = Challenge{}
		return s.once(ctx, tx, request, &c, func() error {
			if _, err := lockLine(ctx, tx, own, line); err != nil {
				return err
			}
			if err := s.callable(ctx, tx, plan, line); err != nil {
				return err
			}
			if err := s.createChallenge(ctx, tx, id, line); err != nil {
				return err
			}
			c = Challenge{ID: id, Line: line}
			return tx.GetContext(ctx, &c.Until, `SELECT until FROM challenges WHERE id = $1`, id)
		})
	})
	if err != nil {
		return Challenge{}, fmt.Errorf("verify line %s: %w", line, err)
	}
	c.Code = s.vault.challengeCode(c.ID)
	s.Notify(ctx, TopicChallenges)
	return c, nil
}

// callable returns a [*dialplan.NotCallable] for a telephone that the plan does not let
// us call.
func (s *Store) callable(ctx context.Context, tx *sqlx.Tx, plan dialplan.Plan, line ivr.LineID) error {
	var r struct {
		Kind    ivr.LineKind
		Address []byte `db:"address_sealed"`
	}
	err := tx.GetContext(ctx, &r, `SELECT kind, address_sealed FROM lines WHERE id = $1`, line)
	if err != nil || r.Kind != ivr.Phone {
		return err
	}
	number, err := s.vault.open(string(line), r.Address)
	if err != nil {
		return err
	}
	return plan.MayCall(number)
}

// ChallengeOf is [Store.ChallengeResult] for a challenge of an advisor, or of anyone
// where own is "".
func (s *Store) ChallengeOf(ctx context.Context, own ivr.AdvisorID, challenge string) (r ChallengeResult, err error) {
	if err = s.get(ctx, &r, selectChallenges+` WHERE id = $1 AND ($2 = '' OR advisor = $2)`, challenge, own); err != nil {
		return r, fmt.Errorf("challenge %s: %w", challenge, err)
	}
	return r, nil
}
