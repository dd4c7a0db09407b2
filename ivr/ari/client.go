package ari

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	within  time.Duration // for one try; 0 means commandTime
	op      string        // names the command in errors where the path must not
	once    bool          // doing it twice would do harm, so it is never sent again
	confirm string        // for commands with an ID of ours: 409 and this path exists means it is already done
}

const (
	commandTime = 2 * time.Second
	tries       = 3
	pauseFirst  = 50 * time.Millisecond // between tries; doubles
	mostAnswer  = 64 << 20              // bytes: a list of some 50,000 channels
)

// client sends commands over HTTP. On the websocket they would wait for each
// other: Asterisk answers them one at a time there, and some block for seconds.
type client struct {
	base   string // .../ari
	auth   string
	http   *http.Client
	heard  func()                // is told of every answer
	barred atomic.Pointer[error] // set when no command may be sent any more

	observer Observer
}

func newClient(base, user, password string) *client {
	return &client{
		heard:    func() {},
		observer: unobserved{},
		base:     strings.TrimSuffix(base, "/"),
		auth:     "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)),
		http: &http.Client{Transport: &http.Transport{
			MaxIdleConns:        64,
			MaxIdleConnsPerHost: 64, // the default of 2 opens a connection for nearly every command under load
			// Asterisk closes idle connections after session_keep_alive, 15 s by
			// default. The side that closes first does not lose a command.
			IdleConnTimeout:    10 * time.Second,
			DisableCompression: true,
		}},
	}
}

// bar makes every later command fail with why.
func (c *client) bar(why error) { c.barred.CompareAndSwap(nil, &why) }

// do sends a command and decodes the answer unless answer is nil. What is safe to
// send twice is tried again when no answer comes; a refusal is an answer.
func (c *client) do(ctx context.Context, cmd command, answer any) error {
	var body []byte
	if cmd.body != nil {
		var err error
		if body, err = json.Marshal(cmd.body); err != nil {
			return fmt.Errorf("ari: %s: %w", cmd.name(), err)
		}
	}
	pause := pauseFirst
	for try := 1; ; try++ {
		err := c.send(ctx, cmd, body, answer)
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
func (c *client) send(ctx context.Context, cmd command, body []byte, answer any) error {
	if why := c.barred.Load(); why != nil {
		return *why
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(cmd.within, commandTime))
	defer cancel()
	address := c.base + cmd.path
	if len(cmd.query) > 0 {
		address += "?" + cmd.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, cmd.method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ari: %s: %w", cmd.name(), err)
	}
	req.Header.Set("Authorization", c.auth)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !cmd.once {
		// Not sent: it lets net/http use another connection when Asterisk has
		// just closed the idle one.
		req.Header["Idempotency-Key"] = []string{}
	}
	sent := time.Now()
	resp, err := c.http.Do(req)
	c.observer.Commanded(time.Since(sent), err == nil)
	if err != nil {
		var at *url.Error // names the whole address, which is not ours to tell
		if errors.As(err, &at) {
			err = at.Err
		}
		return fmt.Errorf("ari: %s: %w", cmd.name(), err)
	}
	defer resp.Body.Close()
	c.heard()
	from := io.LimitReader(resp.Body, mostAnswer)
	defer io.Copy(io.Discard, from) // else the connection is not used again
	if resp.StatusCode >= 300 {
		return &Error{Op: cmd.name(), Status: resp.StatusCode, Message: message(from)}
	}
	if answer == nil {
		return nil
	}
	if err := json.NewDecoder(from).Decode(answer); err != nil {
		return fmt.Errorf("ari: %s: answer not understood: %w", cmd.name(), err)
	}
	return nil
}

// message is what Asterisk says of a refusal: {"message":"Channel not found"},
// and in some cases "error".
func message(from io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(from, 4096))
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
