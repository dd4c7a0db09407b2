package store

import (
	"context"
	"fmt"
	"time"

	"parley/ivr"
	"parley/ivr/money"
)

// Earning is what an advisor has earned; in a day, or in all where Day is "".
type Earning struct {
	Day      string // such as 2026-03-01, by the clocks of a zone
	Currency string
	Amount   money.Amount // below zero where more was taken back than came in
}

// DaysOf says which days are asked for: from and to one, both of them too, by the clocks
// of a zone. Where To is "" it is today, where From is "", thirty days before To.
type DaysOf struct{ Zone, From, To string }

// Earnings adds up what the ledger brought an advisor and took from them: by day, the
// newest first, and in all, ever.
func (s *Store) Earnings(ctx context.Context, advisor ivr.AdvisorID, of DaysOf) (days, all []Earning, err error) {
	if _, err := loadZone(of.Zone); err != nil {
		return nil, nil, err
	}
	err = s.list(ctx, &days, `
		WITH moved AS (
			SELECT t.at, t.currency, t.amount FROM accounts a JOIN transfers t ON t.credit = a.id WHERE a.advisor = $1
			UNION ALL
			SELECT t.at, t.currency, -t.amount FROM accounts a JOIN transfers t ON t.debit = a.id WHERE a.advisor = $1
		), asked AS (
			SELECT coalesce(nullif($4, '')::date, (now() AT TIME ZONE $2)::date) AS last
		)
		SELECT (at AT TIME ZONE $2)::date::text AS day, currency, sum(amount)::bigint AS amount FROM moved, asked
		WHERE (at AT TIME ZONE $2)::date BETWEEN coalesce(nullif($3, '')::date, last - 30) AND last
		GROUP BY 1, 2 ORDER BY 1 DESC, 2`, advisor, of.Zone, of.From, of.To)
	if err == nil {
		err = s.list(ctx, &all, `
			SELECT '' AS day, currency, posted AS amount FROM balances
			WHERE id IN (SELECT id FROM accounts WHERE advisor = $1) ORDER BY currency`, advisor)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("earnings of advisor %s: %w", advisor, err)
	}
	return days, all, nil
}

// AdvisorCall is a call as its advisor may see it: without the client's money.
type AdvisorCall struct {
	ID          ivr.CallID
	Client      ivr.ClientID
	Alias       string
	StartedAt   time.Time       `db:"started_at"`
	TalkMS      int64           `db:"talk_ms"`
	Share       money.Amount    // the advisor's
	Currency    string          // "" where no money was held
	Disposition ivr.Disposition `db:"disposition"`
}

// AdvisorCalls lists an advisor's calls that have ended: the newest first, older than
// before unless that is "".
func (s *Store) AdvisorCalls(ctx context.Context, advisor ivr.AdvisorID, before ivr.CallID, limit int) (list []AdvisorCall, err error) {
	err = s.list(ctx, &list, `
		SELECT c.id, c.client, k.alias, c.started_at, c.talk_ms, c.advisor_share AS share,
			coalesce(c.terms->>'currency', '') AS currency, c.disposition
		FROM calls c JOIN clients k ON k.id = c.client
		WHERE c.advisor = $1 AND c.ended_at IS NOT NULL AND ($2 = '' OR c.id < $2) ORDER BY c.id DESC LIMIT $3`, advisor, before, limit)
	if err != nil {
		return nil, fmt.Errorf("calls of advisor %s: %w", advisor, err)
	}
	return list, nil
}
