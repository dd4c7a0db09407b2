// Package host is the only one to know HTTP: what the website, a client's page and an
// administrator may ask, as whom, and in which words they are answered. It decides
// nothing: the store does, by the same functions that the commands use.
package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"parley/dialplan"
	"parley/ivr"
	"parley/store"
	"parley/web"
)

// Config is what a host needs.
type Config struct {
	Store *store.Store
	Plan  func() (dialplan.Plan, error)   // in force now
	Ready func(ctx context.Context) error // why calls cannot be taken; nil when they can
	TopUp string                          // where money is added, with {client}, {missing} and {currency} in it; may be empty
	Log   *slog.Logger

	Explain  func(ctx context.Context, plan dialplan.Plan, did, ani string) (ivr.Explanation, error)
	Running  Running                     // may be nil: none
	Asterisk func() bool                 // whether it is connected; may be nil
	Trunk    func(context.Context) error // why the carrier cannot be called; may be nil

	Cashier *Cashier // takes clients' money; nil: payments are off

	SMS         SMS    // sends clients their codes to sign in; nil: that is off
	PushContact string // mailto: or https:, for browsers' push services; "": nothing is pushed
	SignInURL   string // where the site signs its people in; may be empty

	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed
	AllowPrivate   bool           // webhooks may be sent to any address, also without TLS: for tests

	Phones  string   // Asterisk's websocket for the phones in advisors' apps: ws://...; "" refuses them
	Origins []string // of pages that may use it, beside the host's own: https://...
}

// Running is the calls that this copy of the program runs.
type Running interface {
	Calls() []ivr.LiveCall
	End(id ivr.CallID, why string) bool // false where it runs no such call
	HangUp(id ivr.CallID) bool          // the client's telephone; likewise
}

// Host answers requests.
type Host struct {
	Config
	api huma.API
	mux *http.ServeMux

	hub    *hub
	limits limits
	phones *phones
}

// Version of the API. The first number is in every path.
const Version = "1.0.0"

const about = `The host of a pay-per-minute advice line.

Amounts are whole minor units of a currency, such as cents; times are RFC 3339.
Every request but those for the host's own health, a picture, a sign-in and this page carries a
token: "Authorization: Bearer parley_...". A POST carries an Idempotency-Key, chosen by
whoever sends it: the same request with the same key is done once and answered the
same; what was refused may be sent again as it is. Errors are application/problem+json
(RFC 9457): "code" says what is wrong, "remedy" what to do about it.`

// New makes a host.
func New(c Config) *Host {
	config := huma.DefaultConfig("Parley", Version)
	config.Info.Description = about
	config.CreateHooks = nil // no $schema in answers
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	h := &Host{Config: c, mux: http.NewServeMux(), hub: newHub(c.Store, c.Log), limits: newLimits(), phones: newPhones()}
	if h.Cashier == nil {
		h.Cashier = NewCashier(c.Store, nil, c.Log)
	}
	h.api = humago.New(h.mux, config)
	h.talkRoutes()
	h.peopleRoutes()
	h.advisorRoutes()
	h.lineRoutes()
	h.pushRoutes()
	h.fileRoutes()
	h.ownClientRoutes()
	h.blockRoutes()
	h.queueRoutes()
	h.appointmentRoutes()
	h.eventRoutes()
	h.webhookRoutes()
	h.planRoutes()
	h.callRoutes()
	h.adjustmentRoutes()
	h.deskRoutes()
	h.statisticsRoutes()
	h.paymentRoutes()
	h.clientRoutes()
	h.tokenRoutes()
	h.signInRoutes()
	h.sessionRoutes()
	h.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, health{OK: true}) })
	h.mux.HandleFunc("GET /readyz", h.readyz)
	h.mux.Handle("GET /debug/pprof/", h.onlyFor(store.RoleAdmin, profiles()))
	h.mux.HandleFunc("GET /openapi.yaml", h.openAPI)
	h.mux.HandleFunc("GET /docs", h.docs)
	h.mux.HandleFunc("GET /ws", h.phone)
	h.mux.Handle("/", web.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, newProblem("no_route")) })))
	return h
}

func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store") // PINs and balances
	// What is not UTF-8 is in no field, and no database takes it.
	if query, err := url.QueryUnescape(r.URL.RawQuery); err != nil || !utf8.ValidString(query) || !utf8.ValidString(r.URL.Path) {
		writeProblem(w, newProblem("bad_request"))
		return
	}
	h.mux.ServeHTTP(w, r)
}

// Limits of what a request may be and take.
const (
	bodyMost    = 64 << 10
	headersMost = 16 << 10
	headersTake = 5 * time.Second
	bodyTakes   = 5 * time.Second
	readTakes   = 15 * time.Second
	writeTakes  = 20 * time.Second // longer than the store's patience
	idleTakes   = time.Minute
)

// Server is a server of h that no client can keep waiting.
func (h *Host) Server() *http.Server {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headersTake, ReadTimeout: readTakes, WriteTimeout: writeTakes,
		IdleTimeout: idleTakes, MaxHeaderBytes: headersMost, ErrorLog: slog.NewLogLogger(h.Log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(h.hub.close)
	server.RegisterOnShutdown(h.phones.hangUp)
	return server
}

// add registers what roles may ask. [TestEveryRouteWithEveryRole] walks all of them.
func add[I, O any](h *Host, op huma.Operation, handle func(context.Context, *I) (*O, error), roles ...store.Role) {
	op.MaxBodyBytes, op.BodyReadTimeout = cmp.Or(op.MaxBodyBytes, bodyMost), cmp.Or(op.BodyReadTimeout, bodyTakes)
	op.Security = []map[string][]string{{"token": {}}}
	words := make([]string, len(roles))
	for i, r := range roles {
		words[i] = string(r)
	}
	op.Extensions = map[string]any{"x-roles": words}
	op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusServiceUnavailable)
	slices.Sort(op.Errors)
	op.Middlewares = append(huma.Middlewares{h.admit(roles)}, op.Middlewares...)
	huma.Register(h.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, h.problem(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// health is the answer of /livez and /readyz.
type health struct {
	OK  bool   `json:"ok"`
	Why string `json:"why,omitempty"` // not
}

// readyz says whether calls can be taken and requests answered.
func (h *Host) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	err := h.Ready(ctx)
	if h.Store.Ping(ctx) != nil { // then nobody knows either which copy serves
		err = errors.New("the database does not answer")
		if h.Asterisk != nil && !h.Asterisk() {
			err = errors.New("the database does not answer, and Asterisk is not connected")
		}
	}
	if err != nil {
		w.Header().Set("Retry-After", "5")
		writeJSON(w, http.StatusServiceUnavailable, health{Why: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, health{OK: true})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever asked has gone
}
