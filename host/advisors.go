package host

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// AdvisorProfile is an advisor, and for themselves and administrators what clients do not
// see.
type AdvisorProfile struct {
	Advisor
	AtMost *int64      `json:"wait_at_most,omitempty" example:"540" doc:"Seconds that a client who joined the line now would wait for their turn, at most as far as is known, while the advisor is busy."`
	Own    *AdvisorOwn `json:"own,omitempty" doc:"Not there for sites and clients."`
}

// AdvisorOwn is what an advisor has set, and within which bounds.
type AdvisorOwn struct {
	OnLine        bool         `json:"on_line" doc:"Whether they want to be asked for talks. In state it counts beside their hours, their lines and calls."`
	PerMinute     money.Amount `json:"per_minute" example:"249" doc:"Their own price; 0: the host's. What holds is in price."`
	Predetermined int64        `json:"predetermined_seconds" example:"600" doc:"The talk that a client's money must cover, as they want it; 0: the host's. What holds is in least_seconds."`
	Bounds        Bounds       `json:"bounds"`
	Greeting      string       `json:"greeting,omitempty" example:"3f79bb7b435b0532" doc:"Version of the greeting; not there without one."`
}

// Bounds are the plan's for what advisors set.
type Bounds struct {
	PerMinuteLeast     money.Amount `json:"per_minute_least" example:"99"`
	PerMinuteMost      money.Amount `json:"per_minute_most" example:"499"`
	PredeterminedLeast int64        `json:"predetermined_seconds_least" example:"60"`
	PredeterminedMost  int64        `json:"predetermined_seconds_most" example:"1800"`
}

func advisorOf(plan dialplan.Plan, s store.AdvisorState) Advisor {
	terms := plan.Terms(string(s.ID), s.Wish)
	a := Advisor{
		Named: Named{string(s.ID), s.Name}, State: s.State, Price: priceOf(terms), Least: terms.Least(), Seconds: seconds(terms.Predetermined),
		Words: s.Profile.Words, Languages: notNil(s.Profile.Languages), Topics: notNil(s.Profile.Topics), NextAt: someTime(s.NextAt),
		Stars: math.Round(10*s.Stars) / 10, Rated: s.Rated,
	}
	if s.Picture != "" {
		a.Picture = "/v1/advisors/" + string(s.ID) + "/picture?v=" + s.Picture
	}
	return a
}

// notNil makes a list that is [] in JSON.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// someTime is left out of JSON where it is zero.
func someTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (h *Host) advisorProfile(ctx context.Context, id ivr.AdvisorID) (*struct{ Body AdvisorProfile }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	s, err := h.Store.AdvisorState(ctx, own(ctx), id)
	if err != nil {
		return nil, err
	}
	out := AdvisorProfile{Advisor: advisorOf(plan, s)}
	if s.State == store.Busy {
		wait, err := h.Store.LongestWait(ctx, plan, id, plan.Terms(string(id), s.Wish))
		if err != nil {
			return nil, err
		}
		atMost := secondsUp(wait)
		out.AtMost = &atMost
	}
	if role := asker(ctx).Role; role == store.RoleAdvisor || role == store.RoleAdmin {
		price, talk := plan.Limits.OwnPrice, plan.Limits.Predetermined
		out.Own = &AdvisorOwn{s.OnLine, s.Wish.PerMinute, seconds(s.Wish.Predetermined),
			Bounds{price.Least, price.Most, seconds(talk.Least), seconds(talk.Most)}, s.Greeting}
	}
	return &struct{ Body AdvisorProfile }{out}, nil
}

// AdvisorChange is the part of a request that says what an advisor shows and asks for.
type AdvisorChange struct {
	Words         *string       `json:"words,omitempty" maxLength:"2000" pattern:"^[^\\x00-\\x08\\x0b-\\x1f\\x7f]*$" doc:"About them, plain text."`
	Languages     *[]string     `json:"languages,omitempty" maxItems:"10" doc:"ISO 639-1, such as de."`
	Topics        *[]string     `json:"topics,omitempty" maxItems:"10" doc:"A few words each."`
	PerMinute     *money.Amount `json:"per_minute,omitempty" minimum:"0" example:"249" doc:"Their own price, within the plan's bounds; 0 for the host's."`
	Predetermined *int64        `json:"predetermined_seconds,omitempty" minimum:"0" maximum:"86400" example:"600" doc:"The talk that a client's money must cover, within the plan's bounds; 0 for the host's."`
}

var (
	languageCode = regexp.MustCompile(`^[a-z]{2}$`)
	topicWords   = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} .,&'-]{0,39}$`)
)

// within is the change for the store. It is refused whole where a part is outside of the
// plan's bounds, which it then says.
func (c AdvisorChange) within(plan dialplan.Plan, name *string) (store.AdvisorChange, error) {
	out := store.AdvisorChange{Name: name, Words: c.Words, Languages: c.Languages, Topics: c.Topics, PerMinute: c.PerMinute}
	p := newProblem("not_valid")
	bad := func(where, format string, args ...any) {
		p.Errors = append(p.Errors, Fault{"body." + where, fmt.Sprintf(format, args...)})
	}
	if price := plan.Limits.OwnPrice; c.PerMinute != nil && *c.PerMinute != 0 && (*c.PerMinute < price.Least || *c.PerMinute > price.Most) {
		bad("per_minute", "must be from %d to %d, or 0 for the host's price", int64(price.Least), int64(price.Most))
	}
	if c.Predetermined != nil {
		length, talk := time.Duration(*c.Predetermined)*time.Second, plan.Limits.Predetermined
		if length != 0 && (length < talk.Least || length > talk.Most) {
			bad("predetermined_seconds", "must be from %d to %d, or 0 for the host's length", seconds(talk.Least), seconds(talk.Most))
		}
		out.Predetermined = &length
	}
	if c.Languages != nil && slices.ContainsFunc(*c.Languages, func(l string) bool { return !languageCode.MatchString(l) }) {
		bad("languages", "each must be two letters of ISO 639-1, such as de")
	}
	if c.Topics != nil && slices.ContainsFunc(*c.Topics, func(t string) bool { return !topicWords.MatchString(t) }) {
		bad("topics", "each must be at most 40 letters, digits, spaces and . , & ' -")
	}
	if len(p.Errors) > 0 {
		return out, p
	}
	return out, nil
}

func (h *Host) advisorRoutes() {
	ofAdvisor := []store.Role{store.RoleAdvisor, store.RoleAdmin}
	add(h, huma.Operation{
		OperationID: "add-advisor", Method: http.MethodPost, Path: "/v1/advisors", DefaultStatus: http.StatusCreated, Summary: "Add an advisor",
		Errors: []int{http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.addAdvisor, store.RoleSite, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "get-advisor", Method: http.MethodGet, Path: "/v1/advisors/{id}", Summary: "See an advisor",
		Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{ Body AdvisorProfile }, error) {
		if err := onlyOwn(ctx, in.ID); err != nil {
			return nil, err
		}
		return h.advisorProfile(ctx, in.ID)
	}, store.RoleSite, store.RoleClient, store.RoleAdvisor, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "change-advisor", Method: http.MethodPatch, Path: "/v1/advisors/{id}", Summary: "Change what an advisor shows and asks for",
		Description: "What is left out stays as it is. Calls that are up, and numbers that are lent, keep their price.",
		Errors:      []int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.changeAdvisor, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "set-presence", Method: http.MethodPut, Path: "/v1/advisors/{id}/presence", DefaultStatus: http.StatusNoContent,
		Summary: "Put an advisor on line, or off line", Description: "Off line nobody new is put through. What is up or reserved goes on.",
		Errors: []int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.setPresence, store.RoleSite, store.RoleAdvisor, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "get-hours", Method: http.MethodGet, Path: "/v1/advisors/{id}/hours", Summary: "See when an advisor takes calls",
		Errors: []int{http.StatusNotFound},
	}, h.getHours, store.RoleSite, store.RoleClient, store.RoleAdvisor, store.RoleAdmin)
	add(h, huma.Operation{
		OperationID: "set-hours", Method: http.MethodPut, Path: "/v1/advisors/{id}/hours", Summary: "Say when an advisor takes calls",
		Description: "By the clocks on the walls of the zone. An hour that they show twice counts whole: what begins in it begins with its first time, " +
			"what ends in it with its last. A time that they skip is when they skip it. Presence counts beside hours: who is off line gets no calls in any.",
		Errors: []int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge},
	}, h.setHours, ofAdvisor...)
}

func (h *Host) addAdvisor(ctx context.Context, in *struct {
	Keyed
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"60" pattern:"^[\\p{L}\\p{N}][\\p{L}\\p{N} .,'-]*$" example:"Anna" doc:"Clients see and hear it."`
		AdvisorChange
	}
}) (*struct{ Body AdvisorProfile }, error) {
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	change, err := in.Body.within(plan, nil)
	if err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "add-advisor", in.Body)
	if err != nil {
		return nil, err
	}
	id, err := h.Store.RequestAdvisor(ctx, request, asker(ctx).Who(), in.Body.Name, change)
	if err != nil {
		return nil, err
	}
	return h.advisorProfile(ctx, id)
}

func (h *Host) changeAdvisor(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Body struct {
		Name *string `json:"name,omitempty" minLength:"1" maxLength:"60" pattern:"^[\\p{L}\\p{N}][\\p{L}\\p{N} .,'-]*$" example:"Anna" doc:"Clients see and hear it."`
		AdvisorChange
	}
}) (*struct{ Body AdvisorProfile }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	change, err := in.Body.within(plan, in.Body.Name)
	if err != nil {
		return nil, err
	}
	if err := h.Store.ChangeAdvisor(ctx, asker(ctx).Who(), in.ID, change); err != nil {
		return nil, err
	}
	return h.advisorProfile(ctx, in.ID)
}

func (h *Host) setPresence(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Body struct {
		OnLine bool `json:"on_line"`
	}
}) (*struct{}, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, h.Store.SetPresence(ctx, in.ID, in.Body.OnLine)
}
