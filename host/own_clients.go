package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// OwnClient is a client as an advisor knows them.
type OwnClient struct {
	ID       ivr.ClientID `json:"id"`
	Alias    string       `json:"alias" example:"Blue Heron"`
	LastCall ivr.CallID   `json:"last_call" doc:"Send it as before for the next page."`
	LastAt   time.Time    `json:"last_at"`
	Talks    int          `json:"talks" example:"3"`
	Seconds  int64        `json:"seconds" example:"1820" doc:"Of all talks together."`
	Noted    bool         `json:"noted" doc:"There is a note about them."`
	Blocked  bool         `json:"blocked" doc:"By the advisor."`
}

// OwnClients is a page of them.
type OwnClients struct {
	Clients []OwnClient `json:"clients" nullable:"false"`
}

// AdvisorCall is a call as its advisor sees it.
type AdvisorCall struct {
	ID        ivr.CallID      `json:"id"`
	Client    Named           `json:"client" doc:"By alias."`
	StartedAt time.Time       `json:"started_at"`
	Seconds   float64         `json:"seconds" example:"143.2" doc:"Of talk."`
	Share     money.Amount    `json:"share" example:"287" doc:"What the advisor earned by it, in minor units."`
	Currency  string          `json:"currency,omitempty" example:"EUR"`
	Outcome   ivr.Disposition `json:"outcome" example:"completed"`
}

// AdvisorCalls is a page of them.
type AdvisorCalls struct {
	Calls []AdvisorCall `json:"calls" nullable:"false"`
}

// Earnings is what an advisor has earned.
type Earnings struct {
	Zone  string        `json:"zone" example:"Europe/Berlin" doc:"By whose clocks days are counted."`
	Days  []DayEarned   `json:"days" nullable:"false" doc:"The newest first; days without earnings are left out."`
	InAll []EarnedInAll `json:"in_all" nullable:"false" doc:"Ever, less what was paid out or taken back."`
}

// DayEarned is what a day brought.
type DayEarned struct {
	Day string `json:"day" format:"date" example:"2026-03-01"`
	EarnedInAll
}

// EarnedInAll is an amount of a currency.
type EarnedInAll struct {
	Currency string       `json:"currency" example:"EUR"`
	Amount   money.Amount `json:"amount" example:"1240" doc:"In minor units."`
}

// PaidTime is how long a client can talk for.
type PaidTime struct {
	Seconds int64 `json:"seconds" example:"1507"`
}

// Note is what an advisor wrote down about a client.
type Note struct {
	Note string     `json:"note"`
	At   *time.Time `json:"changed_at,omitempty"`
}

func (h *Host) ownClientRoutes() {
	ofAdvisor := []store.Role{store.RoleAdvisor, store.RoleAdmin}
	none := []int{http.StatusNotFound}
	add(h, huma.Operation{
		OperationID: "list-own-clients", Method: http.MethodGet, Path: "/v1/advisors/{id}/clients", Errors: none,
		Summary: "List the clients with whom an advisor has talked", Description: "Who talked last comes first.",
	}, h.ownClients, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "list-own-calls", Method: http.MethodGet, Path: "/v1/advisors/{id}/calls", Errors: none,
		Summary: "List an advisor's calls that have ended", Description: "The newest first.",
	}, h.ownCalls, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "get-paid-time", Method: http.MethodGet, Path: "/v1/calls/{id}/paid-time", Errors: none,
		Summary: "See how long a client can talk for, in all", Description: "For the advisor in a call of theirs: more when the client adds money, and 0 when the call is over.",
	}, h.paidTime, store.RoleAdvisor)
	add(h, huma.Operation{
		OperationID: "get-earnings", Method: http.MethodGet, Path: "/v1/advisors/{id}/earnings", Errors: none, Summary: "See what an advisor has earned",
	}, h.earnings, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "get-note", Method: http.MethodGet, Path: "/v1/advisors/{id}/clients/{client}/note", Errors: none,
		Summary: "Read what an advisor wrote down about a client",
	}, h.getNote, store.RoleAdvisor)
	add(h, huma.Operation{
		OperationID: "set-note", Method: http.MethodPut, Path: "/v1/advisors/{id}/clients/{client}/note", DefaultStatus: http.StatusNoContent,
		Summary: "Write down something about a client", Description: "Nobody but the advisor can read it. Only about clients who have called, have a number or an appointment, or wait in line.",
		Errors: []int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.setNote, store.RoleAdvisor)
}

// byAdvisorPage asks for a page of an advisor's calls or clients.
type byAdvisorPage struct {
	ByID[ivr.AdvisorID]
	Before ivr.CallID `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only older ones: the last call of the page before."`
	Limit  int        `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (h *Host) ownClients(ctx context.Context, in *byAdvisorPage) (*struct{ Body OwnClients }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	list, err := h.Store.OwnClients(ctx, in.ID, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := OwnClients{make([]OwnClient, len(list))}
	for i, c := range list {
		out.Clients[i] = OwnClient{c.ID, c.Alias, c.LastCall, c.LastAt, c.Talks, c.TalkMS / 1000, c.Noted, c.Blocked}
	}
	return &struct{ Body OwnClients }{out}, nil
}

func (h *Host) ownCalls(ctx context.Context, in *byAdvisorPage) (*struct{ Body AdvisorCalls }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	list, err := h.Store.AdvisorCalls(ctx, in.ID, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := AdvisorCalls{make([]AdvisorCall, len(list))}
	for i, c := range list {
		out.Calls[i] = AdvisorCall{c.ID, Named{string(c.Client), c.Alias}, c.StartedAt, float64(c.TalkMS) / 1000, c.Share, c.Currency, c.Disposition}
	}
	return &struct{ Body AdvisorCalls }{out}, nil
}

func (h *Host) paidTime(ctx context.Context, in *ByID[ivr.CallID]) (*struct{ Body PaidTime }, error) {
	r, err := h.Store.Receipt(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if err := onlyOwn(ctx, r.Advisor); err != nil {
		return nil, err
	}
	longest, err := h.longest(ctx, r, receiptOf(r).Held)
	return &struct{ Body PaidTime }{PaidTime{longest}}, err
}

func (h *Host) earnings(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Zone string `query:"zone" maxLength:"64" example:"Europe/Berlin" doc:"That of the advisor's hours, or UTC, where not said."`
	From string `query:"from" format:"date" example:"2026-03-01" doc:"The first day; thirty days before the last where not said."`
	To   string `query:"to" format:"date" example:"2026-03-31" doc:"The last day; today where not said."`
}) (*struct{ Body Earnings }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	hours, _, err := h.Store.Hours(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	of := store.DaysOf{Zone: "UTC", From: in.From, To: in.To}
	switch {
	case in.Zone != "":
		of.Zone = in.Zone
		if err := (store.Hours{Zone: in.Zone}).Check(); err != nil {
			return nil, invalid("query.zone", err.Error())
		}
	case hours.Zone != "":
		of.Zone = hours.Zone
	}
	days, all, err := h.Store.Earnings(ctx, in.ID, of)
	if err != nil {
		return nil, err
	}
	out := Earnings{of.Zone, make([]DayEarned, len(days)), make([]EarnedInAll, len(all))}
	for i, d := range days {
		out.Days[i] = DayEarned{d.Day, EarnedInAll{d.Currency, d.Amount}}
	}
	for i, e := range all {
		out.InAll[i] = EarnedInAll{e.Currency, e.Amount}
	}
	return &struct{ Body Earnings }{out}, nil
}

// ByPair is a request about an advisor and a client of theirs.
type ByPair struct {
	ByID[ivr.AdvisorID]
	Client ivr.ClientID `path:"client" maxLength:"64" pattern:"^[a-z0-9_]+$"`
}

func (h *Host) getNote(ctx context.Context, in *ByPair) (*struct{ Body Note }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	note, at, err := h.Store.Note(ctx, in.ID, in.Client)
	return &struct{ Body Note }{Note{note, someTime(at)}}, err
}

func (h *Host) setNote(ctx context.Context, in *struct {
	ByPair
	Body struct {
		Note string `json:"note" maxLength:"4000" pattern:"^[^\\x00]*$"`
	}
}) (*struct{}, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, h.Store.SetNote(ctx, in.ID, in.Client, in.Body.Note)
}
