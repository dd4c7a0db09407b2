package host

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/store"
)

// Line is where an advisor is rung.
type Line struct {
	ID          ivr.LineID   `json:"id"`
	Kind        ivr.LineKind `json:"kind" enum:"phone,sip,app" doc:"phone: a telephone number. sip: a SIP phone. app: the advisor's app, which is a phone."`
	Address     string       `json:"address" example:"+49********01" doc:"Masked."`
	VerifiedAt  *time.Time   `json:"verified_at,omitempty" doc:"Not there: it must be verified before clients are put through to it."`
	Credentials *Credentials `json:"credentials,omitempty" doc:"Of sip and app, once: when the line was added or changed."`
}

// Credentials are what a phone registers with.
type Credentials struct {
	User     string `json:"user" example:"line_06g3qz1x2m8y4k7v9w0e5r6t8c"`
	Password string `json:"password"`
}

func lineOf(l store.Line) Line {
	return Line{ID: l.ID, Kind: l.Kind, Address: l.Address, VerifiedAt: someTime(l.VerifiedAt)}
}

// fresh is a line with its credentials.
func (h *Host) fresh(l store.Line) Line {
	out := lineOf(l)
	if l.Kind != ivr.Phone {
		out.Credentials = &Credentials{l.Endpoint(), h.Store.EndpointPassword(l.Endpoint())}
	}
	return out
}

type lineBody struct {
	Kind    ivr.LineKind `json:"kind" enum:"phone,sip,app"`
	Address string       `json:"address,omitempty" pattern:"^\\+[0-9]{7,15}$" example:"+4915112345601" doc:"Of a phone: E.164. The others are named by the host."`
}

func (b lineBody) check() error {
	switch {
	case b.Kind == ivr.Phone && b.Address == "":
		return invalid("body.address", "a phone needs its number")
	case b.Kind != ivr.Phone && b.Address != "":
		return invalid("body.address", "only a phone has one; leave it out")
	}
	return nil
}

// Verification is a call that asks whoever answers a line for a code.
type Verification struct {
	ID      string          `json:"id"`
	Line    ivr.LineID      `json:"line"`
	State   string          `json:"state" enum:"waiting,ringing,verified,failed,expired" doc:"waiting: the call is not placed yet. ringing: it is, until the code was keyed. failed: outcome says why; start another."`
	Outcome ivr.Disposition `json:"outcome,omitempty" example:"no answer" doc:"How the call ended."`
	Code    string          `json:"code,omitempty" example:"042816" doc:"To be keyed by the advisor, with # after it. Told once, to whoever starts it."`
	Until   *time.Time      `json:"until,omitempty" doc:"How long the code is good."`
}

// verificationStates are what the states of the store's challenges are called here.
var verificationStates = map[store.ChallengeState]string{
	store.ChallengeRequested: "waiting", store.ChallengeCalling: "ringing", store.ChallengeVerified: "verified",
	store.ChallengeFailed: "failed", store.ChallengeExpired: "expired",
}

func (h *Host) lineRoutes() {
	ofAdvisor := []store.Role{store.RoleAdvisor, store.RoleAdmin}
	sent := []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	add(h, huma.Operation{
		OperationID: "list-lines", Method: http.MethodGet, Path: "/v1/advisors/{id}/lines", Summary: "List an advisor's lines",
		Errors: []int{http.StatusNotFound},
	}, h.listLines, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "add-line", Method: http.MethodPost, Path: "/v1/advisors/{id}/lines", DefaultStatus: http.StatusCreated, Summary: "Add a line",
		Description: "It must be verified before clients are put through to it.", Errors: sent,
	}, h.addLine, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "change-line", Method: http.MethodPut, Path: "/v1/lines/{id}", Summary: "Lead a line to another number or device",
		Description: "It must be verified again. A SIP phone or app gets new credentials, also where the kind stays: the device of before cannot register any more and is not rung.",
		Errors:      sent,
	}, h.changeLine, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "retire-line", Method: http.MethodDelete, Path: "/v1/lines/{id}", DefaultStatus: http.StatusNoContent, Summary: "Retire a line",
		Description: "It is never rung again. A call that is up goes on. What is retired already is no error.", Errors: []int{http.StatusNotFound},
	}, h.retireLine, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "verify-line", Method: http.MethodPost, Path: "/v1/lines/{id}/verifications", DefaultStatus: http.StatusCreated,
		Summary:     "Call a line to verify it",
		Description: "The host calls the line; whoever answers keys the code that is answered here. A line bears five such calls in an hour.", Errors: sent,
	}, h.verifyLine, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "get-verification", Method: http.MethodGet, Path: "/v1/verifications/{id}", Summary: "See how far a verification has come",
		Errors: []int{http.StatusNotFound},
	}, h.verification, ofAdvisor...)
}

// Lines is a list of lines.
type Lines struct {
	Lines []Line `json:"lines" nullable:"false"`
}

func (h *Host) listLines(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{ Body Lines }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	if _, err := h.Store.Advisor(ctx, in.ID); err != nil {
		return nil, err
	}
	lines, err := h.Store.Lines(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	out := Lines{make([]Line, len(lines))}
	for i, l := range lines {
		out.Lines[i] = lineOf(l)
	}
	return &struct{ Body Lines }{out}, nil
}

func (h *Host) addLine(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Keyed
	Body lineBody
}) (*struct{ Body Line }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	if err := in.Body.check(); err != nil {
		return nil, err
	}
	request, err := in.request(ctx, "add-line "+string(in.ID), in.Body)
	if err != nil {
		return nil, err
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	line, err := h.Store.RequestLine(ctx, request, plan, asker(ctx).Who(), ivr.Line{Advisor: in.ID, Kind: in.Body.Kind, Address: in.Body.Address})
	if err != nil {
		return nil, err
	}
	return &struct{ Body Line }{h.fresh(line)}, nil
}

func (h *Host) changeLine(ctx context.Context, in *struct {
	ByID[ivr.LineID]
	Body lineBody
}) (*struct{ Body Line }, error) {
	if err := in.Body.check(); err != nil {
		return nil, err
	}
	if in.Body.Kind == ivr.Phone {
		plan, err := h.Plan()
		if err != nil {
			return nil, err
		}
		if err := plan.MayCall(in.Body.Address); err != nil {
			return nil, err
		}
	}
	if err := h.Store.ChangeLine(ctx, asker(ctx).Who(), ownAdvisor(ctx), in.ID, in.Body.Kind, in.Body.Address); err != nil {
		return nil, err
	}
	line, err := h.Store.Line(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Line }{h.fresh(line)}, nil
}

func (h *Host) retireLine(ctx context.Context, in *ByID[ivr.LineID]) (*struct{}, error) {
	return nil, h.Store.RetireLine(ctx, asker(ctx).Who(), ownAdvisor(ctx), in.ID)
}

type verificationAnswer struct {
	Location string `header:"Location"`
	Body     Verification
}

func (h *Host) verifyLine(ctx context.Context, in *struct {
	ByID[ivr.LineID]
	Keyed
}) (*verificationAnswer, error) {
	request, err := in.request(ctx, "verify-line", in.ID)
	if err != nil {
		return nil, err
	}
	if mine := ownAdvisor(ctx); mine != "" {
		if err := h.limits.verifications.take(string(mine)); err != nil {
			return nil, err
		}
	}
	plan, err := h.Plan()
	if err != nil {
		return nil, err
	}
	c, err := h.Store.RequestChallenge(ctx, request, plan, ownAdvisor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	state, err := h.verification(ctx, &ByID[string]{c.ID})
	if err != nil {
		return nil, err
	}
	state.Body.Code, state.Body.Until = c.Code, &c.Until
	return &verificationAnswer{"/v1/verifications/" + c.ID, state.Body}, nil
}

func (h *Host) verification(ctx context.Context, in *ByID[string]) (*struct{ Body Verification }, error) {
	r, err := h.Store.ChallengeOf(ctx, ownAdvisor(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &struct{ Body Verification }{Verification{ID: in.ID, Line: r.Line, State: verificationStates[r.State], Outcome: r.Disposition}}, nil
}
