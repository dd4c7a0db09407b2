package store

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	_ "time/tzdata" // the zones, where the machine has none
)

// Hours are when an advisor takes calls, by the clocks on the walls of a zone. Without
// spans that is at all times, but for the closed days. The zero value is always.
type Hours struct {
	Zone   string   `json:"zone"`   // IANA, such as Europe/Berlin
	Weekly []Span   `json:"weekly"` // may overlap
	Closed []string `json:"closed"` // days on which no span begins, such as 2026-12-24
}

// Span is a stretch of time in every week. It belongs to the day on which it begins:
// where To is not after From it ends on the next day, also where that is closed.
type Span struct {
	Day  time.Weekday `json:"day"`
	From int          `json:"from"` // minutes after midnight
	To   int          `json:"to"`   // at most 24 hours
}

const (
	dayMinutes = 24 * 60
	spansMost  = 70
	closedMost = 400
	nextWithin = closedMost + 14 // days: a week from the last closed one, at least
)

// Check says what is wrong with hours.
func (h Hours) Check() error {
	if h.always() && h.Zone == "" {
		return nil
	}
	if _, err := loadZone(h.Zone); err != nil {
		return err
	}
	if len(h.Weekly) > spansMost || len(h.Closed) > closedMost {
		return fmt.Errorf("there may be %d weekly spans and %d closed days", spansMost, closedMost)
	}
	for _, s := range h.Weekly {
		switch {
		case s.Day < time.Sunday || s.Day > time.Saturday || s.From < 0 || s.From >= dayMinutes || s.To < 0 || s.To > dayMinutes:
			return errors.New("a span is from a time of a day of the week to another, at most to 24:00")
		case s.From == s.To:
			return errors.New("a span needs a length: a whole day is 00:00 to 24:00")
		}
	}
	for _, c := range h.Closed {
		if _, err := time.Parse(time.DateOnly, c); err != nil {
			return fmt.Errorf("%q is not a day such as 2026-12-24", c)
		}
	}
	return nil
}

func (h Hours) always() bool { return len(h.Weekly) == 0 && len(h.Closed) == 0 }

// Next is when calls are next taken: t itself where they are taken then, and zero where
// they are not taken in the next year.
func (h Hours) Next(t time.Time) time.Time {
	if h.always() {
		return t
	}
	loc, err := loadZone(h.Zone)
	if err != nil { // checked when they were set
		return time.Time{}
	}
	y, m, d := t.In(loc).Date()
	for n := -1; n < nextWithin; n++ { // what began yesterday may last until now
		var next time.Time
		date := time.Date(y, m, d+n, 0, 0, 0, 0, time.UTC)
		for _, s := range h.on(date) {
			from, to := wallClock(date, s.From, loc, false), wallClock(date, s.To, loc, true)
			if !to.After(t) || !from.Before(to) { // over; or skipped by the clocks
				continue
			}
			if from.Before(t) {
				return t
			}
			if next.IsZero() || from.Before(next) {
				next = from
			}
		}
		if !next.IsZero() {
			return next
		}
	}
	return time.Time{}
}

// on are the spans that begin on a date; To counts from its midnight.
func (h Hours) on(date time.Time) []Span {
	if slices.Contains(h.Closed, date.Format(time.DateOnly)) {
		return nil
	}
	if len(h.Weekly) == 0 {
		return []Span{{From: 0, To: dayMinutes}}
	}
	var spans []Span
	for _, s := range h.Weekly {
		if s.Day != date.Weekday() {
			continue
		}
		if s.To <= s.From {
			s.To += dayMinutes
		}
		spans = append(spans, s)
	}
	return spans
}

// wallClock is when the clocks of a zone show so many minutes after midnight of a date,
// which is given in UTC. An hour that they show twice counts whole: a span begins with
// the first and ends with the last. A time that they skip is when they skip it.
func wallClock(date time.Time, minutes int, loc *time.Location, last bool) time.Time {
	wall := date.Add(time.Duration(minutes) * time.Minute)
	by := func(offsetOn time.Time) (t time.Time, shows bool) {
		_, offset := offsetOn.In(loc).Zone()
		t = wall.Add(-time.Duration(offset) * time.Second)
		_, real := t.In(loc).Zone()
		return t, real == offset
	}
	// No zone changes its clocks twice in two days.
	first, firstShows := by(wall.Add(-24 * time.Hour))
	second, secondShows := by(wall.Add(24 * time.Hour))
	switch {
	case firstShows && !(last && secondShows):
		return first
	case secondShows:
		return second
	}
	skipped, _ := first.In(loc).ZoneBounds()
	return skipped
}

var zones sync.Map // by name, since loading one reads a file

func loadZone(name string) (*time.Location, error) {
	if loc, known := zones.Load(name); known {
		return loc.(*time.Location), nil
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is not a zone of the IANA database, such as Europe/Berlin", name)
	}
	zones.Store(name, loc)
	return loc, nil
}

// Scan reads the column advisors.hours.
func (h *Hours) Scan(column any) error {
	*h = Hours{}
	text, ok := column.([]byte)
	if !ok {
		return nil
	}
	return json.Unmarshal(text, h)
}

// Value writes it.
func (h Hours) Value() (driver.Value, error) {
	if h.always() && h.Zone == "" {
		return nil, nil
	}
	text, err := json.Marshal(h)
	return string(text), err
}
