package host

import (
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/SherClockHolmes/webpush-go"
	"github.com/danielgtaylor/huma/v2"

	"parley/ivr"
	"parley/store"
)

// The advisor's app is told of what cannot wait, also while it is closed: by the push
// service of its browser (RFC 8030), which reads none of it (RFC 8291).

// Push is whether, and by which key, an app can be told.
type Push struct {
	Key string `json:"key,omitempty" example:"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM" doc:"applicationServerKey of pushManager.subscribe; not there where the host pushes nothing."`
}

type pushBody struct {
	Endpoint string     `json:"endpoint" minLength:"1" maxLength:"2048" format:"uri" example:"https://push.example/send/abc" doc:"As the browser says."`
	P256dh   string     `json:"p256dh" minLength:"1" maxLength:"128" pattern:"^[A-Za-z0-9_-]+$" doc:"The browser's key, base64url."`
	Auth     string     `json:"auth" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$" doc:"Its secret, likewise."`
	Line     ivr.LineID `json:"line,omitempty" maxLength:"64" pattern:"^[a-z0-9_]*$" doc:"Of which this device is the phone: when the line leads to another device, it is told no more."`
}

func (h *Host) pushRoutes() {
	const path = "/v1/advisors/{id}/push"
	add(h, huma.Operation{
		OperationID: "get-push", Method: http.MethodGet, Path: path, Summary: "See by which key an app can be told by push",
		Errors: []int{http.StatusNotFound},
	}, h.getPush, store.RoleAdvisor)
	add(h, huma.Operation{
		OperationID: "save-push", Method: http.MethodPut, Path: path, DefaultStatus: http.StatusNoContent,
		Summary: "Tell this app by push",
		Description: "Of requests for appointments, of reminders and of calls that come in (Web Push, RFC 8030, 8291 and 8292). It ends with the token that asks, " +
			"with the line's device, and when the push service says that it is gone.",
		Errors: []int{http.StatusNotFound},
	}, h.savePush, store.RoleAdvisor)
	add(h, huma.Operation{
		OperationID: "end-push", Method: http.MethodDelete, Path: path, DefaultStatus: http.StatusNoContent,
		Summary: "Tell this app by push no more", Errors: []int{http.StatusNotFound},
	}, h.endPush, store.RoleAdvisor)
}

func (h *Host) getPush(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{ Body Push }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	out := &struct{ Body Push }{}
	if h.PushContact != "" {
		out.Body.Key = base64.RawURLEncoding.EncodeToString(h.Store.PushKey().PublicKey().Bytes())
	}
	return out, nil
}

func (h *Host) savePush(ctx context.Context, in *struct {
	ByID[ivr.AdvisorID]
	Body pushBody
}) (*struct{}, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	at, err := url.Parse(in.Body.Endpoint)
	if err != nil || at.Host == "" || at.Scheme != "https" && !(h.AllowPrivate && at.Scheme == "http") {
		return nil, invalid("body.endpoint", "must be an https address")
	}
	key, err := base64.RawURLEncoding.DecodeString(in.Body.P256dh)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(key)
	}
	if err != nil {
		return nil, invalid("body.p256dh", "must be a point of P-256, uncompressed, in base64url")
	}
	if auth, err := base64.RawURLEncoding.DecodeString(in.Body.Auth); err != nil || len(auth) != 16 {
		return nil, invalid("body.auth", "must be 16 bytes in base64url")
	}
	return nil, h.Store.SavePush(ctx, in.ID, in.Body.Line, store.PushSubscription{
		Token: asker(ctx).ID, Endpoint: in.Body.Endpoint, P256dh: in.Body.P256dh, Auth: in.Body.Auth,
	})
}

func (h *Host) endPush(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{}, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	return nil, h.Store.EndPush(ctx, asker(ctx).ID)
}

// pushKind is how an event is told by push.
type pushKind struct {
	good    time.Duration // for so long; then it is told to nobody
	urgency webpush.Urgency
	byOther bool // only where the client did it
}

var pushKinds = map[string]pushKind{
	"call.opened":             {30 * time.Second, webpush.UrgencyHigh, false},
	"appointment.asked":       {12 * time.Hour, webpush.UrgencyNormal, false},
	"appointment.accepted":    {12 * time.Hour, webpush.UrgencyNormal, true},
	"appointment.cancelled":   {12 * time.Hour, webpush.UrgencyNormal, true},
	"appointment.reminder":    {15 * time.Minute, webpush.UrgencyHigh, false},
	"appointment.verify_line": {15 * time.Minute, webpush.UrgencyHigh, false},
}

// pushed is what the app's service worker is told.
type pushed struct {
	Type     string `json:"type"`
	About    string `json:"about"` // the call or the appointment: what comes later takes the place of what came before
	Client   string `json:"client"`
	StartsAt string `json:"starts_at,omitempty"`
}

const (
	pushPolled = time.Second
	pushAtOnce = 16
)

// pusher tells advisors' apps.
type pusher struct {
	store   *store.Store
	client  *http.Client
	contact string
	pauses  []time.Duration // before another try, where a push service does not take it
	slots   chan struct{}
	log     *slog.Logger
}

// PushEvents tells advisors' apps what has happened, until ctx ends. contact is a mailto:
// or https: address, by which push services reach whoever runs this host.
func PushEvents(ctx context.Context, s *store.Store, contact string, allowPrivate bool, log *slog.Logger) {
	newPusher(s, contact, allowPrivate, log).run(ctx)
}

func newPusher(s *store.Store, contact string, allowPrivate bool, log *slog.Logger) *pusher {
	return &pusher{s, guarded(allowPrivate, nil), contact, []time.Duration{2 * time.Second, 8 * time.Second}, make(chan struct{}, pushAtOnce), log}
}

func (p *pusher) run(ctx context.Context) {
	notices := p.store.Listen(ctx, store.TopicEvents)
	var all sync.WaitGroup
	defer all.Wait()
	for ctx.Err() == nil {
		events, more, err := p.store.PushEvents(ctx)
		if err != nil && ctx.Err() == nil {
			p.log.Warn("advisors are told by push later", "err", err)
		}
		for _, e := range events {
			kind, told := pushKinds[e.Type]
			if told && e.Advisor != "" && time.Since(e.At) < kind.good && (!kind.byOther || e.Data["by"] == "client") {
				all.Go(func() { p.tell(ctx, e, kind) })
			}
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-notices:
		case <-time.After(pushPolled):
		}
	}
}

// tell tells all apps of an event's advisor.
func (p *pusher) tell(ctx context.Context, e store.Event, kind pushKind) {
	to, err := p.store.Pushes(ctx, e.Advisor)
	if err == nil && len(to) > 0 {
		var client store.Client
		if client, err = p.store.Client(ctx, e.Client); err == nil {
			var text []byte
			if text, err = json.Marshal(pushedOf(e, client)); err == nil {
				var all sync.WaitGroup
				for _, subscription := range to {
					all.Go(func() { p.send(ctx, subscription, text, e, kind) })
				}
				all.Wait()
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("an advisor was not told by push", "advisor", e.Advisor, "event", e.Type, "err", err)
	}
}

func pushedOf(e store.Event, client store.Client) pushed {
	text := func(name string) string { s, _ := e.Data[name].(string); return s }
	about := text("appointment")
	if e.Type == "call.opened" {
		about = text("call")
	}
	return pushed{Type: e.Type, About: about, Client: client.Alias, StartsAt: text("starts_at")}
}

// send sends to one app, again where the push service does not take it now. What it says
// is gone, or not for this host's key, ends.
func (p *pusher) send(ctx context.Context, to store.PushSubscription, text []byte, e store.Event, kind pushKind) {
	key := p.store.PushKey()
	for try := 0; ; try++ {
		status, fault := p.once(ctx, to, text, key, e, kind)
		switch {
		case status >= 200 && status < 300:
			return
		case status == http.StatusNotFound, status == http.StatusGone, status == http.StatusForbidden, status == http.StatusBadRequest, status == http.StatusUnauthorized:
			if err := p.store.EndPush(ctx, to.Token); err != nil && ctx.Err() == nil {
				p.log.Warn("an app that is gone will be told again", "token", to.Token, "err", err)
			}
			return
		case ctx.Err() != nil:
			return
		case try == len(p.pauses) || time.Since(e.At)+p.pauses[try] > kind.good:
			p.log.Warn("an app was not told by push", "token", to.Token, "event", e.Type, "status", status, "fault", fault)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(p.pauses[try]):
		}
	}
}

func (p *pusher) once(ctx context.Context, to store.PushSubscription, text []byte, key *ecdh.PrivateKey, e store.Event, kind pushKind) (status int, fault string) {
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	answer, err := webpush.SendNotificationWithContext(ctx, text, &webpush.Subscription{
		Endpoint: to.Endpoint, Keys: webpush.Keys{P256dh: to.P256dh, Auth: to.Auth},
	}, &webpush.Options{
		HTTPClient: p.client, Subscriber: strings.TrimPrefix(p.contact, "mailto:"), // the library adds it
		TTL: int((kind.good - time.Since(e.At)).Seconds()), Urgency: kind.urgency,
		VAPIDPublicKey:  base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()),
		VAPIDPrivateKey: base64.RawURLEncoding.EncodeToString(key.Bytes()),
	})
	if err != nil {
		return 0, faultOf(err)
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, answerMost) // so that the connection can be used again
	return answer.StatusCode, ""
}
