package store

import (
	"testing"
	"time"
)

func TestCallsAreCountedByTheHour(t *testing.T) {
	d := newBureau(t) // whose one call began at started and had 150 s of talk
	later := opening(d.client, d.advisor, d.town.plan())
	later.StartedAt = started.Add(2 * time.Hour)
	_, err := d.Hold(t.Context(), later)
	d.must(err)
	hours := func(currency string) []HourOfCalls {
		t.Helper()
		list, err := d.HoursOfCalls(t.Context(), started, started.Add(2*time.Hour), currency)
		d.must(err)
		if len(list) != 3 || !list[0].From.Equal(started.UTC().Truncate(time.Hour)) || !list[2].From.Equal(list[0].From.Add(2*time.Hour)) {
			t.Fatalf("the hours are %+v", list)
		}
		return list
	}
	call, err := d.Call(t.Context(), d.call)
	d.must(err)
	list := hours("EUR")
	if h := list[0]; h.Calls != 1 || h.Answered != 1 || h.TalkMS != 150_000 || h.RingMS != call.Ring.Milliseconds() || h.WaitMS != 0 || h.Held != call.Held || h.Captured != call.Charge || call.Charge == 0 {
		t.Errorf("the first hour is %+v; its call %+v", h, call)
	}
	if list[1].Calls != 0 || list[2].Calls != 0 { // it is up
		t.Errorf("the others are %+v", list[1:])
	}
	d.must(d.Close(t.Context(), ended(later, 0)))
	if h := hours("EUR")[2]; h.Calls != 1 || h.Answered != 0 || h.TalkMS != 0 || h.Captured != 0 {
		t.Errorf("the hour of a call without talk is %+v", h)
	}
	if h := hours("USD")[0]; h.Calls != 1 || h.Held != 0 || h.Captured != 0 {
		t.Errorf("in another currency it is %+v", h)
	}
}
