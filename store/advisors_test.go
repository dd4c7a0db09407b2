package store

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
)

// talked is a call of a client with the town's advisor that has ended after some talk.
func (h *hosted) talked(client ivr.ClientID, talk time.Duration) ivr.CDR {
	h.t.Helper()
	o := opening(client, h.advisor, h.plan.Version)
	_, err := h.Hold(h.t.Context(), o)
	h.must(err)
	cdr := ended(o, talk)
	h.must(h.Close(h.t.Context(), cdr))
	return cdr
}

// claimChallenges claims the verification calls that nobody has placed.
func (h *hosted) claimChallenges() {
	h.t.Helper()
	for found := true; found; {
		var err error
		_, found, err = h.ClaimChallenge(h.t.Context())
		h.must(err)
	}
}

// Outside of an advisor's hours nobody is put through, and everybody is told when they
// begin: also a client whom the advisor blocks, who is not to learn of that.
func TestOutsideOfTheirHoursAnAdvisorIsAway(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	stranger, blocked := h.client(50_00), h.client(50_00)
	h.must(h.SetBlock(ctx, "test", ByAdvisor, blocked, h.advisor, true))
	var now time.Time
	h.must(h.db.Get(&now, `SELECT now()`))
	opens := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 2)
	hours := Hours{Zone: "UTC", Weekly: []Span{{opens.Weekday(), 0, hhmm(24, 0)}}}
	h.must(h.SetHours(ctx, "Ada", h.advisor, hours))
	for _, client := range []ivr.ClientID{stranger, blocked} {
		_, err := h.tap(client, h.advisor)
		var closed *OutOfHours
		if !errors.As(err, &closed) || !errors.Is(err, ErrAdvisorAway) || !closed.Next.Equal(opens) {
			t.Errorf("a tap: %v, next %+v, want %v", err, closed, opens)
		}
		s, err := h.AdvisorState(ctx, client, h.advisor)
		if err != nil || s.State != Away || !s.NextAt.Equal(opens) || !s.OnLine {
			t.Errorf("seen as %+v, %v", s, err)
		}
	}
	if _, err := h.tap(h.client(1), h.advisor); !errors.As(err, new(*ivr.NoFunds)) {
		t.Errorf("money comes first: %v", err)
	}
	got, next, err := h.Hours(ctx, h.advisor)
	if err != nil || !reflect.DeepEqual(got, hours) || !next.Equal(opens) {
		t.Errorf("the hours are %+v, next %v, %v", got, next, err)
	}
	h.must(h.SetHours(ctx, "Ada", h.advisor, Hours{}))
	h.state(stranger, Free)
	h.state(blocked, Away)
	if s, err := h.AdvisorState(ctx, blocked, h.advisor); err != nil || !s.NextAt.IsZero() {
		t.Errorf("a block looks like %+v, %v", s, err)
	}
	_, err = h.tap(stranger, h.advisor)
	h.must(err)
	if err := h.SetHours(ctx, "Ada", h.advisor, Hours{Zone: "Europe/Atlantis"}); err == nil {
		t.Error("hours of no zone are kept")
	}
	if err := h.SetHours(ctx, "Ada", "adv_none", Hours{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("hours of nobody: %v", err)
	}
}

func TestAnAdvisorChangesOnlyWhatIsSaid(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	words, languages, price, talk := "Cats, and what they mean.", []string{"de", "en"}, money.Amount(250), 10*time.Minute
	h.must(h.ChangeAdvisor(ctx, "Ada", h.advisor, AdvisorChange{Words: &words, Languages: &languages, PerMinute: &price, Predetermined: &talk}))
	name, topics := "Maria II", []string{"cats"}
	h.must(h.ChangeAdvisor(ctx, "Ada", h.advisor, AdvisorChange{Name: &name, Topics: &topics}))
	s, err := h.AdvisorState(ctx, "", h.advisor)
	h.must(err)
	if want := (Profile{words, languages, topics}); !reflect.DeepEqual(s.Profile, want) || s.Name != name || s.Wish != (dialplan.Wish{PerMinute: price, Predetermined: talk}) {
		t.Errorf("the advisor is %+v", s)
	}
	log, err := h.Log(ctx, string(h.advisor), 10)
	h.must(err)
	if len(log) != 2 || log[1].Detail["per_minute"] != "250" || log[1].Who != "Ada" {
		t.Errorf("the log says %+v", log)
	}
	if err := h.ChangeAdvisor(ctx, "Ada", "adv_none", AdvisorChange{Name: &name}); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody is changed: %v", err)
	}
	request := Request{h.site, "add-1", "Berta"}
	id, err := h.RequestAdvisor(ctx, request, "Ada", "Berta", AdvisorChange{Words: &words})
	h.must(err)
	again, err := h.RequestAdvisor(ctx, request, "Ada", "Berta", AdvisorChange{Words: &words})
	if err != nil || again != id {
		t.Errorf("the same request adds %s and %s, %v", id, again, err)
	}
	if s, err := h.AdvisorState(ctx, "", id); err != nil || s.Profile.Words != words || s.State != Away {
		t.Errorf("added %+v, %v", s, err)
	}
	h.clean()
}

// A retired line is rung no more: not for a loan that was made before, not to verify it.
func TestARetiredLineIsNeverRungAgain(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	talk, err := h.tap(h.client(50_00), h.advisor)
	h.must(err)
	h.claimChallenges()
	challenge, code, err := h.CreateChallenge(ctx, h.line)
	h.must(err)
	if err := h.RetireLine(ctx, "Ada", "adv_other", h.line); !errors.Is(err, ErrNotFound) {
		t.Errorf("another advisor retires it: %v", err)
	}
	for range 2 {
		h.must(h.RetireLine(ctx, "Ada", h.advisor, h.line))
	}
	if loan, err := h.Loan(ctx, talk.Loan); err != nil || loan.Line.Verified || loan.Line.ID != h.line {
		t.Errorf("the loan of before has %+v, %v", loan.Line, err)
	}
	if err := h.Check(ctx, challenge, code, "call_1"); !errors.Is(err, ivr.ErrChallengeOver) {
		t.Errorf("the code of before: %v", err)
	}
	if _, found, err := h.ClaimChallenge(ctx); found || err != nil {
		t.Errorf("a call is placed: %v, %v", found, err)
	}
	if _, _, err := h.CreateChallenge(ctx, h.line); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is verified: %v", err)
	}
	if err := h.ChangeLine(ctx, "Ada", "", h.line, ivr.Phone, "+493012300001"); !errors.Is(err, ErrNotFound) {
		t.Errorf("it is changed: %v", err)
	}
	if lines, err := h.Lines(ctx, h.advisor); err != nil || len(lines) != 0 {
		t.Errorf("it is listed: %+v, %v", lines, err)
	}
	h.state("", Away)
	if _, err := h.superuser().Exec(`UPDATE lines SET verified_at = now(), verified_how = 'by hand'`); err == nil {
		t.Error("a retired line can be marked as verified")
	}
	h.clean()
}

// Whoever replaces a device gets another name and password, and Asterisk is to forget
// the ones before.
func TestAChangedDeviceHasOtherCredentials(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	request := Request{h.site, "line-1", "sip"}
	line, err := h.RequestLine(ctx, request, h.plan, "Ada", ivr.Line{Advisor: h.advisor, Kind: ivr.SIP})
	h.must(err)
	again, err := h.RequestLine(ctx, request, h.plan, "Ada", ivr.Line{Advisor: h.advisor, Kind: ivr.SIP})
	if err != nil || again != line {
		t.Errorf("the same request: %+v and %+v, %v", line, again, err)
	}
	var looked Cursor
	endpoints := func(want ...Endpoints) {
		t.Helper()
		got, _, err := h.Endpoints(ctx, Cursor{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Asterisk is to know %+v, %v; want %+v", got, err, want)
		}
		got, looked, err = h.Endpoints(ctx, looked)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("since the last look have changed %+v, %v; want %+v", got, err, want)
		}
	}
	endpoints(Endpoints{line.ID, ivr.SIP, 1, false})
	first := line.Endpoint()
	h.must(h.ChangeLine(ctx, "Ada", h.advisor, line.ID, ivr.App, ""))
	changed, err := h.Line(ctx, line.ID)
	h.must(err)
	if second := changed.Endpoint(); second == first || h.EndpointPassword(second) == h.EndpointPassword(first) || changed.Kind != ivr.App {
		t.Errorf("%s became %s", first, second)
	}
	endpoints(Endpoints{line.ID, ivr.App, 2, false})
	h.must(h.ChangeLine(ctx, "Ada", "", line.ID, ivr.Phone, "+493012300001"))
	endpoints(Endpoints{line.ID, ivr.Phone, 3, false})
	h.must(h.RetireLine(ctx, "Ada", "", line.ID))
	endpoints(Endpoints{line.ID, ivr.Phone, 3, true})
	// What is rung is the endpoint that was told.
	sip, err := h.RequestLine(ctx, Request{h.site, "line-2", "sip"}, h.plan, "Ada", ivr.Line{Advisor: h.advisor, Kind: ivr.SIP})
	h.must(err)
	h.must(h.ChangeLine(ctx, "Ada", "", sip.ID, ivr.SIP, ""))
	h.claimChallenges()
	_, _, err = h.CreateChallenge(ctx, sip.ID)
	h.must(err)
	sip, err = h.Line(ctx, sip.ID)
	h.must(err)
	if c, found, err := h.ClaimChallenge(ctx); err != nil || !found || c.Line.Address != sip.Endpoint() {
		t.Errorf("to be rung: %+v, %v", c.Line, err)
	}
	h.clean()
}

// Who looks for changed endpoints reads what has changed, also what was being written when
// they looked before; what does not change Asterisk is not read.
func TestOnlyChangedEndpointsAreRead(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	var lines []ivr.LineID
	for _, key := range []string{"line-no-1", "line-no-2"} {
		line, err := h.RequestLine(ctx, Request{h.site, key, "sip"}, h.plan, "Ada", ivr.Line{Advisor: h.advisor, Kind: ivr.SIP})
		h.must(err)
		lines = append(lines, line.ID)
	}
	var looked Cursor
	look := func() (changed []ivr.LineID) {
		t.Helper()
		list, next, err := h.Endpoints(ctx, looked)
		h.must(err)
		looked = next
		for _, l := range list {
			changed = append(changed, l.Line)
		}
		return changed
	}
	if got := look(); !slices.Equal(got, lines) {
		t.Errorf("the first look reads %v, want %v", got, lines)
	}
	// What is being written in all of Postgres holds a look back: it may read the same again.
	nothing := func(why string) {
		t.Helper()
		var got []ivr.LineID
		for range 100 {
			if got = look(); len(got) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("%s: %v are read again and again", why, got)
	}
	nothing("looked at before")
	challenge, code, err := h.CreateChallenge(ctx, lines[0])
	h.must(err)
	h.must(h.Check(ctx, challenge, code, "call_1"))
	if got := look(); len(got) > 0 {
		t.Errorf("a verified line is another endpoint: %v", got)
	}
	// A change that is not committed when others are looked at.
	late, err := h.db.Beginx()
	h.must(err)
	defer late.Rollback()
	_, err = late.Exec(`UPDATE lines SET generation = generation + 1, verified_at = NULL, verified_how = NULL WHERE id = $1`, lines[0])
	h.must(err)
	h.must(h.ChangeLine(ctx, "Ada", "", lines[1], ivr.App, ""))
	if got := look(); !slices.Equal(got, lines[1:]) {
		t.Errorf("read %v, want %v", got, lines[1:])
	}
	h.must(late.Commit())
	if got := look(); !slices.Contains(got, lines[0]) {
		t.Errorf("a change that was committed late is not read: %v", got)
	}
	nothing("looked at in the end")
}

// Only numbers that the plan allows are called: when a line is added, and again when it is
// verified. A line bears five calls in an hour; then it is said until when to wait.
func TestVerificationCallsAreBounded(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	var not *dialplan.NotCallable
	if _, err := h.RequestLine(ctx, Request{h.site, "line-1", ""}, h.plan, "Ada", ivr.Line{Advisor: h.advisor, Kind: ivr.Phone, Address: "+4915112345601"}); !errors.As(err, &not) {
		t.Errorf("a number that the plan does not name: %v", err)
	}
	if _, err := h.RequestChallenge(ctx, Request{h.site, "verify-1", ""}, h.plan, h.advisor, h.line); !errors.As(err, &not) {
		t.Errorf("a number that the plan does not name any more: %v", err)
	}
	h.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile, dialplan.Fixed}}
	line, err := h.RequestLine(ctx, Request{h.site, "line-1", ""}, h.plan, "Ada", ivr.Line{Advisor: h.advisor, Kind: ivr.Phone, Address: "+4915112345601"})
	h.must(err)
	if _, err := h.RequestChallenge(ctx, Request{h.site, "verify-2", ""}, h.plan, "adv_other", line.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another advisor's line: %v", err)
	}
	var first Challenge
	for n := range challengeCalls {
		request := Request{h.site, "verify-it-" + string(rune('a'+n)), ""}
		c, err := h.RequestChallenge(ctx, request, h.plan, h.advisor, line.ID)
		h.must(err)
		again, err := h.RequestChallenge(ctx, request, h.plan, h.advisor, line.ID)
		if err != nil || again.ID != c.ID || again.Code != c.Code || len(c.Code) != 6 {
			t.Errorf("the same request: %+v and %+v, %v", c, again, err)
		}
		if n == 0 {
			first = c
		}
	}
	var later *VerifyLater
	_, err = h.RequestChallenge(ctx, Request{h.site, "verify-too-much", ""}, h.plan, h.advisor, line.ID)
	if !errors.As(err, &later) || !errors.Is(err, ivr.ErrTooManyTries) || time.Until(later.At) < 55*time.Minute || time.Until(later.At) > time.Hour {
		t.Errorf("a sixth call: %v, %+v", err, later)
	}
	if _, err := h.ChallengeOf(ctx, "adv_other", first.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another advisor's verification: %v", err)
	}
	h.must(h.Check(ctx, first.ID, first.Code, "call_1"))
	if r, err := h.ChallengeOf(ctx, h.advisor, first.ID); err != nil || r.State != ChallengeVerified {
		t.Errorf("it is %+v, %v", r, err)
	}
}

// A greeting is named in the loan by its content: another one is another name.
func TestGreetingsAreNamedInLoans(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	talk, err := h.tap(h.client(50_00), h.advisor)
	h.must(err)
	greeting := func() ivr.Prompt {
		loan, err := h.Loan(ctx, talk.Loan)
		h.must(err)
		return loan.Greeting
	}
	if g := greeting(); g != "" {
		t.Errorf("without one it is %q", g)
	}
	version, err := h.SetAdvisorFile(ctx, "Ada", h.advisor, Greeting, []byte("hello"))
	h.must(err)
	name := string(h.advisor) + "/" + version
	if g := greeting(); g != ivr.Prompt("greeting:"+name) {
		t.Errorf("the loan has %q, want greeting:%s", g, name)
	}
	if audio, err := h.GreetingNamed(ctx, name); err != nil || string(audio) != "hello" {
		t.Errorf("it is %q, %v", audio, err)
	}
	_, err = h.SetAdvisorFile(ctx, "Ada", h.advisor, Greeting, []byte("good day"))
	h.must(err)
	for _, gone := range []string{name, "../etc", "adv_none/00ff"} {
		if _, err := h.GreetingNamed(ctx, gone); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	h.must(errOf(h.SetAdvisorFile(ctx, "Ada", h.advisor, Greeting, nil)))
	if g := greeting(); g != "" {
		t.Errorf("taken back it is %q", g)
	}
	if _, err := h.AdvisorFile(ctx, h.advisor, Greeting); !errors.Is(err, ErrNotFound) {
		t.Errorf("taken back: %v", err)
	}
	if _, err := h.SetAdvisorFile(ctx, "Ada", "adv_none", Picture, []byte("x")); !errors.Is(err, ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}

func errOf[T any](_ T, err error) error { return err }

// Notes are about clients with whom the advisor has to do, and only readable with the key.
func TestNotesAreSealedAndAboutOnesOwn(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client, stranger := h.client(50_00), h.client(50_00)
	h.talked(client, time.Minute)
	note, at, err := h.Note(ctx, h.advisor, client)
	if err != nil || note != "" || !at.IsZero() {
		t.Errorf("before there is one: %q, %v, %v", note, at, err)
	}
	const secret = "Her cat is called Schroedinger."
	for _, text := range []string{"x", secret} {
		h.must(h.SetNote(ctx, h.advisor, client, text))
	}
	if note, at, err := h.Note(ctx, h.advisor, client); err != nil || note != secret || at.IsZero() {
		t.Errorf("it is %q, %v, %v", note, at, err)
	}
	var sealed []byte
	h.must(h.db.Get(&sealed, `SELECT note_sealed FROM client_notes`))
	if bytes.Contains(sealed, []byte("cat")) {
		t.Error("the note is kept as it is")
	}
	for what, err := range map[string]error{
		"to write": h.SetNote(ctx, h.advisor, stranger, "x"), "to read": func() error { _, _, err := h.Note(ctx, h.advisor, stranger); return err }(),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("about a stranger, %s: %v", what, err)
		}
	}
	_, err = h.tap(stranger, h.advisor)
	h.must(err)
	h.must(h.SetNote(ctx, h.advisor, stranger, "Will call."))
	h.must(h.SetBlock(ctx, "Ada", ByAdvisor, client, h.advisor, true))
	list, err := h.OwnClients(ctx, h.advisor, "", 10)
	h.must(err)
	if len(list) != 1 || list[0].ID != client || list[0].Talks != 1 || list[0].TalkMS != 60_000 || !list[0].Noted || !list[0].Blocked {
		t.Errorf("own clients are %+v", list)
	}
	for _, c := range []struct {
		by   func() ([]Block, error)
		want int
	}{
		{func() ([]Block, error) { return h.BlocksByAdvisor(ctx, h.advisor) }, 1},
		{func() ([]Block, error) { return h.BlocksByClient(ctx, client) }, 0},
	} {
		if blocks, err := c.by(); err != nil || len(blocks) != c.want {
			t.Errorf("blocks: %+v, %v", blocks, err)
		}
	}
}

// Earnings are what the ledger says, and calls do not tell of the client's money.
func TestEarningsAreTheLedgers(t *testing.T) {
	h := newHosted(t)
	ctx := t.Context()
	client, other := h.client(500_00), h.client(500_00)
	var share money.Amount
	var calls []ivr.CallID
	for _, c := range []ivr.ClientID{client, other, client} {
		cdr := h.talked(c, 10*time.Minute)
		share += cdr.Shares.Advisor
		calls = append(calls, cdr.Call)
	}
	var today string
	h.must(h.db.Get(&today, `SELECT (now() AT TIME ZONE 'Europe/Berlin')::date::text`))
	days, all, err := h.Earnings(ctx, h.advisor, DaysOf{Zone: "Europe/Berlin"})
	h.must(err)
	if want := []Earning{{today, "EUR", share}}; !reflect.DeepEqual(days, want) && len(days) != 2 { // midnight came
		t.Errorf("days %+v, want %+v", days, want)
	}
	if want := []Earning{{"", "EUR", share}}; !reflect.DeepEqual(all, want) {
		t.Errorf("in all %+v, want %+v", all, want)
	}
	days, _, err = h.Earnings(ctx, h.advisor, DaysOf{Zone: "UTC", To: "2020-01-31"})
	if err != nil || len(days) != 0 {
		t.Errorf("in January 2020: %+v, %v", days, err)
	}
	if _, _, err := h.Earnings(ctx, h.advisor, DaysOf{Zone: "Europe/Atlantis"}); err == nil {
		t.Error("a zone that is none")
	}
	page, err := h.AdvisorCalls(ctx, h.advisor, "", 2)
	h.must(err)
	if len(page) != 2 || page[0].ID != calls[2] || page[1].ID != calls[1] || page[0].Currency != "EUR" || page[0].TalkMS != 600_000 || page[0].Share != share/3 {
		t.Errorf("the first page is %+v", page)
	}
	page, err = h.AdvisorCalls(ctx, h.advisor, page[1].ID, 2)
	if err != nil || len(page) != 1 || page[0].ID != calls[0] {
		t.Errorf("the second page is %+v, %v", page, err)
	}
	clients, err := h.OwnClients(ctx, h.advisor, "", 1)
	if err != nil || len(clients) != 1 || clients[0].ID != client || clients[0].Talks != 2 || clients[0].LastCall != calls[2] {
		t.Errorf("the first page of clients is %+v, %v", clients, err)
	}
	clients, err = h.OwnClients(ctx, h.advisor, clients[0].LastCall, 1)
	if err != nil || len(clients) != 1 || clients[0].ID != other {
		t.Errorf("the second page of clients is %+v, %v", clients, err)
	}
	h.clean()
}
