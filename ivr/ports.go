package ivr

import (
	"context"
	"time"

	"parley/dialplan"
	"parley/ivr/money"
)

// IDs sort by time; their prefix says what they name. See [NewID].
type (
	CallID    string // call_...
	ClientID  string // cli_...
	AdvisorID string // adv_...
	LineID    string // line_...
	LoanID    string // loan_...
)

// Leg is one party's connection to us.
//
// Blocking methods return nil when the thing has happened, or context.Cause(ctx)
// when ctx ended first. A leg that has left makes them return its [*Departure].
// One goroutine at a time uses a leg; Hangup and Context may be called by any.
type Leg interface {
	// ID is unique among all legs ever, and safe to log.
	ID() string

	// Of says which call the leg is part of, for the log.
	Of(CallID)

	// Context ends when the party has left; its cause is a [*Departure].
	Context() context.Context

	Answer(ctx context.Context) error

	// Play speaks the prompts, one after the other, and returns when the last
	// has been heard. A prompt that is missing is logged and passed over.
	Play(ctx context.Context, language string, prompts ...Prompt) error

	// Gather speaks the entry's prompts, stops them at the first key, and
	// returns what was keyed: up to Most digits, without the '#' that ends them.
	// What was keyed since the last Gather returned counts. Nothing keyed in time
	// is "" and no error.
	Gather(ctx context.Context, language string, e Entry) (digits string, err error)

	// Entertain lets the party hear music or a ringing tone until ctx ends; it may sound on
	// until the leg is asked for something else than CutAfter.
	Entertain(ctx context.Context, what dialplan.Waiting) error

	// Whisper speaks to this party alone while it talks; the talk goes on
	// beneath. It returns when the prompts are queued.
	Whisper(ctx context.Context, language string, prompts ...Prompt) error

	// Ask is Gather for a party that talks: it alone hears the prompts, and the talk
	// goes on beneath. The other party hears the key itself.
	Ask(ctx context.Context, language string, e Entry) (digits string, err error)

	// CutAfter makes the switch itself end the leg after d, whether or not this
	// program still lives; a later call replaces an earlier one.
	CutAfter(ctx context.Context, d time.Duration) error

	// Hangup ends the leg. It may be called more than once, and does not wait.
	Hangup(Cause)

	// TurnAway is Hangup for a leg whose call cannot go on: one that has called hears
	// the switch's own apology first.
	TurnAway()
}

// Entry is a question answered by keys.
type Entry struct {
	Prompts []Prompt
	Most    int           // digits; the entry is complete with them
	First   time.Duration // silence allowed after the prompts, before the first key
	Between time.Duration // and between keys
}

// Prompt is audio by name from the catalogue, a recorded number
// ("digits/7"), or a few words to be spoken ("text:Blue Heron").
type Prompt string

// Text is a prompt that speaks s, such as an alias.
func Text(s string) Prompt { return Prompt("text:" + s) }

// Switch connects legs. Package ari does it with Asterisk.
type Switch interface {
	// Dial rings a line and returns its leg when it answers. It returns ErrBusy,
	// ErrDeclined, ErrNoAnswer after r.Ring, ErrUnreachable, or
	// context.Cause(ctx), after which the line no longer rings.
	Dial(ctx context.Context, r DialRequest) (Leg, error)

	// Bridge joins two legs and returns as soon as both can hear each other.
	Bridge(ctx context.Context, call CallID, a, b Leg) (Talk, error)

	// Survivors lists every leg that is up, by call. An error means "could not
	// ask", never "gone": nothing may be concluded from it.
	Survivors(ctx context.Context) ([]Survivor, error)
}

// DialRequest says whom to ring, and how.
type DialRequest struct {
	LegID    string        // chosen by the caller, once for each attempt
	To       Line          // where
	CallerID string        // a number of ours, E.164: all that the line learns
	Ring     time.Duration // how long
	CutAfter time.Duration // the switch ends the leg after this, from now on
	About    About         // shown while it rings, by an app; other lines are not told
}

// About is what an advisor may know of a call before they answer.
type About struct {
	Kind         Kind
	Alias, Topic string        // of the client
	Talk         time.Duration // that the client's money buys
}

// Talk is two legs that hear each other.
type Talk interface {
	// JoinedAt is when the second of them was joined.
	JoinedAt() time.Time

	// Over is closed once either has left.
	Over() <-chan struct{}

	// SeenAt is the last moment at which both were known to hear each other.
	SeenAt() time.Time

	// Unheard is how much of the talk until then cannot be proved: the switch, through
	// which all sound goes, gave no sign of life.
	Unheard(until time.Time) time.Duration
}

// Survivor is what a call left behind in the switch when its program died.
type Survivor struct {
	Call            CallID // "" when a leg says nothing of its call
	Client, Advisor Leg    // nil when there is none
	Talk            Talk   // nil unless the two are joined
	Exact           bool   // Talk.JoinedAt is by a clock that nobody sets
	Others          []Leg  // what cannot be part of a talk
}

// Line is where an advisor is rung.
type Line struct {
	ID       LineID
	Advisor  AdvisorID
	Kind     LineKind
	Address  string // E.164 for a phone, the endpoint's name otherwise; never logged
	Verified bool
}

type LineKind string

const (
	Phone LineKind = "phone" // a telephone number, through the trunk
	SIP   LineKind = "sip"   // a SIP phone that registers with us
	App   LineKind = "app"   // the advisor's app, which is a phone
)

// Loan is a number lent to one client for one advisor until a time.
type Loan struct {
	ID          LoanID
	DID         string
	Client      ClientID
	ClientAlias string // what the advisor hears instead of a name
	ClientLine  Line   // the client's telephone, to call them again; no ID
	Topic       string // what the client wants; may be empty
	Advisor     AdvisorID
	AdvisorName string // what the client hears
	Line        Line
	Wish        dialplan.Wish // the advisor's
	Greeting    Prompt        // the advisor's own, for the client who waits; "" for none
	Until       time.Time
	Appointment *Appointment // that the loan is for; nil: for a talk at once
	FreeUntil   time.Time    // the advisor's next appointment, which no other talk goes on into; zero: none
}

// Appointment is what was agreed on a call.
type Appointment struct {
	At    time.Time      // not before
	Until time.Time      // a client who dials in later is too late
	Terms dialplan.Terms // whatever the plan in force says; see [dialplan.Terms.Lasting]
}

// Placed is a call that we place: the client is called, then the advisor. Whoever has
// it, has claimed it; nobody else places it.
type Placed struct {
	Call CallID
	Kind Kind // CallBack or AppointmentCall
	Loan Loan
}

// Directory knows who a call is for.
type Directory interface {
	// LoanByANI finds the loan of a number for the client who calls from ani.
	// It returns ErrNoLoan where the number is lent to nobody, ErrLoanExpired
	// where it was lent before, and ErrNotIdentified where ani is not the
	// client's: ask for the PIN.
	LoanByANI(ctx context.Context, did, ani string) (Loan, error)

	// LoanByPIN counts the try, then finds the loan by its PIN. It returns
	// ErrNotIdentified, ErrTooManyTries, or the first two of the above.
	LoanByPIN(ctx context.Context, did, pin string) (Loan, error)
}

// Desk is what callers can ask of the host by key. Asking again is no error.
type Desk interface {
	// CallAtTime has us call the client at the time of their appointment, instead
	// of their dialling in.
	CallAtTime(ctx context.Context, loan LoanID) error

	// CallBack puts the loan's client on its advisor's queue, to be called when it is
	// their turn.
	CallBack(ctx context.Context, loan LoanID) error

	// Rate records what the client thinks of the call: 1 to 5 stars.
	Rate(ctx context.Context, call CallID, stars int) error
}

// Payments take money from the means of payment that a client has saved.
type Payments interface {
	// CanBuy says whether there is such a means.
	CanBuy(ctx context.Context, client ClientID) (bool, error)

	// Buy returns nil when the money is in the client's account. number counts the
	// call's purchases, from 1; the same again is the same purchase. It returns
	// ErrPaymentDeclined; after another error nobody knows, and the money may come
	// later.
	Buy(ctx context.Context, call CallID, number int, client ClientID, amount money.Amount, currency string) error
}

// Ledger is the record of calls and the money side of them. A method that fails
// has written nothing, or the same call again returns what it wrote.
type Ledger interface {
	// Hold opens the call's record and sets aside up to o.Most of what the client
	// has available, at least o.Least. It returns [*NoFunds], ErrClientBusy,
	// ErrAdvisorBusy, ErrAllBusy, or ErrLoanExpired where o.Loan ended meanwhile.
	Hold(ctx context.Context, o Opening) (held money.Amount, err error)

	// WouldHold answers as Hold would, and writes nothing.
	WouldHold(ctx context.Context, o Opening) (held money.Amount, err error)

	// Extend sets aside more for an open call, from least to most. number counts the
	// call's holds, from 2, and the same again is the same hold. It returns
	// [*NoFunds] where less than least is available.
	Extend(ctx context.Context, call CallID, number int, least, most money.Amount) (held money.Amount, err error)

	// Revise records that an open call follows another plan from now on, and what that
	// says of it. The same again is no error.
	Revise(ctx context.Context, call CallID, plan int64, terms dialplan.Terms) error

	// Prove records for how long the latest segment of each call has certainly
	// lasted; the first proof of a segment records that it began. Proofs only
	// grow, and those of calls that are closed are passed over.
	Prove(ctx context.Context, proofs []Proof) error

	// Close records the CDR, captures its charge from the call's holds and
	// releases the rest: all of it or none, and once however often it is called.
	// ErrConflict is final: the call was closed before, with another charge.
	Close(ctx context.Context, cdr CDR) error

	// KeepQuality records how the legs of a call that is closed sounded. The same again
	// is no error.
	KeepQuality(ctx context.Context, call CallID, legs []LegQuality) error

	// OpenCalls are the calls that were held and not closed.
	OpenCalls(ctx context.Context) ([]OpenCall, error)
}

// Opening is what is written of a call before anyone is rung.
type Opening struct {
	Call        CallID
	Kind        Kind
	Loan        LoanID
	DID         string
	ANI         string // masked, see [Mask]
	Client      ClientID
	Advisor     AdvisorID
	Line        LineID
	Plan        int64
	Terms       dialplan.Terms
	StartedAt   time.Time
	Least, Most money.Amount
	Concurrent  dialplan.Concurrent
}

// Proof is talk time that certainly happened.
type Proof struct {
	Call    CallID
	Segment int // counted from 1
	Talk    time.Duration
}

// Segment is one stretch of talk.
type Segment struct {
	JoinedAt time.Time     // for people; lengths are never computed from it
	Talk     time.Duration // measured on a monotonic clock
}

// OpenCall is a call whose program died before it was closed.
type OpenCall struct {
	Opening
	ClientLine Line         // as in the call's loan
	Held       money.Amount // by all of the call's holds
	Holds      int          // how many there are
	Segments   []Segment    // their talk is what has been proved of it
	Began      time.Time    // the last segment, as long ago as it is by the database's clock
}

// CDR is the record of a finished call: enough to explain its charge.
type CDR struct {
	Call        CallID
	Kind        Kind
	DID, ANI    string // ANI masked
	Loan        LoanID
	Client      ClientID
	Advisor     AdvisorID
	Line        LineID
	Plan        int64
	StartedAt   time.Time
	Ring        time.Duration
	Segments    []Segment
	Charge      money.Amount
	Shares      money.Shares
	Disposition Disposition
	Cause       Cause
	EndedBy     string // "client", "advisor" or "parley"
}

// Kind is the script that a call ran.
type Kind string

const (
	ClientCall       Kind = "client"
	VerificationCall Kind = "verification"
	CallBack         Kind = "call back"   // placed when it was the client's turn
	AppointmentCall  Kind = "appointment" // placed at its time
)

// Verifications keeps the challenges by which advisors prove their lines.
type Verifications interface {
	// Check counts the try, then compares, in constant time. It returns nil and
	// marks the line verified, or ErrWrongCode, or ErrChallengeOver when the
	// challenge has expired, was used, or has had its tries.
	Check(ctx context.Context, challenge, digits string, call CallID) error
}

// Challenge is a verification call to be placed.
type Challenge struct {
	ID   string
	Line Line
}
