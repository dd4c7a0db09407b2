package host

import (
	"maps"
	"slices"
	"time"

	"parley/ivr"
	"parley/store"
)

// eventKind is what all events of a type have in common.
type eventKind struct {
	what   string
	fields []eventField // of data
}

// eventField is a part of an event's data. Sites and administrators are told all; of the
// client and the advisor whom the event is about only the one whom it is for.
type eventField struct {
	name, what string
	only       store.Role // "": both; store.RoleAdmin: neither
}

// eventKinds are all events there are. /docs lists them, and [TestEveryEventIsDocumented]
// holds it against what package store writes.
var eventKinds = map[string]eventKind{
	"talk.requested": {"A number is lent to the client and the advisor is reserved. That it expires is told by no event: the talk's until says when.",
		[]eventField{{"talk", "ask GET /v1/talk/{id}", ""}}},
	"talk.over": {"The number works no more and the advisor is free.",
		[]eventField{{"talk", "", ""}, {"why", "cancelled, talked, or taken back (by an administrator); to_be_called; or how a call-back ended, as the wait's state says", ""}}},
	"queue.joined": {"The client waits for the advisor.",
		[]eventField{{"wait", "ask GET /v1/queue/{id}", ""}, {"mode", "page or call_back", ""}}},
	"queue.turn": {"It is the client's turn: the advisor is reserved for them.",
		[]eventField{{"wait", "", ""}, {"mode", "page: GET /v1/talk/{id} has the number; call_back: we call them now", ""}, {"talk", "", ""}, {"until", "the end of the turn", ""}}},
	"queue.missed":            {"The client did not take their turn in time.", []eventField{{"wait", "", ""}, {"state", "missed_turn", ""}}},
	"queue.left":              {"The client does not wait any more.", []eventField{{"wait", "", ""}, {"state", "why, as in GET /v1/queue/{id}", ""}}},
	"appointment.asked":       {"A client asks for an appointment: the advisor accepts, declines or proposes another time.", appointmentFields},
	"appointment.proposed":    {"The advisor proposes another time: the client accepts or declines.", appointmentFields},
	"appointment.accepted":    {"It is agreed on.", appointmentFields},
	"appointment.declined":    {"It is not to be.", appointmentFields},
	"appointment.cancelled":   {"One of the two has cancelled it.", appointmentFields},
	"appointment.reminder":    {"It begins soon.", appointmentFields},
	"appointment.verify_line": {"It begins soon and the advisor has no verified line: verify one now (POST /v1/lines/{id}/verifications).", appointmentFields},
	"appointment.number":      {"A number is lent to the client: GET /v1/appointments/{id} has it.", appointmentFields},
	"appointment.kept":        {"They have talked.", appointmentFields},
	"appointment.missed":      {"It did not come about; state says why.", appointmentFields},
	"call.opened": {"A call has begun: money is held for it. Calls that end before that are told by no event.",
		[]eventField{{"call", "ask GET /v1/calls/{id}/receipt", ""}, {"talk", "by which it was made; may be null", ""},
			{"held", "in minor units", store.RoleClient}, {"currency", "", ""}}},
	"call.talking": {"The two can talk. A talk that was interrupted is told of again when it goes on.",
		[]eventField{{"call", "", ""}, {"segment", "counts from 1", ""}}},
	"call.ended": {"A call is settled.",
		[]eventField{{"call", "", ""}, {"outcome", "as on the receipt", ""}, {"ended_by", "client, advisor or parley", ""},
			{"talk_seconds", "", ""}, {"charge", "in minor units", store.RoleClient}, {"share", "the advisor's, in minor units", store.RoleAdvisor},
			{"currency", "", ""}}},
	"rating.given": {"The client rated the talk by a key.", []eventField{{"call", "", ""}, {"stars", "1 to 5", ""}}},
	"deposit.made": {"A payment was credited to the client.",
		[]eventField{{"payment", "its ID", ""}, {"amount", "in minor units", ""}, {"currency", "", ""}}},
	"payment.paid": {"A client's payment came in and was credited; deposit.made tells of that too.",
		[]eventField{{"payment", "its ID", ""}, {"amount", "in minor units", ""}, {"currency", "", ""}, {"call", "in which it was bought by key, or empty", ""}}},
	"payment.declined": {"A client's payment was not made.",
		[]eventField{{"payment", "its ID", ""}, {"amount", "in minor units", ""}, {"currency", "", ""}, {"call", "in which it was asked for by key, or empty", ""},
			{"reason", "not_enough, expired, needs_owner, unusable, refused or unanswered", ""}}},
	"client.deleted":   {"A client was deleted: forget them too.", nil},
	"advisor.deleted":  {"An advisor was deleted: forget them too.", nil},
	"advisor.presence": {"An advisor went on line, or off line.", []eventField{{"on_line", "true or false", ""}, {"why", "no answer or unreachable, where a call put them off line", ""}}},
	"line.verified":    {"An advisor has proved a line: it can be rung.", []eventField{{"line", "", ""}}},
	"line.unverified":  {"A line was changed: it must be verified again.", []eventField{{"line", "", ""}}},
	"plan.activated":   {"An administrator made a plan the one in force.", []eventField{{"version", "", ""}, {"from", "when it holds", ""}}},
	"call.end_asked":   {"An administrator wants a call to end; call.ended follows.", []eventField{{"call", "", ""}}},
	"adjustment.made": {"An administrator moved money: a refund, a correction or a payout.",
		[]eventField{{"adjustment", "its ID", ""}, {"kind", "refund, adjustment or payout", ""}, {"call", "that it is about, or empty", ""},
			{"from", "an account", store.RoleAdmin}, {"to", "an account", store.RoleAdmin}, {"amount", "in minor units", ""}, {"currency", "", ""}}},
	"webhook.test": {"What POST /v1/webhooks/{id}/test sends, to that webhook alone.", []eventField{{"webhook", "", ""}}},
}

var appointmentFields = []eventField{{"appointment", "ask GET /v1/appointments/{id}", ""}, {"state", "as there", ""}, {"mode", "host_calls or dial_in", ""},
	{"starts_at", "by the clocks of its zone", ""}, {"zone", "", ""}, {"seconds", "its length", ""},
	{"by", "client, advisor or host: who did it", ""}}

// eventTypes are their names, sorted.
func eventTypes() []string { return slices.Sorted(maps.Keys(eventKinds)) }

// Event is what has happened, as a page, an app or a site is told.
type Event struct {
	Type    string         `json:"type" example:"talk.requested" doc:"See the list of events at /docs. There may be more types in time."`
	At      time.Time      `json:"at"`
	Client  ivr.ClientID   `json:"client,omitempty" doc:"Whom it is about."`
	Advisor ivr.AdvisorID  `json:"advisor,omitempty" doc:"Whom it is about."`
	Data    map[string]any `json:"data" doc:"By type."`
}

// eventFor is an event as one of a role is told. A field that is not in the list above
// is told to neither the client nor the advisor.
func eventFor(role store.Role, e store.Event) Event {
	out := Event{e.Type, e.At, e.Client, e.Advisor, e.Data}
	if role == store.RoleSite || role == store.RoleAdmin {
		return out
	}
	out.Data = map[string]any{}
	for _, f := range eventKinds[e.Type].fields {
		if value, there := e.Data[f.name]; there && (f.only == "" || f.only == role) {
			out.Data[f.name] = value
		}
	}
	return out
}
