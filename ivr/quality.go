package ivr

import (
	"context"
	"time"
)

// Quality is how the sound of a leg was between its party and the switch, as RTP and
// RTCP tell it (RFC 3550). What the party's phone does not report is zero.
type Quality struct {
	Received, Lost int           // packets from the party
	Sent, SentLost int           // packets to the party; it reports those that it lost
	Jitter         time.Duration // of what came from the party
	RoundTrip      time.Duration
}

// Sound is bad from here on. Speech with 5 % of its packets lost is not made good by any
// codec of ours; a round trip of 400 ms is more than ITU-T G.114 allows for one direction
// with the phones' own delay; jitter of 50 ms empties a usual jitter buffer.
const (
	badLoss      = 0.05
	badJitter    = 50 * time.Millisecond
	badRoundTrip = 400 * time.Millisecond
	judgedLeast  = 250 // packets, which is 5 s: of less nothing is concluded
)

// Loss is the share of packets from the party that were lost, and SentLoss of those to it.
func (q Quality) Loss() float64 { return share(q.Lost, q.Received+q.Lost) }

func (q Quality) SentLoss() float64 { return share(q.SentLost, q.Sent) }

func share(part, whole int) float64 {
	if whole <= 0 {
		return 0
	}
	return min(1, float64(part)/float64(whole))
}

// Bad says that the party, or who talked with it, will have complained.
func (q Quality) Bad() bool {
	return q.Received >= judgedLeast &&
		(q.Loss() >= badLoss || q.SentLoss() >= badLoss || q.Jitter >= badJitter || q.RoundTrip >= badRoundTrip)
}

// LegQuality is the quality of one of a call's legs.
type LegQuality struct {
	Side string // client or advisor
	Quality
}

// partingTakes is how long the news may take of a leg that we have hung up; keepTakes
// bounds the writing of its quality.
const (
	partingTakes = time.Second
	keepTakes    = 2 * time.Second
)

// quality gathers how the sound of the call's legs was, in the order in which they came.
// The switch tells it with the news that a leg has left, and is asked for nothing.
func (c *Call) quality() (all []LegQuality) {
	late := time.NewTimer(partingTakes)
	defer late.Stop()
	legs := append(append([]Leg{}, c.lost...), c.Client, c.Advisor)
	for i, leg := range legs {
		if leg == nil {
			continue
		}
		select {
		case <-leg.Context().Done():
		case <-late.C:
			return all
		}
		side := "client"
		if i == len(legs)-1 {
			side = "advisor"
		}
		if d := departureOf(leg); d != nil && d.Quality != nil {
			all = append(all, LegQuality{side, *d.Quality})
		}
	}
	return all
}

// keepQuality writes down how a call sounded, and warns where that was bad. The call is
// settled already: that this is lost harms nobody.
func (s *Service) keepQuality(call *Call) []LegQuality {
	all := call.quality()
	if len(all) == 0 {
		return nil
	}
	for _, q := range all {
		if q.Bad() {
			s.Log.Warn("bad sound", "call", call.ID, "side", q.Side, "lost", q.Loss(), "sent_lost", q.SentLoss(),
				"jitter", q.Jitter, "round_trip", q.RoundTrip)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepTakes)
	defer cancel()
	if err := s.Ledger.KeepQuality(ctx, call.ID, all); err != nil {
		s.Log.Warn("the quality of a call is not recorded", "call", call.ID, "err", err)
	}
	return all
}
