package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr/money"
	"parley/store"
)

// Statistics are what became of calls, by the hour.
type Statistics struct {
	Currency string           `json:"currency" example:"EUR" doc:"The plan's; money in another does not count."`
	Hours    []StatisticsHour `json:"hours" nullable:"false" doc:"Each of them, the oldest first, up to now."`
}

// StatisticsHour is of calls that began in one hour and have ended.
type StatisticsHour struct {
	From     time.Time    `json:"from"`
	Calls    int          `json:"calls" example:"31" doc:"Verification calls do not count."`
	Answered int          `json:"answered" example:"24" doc:"Of these: the two have talked."`
	Seconds  float64      `json:"talk_seconds" example:"9120.5"`
	Ring     float64      `json:"ring_seconds" example:"7.5" doc:"The mean of those that were answered: from the dialling to the advisor's answer."`
	Wait     float64      `json:"wait_seconds" example:"214" doc:"The mean of who joined a line in that hour and had their turn: until that."`
	Held     money.Amount `json:"held" example:"120000" doc:"In minor units, in all."`
	Captured money.Amount `json:"captured" example:"31920" doc:"Of that: what the calls cost, before refunds."`
}

func (h *Host) statisticsRoutes() {
	add(h, huma.Operation{
		OperationID: "get-statistics", Method: http.MethodGet, Path: "/v1/statistics", Summary: "See calls, talk and money by the hour",
	}, h.statistics, store.RoleAdmin)
}

func (h *Host) statistics(ctx context.Context, in *struct {
	Hours int `query:"hours" minimum:"1" maximum:"168" default:"24" doc:"How many, with the one that has begun."`
}) (*struct{ Body Statistics }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	hours, err := h.Store.HoursOfCalls(ctx, now.Add(-time.Duration(in.Hours-1)*time.Hour), now, plan.Currency)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Statistics }{Statistics{plan.Currency, each(hours, func(o store.HourOfCalls) StatisticsHour {
		return StatisticsHour{o.From, o.Calls, o.Answered, inSeconds(o.TalkMS), inSeconds(o.RingMS), inSeconds(o.WaitMS), o.Held, o.Captured}
	})}}, nil
}

func inSeconds(ms int64) float64 { return (time.Duration(ms) * time.Millisecond).Seconds() }
