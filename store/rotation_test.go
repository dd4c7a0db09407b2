package store

import (
	"errors"
	"testing"
	"time"
)

// A token is exchanged for one with the same rights and time; the old one is good for a
// minute, and the same request gets the same token.
func TestTokensAreExchanged(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	client := w.client(0)
	old, oldSecret, err := w.CreateToken(ctx, "test", Token{Role: RoleClient, Client: client, Holder: "a page"}, time.Hour)
	w.must(err)
	next, secret, err := w.RotateToken(ctx, Request{old.ID, "rotation", ""}, 0)
	w.must(err)
	if next.ID == old.ID || secret == oldSecret || next.Role != RoleClient || next.Client != client || next.Holder != "a page" ||
		next.Until.After(old.Until) || next.Until.Before(old.Until.Add(-time.Second)) {
		t.Errorf("%+v was exchanged for %+v", old, next)
	}
	again, sameSecret, err := w.RotateToken(ctx, Request{old.ID, "rotation", ""}, 0)
	if err != nil || again.ID != next.ID || sameSecret != secret {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if got, err := w.Authenticate(ctx, secret); err != nil || got.ID != next.ID {
		t.Errorf("the new one: %+v, %v", got, err)
	}
	got, err := w.Authenticate(ctx, oldSecret)
	if left := time.Until(got.Until); err != nil || left <= 0 || left > time.Minute {
		t.Errorf("the old one has %v, %v", left, err)
	}
	w.superuser().MustExec(`UPDATE tokens SET made_at = made_at - interval '2 minutes', until = until - interval '1 minute' WHERE id = $1`, old.ID)
	if _, err := w.Authenticate(ctx, oldSecret); !errors.Is(err, ErrNoToken) {
		t.Errorf("a minute later: %v", err)
	}
	if _, _, err := w.RotateToken(ctx, Request{old.ID, "another", ""}, 0); !errors.Is(err, ErrNoToken) {
		t.Errorf("exchanged when it is over: %v", err)
	}
	shorter, _, err := w.RotateToken(ctx, Request{next.ID, "rotation", ""}, time.Minute)
	if left := time.Until(shorter.Until); err != nil || left > time.Minute || left < 50*time.Second {
		t.Errorf("a shorter one has %v, %v", left, err)
	}
	longer, _, err := w.RotateToken(ctx, Request{shorter.ID, "rotation", ""}, 24*time.Hour)
	if err != nil || longer.Until.After(shorter.Until) {
		t.Errorf("a longer one is good until %v, not %v: %v", longer.Until, shorter.Until, err)
	}
	w.must(w.RevokeToken(ctx, "test", longer.ID))
	if _, _, err := w.RotateToken(ctx, Request{longer.ID, "another", ""}, 0); !errors.Is(err, ErrNoToken) {
		t.Errorf("exchanged when it is revoked: %v", err)
	}
	w.clean()
}

// A token is made once for a request, and its secret is told again though it is kept
// nowhere.
func TestATokenIsMadeOnceForARequest(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	site, _, err := w.CreateToken(ctx, "test", Token{Role: RoleSite}, time.Hour)
	w.must(err)
	session := Token{Role: RoleClient, Client: w.client(0)}
	first, secret, err := w.RequestToken(ctx, Request{site.ID, "session", "1"}, "site", session, time.Hour)
	w.must(err)
	again, same, err := w.RequestToken(ctx, Request{site.ID, "session", "1"}, "site", session, time.Hour)
	if err != nil || again.ID != first.ID || same != secret {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	other, differs, err := w.RequestToken(ctx, Request{site.ID, "session 2", "1"}, "site", session, time.Hour)
	if err != nil || other.ID == first.ID || differs == secret {
		t.Errorf("another: %+v, %v", other, err)
	}
	if _, err := w.Authenticate(ctx, secret); err != nil {
		t.Error(err)
	}
	if _, _, err := w.RequestToken(ctx, Request{site.ID, "session 3", "1"}, "site", Token{Role: RoleClient, Client: "cli_no"}, time.Hour); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	if _, _, err := w.RequestToken(ctx, Request{site.ID, "session 4", "1"}, "site", Token{Role: RoleAdvisor}, time.Hour); err == nil {
		t.Error("an advisor's without an advisor")
	}
	var list []Token
	for before := TokenID(""); ; before = list[len(list)-1].ID {
		page, err := w.Tokens(ctx, before, 2)
		w.must(err)
		if len(page) == 0 {
			break
		}
		list = append(list, page...)
	}
	if len(list) != 3 || list[0].ID != other.ID || list[2].ID != site.ID {
		t.Errorf("listed %+v", list)
	}
}
