package host

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/nyaruka/phonenumbers"

	"parley/ivr"
	"parley/store"
)

type newClientBody struct {
	Alias    string `json:"alias" minLength:"1" maxLength:"80" pattern:"^[\\p{L}\\p{N} .,!?'-]+$" example:"Blue Heron" doc:"What advisors hear instead of a name."`
	Phone    string `json:"phone" maxLength:"16" pattern:"^\\+[1-9][0-9]{6,14}$" example:"+4915112345601" doc:"The number they call from, E.164."`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" example:"EUR" doc:"Of the account, for good."`
}

func (h *Host) deskRoutes() {
	admin := store.RoleAdmin
	add(h, huma.Operation{
		OperationID: "list-clients", Method: http.MethodGet, Path: "/v1/clients", Summary: "Search clients, the newest first",
	}, h.clients, admin)
	add(h, huma.Operation{
		OperationID: "add-client", Method: http.MethodPost, Path: "/v1/clients", DefaultStatus: http.StatusCreated, Summary: "Add a client with an empty account",
		Errors: []int{http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.addClient, store.RoleSite, admin)
	add(h, huma.Operation{
		OperationID: "list-numbers", Method: http.MethodGet, Path: "/v1/numbers", Summary: "See what the active plan's numbers do",
	}, h.numbers, admin)
	add(h, huma.Operation{
		OperationID: "take-back-loan", Method: http.MethodDelete, Path: "/v1/loans/{id}", DefaultStatus: http.StatusNoContent,
		Summary: "Take a number back before its time", Description: "Its quarantine begins. A call that is up goes on. What is over already is no error.",
		Errors: []int{http.StatusNotFound},
	}, h.takeBackLoan, admin)
	add(h, huma.Operation{
		OperationID: "list-acts", Method: http.MethodGet, Path: "/v1/audit-log", Summary: "Read the audit log, the newest first",
		Description: "Each row's hash covers the row before it: POST /v1/ledger/audits follows the chain.",
	}, h.acts, admin)
	add(h, huma.Operation{
		OperationID: "audit-ledger", Method: http.MethodPost, Path: "/v1/ledger/audits", DefaultStatus: http.StatusCreated,
		Summary:     "Check every account, call, hold and transfer, and name each row that is wrong",
		Description: "The result is kept. The program does the same every night, without a bound on its time.",
		Errors:      []int{http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.audit, admin)
	add(h, huma.Operation{
		OperationID: "list-audits", Method: http.MethodGet, Path: "/v1/ledger/audits", Summary: "See what the last audits found",
	}, h.audits, admin)
	add(h, huma.Operation{
		OperationID: "get-status", Method: http.MethodGet, Path: "/v1/status", Summary: "See how the host does",
	}, h.status, admin)
}

// Clients is a page of clients.
type Clients struct {
	Clients []Client `json:"clients" nullable:"false"`
}

func (h *Host) clients(ctx context.Context, in *struct {
	Alias  string       `query:"alias" maxLength:"80" pattern:"^[^\\x00]*$" example:"blue" doc:"How it begins, in whatever case."`
	Phone  string       `query:"phone" maxLength:"16" pattern:"^(\\+[1-9][0-9]{6,14})?$" example:"+4915112345601" doc:"The whole number, found by its hash."`
	Before ivr.ClientID `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only older ones: the last of the page before."`
	Limit  int          `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*struct{ Body Clients }, error) {
	list, err := h.Store.SearchClients(ctx, store.ClientFilter{Alias: in.Alias, Phone: in.Phone, Before: in.Before}, in.Limit)
	return &struct{ Body Clients }{Clients{each(list, clientOf)}}, err
}

func (h *Host) addClient(ctx context.Context, in *struct {
	Keyed
	Body newClientBody
}) (*struct{ Body Client }, error) {
	n, err := phonenumbers.Parse(in.Body.Phone, "ZZ") // no country is assumed
	if err != nil || phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return nil, invalid("body.phone", "there can be no such number in its country")
	}
	request, err := in.request(ctx, "add-client", in.Body)
	if err != nil {
		return nil, err
	}
	c, err := h.Store.RequestClient(ctx, request, asker(ctx).Who(),
		store.Client{Alias: in.Body.Alias, Phone: in.Body.Phone, Currency: in.Body.Currency})
	return &struct{ Body Client }{clientOf(c)}, err
}

// Number is a number of ours, and what it does.
type Number struct {
	Number  string        `json:"number" example:"+493055500101"`
	Country string        `json:"country" example:"DE"`
	State   string        `json:"state" enum:"free,lent,quarantine" doc:"quarantine: who dials it hears that it has expired."`
	Loan    ivr.LoanID    `json:"loan,omitempty" doc:"Whose it is, or was last."`
	Client  ivr.ClientID  `json:"client,omitempty"`
	Advisor ivr.AdvisorID `json:"advisor,omitempty"`
	Until   *time.Time    `json:"until,omitempty" doc:"Lent until then, or in quarantine until then."`
}

// Numbers are all numbers of a plan.
type Numbers struct {
	Plan    int64    `json:"plan" example:"7"`
	Numbers []Number `json:"numbers" nullable:"false"`
}

func (h *Host) numbers(ctx context.Context, _ *struct{}) (*struct{ Body Numbers }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	dids := make([]string, len(plan.Numbers))
	for i, n := range plan.Numbers {
		dids[i] = n.DID
	}
	states, err := h.Store.NumberStates(ctx, dids)
	if err != nil {
		return nil, err
	}
	out := Numbers{plan.Version, []Number{}}
	for i, s := range states {
		n := Number{s.DID, plan.Numbers[i].Country, "free", s.Loan, s.Client, s.Advisor, timeOrNil(s.Until)}
		switch {
		case s.Lent:
			n.State = "lent"
		case s.Loan != "":
			n.State, n.Until = "quarantine", timeOrNil(s.KeptUntil)
		}
		out.Numbers = append(out.Numbers, n)
	}
	return &struct{ Body Numbers }{out}, nil
}

func (h *Host) takeBackLoan(ctx context.Context, in *ByID[ivr.LoanID]) (*struct{}, error) {
	return nil, h.Store.TakeBackLoan(ctx, asker(ctx).Who(), in.ID)
}

// LoggedAct is a row of the audit log.
type LoggedAct struct {
	ID      int64             `json:"id" doc:"They are numbered without gaps."`
	At      time.Time         `json:"at"`
	Who     string            `json:"who" example:"Ada"`
	What    string            `json:"what" example:"plan activated"`
	Subject string            `json:"subject" example:"plan 7" doc:"What it was done to."`
	Detail  map[string]string `json:"detail"`
}

func loggedActOf(a store.Act) LoggedAct {
	return LoggedAct{a.ID, a.At, a.Who, a.What, a.Subject, a.Detail}
}

// AuditLog is a page of the audit log.
type AuditLog struct {
	Acts []LoggedAct `json:"acts" nullable:"false"`
}

func (h *Host) acts(ctx context.Context, in *struct {
	Subject string `query:"subject" maxLength:"200" pattern:"^[^\\x00]*$" example:"plan 7" doc:"Only what was done to this."`
	Who     string `query:"who" maxLength:"200" pattern:"^[^\\x00]*$" example:"Ada" doc:"Only what they did."`
	Before  int64  `query:"before" minimum:"0" doc:"Only older ones: the last of the page before."`
	Limit   int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*struct{ Body AuditLog }, error) {
	f := store.ActFilter{Who: in.Who, Before: in.Before}
	if in.Subject != "" {
		f.Subjects = []string{in.Subject}
	}
	acts, err := h.Store.Acts(ctx, f, in.Limit)
	return &struct{ Body AuditLog }{AuditLog{each(acts, loggedActOf)}}, err
}

// LedgerAudit is what an audit found.
type LedgerAudit struct {
	ID        string        `json:"id"`
	At        time.Time     `json:"at"`
	By        string        `json:"by" example:"Ada"`
	Seconds   float64       `json:"seconds" example:"0.4" doc:"That it took."`
	Accounts  int           `json:"accounts" doc:"That were checked."`
	Transfers int           `json:"transfers"`
	Calls     int           `json:"calls"`
	Acts      int           `json:"acts" doc:"Of the audit log."`
	LogRow    int64         `json:"log_row" doc:"The audit log's last row. Keep it and its hash elsewhere: that rows are missing at the end the log itself cannot tell."`
	LogHash   string        `json:"log_hash"`
	Count     int           `json:"fault_count" example:"0"`
	Faults    []LedgerFault `json:"faults" nullable:"false" doc:"The first of them."`
}

// LedgerFault is a row that is not as it must be.
type LedgerFault struct {
	Table   string `json:"table" example:"accounts"`
	Row     string `json:"row"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
}

func ledgerAuditOf(a store.LedgerAudit) LedgerAudit {
	return LedgerAudit{a.ID, a.At, a.By, a.Took.Seconds(), a.Accounts, a.Transfers, a.Calls, a.Acts, a.LogRow, a.LogHash, a.Count,
		each(a.Faults, func(f store.Fault) LedgerFault { return LedgerFault(f) })}
}

const (
	auditMost  = 15 * time.Second // within writeTakes
	faultsMost = 100              // of each audit in a list
)

func (h *Host) audit(ctx context.Context, in *struct{ Keyed }) (*struct{ Body LedgerAudit }, error) {
	request, err := in.request(ctx, "audit-ledger", nil)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, auditMost)
	defer cancel()
	a, err := h.Store.RequestAudit(bounded, request, asker(ctx).Who())
	if errors.Is(bounded.Err(), context.DeadlineExceeded) {
		return nil, newProblem("audit_long")
	}
	return &struct{ Body LedgerAudit }{ledgerAuditOf(a)}, err
}

// LedgerAudits are the last audits.
type LedgerAudits struct {
	Audits []LedgerAudit `json:"audits" nullable:"false"`
}

func (h *Host) audits(ctx context.Context, in *struct {
	Limit int `query:"limit" minimum:"1" maximum:"100" default:"20"`
}) (*struct{ Body LedgerAudits }, error) {
	list, err := h.Store.Audits(ctx, in.Limit, faultsMost)
	return &struct{ Body LedgerAudits }{LedgerAudits{each(list, ledgerAuditOf)}}, err
}

// Status is how the host does.
type Status struct {
	Program   string       `json:"program" example:"v1.4.0" doc:"The version that answers."`
	API       string       `json:"api" example:"1.0.0"`
	Ready     Part         `json:"ready" doc:"Whether calls are taken here."`
	Postgres  Part         `json:"postgres"`
	Redis     Part         `json:"redis" doc:"Without it all goes on, a little slower."`
	Asterisk  Part         `json:"asterisk"`
	Trunk     Part         `json:"trunk" doc:"The carrier's, as Asterisk sees it."`
	Plan      int64        `json:"plan,omitempty" doc:"The version in force."`
	NextPlan  *Activation  `json:"next_plan,omitempty" doc:"The next that is to be activated."`
	LiveCalls int          `json:"live_calls" doc:"That this copy of the program runs."`
	Nodes     []Node       `json:"nodes" nullable:"false" doc:"All that share the database."`
	Waiting   int          `json:"adjustments_waiting" doc:"For another person's approval."`
	LastAudit *LedgerAudit `json:"last_audit,omitempty"`
}

// Node is an Asterisk and the copies of the program that serve it.
type Node struct {
	Name     string `json:"name" example:"asterisk"`
	Served   bool   `json:"served" doc:"A copy of the program answers its calls."`
	Draining bool   `json:"draining" doc:"It takes no new calls."`
	Open     int    `json:"open_calls" doc:"For which money is held."`
}

// Part says whether something works.
type Part struct {
	OK  bool   `json:"ok"`
	Why string `json:"why,omitempty" doc:"Not."`
}

func partOf(err error) Part {
	if err != nil {
		return Part{Why: err.Error()}
	}
	return Part{OK: true}
}

// ProgramVersion is what the binary says of itself.
func ProgramVersion() string {
	info, known := debug.ReadBuildInfo()
	if !known {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (version == "" || version == "(devel)") {
			version = s.Value[:min(12, len(s.Value))]
		}
	}
	return cmp.Or(version, "unknown")
}

func (h *Host) status(ctx context.Context, _ *struct{}) (*struct{ Body Status }, error) {
	ping, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out := Status{
		Program: ProgramVersion(), API: Version, Ready: partOf(h.Ready(ping)), Postgres: partOf(h.Store.Ping(ping)),
		Redis: partOf(h.Store.PingRedis(ping)), Asterisk: Part{OK: h.Asterisk != nil && h.Asterisk()}, LiveCalls: len(h.running()),
	}
	if h.Trunk != nil {
		out.Trunk = partOf(h.Trunk(ping))
	}
	if !out.Asterisk.OK {
		out.Asterisk.Why = "it is not connected to this copy of the program"
		out.Trunk = Part{Why: "Asterisk is not connected"}
	}
	version, err := h.Store.ActivePlan(ctx)
	if err != nil && !errors.Is(err, ivr.ErrNoPlan) {
		return nil, err
	}
	out.Plan = version
	next, err := h.Store.NextActivation(ctx)
	if err == nil {
		out.NextPlan = &Activation{next.Version, next.By, next.HoldsFrom}
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if out.Waiting, err = h.Store.AdjustmentsWaiting(ctx); err != nil {
		return nil, err
	}
	nodes, err := h.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	out.Nodes = each(nodes, func(n store.Node) Node { return Node{n.Name, n.Served, n.Draining, n.Open} })
	last, err := h.Store.Audits(ctx, 1, 0)
	if len(last) > 0 {
		audit := ledgerAuditOf(last[0])
		out.LastAudit = &audit
	}
	return &struct{ Body Status }{out}, err
}
