package host

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"

	"parley/ivr"
	"parley/store"
)

// A site that has signed somebody in hands them over by an assertion: a JSON Web Token
// (RFC 7519) that says which client it is, signed with the site's key, good for minutes
// and used once.

const (
	assertionFor   = "parley"         // its audience
	assertionLasts = 5 * time.Minute  // at most, from iat to exp
	assertionSkew  = 30 * time.Second // by which the site's clock may be off
)

var jtiForm = regexp.MustCompile(`^[!-~]{16,128}$`)

// SiteKey is by what a site's assertions are checked.
type SiteKey struct {
	ID        store.SiteKeyID `json:"id" example:"skey_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"The assertions' kid."`
	Name      string          `json:"name" example:"The shop"`
	PublicKey string          `json:"public_key" example:"-----BEGIN PUBLIC KEY-----..." doc:"PEM."`
	MadeAt    time.Time       `json:"made_at"`
	RevokedAt *time.Time      `json:"revoked_at,omitempty"`
}

func siteKeyOf(k store.SiteKey) SiteKey {
	return SiteKey{k.ID, k.Name, k.PublicKey, k.MadeAt, someTime(k.RevokedAt)}
}

// SiteKeys are all of them.
type SiteKeys struct {
	Keys []SiteKey `json:"keys" nullable:"false"`
}

type siteKeyBody struct {
	Name      string `json:"name" minLength:"1" maxLength:"80" pattern:"^[\\p{L}\\p{N} .,'-]+$" example:"The shop"`
	PublicKey string `json:"public_key" minLength:"1" maxLength:"4096" example:"-----BEGIN PUBLIC KEY-----..." doc:"PEM of an Ed25519, P-256 or RSA (2048 bits or more) public key."`
}

type assertionBody struct {
	Assertion string `json:"assertion" minLength:"1" maxLength:"4096" pattern:"^[A-Za-z0-9_.-]+$" example:"eyJhbGciOiJFZERTQSIsImtpZCI6InNrZXlf..." doc:"A JWT: EdDSA, ES256 or RS256; kid is the key's ID, aud parley, sub the client's ID, exp at most 5 minutes after iat, jti new each time."`
}

func (h *Host) sessionRoutes() {
	addOpen(h, huma.Operation{
		OperationID: "hand-in-session", Method: http.MethodPost, Path: "/v1/sessions", DefaultStatus: http.StatusCreated,
		Summary:     "Exchange a site's assertion for a client's session",
		Description: "For a site that has its own sign-in: its link https://HOST/#assertion=JWT opens the client's page, which does this. An assertion is good once.",
		Errors:      []int{http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.handIn)
	add(h, huma.Operation{
		OperationID: "add-site-key", Method: http.MethodPost, Path: "/v1/site-keys", DefaultStatus: http.StatusCreated,
		Summary: "Believe assertions that are signed with a key",
		Errors:  []int{http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.addSiteKey, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "list-site-keys", Method: http.MethodGet, Path: "/v1/site-keys", Summary: "List the sites' keys, the newest first",
	}, h.siteKeys, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "revoke-site-key", Method: http.MethodDelete, Path: "/v1/site-keys/{id}", DefaultStatus: http.StatusNoContent,
		Summary: "Believe a key no more", Description: "The sessions that were made by it end.",
		Errors: []int{http.StatusNotFound},
	}, h.revokeSiteKey, store.RoleAdmin)
}

func (h *Host) handIn(ctx context.Context, in *struct{ Body assertionBody }) (*newTokenAnswer, error) {
	claims, key, err := h.readAssertion(ctx, in.Body.Assertion)
	if err == nil {
		var t store.Token
		var secret string
		t, secret, err = h.Store.UseAssertion(ctx, key, claims.ID, ivr.ClientID(claims.Subject), sessionLasts)
		if err == nil {
			return newToken(t, secret, nil)
		}
	}
	p := newProblem("bad_assertion")
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.Detail = "its kid is no key that is believed, or its sub no client"
	case errors.Is(err, store.ErrUsed):
		p.Detail = "it was used before"
	case errors.As(err, new(*badAssertion)), errors.Is(err, jwt.ErrTokenMalformed), errors.Is(err, jwt.ErrTokenUnverifiable),
		errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenInvalidClaims):
		p.Detail = err.Error()
	default:
		return nil, err // the database's
	}
	if err := h.limits.refused.take(ctx.Value(addressKey{}).(string)); err != nil {
		return nil, err
	}
	return nil, p
}

type badAssertion struct{ why string }

func (e *badAssertion) Error() string { return e.why }

// readAssertion checks all but that it was not used before.
func (h *Host) readAssertion(ctx context.Context, text string) (claims jwt.RegisteredClaims, key store.SiteKeyID, err error) {
	var lost error // the database's, which the library would hide
	_, err = jwt.ParseWithClaims(text, &claims, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		known, err := h.Store.SiteKey(ctx, store.SiteKeyID(kid))
		if err != nil {
			lost = err
			return nil, err
		}
		key = known.ID
		return publicKey(known.PublicKey)
	}, jwt.WithValidMethods([]string{"EdDSA", "ES256", "RS256"}), jwt.WithAudience(assertionFor),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(assertionSkew))
	switch {
	case lost != nil:
		return claims, "", lost
	case err != nil:
		return claims, "", err
	case claims.IssuedAt == nil || claims.ExpiresAt.Sub(claims.IssuedAt.Time) > assertionLasts:
		return claims, "", &badAssertion{"its exp must be at most 5 minutes after its iat"}
	case claims.Subject == "":
		return claims, "", &badAssertion{"its sub must be the client's ID"}
	case !jtiForm.MatchString(claims.ID):
		return claims, "", &badAssertion{"its jti must have 16 to 128 printable characters, new each time"}
	}
	return claims, key, nil
}

// publicKey reads the key of a site.
func publicKey(text string) (crypto.PublicKey, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		return nil, &badAssertion{`must be the PEM of one public key: "-----BEGIN PUBLIC KEY-----"`}
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	switch k := key.(type) {
	case ed25519.PublicKey:
		return k, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return k, nil
		}
	case *rsa.PublicKey:
		if k.N.BitLen() >= 2048 {
			return k, nil
		}
	}
	return nil, errors.Join(&badAssertion{"must be an Ed25519, P-256 or RSA key, of 2048 bits or more"}, err)
}

func (h *Host) addSiteKey(ctx context.Context, in *struct {
	Keyed
	Body siteKeyBody
}) (*struct{ Body SiteKey }, error) {
	request, err := in.request(ctx, "add-site-key", in.Body)
	if err != nil {
		return nil, err
	}
	if err := CheckSiteKey(in.Body.PublicKey); err != nil {
		return nil, invalid("body.public_key", err.Error())
	}
	k, err := h.Store.RequestSiteKey(ctx, request, asker(ctx).Who(), in.Body.Name, in.Body.PublicKey)
	if err != nil {
		return nil, err
	}
	return &struct{ Body SiteKey }{siteKeyOf(k)}, nil
}

// CheckSiteKey says what is wrong with a site's key.
func CheckSiteKey(pem string) error {
	_, err := publicKey(pem)
	return err
}

func (h *Host) siteKeys(ctx context.Context, _ *struct{}) (*struct{ Body SiteKeys }, error) {
	list, err := h.Store.SiteKeys(ctx)
	if err != nil {
		return nil, err
	}
	page := SiteKeys{make([]SiteKey, len(list))}
	for i, k := range list {
		page.Keys[i] = siteKeyOf(k)
	}
	return &struct{ Body SiteKeys }{page}, nil
}

func (h *Host) revokeSiteKey(ctx context.Context, in *ByID[store.SiteKeyID]) (*struct{}, error) {
	return nil, h.Store.RevokeSiteKey(ctx, asker(ctx).Who(), in.ID)
}
