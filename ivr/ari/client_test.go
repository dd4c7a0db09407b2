package ari

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// answering is a client of a server that answers as told.
func answering(t *testing.T, answer http.HandlerFunc) *client {
	srv := httptest.NewServer(answer)
	t.Cleanup(srv.Close)
	c := newClient(srv.URL+"/ari", "user", "password")
	t.Cleanup(c.conns.close)
	return c
}

func TestARefusalSaysWhatAsteriskSaid(t *testing.T) {
	for body, want := range map[string]string{
		`{"message":"Channel not found"}`:   "Channel not found",
		`{"error":"Authentication failed"}`: "Authentication failed",
		"<html>not JSON</html>\n":           "<html>not JSON</html>",
		"":                                  "",
	} {
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(422)
			fmt.Fprint(w, body)
		})
		err := fmt.Errorf("dialling: %w", c.do(context.Background(), command{method: "POST", path: "/x"}, nil))
		var e *Error
		if !errors.As(err, &e) || *e != (Error{"POST /x", 422, want}) {
			t.Errorf("%q became %v", body, err)
		}
	}
}

func TestNothingInACommandIsTakenForItsAddress(t *testing.T) {
	got := make(chan *http.Request, 1)
	c := answering(t, func(w http.ResponseWriter, r *http.Request) { got <- r })
	err := c.do(context.Background(), command{
		method: "DELETE", path: path("channels", "a/../b?c#d e"), query: url.Values{"reason": {"a&b=c"}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := <-got
	if r.URL.EscapedPath() != "/ari/channels/a%2F..%2Fb%3Fc%23d%20e" || r.URL.Query().Get("reason") != "a&b=c" || r.URL.Query().Get("b") != "" {
		t.Errorf("%s", r.URL)
	}
	if user, password, _ := r.BasicAuth(); user != "user" || password != "password" || strings.Contains(r.URL.String(), "password") {
		t.Error("credentials are not in the header, or not only there")
	}
}

func TestEachCommandHasATimeOut(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	c := answering(t, func(http.ResponseWriter, *http.Request) { <-release })
	start := time.Now()
	err := c.do(context.Background(), command{method: "POST", path: "/slow", once: true, within: 50 * time.Millisecond}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > soon {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := c.do(ctx, command{method: "GET", path: "/slow", within: soon}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsSafeToSayTwiceIsTriedAgain(t *testing.T) {
	for _, tt := range []struct {
		cmd   command
		tries int32
	}{
		{command{method: "GET", path: "/x"}, 3},
		{command{method: "DELETE", path: "/x"}, 3},
		{command{method: "POST", path: "/x", confirm: "/y"}, 3},
		{command{method: "POST", path: "/x", once: true}, 1},
	} {
		var tries atomic.Int32
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			tries.Add(1)
			panic(http.ErrAbortHandler) // the connection breaks
		})
		if err := c.do(context.Background(), tt.cmd, nil); err == nil || tries.Load() != tt.tries {
			t.Errorf("%+v: %v after %d tries", tt.cmd, err, tries.Load())
		}
	}
}

func TestARefusalIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{400, 404, 409, 412, 422, 500} {
		var tries atomic.Int32
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			tries.Add(1)
			w.WriteHeader(status)
		})
		if err := c.do(context.Background(), command{method: "GET", path: "/x"}, nil); !refused(err, status) || tries.Load() != 1 {
			t.Errorf("%d: %v after %d tries", status, err, tries.Load())
		}
	}
}

func TestWhatIsGoneIsDeleted(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) })
	if err := c.do(context.Background(), command{method: "DELETE", path: "/x"}, nil); err != nil {
		t.Error(err)
	}
}

// The ID is ours, so whoever has it is what the lost answer was about.
func TestAConflictIsDoneIfItIsThere(t *testing.T) {
	for _, there := range []bool{true, false} {
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == "POST":
				w.WriteHeader(409)
			case !there || r.URL.Path != "/ari/channels/x":
				w.WriteHeader(404)
			}
		})
		err := c.do(context.Background(), command{method: "POST", path: "/channels/x", confirm: "/channels/x"}, nil)
		if there && err != nil || !there && !refused(err, 409) {
			t.Errorf("there %v: %v", there, err)
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var mu sync.Mutex
	connections := map[string]bool{}
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		connections[r.RemoteAddr] = true
		w.WriteHeader(404)
		fmt.Fprint(w, `{"message":"Channel not found"}`)
	})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				_ = c.do(context.Background(), command{method: "POST", path: "/x"}, nil)
			}
		})
	}
	wg.Wait()
	if len(connections) > 64 {
		t.Errorf("640 commands of 32 senders took %d connections", len(connections))
	}
}

// Asterisk closes what has been idle, and all when it restarts. A command that is sent only
// once must not be the one to find out.
func TestAConnectionThatAsteriskHasClosedIsNotUsed(t *testing.T) {
	var mu sync.Mutex
	connections := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		connections[r.RemoteAddr] = true
	}))
	defer srv.Close()
	c := newClient(srv.URL+"/ari", "user", "password")
	defer c.conns.close()
	for n := 1; n <= 3; n++ {
		if err := c.do(context.Background(), command{method: "POST", path: "/x", once: true}, nil); err != nil || len(connections) != n {
			t.Fatalf("command %d, on connection %d: %v", n, len(connections), err)
		}
		srv.CloseClientConnections()
		for idle := c.conns.idle[0]; idle.silent(); { // until the end of it is here
			time.Sleep(time.Millisecond)
		}
	}
}

// An answer that comes too late is nobody's.
func TestALateAnswerIsNotTakenForAnothers(t *testing.T) {
	late := make(chan struct{})
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ari/slow" {
			<-late
		}
		fmt.Fprintf(w, "%q", r.URL.Path)
	})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	slow := []error{
		c.do(context.Background(), command{method: "GET", path: "/slow", once: true, within: 20 * time.Millisecond}, nil),
		c.do(ctx, command{method: "GET", path: "/slow", once: true}, nil),
	}
	close(late)
	for _, path := range []string{"/a", "/b", "/c"} {
		var answer string
		if err := c.do(context.Background(), command{method: "GET", path: path}, &answer); err != nil || answer != "/ari"+path {
			t.Errorf("%s is answered %q, %v", path, answer, err)
		}
	}
	if !errors.Is(slow[0], context.DeadlineExceeded) || !errors.Is(slow[1], context.Canceled) {
		t.Errorf("%v", slow)
	}
}

// An answer that breaks off is none, though its beginning reads well.
func TestAnAnswerThatBreaksOffIsNone(t *testing.T) {
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `[1]`)
	})
	var answer []int
	if err := c.do(context.Background(), command{method: "GET", path: "/x"}, &answer); err == nil || answer != nil {
		t.Errorf("%v, %v", answer, err)
	}
}

// Commands that go together are done in their order, on one connection, and each has its
// own answer; what comes after a lost one is unknown, and is not asked again.
func TestCommandsThatGoTogetherKeepTheirOrder(t *testing.T) {
	var mu sync.Mutex
	var done []string
	connections := map[string]bool{}
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, r.Method+" "+r.URL.Path)
		connections[r.RemoteAddr] = true
		switch r.URL.Path {
		case "/ari/a":
			w.WriteHeader(404)
			fmt.Fprint(w, `{"message":"Channel not found"}`)
		case "/ari/lost":
			panic(http.ErrAbortHandler)
		}
	})
	ask := func(paths ...string) []error {
		var cmds []command
		for _, path := range paths {
			cmds = append(cmds, command{method: "POST", path: path, query: url.Values{"x": {"1"}}})
		}
		return c.together(context.Background(), cmds...)
	}
	if errs := ask("/a", "/b", "/c"); !refused(errs[0], 404) || errs[1] != nil || errs[2] != nil {
		t.Errorf("%v", errs)
	}
	if errs := ask("/b", "/lost", "/c"); errs[0] != nil || errs[1] == nil || errs[2] == nil {
		t.Errorf("%v", errs)
	}
	want := []string{"POST /ari/a", "POST /ari/b", "POST /ari/c", "POST /ari/b", "POST /ari/lost"}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(done, want) || len(connections) != 1 {
		t.Errorf("on %d connections: %q", len(connections), done)
	}
}

func TestAnAddressThatIsNoneIsSaidToBe(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1:8088", "https://asterisk.example/ari", "http:///ari", "http://%zz/ari"} {
		c := newClient(address, "user", "password")
		if err := c.do(context.Background(), command{method: "GET", path: "/x"}, nil); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:8088/ari") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestAnErrorDoesNotTellTheAddressDialled(t *testing.T) {
	c := newClient("http://127.0.0.1:1/ari", "user", "password")
	err := c.do(context.Background(), command{method: "PUT", path: "/x/secret", op: "push endpoint", once: true}, nil)
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "password") {
		t.Errorf("%v", err)
	}
}
