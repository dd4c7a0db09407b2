package store

import (
	"testing"
	"time"
)

// hhmm is minutes after midnight.
func hhmm(hours, minutes int) int { return hours*60 + minutes }

// Germany's clocks skip 02:00 to 03:00 on 2026-03-29, a Sunday, and show it twice on
// 2026-10-25, a Sunday.
func TestHoursByTheClocksOfAZone(t *testing.T) {
	office := Hours{Zone: "Europe/Berlin", Closed: []string{"2026-12-25"}, Weekly: []Span{
		{time.Monday, hhmm(9, 0), hhmm(12, 0)}, {time.Monday, hhmm(13, 0), hhmm(17, 30)}, {time.Friday, hhmm(9, 0), hhmm(17, 0)},
	}}
	night := Hours{Zone: "Europe/Berlin", Closed: []string{"2026-06-14"}, Weekly: []Span{{time.Saturday, hhmm(22, 0), hhmm(2, 30)}, {time.Sunday, hhmm(22, 0), hhmm(24, 0)}}}
	early := Hours{Zone: "Europe/Berlin", Weekly: []Span{{time.Sunday, hhmm(2, 30), hhmm(6, 0)}}}
	missing := Hours{Zone: "Europe/Berlin", Weekly: []Span{{time.Sunday, hhmm(2, 10), hhmm(2, 50)}}}
	holidays := Hours{Zone: "Europe/Berlin", Closed: []string{"2026-06-13", "2026-06-14"}}
	midnight := Hours{Zone: "America/Santiago", Weekly: []Span{{time.Sunday, hhmm(0, 0), hhmm(1, 30)}}} // skips 00:00 to 01:00 on 2026-09-06
	const open = ""                                                                                     // next is now
	for what, c := range map[string]struct {
		hours    Hours
		at, next string // RFC 3339
	}{
		"none set":                               {Hours{}, "2026-06-10T03:00:00Z", open},
		"a zone alone":                           {Hours{Zone: "Europe/Berlin"}, "2026-06-10T03:00:00Z", open},
		"within":                                 {office, "2026-06-08T09:30:00+02:00", open},
		"the first instant":                      {office, "2026-06-08T09:00:00+02:00", open},
		"before it":                              {office, "2026-06-08T08:59:59+02:00", "2026-06-08T09:00:00+02:00"},
		"the last instant":                       {office, "2026-06-08T11:59:59+02:00", open},
		"in the break":                           {office, "2026-06-08T12:00:00+02:00", "2026-06-08T13:00:00+02:00"},
		"over for the day":                       {office, "2026-06-08T17:30:00+02:00", "2026-06-12T09:00:00+02:00"},
		"over for the week":                      {office, "2026-06-12T17:00:00+02:00", "2026-06-15T09:00:00+02:00"},
		"another zone's clock":                   {office, "2026-06-08T16:00:00-05:00", "2026-06-12T09:00:00+02:00"},
		"winter time":                            {office, "2026-12-07T08:00:00Z", open},
		"on a closed day":                        {office, "2026-12-25T10:00:00+01:00", "2026-12-28T09:00:00+01:00"},
		"before a closed day":                    {office, "2026-12-23T10:00:00+01:00", "2026-12-28T09:00:00+01:00"},
		"over midnight, before":                  {night, "2026-06-06T23:00:00+02:00", open},
		"over midnight, after":                   {night, "2026-06-07T02:29:59+02:00", open},
		"over midnight, over":                    {night, "2026-06-07T02:30:00+02:00", "2026-06-07T22:00:00+02:00"},
		"to 24:00":                               {night, "2026-06-07T23:59:59+02:00", open},
		"after 24:00":                            {night, "2026-06-08T00:00:00+02:00", "2026-06-13T22:00:00+02:00"},
		"over midnight into a closed day":        {night, "2026-06-14T01:00:00+02:00", open},
		"on that closed day":                     {night, "2026-06-14T22:30:00+02:00", "2026-06-20T22:00:00+02:00"},
		"to a time that is skipped, until it is": {night, "2026-03-29T01:59:59+01:00", open},
		"to a time that is skipped, then":        {night, "2026-03-29T03:00:00+02:00", "2026-03-29T22:00:00+02:00"},
		"from a time that is skipped, before":    {early, "2026-03-29T01:59:59+01:00", "2026-03-29T03:00:00+02:00"},
		"from a time that is skipped, then":      {early, "2026-03-29T03:00:00+02:00", open},
		"all of it skipped":                      {missing, "2026-03-29T01:00:00+01:00", "2026-04-05T02:10:00+02:00"},
		"from a doubled time, before":            {early, "2026-10-25T02:29:59+02:00", "2026-10-25T02:30:00+02:00"},
		"from a doubled time, first":             {early, "2026-10-25T02:30:00+02:00", open},
		"from a doubled time, between":           {early, "2026-10-25T02:15:00+01:00", open},
		"to a doubled time, first":               {night, "2026-10-25T02:15:00+02:00", open},
		"to a doubled time, between":             {night, "2026-10-25T02:45:00+02:00", open},
		"to a doubled time, second":              {night, "2026-10-25T02:29:59+01:00", open},
		"to a doubled time, over":                {night, "2026-10-25T02:30:00+01:00", "2026-10-25T22:00:00+01:00"},
		"both ends doubled":                      {missing, "2026-10-25T02:49:59+01:00", open},
		"always but for holidays":                {holidays, "2026-06-12T23:59:59+02:00", open},
		"on holiday":                             {holidays, "2026-06-13T00:00:00+02:00", "2026-06-15T00:00:00+02:00"},
		"a day that begins at 01:00, before":     {midnight, "2026-09-05T23:59:59-04:00", "2026-09-06T01:00:00-03:00"},
		"a day that begins at 01:00":             {midnight, "2026-09-06T01:29:59-03:00", open},
		"a day that begins at 01:00, over":       {midnight, "2026-09-06T01:30:00-03:00", "2026-09-13T00:00:00-03:00"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		want := at
		if c.next != open {
			if want, err = time.Parse(time.RFC3339, c.next); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.hours.Check(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if next := c.hours.Next(at); !next.Equal(want) {
			t.Errorf("%s: next at %v, want %v", what, next, want)
		}
	}
}

// Through a year whose clocks change twice, what Next says is true, and nothing is
// missed: calls are taken at what is next, and not in the minute before.
func TestNextIsTheFirstInstantOfHours(t *testing.T) {
	h := Hours{Zone: "Europe/Berlin", Closed: []string{"2026-03-30", "2026-10-24"}, Weekly: []Span{
		{time.Saturday, hhmm(21, 0), hhmm(2, 30)}, {time.Sunday, hhmm(2, 45), hhmm(3, 15)}, {time.Monday, hhmm(0, 0), hhmm(24, 0)},
	}}
	for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() == 2026; at = at.Add(15 * time.Minute) {
		next := h.Next(at)
		if next.Before(at) || !h.Next(next).Equal(next) {
			t.Fatalf("at %v: next is %v, at which it is %v", at, next, h.Next(next))
		}
		if before := next.Add(-time.Minute); next.After(at) && h.Next(before).Equal(before) {
			t.Fatalf("at %v: next is %v, but also a minute before", at, next)
		}
	}
}

func TestImpossibleHoursAreRefused(t *testing.T) {
	for what, h := range map[string]Hours{
		"no zone":        {Weekly: []Span{{time.Monday, 0, 60}}},
		"no such zone":   {Zone: "Europe/Atlantis"},
		"the machine's":  {Zone: "Local", Closed: []string{"2026-12-24"}},
		"no length":      {Zone: "UTC", Weekly: []Span{{time.Monday, 60, 60}}},
		"from 24:00":     {Zone: "UTC", Weekly: []Span{{time.Monday, 24 * 60, 60}}},
		"past 24:00":     {Zone: "UTC", Weekly: []Span{{time.Monday, 60, 24*60 + 1}}},
		"an eighth day":  {Zone: "UTC", Weekly: []Span{{7, 60, 120}}},
		"no such day":    {Zone: "UTC", Closed: []string{"2026-02-29"}},
		"too many spans": {Zone: "UTC", Weekly: make([]Span, spansMost+1)},
	} {
		if h.Check() == nil {
			t.Errorf("%s: %+v is good", what, h)
		}
	}
}

// Hours that leave no day open are never.
func TestNeverOpenIsNoTime(t *testing.T) {
	h := Hours{Zone: "UTC"}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range closedMost {
		h.Closed = append(h.Closed, from.AddDate(0, 0, n).Format(time.DateOnly))
	}
	if next := h.Next(from); !next.Equal(from.AddDate(0, 0, closedMost)) {
		t.Errorf("after the last closed day: %v", next)
	}
	skipped := Hours{Zone: "UTC", Weekly: []Span{{time.Monday, 0, 60}}}
	for n := range closedMost {
		skipped.Closed = append(skipped.Closed, from.AddDate(0, 0, n*7+4).Format(time.DateOnly)) // Mondays
	}
	if next := skipped.Next(from); !next.IsZero() {
		t.Errorf("with all Mondays closed: %v", next)
	}
}
