package faults

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/host/client"
	"parley/lab"
	"parley/lab/stage"
)

// kill ends the program at once; for a trap, what it has just said does not get through.
func (s *scene) kill() (pass bool) {
	if err := s.Program.Kill(); err != nil {
		s.Error(err)
	}
	return false
}

// await waits for a trap.
func (s *scene) await(sprung <-chan struct{}) {
	s.Helper()
	select {
	case <-sprung:
	case <-time.After(patience):
		s.Fatalf("the program has not come so far\n%s", s.tail())
	}
}

// apologised checks that a caller in a dead program's hands hears why, from the dialplan.
func (p *pair) apologised() {
	p.s.Helper()
	p.s.hears(p.c, patience, "service-unavailable")
	p.s.ends(p.c)
}

func killedBeforeTheHold(s *scene) {
	dead := s.postgres.When("open_call", s.kill)
	p := s.caller(plenty).dials()
	s.await(dead)
	s.restart()
	p.apologised()
	p.neverRung()
	if r := p.record(); r.id != "" {
		s.Errorf("a call was recorded: %+v", r)
	}
}

func killedBeforeDialling(s *scene) {
	dead := s.asterisk.When(".advisor-1 HTTP", s.kill)
	p := s.caller(plenty).dials().skips()
	s.await(dead)
	s.restart()
	p.apologised()
	p.neverRung()
	p.recorded("interrupted")
}

func killedBeforeTheReply(s *scene) {
	dialled := s.asterisk.When(".advisor-1 HTTP", func() bool {
		go s.asterisk.Freeze() // the command passes, its reply does not
		return true
	})
	p := s.caller(plenty).dials().skips()
	s.await(dialled)
	ringing := p.rings()
	s.kill()
	s.asterisk.Heal()
	s.restart()
	select {
	case <-ringing.Ended():
	case <-time.After(patience):
		s.Error("the advisor's phone rings on")
	}
	p.apologised()
	p.neverRung() // a second time
	p.recorded("interrupted")
}

func killedBeforeTheBridge(s *scene) {
	dead := s.asterisk.When("POST /ari/bridges/", s.kill)
	p := s.caller(plenty).dials().skips().answers()
	s.must(p.a.Keys(s.ctx, "1"))
	s.await(dead)
	s.restart()
	p.apologised()
	s.ends(p.a)
	p.recorded("interrupted")
}

func killedInTalk(s *scene) {
	p := s.talk(plenty)
	s.kill()
	time.Sleep(5 * time.Second) // the talk without a program
	s.restart()
	s.says("talk adopted", 1)
	p.hearStill()
	p.hangUp()
	p.recordedWhole()
}

// recordedWhole checks that all of the talk is charged.
func (p *pair) recordedWhole() {
	p.s.Helper()
	r := p.recorded("completed")
	if heard := p.over.Sub(p.began); r.talk < heard-time.Second || r.talk > heard+time.Second {
		p.s.Errorf("talk of %v recorded, they heard each other for %v", r.talk, heard)
	}
}

func killedForGood(s *scene) {
	p := s.talk(80) // eight seconds
	s.kill()
	s.ends(p.c)
	s.ends(p.a)
	late := s.caller(plenty).dials() // meanwhile
	late.apologised()
	s.restart()
	p.recorded("completed")
}

func killedAfterSettling(s *scene) {
	p := s.talk(50) // five seconds
	s.until("the call is settled", func() bool { return p.record().ended })
	select {
	case <-p.c.Ended():
		s.Error("the client was hung up before the program could be killed")
	default:
	}
	s.kill()
	s.restart()
	s.ends(p.c)
	s.ends(p.a)
	p.recorded("money spent")
}

// deployed is a program that is stopped in order in a talk, and the next one.
func deployed(s *scene) {
	p := s.talk(plenty)
	waiting := s.callerOf(s.berta(), plenty).dials()
	s.must(s.Program.Terminate(s.ctx))
	s.hears(waiting.c, patience, "call-back-later")
	s.ends(waiting.c)
	s.restart()
	s.says("talk adopted", 1)
	p.hearStill()
	p.hangUp()
	p.recorded("completed")
}

// berta is one more advisor.
func (s *scene) berta() *stage.Advisor {
	s.Helper()
	berta, err := s.NewVerifiedAdvisor(s.ctx, "Berta")
	s.must(err)
	return berta
}

// twoCopies are on one Asterisk; the one that owns it dies, then the other.
func twoCopies(s *scene) {
	second := s.Copy("second", "standing by")
	s.must(second.Start(s.ctx))
	p := s.talk(plenty)
	s.kill()
	died := time.Now()
	s.saidBy(second, "serving", 10*time.Second)
	took := time.Since(died)
	s.saidBy(second, "talk adopted", patience)
	p.hearStill()
	started := make(chan error, 1)
	go func() { started <- s.Program.Start(s.ctx) }() // which returns when it serves
	s.until("the first stands by", func() bool { return strings.Count(s.Log(), `"msg":"standing by"`) == 1 })
	p.hearStill()
	s.heal()
	s.must(second.Kill())
	s.must(<-started)
	s.note("taken over after %.1f s and %.1f s", took.Seconds(), time.Since(s.healed).Seconds())
	s.says("talk adopted", 1)
	p.hearStill()
	p.hangUp()
	p.recorded("completed")
}

// saidBy waits until another copy has said something.
func (s *scene) saidBy(copy *lab.Service, msg string, limit time.Duration) {
	s.Helper()
	if !eventually(limit, func() bool {
		text, err := os.ReadFile(copy.LogFile())
		return err == nil && strings.Contains(string(text), `"msg":"`+msg+`"`)
	}) {
		s.Errorf("the other copy has not said %q in %v", msg, limit)
	}
}

// refusesToStart starts the program with each of its settings wrong.
func refusesToStart(s *scene) {
	empty, err := s.Lab.NewDatabase(s.ctx)
	s.must(err)
	for setting, names := range map[string]string{
		"PARLEY_KEY=":                     "PARLEY_KEY",
		"PARLEY_KEY=0123":                 "64 hex digits",
		"PARLEY_POSTGRES_DSN=":            "PARLEY_POSTGRES_DSN",
		"PARLEY_POSTGRES_DSN=" + empty:    "migrate it first",
		"PARLEY_ASTERISK_RTP_TIMEOUT=now": "asterisk.rtp_timeout",
		"PARLEY_HTTP_TRUSTED_PROXIES=all": "http.trusted_proxies",
		"PARLEY_PAYMENT_PROVIDER=cash":    "payment.provider",
	} {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		serve := s.Command(ctx, "serve")
		serve.Env = append(serve.Env, "PARLEY_HTTP_ADDR=127.0.0.1:0", setting)
		out, err := serve.CombinedOutput()
		cancel()
		name, _, _ := strings.Cut(setting, "=")
		if err == nil || ctx.Err() == context.DeadlineExceeded || !strings.Contains(string(out), names) {
			s.Errorf("with another %s: %v, without a word of %q:\n%s", name, err, names, out)
		}
	}
}

// theSameRequest is sent a hundred times at once, then with another body; others are slow
// and large.
func theSameRequest(s *scene) {
	p := s.caller(0)
	site, err := s.API(s.ctx, "--role", "site")
	s.must(err)
	deposit := client.Deposit{Client: p.client.ID, Payment: "card-1", Amount: plenty, Currency: "EUR"}
	var all sync.WaitGroup
	var fine, later atomic.Int64
	for range 100 {
		all.Go(func() {
			_, err := site.Deposit(s.ctx, "deposit-1", deposit)
			var refused *client.Problem
			switch {
			case err == nil:
				fine.Add(1)
			case errors.As(err, &refused) && (refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusConflict):
				later.Add(1)
			default:
				s.Error(err)
			}
		})
	}
	all.Wait()
	s.note("100 at once: %d had the answer, %d were told to ask later", fine.Load(), later.Load())
	if fine.Load() == 0 {
		s.Error("none of the requests was answered")
	}
	deposit.Amount++
	var refused *client.Problem
	if _, err := site.Deposit(s.ctx, "deposit-1", deposit); !errors.As(err, &refused) || refused.Status != http.StatusConflict {
		s.Errorf("the same key with another body: %v", err)
	}
	slow, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	s.must(err)
	defer slow.Close()
	_, err = io.WriteString(slow, "POST /v1/deposits HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n{")
	s.must(err)
	resp, err := http.Post(s.URL+"/v1/deposits", "application/json", bytes.NewReader(make([]byte, 10<<20)))
	if err == nil { // else it was cut off
		resp.Body.Close()
		if resp.StatusCode < 400 {
			s.Errorf("10 MB: %s", resp.Status)
		}
	}
	p.money = plenty
	p.talks().hangUp()
	p.recorded("completed")
}
