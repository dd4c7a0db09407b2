package ari

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Error is Asterisk's refusal of a command.
type Error struct {
	Op      string // method and path
	Status  int    // HTTP
	Message string // Asterisk's own words
}

func (e *Error) Error() string {
	return fmt.Sprintf("ari: %s: %d %s", e.Op, e.Status, e.Message)
}

// refused reports whether err is Asterisk's answer with one of these statuses.
func refused(err error, status ...int) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	for _, s := range status {
		if e.Status == s {
			return true
		}
	}
	return false
}

// command is one request of Asterisk's REST interface.
type command struct {
	method  string
	path    string // made by [path]
	query   url.Values
	body    any           // sent as JSON unless nil
	text    []byte        // which it is, once [client.do] has written it
	within  time.Duration // for one try; 0 means commandTime
	op      string        // names the command in errors where the path must not
	once    bool          // doing it twice would do harm, so it is never sent again
	confirm string        // for commands with an ID of ours: 409 and this path exists means it is already done
}

const (
	commandTime = 2 * time.Second
	tries       = 3
	pauseFirst  = 50 * time.Millisecond // between tries; doubles
)

// client sends commands over HTTP. On the websocket they would wait for each
// other: Asterisk answers them one at a time there, and some block for seconds.
type client struct {
	base   string // .../ari
	auth   string
	conns  *connections
	heard  func()                // is told of every answer
	barred atomic.Pointer[error] // set when no command may be sent any more

	observer Observer
}

func newClient(base, user, password string) *client {
	base = strings.TrimSuffix(base, "/")
	to, err := url.Parse(base)
	c := &client{
		heard:    func() {},
		observer: unobserved{},
		base:     base,
		auth:     "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)),
		conns:    &connections{to: to},
	}
	if err != nil || to.Hostname() == "" || to.Scheme != "http" {
		c.bar(errors.New("ari: Asterisk's address must be as http://127.0.0.1:8088/ari, and not https"))
	}
	return c
}

// bar makes every later command fail with why.
func (c *client) bar(why error) { c.barred.CompareAndSwap(nil, &why) }

// do sends a command and decodes the answer unless answer is nil. What is safe to
// send twice is tried again when no answer comes; a refusal is an answer.
func (c *client) do(ctx context.Context, cmd command, answer any) error {
	if cmd.body != nil {
		var err error
		if cmd.text, err = json.Marshal(cmd.body); err != nil {
			return fmt.Errorf("ari: %s: %w", cmd.name(), err)
		}
	}
	pause := pauseFirst
	for try := 1; ; try++ {
		err := c.send(ctx, cmd, answer)
		switch {
		case refused(err, http.StatusConflict) && cmd.confirm != "":
			if c.do(ctx, command{method: "GET", path: cmd.confirm}, answer) == nil {
				return nil
			}
			return err
		case refused(err, http.StatusNotFound) && cmd.method == "DELETE":
			return nil
		case err == nil, cmd.once, try == tries, ctx.Err() != nil, c.barred.Load() != nil:
			return err
		case errors.As(err, new(*Error)) && !refused(err, http.StatusServiceUnavailable):
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// send sends a command once.
func (c *client) send(ctx context.Context, cmd command, answer any) error {
	answers, err := c.exchange(ctx, cmd)
	if err != nil {
		return err
	}
	if err := answers[0].refusal(cmd); err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(answers[0].text, answer); err != nil {
		return fmt.Errorf("ari: %s: answer not understood: %w", cmd.name(), err)
	}
	return nil
}

// together sends commands without bodies on one connection, each right behind the one
// before: Asterisk does them in this order, and no round trip lies between them. They are
// sent once. It returns what became of each; what comes after a lost answer is as lost.
func (c *client) together(ctx context.Context, cmds ...command) []error {
	answers, err := c.exchange(ctx, cmds...)
	errs := make([]error, len(cmds))
	for i, cmd := range cmds {
		if i < len(answers) {
			errs[i] = answers[i].refusal(cmd)
		} else {
			errs[i] = err
		}
	}
	return errs
}

// exchange sends commands once, on one connection, and reads their answers. They have to be
// answered in the time of the longest.
func (c *client) exchange(ctx context.Context, cmds ...command) ([]answer, error) {
	if why := c.barred.Load(); why != nil {
		return nil, *why
	}
	var requests bytes.Buffer
	var methods []string
	var within time.Duration
	for _, cmd := range cmds {
		c.write(&requests, cmd)
		methods = append(methods, cmd.method)
		within = max(within, cmp.Or(cmd.within, commandTime))
	}
	sent := time.Now()
	answers, err := c.conns.exchange(ctx, sent.Add(within), requests.Bytes(), methods...)
	for range cmds {
		c.observer.Commanded(time.Since(sent), err == nil)
	}
	if len(answers) > 0 {
		c.heard()
	}
	if err != nil {
		err = fmt.Errorf("ari: %s: %w", cmds[len(answers)].name(), err)
	}
	return answers, err
}

func (a answer) refusal(cmd command) error {
	if a.status < 300 {
		return nil
	}
	return &Error{Op: cmd.name(), Status: a.status, Message: message(a.text)}
}

// write writes a command as HTTP/1.1 has it. Path and query are escaped, so that neither
// can end the line they stand in.
func (c *client) write(b *bytes.Buffer, cmd command) {
	b.WriteString(cmd.method + " " + c.conns.to.EscapedPath() + cmd.path)
	if len(cmd.query) > 0 {
		b.WriteString("?" + cmd.query.Encode())
	}
	b.WriteString(" HTTP/1.1\r\nHost: " + c.conns.to.Host + "\r\nAuthorization: " + c.auth + "\r\n")
	if cmd.text != nil {
		b.WriteString("Content-Type: application/json\r\n")
	}
	fmt.Fprintf(b, "Content-Length: %d\r\n\r\n", len(cmd.text))
	b.Write(cmd.text)
}

// message is what Asterisk says of a refusal: {"message":"Channel not found"},
// and in some cases "error".
func message(text []byte) string {
	text = text[:min(len(text), 4096)]
	var said struct{ Message, Error string }
	if json.Unmarshal(text, &said) == nil {
		return cmp.Or(said.Message, said.Error)
	}
	return strings.TrimSpace(string(text))
}

func (cmd *command) name() string {
	return cmp.Or(cmd.op, cmd.method+" "+cmd.path)
}

// path joins the parts of a command's path, each escaped.
func path(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(p))
	}
	return b.String()
}
