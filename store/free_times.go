package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"parley/dialplan"
	"parley/ivr"
)

// Stretch is a stretch of time.
type Stretch struct{ From, To time.Time }

// FreeTimes are the stretches between two times in which an appointment of a length can
// begin and end: by the advisor's hours, and beside what is agreed on; also beside the
// client's own appointments, unless client is "". It returns [ErrNotFound].
func (s *Store) FreeTimes(ctx context.Context, plan dialplan.Plan, client ivr.ClientID, advisor ivr.AdvisorID, from, to time.Time, length time.Duration) ([]Stretch, error) {
	var a struct {
		Hours   Hours
		Now     time.Time
		Blocked bool
	}
	if err := s.get(ctx, &a, `
		SELECT hours, clock_timestamp() AS now, EXISTS (SELECT FROM blocks WHERE advisor = a.id AND client = $2 AND blocked) AS blocked
		FROM advisors a WHERE id = $1 AND deleted_at IS NULL`, advisor, client); err != nil {
		return nil, fmt.Errorf("free times of advisor %s: %w", advisor, err)
	}
	if from.Before(a.Now) {
		from = a.Now
	}
	if last := a.Now.Add(plan.Appointments.Ahead + length); to.After(last) { // the last may begin then
		to = last
	}
	if a.Blocked || !from.Before(to) {
		return nil, nil
	}
	var taken []struct {
		From time.Time `db:"starts_at"`
		To   time.Time `db:"ends_at"`
	}
	if err := s.list(ctx, &taken, `
		SELECT starts_at, ends_at FROM appointments WHERE (advisor = $1 OR client = $2) AND state IN `+standing+`
			AND tstzrange(starts_at, ends_at) && tstzrange($3, $4) ORDER BY starts_at`, advisor, client, from, to); err != nil {
		return nil, fmt.Errorf("free times of advisor %s: %w", advisor, err)
	}
	var free []Stretch
	for _, open := range a.Hours.between(from, to) {
		for _, t := range taken {
			if t.To.After(open.From) && t.From.Before(open.To) {
				free = append(free, Stretch{open.From, t.From})
				open.From = t.To
			}
		}
		free = append(free, open)
	}
	return slices.DeleteFunc(free, func(f Stretch) bool { return f.To.Sub(f.From) < length }), nil
}

// between are the stretches of the hours from one time to another, those that meet as
// one.
func (h Hours) between(from, to time.Time) (list []Stretch) {
	if h.always() {
		return []Stretch{{from, to}}
	}
	loc, err := loadZone(h.Zone)
	if err != nil { // checked when they were set
		return nil
	}
	y, m, d := from.In(loc).Date()
	for n := -1; ; n++ { // what began the day before may go on
		date := time.Date(y, m, d+n, 0, 0, 0, 0, time.UTC)
		if wallClock(date, 0, loc, false).After(to) {
			break
		}
		for _, s := range h.on(date) {
			begins, ends := wallClock(date, s.From, loc, false), wallClock(date, s.To, loc, true)
			if begins.Before(from) {
				begins = from
			}
			if ends.After(to) {
				ends = to
			}
			if begins.Before(ends) {
				list = append(list, Stretch{begins, ends})
			}
		}
	}
	slices.SortFunc(list, func(a, b Stretch) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	var joined []Stretch
	for _, s := range list {
		if last := len(joined) - 1; last >= 0 && !s.From.After(joined[last].To) {
			if s.To.After(joined[last].To) {
				joined[last].To = s.To
			}
			continue
		}
		joined = append(joined, s)
	}
	return joined
}
