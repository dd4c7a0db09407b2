package host

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"parley/host/client"
	"parley/store"
)

func pemOf(t *testing.T, key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// signer is a site with a key of its own.
type signer struct {
	key    crypto.Signer
	method jwt.SigningMethod
	kid    string
}

func (s signer) says(t *testing.T, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(s.method, claims)
	token.Header["kid"] = s.kid
	text, err := token.SignedString(s.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func claimsOf(id string) jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{"sub": id, "aud": "parley", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": rand.Text()}
}

// A site hands in its own client by an assertion, with each kind of key, once.
func TestASiteHandsItsClientIn(t *testing.T) {
	w := newTown(t)
	w.unlimited()
	ctx := t.Context()
	admin, _ := w.token(store.RoleAdmin, "")
	id, _ := w.newClient(10_00)
	other, _ := w.newClient(0)
	nobody := client.Client{URL: w.url}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	sites := map[string]signer{"Ed25519": {ed, jwt.SigningMethodEdDSA, ""}, "P-256": {ec, jwt.SigningMethodES256, ""}, "RSA": {rs, jwt.SigningMethodRS256, ""}}
	for name, s := range sites {
		key, err := admin.AddSiteKey(ctx, "key-of-"+name, name, pemOf(t, s.key))
		w.must(err)
		s.kid = key.ID
		sites[name] = s
		assertion := s.says(t, claimsOf(string(id)))
		session, err := nobody.HandIn(ctx, assertion)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if account, err := w.with(session.Secret).Account(ctx, string(id)); err != nil || account.Available != 10_00 || time.Until(session.Until) > 12*time.Hour {
			t.Errorf("%s: %+v, %+v, %v", name, session, account, err)
		}
		_, err = w.with(session.Secret).Account(ctx, string(other))
		w.problem("another client by it", err, 404, "not_found")
		_, err = nobody.HandIn(ctx, assertion)
		w.problem("the same assertion again", err, 400, "bad_assertion")
	}

	shop, forger := sites["Ed25519"], sites["P-256"]
	forger.kid = shop.kid
	change := func(with jwt.MapClaims) string {
		claims := claimsOf(string(id))
		for name, value := range with {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		return shop.says(t, claims)
	}
	past := time.Now().Add(-time.Hour)
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claimsOf(string(id))).SignedString(jwt.UnsafeAllowNoneSignatureType)
	w.must(err)
	public := []byte(pemOf(t, shop.key)) // as the secret of an HMAC, which anyone could make
	hmac, err := (&jwt.Token{Header: map[string]any{"alg": "HS256", "kid": shop.kid}, Claims: claimsOf(string(id)), Method: jwt.SigningMethodHS256}).SignedString(public)
	w.must(err)
	for what, assertion := range map[string]string{
		"of another key":          forger.says(t, claimsOf(string(id))),
		"of no key":               signer{shop.key, shop.method, "skey_no"}.says(t, claimsOf(string(id))),
		"not signed":              none,
		"signed by the public":    hmac,
		"expired":                 change(jwt.MapClaims{"iat": past.Unix(), "exp": past.Add(time.Minute).Unix()}),
		"that never expires":      change(jwt.MapClaims{"exp": nil}),
		"that lasts too long":     change(jwt.MapClaims{"exp": time.Now().Add(10 * time.Minute).Unix()}),
		"of the future":           change(jwt.MapClaims{"iat": time.Now().Add(2 * time.Minute).Unix(), "exp": time.Now().Add(3 * time.Minute).Unix()}),
		"without iat":             change(jwt.MapClaims{"iat": nil}),
		"for another audience":    change(jwt.MapClaims{"aud": "shop"}),
		"without audience":        change(jwt.MapClaims{"aud": nil}),
		"without jti":             change(jwt.MapClaims{"jti": nil}),
		"with a jti that repeats": change(jwt.MapClaims{"jti": "1"}),
		"of nobody":               change(jwt.MapClaims{"sub": "cli_no"}),
		"without sub":             change(jwt.MapClaims{"sub": nil}),
		"that is none":            "eyJ.eyJ.x",
		"that was changed":        strings.Replace(change(nil), ".", ".e", 1),
	} {
		_, err := nobody.HandIn(ctx, assertion)
		if p := w.problem("an assertion "+what, err, 400, "bad_assertion"); p.Detail == "" || strings.Contains(p.Detail, "eyJ") {
			t.Errorf("an assertion %s: %q", what, p.Detail)
		}
	}

	session, err := nobody.HandIn(ctx, change(nil))
	w.must(err)
	next, err := w.with(session.Secret).Rotate(ctx, "rotation-1", 0) // as the page does at once
	w.must(err)
	w.must(admin.RevokeSiteKey(ctx, shop.kid))
	_, err = nobody.HandIn(ctx, change(nil))
	w.problem("once the key is revoked", err, 400, "bad_assertion")
	_, err = w.with(next.Secret).Account(ctx, string(id))
	w.problem("the session that it made", err, 401, "no_token")
	w.problem("revoke nothing", admin.RevokeSiteKey(ctx, "skey_no"), 404, "not_found")
	if list, err := admin.SiteKeys(ctx); err != nil || len(list) != 3 {
		t.Errorf("listed %+v, %v", list, err)
	}
}

// However often an assertion is handed in at once, one session is made.
func TestAnAssertionIsUsedOnce(t *testing.T) {
	w := newTown(t)
	w.unlimited()
	id, _ := w.newClient(0)
	admin, _ := w.token(store.RoleAdmin, "")
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	added, err := admin.AddSiteKey(t.Context(), "key-of-a-shop", "The shop", pemOf(t, key))
	w.must(err)
	assertion := signer{key, jwt.SigningMethodEdDSA, added.ID}.says(t, claimsOf(string(id)))
	var all sync.WaitGroup
	made := make(chan string, 8)
	for range cap(made) {
		all.Go(func() {
			if s, err := (client.Client{URL: w.url}).HandIn(t.Context(), assertion); err == nil {
				made <- s.ID
			}
		})
	}
	all.Wait()
	if len(made) != 1 {
		t.Errorf("%d sessions were made", len(made))
	}
}

func TestAWeakKeyIsRefused(t *testing.T) {
	w := newTown(t)
	admin, _ := w.token(store.RoleAdmin, "")
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	good, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for what, text := range map[string]string{"another curve": pemOf(t, p384), "no key": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n", "no PEM": "x",
		"two keys": pemOf(t, good) + pemOf(t, good)} {
		_, err := admin.AddSiteKey(t.Context(), "weak-key-"+strings.ReplaceAll(what, " ", "-"), "The shop", text)
		w.problem(what, err, 422, "not_valid")
	}
}
