package host

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/dialplan"
	"parley/ivr"
	"parley/ivr/money"
	"parley/store"
)

// planMost bounds a plan's text: some ten thousand numbers.
const planMost = 1 << 20

// PlanFault is one thing that is wrong with a plan's text.
type PlanFault struct {
	Line    int    `json:"line" example:"24" doc:"Counted from 1."`
	Field   string `json:"field" example:"limits.ring"`
	Problem string `json:"problem" example:"is missing; add it: nothing is unlimited or free by default" doc:"What is wrong, and what to write instead."`
}

// planFaults is all that is wrong with a text, or nil. It can be any text.
func planFaults(text string) []PlanFault {
	_, err := dialplan.Parse([]byte(text))
	var found dialplan.Faults
	errors.As(err, &found)
	faults := make([]PlanFault, len(found))
	for i, f := range found {
		faults[i] = PlanFault{f.Line, f.Field, f.Problem}
	}
	return faults
}

func refusePlan(faults []PlanFault) error {
	if len(faults) == 0 {
		return nil
	}
	p := newProblem("plan_faults")
	p.Faults = faults
	return p
}

// PlanVersion is a saved plan.
type PlanVersion struct {
	Version  int64      `json:"version" example:"7"`
	Author   string     `json:"author" example:"Ada"`
	Note     string     `json:"note" example:"shorter talks"`
	SHA256   string     `json:"sha256" doc:"Of the text, in hex."`
	SavedAt  time.Time  `json:"saved_at"`
	Active   bool       `json:"active" doc:"It holds for calls that begin now."`
	StartsAt *time.Time `json:"starts_at,omitempty" doc:"It is to be activated then."`
	Text     string     `json:"text,omitempty" doc:"YAML. Not in lists."`
}

func planVersionOf(p store.PlanVersion) PlanVersion {
	return PlanVersion{p.Version, p.Author, p.Note, hex.EncodeToString(p.SHA256), p.SavedAt, p.Active, timeOrNil(p.StartsAt), ""}
}

// timeOrNil leaves out a time that is not.
func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

type planBody struct {
	Text string `json:"text" minLength:"1" maxLength:"1000000" doc:"The whole plan, YAML."`
}

type savePlanBody struct {
	Text string `json:"text" minLength:"1" maxLength:"1000000" doc:"The whole plan, YAML."`
	Note string `json:"note,omitempty" maxLength:"500" example:"shorter talks" doc:"Why, for the history."`
}

type diffBody struct {
	Text    string `json:"text" minLength:"1" maxLength:"1000000" doc:"The whole plan, YAML."`
	Against int64  `json:"against,omitempty" minimum:"1" doc:"The version from which to look; the active one where not said."`
}

type activationBody struct {
	At time.Time `json:"at,omitempty" doc:"From when it holds; from now on where not said."`
}

// Activation is from when a plan holds.
type Activation struct {
	Version int64     `json:"version" example:"7"`
	By      string    `json:"by" example:"Ada"`
	From    time.Time `json:"from" doc:"It holds for calls that begin then or later."`
}

type explainBody struct {
	ANI string `json:"ani" maxLength:"64" pattern:"^[+0-9A-Za-z]*$" example:"+4915112345601" doc:"Who calls; empty where the number is withheld."`
	DID string `json:"did" maxLength:"64" pattern:"^[+0-9A-Za-z]*$" example:"+493055500101" doc:"What is dialled."`
}

// Explanation is what would happen if somebody called now.
type Explanation struct {
	Steps   []string        `json:"steps" nullable:"false" doc:"What is found on the way, in order."`
	Rings   bool            `json:"rings" doc:"Whether the advisor's line would ring."`
	Outcome ivr.Disposition `json:"outcome" example:"completed" doc:"How it would end, were nobody to talk."`
	Held    money.Amount    `json:"held" example:"5000" doc:"What would be set aside, in minor units."`
	Seconds int64           `json:"seconds" example:"1507" doc:"The longest talk."`
	Price   *Price          `json:"price,omitempty" doc:"Not there where the call would not get that far."`
}

// VersionPath names a saved version.
type VersionPath struct {
	Version int64 `path:"version" minimum:"1"`
}

// PlanExample is a plan that shows how one is written.
type PlanExample struct {
	Text string `json:"text" doc:"YAML."`
}

func (h *Host) planRoutes() {
	admin := store.RoleAdmin
	doing := []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	add(h, huma.Operation{
		OperationID: "check-plan", Method: http.MethodPost, Path: "/v1/plans/check", Summary: "Say all that is wrong with a plan's text",
		MaxBodyBytes: planMost, Errors: []int{http.StatusRequestEntityTooLarge},
	}, h.checkPlan, admin)
	add(h, huma.Operation{
		OperationID: "diff-plan", Method: http.MethodPost, Path: "/v1/plans/diff", Summary: "Say what a plan's text would change",
		MaxBodyBytes: planMost, Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge},
	}, h.diffPlan, admin)
	add(h, huma.Operation{
		OperationID: "save-plan", Method: http.MethodPost, Path: "/v1/plans", DefaultStatus: http.StatusCreated, Summary: "Save a plan as the next version",
		Description:  "A text with anything wrong in it is refused whole. The text of the newest version again is that version.",
		MaxBodyBytes: planMost, Errors: doing,
	}, h.savePlan, admin)
	add(h, huma.Operation{OperationID: "list-plans", Method: http.MethodGet, Path: "/v1/plans", Summary: "List plans, the newest first"}, h.plans, admin)
	add(h, huma.Operation{
		OperationID: "get-plan-example", Method: http.MethodGet, Path: "/v1/plans/example", Summary: "See the text of a whole plan, with a word on each field",
	}, func(context.Context, *struct{}) (*struct{ Body PlanExample }, error) {
		return &struct{ Body PlanExample }{PlanExample{string(dialplan.Example)}}, nil
	}, admin)
	add(h, huma.Operation{
		OperationID: "get-plan", Method: http.MethodGet, Path: "/v1/plans/{version}", Summary: "See a plan's text", Errors: []int{http.StatusNotFound},
	}, h.plan, admin)
	add(h, huma.Operation{
		OperationID: "activate-plan", Method: http.MethodPost, Path: "/v1/plans/{version}/activation", DefaultStatus: http.StatusCreated,
		Summary:     "Have a plan hold, from now on or from a time on",
		Description: "The plan in force is the one whose time came last. Calls that are up keep their terms.",
		Errors:      doing,
	}, h.activatePlan, admin)
	add(h, huma.Operation{
		OperationID: "withdraw-plan", Method: http.MethodDelete, Path: "/v1/plans/{version}/activation", DefaultStatus: http.StatusNoContent,
		Summary:     "Take back that a plan is to be activated",
		Description: "Activations whose time has come stay. Where none is to come, that is no error.", Errors: []int{http.StatusNotFound},
	}, h.withdrawPlan, admin)
	add(h, huma.Operation{
		OperationID: "roll-back-plan", Method: http.MethodPost, Path: "/v1/plans/rollback", DefaultStatus: http.StatusCreated,
		Summary: "Activate the version that was active before", Errors: doing,
	}, h.rollBackPlan, admin)
	add(h, huma.Operation{
		OperationID: "explain-plan", Method: http.MethodPost, Path: "/v1/plans/{version}/explanation",
		Summary: "Say what would happen if somebody called now, under this version", Description: "Nothing is done, nobody is rung.",
		Errors: []int{http.StatusNotFound, http.StatusRequestEntityTooLarge},
	}, h.explainPlan, admin)
}

// PlanFaults is all that is wrong with a text.
type PlanFaults struct {
	Faults []PlanFault `json:"faults" nullable:"false" doc:"Empty: it can be saved."`
}

func (h *Host) checkPlan(_ context.Context, in *struct{ Body planBody }) (*struct{ Body PlanFaults }, error) {
	return &struct{ Body PlanFaults }{PlanFaults{planFaults(in.Body.Text)}}, nil
}

// PlanChanges is what differs between two plans.
type PlanChanges struct {
	Against int64    `json:"against" example:"6" doc:"The version from which it was looked."`
	Changes []string `json:"changes" nullable:"false" example:"[\"~ limits.longest_talk: 60m -> 45m\"]" doc:"By field: + added, ~ changed, - taken out."`
}

func (h *Host) diffPlan(ctx context.Context, in *struct{ Body diffBody }) (*struct{ Body PlanChanges }, error) {
	if err := refusePlan(planFaults(in.Body.Text)); err != nil {
		return nil, err
	}
	against := in.Body.Against
	var err error
	if against == 0 {
		if against, err = h.Store.ActivePlan(ctx); err != nil {
			return nil, err
		}
	}
	before, err := h.Store.Plan(ctx, against)
	if err != nil {
		return nil, err
	}
	changes, err := dialplan.Diff([]byte(before), []byte(in.Body.Text))
	if changes == nil {
		changes = []string{}
	}
	return &struct{ Body PlanChanges }{PlanChanges{against, changes}}, err
}

func (h *Host) savePlan(ctx context.Context, in *struct {
	Keyed
	Body savePlanBody
}) (*struct{ Body PlanVersion }, error) {
	if err := refusePlan(planFaults(in.Body.Text)); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "save-plan", in.Body)
	if err != nil {
		return nil, err
	}
	version, err := h.Store.RequestPlan(ctx, request, in.Body.Text, asker(ctx).Who(), in.Body.Note)
	if err != nil {
		return nil, err
	}
	return h.plan(ctx, &VersionPath{version})
}

// PlanVersions is a page of plans.
type PlanVersions struct {
	Plans []PlanVersion `json:"plans" nullable:"false"`
}

func (h *Host) plans(ctx context.Context, in *struct {
	Before int64 `query:"before" minimum:"0" doc:"Only older ones: the last of the page before."`
	Limit  int   `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*struct{ Body PlanVersions }, error) {
	saved, err := h.Store.Plans(ctx, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	return &struct{ Body PlanVersions }{PlanVersions{each(saved, planVersionOf)}}, nil
}

// each is a list of what convert makes of each.
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = convert(a)
	}
	return out
}

func (h *Host) plan(ctx context.Context, in *VersionPath) (*struct{ Body PlanVersion }, error) {
	saved, err := h.Store.PlanVersion(ctx, in.Version)
	if err != nil {
		return nil, err
	}
	out := planVersionOf(saved)
	out.Text, err = h.Store.Plan(ctx, in.Version)
	return &struct{ Body PlanVersion }{out}, err
}

// readable is a saved version, if this program can read it: another cannot be active.
func (h *Host) readable(ctx context.Context, version int64) (dialplan.Plan, error) {
	text, err := h.Store.Plan(ctx, version)
	if err != nil {
		return dialplan.Plan{}, err
	}
	if err := refusePlan(planFaults(text)); err != nil {
		return dialplan.Plan{}, err
	}
	plan, err := dialplan.Parse([]byte(text))
	plan.Version = version
	return plan, err
}

func (h *Host) activatePlan(ctx context.Context, in *struct {
	VersionPath
	Keyed
	Body activationBody
}) (*struct{ Body Activation }, error) {
	request, err := in.request(ctx, "activate-plan", []any{in.Version, in.Body})
	if err != nil {
		return nil, err
	}
	if _, err := h.readable(ctx, in.Version); err != nil {
		return nil, err
	}
	a, err := h.Store.RequestActivation(ctx, request, in.Version, asker(ctx).Who(), in.Body.At)
	return &struct{ Body Activation }{Activation{a.Version, a.By, a.HoldsFrom}}, err
}

func (h *Host) withdrawPlan(ctx context.Context, in *VersionPath) (*struct{}, error) {
	return nil, h.Store.WithdrawPlan(ctx, in.Version, asker(ctx).Who())
}

func (h *Host) rollBackPlan(ctx context.Context, in *struct{ Keyed }) (*struct{ Body Activation }, error) {
	request, err := in.request(ctx, "roll-back-plan", nil)
	if err != nil {
		return nil, err
	}
	a, err := h.Store.RequestRollback(ctx, request, asker(ctx).Who())
	return &struct{ Body Activation }{Activation{a.Version, a.By, a.HoldsFrom}}, err
}

func (h *Host) explainPlan(ctx context.Context, in *struct {
	VersionPath
	Body explainBody
}) (*struct{ Body Explanation }, error) {
	plan, err := h.readable(ctx, in.Version)
	if err != nil {
		return nil, err
	}
	e, err := h.Explain(ctx, plan, in.Body.DID, in.Body.ANI)
	if err != nil {
		return nil, err
	}
	out := Explanation{Steps: e.Steps, Rings: e.Rings, Outcome: e.Outcome.Disposition, Held: e.Held, Seconds: seconds(e.Longest)}
	if e.Terms.RateName != "" {
		price := priceOf(e.Terms)
		out.Price = &price
	}
	return &struct{ Body Explanation }{out}, nil
}
