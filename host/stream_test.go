package host

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/host/client"
	"parley/ivr"
	"parley/store"
)

// listen begins to hear, and returns when the host has begun to tell: what happens after
// that is heard.
func (w *town) listen(by client.Client, after string) (next func() client.Event, stop func()) {
	w.Helper()
	before := w.listeners()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	events, ended := make(chan client.Event), make(chan struct{})
	go func() {
		defer close(ended)
		for e, err := range by.Events(ctx, after) {
			if err != nil {
				w.Error(err)
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
			}
		}
	}()
	w.await("the stream", func() bool { return w.listeners() > before })
	return func() client.Event {
		w.Helper()
		select {
		case e := <-events:
			return e
		case <-ended:
		case <-ctx.Done():
		}
		w.Fatal("no event is heard")
		return client.Event{}
	}, func() { cancel(); <-ended }
}

func (w *town) listeners() int {
	w.host.hub.mu.Lock()
	defer w.host.hub.mu.Unlock()
	return w.host.hub.all
}

// await waits for what another goroutine does, and asks no more often than a token may.
func (w *town) await(what string, done func() bool) {
	w.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(25 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited for %s in vain", what)
		}
	}
}

func (w *town) pay(who ivr.ClientID, payment string) {
	w.Helper()
	w.must(w.store.Deposit(w.Context(), "test", payment, who, 1))
}

// Everyone hears of what concerns them, from now on, and of nothing else.
func TestStreamTellsWhomItConcerns(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(0)
	otherID, other := w.newClient(0)
	_, secret, err := w.store.CreateToken(t.Context(), "test", store.Token{Role: store.RoleAdvisor, Advisor: w.advisor}, time.Hour)
	w.must(err)
	heard := map[string]string{}
	streams := map[string]client.Client{"client": session, "other": other, "advisor": {URL: w.url, Token: secret}, "site": w.site}
	next := map[string]func() client.Event{}
	for who, by := range streams {
		next[who], _ = w.listen(by, "")
	}
	w.pay(id, "pay_mine")
	w.pay(otherID, "pay_others")
	w.must(w.store.SetPresence(t.Context(), w.advisor, false))
	w.must(w.store.SetPresence(t.Context(), w.advisor, true))
	for who, count := range map[string]int{"client": 1, "other": 1, "advisor": 2, "site": 4} {
		for range count {
			e := next[who]()
			heard[who] += fmt.Sprintf("%s(%v) ", e.Type, e.Data[map[bool]string{true: "payment", false: "on_line"}[e.Type == "deposit.made"]])
			if e.ID == "" || time.Since(e.At) > time.Minute || e.Client == "" && e.Advisor == "" {
				t.Errorf("%s hears %+v", who, e)
			}
		}
	}
	want := map[string]string{
		"client": "deposit.made(pay_mine) ", "other": "deposit.made(pay_others) ",
		"advisor": "advisor.presence(false) advisor.presence(true) ",
		"site":    "deposit.made(pay_mine) deposit.made(pay_others) advisor.presence(false) advisor.presence(true) ",
	}
	for who := range want {
		if heard[who] != want[who] {
			t.Errorf("%s heard %s, want %s", who, heard[who], want[who])
		}
	}
}

// Who is cut off again and again, and goes on where they were, misses none and hears
// none twice, while many write at once; also with another process, and though they fall
// behind.
func TestResumedStreamHasNoGap(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(0)
	_, stop := w.listen(w.site, "")
	defer stop() // so that the first host reads all the time, as in life
	second := w.another()
	const payments = 300
	after, err := w.store.EventsEnd(t.Context())
	w.must(err)
	var wg sync.WaitGroup
	for writer := range 4 {
		wg.Go(func() {
			for i := range payments / 4 {
				if err := w.store.Deposit(t.Context(), "test", fmt.Sprint("pay_", writer, "_", i), id, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	heard := map[string]int{}
	at := after.String()
	for round := 0; len(heard) < payments; round++ {
		by := session
		if round%2 == 1 {
			by.URL = second
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		left := 1 + round*13%40
		for e, err := range by.Events(ctx, at) {
			if w.must(err); e.Type != "deposit.made" {
				t.Fatalf("heard %+v", e)
			}
			payment := fmt.Sprint(e.Data["payment"])
			if heard[payment]++; heard[payment] > 1 {
				t.Errorf("%s is told twice", payment)
			}
			if at = e.ID; left == 0 || len(heard) == payments {
				break
			}
			left--
		}
		if cancel(); ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Fatalf("after %d of %d nothing more is heard", len(heard), payments)
		}
	}
	wg.Wait()
}

// another is one more host on the same store.
func (w *town) another() (url string) {
	host := New(w.host.Config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	server := host.Server()
	go server.Serve(listener)
	w.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String()
}

// A client goes on by itself when the host cuts it off.
func TestClientResumesByItself(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(0)
	next, _ := w.listen(session, "")
	w.pay(id, "pay_1")
	if e := next(); e.Data["payment"] != "pay_1" {
		t.Errorf("heard %+v", e)
	}
	w.host.hub.mu.Lock()
	for s := range w.host.hub.streams[audience{client: id}] {
		s.end(errors.New("cut off by the test"))
	}
	w.host.hub.mu.Unlock()
	w.await("the cut", func() bool { return w.listeners() == 0 })
	w.pay(id, "pay_2") // while nobody listens
	if e := next(); e.Data["payment"] != "pay_2" {
		t.Errorf("heard %+v", e)
	}
}

// A stream that cannot take events as fast as they come reads them from the table, and
// the others do not wait for it.
func TestStreamThatFallsBehindCatchesUp(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(0)
	gate := make(chan struct{})
	var heard []string
	listening, ended := make(chan struct{}), make(chan struct{})
	const payments = 3 * streamBehind
	go func() {
		defer close(ended)
		ctx, s, leave, err := w.host.hub.open(t.Context(), store.Token{ID: "tok_slow", Role: store.RoleClient, Client: id})
		if err != nil {
			t.Error(err)
			return
		}
		defer leave()
		live, from := w.host.hub.follow(s)
		close(listening)
		<-gate
		at := from
		send := func(text []byte) error {
			_, payment, _ := strings.Cut(string(text), `"payment":"`)
			if heard = append(heard, payment[:strings.IndexByte(payment, '"')]); len(heard) == payments {
				return io.EOF
			}
			return nil
		}
		for err == nil {
			if at, err = w.host.catchUp(ctx, s, at, from, send); err == nil {
				if at, err = relay(ctx, live, at, time.Hour, send); err == nil {
					live, from = w.host.hub.follow(s)
				}
			}
		}
	}()
	<-listening
	next, _ := w.listen(session, "")
	var want []string
	for i := range payments {
		want = append(want, fmt.Sprint("pay_", i))
		w.pay(id, want[i])
	}
	for i := range payments {
		if e := next(); e.Data["payment"] != want[i] {
			t.Fatalf("who keeps up heard %+v, want %s", e, want[i])
		}
	}
	close(gate)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("who fell behind never caught up")
	}
	if !slices.Equal(heard, want) {
		t.Errorf("who fell behind heard %v", heard)
	}
}

// raw asks for a stream and returns the answer.
func (w *town) raw(by client.Client, after string) *http.Response {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/v1/events?after="+after, nil)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+by.Token)
	answer, err := http.DefaultClient.Do(r)
	w.must(err)
	w.Cleanup(func() { cancel(); answer.Body.Close() })
	return answer
}

// The stream is what EventSource reads: it begins with where it is and when to come
// back, and is never silent for long.
func TestStreamIsServerSentEvents(t *testing.T) {
	w := newTown(t)
	w.host.hub.alive = 50 * time.Millisecond
	id, session := w.newClient(0)
	answer := w.raw(session, "")
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" || answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", answer.Status, answer.Header)
	}
	lines := bufio.NewScanner(answer.Body)
	var got []string
	read := func(until string) {
		t.Helper()
		for lines.Scan() {
			if got = append(got, lines.Text()); strings.HasPrefix(lines.Text(), until) {
				return
			}
		}
		t.Fatalf("ended after %q", got)
	}
	read(": alive")
	if len(got) != 4 || got[0] != "retry: 2000" || !strings.HasPrefix(got[1], "id: ") || got[2] != "" {
		t.Errorf("began with %q", got)
	}
	w.pay(id, "pay_1")
	read("data: ")
	last := got[len(got)-3:]
	if cursor, err := store.ParseCursor(strings.TrimPrefix(last[0], "id: ")); err != nil || cursor == (store.Cursor{}) || last[1] != "event: deposit.made" ||
		!strings.Contains(last[2], `"type":"deposit.made"`) || !strings.Contains(last[2], `"client":"`+string(id)+`"`) || !strings.Contains(last[2], `"data":{"amount":1,`) {
		t.Errorf("told %q", last)
	}
}

// A cursor that is none, or of another database, is refused: silence would look like
// nothing happening.
func TestUnknownCursorIsRefused(t *testing.T) {
	w := newTown(t)
	for _, after := range []string{"1", "zz", "ffffffffff-1", "-"} {
		answer := w.raw(w.site, after)
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 422 || !strings.Contains(string(text), "not_valid") {
			t.Errorf("%q: %s %s", after, answer.Status, text)
		}
	}
	if n := w.listeners(); n != 0 {
		t.Errorf("%d listen", n)
	}
}

// A cursor from before what is forgotten is refused too; one from after it is not.
func TestForgottenCursorIsRefused(t *testing.T) {
	w := newTown(t)
	before, err := w.store.EventsEnd(t.Context())
	w.must(err)
	u, err := url.Parse(exchange.Postgres.SuperuserDSN)
	w.must(err)
	own, err := url.Parse(w.owner)
	w.must(err)
	u.Path = own.Path
	db, err := sql.Open("postgres", u.String())
	w.must(err)
	defer db.Close()
	w.must(w.store.SetPresence(t.Context(), w.advisor, false))
	_, err = db.Exec("SET session_replication_role = replica; UPDATE events SET at = now() - interval '91 days'")
	w.must(err)
	if n, err := w.store.ForgetOld(t.Context()); err != nil || n == 0 {
		t.Fatalf("%d are forgotten: %v", n, err)
	}
	answer := w.raw(w.site, before.String())
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 422 || !strings.Contains(string(text), "not any more") {
		t.Errorf("from before: %s %s", answer.Status, text)
	}
	last, err := w.store.EventsForgotten(t.Context())
	w.must(err)
	if answer := w.raw(w.site, last.String()); answer.StatusCode != 200 {
		t.Errorf("from the last on: %s", answer.Status)
	}
}

// A client has a number of streams, whatever tokens they have; one that ends makes room.
func TestStreamsOfAClientAreLimited(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(0)
	var open []*http.Response
	for range streamsPerOwner {
		answer := w.raw(session, "")
		if answer.StatusCode != 200 {
			t.Fatal(answer.Status)
		}
		open = append(open, answer)
	}
	refused := w.raw(session, "")
	if text, _ := io.ReadAll(refused.Body); refused.StatusCode != 429 || !strings.Contains(string(text), `"too_many"`) || refused.Header.Get("Retry-After") == "" {
		t.Errorf("%s %s", refused.Status, text)
	}
	if answer := w.raw(w.site, ""); answer.StatusCode != 200 {
		t.Errorf("another token: %s", answer.Status)
	}
	second, _ := w.token(store.RoleClient, id)
	if answer := w.raw(second, ""); answer.StatusCode != 429 {
		t.Errorf("another token of the same client: %s", answer.Status)
	}
	open[0].Body.Close()
	w.await("room", func() bool { return w.listeners() == streamsPerOwner })
	if answer := w.raw(session, ""); answer.StatusCode != 200 {
		t.Errorf("in its room: %s", answer.Status)
	}
}

// A stream ends soon after its token was revoked; others go on.
func TestStreamEndsWithItsToken(t *testing.T) {
	w := newTown(t)
	w.host.hub.look = 20 * time.Millisecond
	id, session := w.newClient(0)
	doomed, token := w.token(store.RoleClient, id)
	next, _ := w.listen(session, "")
	answer := w.raw(doomed, "")
	w.must(w.store.RevokeToken(t.Context(), "test", token))
	if _, err := io.Copy(io.Discard, answer.Body); err != nil { // until it ends
		t.Error(err)
	}
	w.pay(id, "pay_1")
	if e := next(); e.Data["payment"] != "pay_1" {
		t.Errorf("the other heard %+v", e)
	}
	for e, err := range doomed.Events(t.Context(), "") {
		w.problem(fmt.Sprint("again: ", e), err, 401, "no_token")
	}
}

// pipes is a listener on connections without any buffer: what is not read is not
// written.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Who does not read is cut off.
func TestSlowReaderIsCutOff(t *testing.T) {
	w := newTown(t)
	w.host.hub.takes = 200 * time.Millisecond
	listener := make(pipes)
	server := w.host.Server()
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	ours, theirs := net.Pipe()
	listener <- theirs
	_, err := io.WriteString(ours, "GET /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer "+w.site.Token+"\r\n\r\n")
	w.must(err)
	began := bufio.NewReader(ours)
	answer, err := http.ReadResponse(began, nil)
	w.must(err)
	defer answer.Body.Close()
	w.await("the stream", func() bool { return w.listeners() == 1 })
	id, _ := w.newClient(0)
	w.pay(id, "pay_1") // nobody reads it
	w.await("the cut", func() bool { return w.listeners() == 0 })
	if _, err := io.Copy(io.Discard, answer.Body); err == nil {
		t.Error("it ended as if all were told")
	}
}

// A server that stops does not wait for those who listen.
func TestStoppingServerEndsStreams(t *testing.T) {
	w := newTown(t)
	server := w.host.Server()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	go server.Serve(listener)
	w.url = "http://" + listener.Addr().String()
	answer := w.raw(w.site, "")
	if answer.StatusCode != 200 {
		t.Fatal(answer.Status)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	w.must(server.Shutdown(ctx))
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		t.Error(err)
	}
}

// Five hundred who listen are told by one who reads, and it stops when they have gone.
func TestManyStreamsShareOneReader(t *testing.T) {
	w := newTown(t)
	id, _ := w.newClient(0)
	const many = 500
	var leaves []func()
	var lives []<-chan frame
	for i := range many {
		_, s, leave, err := w.host.hub.open(t.Context(), store.Token{ID: store.TokenID(fmt.Sprint("tok_", i)), Role: store.RoleSite})
		w.must(err)
		live, _ := w.host.hub.follow(s)
		leaves, lives = append(leaves, leave), append(lives, live)
	}
	w.pay(id, "pay_1")
	var first []byte
	for i, live := range lives {
		select {
		case f := <-live:
			if first == nil {
				first = f.text
			}
			if &f.text[0] != &first[0] {
				t.Fatal("it was written more than once")
			}
		case <-time.After(time.Minute):
			t.Fatalf("stream %d heard nothing", i)
		}
	}
	for _, leave := range leaves {
		leave()
	}
	w.await("the reader's end", func() bool {
		w.host.hub.mu.Lock()
		defer w.host.hub.mu.Unlock()
		return !w.host.hub.reading
	})
}
