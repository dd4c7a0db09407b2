package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// AdvisorProfile is an advisor, and with their own token, or an administrator's, what
// clients do not see.
type AdvisorProfile struct {
	Advisor
	AtMost *int64 `json:"wait_at_most"` // while they are busy: seconds until a turn
	Own    *struct {
		OnLine        bool  `json:"on_line"`
		PerMinute     int64 `json:"per_minute"`
		Predetermined int64 `json:"predetermined_seconds"`
		Bounds        struct {
			PerMinuteLeast     int64 `json:"per_minute_least"`
			PerMinuteMost      int64 `json:"per_minute_most"`
			PredeterminedLeast int64 `json:"predetermined_seconds_least"`
			PredeterminedMost  int64 `json:"predetermined_seconds_most"`
		}
		Greeting string
	}
}

// AdvisorChange is what is to be changed; what is nil stays.
type AdvisorChange struct {
	Name          *string   `json:"name,omitempty"`
	Words         *string   `json:"words,omitempty"`
	Languages     *[]string `json:"languages,omitempty"`
	Topics        *[]string `json:"topics,omitempty"`
	PerMinute     *int64    `json:"per_minute,omitempty"`
	Predetermined *int64    `json:"predetermined_seconds,omitempty"`
}

// Hours are when an advisor takes calls, and, as an answer, when they do so next.
type Hours struct {
	Zone   string     `json:"zone,omitempty"`
	Weekly []Span     `json:"weekly,omitempty"`
	Closed []string   `json:"closed,omitempty"`
	NextAt *time.Time `json:"next_at,omitempty"`
}

// Span is a stretch of time in every week, such as mon, 09:00 to 17:00.
type Span struct {
	Day  string `json:"day"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Line is where an advisor is rung.
type Line struct {
	ID, Kind, Address string
	VerifiedAt        *time.Time `json:"verified_at"`
	Credentials       *struct{ User, Password string }
}

// Verification is a call that asks for a code.
type Verification struct {
	ID, Line, State, Outcome, Code string
	Until                          time.Time
}

// OwnClient is a client as an advisor knows them.
type OwnClient struct {
	ID, Alias string
	LastCall  string    `json:"last_call"`
	LastAt    time.Time `json:"last_at"`
	Talks     int
	Seconds   int64
	Noted     bool
	Blocked   bool
}

// AdvisorCall is a call as its advisor sees it.
type AdvisorCall struct {
	ID        string
	Client    Named
	StartedAt time.Time `json:"started_at"`
	Seconds   float64
	Share     int64
	Currency  string
	Outcome   string
}

// Earned is an amount; of a day, or in all where Day is "".
type Earned struct {
	Day, Currency string
	Amount        int64
}

// Earnings is what an advisor has earned.
type Earnings struct {
	Zone  string
	Days  []Earned
	InAll []Earned `json:"in_all"`
}

// Block is someone who is kept apart.
type Block struct {
	Named
	Since time.Time
}

func advisor(id, rest string) string { return "/v1/advisors/" + url.PathEscape(id) + rest }

// AddAdvisor needs a name.
func (c Client) AddAdvisor(ctx context.Context, key string, a AdvisorChange) (p AdvisorProfile, err error) {
	return p, c.do(ctx, http.MethodPost, "/v1/advisors", key, a, &p)
}

func (c Client) Advisor(ctx context.Context, id string) (p AdvisorProfile, err error) {
	return p, c.do(ctx, http.MethodGet, advisor(id, ""), "", nil, &p)
}

func (c Client) ChangeAdvisor(ctx context.Context, id string, a AdvisorChange) (p AdvisorProfile, err error) {
	return p, c.do(ctx, http.MethodPatch, advisor(id, ""), "", a, &p)
}

func (c Client) SetPresence(ctx context.Context, id string, onLine bool) error {
	return c.do(ctx, http.MethodPut, advisor(id, "/presence"), "", map[string]bool{"on_line": onLine}, nil)
}

func (c Client) Hours(ctx context.Context, id string) (h Hours, err error) {
	return h, c.do(ctx, http.MethodGet, advisor(id, "/hours"), "", nil, &h)
}

func (c Client) SetHours(ctx context.Context, id string, h Hours) (set Hours, err error) {
	h.NextAt = nil
	return set, c.do(ctx, http.MethodPut, advisor(id, "/hours"), "", h, &set)
}

func (c Client) Lines(ctx context.Context, id string) ([]Line, error) {
	var list struct{ Lines []Line }
	err := c.do(ctx, http.MethodGet, advisor(id, "/lines"), "", nil, &list)
	return list.Lines, err
}

type lineRequest struct {
	Kind    string `json:"kind"`
	Address string `json:"address,omitempty"`
}

// AddLine adds a line of a kind: phone, with its number, sip or app.
func (c Client) AddLine(ctx context.Context, key, id, kind, address string) (l Line, err error) {
	return l, c.do(ctx, http.MethodPost, advisor(id, "/lines"), key, lineRequest{kind, address}, &l)
}

func (c Client) ChangeLine(ctx context.Context, line, kind, address string) (l Line, err error) {
	return l, c.do(ctx, http.MethodPut, "/v1/lines/"+url.PathEscape(line), "", lineRequest{kind, address}, &l)
}

func (c Client) RetireLine(ctx context.Context, line string) error {
	return c.do(ctx, http.MethodDelete, "/v1/lines/"+url.PathEscape(line), "", nil, nil)
}

// VerifyLine has a line called; the code is to be keyed there.
func (c Client) VerifyLine(ctx context.Context, key, line string) (v Verification, err error) {
	return v, c.do(ctx, http.MethodPost, "/v1/lines/"+url.PathEscape(line)+"/verifications", key, nil, &v)
}

func (c Client) Verification(ctx context.Context, id string) (v Verification, err error) {
	return v, c.do(ctx, http.MethodGet, "/v1/verifications/"+url.PathEscape(id), "", nil, &v)
}

// SetFile sends an advisor's "picture" or "greeting", and returns its version.
func (c Client) SetFile(ctx context.Context, id, kind string, data []byte) (version string, err error) {
	var set struct{ Version string }
	err = c.do(ctx, http.MethodPut, advisor(id, "/"+kind), "", file(data), &set)
	return set.Version, err
}

// File is an advisor's "picture" or "greeting".
func (c Client) File(ctx context.Context, id, kind string) (data []byte, err error) {
	return data, c.do(ctx, http.MethodGet, advisor(id, "/"+kind), "", nil, (*file)(&data))
}

func (c Client) RemoveFile(ctx context.Context, id, kind string) error {
	return c.do(ctx, http.MethodDelete, advisor(id, "/"+kind), "", nil, nil)
}

// OwnClients is a page of the list; before is the last call of the last client of the
// page before.
func (c Client) OwnClients(ctx context.Context, id, before string) ([]OwnClient, error) {
	var page struct{ Clients []OwnClient }
	err := c.do(ctx, http.MethodGet, advisor(id, "/clients?before="+url.QueryEscape(before)), "", nil, &page)
	return page.Clients, err
}

// OwnCalls is a page of the list; before is the last call of the page before.
func (c Client) OwnCalls(ctx context.Context, id, before string, limit int) ([]AdvisorCall, error) {
	var page struct{ Calls []AdvisorCall }
	err := c.do(ctx, http.MethodGet, advisor(id, fmt.Sprintf("/calls?limit=%d&before=%s", limit, url.QueryEscape(before))), "", nil, &page)
	return page.Calls, err
}

// PaidTime is for how long the client of a live call of the advisor's can talk, in all.
func (c Client) PaidTime(ctx context.Context, call string) (time.Duration, error) {
	var paid struct{ Seconds int64 }
	err := c.do(ctx, http.MethodGet, "/v1/calls/"+url.PathEscape(call)+"/paid-time", "", nil, &paid)
	return time.Duration(paid.Seconds) * time.Second, err
}

// Earnings may be narrowed by zone, from and to.
func (c Client) Earnings(ctx context.Context, id string, query url.Values) (e Earnings, err error) {
	return e, c.do(ctx, http.MethodGet, advisor(id, "/earnings?"+query.Encode()), "", nil, &e)
}

func (c Client) Note(ctx context.Context, id, client string) (string, error) {
	var n struct{ Note string }
	err := c.do(ctx, http.MethodGet, advisor(id, "/clients/"+url.PathEscape(client)+"/note"), "", nil, &n)
	return n.Note, err
}

func (c Client) SetNote(ctx context.Context, id, client, note string) error {
	return c.do(ctx, http.MethodPut, advisor(id, "/clients/"+url.PathEscape(client)+"/note"), "", map[string]string{"note": note}, nil)
}

// BlockClient keeps a client from an advisor, or lets them come again.
func (c Client) BlockClient(ctx context.Context, id, client string, blocked bool) error {
	return c.block(ctx, advisor(id, "/blocks/"+url.PathEscape(client)), blocked)
}

// BlockAdvisor keeps an advisor from a client, or lets them come again.
func (c Client) BlockAdvisor(ctx context.Context, client, id string, blocked bool) error {
	return c.block(ctx, "/v1/clients/"+url.PathEscape(client)+"/blocks/"+url.PathEscape(id), blocked)
}

func (c Client) block(ctx context.Context, path string, blocked bool) error {
	method := http.MethodDelete
	if blocked {
		method = http.MethodPut
	}
	return c.do(ctx, method, path, "", nil, nil)
}

// BlockedClients are those whom an advisor blocks.
func (c Client) BlockedClients(ctx context.Context, id string) ([]Block, error) {
	var list struct{ Blocks []Block }
	err := c.do(ctx, http.MethodGet, advisor(id, "/blocks"), "", nil, &list)
	return list.Blocks, err
}

// BlockedAdvisors are those whom a client blocks.
func (c Client) BlockedAdvisors(ctx context.Context, client string) ([]Block, error) {
	var list struct{ Blocks []Block }
	err := c.do(ctx, http.MethodGet, "/v1/clients/"+url.PathEscape(client)+"/blocks", "", nil, &list)
	return list.Blocks, err
}
