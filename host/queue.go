package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/dialplan"
	"parley/ivr"
	"parley/store"
)

// Wait is a client's waiting for an advisor.
type Wait struct {
	ID       store.WaitID    `json:"id" example:"wait_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	State    store.WaitState `json:"state" enum:"waiting,turn,talked,left,missed_turn,no_funds,not_reached,not_accepted,failed" doc:"waiting: in line. turn: the advisor is reserved for the client, until then; on the page they ask for the talk and dial, to be called back they do nothing. All others are ends, and only talked may have cost something: left by the client; the turn was not taken in time; too little money at the turn; the client did not answer or did not press 1; the advisor did not take the call; our fault."`
	Mode     store.WaitMode  `json:"mode" enum:"page,call_back"`
	Client   ivr.ClientID    `json:"client"`
	Advisor  Named           `json:"advisor"`
	Topic    string          `json:"topic,omitempty"`
	JoinedAt time.Time       `json:"joined_at"`
	Place    int             `json:"place,omitempty" example:"2" doc:"In line, from 1, while it is waiting."`
	AtMost   *int64          `json:"at_most,omitempty" example:"1840" doc:"Seconds until the turn, while it is waiting: the worst that can come with the money that all have now. Not there while the advisor is away."`
	Away     bool            `json:"advisor_away,omitempty" doc:"The advisor is off line or out of hours. All places are kept."`
	Talk     ivr.LoanID      `json:"talk,omitempty" doc:"Of the turn: GET /v1/talk/{id} has the number."`
	Until    *time.Time      `json:"until,omitempty" doc:"The end of the turn."`
}

func waitOf(w store.Wait) Wait {
	out := Wait{
		ID: w.ID, State: w.State, Mode: w.Mode, Client: w.Client, Advisor: Named{string(w.Advisor), w.AdvisorName},
		Topic: w.Topic, JoinedAt: w.JoinedAt, Place: w.Place, Away: w.Away, Talk: w.Loan,
	}
	switch {
	case w.State == store.Waiting && !w.Away:
		atMost := secondsUp(w.AtMost)
		out.AtMost = &atMost
	case w.State == store.Turn:
		out.Until = &w.Until
	}
	return out
}

// secondsUp are whole seconds, rounded up: what is at most stays so.
func secondsUp(d time.Duration) int64 { return seconds(d + time.Second - 1) }

// InLine is a client who waits, as the advisor is told.
type InLine struct {
	ID    store.WaitID    `json:"id"`
	State store.WaitState `json:"state" enum:"waiting,turn" doc:"turn: the advisor is reserved for them."`
	Alias string          `json:"alias" example:"Blue Heron"`
	Mode  store.WaitMode  `json:"mode" enum:"page,call_back"`
	Topic string          `json:"topic,omitempty"`
	Since time.Time       `json:"since"`
	Place int             `json:"place,omitempty" example:"2" doc:"From 1; not there for whose turn it is."`
}

// Queue is an advisor's.
type Queue struct {
	Waits []InLine `json:"waits" nullable:"false" doc:"In their order."`
}

// Waits are a client's.
type Waits struct {
	Waits []Wait `json:"waits" nullable:"false"`
}

type queueBody struct {
	Client  ivr.ClientID   `json:"client,omitempty" maxLength:"64" pattern:"^[a-z0-9_]+$" example:"cli_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"Who waits. A client's session need not say it."`
	Advisor ivr.AdvisorID  `json:"advisor" minLength:"1" maxLength:"64" pattern:"^[a-z0-9_]+$" example:"adv_06g3qz1x2m8y4k7v9w0e5r6t8c" doc:"For whom."`
	Mode    store.WaitMode `json:"mode" enum:"page,call_back" doc:"page: the client keeps the page open and is told when it is their turn. call_back: then we call them; they press 1, and the advisor is called."`
	Topic   string         `json:"topic,omitempty" maxLength:"80" pattern:"^[\\p{L}\\p{N} .,!?'-]*$" example:"my cat" doc:"What it is about. The advisor hears it before accepting."`
	Country string         `json:"country,omitempty" pattern:"^[A-Z]{2}$" example:"DE" doc:"Of the number, ISO 3166-1; any where not said."`
}

type waitAnswer struct {
	Location string `header:"Location"`
	Body     Wait
}

func (h *Host) queueRoutes() {
	everyone := []store.Role{store.RoleSite, store.RoleClient, store.RoleAdmin}
	add(h, huma.Operation{
		OperationID: "join-queue", Method: http.MethodPost, Path: "/v1/queue", DefaultStatus: http.StatusCreated,
		Summary: "Wait for an advisor",
		Description: "For a client who could talk now, were the advisor free: the money is asked for now, and again at the turn. " +
			"Waiting costs nothing. A client who waits already keeps their place, with the new mode and topic.",
		Errors: []int{http.StatusPaymentRequired, http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.joinQueue, store.RoleSite, store.RoleClient)
	add(h, huma.Operation{
		OperationID: "get-wait", Method: http.MethodGet, Path: "/v1/queue/{id}", Summary: "See the place in line, and how long it takes at most",
		Errors: []int{http.StatusNotFound},
	}, h.getWait, everyone...)
	add(h, huma.Operation{
		OperationID: "leave-queue", Method: http.MethodDelete, Path: "/v1/queue/{id}", DefaultStatus: http.StatusNoContent, Summary: "Wait no more",
		Description: "Also when it is the client's turn: then the next one comes. A call that is up goes on. What is over already is no error.",
		Errors:      []int{http.StatusNotFound},
	}, h.leaveQueue, everyone...)
	add(h, huma.Operation{
		OperationID: "list-waits", Method: http.MethodGet, Path: "/v1/clients/{id}/queue", Summary: "List for whom a client waits",
		Errors: []int{http.StatusNotFound},
	}, h.waits, everyone...)
	add(h, huma.Operation{
		OperationID: "get-queue", Method: http.MethodGet, Path: "/v1/advisors/{id}/queue", Summary: "See who waits for an advisor",
		Errors: []int{http.StatusNotFound},
	}, h.queue, store.RoleAdvisor, store.RoleAdmin)
}

func (h *Host) joinQueue(ctx context.Context, in *struct {
	Keyed
	Body queueBody
}) (*waitAnswer, error) {
	client, err := actFor(ctx, in.Body.Client)
	if err != nil {
		return nil, err
	}
	in.Body.Client = client
	if err := h.limits.talks.take(string(client)); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "join-queue", in.Body)
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	wait, err := h.Store.JoinQueue(ctx, request, plan, store.WaitRequest{
		Client: client, Advisor: in.Body.Advisor, Mode: in.Body.Mode, Topic: in.Body.Topic, Country: in.Body.Country,
	})
	if err != nil {
		return nil, h.topUp(err, client, plan)
	}
	return &waitAnswer{"/v1/queue/" + string(wait.ID), waitOf(wait)}, nil
}

func (h *Host) getWait(ctx context.Context, in *ByID[store.WaitID]) (*struct{ Body Wait }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	wait, err := h.Store.Wait(ctx, plan, in.ID, own(ctx))
	if err != nil {
		return nil, err
	}
	return &struct{ Body Wait }{waitOf(wait)}, nil
}

func (h *Host) leaveQueue(ctx context.Context, in *ByID[store.WaitID]) (*struct{}, error) {
	return nil, h.Store.LeaveQueue(ctx, in.ID, own(ctx))
}

func (h *Host) waits(ctx context.Context, in *ByID[ivr.ClientID]) (*struct{ Body Waits }, error) {
	if err := onlyClient(ctx, in.ID); err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	list, err := h.Store.WaitsOf(ctx, plan, in.ID)
	if err != nil {
		return nil, err
	}
	waits := make([]Wait, len(list))
	for i, w := range list {
		waits[i] = waitOf(w)
	}
	return &struct{ Body Waits }{Waits{waits}}, nil
}

func (h *Host) queue(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{ Body Queue }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	list, err := h.Store.Queue(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	line := make([]InLine, len(list))
	for i, w := range list {
		line[i] = InLine{w.ID, w.State, w.Alias, w.Mode, w.Topic, w.JoinedAt, w.Place}
	}
	return &struct{ Body Queue }{Queue{line}}, nil
}

// choices are what a client can do whose advisor is busy.
func choices(busy *store.AdvisorBusy, askAgain int64) []Choice {
	list := []Choice{{Kind: "ask_again", After: askAgain}}
	if busy.Place > 0 {
		wait := secondsUp(busy.AtMost)
		list = append(list, Choice{Kind: "queue", After: wait, Place: busy.Place})
		if busy.CallBack {
			list = append(list, Choice{Kind: "call_back", After: wait, Place: busy.Place})
		}
	}
	return append(list, Choice{Kind: "appointment"})
}

func notCallable(why *dialplan.NotCallable) *Problem {
	p := newProblem("not_callable")
	p.Detail = why.Error() + "."
	return p
}
