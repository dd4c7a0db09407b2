package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

var (
	// ErrSecondPerson: nobody approves what they asked for themselves.
	ErrSecondPerson = errors.New("another person must approve this")
	// ErrAdjustmentOver: it does not wait for a decision, or not any more.
	ErrAdjustmentOver = errors.New("the adjustment was made, refused, or has expired")
	// ErrCallOpen: nothing is paid back for a call that goes on.
	ErrCallOpen = errors.New("the call is not over")
)

// TooLittle is what an account has of what was to be taken from it.
type TooLittle struct {
	Account   string
	Available money.Amount
}

func (e *TooLittle) Error() string {
	return fmt.Sprintf("%s has no more than %v", e.Account, e.Available)
}

// RefundTooMuch is what is left of a call's charge, or of the advisor's share of it,
// that was not paid back yet.
type RefundTooMuch struct{ Left money.Amount }

func (e *RefundTooMuch) Error() string {
	return fmt.Sprintf("no more than %v can be paid back", e.Left)
}

// AdjustmentFault is what is wrong with an adjustment that was asked for.
type AdjustmentFault struct{ Field, Problem string }

func (e *AdjustmentFault) Error() string { return e.Field + " " + e.Problem }

// AdjustmentKind is why an administrator moves money.
type AdjustmentKind string

const (
	// Refund pays back what a client was charged for a call, all or a part: the
	// platform pays it, or the advisor does, of their share.
	Refund AdjustmentKind = "refund"
	// Correction puts right what an account should have, against the account
	// "adjustments".
	Correction AdjustmentKind = "adjustment"
	// Payout is money that left the house for a client or an advisor.
	Payout AdjustmentKind = "payout"
)

// AdjustmentRequest asks for one.
type AdjustmentRequest struct {
	Kind        AdjustmentKind
	Client      ivr.ClientID  // whose account it is; of a refund the call's, and need not be said
	Advisor     ivr.AdvisorID // or whose
	Call        ivr.CallID    // that is refunded; of others that they are about, or ""
	Amount      money.Amount  // a correction's into the account, or out of it below 0; of others above 0
	FromAdvisor bool          // a refund is paid by the advisor, not by the platform
	Reason      string
}

func (r AdjustmentRequest) check() error {
	switch {
	case r.Kind != Refund && r.Kind != Correction && r.Kind != Payout:
		return &AdjustmentFault{"kind", "must be refund, adjustment or payout"}
	case r.Kind == Refund && r.Call == "":
		return &AdjustmentFault{"call", "must say what is paid back"}
	case r.Kind == Refund && r.Advisor != "":
		return &AdjustmentFault{"advisor", "is the call's; say from: advisor where they pay"}
	case r.Kind != Refund && (r.Client == "") == (r.Advisor == ""):
		return &AdjustmentFault{"client", "or advisor must say whose account it is, one of them"}
	case r.Kind != Refund && r.FromAdvisor:
		return &AdjustmentFault{"from", "is for refunds"}
	case r.Amount == 0 || r.Amount < 0 && r.Kind != Correction:
		return &AdjustmentFault{"amount", "must be above 0; only an adjustment's may be below"}
	case r.Reason == "":
		return &AdjustmentFault{"reason", "is missing"}
	}
	return nil
}

// Adjustment is money that an administrator moves, or wants to.
type Adjustment struct {
	ID            string
	Kind          AdjustmentKind
	Client        ivr.ClientID  // whose account it moves, or ""
	Advisor       ivr.AdvisorID // whose account it moves, or ""
	Call          ivr.CallID
	Debit, Credit string // accounts
	Currency      string
	Amount        money.Amount // > 0, from Debit to Credit
	Reason        string
	AskedBy       string    `db:"asked_by"`
	AskedAt       time.Time `db:"asked_at"`
	Until         time.Time // by then another person must approve; zero: one was enough
	State         AdjustmentState
	DecidedBy     string    `db:"decided_by"` // the other person, or ""
	DecidedAt     time.Time `db:"decided_at"`
}

// AdjustmentState is what has become of one.
type AdjustmentState string

const (
	Asked   AdjustmentState = "asked" // another person must approve; nothing has moved
	Made    AdjustmentState = "made"
	Refused AdjustmentState = "refused"
	Expired AdjustmentState = "expired"
)

const selectAdjustments = `
	SELECT a.id, a.kind, coalesce(a.client, '') AS client, coalesce(a.advisor, '') AS advisor, coalesce(a.call, '') AS call,
		a.debit, a.credit, a.currency, a.amount, a.reason, a.asked_by, a.asked_at, coalesce(a.until, '0001-01-01Z') AS until,
		CASE WHEN d.decision = 'refused' THEN 'refused' WHEN d.decision = 'approved' OR a.until IS NULL THEN 'made'
			WHEN a.until > statement_timestamp() THEN 'asked' ELSE 'expired' END AS state,
		coalesce(d.by_whom, '') AS decided_by, coalesce(d.at, '0001-01-01Z') AS decided_at
	FROM adjustments a LEFT JOIN adjustment_decisions d ON d.adjustment = a.id`

// Adjustment returns [ErrNotFound] where there is none.
func (s *Store) Adjustment(ctx context.Context, id string) (a Adjustment, err error) {
	if err := s.get(ctx, &a, selectAdjustments+` WHERE a.id = $1`, id); err != nil {
		return a, fmt.Errorf("adjustment %s: %w", id, err)
	}
	return a, nil
}

// AdjustmentFilter narrows a list of adjustments; zero fields do not.
type AdjustmentFilter struct {
	Client  ivr.ClientID
	Advisor ivr.AdvisorID
	Call    ivr.CallID
	Waiting bool   // only those that another person must approve
	Before  string // only older ones: the last of the page before
}

// Adjustments lists adjustments, the newest first.
func (s *Store) Adjustments(ctx context.Context, f AdjustmentFilter, limit int) (list []Adjustment, err error) {
	err = s.list(ctx, &list, selectAdjustments+`
		WHERE $1 IN ('', a.client) AND $2 IN ('', a.advisor) AND $3 IN ('', a.call) AND ($4 = '' OR a.id < $4)
		  AND (NOT $5 OR a.until > statement_timestamp() AND d.adjustment IS NULL)
		ORDER BY a.id DESC LIMIT $6`, f.Client, f.Advisor, f.Call, f.Before, f.Waiting, limit)
	if err != nil {
		return nil, fmt.Errorf("list adjustments: %w", err)
	}
	return list, nil
}

// AdjustmentsWaiting is how many wait for another person's approval.
func (s *Store) AdjustmentsWaiting(ctx context.Context) (n int, err error) {
	err = s.get(ctx, &n, `
		SELECT count(*) FROM adjustments a WHERE until > statement_timestamp()
			AND NOT EXISTS (SELECT FROM adjustment_decisions WHERE adjustment = a.id)`)
	return n, err
}
