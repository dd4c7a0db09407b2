package stage

import (
	"context"
	"database/sql"
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
	owner, err := sql.Open("postgres", stage.OwnerDSN)
	s.must(err)
	defer owner.Close()
	token, _, err := b.CreateToken(ctx, "test", store.Token{Role: store.RoleSite}, time.Hour)
	s.must(err)

	var mu sync.Mutex
	rung := map[string]int{} // INVITEs, by the number that was called
	couples := make([]couple, many)
	eachOf(t, many, func(i int) (err error) {
		number := fmt.Sprintf("+49151%08d", 50000000+i)
		stage.Carrier.Phone(number).OnCall(func(in *phone.Incoming) {
			mu.Lock()
			rung[number]++
			mu.Unlock()
			in.Reject(486)
		})
		couples[i], err = acquaint(ctx, b, owner, plan, number, fmt.Sprintf("+49152%08d", 50000000+i))
		return err
	})
	begin := time.Now().Add(30 * time.Second).Truncate(time.Second).UTC()
	eachOf(t, many, func(i int) error { return couples[i].appoint(ctx, b, plan, token.ID, begin) })
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

// eachOf does something for each of many, six at a time.
func eachOf(t *testing.T, many int, do func(int) error) {
	each := make(chan int)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for i := range each {
				if err := do(i); err != nil {
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
}

// couple is a client with money and an advisor with a verified line.
type couple struct {
	client  ivr.ClientID
	advisor ivr.AdvisorID
}

func acquaint(ctx context.Context, b *store.Store, owner *sql.DB, plan dialplan.Plan, clients, advisors string) (p couple, err error) {
	c, err := b.AddClient(ctx, store.Client{Alias: "Blue Heron", Phone: clients, Currency: plan.Currency})
	if err != nil {
		return p, err
	}
	if err := b.Deposit(ctx, "test", "pay-"+string(c.ID), c.ID, 2000); err != nil {
		return p, err
	}
	a, err := b.AddAdvisor(ctx, store.Advisor{Name: "Anna"})
	if err != nil {
		return p, err
	}
	line, err := b.AddLine(ctx, "test", ivr.Line{Advisor: a.ID, Kind: ivr.Phone, Address: advisors})
	if err != nil {
		return p, err
	}
	// Verified without a call: the program would place it, and end the challenge before we do.
	_, err = owner.ExecContext(ctx, `UPDATE lines SET verified_at = now(), verified_how = 'test' WHERE id = $1`, line)
	return couple{c.ID, a.ID}, err
}

// appoint makes an accepted appointment of the two.
func (p couple) appoint(ctx context.Context, b *store.Store, plan dialplan.Plan, token store.TokenID, at time.Time) error {
	asked, err := b.AskAppointment(ctx, store.Request{Token: token, Key: "ask-" + string(p.client)}, plan, "test", store.AppointmentRequest{
		Client: p.client, Advisor: p.advisor, At: at, Zone: "UTC", Length: twentySeconds * time.Second, Mode: store.HostCalls})
	if err != nil {
		return err
	}
	_, err = b.AcceptAppointment(ctx, store.Request{Token: token, Key: "accept-" + string(p.client)}, plan, store.Party{Advisor: p.advisor, Who: "test"}, asked.ID)
	return err
}
