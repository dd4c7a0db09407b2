package ari

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// Asterisk closes idle connections after session_keep_alive, 15 s by default. The
	// side that closes first does not lose a command.
	mostIdle    = 64
	mostIdleFor = 10 * time.Second

	mostAnswer = 64 << 20 // bytes: a list of some 50,000 channels
)

// connections to Asterisk's HTTP server, kept open between commands. Whoever sends a
// command writes it and reads the answer themselves: net/http has two goroutines to each
// connection for that, and to wake them costs more than all the rest of a command.
type connections struct {
	to *url.URL

	mu   sync.Mutex
	idle []*connection // the one used last comes last
}

type connection struct {
	*net.TCPConn
	from  *bufio.Reader
	since time.Time // it is idle
}

// answer is what Asterisk says to a request.
type answer struct {
	status int
	text   []byte
}

// exchange sends requests, each of one method, and reads the answers, whole, before the
// deadline and the end of ctx. With fewer answers comes an error, which says nothing of
// whether Asterisk has done the rest of what was asked.
func (cs *connections) exchange(ctx context.Context, deadline time.Time, requests []byte, methods ...string) (answers []answer, err error) {
	if sooner, ok := ctx.Deadline(); ok && sooner.Before(deadline) {
		deadline = sooner
	}
	c, err := cs.take(ctx, deadline)
	if err != nil {
		return nil, reason(ctx, err)
	}
	interrupt := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	answers, again, err := c.exchange(requests, methods)
	if interrupt() && again {
		cs.keep(c)
	} else {
		_ = c.Close() // the answers are here, or lost
	}
	return answers, reason(ctx, err)
}

// exchange also reports whether the connection may be used again.
func (c *connection) exchange(requests []byte, methods []string) (answers []answer, again bool, err error) {
	if _, err := c.Write(requests); err != nil {
		return nil, false, err
	}
	for _, method := range methods {
		resp, err := http.ReadResponse(c.from, &http.Request{Method: method})
		if err != nil {
			return answers, false, err
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
		resp.Body.Close()
		if err != nil {
			return answers, false, err
		}
		answers = append(answers, answer{resp.StatusCode, text})
		again = len(text) < mostAnswer && !resp.Close
		if !again && len(answers) < len(methods) {
			return answers, false, io.ErrUnexpectedEOF
		}
	}
	return answers, again, nil
}

// reason is why there was no answer, as a context says it.
func reason(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	}
	return err
}

// take is an idle connection that Asterisk has not closed, or a new one.
func (cs *connections) take(ctx context.Context, deadline time.Time) (*connection, error) {
	for {
		c := cs.last()
		if c == nil {
			break
		}
		if time.Since(c.since) < mostIdleFor && c.SetDeadline(deadline) == nil && c.silent() {
			return c, nil
		}
		_ = c.Close() // nothing was asked on it
	}
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(cs.to.Hostname(), cmp.Or(cs.to.Port(), "80")))
	if err != nil {
		return nil, err
	}
	return &connection{TCPConn: conn.(*net.TCPConn), from: bufio.NewReader(conn)}, conn.SetDeadline(deadline)
}

func (cs *connections) last() *connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	n := len(cs.idle)
	if n == 0 {
		return nil
	}
	c := cs.idle[n-1]
	cs.idle = cs.idle[:n-1]
	return c
}

// keep leaves a connection for the next command, and closes those that none has needed.
func (cs *connections) keep(c *connection) {
	c.since = time.Now()
	cs.mu.Lock()
	cs.idle = append(cs.idle, c)
	var spare []*connection
	for len(cs.idle) > mostIdle || c.since.Sub(cs.idle[0].since) > mostIdleFor {
		spare, cs.idle = append(spare, cs.idle[0]), cs.idle[1:]
	}
	cs.mu.Unlock()
	for _, old := range spare {
		_ = old.Close() // nothing is asked on it
	}
}

// close closes those that are idle.
func (cs *connections) close() {
	for c := cs.last(); c != nil; c = cs.last() {
		_ = c.Close()
	}
}

// silent reports that an idle connection is open, and that Asterisk has nothing to say on it.
func (c *connection) silent() bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		_, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && errors.Is(peeked, syscall.EAGAIN)
}
