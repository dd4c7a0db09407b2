package abuse

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"parley/host/client"
)

// pair is a client and an advisor who must not learn of each other.
type pair struct {
	*scene
	client  *caller
	advisor *advisor
	alias   string

	toClient, toAdvisor        []string      // all SIP that each side was sent
	pageHeard, advisorAppHeard func() string // the events that each was told; they are not heard any more
	others                     []*pair       // the same advisor with other clients
}

// newPair has names that stand nowhere else.
func newPair(s *scene, byNumber bool) *pair {
	s.Helper()
	number := ""
	if byNumber {
		number = newNumber()
	}
	of := &pair{scene: s, advisor: s.newAdvisor("Name"+word(), number)}
	p := of.with(100_00)
	_, call := s.verify(p.advisor)
	p.sentAdvisor(call.Messages())
	s.must(p.advisor.app.SetPresence(s.ctx, p.advisor.ID, true))
	p.advisorAppHeard = s.listen(p.advisor.app)
	return p
}

// with is the advisor with another client, who has so much money.
func (p *pair) with(money int64) *pair {
	p.Helper()
	other := &pair{scene: p.scene, advisor: p.advisor, alias: "Alias" + word()}
	other.client = p.newCaller(other.alias, money)
	other.pageHeard = p.listen(other.client.session)
	p.others = append(p.others, other)
	return other
}

// word is one that stands nowhere else.
func word() string { return strings.ToLower(rand.Text()[:8]) }

// all are the pair, and those with other clients.
func (p *pair) all() []*pair { return append([]*pair{p}, p.others...) }

func (p *pair) sentClient(messages []string)  { p.toClient = append(p.toClient, messages...) }
func (p *pair) sentAdvisor(messages []string) { p.toAdvisor = append(p.toAdvisor, messages...) }

// national is what a number has in common however it is written.
func national(number string) string { return strings.TrimPrefix(number, "+49") }

// leaks are the messages that tell a side of the other.
func (p *pair) leaks() (found []string) {
	for _, side := range []struct {
		name             string
		messages, secret []string
	}{
		{"the advisor", p.toAdvisor, []string{national(p.client.Number), p.client.ID, "Secret Client", "secret-client", p.alias}},
		{"the client", p.toClient, []string{p.advisor.ID, p.advisor.Line, p.advisor.Name, national(p.advisor.Number), advisorsHost}},
	} {
		for _, message := range side.messages {
			for _, secret := range side.secret {
				if secret != "" && strings.Contains(message, secret) {
					found = append(found, fmt.Sprintf("%s is told %q:\n%s", side.name, secret, message))
				}
			}
		}
	}
	return found
}

// settled waits until the client's last call has given back what it held.
func (p *pair) settled() {
	p.Helper()
	p.await("the last call is settled", func() bool {
		account, err := p.client.session.Account(p.ctx, p.client.ID)
		p.must(err)
		return account.Held == 0
	})
}

// told adds what a talk's phones have received.
func (p *pair) told(t talk) {
	if t.client != nil {
		p.sentClient(t.client.Messages())
	}
	if t.advisor != nil {
		p.sentAdvisor(t.advisor.Messages())
	}
}

// In calls of every kind neither side is sent anything of the other by SIP; nor do the
// API and the events tell it.
func TestNeitherSideLearnsOfTheOther(t *testing.T) {
	s := newSceneBeside(t)
	pairs := make([]*pair, amount(3, 8))
	for i := range pairs {
		pairs[i] = newPair(s, i%2 == 1)
	}
	var calls atomic.Int64
	looked := 0
	rounds := amount(1, 2)
	inTurn(len(pairs), len(pairs), func(i int) {
		p := pairs[i]
		for range rounds {
			for k, kind := range kinds {
				if !*long && k%len(pairs) != i && kind.name != kinds[0].name {
					continue // the short form shares the kinds among the pairs
				}
				p.settled()
				kind.run(p)
				calls.Add(1)
			}
		}
	})
	if s.Failed() {
		s.FailNow()
	}
	for _, p := range pairs {
		if len(p.toClient) < 5 || len(p.toAdvisor) < 5 {
			s.Fatalf("only %d and %d messages were seen", len(p.toClient), len(p.toAdvisor))
		}
		for _, p := range p.all() {
			looked += len(p.toClient) + len(p.toAdvisor)
			for _, leak := range p.leaks() {
				s.Error(leak)
			}
		}
		p.api()
	}
	// The search can fail: a message that names the other is found.
	planted := pair{alias: pairs[0].alias, client: pairs[0].client, advisor: pairs[0].advisor}
	planted.toAdvisor = []string{"INVITE sip:x SIP/2.0\r\nP-Asserted-Identity: <sip:" + pairs[0].client.Number + "@x>\r\n"}
	if len(planted.leaks()) == 0 {
		s.Error("a planted leak is not found")
	}
	record(t, fmt.Sprintf("%d calls of %d kinds, by SIP phones and by telephone numbers", calls.Load(), len(kinds)),
		"%d SIP messages at both legs, the API and the events name the other side nowhere; a planted name is found", looked)
	s.clean()
}

// listen gathers the events that an app or a page is told, until what it returns is called.
func (s *scene) listen(by client.Client) (heard func() string) {
	ctx, cancel := context.WithCancel(s.ctx)
	var text strings.Builder
	var all sync.WaitGroup
	all.Go(func() {
		for event, err := range by.Events(ctx, "") {
			if err != nil {
				return
			}
			fmt.Fprintf(&text, "%+v\n", event)
		}
	})
	return func() string { cancel(); all.Wait(); return text.String() }
}

// answered is what a path tells, which it must.
func (s *scene) answered(by client.Client, path string) string {
	s.Helper()
	status, text := s.get(by, path)
	if status != 200 {
		s.Errorf("%s is answered %d", path, status)
	}
	return text
}

// api looks at all that the advisor's app and the clients' pages can be told of the other.
func (p *pair) api() {
	p.Helper()
	advisors := p.advisorAppHeard()
	if !strings.Contains(advisors, "talk") && !strings.Contains(advisors, "call") {
		p.Errorf("the app heard of no call: %q", advisors)
	}
	for _, path := range []string{"/calls", "/clients", "/earnings", "/queue", "/blocks", "/lines"} {
		advisors += p.answered(p.advisor.app, "/v1/advisors/"+p.advisor.ID+path)
	}
	advisors += p.answered(p.advisor.app, "/v1/appointments")
	for _, p := range p.all() {
		if strings.Contains(advisors, national(p.client.Number)) {
			p.Errorf("the advisor's app is told the client's number:\n%s", advisors)
		}
		clients := p.pageHeard()
		if !strings.Contains(clients, "talk") && !strings.Contains(clients, "call") {
			p.Errorf("the page heard of no call: %q", clients)
		}
		for _, path := range []string{"/v1/advisors/" + p.advisor.ID, "/v1/advisors", "/v1/clients/" + p.client.ID + "/receipts", "/v1/clients/" + p.client.ID + "/queue", "/v1/appointments"} {
			clients += p.answered(p.client.session, path)
		}
		for _, secret := range []string{p.advisor.Line, national(p.advisor.Number)} {
			if secret != "" && strings.Contains(clients, secret) {
				p.Errorf("the client's page is told %q:\n%s", secret, clients)
			}
		}
	}
}

// Codes that were shown and keyed stand nowhere afterwards: no log, table, event, notice or
// file of Asterisk's.
func TestCodesAreKeptNowhere(t *testing.T) {
	s := newSceneBeside(t)
	verifications := amount(6, 100)
	lines := make([]*advisor, (verifications+3)/4)
	inTurn(len(lines), 4, func(i int) { lines[i] = s.newAdvisor(fmt.Sprintf("Coded %d", i), newNumber()) })
	var mu sync.Mutex
	var codes []string
	inTurn(len(lines), amount(3, 6), func(i int) {
		for range 4 { // a line is called five times an hour
			mu.Lock()
			enough := len(codes) >= verifications
			mu.Unlock()
			if enough {
				return
			}
			code, _ := s.verify(lines[i])
			mu.Lock()
			codes = append(codes, code)
			mu.Unlock()
		}
	})
	if s.Failed() || len(codes) < verifications {
		s.Fatalf("%d verifications", len(codes))
	}
	const planted = "735391"
	_, err := site.Deposit(s.ctx, key(), client.Deposit{Client: s.newCaller("Planted", 0).ID, Payment: "planted-" + planted, Amount: 100, Currency: "EUR"})
	s.must(err)
	places := s.everywhere()
	for where, text := range places {
		for _, code := range standing(text, codes) {
			s.Errorf("%s has the code %s", where, code)
		}
	}
	if len(standing(places["the database"], []string{planted})) == 0 {
		s.Error("a code that was planted in the database is not found")
	}
	if log := shared.Program.LogFile(); len(standing(places[log]+"\n{\"digits\":\""+planted+"\"}", []string{planted})) == 0 {
		s.Error("a code that was planted in the log is not found")
	}
	record(t, fmt.Sprintf("%d verifications by telephone; then %d logs, tables and files", len(codes), len(places)), "none holds a code; a planted one is found")
}

var sixDigits = regexp.MustCompile(`[0-9]+`)

// standing are the codes that a text holds by themselves: not within a longer number, a
// hash, or the fraction of a second.
func standing(text string, codes []string) (found []string) {
	wanted := map[string]bool{}
	for _, code := range codes {
		wanted[code] = true
	}
	for _, at := range sixDigits.FindAllStringIndex(text, -1) {
		code := text[at[0]:at[1]]
		if !wanted[code] || at[0] > 0 && touches(text[at[0]-1], true) || at[1] < len(text) && touches(text[at[1]], false) {
			continue
		}
		found = append(found, code)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func touches(b byte, before bool) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || before && b == '.'
}
