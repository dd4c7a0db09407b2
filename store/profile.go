package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
	"parley/ivr/money"
)

// Profile is what an advisor shows clients beside a name.
type Profile struct {
	Words     string   `json:"words"`     // about them, plain text
	Languages []string `json:"languages"` // such as de
	Topics    []string `json:"topics"`
}

// Scan reads the column advisors.profile.
func (p *Profile) Scan(column any) error {
	text, ok := column.([]byte)
	if !ok {
		return fmt.Errorf("a profile is not a %T", column)
	}
	*p = Profile{}
	return json.Unmarshal(text, p)
}

// AdvisorChange is what is to be changed of an advisor; nil fields are left as they are.
type AdvisorChange struct {
	Name          *string        `json:"-"`
	Words         *string        `json:"words,omitempty"`
	Languages     *[]string      `json:"languages,omitempty"`
	Topics        *[]string      `json:"topics,omitempty"`
	PerMinute     *money.Amount  `json:"-"` // their own price; 0 withdraws it
	Predetermined *time.Duration `json:"-"` // their own; 0 withdraws it
}

// ChangeAdvisor changes what an advisor shows and asks for. Calls that are up keep
// their price.
func (s *Store) ChangeAdvisor(ctx context.Context, who string, id ivr.AdvisorID, c AdvisorChange) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := changeAdvisor(ctx, tx, id, c); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: who, What: "advisor changed", Subject: string(id), Detail: c.detail()})
	})
	if err != nil {
		return fmt.Errorf("change advisor %s: %w", id, err)
	}
	return nil
}

func changeAdvisor(ctx context.Context, tx *sqlx.Tx, id ivr.AdvisorID, c AdvisorChange) error {
	profile, err := json.Marshal(c)
	if err != nil {
		return err
	}
	var predetermined *int64
	if c.Predetermined != nil {
		ms := c.Predetermined.Milliseconds()
		predetermined = &ms
	}
	done, err := tx.ExecContext(ctx, `
		UPDATE advisors SET name = coalesce($2, name), profile = profile || $3::jsonb,
			per_minute = coalesce($4, per_minute), predetermined_ms = coalesce($5, predetermined_ms)
		WHERE id = $1 AND deleted_at IS NULL`, id, c.Name, string(profile), c.PerMinute, predetermined)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrNotFound)
	}
	return nil
}

// detail is for the audit log: what was changed, and to what where it is about money.
func (c AdvisorChange) detail() map[string]string {
	var fields []string
	for name, changed := range map[string]bool{"name": c.Name != nil, "words": c.Words != nil, "languages": c.Languages != nil, "topics": c.Topics != nil} {
		if changed {
			fields = append(fields, name)
		}
	}
	detail := map[string]string{}
	if len(fields) > 0 {
		detail["fields"] = strings.Join(fields, ", ")
	}
	if c.PerMinute != nil {
		detail["per_minute"] = fmt.Sprint(int64(*c.PerMinute))
	}
	if c.Predetermined != nil {
		detail["predetermined"] = c.Predetermined.String()
	}
	return detail
}

// RequestAdvisor adds an advisor, for whoever may ask twice.
func (s *Store) RequestAdvisor(ctx context.Context, request Request, who, name string, c AdvisorChange) (id ivr.AdvisorID, err error) {
	made := ivr.AdvisorID(ivr.NewID("adv"))
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		id = ""
		return s.once(ctx, tx, request, &id, func() error {
			id = made
			if _, err := tx.ExecContext(ctx, `INSERT INTO advisors (id, name) VALUES ($1, $2)`, id, name); err != nil {
				return err
			}
			if err := changeAdvisor(ctx, tx, id, c); err != nil {
				return err
			}
			return s.log(ctx, tx, Act{Who: who, What: "advisor added", Subject: string(id), Detail: c.detail()})
		})
	})
	if err != nil {
		return "", fmt.Errorf("add advisor %q: %w", name, err)
	}
	return id, nil
}

// SetHours says when an advisor takes calls. They must be good, see [Hours.Check].
func (s *Store) SetHours(ctx context.Context, who string, id ivr.AdvisorID, h Hours) error {
	if err := h.Check(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		done, err := tx.ExecContext(ctx, `UPDATE advisors SET hours = $2 WHERE id = $1 AND deleted_at IS NULL`, id, h)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		return s.log(ctx, tx, Act{Who: who, What: "hours set", Subject: string(id), Detail: map[string]string{"zone": h.Zone}})
	})
	if err != nil {
		return fmt.Errorf("hours of advisor %s: %w", id, err)
	}
	return nil
}

// Hours are an advisor's, and when by them calls are next taken, by the database's
// clock.
func (s *Store) Hours(ctx context.Context, id ivr.AdvisorID) (h Hours, next time.Time, err error) {
	var r struct {
		Hours Hours
		Now   time.Time
	}
	if err := s.get(ctx, &r, `SELECT hours, now() AS now FROM advisors WHERE id = $1 AND deleted_at IS NULL`, id); err != nil {
		return h, next, fmt.Errorf("hours of advisor %s: %w", id, err)
	}
	return r.Hours, r.Hours.Next(r.Now), nil
}

// OutOfHours: the advisor takes no calls now, and when they next do; zero: not in the
// next year.
type OutOfHours struct{ Next time.Time }

func (e *OutOfHours) Error() string        { return "the advisor takes no calls at this time" }
func (e *OutOfHours) Is(target error) bool { return target == ErrAdvisorAway }
