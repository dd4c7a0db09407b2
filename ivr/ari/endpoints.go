package ari

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"parley/ivr"
)

// Realm is what Asterisk asks advisors' phones for a password in.
const Realm = "parley"

// Digest is what Asterisk keeps of a phone's password: RFC 8760's HA1 by MD5, the
// algorithm that every phone has. The password cannot be read from it.
func Digest(user, password string) string {
	sum := md5.Sum([]byte(user + ":" + Realm + ":" + password))
	return hex.EncodeToString(sum[:])
}

// kinds are the ways in which advisors' phones differ. Asterisk keeps what an endpoint
// was told before and is not told anew, so a SIP phone is told what it is not.
var kinds = map[ivr.LineKind]map[string]string{
	ivr.SIP: {
		"webrtc": "no", "use_avpf": "no", "media_encryption": "no", "ice_support": "no",
		"rtcp_mux": "no", "bundle": "no", "dtls_auto_generate_cert": "no",
		"allow":           "!all,alaw,ulaw,g722",
		"rtp_symmetric":   "yes",
		"force_rport":     "yes",
		"rewrite_contact": "yes",
	},
	ivr.App: {
		"allow":                   "!all,opus,g722,alaw,ulaw",
		"webrtc":                  "yes",
		"dtls_auto_generate_cert": "yes",
	},
}

// contacts are how many registrations of an endpoint hold at once; the newest takes the
// place of the oldest. Asterisk rings the first that it finds: an app that comes back over
// another network must not leave one that nobody answers.
var contacts = map[ivr.LineKind]string{ivr.SIP: "3", ivr.App: "1"}

// everyKind is what they have in common: they are called by us, and can do nothing
// else. Their sound passes through Asterisk, or the meter would mean nothing.
var everyKind = map[string]string{
	"context":             "from-advisor",
	"identify_by":         "username",
	"direct_media":        "no",
	"dtmf_mode":           "auto", // RFC 4733, or in-band where a phone has only that
	"allow_transfer":      "no",   // a REFER would move a paid leg out of our hands
	"allow_subscribe":     "no",
	"trust_id_inbound":    "no",
	"trust_id_outbound":   "no",
	"send_pai":            "no",
	"send_rpid":           "no",
	"send_connected_line": "no",
	"timers":              "yes",
	"timers_sess_expires": "300",
}

// PushEndpoint lets a phone register as id with the password behind digest, and be
// dialled as that. The same again changes nothing; another digest replaces it.
func (s *Switch) PushEndpoint(ctx context.Context, id, digest string, kind ivr.LineKind) error {
	if !endpoint.MatchString(id) || kinds[kind] == nil {
		return fmt.Errorf("ari: no endpoint of kind %q can have this name", kind)
	}
	attributes := maps.Clone(everyKind)
	maps.Copy(attributes, kinds[kind])
	attributes["auth"], attributes["aors"] = id, id
	if s.cfg.RTPTimeout > 0 {
		attributes["rtp_timeout"] = fmt.Sprint(int(s.cfg.RTPTimeout.Seconds()))
		attributes["rtp_timeout_hold"] = attributes["rtp_timeout"]
	}
	maps.Copy(attributes, s.cfg.Endpoint[kind])
	// An object is accepted only after those that it names.
	for _, object := range []struct {
		kind       string
		attributes map[string]string
	}{
		{"auth", map[string]string{
			"auth_type": "digest", "username": id, "realm": Realm, "password_digest": "MD5:" + digest,
		}},
		{"aor", map[string]string{
			"max_contacts": contacts[kind], "remove_existing": "yes", "remove_unavailable": "yes",
			"qualify_frequency": "30", "support_path": "yes",
		}},
		{"endpoint", attributes},
	} {
		if err := s.push(ctx, object.kind, id, object.attributes); err != nil {
			return err
		}
	}
	return nil
}

// RemoveEndpoint takes what PushEndpoint gave. One that does not exist is removed.
func (s *Switch) RemoveEndpoint(ctx context.Context, id string) error {
	for _, kind := range []string{"endpoint", "aor", "auth"} {
		err := s.client.do(ctx, command{
			method: "DELETE", path: dynamic(kind, id), op: "remove " + kind,
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Registered lists the endpoints that a phone is registered for, and answers.
func (s *Switch) Registered(ctx context.Context) (names []string, err error) {
	var all []struct{ Resource, State string }
	if err := s.client.do(ctx, command{method: "GET", path: path("endpoints", "PJSIP")}, &all); err != nil {
		return nil, err
	}
	others := append(s.cfg.carrier(), nodes)
	for _, e := range all {
		if e.State == "online" && !slices.Contains(others, e.Resource) {
			names = append(names, e.Resource)
		}
	}
	return names, nil
}

func (s *Switch) push(ctx context.Context, kind, id string, attributes map[string]string) error {
	type field struct {
		Attribute string `json:"attribute"`
		Value     string `json:"value"`
	}
	var fields []field
	for name, value := range attributes {
		fields = append(fields, field{name, value})
	}
	return s.client.do(ctx, command{
		method: "PUT", path: dynamic(kind, id), op: "push " + kind, // an endpoint's name is not logged
		body: map[string][]field{"fields": fields},
	}, nil)
}

func dynamic(kind, id string) string {
	return path("asterisk", "config", "dynamic", "res_pjsip", kind, id)
}
