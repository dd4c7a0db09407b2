package host

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parley/ivr"
	"parley/store"
)

// Hours are when an advisor takes calls.
type Hours struct {
	Zone   string   `json:"zone,omitempty" maxLength:"64" example:"Europe/Berlin" doc:"Of the IANA database. Needed where there are spans or closed days."`
	Weekly []Span   `json:"weekly,omitempty" nullable:"false" doc:"None: at all times, but for the closed days."`
	Closed []string `json:"closed,omitempty" nullable:"false" example:"[\"2026-12-24\"]" doc:"Days on which nothing begins."`
}

// Span is a stretch of time in every week.
type Span struct {
	Day  string `json:"day" enum:"mon,tue,wed,thu,fri,sat,sun" doc:"On which it begins."`
	From string `json:"from" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" example:"09:00"`
	To   string `json:"to" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$" example:"17:00" doc:"Where it is not after from, it is on the next day."`
}

// HoursAnswer is hours, and what they mean now.
type HoursAnswer struct {
	Hours
	NextAt *time.Time `json:"next_at,omitempty" doc:"When calls are taken next: now, where it is past. Not there where that is not within a year."`
}

// days in the order of [time.Weekday].
var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func (h Hours) stored() store.Hours {
	out := store.Hours{Zone: h.Zone, Closed: h.Closed}
	for _, s := range h.Weekly {
		out.Weekly = append(out.Weekly, store.Span{Day: time.Weekday(slices.Index(days, s.Day)), From: minutes(s.From), To: minutes(s.To)})
	}
	return out
}

// minutes after midnight of a time such as 09:00, whose form the API has checked.
func minutes(clock string) int {
	var hours, minutes int
	_, _ = fmt.Sscanf(clock, "%d:%d", &hours, &minutes)
	return 60*hours + minutes
}

func hoursOf(h store.Hours) Hours {
	out := Hours{Zone: h.Zone, Closed: h.Closed}
	clock := func(m int) string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }
	for _, s := range h.Weekly {
		out.Weekly = append(out.Weekly, Span{days[s.Day], clock(s.From), clock(s.To)})
	}
	return out
}

func (h *Host) getHours(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{ Body HoursAnswer }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	hours, next, err := h.Store.Hours(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body HoursAnswer }{HoursAnswer{hoursOf(hours), someTime(next)}}, nil
}

func (h *Host) setHours(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Body Hours
}) (*struct{ Body HoursAnswer }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	hours := in.Body.stored()
	slices.Sort(hours.Closed)
	if err := hours.Check(); err != nil {
		return nil, invalid("body", err.Error())
	}
	if err := h.Store.SetHours(ctx, asker(ctx).Who(), in.ID, hours); err != nil {
		return nil, err
	}
	return h.getHours(ctx, &in.ByID)
}
