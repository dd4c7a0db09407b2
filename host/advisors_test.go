package host

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// newAdvisorToken is an advisor's app.
func (w *town) newAdvisorToken(advisor ivr.AdvisorID) client.Client {
	w.Helper()
	_, secret, err := w.store.CreateToken(w.Context(), "test", store.Token{Role: store.RoleAdvisor, Advisor: advisor}, time.Hour)
	w.must(err)
	return client.Client{URL: w.url, Token: secret}
}

// bounded has a plan that says what advisors may ask for, and whom we may call.
func (w *town) bounded() {
	w.plan.Limits.OwnPrice = dialplan.OwnPrice{Least: 99, Most: 499}
	w.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile, dialplan.Fixed}}
}

func ptr[T any](v T) *T { return &v }

// What an advisor shows, clients see; what they ask for is within the plan's bounds, or
// refused with these.
func TestAdvisorsShowThemselves(t *testing.T) {
	w := newTown(t)
	w.bounded()
	ctx := t.Context()
	app := w.newAdvisorToken(w.advisor)
	_, session := w.newClient(50_00)
	id := string(w.advisor)
	_, err := app.ChangeAdvisor(ctx, id, client.AdvisorChange{PerMinute: ptr(int64(98)), Predetermined: ptr(int64(601)), Topics: &[]string{"<b>"}})
	p := w.problem("out of bounds", err, 422, "not_valid")
	if text := fmt.Sprint(p.Errors); !strings.Contains(text, "{body.per_minute must be from 99 to 499") ||
		!strings.Contains(text, "{body.predetermined_seconds must be from 60 to 600") || !strings.Contains(text, "{body.topics ") {
		t.Errorf("told %s", text)
	}
	mine, err := app.ChangeAdvisor(ctx, id, client.AdvisorChange{
		Words: ptr("Cats.\nAnd dogs."), Languages: &[]string{"de", "en"}, Topics: &[]string{"cats & dogs"}, PerMinute: ptr(int64(300)), Predetermined: ptr(int64(600)),
	})
	w.must(err)
	if mine.Own == nil || !mine.Own.OnLine || mine.Own.PerMinute != 300 || mine.Own.Predetermined != 600 || mine.Own.Bounds.PerMinuteMost != 499 || mine.Own.Bounds.PredeterminedLeast != 60 {
		t.Errorf("to themselves: %+v", mine.Own)
	}
	seen, err := session.Advisor(ctx, id)
	w.must(err)
	if seen.Own != nil || seen.Words != "Cats.\nAnd dogs." || seen.Price.PerMinute != 300 || seen.Seconds != 600 || seen.Least != 3000 || seen.State != "free" || seen.NextAt != nil {
		t.Errorf("to a client: %+v", seen)
	}
	list, err := session.Advisors(ctx, "")
	w.must(err)
	if len(list) != 1 || !reflect.DeepEqual(list[0], seen.Advisor) {
		t.Errorf("in the list: %+v, alone: %+v", list, seen.Advisor)
	}
	if mine, err = app.ChangeAdvisor(ctx, id, client.AdvisorChange{PerMinute: ptr(int64(0)), Predetermined: ptr(int64(0))}); err != nil || mine.Price.PerMinute != rate || mine.Words == "" {
		t.Errorf("withdrawn: %+v, %v", mine, err)
	}
	admin, _ := w.token(store.RoleAdmin, "")
	added, err := admin.AddAdvisor(ctx, "add-berta", client.AdvisorChange{Name: ptr("Berta"), Words: ptr("Dogs.")})
	w.must(err)
	again, err := admin.AddAdvisor(ctx, "add-berta", client.AdvisorChange{Name: ptr("Berta"), Words: ptr("Dogs.")})
	if err != nil || again.ID != added.ID || added.State != "away" || added.Own.OnLine {
		t.Errorf("added %+v, again %+v, %v", added, again, err)
	}
	for what, err := range map[string]error{
		"see":    second(app.Advisor(ctx, added.ID)),
		"change": second(app.ChangeAdvisor(ctx, added.ID, client.AdvisorChange{Name: ptr("X")})),
		"go":     app.SetPresence(ctx, added.ID, true),
		"hours":  second(app.SetHours(ctx, added.ID, client.Hours{})),
		"lines":  second(app.Lines(ctx, added.ID)),
		"line":   second(app.AddLine(ctx, "line-of-b", added.ID, "sip", "")),
		"file":   second(app.SetFile(ctx, added.ID, "picture", []byte("x"))),
		"calls":  second(app.OwnCalls(ctx, added.ID, "", 10)),
		"earned": second(app.Earnings(ctx, added.ID, nil)),
		"note":   second(app.Note(ctx, added.ID, "cli_1")),
		"block":  app.BlockClient(ctx, added.ID, "cli_1", true),
	} {
		w.problem("another advisor: "+what, err, 404, "not_found")
	}
}

func second[T any](_ T, err error) error { return err }

func TestPresenceAndHoursDecideWhoCanBeAsked(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	app := w.newAdvisorToken(w.advisor)
	_, session := w.newClient(50_00)
	id := string(w.advisor)
	w.must(app.SetPresence(ctx, id, false))
	if seen, err := session.Advisor(ctx, id); err != nil || seen.State != "away" {
		t.Errorf("off line: %+v, %v", seen, err)
	}
	w.must(app.SetPresence(ctx, id, true))
	if hours, err := app.Hours(ctx, id); err != nil || hours.Zone != "" || hours.Weekly != nil || time.Until(*hours.NextAt) > 0 {
		t.Errorf("none set: %+v, %v", hours, err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	w.must(err)
	now := time.Now().In(berlin)
	opens := time.Date(now.Year(), now.Month(), now.Day()+3, 22, 30, 0, 0, berlin)
	want := client.Hours{Zone: "Europe/Berlin", Closed: []string{"2026-12-24"},
		Weekly: []client.Span{{Day: strings.ToLower(opens.Format("Mon")), From: "22:30", To: "02:00"}}}
	set, err := app.SetHours(ctx, id, want)
	w.must(err)
	if set.NextAt == nil || !set.NextAt.Equal(opens) {
		t.Errorf("next at %v, want %v", set.NextAt, opens)
	}
	seen, err := session.Hours(ctx, id)
	w.must(err)
	if seen.NextAt = nil; !reflect.DeepEqual(seen, want) {
		t.Errorf("kept %+v, sent %+v", seen, want)
	}
	_, err = w.tap(session, "tap-no-1")
	if p := w.problem("out of hours", err, 409, "advisor_away"); p.NextAt == nil || !p.NextAt.Equal(opens) || p.AdvisorState != "away" {
		t.Errorf("told %+v", p)
	}
	if a, err := session.Advisor(ctx, id); err != nil || a.State != "away" || !a.NextAt.Equal(opens) {
		t.Errorf("seen as %+v, %v", a, err)
	}
	for what, bad := range map[string]client.Hours{
		"no zone":     {Weekly: []client.Span{{Day: "mon", From: "09:00", To: "17:00"}}},
		"no such":     {Zone: "Europe/Atlantis"},
		"a time":      {Zone: "UTC", Weekly: []client.Span{{Day: "mon", From: "9", To: "17:00"}}},
		"no length":   {Zone: "UTC", Weekly: []client.Span{{Day: "mon", From: "09:00", To: "09:00"}}},
		"no such day": {Zone: "UTC", Closed: []string{"24.12."}},
	} {
		_, err := app.SetHours(ctx, id, bad)
		w.problem(what, err, 422, "not_valid")
	}
	_, err = app.SetHours(ctx, id, client.Hours{})
	w.must(err)
	_, err = w.tap(session, "tap-no-1")
	w.must(err)
}

// An advisor adds a line, verifies it by the code that the API shows, replaces the device
// and retires it.
func TestLinesAndTheirVerification(t *testing.T) {
	w := newTown(t)
	w.bounded()
	ctx := t.Context()
	app, id := w.newAdvisorToken(w.advisor), string(w.advisor)
	other := w.newAdvisorToken(w.newAdvisor())
	for number, code := range map[string]string{"+442071234567": "not_callable", "+499001234567": "not_callable", "+12": "not_valid", "": "not_valid"} {
		_, err := app.AddLine(ctx, "add-line-"+number, id, "phone", number)
		w.problem("number "+number, err, 422, code)
	}
	phone, err := app.AddLine(ctx, "add-line-1", id, "phone", "+4915112345601")
	w.must(err)
	if phone.Kind != "phone" || strings.Contains(phone.Address, "123456") || phone.VerifiedAt != nil || phone.Credentials != nil {
		t.Errorf("added %+v", phone)
	}
	v, err := app.VerifyLine(ctx, "verify-1", phone.ID)
	w.must(err)
	again, err := app.VerifyLine(ctx, "verify-1", phone.ID)
	if err != nil || again.ID != v.ID || again.Code != v.Code || len(v.Code) != 6 || v.State != "waiting" || time.Until(v.Until) < 9*time.Minute {
		t.Errorf("verification %+v, again %+v, %v", v, again, err)
	}
	w.must(w.store.Check(ctx, v.ID, v.Code, "call_1"))
	if v, err = app.Verification(ctx, v.ID); err != nil || v.State != "verified" || v.Code != "" || v.Line != phone.ID {
		t.Errorf("then %+v, %v", v, err)
	}
	_, err = other.Verification(ctx, v.ID)
	w.problem("another's verification", err, 404, "not_found")
	_, err = other.VerifyLine(ctx, "verify-2", phone.ID)
	w.problem("another's line", err, 404, "not_found")
	for n := range 4 {
		_, err := app.VerifyLine(ctx, fmt.Sprint("verify-more-", n), phone.ID)
		if n == 3 {
			if p := w.problem("too many", err, 429, "too_many"); p.RetryAfter == 0 {
				t.Error("not told when to try again")
			}
		}
	}
	sip, err := app.AddLine(ctx, "add-line-2", id, "sip", "")
	w.must(err)
	if sip.Credentials == nil || sip.Credentials.User != sip.ID || len(sip.Credentials.Password) != 24 {
		t.Errorf("a SIP phone is told %+v", sip.Credentials)
	}
	changed, err := app.ChangeLine(ctx, sip.ID, "sip", "")
	w.must(err)
	if c := changed.Credentials; c == nil || c.User == sip.Credentials.User || c.Password == sip.Credentials.Password || changed.ID != sip.ID {
		t.Errorf("another device is told %+v", c)
	}
	_, err = app.ChangeLine(ctx, phone.ID, "phone", "+499001234567")
	w.problem("a premium number", err, 422, "not_callable")
	_, err = app.ChangeLine(ctx, sip.ID, "app", "+4915112345601")
	w.problem("an app with a number", err, 422, "not_valid")
	_, err = other.ChangeLine(ctx, sip.ID, "app", "")
	w.problem("another's line", err, 404, "not_found")
	w.problem("another's line", other.RetireLine(ctx, sip.ID), 404, "not_found")
	lines, err := app.Lines(ctx, id)
	w.must(err)
	if len(lines) != 3 || lines[0].ID != sip.ID || lines[0].Credentials != nil || lines[1].VerifiedAt == nil {
		t.Errorf("the lines are %+v", lines)
	}
	w.must(app.RetireLine(ctx, sip.ID))
	w.must(app.RetireLine(ctx, sip.ID))
	_, err = app.ChangeLine(ctx, sip.ID, "sip", "")
	w.problem("retired", err, 404, "not_found")
	if strings.Contains(w.log.String(), "12345601") || strings.Contains(w.log.String(), again.Code) {
		t.Error("a number or a code was logged")
	}
}

// chirp is a WAV file of 16 kHz, as a browser might record: a tone.
func chirp(hz float64, length time.Duration) []byte {
	const rate = 16000
	n := int(length.Seconds() * rate)
	file := []byte("RIFF....WAVEfmt ")
	for _, field := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16)} {
		file, _ = binary.Append(file, binary.LittleEndian, field)
	}
	file = binary.LittleEndian.AppendUint32(append(file, "data"...), uint32(2*n))
	for i := range n {
		file = binary.LittleEndian.AppendUint16(file, uint16(int16(3000*math.Sin(2*math.Pi*hz*float64(i)/rate))))
	}
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)-8))
	return file
}

// power is how much of 8 kHz samples is of a frequency, by Goertzel's algorithm: 1 for a
// pure tone.
func power(samples []byte, hz float64) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/8000)
	var s1, s2, all float64
	for i := 0; i+1 < len(samples); i += 2 {
		x := float64(int16(binary.LittleEndian.Uint16(samples[i:])))
		s1, s2 = x+k*s1-s2, s1
		all += x * x
	}
	return 2 * (s1*s1 + s2*s2 - k*s1*s2) / all / float64(len(samples)/2)
}

// A recording that an advisor sends is what the call's loan names and what the telephone
// will play.
func TestGreetingsAreConvertedAndKept(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	app, id := w.newAdvisorToken(w.advisor), string(w.advisor)
	_, session := w.newClient(50_00)
	talk, err := w.tap(session, "tap-no-1")
	w.must(err)
	_, err = app.File(ctx, id, "greeting")
	w.problem("none yet", err, 404, "not_found")
	version, err := app.SetFile(ctx, id, "greeting", chirp(700, 3*time.Second))
	w.must(err)
	heard, err := app.File(ctx, id, "greeting")
	w.must(err)
	if len(heard) < 44+2*8000*28/10 || string(heard[:4]) != "RIFF" || power(heard[44+8000:len(heard)-8000], 700) < 0.95 {
		t.Errorf("%d bytes are heard, of the tone %.2f", len(heard), power(heard[44:], 700))
	}
	loan, err := w.store.Loan(ctx, ivr.LoanID(talk.ID))
	w.must(err)
	if want := "greeting:" + id + "/" + version; string(loan.Greeting) != want {
		t.Errorf("the loan has %q, want %s", loan.Greeting, want)
	}
	if kept, err := w.store.GreetingNamed(ctx, strings.TrimPrefix(string(loan.Greeting), "greeting:")); err != nil || !bytes.Equal(kept, heard) {
		t.Errorf("%d bytes are played, %v", len(kept), err)
	}
	_, err = app.SetFile(ctx, id, "greeting", []byte("hello"))
	if p := w.problem("text", err, 422, "not_audio"); p.Detail == "" {
		t.Error("not told why")
	}
	_, err = app.SetFile(ctx, id, "greeting", chirp(700, 61*time.Second))
	w.problem("a minute and a second", err, 422, "not_audio")
	_, err = app.SetFile(ctx, id, "greeting", make([]byte, 10<<20+1))
	w.problem("too large", err, 413, "too_large")
	_, err = w.newAdvisorToken(w.newAdvisor()).SetFile(ctx, id, "greeting", chirp(700, time.Second))
	w.problem("another's", err, 404, "not_found")
	w.must(app.RemoveFile(ctx, id, "greeting"))
	_, err = app.File(ctx, id, "greeting")
	w.problem("removed", err, 404, "not_found")
	t.Setenv("PATH", t.TempDir())
	_, err = app.SetFile(ctx, id, "greeting", chirp(700, time.Second))
	w.problem("without ffmpeg", err, 503, "no_ffmpeg")
}

// A picture is small, public, and not sent again to whom has it.
func TestPicturesAreShownToEveryone(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	app, id := w.newAdvisorToken(w.advisor), string(w.advisor)
	var large bytes.Buffer
	w.must(png.Encode(&large, image.NewGray(image.Rect(0, 0, 1200, 600))))
	version, err := app.SetFile(ctx, id, "picture", large.Bytes())
	w.must(err)
	a, err := app.Advisor(ctx, id)
	w.must(err)
	if a.Picture != "/v1/advisors/"+id+"/picture?v="+version {
		t.Errorf("it is at %q, version %s", a.Picture, version)
	}
	get := func(known string) *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+a.Picture, nil)
		w.must(err)
		if known != "" {
			r.Header.Set("If-None-Match", known)
		}
		answer, err := http.DefaultClient.Do(r)
		w.must(err)
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	answer := get("")
	shown, err := jpeg.Decode(answer.Body)
	if err != nil || shown.Bounds() != image.Rect(0, 0, 512, 256) || answer.Header.Get("Content-Type") != "image/jpeg" ||
		answer.Header.Get("Cache-Control") != "public, max-age=3600" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("shown %v, %v, %v", shown, answer.Header, err)
	}
	if known := get(answer.Header.Get("ETag")); known.StatusCode != http.StatusNotModified || known.ContentLength > 0 {
		t.Errorf("known: %s", known.Status)
	}
	if known := get(`"other"`); known.StatusCode != http.StatusOK {
		t.Errorf("another known: %s", known.Status)
	}
	_, err = app.SetFile(ctx, id, "picture", []byte("<svg/>"))
	w.problem("SVG", err, 422, "not_a_picture")
	w.must(app.RemoveFile(ctx, id, "picture"))
	if gone := get(""); gone.StatusCode != http.StatusNotFound || gone.Header.Get("Content-Type") != "application/problem+json" || gone.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("removed: %s %v", gone.Status, gone.Header)
	}
}

// After a talk an advisor sees who it was and what it earned, not the client's money; may
// write a note; and may block.
func TestWhatAnAdvisorKnowsAfterATalk(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	app, id := w.newAdvisorToken(w.advisor), string(w.advisor)
	clientID, session := w.newClient(50_00)
	stranger, _ := w.newClient(0)
	terms := w.plan.Terms(id, dialplan.Wish{})
	o := ivr.Opening{Kind: ivr.ClientCall, Call: ivr.CallID(ivr.NewID("call")), DID: "+493055500101", ANI: "+49****01", Client: clientID, Advisor: w.advisor,
		Plan: w.plan.Version, Terms: terms, StartedAt: time.Now(), Least: terms.Least(), Most: terms.Most(), Concurrent: w.plan.Limits.Concurrent}
	_, err := w.store.Hold(ctx, o)
	w.must(err)
	other, err := w.store.AddAdvisor(ctx, store.Advisor{Name: "Berta"})
	w.must(err)
	if paid, err := app.PaidTime(ctx, string(o.Call)); err != nil || paid < time.Minute {
		t.Errorf("in the call %v are paid, %v", paid, err)
	}
	_, err = w.newAdvisorToken(other.ID).PaidTime(ctx, string(o.Call))
	w.problem("another advisor's call", err, 404, "not_found")
	w.must(w.store.Close(ctx, ivr.CDR{Call: o.Call, Kind: ivr.ClientCall, DID: o.DID, ANI: o.ANI, Client: clientID, Advisor: w.advisor, Plan: o.Plan, StartedAt: o.StartedAt,
		Segments: []ivr.Segment{{JoinedAt: time.Now(), Talk: 6 * time.Minute}}, Charge: 1200, Shares: money.Split(1200, 60), Disposition: "completed", Cause: ivr.NormalClearing, EndedBy: "client"}))
	if paid, err := app.PaidTime(ctx, string(o.Call)); err != nil || paid != 0 {
		t.Errorf("after it %v are paid, %v", paid, err)
	}
	calls, err := app.OwnCalls(ctx, id, "", 10)
	w.must(err)
	if len(calls) != 1 || calls[0].ID != string(o.Call) || calls[0].Client.Name != "Heron" || calls[0].Seconds != 360 || calls[0].Share != 720 || calls[0].Currency != "EUR" || calls[0].Outcome != "completed" {
		t.Errorf("calls %+v", calls)
	}
	earned, err := app.Earnings(ctx, id, url.Values{"zone": {"Europe/Berlin"}})
	w.must(err)
	if earned.Zone != "Europe/Berlin" || len(earned.Days) != 1 || earned.Days[0].Amount != 720 || len(earned.InAll) != 1 || earned.InAll[0] != (client.Earned{Currency: "EUR", Amount: 720}) {
		t.Errorf("earned %+v", earned)
	}
	_, err = app.Earnings(ctx, id, url.Values{"zone": {"Europe/Atlantis"}})
	w.problem("a zone that is none", err, 422, "not_valid")
	_, err = app.Earnings(ctx, id, url.Values{"from": {"yesterday"}})
	w.problem("a day that is none", err, 422, "not_valid")
	w.must(app.SetNote(ctx, id, string(clientID), "Has a cat."))
	if note, err := app.Note(ctx, id, string(clientID)); err != nil || note != "Has a cat." {
		t.Errorf("the note is %q, %v", note, err)
	}
	w.problem("about a stranger", app.SetNote(ctx, id, string(stranger), "x"), 404, "not_found")
	w.must(app.BlockClient(ctx, id, string(clientID), true))
	if blocked, err := app.BlockedClients(ctx, id); err != nil || len(blocked) != 1 || blocked[0].ID != string(clientID) || blocked[0].Name != "Heron" {
		t.Errorf("blocked are %+v, %v", blocked, err)
	}
	own, err := app.OwnClients(ctx, id, "")
	w.must(err)
	if len(own) != 1 || own[0].Talks != 1 || own[0].Seconds != 360 || !own[0].Noted || !own[0].Blocked {
		t.Errorf("own clients are %+v", own)
	}
	_, err = w.tap(session, "tap-no-1")
	w.problem("blocked", err, 409, "advisor_away")
	if mine, err := session.BlockedAdvisors(ctx, string(clientID)); err != nil || len(mine) != 0 {
		t.Errorf("the client sees that they are blocked: %+v, %v", mine, err)
	}
	w.must(app.BlockClient(ctx, id, string(clientID), false))
	w.must(session.BlockAdvisor(ctx, string(clientID), id, true))
	if mine, err := session.BlockedAdvisors(ctx, string(clientID)); err != nil || len(mine) != 1 || mine[0].Name != "Anna" {
		t.Errorf("the client blocks %+v, %v", mine, err)
	}
	w.problem("another client's", session.BlockAdvisor(ctx, string(stranger), id, true), 404, "not_found")
	w.problem("nobody", app.BlockClient(ctx, id, "cli_none", true), 404, "not_found")
	w.must(session.BlockAdvisor(ctx, string(clientID), id, false))
	_, err = w.tap(session, "tap-no-1")
	w.must(err)
}
