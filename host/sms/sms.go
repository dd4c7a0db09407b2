// Package sms sends short messages to telephones, by whoever does that for us. A message
// may hold a code: it goes to its receiver and into no log.
package sms

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Console is for trying things out: it sends nothing, and writes messages down where
// whoever tries can read them.
type Console struct {
	path string
	mu   sync.Mutex
}

// NewConsole writes to the end of a file that its user alone can read.
func NewConsole(path string) *Console { return &Console{path: path} }

// Send writes a message down.
func (c *Console) Send(_ context.Context, to, text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	file, err := os.OpenFile(c.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.New("the console for messages cannot be written")
	}
	_, err = fmt.Fprintf(file, "%s to %s: %s\n", time.Now().Format(time.RFC3339), to, text)
	return errors.Join(err, file.Close())
}

// Twilio sends by the Messages resource of Twilio's API.
type Twilio struct {
	url, account, token, from string
	http                      *http.Client
}

const (
	twilioTakes      = 10 * time.Second
	twilioAnswerMost = 64 << 10
)

// NewTwilio makes a sender. url is https://api.twilio.com but in tests; from is a number
// of the account, or a name where the receiver's country allows one.
func NewTwilio(url, account, token, from string) *Twilio {
	return &Twilio{strings.TrimSuffix(url, "/"), account, token, from, &http.Client{
		Timeout:       twilioTakes,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send hands a message over. An error says neither the text nor to whom.
func (t *Twilio) Send(ctx context.Context, to, text string) error {
	form := url.Values{"To": {to}, "From": {t.from}, "Body": {text}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost,
		t.url+"/2010-04-01/Accounts/"+url.PathEscape(t.account)+"/Messages.json", strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("the address of Twilio's API cannot be read")
	}
	request.SetBasicAuth(t.account, t.token)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := t.http.Do(request)
	if err != nil {
		return errors.New("Twilio does not answer")
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, twilioAnswerMost) // it repeats the message
	if answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("Twilio answered %s", answer.Status)
	}
	return nil
}
