package browser

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// anybody has the client's page open and is not signed in.
func anybody(t *testing.T, path string) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	s := &scene{T: t, ctx: ctx}
	var err error
	s.app, err = chrome.Open(ctx, shared.URL+path, Telephone)
	s.must(err)
	t.Cleanup(func() { _ = s.app.Close(context.WithoutCancel(ctx)) })
	s.someClient()
	return s
}

var sentCode = regexp.MustCompile(`: ([0-9]{6}) is your code`)

// sent is the code in the newest message to the client's telephone, once there are as
// many as there should be.
func (s *scene) sent(messages int) string {
	s.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(shared.SMSFile())
		if err != nil && !os.IsNotExist(err) {
			s.Fatal(err)
		}
		var mine []string
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, " to "+s.client.Number+":") {
				mine = append(mine, line)
			}
		}
		if len(mine) == messages {
			return sentCode.FindStringSubmatch(mine[messages-1])[1]
		}
	}
	s.Fatal("no code was sent")
	return ""
}

// By the keyboard alone: the number, a wrong code, another code; and the page is still
// signed in when it is opened again.
func TestAClientSignsInByACode(t *testing.T) {
	s := anybody(t, "/")
	s.tabTo("Phone number")
	s.looksGood("client-sign-in-phone")
	s.must(s.app.Fill(s.ctx, "Phone number", s.client.Number))
	s.must(s.app.Press(s.ctx, "Enter"))
	s.must(s.app.SeeRole(s.ctx, "heading", "Enter your code"))
	first := s.sent(1)
	s.looksGood("client-sign-in-code")
	wrong := "111111"
	if first == wrong {
		wrong = "222222"
	}
	s.must(s.app.Fill(s.ctx, "Code", wrong))
	s.must(s.app.See(s.ctx, "That is not the code"))
	s.looksGood("client-sign-in-wrong")
	s.tabTo("Send another code")
	s.must(s.app.Press(s.ctx, "Enter"))
	second := s.sent(2)
	s.must(s.app.Gone(s.ctx, "That is not the code"))
	s.must(s.app.Fill(s.ctx, "Code", second))
	s.must(s.app.SeeRole(s.ctx, "link", "Your account: €20.00"))
	if log := shared.Log(); strings.Contains(log, s.client.Number) || strings.Contains(log, first) && strings.Contains(log, second) {
		t.Error("the log has a number or the codes")
	}
	beside, err := chrome.OpenBeside(s.ctx, s.app, shared.URL+"/")
	s.must(err)
	s.must(beside.SeeRole(s.ctx, "link", "Your account: €20.00"))
	s.must(beside.Close(s.ctx))
	s.must(s.app.Click(s.ctx, "link", "Your account: €20.00"))
	s.must(s.app.Click(s.ctx, "button", "Sign out"))
	s.must(s.app.See(s.ctx, "We send you a code."))
}

// A site that has its own sign-in sends its client on with an assertion, which opens the
// page once.
func TestAClientComesFromTheSite(t *testing.T) {
	s := anybody(t, "/")
	public, private, err := ed25519.GenerateKey(rand.Reader)
	s.must(err)
	der, err := x509.MarshalPKIXPublicKey(public)
	s.must(err)
	file := filepath.Join(t.TempDir(), "site-public.pem")
	s.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644))
	var key struct{ ID string }
	s.must(shared.ParleyJSON(s.ctx, &key, "site-key", "add", "The shop", file))
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"sub": s.client.ID, "aud": "parley", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
	})
	token.Header["kid"] = key.ID
	assertion, err := token.SignedString(private)
	s.must(err)
	s.must(s.app.Run(s.ctx, "location.hash = 'assertion="+assertion+"'", nil))
	s.must(s.app.SeeRole(s.ctx, "link", "Your account: €20.00"))
	var address string
	s.must(s.app.Run(s.ctx, "location.href", &address))
	if strings.Contains(address, "assertion") {
		t.Errorf("the assertion stays in the address: %s", address)
	}
	thief := anybody(t, "/#assertion="+assertion)
	thief.must(thief.app.See(thief.ctx, "This sign-in is no longer valid"))
}
