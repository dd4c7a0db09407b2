// Package client asks a host over HTTP, for programs in Go. It is the only one to know
// how requests are written and answers are read; package host says what they mean.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client asks one host with one token.
type Client struct {
	URL   string // such as https://host.example.com
	Token string
	HTTP  *http.Client // http.DefaultClient if nil
}

// Problem is what the host answers to what it does not do.
type Problem struct {
	Status              int
	Code, Title, Detail string
	Remedy              string
	Missing, Available  int64 // minor units
	Currency            string
	TopUp               string     `json:"top_up"`
	NextAt              *time.Time `json:"next_at"`
	AdvisorState        string     `json:"advisor_state"`
	RetryAfter          int64      `json:"retry_after"` // seconds
	Choices             []Choice
	Talk                string
	Errors              []struct{ Where, What string }
	Faults              []PlanFault
}

// Choice is what a client can do who cannot talk now.
type Choice struct {
	Kind  string
	After int64 // seconds
	Place int   // in line
}

func (p *Problem) Error() string {
	text := fmt.Sprintf("%s (%d %s): %s %s", p.Title, p.Status, p.Code, p.Detail, p.Remedy)
	for _, fault := range p.Errors {
		text += fmt.Sprintf(" %s: %s.", fault.Where, fault.What)
	}
	return text
}

// Price is what talk costs, in minor units.
type Price struct {
	PerMinute int64 `json:"per_minute"`
	Currency  string
	Fee       int64
	Free      int64 `json:"free_seconds"`
	Minimum   int64 `json:"minimum_seconds"`
	Increment int64 `json:"increment_seconds"`
}

// Named is who, and what others call them.
type Named struct{ ID, Name string }

// TalkRequest asks for a talk.
type TalkRequest struct {
	Client  string `json:"client,omitempty"` // need not be said by a client's session
	Advisor string `json:"advisor"`
	Topic   string `json:"topic,omitempty"`
	Country string `json:"country,omitempty"`
}

// Talk is a number to call.
type Talk struct {
	ID, State, Client string
	Advisor           Named
	Number, Tel, PIN  string
	Until             time.Time
	Price             Price
	Seconds, Minutes  int64
	Calls             []string
}

// Advisor is an advisor as a client sees them.
type Advisor struct {
	Named
	State   string
	Price   Price
	Least   int64
	Seconds int64 `json:"least_seconds"`

	Words             string
	Languages, Topics []string
	Picture           string     // its path
	NextAt            *time.Time `json:"next_at"`
}

// Account is a client's.
type Account struct {
	ID, Alias, Phone, Currency string
	Available, Held            int64
}

// Deposit is a payment that came in.
type Deposit struct {
	Client   string `json:"client"`
	Payment  string `json:"payment"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// Receipt says what a call cost.
type Receipt struct {
	Call, State string
	Advisor     Named
	Number      string
	StartedAt   time.Time `json:"started_at"`
	EndedAt     time.Time `json:"ended_at"`
	Outcome     string
	EndedBy     string `json:"ended_by"`
	Segments    []struct {
		From    time.Time
		Seconds float64
	}
	Seconds      float64
	Price        *Price
	Charge, Held int64
	Refunded     int64
	Longest      int64 `json:"longest_seconds"` // while it is live
	Stars        int
}

// RequestTalk asks for a talk. The same key again gives the same answer.
func (c Client) RequestTalk(ctx context.Context, key string, r TalkRequest) (t Talk, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/talk", key, r, &t)
}

func (c Client) Talk(ctx context.Context, id string) (t Talk, err error) {
	return t, c.do(ctx, http.MethodGet, "/v1/talk/"+url.PathEscape(id), "", nil, &t)
}

func (c Client) CancelTalk(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/talk/"+url.PathEscape(id), "", nil, nil)
}

// Advisors is a page of the list; before is the last advisor of the page before.
func (c Client) Advisors(ctx context.Context, before string) ([]Advisor, error) {
	var page struct{ Advisors []Advisor }
	err := c.do(ctx, http.MethodGet, "/v1/advisors?before="+url.QueryEscape(before), "", nil, &page)
	return page.Advisors, err
}

func (c Client) Account(ctx context.Context, client string) (a Account, err error) {
	return a, c.do(ctx, http.MethodGet, "/v1/clients/"+url.PathEscape(client), "", nil, &a)
}

func (c Client) Receipt(ctx context.Context, call string) (r Receipt, err error) {
	return r, c.do(ctx, http.MethodGet, "/v1/calls/"+url.PathEscape(call)+"/receipt", "", nil, &r)
}

// HangUp hangs up the client's telephone in a call of theirs.
func (c Client) HangUp(ctx context.Context, call string) error {
	return c.do(ctx, http.MethodPost, "/v1/calls/"+url.PathEscape(call)+"/hang-up", "", nil, nil)
}

// Deposit credits a client. A payment credits once; so does a key.
func (c Client) Deposit(ctx context.Context, key string, d Deposit) (a Account, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/deposits", key, d, &a)
}

// file is a body that is no JSON.
type file []byte

// answerMost bounds what is read of an answer.
const answerMost = 4 << 20

func (c Client) do(ctx context.Context, method, path, key string, body, answer any) error {
	var content io.Reader
	contentType := "application/json"
	if data, raw := body.(file); raw {
		content, contentType = bytes.NewReader(data), "application/octet-stream"
	} else if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+path, content)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", contentType)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	by := c.HTTP
	if by == nil {
		by = http.DefaultClient
	}
	response, err := by.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerMost))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode >= 300 {
		p := &Problem{Status: response.StatusCode}
		if err := json.Unmarshal(text, p); err != nil {
			return fmt.Errorf("%s %s: %s, and not from a host", method, path, response.Status)
		}
		return p
	}
	if answer == nil {
		return nil
	}
	if data, raw := answer.(*file); raw {
		*data = text
		return nil
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}
