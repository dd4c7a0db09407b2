// Package pushlab is a push service with one browser behind it, for tests: it takes
// messages as RFC 8030 says, checks whose they are (RFC 8292) and reads them as the
// browser does (RFC 8291, RFC 8188). It shares no code with whoever sends them.
package pushlab

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"
)

// Message is what the browser gets.
type Message struct {
	Text    string
	TTL     string
	Urgency string
	Subject string // the sender's, as the push service is told
}

// Service is a push service. Answer is its status; Messages what it took.
type Service struct {
	*httptest.Server
	Messages chan Message
	Refusals chan error // of what it could not read
	Answer   func() int

	key       *ecdh.PrivateKey
	auth      []byte
	serverKey string // the sender's, base64url
}

// Start starts a service that takes messages of one sender alone.
func Start(serverKey string) (*Service, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	s := &Service{Messages: make(chan Message, 100), Refusals: make(chan error, 100), Answer: func() int { return http.StatusCreated },
		key: key, auth: make([]byte, 16), serverKey: serverKey}
	rand.Read(s.auth)
	s.Server = httptest.NewServer(http.HandlerFunc(s.take))
	return s, nil
}

// Endpoint, P256dh and Auth are what the browser's subscription says.
func (s *Service) Endpoint() string { return s.URL + "/send/abc" }
func (s *Service) P256dh() string   { return encode(s.key.PublicKey().Bytes()) }
func (s *Service) Auth() string     { return encode(s.auth) }

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s *Service) take(w http.ResponseWriter, r *http.Request) {
	status := s.Answer()
	defer func() { w.WriteHeader(status) }()
	if status != http.StatusCreated {
		return
	}
	m, err := s.read(r)
	if err != nil {
		status = http.StatusBadRequest
		s.Refusals <- err
		return
	}
	s.Messages <- m
}

func (s *Service) read(r *http.Request) (m Message, err error) {
	if r.Method != http.MethodPost || r.URL.Path != "/send/abc" || r.Header.Get("Content-Encoding") != "aes128gcm" {
		return m, fmt.Errorf("%s %s, encoded as %q", r.Method, r.URL.Path, r.Header.Get("Content-Encoding"))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return m, err
	}
	text, err := s.decrypt(body)
	if err != nil {
		return m, err
	}
	subject, err := s.sender(r.Header.Get("Authorization"))
	return Message{text, r.Header.Get("TTL"), r.Header.Get("Urgency"), subject}, err
}

// decrypt is RFC 8291, 3.4, and RFC 8188, 2.
func (s *Service) decrypt(body []byte) (string, error) {
	if len(body) < 21 || len(body) < 21+int(body[20]) {
		return "", errors.New("the message is cut short")
	}
	salt, size, theirs := body[:16], binary.BigEndian.Uint32(body[16:20]), body[21:21+int(body[20])]
	record := body[21+int(body[20]):]
	if len(record) > int(size) {
		return "", errors.New("the message has more than one record")
	}
	sender, err := ecdh.P256().NewPublicKey(theirs)
	if err != nil {
		return "", err
	}
	shared, err := s.key.ECDH(sender)
	if err != nil {
		return "", err
	}
	info := slices.Concat([]byte("WebPush: info\x00"), s.key.PublicKey().Bytes(), theirs)
	secret, err := hkdf.Key(sha256.New, shared, s.auth, string(info), 32)
	if err != nil {
		return "", err
	}
	key, errKey := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, errNonce := hkdf.Key(sha256.New, secret, salt, "Content-Encoding: nonce\x00", 12)
	block, err := aes.NewCipher(key)
	if err := errors.Join(errKey, errNonce, err); err != nil {
		return "", err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(plain), "\x00")
	if !strings.HasSuffix(text, "\x02") { // the last record's delimiter
		return "", errors.New("the record has no end")
	}
	return text[:len(text)-1], nil
}

// sender checks the sender's JWT (ES256) and returns its subject.
func (s *Service) sender(authorization string) (string, error) {
	var token, key string
	for _, part := range strings.Split(strings.TrimPrefix(authorization, "vapid "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "t":
			token = value
		case "k":
			key = strings.TrimRight(value, "=")
		}
	}
	if key != s.serverKey {
		return "", fmt.Errorf("sent by the key %q, not by %q", key, s.serverKey)
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil || len(point) != 65 {
		return "", errors.New("the sender's key is no point")
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("the sender sent no JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return "", errors.New("the signature is not of ES256")
	}
	public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(point[1:33]), Y: new(big.Int).SetBytes(point[33:])}
	hash := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(public, hash[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return "", errors.New("the signature is wrong")
	}
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(text, &claims)
	}
	if left := time.Until(time.Unix(claims.Exp, 0)); err != nil || claims.Aud != s.URL || left <= 0 || left > 24*time.Hour {
		return "", fmt.Errorf("the claims are %s: %w", text, err)
	}
	return claims.Sub, nil
}
