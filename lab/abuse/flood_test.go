package abuse

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/lab/phone"
)

// strangersHost is whence floods come: neither the carrier nor anybody's phone.
const strangersHost = "127.0.0.9"

// flood sends a stranger's requests for a time, so many a second, and returns how many
// were sent and answered.
func flood(ctx context.Context, method string, perSecond int, lasts time.Duration) (sent, answered int64, err error) {
	conn, err := net.ListenPacket("udp4", strangersHost+":0")
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	var heard atomic.Int64
	go func() {
		buffer := make([]byte, 4096)
		for {
			if _, _, err := conn.ReadFrom(buffer); err != nil {
				return
			}
			heard.Add(1)
		}
	}()
	to, err := net.ResolveUDPAddr("udp4", shared.Lab.Asterisk.SIPAddr)
	if err != nil {
		return 0, 0, err
	}
	const tick = 10 * time.Millisecond
	every := time.NewTicker(tick)
	defer every.Stop()
	began := time.Now()
	for time.Since(began) < lasts && ctx.Err() == nil {
		<-every.C
		due := int64(time.Since(began).Seconds() * float64(perSecond))
		for ; sent < due; sent++ {
			if _, err := conn.WriteTo(request(method, conn.LocalAddr().String(), to.String(), sent), to); err != nil {
				return sent, heard.Load(), err
			}
		}
	}
	return sent, heard.Load(), ctx.Err()
}

// request is one that a parser has nothing against.
func request(method, from, to string, n int64) []byte {
	user, body := "", ""
	if method == "INVITE" {
		user, body = "+493055500101@", sdp
	}
	return fmt.Appendf(nil, "%[1]s sip:%[2]s%[3]s SIP/2.0\r\nVia: SIP/2.0/UDP %[4]s;branch=z9hG4bK-%[5]d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:u%[5]d@%[4]s>;tag=%[5]d\r\nTo: <sip:%[2]s%[3]s>\r\nCall-ID: flood-%[5]d-%[1]s@%[4]s\r\nCSeq: 1 %[1]s\r\n"+
		"Contact: <sip:u@%[4]s>\r\nExpires: 60\r\nContent-Type: application/sdp\r\nContent-Length: %[6]d\r\n\r\n%[7]s",
		method, user, to, from, n, len(body), body)
}

const sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.9\r\ns=-\r\nc=IN IP4 127.0.0.9\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"

// talks are so many, all up at once.
func (s *scene) talks(n int) []talk {
	s.Helper()
	list := make([]talk, n)
	inTurn(n, 5, func(i int) {
		a := s.newAdvisor(fmt.Sprintf("Flood %d", i), "")
		s.verify(a)
		list[i] = s.talk(s.newCaller("Blue Heron", 100_00), a)
	})
	if s.Failed() {
		s.FailNow()
	}
	return list
}

// Strangers send a thousand INVITEs, REGISTERs and OPTIONS a second. Those who talk hear
// each other all the while, and nobody is let in.
func TestTalksKeepTheirAudioInASIPFlood(t *testing.T) {
	s := newScene(t)
	talks := s.talks(amount(4, 20))
	lasts := time.Duration(amount(4, 20)) * time.Second
	quiet := time.Now()
	time.Sleep(2 * time.Second) // the same talks without a flood, to compare with
	before := worst(talks, quiet, time.Now())
	began := time.Now()
	var all sync.WaitGroup
	var sent, answered [3]int64
	for i, method := range []string{"INVITE", "REGISTER", "OPTIONS"} {
		all.Go(func() {
			var err error
			if sent[i], answered[i], err = flood(s.ctx, method, 1000, lasts); err != nil {
				s.Errorf("%s: %v", method, err)
			}
		})
	}
	all.Wait()
	over := time.Now()
	during := worst(talks, began, over)
	record(t, fmt.Sprintf("%d INVITE, REGISTER and OPTIONS in %v from a stranger, during %d talks", sent[0]+sent[1]+sent[2], lasts, len(talks)),
		"worst share of 100 ms in which a phone heard the other's tone: %.3f (%.3f before); answered %d, %d and %d", during, before, answered[0], answered[1], answered[2])
	if wanted := int64(lasts.Seconds() * 900); sent[0] < wanted || sent[1] < wanted || sent[2] < wanted {
		s.Errorf("too few were sent to be a flood: %v", sent)
	}
	if during < 0.9 {
		s.Errorf("a phone heard the other in %.3f of the time", during)
	}
	for _, talk := range talks {
		s.end(talk)
	}
	// Who calls afterwards is served, and no stranger has become a channel.
	said, err := shared.Lab.Asterisk.CLI(s.ctx, "pjsip show contacts")
	s.must(err)
	if strings.Contains(said, strangersHost) {
		s.Errorf("a stranger has registered:\n%s", said)
	}
	s.clean()
}

func worst(talks []talk, from, to time.Time) float64 {
	worst := 1.0
	for _, talk := range talks {
		worst = min(worst, talk.share(from, to))
	}
	return worst
}

// A phone keys as fast as it can, by RFC 4733 and by INFO, A-D among them, at a question
// and in a talk: what is asked is asked, and the program neither stores nor logs a key.
func TestAFloodOfKeys(t *testing.T) {
	s := newScene(t)
	a := s.newAdvisor("Key Flood", "")
	s.verify(a)
	other := s.talks(1)[0]
	c := s.newCaller("Blue Heron", 100_00)
	loan, err := shared.Lend(s.ctx, c.Client, a.Advisor)
	s.must(err)
	began, before := time.Now(), memory(s, shared.Program.PID())
	keys := strings.Repeat("0123456789*#ABCD", amount(2, 12))
	thief := shared.Carrier.Phone(newNumber())
	dialled, err := thief.Dial(s.ctx, loan.DID)
	s.must(err)
	flooded := 0
	for _, how := range [][]phone.KeyOption{{}, {phone.ViaINFO()}} {
		if err := dialled.Keys(s.ctx, keys, how...); err == nil {
			flooded += len(keys)
		} // else the call was ended under the keys, after entry_tries PINs
	}
	s.ends(dialled)
	talk := s.talkBy(c.Phone, loan.DID, a, "#")
	s.must(talk.client.Keys(s.ctx, keys))
	flooded += len(keys)
	share := other.share(began, time.Now())
	grown := memory(s, shared.Program.PID()) - before
	record(t, fmt.Sprintf("%d keys in a row, by RFC 4733 and INFO, at the PIN and in a talk", flooded),
		"another talk heard its tone in %.3f of the time; the program grew by %d KB", share, grown)
	if share < 0.9 {
		s.Errorf("another talk was heard in %.3f of the time", share)
	}
	if grown > 64<<10 {
		s.Errorf("the program grew by %d KB", grown)
	}
	s.end(talk)
	s.end(other)
	if strings.Contains(shared.Log(), "0123456789") {
		s.Error("keys are in the log")
	}
	s.clean()
}

// memory is a process's resident set in KB, as proc(5) tells.
func memory(s *scene, pid int) (kb int) {
	s.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	s.must(err)
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kb); !found || err != nil {
		s.Fatalf("no VmRSS of %d", pid)
	}
	return kb
}

// Whoever asks as fast as they can is told to wait, by token and by address; others are
// served meanwhile.
func TestAnHTTPFlood(t *testing.T) {
	s := newScene(t)
	flooder, other := s.newCaller("Flooder", 0), s.newCaller("Other", 0)
	requests := amount(1500, 20_000)
	var served, refused, failed atomic.Int64
	stop, slowest := make(chan struct{}), time.Duration(0)
	var watching sync.WaitGroup
	watching.Go(func() {
		for asked := 0; ; asked++ {
			began := time.Now()
			if _, err := other.session.Account(s.ctx, other.ID); err != nil {
				s.Errorf("another client is not served: %v", err)
			}
			slowest = max(slowest, time.Since(began))
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	began := time.Now()
	inTurn(requests, 16, func(i int) {
		r, err := http.NewRequestWithContext(s.ctx, "GET", shared.URL+"/v1/clients/"+flooder.ID, nil)
		s.must(err)
		token := flooder.session.Token
		if i%2 == 1 {
			token = fmt.Sprintf("parley_%043d", i) // none that was ever made
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			failed.Add(1)
			return
		}
		answer.Body.Close()
		switch answer.StatusCode {
		case 200:
			served.Add(1)
		case 401, 429:
			refused.Add(1)
		default:
			s.Errorf("answered %s", answer.Status)
		}
	})
	took := time.Since(began)
	close(stop)
	watching.Wait()
	record(t, fmt.Sprintf("%d requests by one token and by made-up ones", requests),
		"%.0f a second: %d served, %d refused, %d without an answer; another client waited %v at most", float64(requests)/took.Seconds(), served.Load(), refused.Load(), failed.Load(), slowest.Round(time.Millisecond))
	if most := int64(100 + 50*took.Seconds() + 1); served.Load() > most {
		s.Errorf("%d were served, %d may be", served.Load(), most)
	}
	if failed.Load() > 0 || refused.Load() < int64(requests)/2-1 {
		s.Errorf("%d refused, %d failed", refused.Load(), failed.Load())
	}
}
