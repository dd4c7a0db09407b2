package stage

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/lab/phone"
	"parley/store"
)

// Five hundred appointments begin in the same second: every client is called, once.
func TestFiveHundredAppointmentsInOneSecond(t *testing.T) {
	const many = 500
	text := strings.NewReplacer("concurrent: {all: 200", "concurrent: {all: 600", "late: 10s", "late: 3m").Replace(Plan)
	stage, _, ctx := newStageWith(t, Options{Plan: text})
	s := &scene{T: t, ctx: ctx, stage: stage}
	plan, err := dialplan.Parse([]byte(text))
	s.must(err)
	b := books(t, stage)
	plan.Version, err = b.ActivePlan(ctx)
	s.must(err)
	token, _, err := b.CreateToken(ctx, "test", store.Token{Role: store.RoleSite}, time.Hour)
	s.must(err)

	var mu sync.Mutex
	rung := map[string]int{} // INVITEs, by the number that was called
	begin := time.Now().Add(45 * time.Second).Truncate(time.Second).UTC()
	each := make(chan int)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for i := range each {
				number := fmt.Sprintf("+49151%08d", 50000000+i)
				stage.Carrier.Phone(number).OnCall(func(in *phone.Incoming) {
					mu.Lock()
					rung[number]++
					mu.Unlock()
					in.Reject(486)
				})
				if err := appoint(ctx, b, plan, token.ID, number, fmt.Sprintf("+49152%08d", 50000000+i), begin); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range many {
		each <- i
	}
	close(each)
	wg.Wait()
	if left := time.Until(begin); left < 0 || t.Failed() {
		t.Fatalf("they were made too late, or not at all: %v left", left)
	}

	time.Sleep(time.Until(begin))
	var over time.Duration
	for over == 0 {
		coming, err := b.Appointments(ctx, store.AppointmentFilter{Coming: true}, store.Party{}, 1)
		s.must(err)
		if len(coming) == 0 {
			over = time.Since(begin)
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("all were called in %v", over.Round(100*time.Millisecond))
	ended, err := b.Appointments(ctx, store.AppointmentFilter{State: store.ApptClientNoShow}, store.Party{}, many+1)
	s.must(err)
	mu.Lock()
	defer mu.Unlock()
	if len(ended) != many || len(rung) != many {
		t.Errorf("%d clients were called, %d appointments ended so", len(rung), len(ended))
	}
	for number, n := range rung {
		if n != 1 {
			t.Errorf("%s was called %d times", number, n)
		}
	}
	s.audit()
}

// appoint makes an accepted appointment of people who were not there before.
func appoint(ctx context.Context, b *store.Store, plan dialplan.Plan, token store.TokenID, clients, advisors string, at time.Time) error {
	c, err := b.AddClient(ctx, store.Client{Alias: "Blue Heron", Phone: clients, Currency: plan.Currency})
	if err != nil {
		return err
	}
	if err := b.Deposit(ctx, "test", "pay-"+string(c.ID), c.ID, 2000); err != nil {
		return err
	}
	a, err := b.AddAdvisor(ctx, store.Advisor{Name: "Anna"})
	if err != nil {
		return err
	}
	line, err := b.AddLine(ctx, "test", ivr.Line{Advisor: a.ID, Kind: ivr.Phone, Address: advisors})
	if err != nil {
		return err
	}
	challenge, code, err := b.CreateChallenge(ctx, line)
	if err != nil {
		return err
	}
	if err := b.Check(ctx, challenge, code, "call_verifies"); err != nil {
		return err
	}
	asked, err := b.AskAppointment(ctx, store.Request{Token: token, Key: "ask-" + string(c.ID)}, plan, "test", store.AppointmentRequest{
		Client: c.ID, Advisor: a.ID, At: at, Zone: "UTC", Length: twentySeconds * time.Second, Mode: store.HostCalls})
	if err != nil {
		return err
	}
	_, err = b.AcceptAppointment(ctx, store.Request{Token: token, Key: "accept-" + string(c.ID)}, plan, store.Party{Advisor: a.ID, Who: "test"}, asked.ID)
	return err
}
