package host

import (
	"bufio"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/store"
)

var update = flag.Bool("update", false, "rewrite openapi.yaml")

// openapi.yaml is what the host serves.
func TestOpenAPIIsCheckedIn(t *testing.T) {
	h := New(Config{})
	text, err := h.api.OpenAPI().YAML()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.yaml", text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile("openapi.yaml")
	if err != nil || string(kept) != string(text) {
		t.Errorf("openapi.yaml is not what the host serves: go test ./host -run OpenAPI -update, and look at the diff (%v)", err)
	}
	if !strings.Contains(string(text), "openapi: 3.1.0") {
		t.Error("it is not OpenAPI 3.1")
	}
}

// Every route is asked with every role, with none, and with tokens that are no good:
// who may not is refused before anything of the request is looked at.
func TestEveryRouteWithEveryRole(t *testing.T) {
	w := newTown(t)
	id, session := w.newClient(50_00)
	admin, _ := w.token(store.RoleAdmin, "")
	revoked, token := w.token(store.RoleAdmin, "")
	w.must(w.store.RevokeToken(t.Context(), "test", token))
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	secrets := map[string]string{"site": w.site.Token, "client": session.Token, "admin": admin.Token,
		"none": "", "revoked": revoked.Token, "made up": "parley_x"}
	may := map[string]string{
		"POST /v1/talk":              "site client",
		"GET /v1/talk/{id}":          "site client admin",
		"DELETE /v1/talk/{id}":       "site client admin",
		"GET /v1/advisors":           "site client admin",
		"GET /v1/clients/{id}":       "site client admin",
		"GET /v1/calls/{id}/receipt": "site client admin",
		"POST /v1/deposits":          "site",
	}
	things := map[string]string{"/v1/talk/{id}": talk.ID, "/v1/clients/{id}": string(id), "/v1/calls/{id}/receipt": "call_no"}
	for path, item := range w.host.api.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete, item.Put, item.Patch, item.Head, item.Options} {
			if op == nil {
				continue
			}
			route := op.Method + " " + path
			allowed, known := may[route]
			if !known {
				t.Errorf("%s is new: say here who may ask it", route)
			}
			delete(may, route)
			for role, secret := range secrets {
				r, err := http.NewRequestWithContext(t.Context(), op.Method, w.url+strings.ReplaceAll(path, "{id}", things[path]), strings.NewReader("{"))
				w.must(err)
				if secret != "" {
					r.Header.Set("Authorization", "Bearer "+secret)
				}
				answer, err := http.DefaultClient.Do(r)
				w.must(err)
				answer.Body.Close()
				want := 403
				switch {
				case slices.Contains(strings.Fields(allowed), role):
					want = 0
				case !slices.Contains([]string{"site", "client", "admin"}, role):
					want = 401
				}
				if refused := answer.StatusCode == 401 || answer.StatusCode == 403; refused != (want > 0) || refused && answer.StatusCode != want {
					t.Errorf("%s as %s: %s, want %d (0: let through)", route, role, answer.Status, want)
				}
				if want == 401 && (answer.Header.Get("WWW-Authenticate") != "Bearer" || answer.Header.Get("Content-Type") != "application/problem+json") {
					t.Errorf("%s as %s is refused with %v", route, role, answer.Header)
				}
			}
		}
	}
	if len(may) > 0 {
		t.Errorf("these routes are not there: %v", may)
	}
}

func (w *town) send(method, path, contentType string, body io.Reader) *http.Response {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), method, w.url+path, body)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+w.site.Token)
	r.Header.Set("Idempotency-Key", "some-key-1")
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := http.DefaultClient.Do(r)
	w.must(err)
	w.Cleanup(func() { answer.Body.Close() })
	return answer
}

// What is no request is refused with the remedy, and repeats nothing that was sent.
func TestBadRequestsAreRefused(t *testing.T) {
	w := newTown(t)
	for what, c := range map[string]struct {
		method, path, contentType, body string
		status                          int
		code                            string
	}{
		"too large":         {"POST", "/v1/talk", "application/json", `{"advisor":"` + strings.Repeat("a", bodyMost) + `"}`, 413, "too_large"},
		"not JSON":          {"POST", "/v1/talk", "application/json", `{`, 400, "bad_request"},
		"XML":               {"POST", "/v1/talk", "application/xml", `<a/>`, 415, "media_type"},
		"another type":      {"POST", "/v1/talk", "application/json", `{"advisor": 123454321}`, 422, "not_valid"},
		"a NUL in an ID":    {"GET", "/v1/talk/loan_%00", "", "", 422, "not_valid"},
		"a NUL in a body":   {"POST", "/v1/talk", "application/json", `{"advisor": "adv_\u0000", "client": "cli_1"}`, 422, "not_valid"},
		"a NUL in a page":   {"GET", "/v1/advisors?before=%00", "", "", 422, "not_valid"},
		"an unknown field":  {"POST", "/v1/talk", "application/json", `{"advisor": "adv_1", "pin": "123454321"}`, 422, "not_valid"},
		"no such path":      {"GET", "/v2/talk", "", "", 404, "no_route"},
		"no such method":    {"PUT", "/v1/talk", "", "", 404, "no_route"},
		"an impossible one": {"GET", "/v1/advisors?limit=0", "", "", 422, "not_valid"},
	} {
		answer := w.send(c.method, c.path, c.contentType, strings.NewReader(c.body))
		text, err := io.ReadAll(answer.Body)
		w.must(err)
		if answer.StatusCode != c.status || !strings.Contains(string(text), `"code":"`+c.code+`"`) || !strings.Contains(string(text), `"remedy":"`) ||
			answer.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(string(text), "123454321") {
			t.Errorf("%s: %s\n%s", what, answer.Status, text)
		}
	}
}

// A client that sends slowly, or more headers than there can be, is hung up on.
func TestSlowClientsAreHungUpOn(t *testing.T) {
	w := newTown(t)
	server := w.host.Server()
	if server.ReadHeaderTimeout == 0 || server.ReadTimeout == 0 || server.WriteTimeout == 0 || server.IdleTimeout == 0 {
		t.Fatalf("a time-out is missing: %+v", server)
	}
	server.ReadHeaderTimeout, server.ReadTimeout = 100*time.Millisecond, 300*time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	post := "POST /v1/talk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + w.site.Token + "\r\n"
	for what, sent := range map[string]string{
		"half a line":      "POST /v1/ta",
		"half a header":    post,
		"many headers":     post + strings.Repeat("X-More: "+strings.Repeat("x", 1000)+"\r\n", 40) + "\r\n",
		"half of a body":   post + "Idempotency-Key: some-key-1\r\nContent-Length: 1000\r\n\r\n{",
		"a body of no end": post + "Idempotency-Key: some-key-1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", listener.Addr().String())
			w.must(err)
			defer conn.Close()
			_, err = io.WriteString(conn, sent)
			w.must(err)
			w.must(conn.SetReadDeadline(time.Now().Add(30 * time.Second)))
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("it was waited for")
				}
				return // hung up on without a word
			}
			if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode < 400 {
				t.Errorf("%s, %v", answer.Status, err)
			}
		})
	}
}

// Ready is said only where calls can be taken and the database answers; alive always.
func TestReadiness(t *testing.T) {
	w := newTown(t)
	status := func(path string) int { return w.send("GET", path, "", nil).StatusCode }
	if status("/livez") != 200 || status("/readyz") != 200 {
		t.Error("a host that can do all is not ready")
	}
	w.ready = errors.New("Asterisk is not connected")
	answer := w.send("GET", "/readyz", "", nil)
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	if answer.StatusCode != 503 || !strings.Contains(string(text), "Asterisk is not connected") || status("/livez") != 200 {
		t.Errorf("without Asterisk: %s %s", answer.Status, text)
	}
	w.ready = nil
	w.store.Disconnect()
	if status("/readyz") != 503 || status("/livez") != 200 {
		t.Error("without the database")
	}
	_, err = w.site.Advisors(t.Context(), "")
	w.problem("without the database", err, 503, "unavailable")
}

// Without a plan that covers the talk nobody is promised anything.
func TestWithoutAPlan(t *testing.T) {
	w := newTown(t)
	_, session := w.newClient(50_00)
	w.host.Plan = func() (dialplan.Plan, error) { return dialplan.Plan{}, ivr.ErrNoPlan }
	_, err := w.tap(session, "tap-no-1")
	w.problem("no plan", err, 503, "not_in_plan")
}

// The page shows every route, role and problem, and loads nothing from elsewhere.
func TestDocsShowEverything(t *testing.T) {
	w := newTown(t)
	answer := w.send("GET", "/docs", "", nil)
	text, err := io.ReadAll(answer.Body)
	w.must(err)
	page := string(text)
	for path := range w.host.api.OpenAPI().Paths {
		if !strings.Contains(page, path) {
			t.Errorf("%s is missing", path)
		}
	}
	for code := range kinds {
		if !strings.Contains(page, `id="`+code+`"`) {
			t.Errorf("problem %s is missing", code)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "//cdn") || !strings.Contains(page, "Roles: site, client.") || !strings.Contains(page, `id="TalkBody"`) {
		t.Errorf("the page is\n%s", page)
	}
	served := w.send("GET", "/openapi.yaml", "", nil)
	yaml, err := io.ReadAll(served.Body)
	w.must(err)
	kept, err := os.ReadFile("openapi.yaml")
	w.must(err)
	if string(yaml) != string(kept) {
		t.Error("openapi.yaml is served otherwise than it is kept")
	}
	var nobody client.Client
	nobody.URL = w.url
	_, err = nobody.Advisors(t.Context(), "")
	w.problem("no token", err, 401, "no_token")
}
