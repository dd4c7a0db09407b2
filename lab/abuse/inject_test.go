package abuse

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/host/client"
	"parley/lab/browser"
	"parley/lab/phone"
	"parley/lab/stage"
)

// mark is a file that no hostile word may make.
func mark() string { return filepath.Join(os.TempDir(), "parley-was-injected") }

// hostile are words for every reader that might take them for its own: SQL, a shell, a
// log, SIP, the dialplan, a template, HTML, a terminal, printf, a path.
func hostile() []string {
	return []string{
		`'; DROP TABLE clients; --`, `" OR 1=1 --`, "x\n{\"level\":\"ERROR\",\"msg\":\"injected\"}", "x\r\nX-Injected: yes\r\n\r\n", "$(touch " + mark() + ")", "`touch " + mark() + "`; touch " + mark(),
		"${SHELL(touch " + mark() + ")}", "&PJSIP/+4915112345678@trunk", "{{.Key}}${{7*7}}", "<script>window.pwned=1</script>", `"><img src=x onerror="window.pwned=1">`, "javascript:window.pwned=1",
		"\x1b[31mred\x1b]0;title\x07", "%n%s%x%p", "../../../../etc/passwd", "\u202egnitirw", strings.Repeat("A", 5000), "- [*anchor, !!binary x]", "\x00", "\xff\xfe",
	}
}

// Every string that a caller, a client, an advisor, a site or an administrator can choose
// is tried with all of them. Each is refused with an error that says so, or kept as it
// was said; and nobody takes it for their own.
func TestInjection(t *testing.T) {
	s := newScene(t)
	_ = os.Remove(mark()) // of an earlier failure
	c, a := s.newCaller("Blue Heron", 100_00), s.newAdvisor("Injected", "")
	s.verify(a)
	s.end(s.talk(c, a))
	calls, err := admin.Calls(s.ctx, url.Values{"client": {c.ID}})
	s.must(err)
	clients := s.count(`SELECT count(*) FROM clients`)
	taken, refused := 0, 0
	for n, words := range hostile()[:amount(11, len(hostile()))] {
		quoted, err := json.Marshal(words)
		s.must(err)
		in := func(template string) string { return strings.ReplaceAll(template, "WORDS", string(quoted)) }
		path := url.PathEscape(words)
		for _, try := range []struct {
			by                 client.Client
			method, path, body string
		}{
			{admin, "POST", "/v1/clients", in(fmt.Sprintf(`{"alias": WORDS, "phone": "+49151%08d", "currency": "EUR"}`, 60000000+n))},
			{admin, "POST", "/v1/clients", in(`{"alias": "x", "phone": WORDS, "currency": "EUR"}`)},
			{admin, "POST", "/v1/advisors", in(`{"name": WORDS}`)},
			{admin, "POST", "/v1/advisors/" + a.ID + "/tokens", in(`{"holder": WORDS}`)},
			{a.app, "PATCH", "/v1/advisors/" + a.ID, in(`{"words": WORDS}`)},
			{a.app, "PATCH", "/v1/advisors/" + a.ID, in(`{"topics": [WORDS]}`)},
			{a.app, "PUT", "/v1/advisors/" + a.ID + "/hours", in(`{"zone": WORDS}`)},
			{a.app, "POST", "/v1/advisors/" + a.ID + "/lines", in(`{"kind": "phone", "address": WORDS}`)},
			{a.app, "PUT", "/v1/advisors/" + a.ID + "/clients/" + c.ID + "/note", in(`{"note": WORDS}`)},
			{c.session, "POST", "/v1/talk", in(`{"advisor": "` + a.ID + `", "topic": WORDS}`)},
			{c.session, "POST", "/v1/queue", in(`{"advisor": "` + a.ID + `", "mode": "page", "topic": WORDS}`)},
			{c.session, "POST", "/v1/appointments", in(`{"advisor": "` + a.ID + `", "starts_at": "2030-01-01T10:00:00Z", "zone": WORDS, "seconds": 60, "mode": "dial_in", "topic": WORDS}`)},
			{site, "POST", "/v1/deposits", in(`{"client": "` + c.ID + `", "payment": WORDS, "amount": 100, "currency": "EUR"}`)},
			{site, "POST", "/v1/webhooks", in(`{"url": WORDS}`)},
			{site, "PUT", "/v1/clients/" + c.ID + "/payment-method", in(`{"reference": WORDS, "label": WORDS}`)},
			{admin, "POST", "/v1/plans/check", in(`{"text": WORDS}`)},
			{admin, "POST", "/v1/plans", in(`{"text": WORDS, "note": WORDS}`)},
			{admin, "POST", "/v1/adjustments", in(`{"kind": "refund", "call": "` + calls[0].ID + `", "amount": 1, "reason": WORDS}`)},
			{admin, "POST", "/v1/calls/" + calls[0].ID + "/end", in(`{"reason": WORDS}`)},
			{admin, "GET", "/v1/clients?alias=" + url.QueryEscape(words), ""},
			{admin, "GET", "/v1/audit-log?who=" + url.QueryEscape(words), ""},
			{admin, "GET", "/v1/calls?disposition=" + url.QueryEscape(words), ""},
			{admin, "GET", "/v1/clients/" + path, ""},
			{admin, "DELETE", "/v1/loans/" + path, ""},
			{c.session, "GET", "/v1/talk/" + path, ""},
			{c.session, "GET", "/v1/events?after=" + url.QueryEscape(words), ""},
		} {
			status, body := s.do(try.method, try.by, try.path, try.body)
			for status == 429 { // asked too fast: that says nothing about the words
				time.Sleep(time.Second)
				status, body = s.do(try.method, try.by, try.path, try.body)
			}
			switch {
			case status >= 500:
				s.Errorf("%s %s with %.60q: %d %s", try.method, try.path, words, status, body)
			case status >= 400:
				refused++
			default:
				taken++
			}
		}
		if status, _ := s.get(a.app, "/v1/advisors/"+a.ID+"/clients/"+c.ID+"/note"); status != 200 {
			s.Errorf("after %.60q the note is answered %d", words, status)
		}
	}
	s.heardByTelephone(c, a)
	s.readInPages(c, a)

	if _, err := os.Stat(mark()); err == nil {
		s.Error("a hostile word was run")
	}
	for line := range strings.Lines(shared.Log()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			s.Errorf("a line of the log is not the program's: %q", line)
		} else if entry["msg"] == "injected" {
			s.Errorf("a line of the log was injected: %s", line)
		}
	}
	if now := s.count(`SELECT count(*) FROM clients`); now < clients {
		s.Errorf("of %d clients %d are left", clients, now)
	}
	record(t, fmt.Sprintf("%d hostile strings in every field of the API, in the caller's SIP headers, by the commands, in the pages", len(hostile())),
		"%d requests refused, %d taken as words; nothing run, no log line, header or element of a page injected", refused, taken)
	s.clean()
}

// heardByTelephone has a caller with hostile names, known to us by a hostile alias and
// asking for a hostile topic: the advisor's phone is shown none of it.
func (s *scene) heardByTelephone(c *caller, a *advisor) {
	s.Helper()
	for _, words := range hostile() {
		words = strings.ReplaceAll(words, "\x00", "\x01") // no argument holds NUL
		_, err := shared.Parley(s.ctx, "client", "add", "--alias", words, "--phone", newNumber())
		if strings.ContainsAny(words, "\n\r\x01\x1b\u202e\xff") != (err != nil) && len(words) < 80 {
			s.Errorf("the command, with the alias %q: %v", words, err)
		}
	}
	number := newNumber()
	shown := &stage.Client{Number: number}
	s.must(shared.ParleyJSON(s.ctx, shown, "client", "add", "--alias", "-o $(touch "+mark()+")'; <b>${SHELL(id)}", "--phone", number))
	_, err := shared.Parley(s.ctx, "client", "deposit", shown.ID, "2000", "--payment", "pay-"+shown.ID)
	s.must(err)
	c = &caller{Client: shown}
	c.Phone = shared.Carrier.Phone(number)
	loan, err := shared.Lend(s.ctx, c.Client, a.Advisor)
	s.must(err)
	t := s.talkBy(c.Phone, loan.DID, a, "#", phone.DisplayName("\"><script>${SHELL(touch "+mark()+")}"), phone.Header("X-Anything", "${SHELL(touch "+mark()+")}"),
		phone.Header("Subject", "'; DROP TABLE calls; --"), phone.Header("User-Agent", "{{.Key}}%n%n%n"))
	for _, message := range t.advisor.Messages() {
		for _, word := range []string{"script", "SHELL", "DROP", "{{", "touch"} {
			if strings.Contains(message, word) {
				s.Errorf("the advisor's phone is sent %s:\n%s", word, message)
			}
		}
	}
	s.end(t)
}

// readInPages puts HTML where it is taken, and looks at the pages that show it.
func (s *scene) readInPages(c *caller, a *advisor) {
	s.Helper()
	const script = `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>`
	words := "Seen in pages: " + script
	_, err := a.app.ChangeAdvisor(s.ctx, a.ID, client.AdvisorChange{Words: &words})
	s.must(err)
	s.must(a.app.SetNote(s.ctx, a.ID, c.ID, words))
	s.must(a.app.SetPresence(s.ctx, a.ID, true))
	// Pages exchange the tokens that they are opened with.
	session, err := site.NewSession(s.ctx, key(), c.ID, time.Hour)
	s.must(err)
	app, err := admin.NewAdvisorToken(s.ctx, key(), a.ID, a.Name, time.Hour)
	s.must(err)
	desk, err := shared.API(s.ctx, "--role", "admin", "--holder", "Ada")
	s.must(err)
	dir := s.TempDir()
	chrome, err := browser.Start(s.ctx, "../../web", dir, 500)
	s.must(err)
	defer chrome.Close()
	for path, shows := range map[string]string{
		"/#token=" + session.Secret:             "Injected",
		"/app/#token=" + app.Secret:             "",
		"/desk/#token=" + desk.Token:            "Calls",
		"/docs":                                 "Parley",
		"/desk/" + url.PathEscape(script):       "",
		"/?next=" + url.QueryEscape(script):     "",
		"/app/#" + url.PathEscape(script):       "",
		"/v1/clients/" + url.PathEscape(script): "",
	} {
		page, err := chrome.Open(s.ctx, shared.URL+path, browser.Desk)
		s.must(err)
		if shows != "" {
			s.must(page.See(s.ctx, shows))
		}
		var pwned bool
		s.must(page.Run(s.ctx, "window.pwned === 1", &pwned))
		if pwned {
			s.Errorf("a hostile word was run in %s", path)
		}
		s.must(page.Close(s.ctx))
	}
}

// Numbers that cost the host money when they are rung are neither written down nor rung,
// whoever says them and however they are written.
func TestTollTraps(t *testing.T) {
	s := newScene(t)
	c, a := s.newCaller("Trapped", 100_00), s.newAdvisor("Trap", newNumber())
	numbers := []string{"+49900123456", "+4913712345", "+491801234567", "+88213123456", "+8835100123456", "+870773123456", "+99912345678", "+1900555123", "+448712345678", "+2521234567",
		"+53512345678", "+5351234567;ext=1", "+49 900 123456", "0049900123456", "+49151\n900", "+49900123456@evil.example", "112", "+112", "110", "*21*+49900123456#"}
	let := 0
	for _, number := range numbers {
		body := func(format string) string {
			quoted, err := json.Marshal(number)
			s.must(err)
			return fmt.Sprintf(format, quoted)
		}
		for _, try := range []struct {
			by                 client.Client
			method, path, body string
		}{
			{a.app, "POST", "/v1/advisors/" + a.ID + "/lines", body(`{"kind": "phone", "address": %s}`)},
			{a.app, "PUT", "/v1/lines/" + a.Line, body(`{"kind": "phone", "address": %s}`)},
			{c.session, "POST", "/v1/appointments", body(`{"advisor": "` + a.ID + `", "starts_at": "` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `", "zone": "UTC", "seconds": 60, "mode": "host_calls", "phone": %s}`)},
		} {
			if status, answer := s.do(try.method, try.by, try.path, try.body); status < 400 || status >= 500 {
				let++
				s.Errorf("%s %s with %q: %d %s", try.method, try.path, number, status, answer)
			}
		}
		// Whoever calls us may call from anywhere; but we do not call there.
		if account, err := admin.AddClient(s.ctx, key(), client.NewClient{Alias: "Trap", Phone: number, Currency: "EUR"}); err == nil {
			session, err := site.NewSession(s.ctx, key(), account.ID, time.Hour)
			s.must(err)
			_, err = site.Deposit(s.ctx, key(), client.Deposit{Client: account.ID, Payment: "pay-" + account.ID, Amount: 100_00, Currency: "EUR"})
			s.must(err)
			_, err = client.Client{URL: shared.URL, Token: session.Secret}.AskAppointment(s.ctx, key(), client.AppointmentRequest{
				Advisor: a.ID, StartsAt: time.Now().Add(time.Hour).UTC(), Zone: "UTC", Seconds: 60, Mode: "host_calls"})
			var no *client.Problem
			if !errors.As(err, &no) || no.Status != 422 {
				let++
				s.Errorf("an appointment in which we call the client at %s: %v", number, err)
			}
		}
		if _, err := shared.Parley(s.ctx, "line", "add", a.ID, "--phone", number); err == nil {
			let++
			s.Errorf("the command takes %q for a line", number)
		}
	}
	record(t, fmt.Sprintf("%d premium, satellite, shared-cost, emergency and disguised numbers, as line, client's and appointment's", len(numbers)), "%d were taken", let)
}
