package store

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"parley/ivr"
)

// Five hundred appointments are due in one second and three copies of the program look at
// once: each is placed once, and each call is claimed by one of them.
func TestFiveHundredAtOnce(t *testing.T) {
	const many = 500
	c := newCalendar(t)
	c.plan.Limits.Concurrent.All = 600
	c.fill(many)
	if _, err := c.superuser().Exec(`
		UPDATE appointments SET starts_at = clock_timestamp() - random() * interval '1 s', ends_at = clock_timestamp() + interval '10 minutes',
			until = clock_timestamp() + interval '10 minutes', reminded_until = clock_timestamp()`); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	var mu sync.Mutex
	claimed := map[ivr.AdvisorID]int{}
	var wg sync.WaitGroup
	for _, s := range []*Store{c.Store, c.open(c.dsn), c.open(c.dsn)} {
		wg.Go(func() {
			for range 2 {
				if err := s.DueAppointments(t.Context(), c.plan); err != nil {
					t.Error(err)
				}
			}
			for {
				p, found, err := s.ClaimPlacement(t.Context())
				if err != nil {
					t.Error(err)
				}
				if !found {
					return
				}
				mu.Lock()
				claimed[p.Loan.Advisor]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	t.Logf("%d were placed and claimed in %v", len(claimed), time.Since(begun).Round(time.Millisecond))
	for advisor, n := range claimed {
		if n != 1 {
			t.Errorf("that of %s was claimed %d times", advisor, n)
		}
	}
	var calling int
	c.must(c.db.Get(&calling, `SELECT count(*) FROM appointments WHERE state = 'calling'`))
	if len(claimed) != many || calling != many {
		t.Errorf("%d were claimed, %d are calling", len(claimed), calling)
	}
	c.clean()
}

// fill makes many accepted appointments, of as many clients and advisors.
func (c *calendar) fill(many int) {
	c.t.Helper()
	var wg sync.WaitGroup
	each := make(chan int)
	for range 8 {
		wg.Go(func() {
			for range each {
				advisor := c.town.advisor()
				line := c.town.line(advisor, fmt.Sprintf("+4930124%05d", c.calls.Add(1)))
				_ = line
				a, err := c.asks(c.wish(c.hosted.client(price), advisor, berlin(3*time.Hour), HostCalls))
				if err == nil {
					_, err = c.accepts(a)
				}
				if err != nil {
					c.t.Error(err)
				}
			}
		})
	}
	for i := range many {
		each <- i
	}
	close(each)
	wg.Wait()
	_, err := c.superuser().Exec(`UPDATE lines SET verified_at = now(), verified_how = 'phone'`)
	c.must(err)
}
