package host

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// Appointment is a talk at a time that was agreed on, or is to be.
type Appointment struct {
	ID       store.AppointmentID    `json:"id" example:"appt_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	State    store.AppointmentState `json:"state" enum:"asked,proposed,accepted,calling,open,kept,declined,cancelled,client_no_show,advisor_no_show,no_funds,missed" doc:"asked: the advisor has to answer. proposed: the advisor named another time, the client has to answer. accepted. calling: we call both, or they talk. open: the client dials number. All others are ends: missed is nobody's fault, or nobody answered; only kept and client_no_show may have cost something."`
	Client   Named                  `json:"client"`
	Advisor  Named                  `json:"advisor"`
	Mode     store.Mode             `json:"mode" enum:"host_calls,dial_in"`
	StartsAt time.Time              `json:"starts_at" example:"2026-10-25T14:00:00+01:00" doc:"By the clocks of its zone."`
	Zone     string                 `json:"zone" example:"Europe/Berlin"`
	Seconds  int64                  `json:"seconds" example:"1800" doc:"Its length: the talk lasts no longer."`
	Phone    string                 `json:"phone,omitempty" example:"+49*********01" doc:"The client's, masked. Not told to the advisor."`
	Topic    string                 `json:"topic,omitempty"`
	Price    Price                  `json:"price" doc:"Agreed on: the talk costs no more."`
	Cost     money.Amount           `json:"cost" example:"5970" doc:"Of the whole length, in minor units. Only what is talked is charged."`
	Held     *money.Amount          `json:"held,omitempty" example:"5970" doc:"Of the client's money, since it was accepted. It is free again when the call holds it, or when it is over. Not told to the advisor."`
	NoShow   *money.Amount          `json:"no_show,omitempty" example:"500" doc:"What the client pays of it if they do not come."`
	Fee      *money.Amount          `json:"fee,omitempty" example:"0" doc:"What the client has paid for not coming."`
	Missed   *money.Amount          `json:"advisor_no_show,omitempty" example:"300" doc:"What we pay the client if the advisor does not come. Not told to the advisor, as the next."`
	Paid     *money.Amount          `json:"compensation,omitempty" example:"0" doc:"What we have paid the client because the advisor did not come."`
	Until    *time.Time             `json:"until,omitempty" doc:"A client who comes later has not come."`
	Number   string                 `json:"number,omitempty" example:"+493055500101" doc:"To be dialled by the client, E.164, while it is open. Told to the client alone."`
	Tel      string                 `json:"tel,omitempty" format:"uri" example:"tel:+493055500101"`
	PIN      string                 `json:"pin,omitempty" example:"042816" doc:"Asked for when the client calls from another phone."`
	Calls    []ivr.CallID           `json:"calls" nullable:"false" doc:"That were made for it: ask for their receipts."`
	Changes  []AppointmentChange    `json:"changes" nullable:"false" doc:"What became of it, in order."`
}

// AppointmentChange is how an appointment stood from then on.
type AppointmentChange struct {
	At       time.Time              `json:"at"`
	By       store.Side             `json:"by" enum:"client,advisor,host"`
	State    store.AppointmentState `json:"state"`
	StartsAt time.Time              `json:"starts_at"`
	Reason   string                 `json:"reason,omitempty"`
}

func appointmentOf(ctx context.Context, a store.Appointment) Appointment {
	loc, err := time.LoadLocation(a.Zone)
	if err != nil { // checked when it was asked for
		loc = time.UTC
	}
	out := Appointment{
		ID: a.ID, State: a.State, Client: Named{string(a.Client), a.ClientAlias}, Advisor: Named{string(a.Advisor), a.AdvisorName},
		Mode: a.Mode, StartsAt: a.StartsAt.In(loc), Zone: a.Zone, Seconds: seconds(a.Length), Topic: a.Topic,
		Price: priceOf(a.Terms), Cost: a.Terms.Least(), Until: someTime(a.Until), Calls: a.Calls, Changes: make([]AppointmentChange, len(a.Changes)),
	}
	for i, c := range a.Changes {
		out.Changes[i] = AppointmentChange{c.At, c.Side, c.State, c.StartsAt.In(loc), c.Reason}
	}
	role := asker(ctx).Role
	if role != store.RoleAdvisor {
		out.Phone, out.Held, out.NoShow, out.Fee = a.Phone, &a.Held, &a.NoShow, &a.Fee
		out.Missed, out.Paid = &a.AdvisorNoShow, &a.Compensation
	}
	if role != store.RoleAdvisor && role != store.RoleAdmin && a.State == store.ApptOpen {
		out.Number, out.Tel, out.PIN = a.DID, "tel:"+a.DID, a.PIN
	}
	return out
}

// Appointments is a page of appointments.
type Appointments struct {
	Appointments []Appointment `json:"appointments" nullable:"false"`
}

type appointmentBody struct {
	Client   ivr.ClientID  `json:"client,omitempty" maxLength:"64" pattern:"^[a-z0-9_]+$" doc:"Who asks. A client's session need not say it."`
	Advisor  ivr.AdvisorID `json:"advisor" minLength:"1" maxLength:"64" pattern:"^[a-z0-9_]+$" doc:"Whom."`
	StartsAt time.Time     `json:"starts_at" example:"2026-10-25T14:00:00+01:00" doc:"With the offset that the zone has then: so there is no doubt in the nights when clocks change."`
	Zone     string        `json:"zone" minLength:"1" maxLength:"64" example:"Europe/Berlin" doc:"Of the IANA database: by whose clocks both are told the time."`
	Seconds  int64         `json:"seconds" minimum:"1" maximum:"86400" example:"1800" doc:"How long the talk may last. The client's money must cover it."`
	Mode     store.Mode    `json:"mode" enum:"host_calls,dial_in" doc:"host_calls: at the time we call the client, who presses 1, then the advisor. dial_in: the client dials a number that is lent to them shortly before."`
	Phone    string        `json:"phone,omitempty" maxLength:"16" pattern:"^\\+[1-9][0-9]{6,14}$" example:"+4915112345601" doc:"The client's at that time, E.164; their own where it is not said."`
	Topic    string        `json:"topic,omitempty" maxLength:"80" pattern:"^[\\p{L}\\p{N} .,!?'-]*$" example:"my cat" doc:"What it is about. The advisor hears it before accepting the call."`
}

type appointmentAnswer struct {
	Location string `header:"Location"`
	Body     Appointment
}

// FreeTimes are when an advisor can be met.
type FreeTimes struct {
	Free []FreeTime `json:"free" nullable:"false" doc:"In order."`
}

// FreeTime is a stretch of time that an appointment can be in.
type FreeTime struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to" doc:"By then it must have ended."`
}

func (h *Host) appointmentRoutes() {
	client := []store.Role{store.RoleSite, store.RoleClient}
	both := append(client, store.RoleAdvisor)
	everyone := append(both, store.RoleAdmin)
	changed := []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	paid := append([]int{http.StatusPaymentRequired}, changed...)
	add(h, huma.Operation{
		OperationID: "ask-appointment", Method: http.MethodPost, Path: "/v1/appointments", DefaultStatus: http.StatusCreated, Summary: "Ask for an appointment",
		Description: "Today's price is what counts, also if it is changed before the talk. The client's money must cover the length; " +
			"where the plan holds it at booking, it is set aside when the appointment is accepted.",
		Errors: paid,
	}, h.askAppointment, client...)
	add(h, huma.Operation{
		OperationID: "list-appointments", Method: http.MethodGet, Path: "/v1/appointments", Summary: "List appointments, the last that was asked for first",
		Description: "A client's and an advisor's token list their own.",
	}, h.appointments, everyone...)
	add(h, huma.Operation{
		OperationID: "get-appointment", Method: http.MethodGet, Path: "/v1/appointments/{id}", Summary: "See an appointment",
		Errors: []int{http.StatusNotFound},
	}, h.appointment, everyone...)
	add(h, huma.Operation{
		OperationID: "accept-appointment", Method: http.MethodPost, Path: "/v1/appointments/{id}/acceptance", Summary: "Accept an appointment",
		Description: "By the advisor what was asked for, by the client what the advisor proposed.", Errors: paid,
	}, h.acceptAppointment, both...)
	add(h, huma.Operation{
		OperationID: "decline-appointment", Method: http.MethodPost, Path: "/v1/appointments/{id}/decline", Summary: "Decline an appointment",
		Description: "By the advisor what was asked for, by the client what the advisor proposed.", Errors: changed,
	}, h.declineAppointment, both...)
	add(h, huma.Operation{
		OperationID: "propose-appointment", Method: http.MethodPost, Path: "/v1/appointments/{id}/proposal", Summary: "Propose another time",
		Description: "The client then accepts or declines. The length and the price stay.", Errors: changed,
	}, h.proposeAppointment, store.RoleAdvisor)
	add(h, huma.Operation{
		OperationID: "cancel-appointment", Method: http.MethodPost, Path: "/v1/appointments/{id}/cancellation", Summary: "Cancel an appointment",
		Description: "By either side, before it begins. It costs nothing.", Errors: changed,
	}, h.cancelAppointment, both...)
	add(h, huma.Operation{
		OperationID: "get-free-times", Method: http.MethodGet, Path: "/v1/advisors/{id}/free-times", Summary: "See when an advisor can be met",
		Description: "By the advisor's hours, beside what is agreed on already.", Errors: []int{http.StatusNotFound},
	}, h.freeTimes, everyone...)
}

// party is whose appointments the asker sees and answers.
func party(ctx context.Context) store.Party {
	token := asker(ctx)
	return store.Party{Client: token.Client, Advisor: token.Advisor, Who: token.Who()}
}

func (h *Host) askAppointment(ctx context.Context, in *struct {
	Keyed
	Body appointmentBody
}) (*appointmentAnswer, error) {
	client, err := actFor(ctx, in.Body.Client)
	if err != nil {
		return nil, err
	}
	in.Body.Client = client
	if err := h.limits.talks.take(string(client)); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "ask-appointment", in.Body)
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	a, err := h.Store.AskAppointment(ctx, request, plan, party(ctx).Who, store.AppointmentRequest{
		Client: client, Advisor: in.Body.Advisor, At: in.Body.StartsAt, Zone: in.Body.Zone, Length: time.Duration(in.Body.Seconds) * time.Second,
		Mode: in.Body.Mode, Phone: in.Body.Phone, Topic: in.Body.Topic,
	})
	if err != nil {
		return nil, h.topUp(err, client, plan)
	}
	return &appointmentAnswer{"/v1/appointments/" + string(a.ID), appointmentOf(ctx, a)}, nil
}

func (h *Host) appointments(ctx context.Context, in *struct {
	Client  ivr.ClientID           `query:"client" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only this client's."`
	Advisor ivr.AdvisorID          `query:"advisor" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only this advisor's."`
	State   store.AppointmentState `query:"state" maxLength:"20" pattern:"^[a-z_]*$" doc:"Only those that stand so."`
	Coming  bool                   `query:"coming" doc:"Only those that are not over."`
	Before  store.AppointmentID    `query:"before" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Only those after this one in the list: the next page."`
	Limit   int                    `query:"limit" minimum:"1" maximum:"200" default:"50"`
}) (*struct{ Body Appointments }, error) {
	list, err := h.Store.Appointments(ctx, store.AppointmentFilter{
		Client: in.Client, Advisor: in.Advisor, State: in.State, Coming: in.Coming, Before: in.Before,
	}, party(ctx), in.Limit)
	if err != nil {
		return nil, err
	}
	page := Appointments{make([]Appointment, len(list))}
	for i, a := range list {
		page.Appointments[i] = appointmentOf(ctx, a)
	}
	return &struct{ Body Appointments }{page}, nil
}

func (h *Host) appointment(ctx context.Context, in *ByID[store.AppointmentID]) (*struct{ Body Appointment }, error) {
	a, err := h.Store.Appointment(ctx, in.ID, party(ctx))
	if err != nil {
		return nil, err
	}
	return &struct{ Body Appointment }{appointmentOf(ctx, a)}, nil
}

func (h *Host) acceptAppointment(ctx context.Context, in *struct {
	Keyed
	ByID[store.AppointmentID]
}) (*struct{ Body Appointment }, error) {
	request, err := in.request(ctx, "accept-appointment", in.ID)
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	a, err := h.Store.AcceptAppointment(ctx, request, plan, party(ctx), in.ID)
	var poor *ivr.NoFunds
	switch {
	case errors.As(err, &poor) && ownAdvisor(ctx) != "": // how much the client has is not the advisor's to know
		return nil, newProblem("client_no_funds")
	case errors.As(err, &poor):
		asked, lookErr := h.Store.Appointment(ctx, in.ID, party(ctx))
		return nil, errors.Join(lookErr, h.topUp(err, asked.Client, plan))
	case err != nil:
		return nil, err
	}
	return &struct{ Body Appointment }{appointmentOf(ctx, a)}, nil
}

type reasonBody struct {
	Reason string `json:"reason,omitempty" maxLength:"200" doc:"Told to the other."`
}

func (h *Host) declineAppointment(ctx context.Context, in *struct {
	Keyed
	ByID[store.AppointmentID]
	Body *reasonBody `required:"false"`
}) (*struct{ Body Appointment }, error) {
	return h.endAppointment(ctx, in.Keyed, "decline-appointment", in.ID, in.Body, h.Store.DeclineAppointment)
}

func (h *Host) cancelAppointment(ctx context.Context, in *struct {
	Keyed
	ByID[store.AppointmentID]
	Body *reasonBody `required:"false"`
}) (*struct{ Body Appointment }, error) {
	return h.endAppointment(ctx, in.Keyed, "cancel-appointment", in.ID, in.Body, h.Store.CancelAppointment)
}

func (h *Host) endAppointment(ctx context.Context, key Keyed, operation string, id store.AppointmentID, body *reasonBody,
	end func(context.Context, store.Request, store.Party, store.AppointmentID, string) (store.Appointment, error)) (*struct{ Body Appointment }, error) {
	if body == nil {
		body = &reasonBody{}
	}
	request, err := key.request(ctx, operation, []string{string(id), body.Reason})
	if err != nil {
		return nil, err
	}
	a, err := end(ctx, request, party(ctx), id, body.Reason)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Appointment }{appointmentOf(ctx, a)}, nil
}

func (h *Host) proposeAppointment(ctx context.Context, in *struct {
	Keyed
	ByID[store.AppointmentID]
	Body struct {
		StartsAt time.Time `json:"starts_at" example:"2026-10-25T16:00:00+01:00" doc:"With the offset that the appointment's zone has then."`
	}
}) (*struct{ Body Appointment }, error) {
	request, err := in.request(ctx, "propose-appointment", []any{in.ID, in.Body})
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	a, err := h.Store.ProposeAppointment(ctx, request, plan, party(ctx), in.ID, in.Body.StartsAt)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Appointment }{appointmentOf(ctx, a)}, nil
}

// freeTimesMost bounds what is looked through at once.
const freeTimesMost = 31 * 24 * time.Hour

func (h *Host) freeTimes(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	From    time.Time `query:"from" doc:"Now, where it is not said or past."`
	To      time.Time `query:"to" doc:"Two weeks after, where it is not said; at most 31 days."`
	Seconds int64     `query:"seconds" minimum:"1" maximum:"86400" default:"600" doc:"How long the appointment is to last."`
	Zone    string    `query:"zone" maxLength:"64" default:"UTC" doc:"By whose clocks times are told."`
}) (*struct{ Body FreeTimes }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	loc, err := time.LoadLocation(in.Zone)
	if err != nil || in.Zone == "Local" {
		return nil, invalid("query.zone", "it is not a zone of the IANA database, such as Europe/Berlin")
	}
	if in.From.IsZero() {
		in.From = time.Now()
	}
	if in.To.IsZero() {
		in.To = in.From.Add(14 * 24 * time.Hour)
	}
	if in.To.Before(in.From) || in.To.Sub(in.From) > freeTimesMost {
		return nil, invalid("query.to", "it must be after from, at most 31 days")
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	list, err := h.Store.FreeTimes(ctx, plan, own(ctx), in.ID, in.From, in.To, time.Duration(in.Seconds)*time.Second)
	if err != nil {
		return nil, err
	}
	free := make([]FreeTime, len(list))
	for i, f := range list {
		free[i] = FreeTime{f.From.In(loc), f.To.In(loc)}
	}
	return &struct{ Body FreeTimes }{FreeTimes{free}}, nil
}
