package host

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/host/payment"
	"parley/ivr"
)

// keyless are the POSTs that leave nothing behind, that know by what they bring that they
// came before, or that come from nobody yet whose key it could be.
var keyless = []string{"/v1/plans/check", "/v1/plans/diff", "/v1/plans/{version}/explanation", "/v1/payments/webhooks/{provider}",
	"/v1/sessions", "/v1/sign-ins", "/v1/calls/{id}/hang-up", "/v1/sign-ins/{id}/session"}

// Every POST that does something is done once for one key: asked again it is answered the
// same, and the key is good for nothing else.
func TestEveryPOSTIsDoneOnce(t *testing.T) {
	w, app := scheduled(t)
	w.unlimited()
	w.payBy(new(payment.Test))
	w.plan.Limits.SecondPerson, w.plan.Limits.Queue, w.plan.Limits.Turn = 3_00, 5, time.Minute
	ada, grace := w.administrator("Ada"), w.administrator("Grace")
	id, session := w.newClient(1000_00)
	rival, rivals := w.newClient(1000_00)
	payer, payers := w.payer("test_ok")
	_, spare := w.newClient(0)
	gone, _ := w.newClient(0)
	newcomer := w.newAdvisor()
	o := w.opening(rival)
	w.host.Running = &calling{calls: []ivr.LiveCall{{ID: o.Call, Client: rival, Advisor: w.advisor}}}

	walked := []string{"/v1/tokens/rotation"}
	posts := 0
	// asks twice, then for other things with the same key: by another body or at another path.
	once := func(by client.Client, path string, body any, otherPath string, otherBody any) (answer map[string]any) {
		t.Helper()
		key := "once-" + ivr.NewID("key")
		status, first := w.post(by, path, key, body)
		again, second := w.post(by, path, key, body)
		if status >= 300 || again != status || second != first {
			t.Errorf("POST %s: %d %s\nand again: %d %s", path, status, first, again, second)
		}
		if otherPath != "" {
			if status, text := w.post(by, otherPath, key, otherBody); status != 409 || !strings.Contains(text, `"key_reused"`) {
				t.Errorf("POST %s with the key of another: %d %s", otherPath, status, text)
			}
		}
		walked = append(walked, path)
		posts++
		_ = json.Unmarshal([]byte(first), &answer)
		return answer
	}
	same := func(by client.Client, path string, body, other map[string]any) map[string]any {
		t.Helper()
		return once(by, path, body, path, other)
	}
	type object = map[string]any

	same(w.site, "/v1/clients", object{"alias": "Red Fox", "phone": "+4915112345699", "currency": "EUR"}, object{"alias": "Red Fox", "phone": "+4915112345698", "currency": "EUR"})
	same(w.site, "/v1/advisors", object{"name": "Berta"}, object{"name": "Carla"})
	same(w.site, "/v1/deposits", object{"client": id, "payment": "bank-1", "amount": 100, "currency": "EUR"}, object{"client": id, "payment": "bank-2", "amount": 100, "currency": "EUR"})
	same(payers, "/v1/clients/"+string(payer)+"/top-ups", object{"amount": 2000}, object{"amount": 1000})
	same(w.site, "/v1/clients/"+string(id)+"/sessions", object{}, object{"lasts": 60})
	same(ada, "/v1/advisors/"+string(w.advisor)+"/tokens", object{"holder": "one"}, object{"holder": "two"})
	key := "once-" + ivr.NewID("key")
	status, first := w.post(spare, "/v1/tokens/rotation", key, object{})
	if again, second := w.post(spare, "/v1/tokens/rotation", key, object{}); status >= 300 || again != status || second != first {
		t.Errorf("a token is rotated: %d %s\nand again: %d %s", status, first, again, second)
	}

	end := "/v1/calls/" + string(o.Call) + "/end"
	same(ada, end, object{"reason": "they asked"}, object{"reason": "we want it"})
	w.talked(o, time.Minute)
	same(session, "/v1/talk", object{"advisor": w.advisor}, object{"advisor": w.advisor, "topic": "a cat"})
	same(rivals, "/v1/queue", object{"advisor": w.advisor, "mode": "page"}, object{"advisor": w.advisor, "mode": "call_back"})

	hook := same(w.site, "/v1/webhooks", object{"url": "https://site.example/hook", "types": []string{}}, object{"url": "https://site.example/other", "types": []string{}})
	once(w.site, "/v1/webhooks/"+hook["id"].(string)+"/test", nil, "/v1/webhooks/hook_no/test", nil)

	_, siteKey, _ := ed25519.GenerateKey(rand.Reader)
	same(ada, "/v1/site-keys", object{"name": "the shop", "public_key": pemOf(t, siteKey)}, object{"name": "another", "public_key": pemOf(t, siteKey)})

	text := string(dialplan.Example)
	old := same(ada, "/v1/plans", object{"text": text}, object{"text": text, "note": "another"})
	plan := same(ada, "/v1/plans", object{"text": text + "\n# more\n"}, object{"text": text, "note": "another"})
	for _, p := range []object{old, plan} {
		activation := "/v1/plans/" + fmt.Sprint(p["version"]) + "/activation"
		same(ada, activation, object{}, object{"at": time.Now().Add(time.Hour)})
	}
	once(ada, "/v1/plans/rollback", nil, "", nil)

	appointment := func(in time.Duration) string {
		wish := w.wish(in)
		other := wish
		other.Topic = "my dog"
		made := once(rivals, "/v1/appointments", wish, "/v1/appointments", other)
		return "/v1/appointments/" + made["id"].(string)
	}
	accepted, declined := appointment(2*time.Hour), appointment(4*time.Hour)
	once(app, declined+"/proposal", object{"starts_at": w.berlin(5 * time.Hour)}, declined+"/proposal", object{"starts_at": w.berlin(6 * time.Hour)})
	once(rivals, declined+"/decline", object{}, declined+"/decline", object{"reason": "no"})
	once(app, accepted+"/acceptance", nil, declined+"/acceptance", nil)
	once(rivals, accepted+"/cancellation", object{}, accepted+"/cancellation", object{"reason": "no"})

	lines := "/v1/advisors/" + string(w.advisor) + "/lines"
	line := same(app, lines, object{"kind": "sip"}, object{"kind": "app"})
	once(app, "/v1/lines/"+line["id"].(string)+"/verifications", nil, "/v1/lines/line_no/verifications", nil)

	adjust := func(amount int) object {
		return object{"kind": "adjustment", "client": id, "amount": amount, "reason": "a gift"}
	}
	for _, decision := range []string{"approval", "refusal"} {
		waits := same(ada, "/v1/adjustments", adjust(4_00), adjust(4_01))
		once(grace, "/v1/adjustments/"+waits["id"].(string)+"/"+decision, nil, "/v1/adjustments/adj_no/"+decision, nil)
	}
	once(ada, "/v1/ledger/audits", nil, "", nil)
	once(w.site, "/v1/clients/"+string(gone)+"/deletion", nil, "/v1/clients/"+string(id)+"/deletion", nil)
	once(ada, "/v1/advisors/"+string(newcomer)+"/deletion", nil, "/v1/advisors/"+string(w.advisor)+"/deletion", nil)

	for path, item := range w.host.api.OpenAPI().Paths {
		if item.Post == nil || slices.Contains(keyless, path) {
			continue
		}
		like := regexp.MustCompile("^" + regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, "[^/]+") + "$")
		if !slices.ContainsFunc(walked, like.MatchString) {
			t.Errorf("POST %s is new: ask it twice here, or say why it needs no key", path)
		}
		keyed := false
		for _, p := range item.Post.Parameters {
			keyed = keyed || p.Name == "Idempotency-Key" && p.Required
		}
		if !keyed {
			t.Errorf("POST %s needs no Idempotency-Key", path)
		}
	}
	report, err := w.store.Audit(t.Context())
	if w.must(err); len(report.Faults) > 0 {
		t.Errorf("the audit finds %v", report)
	}
	if posts < 25 {
		t.Errorf("only %d were asked", posts)
	}
}

// post sends a request as whoever holds the token.
func (w *town) post(by client.Client, path, key string, body any) (status int, answer string) {
	w.Helper()
	var sent io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		w.must(err)
		sent = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.url+path, sent)
	w.must(err)
	r.Header.Set("Authorization", "Bearer "+by.Token)
	r.Header.Set("Idempotency-Key", key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	got, err := http.DefaultClient.Do(r)
	w.must(err)
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	w.must(err)
	return got.StatusCode, string(text)
}
