package host

import (
	"strings"
	"testing"
	"time"

	"parley/host/client"
	"parley/store"
)

func (w *town) with(secret string) client.Client { return client.Client{URL: w.url, Token: secret} }

// The site makes sessions for clients, administrators tokens for apps; each acts for one
// alone, is exchanged for another, and ends.
func TestTokensOverTheAPI(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	admin, _ := w.token(store.RoleAdmin, "")
	id, mine := w.newClient(10_00)
	otherID, _ := w.newClient(0)

	session, err := w.site.NewSession(ctx, "session-1", string(id), time.Minute)
	w.must(err)
	again, err := w.site.NewSession(ctx, "session-1", string(id), time.Minute)
	if w.must(err); again != session || session.Role != "client" || session.Client != string(id) || time.Until(session.Until) > time.Minute {
		t.Errorf("a session %+v, the same request %+v", session, again)
	}
	if account, err := w.with(session.Secret).Account(ctx, string(id)); err != nil || account.Available != 10_00 {
		t.Errorf("by it: %+v, %v", account, err)
	}
	_, err = w.with(session.Secret).Account(ctx, string(otherID))
	w.problem("another client by it", err, 404, "not_found")
	if usual, err := w.site.NewSession(ctx, "session-2", string(id), 0); err != nil || time.Until(usual.Until) < 59*time.Minute || time.Until(usual.Until) > time.Hour {
		t.Errorf("the usual session: %+v, %v", usual, err)
	}
	for what, c := range map[string]struct {
		client string
		lasts  time.Duration
		status int
		code   string
	}{
		"longer than a day": {string(id), 25 * time.Hour, 422, "not_valid"},
		"of nobody":         {"cli_no", time.Hour, 404, "not_found"},
	} {
		_, err := w.site.NewSession(ctx, "session-"+strings.ReplaceAll(what, " ", "-"), c.client, c.lasts)
		w.problem(what, err, c.status, c.code)
	}
	_, err = mine.NewSession(ctx, "session-3", string(id), time.Hour)
	w.problem("a client makes a session", err, 403, "not_allowed")

	app, err := admin.NewAdvisorToken(ctx, "app-token-1", string(w.advisor), "Anna's telephone", time.Hour)
	w.must(err)
	if app.Role != "advisor" || app.Advisor != string(w.advisor) || app.Holder != "Anna's telephone" {
		t.Errorf("an app's token is %+v", app)
	}
	_, err = admin.NewAdvisorToken(ctx, "app-token-2", "adv_no", "", time.Hour)
	w.problem("an app of nobody", err, 404, "not_found")
	_, err = w.site.NewAdvisorToken(ctx, "app-token-1", string(w.advisor), "", time.Hour)
	w.problem("the site makes an app's token", err, 403, "not_allowed")

	next, err := w.with(app.Secret).Rotate(ctx, "rotation-1", 0)
	w.must(err)
	lost, err := w.with(app.Secret).Rotate(ctx, "rotation-1", 0) // the answer was lost
	if w.must(err); lost != next || next.Secret == app.Secret || next.Advisor != app.Advisor || next.Until.After(app.Until) {
		t.Errorf("%+v became %+v, then %+v", app, next, lost)
	}
	w.must(w.with(next.Secret).SignOut(ctx))
	_, err = w.with(next.Secret).Rotate(ctx, "rotation-1", 0)
	w.problem("once it is signed out", err, 401, "no_token")

	list, err := admin.Tokens(ctx, "")
	w.must(err)
	if len(list) < 5 || list[0].ID != next.ID || list[0].RevokedAt.IsZero() || list[0].Secret != "" {
		t.Errorf("listed %+v", list)
	}
	if rest, err := admin.Tokens(ctx, list[0].ID); err != nil || len(rest) != len(list)-1 || rest[0].ID != list[1].ID {
		t.Errorf("the next page: %d of %d, %v", len(rest), len(list), err)
	}
	w.must(admin.RevokeToken(ctx, session.ID))
	_, err = w.with(session.Secret).Account(ctx, string(id))
	w.problem("once it is revoked", err, 401, "no_token")
	w.problem("revoke nothing", admin.RevokeToken(ctx, "tok_no"), 404, "not_found")
	if strings.Contains(w.log.String(), next.Secret) {
		t.Error("a token was logged")
	}
}
