package ari

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"parley/ivr"
)

// quick is a timing for tests. What must not happen early is longer than what must
// happen soon.
var quick = timing{
	dial:    2 * time.Second,
	beat:    20 * time.Millisecond,
	back:    300 * time.Millisecond,
	backoff: 5 * time.Millisecond,
	longest: 50 * time.Millisecond,
	settle:  100 * time.Millisecond,
	last:    200 * time.Millisecond,
}

const soon = 10 * time.Second // until a test gives up

// j is a JSON object.
type j = map[string]any

// fake is an Asterisk that can be as slow, forgetful and confused as a test wants.
type fake struct {
	t    *testing.T
	srv  *httptest.Server
	logs *logs

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced on each change
	channels map[string]*fakeChannel
	bridges  map[string][]string
	played   map[string]string // playback -> channel
	commands []string          // method, path and, for some, query or body
	events   *websocket.Conn
	wire     *wire
	sockets  int
	startup  string
	version  string
	owner    string

	// answer, when set, may answer a command instead of the fake: it returns the
	// status, or 0 to let the fake do it.
	answer func(method, path string, w http.ResponseWriter) int
	// hold, when set, receives events instead of the client.
	hold func(event j) bool
	// twice sends every event two times.
	twice bool
	// failLists answers 500 to that many GET /channels.
	failLists int
	// deaf loses beats.
	deaf bool
	// mute plays prompts without reporting their end.
	mute bool
}

type fakeChannel struct {
	id, state, app, args string
	caller               string
	bridge               string
	thrown               bool // out of a bridge that was removed: Asterisk may lose what is played to it
	body                 j    // of originate
}

func newFake(t *testing.T) *fake {
	f := &fake{
		t: t, logs: &logs{}, changed: make(chan struct{}),
		channels: map[string]*fakeChannel{}, bridges: map[string][]string{}, played: map[string]string{},
		startup: "2026-01-01T00:00:00.000+0000", version: "22.10.1~dfsg-1",
	}
	f.srv = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.srv.Listener = listener{f.srv.Listener}
	f.srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, wireKey{}, c)
	}
	f.srv.Start()
	t.Cleanup(f.srv.Close)
	t.Cleanup(f.cut)
	return f
}

// open connects a switch to the fake.
func (f *fake) open() *Switch {
	f.t.Helper()
	return f.openAs(quick)
}

func (f *fake) openAs(timing timing) *Switch {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	s, err := open(ctx, f.config(), timing)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(s.Close)
	return s
}

func (f *fake) config() Config {
	return Config{
		URL: f.srv.URL + "/ari", User: "u", Password: "p",
		RTPTimeout: 30 * time.Second,
		Prompts:    catalogue{}, Log: slog.New(slog.NewTextHandler(f.logs, nil)),
	}
}

// catalogue has every prompt but "missing".
type catalogue struct{}

func (catalogue) Media(language string, p ivr.Prompt) (string, time.Duration, error) {
	if p == "missing" {
		return "", 0, errors.New("no such prompt")
	}
	return "sound:" + language + "/" + string(p), 50 * time.Millisecond, nil
}

// logs is what was logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until what is true of the fake.
func (f *fake) await(what string, is func() bool) {
	f.t.Helper()
	deadline := time.After(soon)
	for {
		f.mu.Lock()
		ok, changed := is(), f.changed
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			f.t.Fatalf("not so in %v: %s\ncommands:\n%s\nlogs:\n%s", soon, what, strings.Join(f.sent(""), "\n"), f.logs)
		}
	}
}

// awaitCommand waits for a command that begins so, the nth of its kind.
func (f *fake) awaitCommand(prefix string, nth int) {
	f.t.Helper()
	f.await(fmt.Sprintf("%q sent %d times", prefix, nth), func() bool { return len(f.sentLocked(prefix)) >= nth })
}

// sent are the commands that begin so.
func (f *fake) sent(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sentLocked(prefix)
}

func (f *fake) sentLocked(prefix string) (found []string) {
	for _, c := range f.commands {
		if strings.HasPrefix(c, prefix) {
			found = append(found, c)
		}
	}
	return found
}

// change wakes whoever awaits. f.mu is held.
func (f *fake) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// with changes the fake.
func (f *fake) with(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.change()
}

// emit sends an event over the connection, if there is one.
func (f *fake) emit(ev j) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emitLocked(ev)
}

var clock atomic.Int64

func (f *fake) emitLocked(ev j) {
	if ev["timestamp"] == nil {
		ev["timestamp"] = fmt.Sprint("t", clock.Add(1))
	}
	if f.hold != nil && f.hold(ev) {
		return
	}
	f.write(ev)
	if f.twice {
		f.write(ev)
	}
}

func (f *fake) write(ev j) {
	if f.events == nil {
		return
	}
	text, _ := json.Marshal(ev)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	_ = f.events.Write(ctx, websocket.MessageText, text)
}

// cut closes the events connection without a word.
func (f *fake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events != nil {
		f.events.CloseNow()
		f.events = nil
	}
}

// incoming lets a call come in.
func (f *fake) incoming(id, did, ani string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.channels[id] = &fakeChannel{id: id, state: "Ring", app: "Stasis", args: "in," + did, caller: ani}
	f.start(f.channels[id])
}

// start puts a channel into Stasis. f.mu is held.
func (f *fake) start(c *fakeChannel) {
	f.emitLocked(j{"type": "StasisStart", "args": strings.Split(c.args, ","), "channel": c.json()})
	f.change()
}

// answers lets a channel that was dialled answer.
func (f *fake) answers(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.channels[id]
	c.state, c.app = "Up", "Stasis"
	f.start(c)
}

// destroy ends a channel with a cause, and the SIP status behind it if not 0.
func (f *fake) destroy(id string, cause, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.destroyLocked(id, cause, status)
}

func (f *fake) destroyLocked(id string, cause, status int) {
	c := f.channels[id]
	if c == nil {
		return
	}
	delete(f.channels, id)
	request := j{"type": "ChannelHangupRequest", "channel": c.json()}
	if cause == 44 { // Asterisk has heard nothing for long
		request["soft"], request["cause"] = true, 1
	}
	f.emitLocked(request)
	f.leaveBridge(c)
	if c.app != "" {
		f.emitLocked(j{"type": "StasisEnd", "channel": c.json()})
	}
	ev := j{"type": "ChannelDestroyed", "cause": cause, "cause_txt": "x", "channel": c.json()}
	if status != 0 {
		ev["tech_cause"] = status
	}
	f.emitLocked(ev)
	f.change()
}

func (f *fake) leaveBridge(c *fakeChannel) {
	if c.bridge == "" {
		return
	}
	f.bridges[c.bridge] = slices.DeleteFunc(f.bridges[c.bridge], func(id string) bool { return id == c.id })
	f.emitLocked(j{"type": "ChannelLeftBridge", "channel": c.json(), "bridge": j{"id": c.bridge}})
	c.bridge = ""
}

// press presses keys.
func (f *fake) press(id, digits string) {
	for _, d := range digits {
		f.emit(j{"type": "ChannelDtmfReceived", "digit": string(d), "duration_ms": 120, "channel": j{"id": id}})
	}
}

func (c *fakeChannel) json() j {
	data := ""
	if c.app != "" {
		data = "parley," + c.args
	}
	return j{
		"id": c.id, "name": "PJSIP/x-1", "state": c.state, "caller": j{"number": c.caller, "name": "x"},
		"dialplan": j{"app_name": c.app, "app_data": data, "priority": 1}, "creationtime": "2026",
	}
}

// wire is a TCP connection that can be cut off without being closed.
type wire struct {
	net.Conn
	frozen atomic.Bool
}

type wireKey struct{}

func (w *wire) Write(b []byte) (int, error) {
	if w.frozen.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &wire{Conn: c}, nil
}

type handlerFunc func(incoming)

func (f handlerFunc) Serve(client ivr.Leg, did, ani string) { f(incoming{client, did, ani}) }

// calls serves a switch and hands out what comes in.
func calls(t *testing.T, s *Switch) <-chan incoming {
	t.Helper()
	in := make(chan incoming, 10_000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, handlerFunc(func(call incoming) { in <- call })) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return in
}

// next is the next of what comes, in time.
func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(soon):
		buf := make([]byte, 1<<20)
		t.Fatalf("nothing came\n%s", buf[:runtime.Stack(buf, true)])
		panic("unreachable")
	}
}

// departure waits for a leg to leave.
func departure(t *testing.T, l ivr.Leg) *ivr.Departure {
	t.Helper()
	next(t, l.Context().Done())
	d, ok := context.Cause(l.Context()).(*ivr.Departure)
	if !ok {
		t.Fatalf("the leg's context ended with %v", context.Cause(l.Context()))
	}
	return d
}

// within is a context for one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
