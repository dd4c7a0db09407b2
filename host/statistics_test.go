package host

import (
	"testing"
	"time"
)

func TestStatisticsOverTheAPI(t *testing.T) {
	w := newTown(t)
	of, _ := w.newClient(10_000)
	talked := w.opening(of)
	w.talked(talked, 90*time.Second)
	ada := w.administrator("Ada")
	s, err := ada.Statistics(t.Context(), 3)
	w.must(err)
	if s.Currency != "EUR" || len(s.Hours) != 3 || !s.Hours[2].From.Equal(s.Hours[0].From.Add(2*time.Hour)) || time.Since(s.Hours[2].From) > 61*time.Minute {
		t.Fatalf("told %+v", s)
	}
	h := s.Hours[2]
	if h.Calls == 0 { // an hour has begun since
		h = s.Hours[1]
	}
	if h.Calls != 1 || h.Answered != 1 || h.TalkSeconds != 90 || h.Captured != 3*rate/2 || h.Held < h.Captured {
		t.Errorf("of one talk it is told %+v", s)
	}
	_, err = ada.Statistics(t.Context(), 0)
	w.problem("no hours", err, 422, "not_valid")
}
