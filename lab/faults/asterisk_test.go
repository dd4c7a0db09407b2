package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"parley/lab/phone"
)

// goes away for whoever did not hear Asterisk's BYE.
func (p *pair) goesAway() {
	time.Sleep(500 * time.Millisecond) // a BYE on its way
	p.c.Vanish()
	p.a.Vanish()
}

func asteriskKilled(s *scene) {
	p := s.talk(plenty)
	s.must(s.Lab.Asterisk.Kill())
	p.goesAway()
	s.notReady()
	s.heal()
	s.must(s.Lab.Asterisk.Start(s.ctx))
	p.recorded("completed")
}

// asteriskRestarted is by its own console.
func asteriskRestarted(s *scene) {
	p := s.talk(plenty)
	_, err := s.Lab.Asterisk.CLI(s.ctx, "core restart now")
	s.must(err)
	s.notReady()
	p.goesAway()
	s.heal()
	p.recorded("completed")
}

// asteriskRestartedGracefully is by its own console: it takes no call any more, and restarts
// when the last that is up has ended.
func asteriskRestartedGracefully(s *scene) {
	p, late := s.talk(plenty), s.callerOf(s.berta(), plenty)
	restarted := make(chan error, 1)
	go func() { // the console waits for the restart
		_, err := s.Lab.Asterisk.CLI(s.ctx, "core restart gracefully")
		restarted <- err
	}()
	s.notReady()
	_, err := late.client.Phone.Dial(s.ctx, late.loan.DID)
	var refused *phone.Rejected
	if !errors.As(err, &refused) {
		s.Errorf("a call before the restart: %v", err)
	} else {
		s.note("a new call is answered %d", refused.Status)
	}
	late.neverRung()
	if r := late.record(); r.id != "" {
		s.Errorf("something was held: %+v", r)
	}
	p.hearStill()
	p.hangUp()
	s.must(<-restarted)
	s.heal()
	p.recordedWhole()
}

// asteriskFrozen is for longer than anyone believes that a phone is only quiet.
func asteriskFrozen(d time.Duration) func(*scene) {
	return func(s *scene) {
		p, late := s.talk(plenty), s.caller(plenty)
		s.must(s.Lab.Asterisk.Stop())
		froze := time.Now()
		s.notReady()
		ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
		_, err := late.client.Phone.Dial(ctx, late.loan.DID)
		cancel()
		if err == nil {
			s.Error("a call was answered")
		}
		time.Sleep(time.Until(froze.Add(d)))
		s.heal()
		s.must(s.Lab.Asterisk.Cont())
		select {
		case <-p.c.Ended():
			s.note("Asterisk ended the talk when it woke: it had heard nothing for longer than rtp_timeout")
			s.ends(p.a)
		case <-time.After(10 * time.Second):
			s.note("the talk went on")
			p.hearStill()
			p.hangUp()
		}
		r := p.recorded("completed")
		s.note("%v of talk recorded", r.talk.Round(time.Second/10))
	}
}

// eventsCut is a cut of the events connection alone.
func eventsCut(d time.Duration, leaves bool) func(*scene) {
	return func(s *scene) {
		p := s.talk(plenty)
		s.asterisk.Cut("/events?")
		cut := time.Now()
		if leaves {
			time.Sleep(d / 2)
			p.over = time.Now()
			s.must(p.c.Hangup(s.ctx)) // unheard
		}
		if d > 5*time.Second && !leaves {
			s.caller(plenty).dials().apologised()
		}
		time.Sleep(time.Until(cut.Add(d)))
		s.heal()
		s.asterisk.Heal()
		s.says("events connection is up", 2)
		if leaves {
			s.ends(p.a)
		} else {
			p.hearStill()
			p.hangUp()
		}
		p.recorded("completed")
	}
}

// halfOpen is a network to Asterisk that swallows everything and says nothing.
func halfOpen(s *scene) {
	p := s.talk(plenty)
	s.asterisk.Freeze()
	s.notReady()
	time.Sleep(10 * time.Second)
	s.heal()
	s.asterisk.Heal()
	s.until("the program is ready", s.ready)
	p.hearStill()
	p.hangUp()
	p.recorded("completed")
}

// eventsBurst is 10,000 events, and people who act meanwhile.
func eventsBurst(s *scene) {
	const events, senders = 10_000, 16
	p := s.talk(plenty)
	before := s.memory()
	var sent atomic.Int64
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for sent.Add(1) <= events {
				s.userEvent()
			}
		})
	}
	s.until("half of the events are sent", func() bool { return sent.Load() > events/2 })
	p.hangUp()
	next := s.talk(plenty)
	all.Wait()
	s.heal()
	next.hearStill()
	grown := s.memory() - before
	next.hangUp()
	p.recorded("completed")
	next.recorded("completed")
	s.note("memory grew by %d MB", grown>>10)
	if grown > 64<<10 {
		s.Errorf("memory grew by %d kB", grown)
	}
}

// userEvent has Asterisk send the program an event.
func (s *scene) userEvent() {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, s.Lab.Asterisk.URL+"/events/user/burst?"+
		url.Values{"application": {s.Lab.Asterisk.App}}.Encode(), nil)
	if err == nil {
		req.SetBasicAuth(s.Lab.Asterisk.User, s.Lab.Asterisk.Password)
		var resp *http.Response
		if resp, err = http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
		}
	}
	if err != nil && s.ctx.Err() == nil {
		s.Error(err)
	}
}

// memory is what the program has in RAM, in kB.
func (s *scene) memory() (kB int) {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Program.PID()))
	s.must(err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	_, err = fmt.Sscan(rest, &kB)
	s.must(err)
	return kB
}

// eventsDoubled sends each event twice, and every two in the wrong order.
func eventsDoubled(s *scene) {
	var mu sync.Mutex
	var first []byte
	s.asterisk.Edit(func(frame []byte) [][]byte {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = frame
			return nil
		}
		before := first
		first = nil
		return [][]byte{frame, frame, before, before}
	})
	p := s.talk(plenty)
	p.hangUp()
	p.recorded("completed")
	declined := s.caller(plenty).dials().skips()
	s.must(declined.rings().Reject(603))
	s.ends(declined.c)
	declined.recorded("declined")
	s.heal()
	s.asterisk.Edit(nil)
}

// eventsMissing loses all that Asterisk says of a hang-up, and then the connection.
func eventsMissing(s *scene) {
	p := s.talk(plenty)
	s.asterisk.Edit(func(frame []byte) [][]byte {
		for _, lost := range []string{"ChannelDestroyed", "ChannelLeftBridge", "StasisEnd", "ChannelHangupRequest"} {
			if bytes.Contains(frame, []byte(lost)) {
				return nil
			}
		}
		return [][]byte{frame}
	})
	p.over = time.Now()
	s.must(p.c.Hangup(s.ctx))
	time.Sleep(time.Second)
	s.asterisk.Edit(nil)
	s.asterisk.Cut("/events?")
	s.notReady()
	s.heal()
	s.asterisk.Heal()
	s.hears(p.a, patience, "client-lost-press-1") // for all that we know
	_ = p.a.Keys(s.ctx, "2")                      // the call may end under the key
	s.ends(p.a)
	p.allowed = 2 * time.Second // until which it was said that both were there
	p.recorded("completed")
}

// asteriskDeaf has the threads of Asterisk's SIP stopped, and no others: it answers every
// command, and no call.
func asteriskDeaf(s *scene) {
	// A tracer is one thread, which has to live until it lets go.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads := s.sipThreads()
	for _, thread := range threads {
		s.must(syscall.PtraceAttach(thread))
		var status syscall.WaitStatus
		_, err := syscall.Wait4(thread, &status, syscall.WALL, nil)
		s.must(err)
	}
	if !eventually(45*time.Second, func() bool { return !s.ready() }) { // two probes
		s.Errorf("the program takes Asterisk for well\n%s", s.tail())
	}
	s.heal()
	for _, thread := range threads {
		s.must(syscall.PtraceDetach(thread))
	}
}

// sipThreads are those that read SIP packets.
func (s *scene) sipThreads() (threads []int) {
	s.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.Lab.Asterisk.PID()))
	s.must(err)
	for _, task := range tasks {
		if name, err := os.ReadFile(filepath.Join(task, "comm")); err == nil && strings.TrimSpace(string(name)) == "SIP" {
			thread, err := strconv.Atoi(filepath.Base(task))
			s.must(err)
			threads = append(threads, thread)
		}
	}
	if len(threads) == 0 {
		s.Fatal("Asterisk has no thread that reads SIP packets")
	}
	return threads
}

// A busy machine's phones are rung one after the other.
var refusals = []struct {
	name, disposition string
	policy            phone.Policy
}{
	{"busy", "busy", phone.Busy()},
	{"declines", "declined", phone.Decline()},
	{"does not answer", "no answer", phone.NeverAnswer()},
	{"is unavailable", "no answer", phone.Refuse(480)},
	{"is not found", "unreachable", phone.Refuse(404)},
	{"is dead", "no answer", phone.Dead()},
}
