package store

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"parley/ivr"
	"parley/ivr/money"
)

// Receipt explains what a finished call cost, and where the money went.
type Receipt struct {
	Call
	ClientAlias, AdvisorName string
	Holds                    []Hold
	Transfers                []Transfer
	Stars                    int     // that the client gave, 1 to 5; 0: none
	Plans                    []int64 // that it followed since it began

	Quality []ivr.LegQuality // of its legs, where it is known: for the desk
}

// Hold is money that was set aside for a call, and what became of it.
type Hold struct {
	Number             int // 1 when the call opened, more for each top-up
	Amount             money.Amount
	Captured, Released money.Amount
	Resolved           bool
}

// Refunded is what was paid back of the charge.
func (r Receipt) Refunded() (sum money.Amount) {
	for _, t := range r.Transfers {
		if t.Kind == string(Refund) {
			sum += t.Amount
		}
	}
	return sum
}

// Transfer took an amount from the debit account to the credit account.
type Transfer struct {
	ID            int64
	At            time.Time
	Kind          string // deposit, advisor share, platform share, refund, adjustment or payout
	Key           string // the ID of the payment, the call or the adjustment
	Debit, Credit string
	Currency      string
	Amount        money.Amount
}

const selectTransfers = `SELECT id, at, kind, key, debit, credit, currency, amount FROM transfers`

// Receipt returns [ErrNotFound] where there is no such call. The receipt of an open
// call shows what is held.
func (s *Store) Receipt(ctx context.Context, id ivr.CallID) (r Receipt, err error) {
	if r.Call, err = s.Call(ctx, id); err != nil {
		return r, err
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := tx.SelectContext(ctx, &r.Holds, `
			SELECT number, h.amount, coalesce(captured, 0) AS captured, coalesce(released, 0) AS released,
				captured IS NOT NULL AS resolved
			FROM holds h LEFT JOIN hold_resolutions USING (call, number) WHERE call = $1 ORDER BY number`, id); err != nil {
			return err
		}
		if err := tx.SelectContext(ctx, &r.Transfers, selectTransfers+`
			WHERE key = ANY (array_append(ARRAY(SELECT id FROM adjustments WHERE call = $1), $1)) AND kind <> 'deposit'
			ORDER BY id`, id); err != nil {
			return err
		}
		var err error
		if r.Quality, err = qualityOf(ctx, tx, id); err != nil {
			return err
		}
		return tx.QueryRowxContext(ctx, `
			SELECT coalesce((SELECT alias FROM clients WHERE id = $1), ''),
				coalesce((SELECT name FROM advisors WHERE id = $2), ''),
				coalesce((SELECT stars FROM ratings WHERE call = $3), 0),
				ARRAY(SELECT plan FROM call_revisions WHERE call = $3 ORDER BY at)`, r.Client, r.Advisor, id).
			Scan(&r.ClientAlias, &r.AdvisorName, &r.Stars, pq.Array(&r.Plans))
	})
	if err != nil {
		return r, fmt.Errorf("receipt of call %s: %w", id, err)
	}
	return r, nil
}

// ReceiptOf is [Store.Receipt] of a call of this client; [ErrNotFound] where it is
// another's. Anyone's where client is "".
func (s *Store) ReceiptOf(ctx context.Context, client ivr.ClientID, id ivr.CallID) (Receipt, error) {
	var known bool
	if err := s.get(ctx, &known, `SELECT true FROM calls WHERE id = $1 AND ($2 = '' OR client = $2)`, id, client); err != nil {
		return Receipt{}, fmt.Errorf("call %s: %w", id, err)
	}
	return s.Receipt(ctx, id)
}

// Sound is how the call sounded, a line a leg: for the desk, not for its client.
func (r Receipt) Sound() string {
	var b strings.Builder
	for _, q := range r.Quality {
		fmt.Fprintf(&b, "  sound           %s\n", soundWords(q))
	}
	return b.String()
}

// String is the receipt as its client would read it.
func (r Receipt) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	amount := func(a money.Amount) string { return a.String() + " " + r.Currency() }

	fmt.Fprintf(w, "Receipt of call %s\n", r.ID)
	line("begun", "%s UTC, %s called %s", r.StartedAt.UTC().Format("2006-01-02 15:04:05"), nonempty(r.ANI, "a withheld number"), nonempty(r.DID, "nobody"))
	if r.AdvisorName != "" {
		line("for", "%s", r.AdvisorName)
	}
	if r.Open() {
		line("ended", "not yet")
	} else {
		line("ended", "%s, by %s (cause %d)", r.Disposition, nonempty(r.EndedBy, "nobody"), r.Cause)
	}
	if r.Terms == nil {
		line("cost", "nothing: no money was held")
		w.Flush()
		return b.String()
	}
	line("price", "%s (plan %d, rate %q)", r.price(), r.Plan, r.Terms.RateName)
	for _, plan := range r.Plans {
		line("limits", "of plan %d since it was activated in the call", plan)
	}
	line("talk", "%s", count(len(r.Segments), "segment"))
	for i, seg := range r.Segments {
		from := seg.JoinedAt.UTC()
		line("", "%d: %s-%s, %s", i+1, from.Format(time.TimeOnly), from.Add(seg.Talk).Format(time.TimeOnly), spoken(seg.Talk))
	}
	if !r.Open() {
		line("charge", "%s", r.reckoning())
	}
	if refunded := r.Refunded(); refunded > 0 {
		line("paid back", "%s, so it cost %s", amount(refunded), amount(r.Charge-refunded))
	}
	for _, h := range r.Holds {
		if h.Resolved {
			line("held", "%s: %s captured, %s released", amount(h.Amount), amount(h.Captured), amount(h.Released))
		} else {
			line("held", "%s, not resolved yet", amount(h.Amount))
		}
	}
	for _, t := range r.Transfers {
		line(t.Kind, "%s from %s to %s (transfer %d)", amount(t.Amount), t.Debit, t.Credit, t.ID)
	}
	w.Flush()
	return b.String()
}

// price is the rate in words.
func (r Receipt) price() string {
	rate, words := r.Terms.Rate, strings.Builder{}
	fmt.Fprintf(&words, "%v %s per minute, counted in ", rate.PerMinute, r.Currency())
	if rate.Increment == time.Second {
		words.WriteString("seconds")
	} else {
		words.WriteString("steps of " + spoken(rate.Increment))
	}
	if rate.Minimum > 0 {
		words.WriteString(", at least " + spoken(rate.Minimum))
	}
	if rate.Fee > 0 {
		fmt.Fprintf(&words, ", and %v %s once", rate.Fee, r.Currency())
	}
	if rate.Free > 0 {
		words.WriteString("; the first " + spoken(rate.Free) + " free")
	}
	return words.String()
}

// reckoning is how the talk became the charge: by the function that charged it.
func (r Receipt) reckoning() string {
	cost := r.Terms.Rate.Charge(r.Talk())
	words := fmt.Sprintf("%s at %s -> %v %s", spoken(r.Talk()), r.price(), cost, r.Currency())
	if cost > r.Held {
		words += fmt.Sprintf("; but no more was held than %v, so the charge is %v", r.Held, r.Charge)
	}
	return words
}

// spoken is a length of time as people say it, such as 2 min 30 s; what is beyond
// whole seconds is shown only to a tenth, and only where there is some.
func spoken(d time.Duration) string {
	tenths := d.Round(100*time.Millisecond) / (100 * time.Millisecond)
	minutes, rest := tenths/600, tenths%600
	var parts []string
	if minutes > 0 {
		parts = append(parts, fmt.Sprintf("%d min", minutes))
	}
	switch {
	case rest%10 != 0:
		parts = append(parts, fmt.Sprintf("%d.%d s", rest/10, rest%10))
	case rest > 0 || minutes == 0:
		parts = append(parts, fmt.Sprintf("%d s", rest/10))
	}
	return strings.Join(parts, " ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func nonempty(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Account is a place where money is. The balance of one that is not a client's is
// the sum of its transfers; the outside's is minus all that came in.
type Account struct {
	ID           string
	Kind         string // client, advisor, platform, outside or adjustments
	Currency     string
	Posted, Held money.Amount
}

// Accounts lists all accounts. For each currency, Posted adds up to zero.
func (s *Store) Accounts(ctx context.Context) (list []Account, err error) {
	err = s.list(ctx, &list, `SELECT id, kind, currency, posted, held FROM balances ORDER BY kind, id`)
	return list, err
}

// Transfers lists the transfers of an account, or of all where account is "", the
// newest first.
func (s *Store) Transfers(ctx context.Context, account string, limit int) (list []Transfer, err error) {
	err = s.list(ctx, &list, selectTransfers+`
		WHERE $1 = '' OR debit = $1 OR credit = $1 ORDER BY id DESC LIMIT $2`, account, limit)
	return list, err
}
