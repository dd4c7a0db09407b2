package browser

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/lab/pushlab"
)

// The app is closed: its advisor is told of a request all the same, by the browser's push
// service, which is ours here; the browser that Debian has none for shows what it sends.
func TestARequestIsToldWhileTheAppIsClosed(t *testing.T) {
	s := newScene(t, "Sara", Telephone)
	s.must(s.app.SeeRole(s.ctx, "heading", "Appointments"))
	api, err := shared.API(s.ctx, "--role", "advisor", "--advisor", s.advisor.ID)
	s.must(err)
	key, err := api.PushKey(s.ctx, s.advisor.ID)
	s.must(err)
	service, err := pushlab.Start(key)
	s.must(err)
	t.Cleanup(service.Close)
	subscribes := fmt.Sprintf(`{
		const subscription = { endpoint: %q, toJSON: () => ({ endpoint: %q, keys: { p256dh: %q, auth: %q } }), unsubscribe: async () => true };
		PushManager.prototype.subscribe = async (o) => { window.askedWith = o.applicationServerKey; return subscription; };
		PushManager.prototype.getSubscription = async () => window.askedWith ? subscription : null;
	}`, service.Endpoint(), service.Endpoint(), service.P256dh(), service.Auth())
	s.must(s.app.Run(s.ctx, subscribes, nil))
	s.must(s.app.Click(s.ctx, "link", "You"))
	s.must(s.app.Click(s.ctx, "switch", "Tell me when the app is closed"))
	s.must(s.app.Run(s.ctx, `new Promise((done) => { const t = setInterval(() => {
		if (document.querySelector('[role=switch][aria-checked=true]')) { clearInterval(t); done(); } }, 50); })`, nil))
	s.looksGood("app-notifications")
	var asked string
	s.must(s.app.Run(s.ctx, "window.askedWith", &asked))
	if asked != key {
		t.Errorf("subscribed with %q, want the host's key", asked)
	}

	elsewhere, err := chrome.OpenBeside(s.ctx, s.app, shared.URL+"/")
	s.must(err)
	s.must(s.app.Close(s.ctx))
	s.app = elsewhere
	s.someClient()
	s.wishes(3 * time.Hour)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	select {
	case m := <-service.Messages:
		shown, err := s.app.Push(ctx, m.Text)
		s.must(err)
		if !strings.HasPrefix(shown, "Blue Heron asks for an appointment: ") {
			t.Errorf("shown: %s", shown)
		}
	case err := <-service.Refusals:
		t.Fatal(err)
	case <-ctx.Done():
		t.Fatal("nothing was pushed")
	}
}
