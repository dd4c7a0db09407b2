// Package payment is the only one to know payment providers: how money is taken from a
// means of payment that a client has saved, and how a provider's signed notices are
// read. It keeps nothing: package store remembers what was asked and what came of it.
package payment

import (
	"context"
	"errors"
	"net/http"

	"parley/ivr/money"
)

var (
	// ErrSignature: the notice is not the provider's, or too old to be trusted.
	ErrSignature = errors.New("the signature is missing, wrong or too old")
	// ErrUnreadable: it is the provider's, and makes no sense.
	ErrUnreadable = errors.New("the notice cannot be read")
)

// Provider takes money. It is safe for concurrent use.
type Provider interface {
	// Name of the provider, as settings and paths have it.
	Name() string

	// Charge takes the money and says whether it was paid. An error means that nobody
	// knows: ask again with the same ID, or wait for the notice. An answer that comes
	// with an error may have the Reference by which to ask again.
	Charge(context.Context, Charge) (Answer, error)

	// ReadNotice checks the signature of what the provider sent, and reads it. ok is
	// false for news of anything but a payment that came in. It returns [ErrSignature]
	// or [ErrUnreadable].
	ReadNotice(header http.Header, body []byte) (n Notice, ok bool, err error)
}

// Means is what a client pays with, as the provider names it.
type Means struct{ Customer, Method string }

// Charge is money to be taken once, while its owner cannot be asked anything.
type Charge struct {
	ID        string // made by the caller: the same again is the same payment
	Reference string // the provider's name for it, once known: it is looked at, not asked for again
	Client    string
	Means     Means
	Amount    money.Amount
	Currency  string
}

// Answer is what came of a charge.
type Answer struct {
	Reference string // the provider's name for it; may be empty where it was declined
	Declined  Reason // "" where it was paid
}

// Reason is why a payment was declined, as far as its owner may know.
type Reason string

const (
	NotEnough  Reason = "not_enough"  // money on the means of payment
	Expired    Reason = "expired"     // the means of payment is
	NeedsOwner Reason = "needs_owner" // who would have to confirm it, which a telephone cannot ask
	Unusable   Reason = "unusable"    // the provider does not have such a means
	Refused    Reason = "refused"     // by the bank, which does not say why
)

// Notice says that a payment came in.
type Notice struct {
	Payment   string // the ID that its maker gave it, or else the provider's
	Reference string
	Client    string // "" where it is for none of ours
	Amount    money.Amount
	Currency  string
}
