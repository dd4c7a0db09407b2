package ari

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/ivr"
)

// idle is a switch without an Asterisk.
func idle() *Switch {
	return &Switch{
		client: newClient("http://127.0.0.1:1/ari", "", ""), log: slog.New(slog.DiscardHandler), t: usual,
		ctx: context.Background(), live: true, seen: time.Now(),
		legs: map[string]*leg{}, talks: map[string]*talk{}, playbacks: map[string]*playback{},
	}
}

// As Asterisk 22.10.1 writes it.
const keyEvent = `{"type":"ChannelDtmfReceived","timestamp":"2026-11-22T16:52:25.613+0000","digit":"4","duration_ms":120,` +
	`"channel":{"id":"%s","name":"PJSIP/trunk-00000000","state":"Up","protocol_id":"WXmJtCt9akiohvMaiZhkFcA4@127.0.0.2",` +
	`"caller":{"name":"","number":"+4915112345678"},"connected":{"name":"","number":""},"accountcode":"",` +
	`"dialplan":{"context":"intake","exten":"493055501001","priority":2,"app_name":"Stasis","app_data":"parley,in,493055501001"},` +
	`"creationtime":"2026-11-22T16:52:25.613+0000","language":"en"},"asterisk_id":"02:f4:4f:56:e6:e4","application":"parley"}`

// What the reader does with one event.
func BenchmarkEvent(b *testing.B) {
	s := idle()
	s.newLeg("pbx-1")
	text := fmt.Appendf(nil, keyEvent, "pbx-1")
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		ev, err := decode(text, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		s.receive(ev)
	}
}

// What a command costs besides Asterisk's work, by our own connections and by net/http's:
// a server that answers the same to everything, and eight who send to it.
func BenchmarkCommand(b *testing.B) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				request := make([]byte, 4096) // each comes in one piece
				for {
					if _, err := conn.Read(request); err != nil {
						return
					}
					fmt.Fprint(conn, "HTTP/1.1 204 No Content\r\nServer: Asterisk\r\nCache-Control: no-cache, no-store\r\n\r\n")
				}
			}()
		}
	}()
	c := newClient("http://"+listener.Addr().String()+"/ari", "user", "password")
	defer c.conns.close()
	usual := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: mostIdle}}
	defer usual.CloseIdleConnections()
	for name, send := range map[string]func(context.Context) error{
		"own": func(ctx context.Context) error {
			return c.do(ctx, command{method: "POST", path: path("channels", "pbx-1", "answer")}, nil)
		},
		"net/http": func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, "POST", c.base+"/channels/pbx-1/answer", nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", c.auth)
			answer, err := usual.Do(req)
			if err != nil {
				return err
			}
			return answer.Body.Close()
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := spent(b)
			b.SetParallelism(8 / runtime.GOMAXPROCS(0))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := send(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((spent(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

// spent is the process's CPU time.
func spent(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A call in which two talk, and one goroutine waits for the end of that.
func TestALiveCallIsSmall(t *testing.T) {
	const calls, most = 2000, 12 << 10
	s := idle()
	before := memory()
	var waiting sync.WaitGroup
	for i := range calls {
		s.mu.Lock()
		call := ivr.CallID(ivr.NewID("call"))
		client, advisor := s.newLeg(fmt.Sprint("pbx-", i)), s.newLeg(string(call)+".advisor-1")
		talk := s.newTalk(newName(string(call)+".talk-"), client, advisor)
		talk.entered(client.id, time.Now())
		talk.entered(advisor.id, time.Now())
		s.mu.Unlock()
		waiting.Go(func() {
			select {
			case <-talk.Over():
			case <-client.ctx.Done():
			}
		})
	}
	each := (memory() - before) / calls
	t.Logf("%d bytes", each)
	if each > most {
		t.Errorf("%d bytes, and %d were meant to do", each, most)
	}
	for _, l := range s.legs {
		l.leave(ivr.ErrHungUp)
	}
	waiting.Wait()
}

// memory is what the heap and the stacks hold.
func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
