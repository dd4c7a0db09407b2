package host

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/host/client"
	"parley/host/payment"
	"parley/ivr"
)

// Every route that names a thing is asked for another's by a client and by an advisor:
// each is refused as if the thing were not there, nothing of it is told, and nothing of it
// changes. Its owner may ask each of them.
func TestEveryRouteWithAnothersThing(t *testing.T) {
	w, app := scheduled(t)
	w.unlimited()
	w.payBy(new(payment.Test))
	w.plan.Limits.Queue, w.plan.Limits.Turn = 5, time.Minute
	ctx := t.Context()
	id, owner := w.newClient(100_00)
	w.must(w.site.SavePaymentMethod(ctx, string(id), client.PaymentMethod{Customer: "cus_secret", Method: "pm_secret", Label: "Visa 4242"}))
	_, strange := w.newClient(100_00)
	other := w.newAdvisor()
	otherApp := w.app(other)

	done, err := w.tap(owner, "tap-no-1")
	w.must(err)
	call := w.finish(done, time.Minute)
	lines, err := app.Lines(ctx, string(w.advisor))
	w.must(err)
	verification, err := app.VerifyLine(ctx, "verify-1", lines[0].ID)
	w.must(err)
	appointment, err := owner.AskAppointment(ctx, "asking-1", w.wish(5*time.Hour))
	w.must(err)
	w.must(app.SetNote(ctx, string(w.advisor), string(id), "likes cats"))
	talk, err := w.tap(owner, "tap-no-2")
	w.must(err)
	_, rival := w.newClient(100_00)
	wait, err := w.join(rival, "page")
	w.must(err)

	things := []struct{ path, id string }{ // the first that fits
		{"/v1/talk/", talk.ID}, {"/v1/calls/", string(call)}, {"/v1/queue/", wait.ID}, {"/v1/appointments/", appointment.ID},
		{"/v1/lines/", lines[0].ID}, {"/v1/verifications/", verification.ID}, {"/v1/clients/", string(id)}, {"/v1/advisors/", string(w.advisor)},
	}
	bodies := map[string]string{
		"PATCH /v1/advisors/{id}":                     `{"words": "not mine"}`,
		"PUT /v1/advisors/{id}/clients/{client}/note": `{"note": "not mine"}`,
		"PUT /v1/advisors/{id}/hours":                 `{"zone": "Europe/Berlin"}`,
		"POST /v1/advisors/{id}/lines":                `{"kind": "sip"}`,
		"PUT /v1/advisors/{id}/push":                  `{"endpoint": "https://push.example/send/abc", "p256dh": "BNcR", "auth": "tBHI"}`,
		"PUT /v1/advisors/{id}/presence":              `{"on_line": false}`,
		"POST /v1/appointments/{id}/cancellation":     `{"reason": "not mine"}`,
		"POST /v1/appointments/{id}/decline":          `{"reason": "not mine"}`,
		"POST /v1/appointments/{id}/proposal":         `{"starts_at": "` + w.berlin(6*time.Hour).Format(time.RFC3339) + `"}`,
		"PUT /v1/clients/{id}/caps":                   `{"day": 1}`,
		"POST /v1/clients/{id}/top-ups":               `{"amount": 100}`,
		"PUT /v1/lines/{id}":                          `{"kind": "sip"}`,
	}
	for _, kind := range []string{"greeting", "picture"} {
		bodies["PUT /v1/advisors/{id}/"+kind] = "no audio, no picture"
	}
	// What any client and any advisor may see of every advisor.
	public := []string{"GET /v1/advisors/{id}", "GET /v1/advisors/{id}/hours", "GET /v1/advisors/{id}/free-times"}

	before := w.stateOf(id)
	ask := func(route string, by client.Client) (int, string) {
		method, path, _ := strings.Cut(route, " ")
		for _, thing := range things {
			if strings.HasPrefix(path, thing.path) {
				path = strings.Replace(path, "{id}", thing.id, 1)
				break
			}
		}
		path = strings.NewReplacer("{client}", string(id), "{advisor}", string(w.advisor)).Replace(path)
		r, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(bodies[route]))
		w.must(err)
		r.Header.Set("Authorization", "Bearer "+by.Token)
		r.Header.Set("Idempotency-Key", ivr.NewID("key"))
		r.Header.Set("Content-Type", "application/json")
		if strings.HasSuffix(route, "/greeting") || strings.HasSuffix(route, "/picture") {
			r.Header.Set("Content-Type", "application/octet-stream")
		}
		answer, err := http.DefaultClient.Do(r)
		w.must(err)
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		w.must(err)
		return answer.StatusCode, string(text)
	}
	secrets := []string{string(id), "Heron", "4242", "likes cats", lines[0].Address, talk.Number, talk.PIN}
	refused := 0
	var readable []string // by whom they belong to
	for path, item := range w.host.api.OpenAPI().Paths {
		if !strings.Contains(path, "{id}") {
			continue
		}
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Delete, item.Put, item.Patch} {
			if op == nil || op.Extensions["x-roles"] == nil {
				continue
			}
			route := op.Method + " " + path
			roles := op.Extensions["x-roles"].([]string)
			for role, by := range map[string]client.Client{"client": strange, "advisor": otherApp} {
				if !slices.Contains(roles, role) || slices.Contains(public, route) {
					continue
				}
				status, text := ask(route, by)
				if status != 404 && status != 403 {
					t.Errorf("%s of another, as %s: %d %s (a new route needs a body above that is right but for whose it is)", route, role, status, text)
				}
				for _, secret := range secrets {
					if secret != "" && strings.Contains(text, secret) {
						t.Errorf("%s of another tells %q: %s", route, secret, text)
					}
				}
				refused++
				if op.Method == "GET" {
					readable = append(readable, role+" "+route)
				}
			}
		}
	}
	if refused < 40 {
		t.Errorf("only %d were asked", refused)
	}
	if after := w.stateOf(id); after != before {
		t.Errorf("it was\n%s\nand is\n%s", before, after)
	}
	// The things are there: their owners are told.
	for _, entry := range readable {
		role, route, _ := strings.Cut(entry, " ")
		by := map[string]client.Client{"client": owner, "advisor": app}[role]
		if strings.Contains(route, "/v1/queue/{id}") {
			by = rival
		}
		status, text := ask(route, by)
		missing := strings.HasSuffix(route, "/greeting") || strings.HasSuffix(route, "/paid-time") // there is none
		if status != 200 && !missing {
			t.Errorf("%s by its owner: %d %s", route, status, text)
		}
	}
}

// stateOf is what a client and the town's advisor have, as the site and the desk see it.
func (w *town) stateOf(id ivr.ClientID) string {
	w.Helper()
	admin := w.administrator("Ada")
	var all strings.Builder
	for _, path := range []string{"/v1/clients/" + string(id), "/v1/clients/" + string(id) + "/caps", "/v1/clients/" + string(id) + "/blocks", "/v1/clients/" + string(id) + "/receipts",
		"/v1/advisors/" + string(w.advisor), "/v1/advisors/" + string(w.advisor) + "/lines", "/v1/advisors/" + string(w.advisor) + "/hours",
		"/v1/advisors/" + string(w.advisor) + "/blocks", "/v1/advisors/" + string(w.advisor) + "/queue", "/v1/appointments"} {
		r, err := http.NewRequestWithContext(w.Context(), "GET", w.url+path, nil)
		w.must(err)
		r.Header.Set("Authorization", "Bearer "+admin.Token)
		answer, err := http.DefaultClient.Do(r)
		w.must(err)
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		w.must(err)
		if answer.StatusCode != 200 {
			w.Fatalf("%s: %s %s", path, answer.Status, text)
		}
		all.Write(text)
	}
	return clock.ReplaceAllString(all.String(), "")
}

// clock is what changes by itself: from when an advisor without hours is there.
var clock = regexp.MustCompile(`"next_at":"[^"]*"`)
