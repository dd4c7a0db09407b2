package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// AppointmentRequest asks for an appointment.
type AppointmentRequest struct {
	Client   string    `json:"client,omitempty"` // need not be said by a client's session
	Advisor  string    `json:"advisor"`
	StartsAt time.Time `json:"starts_at"` // with the offset that the zone has then: see [time.Time.In]
	Zone     string    `json:"zone"`
	Seconds  int64     `json:"seconds"`
	Mode     string    `json:"mode"` // host_calls or dial_in
	Phone    string    `json:"phone,omitempty"`
	Topic    string    `json:"topic,omitempty"`
}

// Appointment is one as it stands.
type Appointment struct {
	ID, State, Mode  string
	Client, Advisor  Named
	StartsAt         time.Time `json:"starts_at"`
	Zone             string
	Seconds          int64
	Phone, Topic     string // the phone masked
	Price            Price
	Cost, Held, Fee  int64
	NoShow           int64 `json:"no_show"`
	AdvisorNoShow    int64 `json:"advisor_no_show"`
	Compensation     int64
	Until            *time.Time
	Number, Tel, PIN string
	Calls            []string
	Changes          []struct {
		At                time.Time
		By, State, Reason string
		StartsAt          time.Time `json:"starts_at"`
	}
}

// FreeTime is a stretch of time that an appointment can be in.
type FreeTime struct{ From, To time.Time }

// AskAppointment asks for an appointment. The same key again gives the same answer.
func (c Client) AskAppointment(ctx context.Context, key string, r AppointmentRequest) (a Appointment, err error) {
	return a, c.do(ctx, http.MethodPost, "/v1/appointments", key, r, &a)
}

func (c Client) Appointment(ctx context.Context, id string) (a Appointment, err error) {
	return a, c.do(ctx, http.MethodGet, appointmentPath(id), "", nil, &a)
}

// Appointments are those that the token may see, narrowed by client, advisor, state,
// coming, before and limit.
func (c Client) Appointments(ctx context.Context, narrowed url.Values) ([]Appointment, error) {
	var page struct{ Appointments []Appointment }
	err := c.do(ctx, http.MethodGet, "/v1/appointments?"+narrowed.Encode(), "", nil, &page)
	return page.Appointments, err
}

func (c Client) AcceptAppointment(ctx context.Context, key, id string) (a Appointment, err error) {
	return a, c.do(ctx, http.MethodPost, appointmentPath(id)+"/acceptance", key, nil, &a)
}

func (c Client) DeclineAppointment(ctx context.Context, key, id, reason string) (a Appointment, err error) {
	return a, c.do(ctx, http.MethodPost, appointmentPath(id)+"/decline", key, map[string]string{"reason": reason}, &a)
}

func (c Client) ProposeAppointment(ctx context.Context, key, id string, at time.Time) (a Appointment, err error) {
	return a, c.do(ctx, http.MethodPost, appointmentPath(id)+"/proposal", key, map[string]time.Time{"starts_at": at}, &a)
}

func (c Client) CancelAppointment(ctx context.Context, key, id, reason string) (a Appointment, err error) {
	return a, c.do(ctx, http.MethodPost, appointmentPath(id)+"/cancellation", key, map[string]string{"reason": reason}, &a)
}

// FreeTimes are when an advisor can be met for so long, between two times, told by the
// clocks of a zone.
func (c Client) FreeTimes(ctx context.Context, advisor string, from, to time.Time, length time.Duration, zone string) ([]FreeTime, error) {
	query := url.Values{"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)},
		"seconds": {strconv.FormatInt(int64(length/time.Second), 10)}, "zone": {zone}}
	var answer struct{ Free []FreeTime }
	err := c.do(ctx, http.MethodGet, "/v1/advisors/"+url.PathEscape(advisor)+"/free-times?"+query.Encode(), "", nil, &answer)
	return answer.Free, err
}

func appointmentPath(id string) string { return "/v1/appointments/" + url.PathEscape(id) }
