// Package dialplan is what administrators edit: which numbers we have, what talk
// costs, and the limits on all of it. A [Plan] is data without code; it is
// validated whole, numbered when saved, and never changed after.
package dialplan

import (
	"time"

	"parley/ivr/money"
)

// Plan is one version of all numbers, rates and limits.
type Plan struct {
	Version  int64 // 0 until saved
	Currency string
	Language string
	CallerID string // the number of ours that advisors see
	Waiting  Waiting
	Numbers  []Number
	Rates    map[string]Rate
	Limits   Limits

	Destinations Destinations
	TopUp        TopUp
	Appointments Appointments

	Advisors map[string]Advisor // by advisor ID: the administrator's word on some of them
}

// Waiting is what the client hears while the advisor's line rings.
type Waiting string

const (
	Music   Waiting = "music"
	Ringing Waiting = "ringing"
)

// Number is a DID that can be lent to clients.
type Number struct {
	DID     string // E.164, such as +493055501001
	Country string // ISO 3166-1, such as DE
}

// Rate is the price of talk and who gets what of it.
type Rate struct {
	money.Rate
	AdvisorPercent int // the advisor's share of a charge
}

// Limits bound what one call may do and how many there may be. There is no
// "unlimited": every limit is required.
type Limits struct {
	Ring          time.Duration   // how long an advisor's line rings
	Accept        time.Duration   // how long an advisor may take to press 1
	LongestTalk   time.Duration   // whatever the client's money buys
	Predetermined Predetermined   // the talk that a client's money must cover
	Warnings      []time.Duration // before the end, longest first
	EntryTries    int             // for PINs and verification codes, in one call
	Loan          time.Duration   // how long a number is lent
	Quarantine    time.Duration   // how long it is kept back after that
	Concurrent    Concurrent
	OwnPrice      OwnPrice
	Queue         int           // how many clients may wait for one advisor
	Turn          time.Duration // how long a client whose turn has come may take to dial
	RatedTalk     time.Duration // a talk this long is rated by the client
	LiveCalls     LiveCalls
	SecondPerson  money.Amount // an adjustment above this needs a second administrator
}

// LiveCalls says what activating a plan does to the calls that are up.
type LiveCalls string

const (
	Keep   LiveCalls = "keep"   // they end by the plan they began with
	Follow LiveCalls = "follow" // they take its longest talk and its warnings; never its price
)

// OwnPrice bounds what an advisor may ask for a minute.
type OwnPrice struct{ Least, Most money.Amount }

// TopUp is what a client adds by pressing 1 at a warning.
type TopUp struct {
	Amount    money.Amount
	KeyWithin time.Duration // of the warning
}

// Appointments are the rules of scheduled calls.
type Appointments struct {
	Hold         HoldAt
	Ahead        time.Duration   // how far ahead one may be asked for
	Early        time.Duration   // before its time the number is lent
	Late         time.Duration   // after it a client may still dial in
	Remind       []time.Duration // before it, the longest first; both are
	Verify       time.Duration   // before it an advisor without a verified line is asked to verify one
	ClientNoShow money.Amount    // what a client who does not come pays, of what is held

	AdvisorNoShow money.Amount // what the house pays the client where the advisor does not come
}

// HoldAt is when the money for an appointment's length is set aside.
type HoldAt string

const (
	AtBooking HoldAt = "booking" // when the advisor accepts
	AtStart   HoldAt = "start"
)

// Predetermined is the length of talk that a client's money must cover before
// anyone is rung. The host sets Default; an advisor may set their own within
// Least and Most; what the administrator says of an advisor in the plan goes
// before both.
type Predetermined struct {
	Default, Least, Most time.Duration
}

// Concurrent bounds how many calls there may be at one time.
type Concurrent struct {
	All, PerClient, PerAdvisor int
}

// Advisor is what the administrator says of one advisor; zero fields say nothing.
type Advisor struct {
	Rate          string
	Predetermined time.Duration
	LongestTalk   time.Duration
}

// DefaultRate is the name of the rate of advisors of whom the plan says nothing.
const DefaultRate = "standard"

// Terms are what the plan says of a call to one advisor. A call keeps its terms
// as long as it lives; its record holds them.
type Terms struct {
	RateName       string          `json:"rate_name"`
	Rate           money.Rate      `json:"rate"`
	AdvisorPercent int             `json:"advisor_percent"`
	Currency       string          `json:"currency"`
	Language       string          `json:"language"`
	Predetermined  time.Duration   `json:"predetermined_ns"`
	SetBy          string          `json:"predetermined_by"` // host, administrator, advisor or appointment
	LongestTalk    time.Duration   `json:"longest_talk_ns"`
	Warnings       []time.Duration `json:"warnings_ns"`
}

// Wish is what an advisor asks for themselves; zero fields ask for nothing.
type Wish struct {
	PerMinute     money.Amount
	Predetermined time.Duration
}

// Terms are the terms of a call to an advisor with a wish.
//
// Precedence, strongest first: the administrator's word on this advisor, the
// advisor's own wish (brought within the plan's bounds), the host's default. No
// talk is required that is longer than the longest allowed.
func (p Plan) Terms(advisor string, wish Wish) Terms {
	said := p.Advisors[advisor]
	name := said.Rate
	if name == "" {
		name = DefaultRate
	}
	rate := p.Rates[name]
	if said.Rate == "" && wish.PerMinute > 0 {
		rate.PerMinute = min(max(wish.PerMinute, p.Limits.OwnPrice.Least), p.Limits.OwnPrice.Most)
	}
	t := Terms{
		RateName: name, Rate: rate.Rate, AdvisorPercent: rate.AdvisorPercent,
		Currency: p.Currency, Language: p.Language,
		LongestTalk: p.Limits.LongestTalk, Warnings: p.Limits.Warnings,
	}
	if said.LongestTalk > 0 {
		t.LongestTalk = said.LongestTalk
	}
	bounds := p.Limits.Predetermined
	switch {
	case said.Predetermined > 0:
		t.Predetermined, t.SetBy = said.Predetermined, "administrator"
	case wish.Predetermined > 0:
		t.Predetermined, t.SetBy = min(max(wish.Predetermined, bounds.Least), bounds.Most), "advisor"
	default:
		t.Predetermined, t.SetBy = bounds.Default, "host"
	}
	t.Predetermined = min(t.Predetermined, t.LongestTalk)
	return t
}

// Lasting are the terms of a talk whose length was agreed on: the money must cover it,
// and the talk lasts no longer.
func (t Terms) Lasting(length time.Duration) Terms {
	t.LongestTalk = min(t.LongestTalk, length)
	t.Predetermined, t.SetBy = t.LongestTalk, "appointment"
	return t
}

// Least and Most bound the hold: the price of the talk that must be covered, and
// of the longest that is allowed.
func (t Terms) Least() money.Amount { return t.Rate.Charge(t.Predetermined) }
func (t Terms) Most() money.Amount  { return t.Rate.Charge(t.LongestTalk) }

// Talk is the longest talk for what is held, and whether it is the money that
// ends it, not the limit.
func (t Terms) Talk(held money.Amount) (longest time.Duration, byMoney bool) {
	if held >= t.Most() {
		return t.LongestTalk, false
	}
	return min(t.Rate.Buys(held), t.LongestTalk), true
}

// Number finds a DID in the plan.
func (p Plan) Number(did string) (Number, bool) {
	for _, n := range p.Numbers {
		if n.DID == did {
			return n, true
		}
	}
	return Number{}, false
}
