package host

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/dialplan"
	"parley/host/client"
)

type message struct{ to, text string }

// letterbox is a sender of messages who keeps them.
type letterbox chan message

func (l letterbox) Send(_ context.Context, to, text string) error {
	l <- message{to, text}
	return nil
}

// signsIn is a town whose clients may sign in by code, and one client's number.
func signsIn(t *testing.T) (w *town, phone string, box letterbox) {
	w = newTown(t)
	w.unlimited()
	box = make(letterbox, 20)
	w.host.SMS = box
	w.plan.Destinations = dialplan.Destinations{"DE": {dialplan.Mobile}}
	w.newClient(10_00)
	return w, "+4916012" + number(w.people), box
}

func number(n int) string { return strings.Repeat("0", 4) + string(rune('0'+n)) }

var sixDigits = regexp.MustCompile(`\b[0-9]{6}\b`)

func (w *town) code(box letterbox, phone string) string {
	w.Helper()
	select {
	case m := <-box:
		if code := sixDigits.FindString(m.text); m.to == phone && code != "" {
			return code
		}
		w.Fatalf("sent %q", m)
	case <-time.After(10 * time.Second):
		w.Fatal("no code was sent")
	}
	return ""
}

// other is a code that is not this one.
func other(code string) string {
	return map[bool]string{true: "111111", false: "222222"}[code != "111111"]
}

// Whoever has a client's telephone is that client: by the code that is sent to it, once.
func TestSigningInByACode(t *testing.T) {
	w, phone, box := signsIn(t)
	ctx := t.Context()
	nobody := client.Client{URL: w.url}
	asked, err := nobody.AskSignIn(ctx, "0"+phone[3:6]+" / "+phone[6:])
	w.must(err)
	code := w.code(box, phone)
	_, err = nobody.SignIn(ctx, asked.ID, other(code), false)
	w.problem("a wrong code", err, 422, "wrong_code")
	session, err := nobody.SignIn(ctx, asked.ID, code, false)
	w.must(err)
	if left := time.Until(session.Until); session.Role != "client" || left > 12*time.Hour || left < 11*time.Hour {
		t.Errorf("signed in as %+v", session)
	}
	if account, err := w.with(session.Secret).Account(ctx, session.Client); err != nil || account.Available != 10_00 {
		t.Errorf("by it: %+v, %v", account, err)
	}
	again, err := nobody.SignIn(ctx, asked.ID, code, false) // the answer was lost
	if w.must(err); again != session {
		t.Errorf("the same again: %+v", again)
	}
	asked, err = nobody.AskSignIn(ctx, phone)
	w.must(err)
	next := w.code(box, phone)
	stays, err := nobody.SignIn(ctx, asked.ID, next, true)
	if w.must(err); time.Until(stays.Until) < 29*24*time.Hour || stays.ID == session.ID {
		t.Errorf("stays signed in as %+v", stays)
	}
	if log := w.log.String(); strings.Contains(log, code) || strings.Contains(log, next) || strings.Contains(log, phone[5:]) {
		t.Errorf("the log has a code or a number:\n%s", log)
	}
}

// What is answered says nothing of who is a client, and neither do the limits.
func TestNobodyLearnsWhoIsAClient(t *testing.T) {
	w, phone, box := signsIn(t)
	ctx := t.Context()
	nobody := client.Client{URL: w.url}
	for _, number := range []string{phone, "+4916099999999"} {
		for range 5 {
			asked, err := nobody.AskSignIn(ctx, number)
			w.must(err)
			if !strings.HasPrefix(asked.ID, "sign_") || time.Until(asked.Until) > 10*time.Minute {
				t.Errorf("%s: %+v", number, asked)
			}
			_, err = nobody.SignIn(ctx, asked.ID, "000000", false)
			w.problem("a guess for "+number, err, 422, "wrong_code")
		}
		_, err := nobody.AskSignIn(ctx, number)
		if p := w.problem("a sixth code for "+number, err, 429, "too_many"); p.RetryAfter < 3500 || p.RetryAfter > 3600 {
			t.Errorf("again after %d s", p.RetryAfter)
		}
	}
	for range 5 {
		w.code(box, phone)
	}
	if len(box) > 0 {
		t.Errorf("a stranger was sent %q", <-box)
	}
	_, err := nobody.AskSignIn(ctx, "12")
	w.problem("no number", err, 422, "not_valid")
	w.host.SMS = nil
	_, err = nobody.AskSignIn(ctx, phone)
	w.problem("without a sender", err, 503, "sign_in_off")
}

// A code is tried five times, for ten minutes, and is used once.
func TestACodeIsOver(t *testing.T) {
	w, phone, box := signsIn(t)
	ctx := t.Context()
	nobody := client.Client{URL: w.url}
	asked, err := nobody.AskSignIn(ctx, phone)
	w.must(err)
	code := w.code(box, phone)
	for range 5 {
		_, err = nobody.SignIn(ctx, asked.ID, other(code), false)
		w.problem("a wrong code", err, 422, "wrong_code")
	}
	_, err = nobody.SignIn(ctx, asked.ID, code, false)
	w.problem("the right one, too late", err, 409, "code_over")

	asked, err = nobody.AskSignIn(ctx, phone)
	w.must(err)
	code = w.code(box, phone)
	w.sql(`UPDATE sign_ins SET until = now() WHERE id = $1`, asked.ID)
	_, err = nobody.SignIn(ctx, asked.ID, code, false)
	w.problem("an expired one", err, 409, "code_over")

	asked, err = nobody.AskSignIn(ctx, phone)
	w.must(err)
	code = w.code(box, phone)
	_, err = nobody.SignIn(ctx, asked.ID, code, false)
	w.must(err)
	w.sql(`UPDATE sign_ins SET used_at = now() - interval '61 s' WHERE id = $1`, asked.ID)
	_, err = nobody.SignIn(ctx, asked.ID, code, false)
	w.problem("a used one", err, 409, "code_over")
	_, err = nobody.SignIn(ctx, "sign_no", code, false)
	w.problem("of nothing", err, 409, "code_over")
}

// What cannot be sent is logged without what it was, and without to whom.
func TestACodeThatIsNotSent(t *testing.T) {
	w, phone, _ := signsIn(t)
	failed := make(failing, 1)
	w.host.SMS = failed
	_, err := client.Client{URL: w.url}.AskSignIn(t.Context(), phone)
	w.must(err)
	code := <-failed
	w.await("the log", func() bool { return strings.Contains(w.log.String(), "a code was not sent") })
	if log := w.log.String(); strings.Contains(log, code) || strings.Contains(log, phone[5:]) {
		t.Error(log)
	}
}

type failing chan string

func (f failing) Send(_ context.Context, _, text string) error {
	f <- sixDigits.FindString(text)
	return errors.New("no sender")
}

// One address may not ask for ever.
func TestCodesAreLimitedByAddress(t *testing.T) {
	w, _, _ := signsIn(t)
	w.host.limits = newLimits()
	nobody := client.Client{URL: w.url}
	for i := range 10 {
		_, err := nobody.AskSignIn(t.Context(), "+4916088"+number(i))
		w.must(err)
	}
	_, err := nobody.AskSignIn(t.Context(), "+491608888888")
	w.problem("an eleventh", err, 429, "too_many")
}
