package cluster

import (
	"testing"
	"time"
)

// The Postgres that is written to dies in a talk. An operator promotes the standby: the talk
// has gone on, is charged in whole, and nothing that was told anybody is lost.
func TestPostgresFailsOver(t *testing.T) {
	s := newScene(t, town.one.asterisk.SIPAddr)
	client, advisor := s.talk(town.one)
	began := time.Now()
	s.must(town.Lab.Postgres.Kill())
	died := time.Now()
	s.must(town.standby.Promote(s.ctx))
	s.eventually(patience, "the program writes again", func() bool {
		_, err := town.Parley(s.ctx, "client", "deposit", s.client.ID, "1", "--payment", "after-"+s.client.ID)
		return err == nil
	})
	t.Logf("written again %v after the first died", time.Since(died).Round(10*time.Millisecond))
	if share := client.ToneShare(advisorTone, began, time.Now()); share < 0.95 {
		t.Errorf("the client heard the advisor %.2f of the time", share)
	}
	call := s.hungUp(client, advisor)
	if call.Talk() < time.Since(began)-5*time.Second {
		t.Errorf("charged for %v of %v", call.Talk(), time.Since(began))
	}
	s.another()
	c, a := s.talk(nil)
	s.hungUp(c, a)
	s.audit()
}

// Redis dies: the sentinel lets its copy take its place, and the programs find it.
func TestRedisFailsOver(t *testing.T) {
	s := newScene(t, town.one.asterisk.SIPAddr)
	api, err := town.API(s.ctx, "--role", "admin", "--holder", "Ada")
	s.must(err)
	works := func() bool {
		status, err := api.Status(s.ctx)
		return err == nil && status.Redis.OK
	}
	s.eventually(patience, "Redis works", works)
	s.must(town.Lab.Redis.Kill())
	died := time.Now()
	s.eventually(patience, "it is seen that Redis is away", func() bool { return !works() })
	c, a := s.talk(nil) // nothing waits for it
	s.hungUp(c, a)
	s.eventually(patience, "its copy has taken its place", works)
	t.Logf("notices again within %v", time.Since(died).Round(100*time.Millisecond))
}

// Scanners get no answer at all, however much they send, and nobody else notices.
func TestScannersAreNotAnswered(t *testing.T) {
	s := newScene(t, town.one.asterisk.SIPAddr)
	c, a := s.talk(nil)
	began := time.Now()
	if err := options(town.Lab.Proxy, "127.0.0.66:0", "friendly-scanner"); err == nil {
		t.Error("a scanner is answered")
	}
	if _, err := inviteFrom("127.0.0.67:0", town.Lab.Proxy, "4915112345678"); err == nil {
		t.Error("a stranger's INVITE is answered")
	}
	if err := options(town.Lab.Proxy, "127.0.0.67:0", "lab"); err == nil {
		t.Error("who was banned is answered")
	}
	flood(t, "127.0.0.68:0", 2000)
	if err := options(town.Lab.Proxy, "127.0.0.68:0", "lab"); err == nil {
		t.Error("who floods is answered")
	}
	if share := c.ToneShare(advisorTone, began, time.Now()); share < 0.95 {
		t.Errorf("the client heard the advisor %.2f of the time", share)
	}
	s.hungUp(c, a)
}
