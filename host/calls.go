package host

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Call is a call as an administrator sees it.
type Call struct {
	ID        ivr.CallID      `json:"id" example:"call_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	Kind      ivr.Kind        `json:"kind" example:"client"`
	State     string          `json:"state" enum:"live,ended"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   *time.Time      `json:"ended_at,omitempty"`
	Client    *Named          `json:"client,omitempty" doc:"By their alias. Not there until the caller is known."`
	Advisor   *Named          `json:"advisor,omitempty"`
	From      string          `json:"from,omitempty" example:"+49********01" doc:"Who called, masked."`
	Number    string          `json:"number,omitempty" example:"+493055500101" doc:"That was dialled."`
	Plan      int64           `json:"plan,omitempty" example:"7" doc:"The version that holds for it."`
	Outcome   ivr.Disposition `json:"outcome,omitempty" example:"completed"`
	EndedBy   string          `json:"ended_by,omitempty" enum:"client,advisor,parley"`
	Seconds   float64         `json:"seconds" example:"143.2" doc:"Of talk, so far or in all."`
	Held      money.Amount    `json:"held" example:"5000" doc:"In minor units."`
	Charge    money.Amount    `json:"charge" example:"478" doc:"In minor units, before refunds."`
	Currency  string          `json:"currency,omitempty" example:"EUR"`
	Live      *Live           `json:"live,omitempty" doc:"What the program knows that runs it. A call of another copy of the program, or of one that died, has none."`
}

// Live is how far a call has come.
type Live struct {
	Step         ivr.Step   `json:"step" example:"talking" doc:"Such as identifying, ringing, talking, reconnecting, ending."`
	Legs         []LiveLeg  `json:"legs" nullable:"false"`
	TalkingSince *time.Time `json:"talking_since,omitempty" doc:"Since when the two can hear each other."`
	Until        *time.Time `json:"until,omitempty" doc:"When the talk ends, unless money is added."`
	Left         int64      `json:"seconds_left,omitempty" example:"812"`
}

// LiveLeg is a party of a call. Numbers are not told.
type LiveLeg struct {
	Party string `json:"party" enum:"client,advisor"`
	State string `json:"state" enum:"up,ringing"`
}

func liveOf(c ivr.LiveCall) *Live {
	live := &Live{Step: c.Step, Legs: []LiveLeg{}, TalkingSince: timeOrNil(c.TalkingSince), Until: timeOrNil(c.Deadline)}
	if !c.Deadline.IsZero() {
		live.Left = max(0, seconds(time.Until(c.Deadline)))
	}
	for _, leg := range []struct {
		party       string
		up, ringing bool
	}{{"client", c.ClientUp, c.Step == ivr.CallingClient}, {"advisor", c.AdvisorUp, c.Step == ivr.Ringing}} {
		if leg.up {
			live.Legs = append(live.Legs, LiveLeg{leg.party, "up"})
		} else if leg.ringing {
			live.Legs = append(live.Legs, LiveLeg{leg.party, "ringing"})
		}
	}
	return live
}

func callOf(c store.Call) Call {
	out := Call{
		ID: c.ID, Kind: c.Kind, State: "live", StartedAt: c.StartedAt, EndedAt: timeOrNil(c.EndedAt), Client: named(string(c.Client)),
		Advisor: named(string(c.Advisor)), From: c.ANI, Number: c.DID, Plan: c.Plan, Outcome: c.Disposition, EndedBy: c.EndedBy,
		Seconds: c.Talk().Seconds(), Held: c.Held, Charge: c.Charge, Currency: c.Currency(),
	}
	if !c.Open() {
		out.State = "ended"
	}
	return out
}

func named(id string) *Named {
	if id == "" {
		return nil
	}
	return &Named{ID: id}
}

// now makes c what the program that runs it knows of it.
func (c *Call) now(live ivr.LiveCall) {
	c.ID, c.Kind, c.State, c.StartedAt, c.Live = live.ID, live.Kind, "live", live.StartedAt, liveOf(live)
	c.Held, c.Plan = live.Held, live.Plan
	if live.Client != "" {
		c.Client = named(string(live.Client))
	}
	if live.Advisor != "" {
		c.Advisor = named(string(live.Advisor))
	}
	talk := live.Talked
	if !live.TalkingSince.IsZero() {
		talk += time.Since(live.TalkingSince)
	}
	c.Seconds = talk.Seconds()
}

// running is what this program runs, by ID.
func (h *Host) running() map[ivr.CallID]ivr.LiveCall {
	running := map[ivr.CallID]ivr.LiveCall{}
	if h.Running != nil {
		for _, c := range h.Running.Calls() {
			running[c.ID] = c
		}
	}
	return running
}

// join tells calls of the ledger as they are now, with the names of who is in them.
func (h *Host) join(ctx context.Context, calls []Call, running map[ivr.CallID]ivr.LiveCall) error {
	var clients []ivr.ClientID
	var advisors []ivr.AdvisorID
	for i := range calls {
		c := &calls[i]
		if live, there := running[c.ID]; there && c.State == "live" {
			c.now(live)
		}
		if c.Client != nil {
			clients = append(clients, ivr.ClientID(c.Client.ID))
		}
		if c.Advisor != nil {
			advisors = append(advisors, ivr.AdvisorID(c.Advisor.ID))
		}
	}
	names, err := h.Store.Names(ctx, clients, advisors)
	for i := range calls {
		for _, who := range []*Named{calls[i].Client, calls[i].Advisor} {
			if who != nil {
				who.Name = names[who.ID]
			}
		}
	}
	return err
}

func (h *Host) callRoutes() {
	add(h, huma.Operation{
		OperationID: "list-calls", Method: http.MethodGet, Path: "/v1/calls", Summary: "Search calls, or see those that are live; the newest first",
		Description: "With state=live also calls of which the ledger knows nothing yet: who has called and is not known, and verification calls.",
	}, h.calls, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "get-call", Method: http.MethodGet, Path: "/v1/calls/{id}", Summary: "See all that explains a call",
		Errors: []int{http.StatusNotFound},
	}, h.call, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "hang-up", Method: http.MethodPost, Path: "/v1/calls/{id}/hang-up", DefaultStatus: http.StatusNoContent,
		Summary: "Hang up the client's telephone", Description: "As if the client did: the call ends and is settled. One that is over is no error. No Idempotency-Key is needed.",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.hangUp, store.RoleClient)
	add(h, huma.Operation{
		OperationID: "end-call", Method: http.MethodPost, Path: "/v1/calls/{id}/end", DefaultStatus: http.StatusAccepted,
		Summary: "End a live call", Description: "It is written down, then the call ends as if its time were over: who is on it hears why, the talk is charged.",
		Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.endCall, store.RoleAdmin)
}

// Calls is a page of calls.
type Calls struct {
	Calls []Call `json:"calls" nullable:"false"`
}

type callQuery struct {
	State   string          `query:"state" enum:"live" doc:"Only those that are up."`
	Client  ivr.ClientID    `query:"client" maxLength:"64" pattern:"^[a-z0-9_]*$"`
	Advisor ivr.AdvisorID   `query:"advisor" maxLength:"64" pattern:"^[a-z0-9_]*$"`
	Phone   string          `query:"phone" maxLength:"16" pattern:"^(\\+[1-9][0-9]{6,14})?$" example:"+4915112345601" doc:"Of the client, the whole number. The host keeps numbers sealed and finds this one by its hash; from where they called is kept masked."`
	Outcome ivr.Disposition `query:"disposition" maxLength:"64" pattern:"^[a-z ]*$" example:"completed"`
	From    time.Time       `query:"from" doc:"Begun then or later."`
	To      time.Time       `query:"to" doc:"Begun before."`
	Before  ivr.CallID      `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only older ones: the last of the page before."`
	Limit   int             `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

func (h *Host) calls(ctx context.Context, in *callQuery) (*struct{ Body Calls }, error) {
	page := &struct{ Body Calls }{Calls{[]Call{}}}
	if in.Phone != "" {
		found, err := h.Store.SearchClients(ctx, store.ClientFilter{Phone: in.Phone}, 1)
		if err != nil || len(found) == 0 || in.Client != "" && in.Client != found[0].ID {
			return page, err
		}
		in.Client = found[0].ID
	}
	running := h.running() // before the ledger is read: what ends meanwhile is told as ended
	found, err := h.Store.Calls(ctx, store.CallFilter{
		Client: in.Client, Advisor: in.Advisor, Open: in.State != "", From: in.From, To: in.To, Disposition: in.Outcome, Before: in.Before,
	}, in.Limit)
	if err != nil {
		return nil, err
	}
	page.Body.Calls = each(found, callOf)
	if in.State != "" {
		page.Body.Calls, err = h.withUnopened(ctx, page.Body.Calls, *in, running)
	}
	if err == nil {
		err = h.join(ctx, page.Body.Calls, running)
	}
	return page, err
}

// withUnopened adds the calls that run and of which the ledger knows nothing yet.
func (h *Host) withUnopened(ctx context.Context, calls []Call, in callQuery, running map[ivr.CallID]ivr.LiveCall) ([]Call, error) {
	known := map[ivr.CallID]bool{}
	for _, c := range calls {
		known[c.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(running)) {
		live := running[id]
		if known[id] || in.Outcome != "" || in.Client != "" && in.Client != live.Client || in.Advisor != "" && in.Advisor != live.Advisor ||
			live.StartedAt.Before(in.From) || !in.To.IsZero() && !live.StartedAt.Before(in.To) || in.Before != "" && id >= in.Before {
			continue
		}
		ended, err := h.Store.Ended(ctx, id)
		if err != nil {
			return nil, err
		}
		if !ended { // since it was looked
			var c Call
			c.now(live)
			calls = append(calls, c)
		}
	}
	slices.SortFunc(calls, func(a, b Call) int { return cmp.Compare(b.ID, a.ID) })
	return calls[:min(len(calls), in.Limit)], nil
}

// Explained is a call with all that explains it.
type Explained struct {
	Call
	Line      ivr.LineID     `json:"line,omitempty" doc:"The advisor's, that was rung."`
	Talk      ivr.LoanID     `json:"talk,omitempty" doc:"By whose number it was made."`
	Cause     ivr.Cause      `json:"cause,omitempty" example:"16" doc:"Q.850."`
	Ring      float64        `json:"ring_seconds" example:"4.2"`
	Price     *Price         `json:"price,omitempty" doc:"Not there where no money was held."`
	Rate      string         `json:"rate,omitempty" example:"standard" doc:"Of the plan."`
	Percent   int            `json:"advisor_percent,omitempty" example:"60"`
	Longest   int64          `json:"longest_seconds,omitempty" example:"3600"`
	Segments  []Segment      `json:"segments" nullable:"false"`
	Holds     []CallHold     `json:"holds" nullable:"false"`
	Transfers []CallTransfer `json:"transfers" nullable:"false" doc:"Its shares, and what was moved about it since."`
	Refunded  money.Amount   `json:"refunded" example:"0" doc:"Of its charge, in minor units."`
	Receipt   string         `json:"receipt" doc:"The same in words, and how it sounded."`
	Sound     []LegSound     `json:"sound" nullable:"false" doc:"How its legs sounded, where it is known: the client's, then the advisor's."`
	Acts      []LoggedAct    `json:"acts" nullable:"false" doc:"What the audit log says of it and of its adjustments, the newest first."`
}

// LegSound is how the sound of a leg was, by RTP and RTCP (RFC 3550).
type LegSound struct {
	Party     string  `json:"party" enum:"client,advisor"`
	Received  int     `json:"packets_received" example:"7150" doc:"From the party."`
	Loss      float64 `json:"loss" example:"0.002" doc:"The share of its packets that was lost on the way to us."`
	SentLoss  float64 `json:"sent_loss" example:"0" doc:"The share lost on the way to the party, by its own reports."`
	Jitter    float64 `json:"jitter_seconds" example:"0.004" doc:"Of what came from the party."`
	RoundTrip float64 `json:"round_trip_seconds" example:"0.062" doc:"0 where the party's phone reports none."`
	Bad       bool    `json:"bad" doc:"Loss of 5 % or more, jitter of 50 ms, or a round trip of 400 ms."`
}

func legSoundOf(q ivr.LegQuality) LegSound {
	return LegSound{q.Side, q.Received, q.Loss(), q.SentLoss(), q.Jitter.Seconds(), q.RoundTrip.Seconds(), q.Bad()}
}

// CallHold is money that was set aside for a call, and what became of it.
type CallHold struct {
	Number   int          `json:"number" example:"1" doc:"1 when the call opened, more for each top-up."`
	Amount   money.Amount `json:"amount" example:"5000"`
	Captured money.Amount `json:"captured" example:"478"`
	Released money.Amount `json:"released" example:"4522"`
	Resolved bool         `json:"resolved" doc:"All of it was captured or released."`
}

// CallTransfer is money that moved.
type CallTransfer struct {
	ID     int64        `json:"id"`
	At     time.Time    `json:"at"`
	Kind   string       `json:"kind" example:"advisor share"`
	Key    string       `json:"key" doc:"The call's ID, or the adjustment's."`
	From   string       `json:"from" example:"client/cli_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	To     string       `json:"to" example:"platform/EUR"`
	Amount money.Amount `json:"amount" example:"192"`
}

// actsMost is how many acts are told of one call.
const actsMost = 500

func (h *Host) call(ctx context.Context, in *ByID[ivr.CallID]) (*struct{ Body Explained }, error) {
	running := h.running()
	r, err := h.Store.Receipt(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	calls := []Call{callOf(r.Call)}
	if err := h.join(ctx, calls, running); err != nil {
		return nil, err
	}
	out := Explained{
		Call: calls[0], Line: r.Line, Talk: r.Loan, Cause: r.Cause, Ring: r.Ring.Seconds(), Segments: receiptOf(r).Segments,
		Holds: []CallHold{}, Transfers: []CallTransfer{}, Refunded: r.Refunded(), Receipt: r.String() + r.Sound(),
		Sound: each(r.Quality, legSoundOf),
	}
	if t := r.Terms; t != nil {
		price := priceOf(*t)
		out.Price, out.Rate, out.Percent, out.Longest = &price, t.RateName, t.AdvisorPercent, seconds(t.LongestTalk)
	}
	for _, hold := range r.Holds {
		out.Holds = append(out.Holds, CallHold{hold.Number, hold.Amount, hold.Captured, hold.Released, hold.Resolved})
	}
	subjects := []string{string(r.ID)}
	for _, t := range r.Transfers {
		out.Transfers = append(out.Transfers, CallTransfer{t.ID, t.At, t.Kind, t.Key, t.Debit, t.Credit, t.Amount})
	}
	about, err := h.Store.Adjustments(ctx, store.AdjustmentFilter{Call: r.ID}, actsMost)
	if err != nil {
		return nil, err
	}
	for _, a := range about {
		subjects = append(subjects, a.ID)
	}
	acts, err := h.Store.Acts(ctx, store.ActFilter{Subjects: subjects}, actsMost)
	out.Acts = each(acts, loggedActOf)
	return &struct{ Body Explained }{out}, err
}

// EndAsked says that a call is being ended.
type EndAsked struct {
	Call ivr.CallID `json:"call"`
	At   time.Time  `json:"at" doc:"When it was written down."`
}

// hangUp ends a client's own call, as their telephone would.
func (h *Host) hangUp(ctx context.Context, in *ByID[ivr.CallID]) (*struct{}, error) {
	receipt, err := h.Store.ReceiptOf(ctx, own(ctx), in.ID)
	if err != nil || !receipt.Open() || h.Running != nil && h.Running.HangUp(in.ID) {
		return nil, err
	}
	request := store.Request{Token: asker(ctx).ID, Key: "hang up " + string(in.ID)}
	_, _, err = h.Store.RequestEnd(ctx, request, asker(ctx).Who(), "hung up on the page", in.ID, nil) // another copy runs it
	if errors.Is(err, store.ErrCallOver) {
		err = nil
	}
	return nil, err
}

func (h *Host) endCall(ctx context.Context, in *struct {
	ID ivr.CallID `path:"id" maxLength:"64" pattern:"^[a-z0-9_]+$"`
	Keyed
	Body struct {
		Reason string `json:"reason" minLength:"3" maxLength:"200" pattern:"^[^\\x00-\\x1f]*$" example:"the client asked us to"`
	}
}) (*struct{ Body EndAsked }, error) {
	request, err := in.request(ctx, "end-call", []string{string(in.ID), in.Body.Reason})
	if err != nil {
		return nil, err
	}
	var here *ivr.LiveCall
	if live, there := h.running()[in.ID]; there {
		here = &live
	}
	by := asker(ctx).Who()
	at, first, err := h.Store.RequestEnd(ctx, request, by, in.Body.Reason, in.ID, here)
	if err != nil {
		return nil, err
	}
	ends := h.Running != nil && h.Running.End(in.ID, by+": "+in.Body.Reason)
	if first && here != nil && !ends {
		return nil, store.ErrCallOver // in this instant
	}
	return &struct{ Body EndAsked }{EndAsked{in.ID, at}}, nil
}
