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
	"time"

	"parley/host/client"
	"parley/lab/phone"
)

// pair is a client and an advisor who must not learn of each other.
type pair struct {
	*scene
	client  *caller
	advisor *advisor
	alias   string
	by      *phone.Phone // whence the client calls

	toClient, toAdvisor []string // all SIP that each side was sent
}

// newPair has names that stand nowhere else.
func newPair(s *scene, byNumber bool) *pair {
	s.Helper()
	word := strings.ToLower(rand.Text()[:8])
	number := ""
	if byNumber {
		number = newNumber()
	}
	p := &pair{scene: s, alias: "Alias" + word, client: s.newCaller("Alias"+word, 100_00), advisor: s.newAdvisor("Name"+word, number)}
	p.by = p.client.Phone
	s.verify(p.advisor)
	return p
}

func (p *pair) sentClient(messages []string)  { p.toClient = append(p.toClient, messages...) }
func (p *pair) sentAdvisor(messages []string) { p.toAdvisor = append(p.toAdvisor, messages...) }

// leaks are the messages that tell a side of the other.
func (p *pair) leaks() (found []string) {
	phoneOf := strings.TrimPrefix(p.client.Number, "+")
	for _, side := range []struct {
		name             string
		messages, secret []string
	}{
		{"the advisor", p.toAdvisor, []string{phoneOf, p.client.ID, "Secret Client", "secret-client", p.alias}},
		{"the client", p.toClient, []string{p.advisor.ID, p.advisor.Line, p.advisor.Name, strings.TrimPrefix(p.advisor.Number, "+"), advisorsHost}},
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

// told adds what a talk's phones have received.
func (p *pair) told(t talk) {
	if t.client != nil {
		p.sentClient(t.client.Messages())
	}
	if t.advisor != nil {
		p.sentAdvisor(t.advisor.Messages())
	}
}

// kinds of calls: how each goes, up to its end.
var kinds = []struct {
	name string
	run  func(p *pair)
}{
	{"a talk that the client ends", func(p *pair) {
		t := p.scene.talk(p.client, p.advisor, p.shown()...)
		p.end(t)
		p.told(t)
	}},
	{"a talk that the advisor ends", func(p *pair) {
		t := p.scene.talk(p.client, p.advisor, p.shown()...)
		p.must(t.advisor.Hangup(p.ctx))
		p.ends(t.client)
		p.told(t)
	}},
	{"a client with a withheld number, and the PIN", func(p *pair) {
		loan, err := shared.Lend(p.ctx, p.client.Client, p.advisor.Advisor)
		p.must(err)
		call, err := p.by.Dial(p.ctx, loan.DID, phone.Withheld())
		p.must(err)
		p.hears(call, "enter-pin")
		p.must(call.Keys(p.ctx, loan.PIN+"#"))
		t := p.joined(call, p.advisor)
		p.end(t)
		p.told(t)
	}},
	{"an advisor who is busy", func(p *pair) { p.unanswered(phone.Busy()) }},
	{"an advisor who declines", func(p *pair) { p.unanswered(phone.Decline()) }},
	{"an advisor's voicemail", func(p *pair) { p.unanswered(phone.Voicemail(200 * time.Millisecond)) }},
	{"a client who leaves while it rings", func(p *pair) {
		loan, err := shared.Lend(p.ctx, p.client.Client, p.advisor.Advisor)
		p.must(err)
		call, err := p.by.Dial(p.ctx, loan.DID, p.shown()...)
		p.must(err)
		p.must(call.Keys(p.ctx, "#"))
		ringing, err := p.advisor.Phone.Accept(p.ctx)
		p.must(err)
		p.must(ringing.Ring())
		p.must(call.Hangup(p.ctx))
		<-ringing.Ended()
		p.sentClient(call.Messages())
		p.sentAdvisor(ringing.Messages())
	}},
	{"a verification", func(p *pair) {
		_, call := p.verify(p.newAdvisor("Newcomer", newNumber())) // a line is called five times an hour
		p.sentAdvisor(call.Messages())
	}},
	{"an appointment: both are called", func(p *pair) { p.appointment() }},
}

// shown is a caller's name and number, and where the call has been, in every header that
// tells of them: none must be passed on.
func (p *pair) shown() []phone.DialOption {
	self := "\"Secret Client\" <sip:" + p.client.Number + "@carrier.example>"
	return []phone.DialOption{phone.DisplayName("Secret Client"), phone.Header("P-Asserted-Identity", self), phone.Header("Remote-Party-ID", self+";party=calling"),
		phone.Header("Diversion", "<sip:secret-client@example.com>;reason=unconditional"), phone.Header("History-Info", "<sip:secret-client@example.com>;index=1"),
		phone.Header("Subject", "Secret Client"), phone.Header("Call-Info", "<http://secret-client.example.com/>")}
}

// unanswered is a call that the advisor's phone deals with by itself.
func (p *pair) unanswered(policy phone.Policy) {
	var ringing []string
	var mu sync.Mutex
	p.advisor.Phone.OnCall(func(in *phone.Incoming) {
		mu.Lock()
		ringing = append(ringing, in.Messages()...)
		mu.Unlock()
		policy(in)
	})
	defer p.advisor.Phone.OnCall(nil)
	loan, err := shared.Lend(p.ctx, p.client.Client, p.advisor.Advisor)
	p.must(err)
	call, err := p.by.Dial(p.ctx, loan.DID, p.shown()...)
	p.must(err)
	p.must(call.Keys(p.ctx, "#"))
	p.ends(call)
	p.sentClient(call.Messages())
	mu.Lock()
	defer mu.Unlock()
	if len(ringing) == 0 {
		p.Error("the advisor was not rung")
	}
	p.sentAdvisor(ringing)
}

// appointment is made for soon; we call the client, then the advisor.
func (p *pair) appointment() {
	asked, err := p.client.session.AskAppointment(p.ctx, key(), client.AppointmentRequest{Advisor: p.advisor.ID, StartsAt: time.Now().Add(6 * time.Second).Truncate(time.Second),
		Zone: "UTC", Seconds: 20, Mode: "host_calls", Topic: "a cat"})
	p.must(err)
	_, err = p.advisor.app.AcceptAppointment(p.ctx, key(), asked.ID)
	p.must(err)
	first := p.answer(p.by)
	p.must(first.Keys(p.ctx, "1#"))
	second := p.answer(p.advisor.Phone)
	p.must(second.Keys(p.ctx, "1"))
	second.Tone(advisorTone)
	p.must(first.HearsTone(p.ctx, advisorTone, patience))
	t := talk{first, second}
	p.end(t)
	p.told(t)
}

// In calls of every kind neither side is sent anything of the other by SIP; nor do the
// API and the events tell it.
func TestNeitherSideLearnsOfTheOther(t *testing.T) {
	s := newSceneBeside(t)
	pairs := []*pair{newPair(s, false), newPair(s, true)}
	if *long {
		pairs = append(pairs, newPair(s, false), newPair(s, true), newPair(s, false), newPair(s, true))
	}
	heard := map[*pair]func() string{}
	for _, p := range pairs {
		heard[p] = p.listen()
	}
	var calls, looked atomic.Int64
	rounds := amount(1, 4)
	inTurn(len(pairs), len(pairs), func(i int) {
		p := pairs[i]
		for range rounds {
			for k, kind := range kinds {
				if !*long && k%len(pairs) != i && kind.name != kinds[0].name {
					continue // the short form shares the kinds among the pairs
				}
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
		looked.Add(int64(len(p.toClient) + len(p.toAdvisor)))
		for _, leak := range p.leaks() {
			s.Error(leak)
		}
		p.api(heard[p]())
	}
	// The search can fail: a message that names the other is found.
	planted := pair{alias: pairs[0].alias, client: pairs[0].client, advisor: pairs[0].advisor}
	planted.toAdvisor = []string{"INVITE sip:x SIP/2.0\r\nP-Asserted-Identity: <sip:" + pairs[0].client.Number + "@x>\r\n"}
	if len(planted.leaks()) == 0 {
		s.Error("a planted leak is not found")
	}
	record(t, fmt.Sprintf("%d calls of %d kinds, by SIP phones and by telephone numbers", calls.Load(), len(kinds)),
		"%d SIP messages at both legs, the API and the events name the other side nowhere; a planted name is found", looked.Load())
	s.clean()
}

// listen gathers the events that the advisor's app is told, until what it returns is called.
func (p *pair) listen() (heard func() string) {
	ctx, cancel := context.WithCancel(p.ctx)
	var text strings.Builder
	var all sync.WaitGroup
	all.Go(func() {
		for event, err := range p.advisor.app.Events(ctx, "") {
			if err != nil {
				return
			}
			fmt.Fprintf(&text, "%+v\n", event)
		}
	})
	return func() string { cancel(); all.Wait(); return text.String() }
}

// api looks at all that the advisor's app and the client's page can be told of the other.
func (p *pair) api(events string) {
	p.Helper()
	if !strings.Contains(events, "talk") && !strings.Contains(events, "call") {
		p.Errorf("the app heard of no call: %q", events)
	}
	advisors := events
	for _, path := range []string{"/calls", "/clients", "/earnings", "/queue", "/blocks", "/lines"} {
		_, text := p.get(p.advisor.app, "/v1/advisors/"+p.advisor.ID+path)
		advisors += text
	}
	number := strings.TrimPrefix(p.client.Number, "+")
	for _, secret := range []string{number, number[2:]} {
		if strings.Contains(advisors, secret) {
			p.Errorf("the advisor's app is told the client's number:\n%s", advisors)
		}
	}
	clients := ""
	for _, path := range []string{"/v1/advisors/" + p.advisor.ID, "/v1/advisors", "/v1/clients/" + p.client.ID + "/receipts", "/v1/appointments"} {
		_, text := p.get(p.client.session, path)
		clients += text
	}
	secrets := []string{p.advisor.Line}
	if p.advisor.Number != "" {
		secrets = append(secrets, strings.TrimPrefix(p.advisor.Number, "+"))
	}
	for _, secret := range secrets {
		if strings.Contains(clients, secret) {
			p.Errorf("the client's page is told %q:\n%s", secret, clients)
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
