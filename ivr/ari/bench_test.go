package ari

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
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
		waiting.Go(func() { _, _ = talk.Wait(client.ctx) })
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
