package host

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

// Whatever is given as a webhook's address: what is taken leads to a public place by
// https, with no user in it, and a request to it can be made.
func FuzzWebhookAddress(f *testing.F) {
	for _, address := range []string{"https://site.example/parley", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/", "https://user:pass@site.example/", "http://site.example/",
		"https://site.example/#x", "https:///path", "https://0x7f000001/", "https://site.example:99999/", "https://[fe80::1%25eth0]/", "//site.example", "https://site.example/\r\nX: y"} {
		f.Add(address)
	}
	h := &Host{}
	f.Fuzz(func(t *testing.T, address string) {
		if h.checkWebhook(webhookBody{URL: address}) != nil {
			return
		}
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Hostname() == "" {
			t.Fatalf("%q is taken: %+v, %v", address, u, err)
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (!public(a) || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()) {
			t.Errorf("%q is taken, and not public", address)
		}
		r, err := http.NewRequest(http.MethodPost, address, nil)
		if err != nil || strings.ContainsAny(r.URL.Host+r.URL.RequestURI(), "\r\n ") {
			t.Errorf("%q is taken, and nothing can be sent there: %v", address, err)
		}
	})
}

// What we sign is what a site checks by Standard Webhooks' rule, whatever is in it.
func FuzzWebhookSignature(f *testing.F) {
	f.Add([]byte("key"), "msg_1", "1800000000", []byte(`{"type":"call.ended"}`))
	f.Add([]byte{}, "a.b", "", []byte("\x00"))
	f.Fuzz(func(t *testing.T, key []byte, id, at string, body []byte) {
		secret := "whsec_" + base64.StdEncoding.EncodeToString(key)
		signature, err := sign(secret, id, at, body)
		if err != nil {
			t.Fatal(err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + at + "."))
		mac.Write(body)
		given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,"))
		if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
			t.Errorf("signed as %q: %v", signature, err)
		}
		if _, err := sign("whsec_!"+string(key), id, at, body); err == nil {
			t.Error("signed with a secret that is none")
		}
	})
}
