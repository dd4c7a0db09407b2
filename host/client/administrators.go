package client

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// PlanFault is one thing that is wrong with a plan's text.
type PlanFault struct {
	Line           int
	Field, Problem string
}

// Plan is a saved version of all numbers, rates and limits.
type Plan struct {
	Version              int64
	Author, Note, SHA256 string
	SavedAt              time.Time `json:"saved_at"`
	Active               bool
	StartsAt             time.Time `json:"starts_at"` // zero: that is not planned
	Text                 string    // not in lists
}

// Activation is from when a plan holds.
type Activation struct {
	Version int64
	By      string
	From    time.Time
}

// Explanation is what would happen if somebody called now.
type Explanation struct {
	Steps         []string
	Rings         bool
	Outcome       string
	Held, Seconds int64
	Price         *Price
}

// Call is a call as an administrator sees it.
type Call struct {
	ID, Kind, State string
	StartedAt       time.Time `json:"started_at"`
	EndedAt         time.Time `json:"ended_at"`
	Client, Advisor Named
	From, Number    string
	Plan            int64
	Outcome         string
	EndedBy         string `json:"ended_by"`
	Seconds         float64
	Held, Charge    int64
	Currency        string
	Live            *struct {
		Step         string
		Legs         []struct{ Party, State string }
		TalkingSince time.Time `json:"talking_since"`
		Until        time.Time
		Left         int64 `json:"seconds_left"`
	}
}

// Explained is a call with all that explains it.
type Explained struct {
	Call
	Line, Talk string
	Cause      int
	Ring       float64 `json:"ring_seconds"`
	Price      *Price
	Rate       string
	Percent    int   `json:"advisor_percent"`
	Longest    int64 `json:"longest_seconds"`
	Holds      []struct {
		Number                     int
		Amount, Captured, Released int64
		Resolved                   bool
	}
	Transfers []struct {
		Kind, Key, From, To string
		Amount              int64
	}
	Refunded int64
	Receipt  string
	Acts     []Act
}

// Act is a row of the audit log.
type Act struct {
	ID                 int64
	At                 time.Time
	Who, What, Subject string
	Detail             map[string]string
}

// AdjustmentRequest asks to move money.
type AdjustmentRequest struct {
	Kind    string `json:"kind"` // refund, adjustment or payout
	Client  string `json:"client,omitempty"`
	Advisor string `json:"advisor,omitempty"`
	Call    string `json:"call,omitempty"`
	Amount  int64  `json:"amount"`
	Reason  string `json:"reason"`
	From    string `json:"from,omitempty"` // of a refund: platform or advisor
}

// Adjustment is money that an administrator moved, or wants to.
type Adjustment struct {
	ID, Kind, State       string
	Client, Advisor, Call string
	From, To              string
	Amount                int64
	Currency, Reason      string
	AskedBy               string `json:"asked_by"`
	Until                 time.Time
	DecidedBy             string `json:"decided_by"`
}

// LedgerAudit is what an audit found.
type LedgerAudit struct {
	ID, By  string
	At      time.Time
	Calls   int
	LogHash string `json:"log_hash"`
	Count   int    `json:"fault_count"`
	Faults  []struct{ Table, Row, Problem, Remedy string }
}

// NewClient is a client to be added.
type NewClient struct {
	Alias    string `json:"alias"`
	Phone    string `json:"phone"`
	Currency string `json:"currency"`
}

// Number is a number of the host, and what it does.
type Number struct {
	Number, Country, State string // free, lent or quarantine
	Loan, Client, Advisor  string
	Until                  time.Time
}

// Status is how the host does.
type Status struct {
	Program, API                     string
	Ready, Postgres, Redis, Asterisk struct {
		OK  bool
		Why string
	}
	Plan      int64
	NextPlan  *Activation  `json:"next_plan"`
	LiveCalls int          `json:"live_calls"`
	Waiting   int          `json:"adjustments_waiting"`
	LastAudit *LedgerAudit `json:"last_audit"`
}

func (c Client) CheckPlan(ctx context.Context, text string) ([]PlanFault, error) {
	var answer struct{ Faults []PlanFault }
	err := c.do(ctx, http.MethodPost, "/v1/plans/check", "", map[string]any{"text": text}, &answer)
	return answer.Faults, err
}

// DiffPlan says what a text would change from a version, or from the active one where
// against is 0.
func (c Client) DiffPlan(ctx context.Context, text string, against int64) ([]string, error) {
	body := map[string]any{"text": text}
	if against != 0 {
		body["against"] = against
	}
	var answer struct{ Changes []string }
	err := c.do(ctx, http.MethodPost, "/v1/plans/diff", "", body, &answer)
	return answer.Changes, err
}

func (c Client) SavePlan(ctx context.Context, key, text, note string) (p Plan, err error) {
	return p, c.do(ctx, http.MethodPost, "/v1/plans", key, map[string]any{"text": text, "note": note}, &p)
}

func (c Client) Plans(ctx context.Context) ([]Plan, error) {
	var page struct{ Plans []Plan }
	err := c.do(ctx, http.MethodGet, "/v1/plans", "", nil, &page)
	return page.Plans, err
}

func (c Client) Plan(ctx context.Context, version int64) (p Plan, err error) {
	return p, c.do(ctx, http.MethodGet, fmt.Sprint("/v1/plans/", version), "", nil, &p)
}

// ActivatePlan has a plan hold from a time on, or from now on where at is zero.
func (c Client) ActivatePlan(ctx context.Context, key string, version int64, at time.Time) (a Activation, err error) {
	body := map[string]any{}
	if !at.IsZero() {
		body["at"] = at
	}
	return a, c.do(ctx, http.MethodPost, fmt.Sprintf("/v1/plans/%d/activation", version), key, body, &a)
}

// WithdrawPlan takes back that a plan is to be activated.
func (c Client) WithdrawPlan(ctx context.Context, version int64) error {
	return c.do(ctx, http.MethodDelete, fmt.Sprintf("/v1/plans/%d/activation", version), "", nil, nil)
}

func (c Client) RollBackPlan(ctx context.Context, key string) (a Activation, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/plans/rollback", key, nil, &a)
}

func (c Client) ExplainPlan(ctx context.Context, version int64, ani, did string) (e Explanation, err error) {
	return e, c.do(ctx, http.MethodPost, fmt.Sprintf("/v1/plans/%d/explanation", version), "", map[string]any{"ani": ani, "did": did}, &e)
}

// Calls searches calls; the API's page names the parameters, such as state=live.
func (c Client) Calls(ctx context.Context, query url.Values) ([]Call, error) {
	var page struct{ Calls []Call }
	err := c.do(ctx, http.MethodGet, "/v1/calls?"+query.Encode(), "", nil, &page)
	return page.Calls, err
}

func (c Client) Call(ctx context.Context, id string) (e Explained, err error) {
	return e, c.do(ctx, http.MethodGet, "/v1/calls/"+url.PathEscape(id), "", nil, &e)
}

func (c Client) EndCall(ctx context.Context, key, id, reason string) error {
	return c.do(ctx, http.MethodPost, "/v1/calls/"+url.PathEscape(id)+"/end", key, map[string]any{"reason": reason}, nil)
}

func (c Client) Adjust(ctx context.Context, key string, r AdjustmentRequest) (a Adjustment, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/adjustments", key, r, &a)
}

// Adjustments lists adjustments; the API's page names the parameters.
func (c Client) Adjustments(ctx context.Context, query url.Values) ([]Adjustment, error) {
	var page struct{ Adjustments []Adjustment }
	err := c.do(ctx, http.MethodGet, "/v1/adjustments?"+query.Encode(), "", nil, &page)
	return page.Adjustments, err
}

func (c Client) Adjustment(ctx context.Context, id string) (a Adjustment, err error) {
	return a, c.do(ctx, http.MethodGet, "/v1/adjustments/"+url.PathEscape(id), "", nil, &a)
}

func (c Client) ApproveAdjustment(ctx context.Context, key, id string) (a Adjustment, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/adjustments/"+url.PathEscape(id)+"/approval", key, nil, &a)
}

func (c Client) RefuseAdjustment(ctx context.Context, key, id string) (a Adjustment, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/adjustments/"+url.PathEscape(id)+"/refusal", key, nil, &a)
}

// AuditLog reads the audit log; the API's page names the parameters.
func (c Client) AuditLog(ctx context.Context, query url.Values) ([]Act, error) {
	var page struct{ Acts []Act }
	err := c.do(ctx, http.MethodGet, "/v1/audit-log?"+query.Encode(), "", nil, &page)
	return page.Acts, err
}

func (c Client) AuditLedger(ctx context.Context, key string) (a LedgerAudit, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/ledger/audits", key, nil, &a)
}

func (c Client) LedgerAudits(ctx context.Context) ([]LedgerAudit, error) {
	var page struct{ Audits []LedgerAudit }
	err := c.do(ctx, http.MethodGet, "/v1/ledger/audits", "", nil, &page)
	return page.Audits, err
}

// Accounts searches clients; the API's page names the parameters.
func (c Client) Accounts(ctx context.Context, query url.Values) ([]Account, error) {
	var page struct{ Clients []Account }
	err := c.do(ctx, http.MethodGet, "/v1/clients?"+query.Encode(), "", nil, &page)
	return page.Clients, err
}

func (c Client) AddClient(ctx context.Context, key string, n NewClient) (a Account, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/clients", key, n, &a)
}

func (c Client) Numbers(ctx context.Context) ([]Number, error) {
	var page struct{ Numbers []Number }
	err := c.do(ctx, http.MethodGet, "/v1/numbers", "", nil, &page)
	return page.Numbers, err
}

func (c Client) TakeBackLoan(ctx context.Context, loan string) error {
	return c.do(ctx, http.MethodDelete, "/v1/loans/"+url.PathEscape(loan), "", nil, nil)
}

func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/status", "", nil, &s)
}

// Statistics are calls, talk and money by the hour, the oldest first.
type Statistics struct {
	Currency string
	Hours    []StatisticsHour
}

// StatisticsHour is of the calls that began in one hour and have ended.
type StatisticsHour struct {
	From            time.Time
	Calls, Answered int
	TalkSeconds     float64 `json:"talk_seconds"`
	RingSeconds     float64 `json:"ring_seconds"`
	WaitSeconds     float64 `json:"wait_seconds"`
	Held, Captured  int64
}

// Statistics tells of the last hours, with the one that has begun.
func (c Client) Statistics(ctx context.Context, hours int) (s Statistics, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/statistics?hours="+strconv.Itoa(hours), "", nil, &s)
}
