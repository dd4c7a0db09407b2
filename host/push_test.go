package host

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parley/host/client"
	"parley/lab/pushlab"
)

// pushes is a town that pushes, and an app of its advisor that is told.
func pushes(t *testing.T) (w *town, app client.Client, service *pushlab.Service) {
	w, app = scheduled(t)
	w.unlimited()
	w.host.PushContact, w.host.AllowPrivate = "mailto:ops@example.com", true
	key, err := app.PushKey(t.Context(), string(w.advisor))
	w.must(err)
	service, err = pushlab.Start(key)
	w.must(err)
	t.Cleanup(service.Close)
	w.pushing(true, 10*time.Millisecond)
	return w, app, service
}

// pushing tells apps until the test ends.
func (w *town) pushing(allowPrivate bool, pauses ...time.Duration) {
	ctx, stop := context.WithCancel(w.Context())
	done := make(chan struct{})
	p := newPusher(w.store, "mailto:ops@example.com", allowPrivate, w.host.Log)
	p.pauses = pauses
	go func() { defer close(done); p.run(ctx) }()
	w.Cleanup(func() { stop(); <-done })
}

func subscription(s *pushlab.Service) client.PushSubscription {
	return client.PushSubscription{Endpoint: s.Endpoint(), P256dh: s.P256dh(), Auth: s.Auth()}
}

// asks is a client's wish for an appointment: of which the advisor is told.
func (w *town) asks() client.Appointment {
	w.Helper()
	_, session := w.newClient(50_00)
	asked, err := session.AskAppointment(w.Context(), rand.Text(), w.wish(time.Duration(w.people)*time.Hour))
	w.must(err)
	return asked
}

func (w *town) told(s *pushlab.Service) (m pushlab.Message, what pushed) {
	w.Helper()
	select {
	case m = <-s.Messages:
		w.must(json.Unmarshal([]byte(m.Text), &what))
	case err := <-s.Refusals:
		w.Fatal(err)
	case <-time.After(20 * time.Second):
		w.Fatal("nothing was pushed")
	}
	return m, what
}

// An advisor's app is told what has happened, so that the push service can read none of
// it and knows who sends it.
func TestAnAppIsToldByPush(t *testing.T) {
	w, app, service := pushes(t)
	ctx := t.Context()
	w.must(app.SavePush(ctx, string(w.advisor), subscription(service)))
	asked := w.asks()
	m, what := w.told(service)
	if what.Type != "appointment.asked" || what.About != asked.ID || what.Client != "Heron" || what.StartsAt == "" ||
		m.Urgency != "normal" || m.Subject != "mailto:ops@example.com" || m.TTL < "42" {
		t.Errorf("%+v: %+v", m, what)
	}
	id, session := w.newClient(50_00)
	talk, err := session.RequestTalk(ctx, "tap-no-1", client.TalkRequest{Advisor: string(w.advisor)})
	w.must(err)
	w.hold(talk)
	m, what = w.told(service)
	if what.Type != "call.opened" || what.Client != "Heron" || m.Urgency != "high" || len(m.TTL) != 2 {
		t.Errorf("%+v: %+v, of %s", m, what, id)
	}
}

// What is told ends with the token, with the device, with the wish, and when the push
// service says that the browser is gone.
func TestNobodyIsToldWhoIsGone(t *testing.T) {
	for name, ends := range map[string]func(w *town, app client.Client, service *pushlab.Service){
		"signed out": func(w *town, app client.Client, _ *pushlab.Service) { w.must(app.SignOut(w.Context())) },
		"not any more": func(w *town, app client.Client, _ *pushlab.Service) {
			w.must(app.EndPush(w.Context(), string(w.advisor)))
		},
		"another device": func(w *town, app client.Client, service *pushlab.Service) {
			line, err := app.AddLine(w.Context(), "line-no-1", string(w.advisor), "app", "")
			w.must(err)
			p := subscription(service)
			p.Line = line.ID
			w.must(app.SavePush(w.Context(), string(w.advisor), p))
			_, err = app.ChangeLine(w.Context(), line.ID, "app", "")
			w.must(err)
		},
		"gone": func(w *town, _ client.Client, service *pushlab.Service) {
			service.Answer = func() int { return http.StatusGone }
			w.asks()
			w.await("the end of the subscription", func() bool {
				list, err := w.store.Pushes(w.Context(), w.advisor)
				return err == nil && len(list) == 0
			})
			service.Answer = func() int { return http.StatusCreated }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, app, service := pushes(t)
			other, err := pushlab.Start(base64.RawURLEncoding.EncodeToString(w.store.PushKey().PublicKey().Bytes()))
			w.must(err)
			t.Cleanup(other.Close)
			w.must(app.SavePush(t.Context(), string(w.advisor), subscription(service)))
			ends(w, app, service)
			w.must(w.newAdvisorToken(w.advisor).SavePush(t.Context(), string(w.advisor), subscription(other)))
			w.asks()
			w.told(other)
			if len(service.Messages) > 0 {
				t.Errorf("told %+v", <-service.Messages)
			}
		})
	}
}

// A push service that does not take a message now is asked again.
func TestAPushIsTriedAgain(t *testing.T) {
	w, app, service := pushes(t)
	var tries atomic.Int64
	service.Answer = func() int {
		if tries.Add(1) == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusCreated
	}
	w.must(app.SavePush(t.Context(), string(w.advisor), subscription(service)))
	w.asks()
	w.told(service)
	if tries.Load() != 2 {
		t.Errorf("tried %d times", tries.Load())
	}
}

// No app can have the host send to where only the host can send.
func TestAPushGoesToPublicAddressesAlone(t *testing.T) {
	w, app := scheduled(t)
	w.unlimited()
	w.host.PushContact = "mailto:ops@example.com"
	ctx := t.Context()
	service, err := pushlab.Start("")
	w.must(err)
	t.Cleanup(service.Close)
	w.problem("without TLS", app.SavePush(ctx, string(w.advisor), subscription(service)), 422, "not_valid")
	for what, bad := range map[string]func(p *client.PushSubscription){
		"a key that is no point": func(p *client.PushSubscription) { p.P256dh = "AAAA" },
		"a short secret":         func(p *client.PushSubscription) { p.Auth = "AAAA" },
		"no address":             func(p *client.PushSubscription) { p.Endpoint = "https:///x" },
		"another's line":         func(p *client.PushSubscription) { p.Line = "line_no" },
	} {
		p := subscription(service)
		p.Endpoint = "https://push.example/x"
		bad(&p)
		if err := app.SavePush(ctx, string(w.advisor), p); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	address, reached := trap(t)
	p := subscription(service)
	p.Endpoint = "https://" + address + "/x"
	w.must(app.SavePush(ctx, string(w.advisor), p))
	w.pushing(false)
	w.asks()
	w.await("the log", func() bool { return strings.Contains(w.log.String(), "address_refused") })
	if reached.Load() > 0 {
		t.Error("a server within was reached")
	}
	other := w.newAdvisor()
	w.problem("of another", app.SavePush(ctx, string(other), p), 404, "not_found")
}

// An event that is older than it is good is told to nobody.
func TestNothingOldIsPushed(t *testing.T) {
	w, app, service := pushes(t)
	w.must(app.SavePush(t.Context(), string(w.advisor), subscription(service)))
	w.sql(`INSERT INTO events (type, client, advisor, data, at)
		SELECT 'call.opened', id, $1, '{"call": "call_old"}', now() - interval '31 s' FROM clients LIMIT 1`, string(w.advisor))
	asked := w.asks()
	if _, what := w.told(service); what.About != asked.ID {
		t.Errorf("told %+v", what)
	}
}
