package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"parley/host/client"
)

// patient is a client of the host that asks whichever copy of the program answers, and
// asks again, by the same key, where none does or it is told to come later: as a site does.
func (s *soak) patient(c client.Client) client.Client {
	c.HTTP = &http.Client{Transport: &persistent{s}}
	return c
}

// persistent is a transport that does so.
type persistent struct{ s *soak }

var transport = &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second}

// askMost bounds how long one request is asked.
const askMost = 40 * time.Second

func (p *persistent) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	for give, try := time.Now().Add(askMost), 0; ; try++ {
		response, err := p.once(r, body, p.s.copies[try%len(p.s.copies)].url)
		wait := 250 * time.Millisecond
		if err == nil {
			again := response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= 500
			if !again || time.Now().After(give) {
				return response, nil
			}
			if after, bad := strconv.Atoi(response.Header.Get("Retry-After")); bad == nil {
				wait = time.Duration(after) * time.Second
			}
			response.Body.Close()
			err = errors.New(response.Status)
			if response.StatusCode == http.StatusInternalServerError {
				p.s.broken(r.Method + " " + r.URL.Path)
			}
		}
		if time.Now().After(give) {
			return nil, fmt.Errorf("no copy of the program answers: %w", err)
		}
		if !pause(r.Context(), wait) {
			return nil, errors.Join(context.Cause(r.Context()), err)
		}
	}
}

func (p *persistent) once(r *http.Request, body []byte, to string) (*http.Response, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.URL.Host, again.Host = u.Host, u.Host
	again.Body = io.NopCloser(bytes.NewReader(body))
	return transport.RoundTrip(again)
}

// answers asks a copy of the program once whether it runs.
func (c *programCopy) answers(ctx context.Context) error {
	_, err := c.get(ctx, "/livez")
	return err
}

// ready asks a copy whether it serves calls.
func (c *programCopy) ready(ctx context.Context) bool {
	status, err := c.get(ctx, "/readyz")
	return err == nil && status == http.StatusOK
}

func (c *programCopy) get(ctx context.Context, path string) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// serves waits until a copy of the program serves calls, and returns it.
func (s *soak) serves(ctx context.Context) (*programCopy, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		for _, c := range s.copies {
			if c.ready(ctx) {
				return c, nil
			}
		}
		if !pause(ctx, 50*time.Millisecond) {
			return nil, errors.New("no copy of the program serves calls")
		}
	}
}

// broken notes a request that the program had no answer to. In a fault it may have none.
func (s *soak) broken(request string) {
	now := time.Now()
	if s.disturbed(now.Add(-5*time.Second), now) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, fmt.Sprintf("%v %s is answered 500", now.Sub(s.began).Round(time.Second), request))
}
