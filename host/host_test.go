package host

import (
	"bufio"
	"cmp"
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
	w.unlimited()
	id, session := w.newClient(50_00)
	admin, _ := w.token(store.RoleAdmin, "")
	revoked, token := w.token(store.RoleAdmin, "")
	w.must(w.store.RevokeToken(t.Context(), "test", token))
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	secrets := map[string]string{"site": w.site.Token, "client": session.Token, "admin": admin.Token, "advisor": w.newAdvisorToken(w.advisor).Token,
		"none": "", "revoked": revoked.Token, "made_up": "parley_x"}
	may := map[string]string{
		"POST /v1/talk":                               "site client",
		"GET /v1/talk/{id}":                           "site client admin",
		"DELETE /v1/talk/{id}":                        "site client admin",
		"GET /v1/advisors":                            "site client admin",
		"GET /v1/clients/{id}":                        "site client admin",
		"GET /v1/calls/{id}/receipt":                  "site client admin",
		"POST /v1/calls/{id}/hang-up":                 "client",
		"GET /v1/calls/{id}/paid-time":                "advisor",
		"POST /v1/deposits":                           "site",
		"GET /v1/events":                              "site client advisor admin",
		"POST /v1/webhooks":                           "site admin",
		"GET /v1/webhooks":                            "site admin",
		"DELETE /v1/webhooks/{id}":                    "site admin",
		"POST /v1/webhooks/{id}/test":                 "site admin",
		"GET /v1/webhooks/{id}/deliveries":            "site admin",
		"PUT /v1/clients/{id}/payment-method":         "site",
		"GET /v1/clients/{id}/payment-method":         "site client",
		"DELETE /v1/clients/{id}/payment-method":      "site client",
		"POST /v1/clients/{id}/top-ups":               "site client",
		"POST /v1/payments/webhooks/{provider}":       "site client advisor admin none revoked made_up",
		"GET /v1/clients/{id}/receipts":               "site client admin",
		"GET /v1/clients/{id}/caps":                   "site client admin",
		"PUT /v1/clients/{id}/caps":                   "site client",
		"POST /v1/clients/{id}/deletion":              "site client admin",
		"POST /v1/advisors/{id}/deletion":             "admin",
		"GET /v1/sign-in":                             "site client advisor admin none revoked made_up",
		"POST /v1/sign-ins":                           "site client advisor admin none revoked made_up",
		"POST /v1/sign-ins/{id}/session":              "site client advisor admin none revoked made_up",
		"POST /v1/sessions":                           "site client advisor admin none revoked made_up",
		"POST /v1/site-keys":                          "admin",
		"GET /v1/site-keys":                           "admin",
		"DELETE /v1/site-keys/{id}":                   "admin",
		"POST /v1/tokens/rotation":                    "site client advisor admin",
		"DELETE /v1/tokens/current":                   "site client advisor admin",
		"POST /v1/clients/{id}/sessions":              "site",
		"POST /v1/advisors/{id}/tokens":               "admin",
		"GET /v1/tokens":                              "admin",
		"DELETE /v1/tokens/{id}":                      "admin",
		"POST /v1/plans/check":                        "admin",
		"POST /v1/plans/diff":                         "admin",
		"POST /v1/plans":                              "admin",
		"GET /v1/plans":                               "admin",
		"GET /v1/plans/example":                       "admin",
		"GET /v1/plans/{version}":                     "admin",
		"POST /v1/plans/{version}/activation":         "admin",
		"DELETE /v1/plans/{version}/activation":       "admin",
		"POST /v1/plans/rollback":                     "admin",
		"POST /v1/plans/{version}/explanation":        "admin",
		"GET /v1/calls":                               "admin",
		"GET /v1/calls/{id}":                          "admin",
		"POST /v1/calls/{id}/end":                     "admin",
		"POST /v1/adjustments":                        "admin",
		"GET /v1/adjustments":                         "admin",
		"GET /v1/adjustments/{id}":                    "admin",
		"POST /v1/adjustments/{id}/approval":          "admin",
		"POST /v1/adjustments/{id}/refusal":           "admin",
		"GET /v1/clients":                             "admin",
		"POST /v1/clients":                            "site admin",
		"GET /v1/numbers":                             "admin",
		"DELETE /v1/loans/{id}":                       "admin",
		"GET /v1/audit-log":                           "admin",
		"POST /v1/ledger/audits":                      "admin",
		"GET /v1/ledger/audits":                       "admin",
		"GET /v1/status":                              "admin",
		"GET /v1/statistics":                          "admin",
		"POST /v1/queue":                              "site client",
		"GET /v1/queue/{id}":                          "site client admin",
		"DELETE /v1/queue/{id}":                       "site client admin",
		"GET /v1/clients/{id}/queue":                  "site client admin",
		"GET /v1/advisors/{id}/queue":                 "advisor admin",
		"POST /v1/appointments":                       "site client",
		"GET /v1/appointments":                        "site client advisor admin",
		"GET /v1/appointments/{id}":                   "site client advisor admin",
		"POST /v1/appointments/{id}/acceptance":       "site client advisor",
		"POST /v1/appointments/{id}/decline":          "site client advisor",
		"POST /v1/appointments/{id}/proposal":         "advisor",
		"POST /v1/appointments/{id}/cancellation":     "site client advisor",
		"GET /v1/advisors/{id}/free-times":            "site client advisor admin",
		"POST /v1/advisors":                           "site admin",
		"GET /v1/advisors/{id}":                       "site client advisor admin",
		"PATCH /v1/advisors/{id}":                     "advisor admin",
		"PUT /v1/advisors/{id}/presence":              "site advisor admin",
		"GET /v1/advisors/{id}/hours":                 "site client advisor admin",
		"PUT /v1/advisors/{id}/hours":                 "advisor admin",
		"GET /v1/advisors/{id}/lines":                 "advisor admin",
		"POST /v1/advisors/{id}/lines":                "advisor admin",
		"PUT /v1/lines/{id}":                          "advisor admin",
		"DELETE /v1/lines/{id}":                       "advisor admin",
		"POST /v1/lines/{id}/verifications":           "advisor admin",
		"GET /v1/verifications/{id}":                  "advisor admin",
		"GET /v1/advisors/{id}/push":                  "advisor",
		"PUT /v1/advisors/{id}/push":                  "advisor",
		"DELETE /v1/advisors/{id}/push":               "advisor",
		"GET /v1/advisors/{id}/picture":               "site client advisor admin none revoked made_up",
		"PUT /v1/advisors/{id}/picture":               "advisor admin",
		"DELETE /v1/advisors/{id}/picture":            "advisor admin",
		"GET /v1/advisors/{id}/greeting":              "advisor admin",
		"PUT /v1/advisors/{id}/greeting":              "advisor admin",
		"DELETE /v1/advisors/{id}/greeting":           "advisor admin",
		"GET /v1/advisors/{id}/clients":               "advisor admin",
		"GET /v1/advisors/{id}/calls":                 "advisor admin",
		"GET /v1/advisors/{id}/earnings":              "advisor admin",
		"GET /v1/advisors/{id}/clients/{client}/note": "advisor",
		"PUT /v1/advisors/{id}/clients/{client}/note": "advisor",
		"GET /v1/advisors/{id}/blocks":                "advisor admin",
		"PUT /v1/advisors/{id}/blocks/{client}":       "advisor admin",
		"DELETE /v1/advisors/{id}/blocks/{client}":    "advisor admin",
		"GET /v1/clients/{id}/blocks":                 "site client admin",
		"PUT /v1/clients/{id}/blocks/{advisor}":       "site client admin",
		"DELETE /v1/clients/{id}/blocks/{advisor}":    "site client admin",
	}
	lastWill := map[string]string{} // tokens to be used once: to end themselves
	for role, of := range map[store.Role]ivr.ClientID{store.RoleSite: "", store.RoleClient: id, store.RoleAdmin: ""} {
		c, _ := w.token(role, of)
		lastWill[string(role)] = c.Token
	}
	lastWill["advisor"] = w.newAdvisorToken(w.advisor).Token
	things := map[string]string{"/v1/clients/{id}/payment-method": string(id), "/v1/clients/{id}/top-ups": string(id), "/v1/clients/{id}/receipts": string(id),
		"/v1/clients/{id}/caps": string(id), "/v1/clients/{id}/deletion": string(id), "/v1/clients/{id}/sessions": string(id),
		"/v1/advisors/{id}/deletion": string(w.advisor), "/v1/advisors/{id}/tokens": string(w.advisor), "/v1/tokens/{id}": "tok_no",
		"/v1/talk/{id}": talk.ID, "/v1/calls/{id}": "call_no", "/v1/calls/{id}/end": "call_no", "/v1/adjustments/{id}": "adj_no",
		"/v1/adjustments/{id}/approval": "adj_no", "/v1/adjustments/{id}/refusal": "adj_no", "/v1/loans/{id}": "loan_no", "/v1/clients/{id}": string(id), "/v1/clients/{id}/queue": string(id), "/v1/queue/{id}": "wait_no", "/v1/advisors/{id}/queue": string(w.advisor), "/v1/calls/{id}/receipt": "call_no", "/v1/calls/{id}/paid-time": "call_no", "/v1/calls/{id}/hang-up": "call_no"}
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
				r, err := http.NewRequestWithContext(t.Context(), op.Method, w.url+strings.ReplaceAll(path, "{id}", cmp.Or(things[path], "thing_no")), strings.NewReader("{"))
				w.must(err)
				if once := lastWill[role]; once != "" && path == "/v1/tokens/current" {
					secret = once
				}
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
				case !slices.Contains([]string{"site", "client", "advisor", "admin"}, role):
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
		"too large":          {"POST", "/v1/talk", "application/json", `{"advisor":"` + strings.Repeat("a", bodyMost) + `"}`, 413, "too_large"},
		"not JSON":           {"POST", "/v1/talk", "application/json", `{`, 400, "bad_request"},
		"XML":                {"POST", "/v1/talk", "application/xml", `<a/>`, 415, "media_type"},
		"another type":       {"POST", "/v1/talk", "application/json", `{"advisor": 123454321}`, 422, "not_valid"},
		"a NUL in an ID":     {"GET", "/v1/talk/loan_%00", "", "", 422, "not_valid"},
		"a NUL in a body":    {"POST", "/v1/talk", "application/json", `{"advisor": "adv_\u0000", "client": "cli_1"}`, 422, "not_valid"},
		"a NUL in a page":    {"GET", "/v1/advisors?before=%00", "", "", 422, "not_valid"},
		"no UTF-8 in a page": {"GET", "/v1/advisors?before=%ff", "", "", 400, "bad_request"},
		"no UTF-8 in a path": {"GET", "/v1/talk/%ff", "", "", 400, "bad_request"},
		"half an escape":     {"GET", "/v1/advisors?before=%f", "", "", 400, "bad_request"},
		"an unknown field":   {"POST", "/v1/talk", "application/json", `{"advisor": "adv_1", "pin": "123454321"}`, 422, "not_valid"},
		"no such path":       {"GET", "/v2/talk", "", "", 404, "no_route"},
		"no such method":     {"PUT", "/v1/talk", "", "", 404, "no_route"},
		"an impossible one":  {"GET", "/v1/advisors?limit=0", "", "", 422, "not_valid"},
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
	w.store.Disconnect()
	answer = w.send("GET", "/readyz", "", nil)
	text, err = io.ReadAll(answer.Body)
	w.must(err)
	if answer.StatusCode != 503 || !strings.Contains(string(text), "the database does not answer") || status("/livez") != 200 {
		t.Errorf("without the database: %s %s", answer.Status, text)
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
