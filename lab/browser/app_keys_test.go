package browser

import (
	"context"
	"strings"
	"testing"
)

// tabTo goes on by the keyboard until what has the focus is named so.
func (s *scene) tabTo(name string) {
	s.Helper()
	for range 40 {
		if focused, err := s.app.Focused(s.ctx); err == nil && strings.TrimSpace(focused) == name {
			return
		}
		s.must(s.app.Press(s.ctx, "Tab"))
	}
	s.Fatalf("%q cannot be reached by the keyboard", name)
}

// A call without a mouse or a finger: accepted, a digit keyed, hung up.
func TestACallByTheKeyboardAlone(t *testing.T) {
	s := onLine(t, "Olga", Desk)
	call := s.rings()
	s.tabTo("Accept")
	s.must(s.app.Press(s.ctx, "Enter"))
	s.hearEachOther(call)
	s.tabTo("Keypad")
	s.must(s.app.Press(s.ctx, "Space"))
	s.must(s.app.SeeRole(s.ctx, "group", "Keypad"))
	s.must(s.app.Press(s.ctx, "5"))
	digits, err := call.AwaitDigits(s.ctx, 1)
	s.must(err)
	if digits != "5" {
		t.Errorf("the client's phone heard %q", digits)
	}
	s.tabTo("Hang up")
	s.must(s.app.Press(s.ctx, "Enter"))
	s.ends(call)
	s.recorded("completed")
	s.must(s.app.See(s.ctx, "You earned"))
	s.tabTo("Done")
	s.must(s.app.Press(s.ctx, "Enter"))
	s.must(s.app.See(s.ctx, "You are on line"))
}

// Two windows: one is the phone, the other says so, and can become it.
func TestOneWindowIsThePhone(t *testing.T) {
	s := onLine(t, "Paula", Desk)
	api, err := shared.API(s.ctx, "--role", "advisor", "--advisor", s.advisor.ID)
	s.must(err)
	first, beside := s.app, *s
	beside.app, err = chrome.OpenBeside(s.ctx, first, shared.URL+"/app/#token="+api.Token)
	s.must(err)
	second := beside.app
	t.Cleanup(func() { _ = second.Close(context.WithoutCancel(s.ctx)) })
	s.must(second.See(s.ctx, "The app is open in another window"))
	s.must(second.See(s.ctx, "it rings in the other window"))
	call := s.rings() // in the first
	s.must(s.app.Click(s.ctx, "button", "Decline"))
	s.ends(call)
	s.must(s.app.Click(s.ctx, "button", "Done"))

	beside.looksGood("app-two-windows")
	s.must(second.Click(s.ctx, "button", "Use it here"))
	s.must(first.See(s.ctx, "The app is open in another window"))
	s.must(second.Gone(s.ctx, "The app is open in another window"))
	s.must(second.Run(s.ctx, `new Promise((done) => { const t = setInterval(() => {
		if (window.sip.some((line) => line.includes("<- SIP/2.0 200"))) { clearInterval(t); done(); } }, 50); })`, nil)) // it is registered
	call = beside.rings() // in the second
	beside.accepts()
	beside.hearEachOther(call)
	s.must(second.Click(s.ctx, "button", "Hang up"))
	beside.ends(call)
	beside.recorded("completed")
}
