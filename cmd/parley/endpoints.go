package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"log/slog"
	"strings"
	"time"

	"parley/ivr"
	"parley/ivr/ari"
	"parley/store"
)

const (
	topicLines = "lines" // a line was added: make its endpoint

	// endpointsEvery is how often new lines are looked for where no notice tells of
	// them.
	endpointsEvery = 10 * time.Second
)

// pushEndpoints makes an endpoint in Asterisk for every line that is a SIP phone:
// at the start, when one is added, and all again on every new connection, since an
// Asterisk that was killed may have lost the last ones. What it should have is
// derived from the database alone.
func pushEndpoints(ctx context.Context, asterisk *ari.Switch, s *store.Store, key []byte, log *slog.Logger) {
	notices := s.Listen(ctx, topicLines)
	pushed, epoch := map[ivr.LineID]bool{}, asterisk.Epoch()
	for {
		if now := asterisk.Epoch(); now != epoch {
			clear(pushed)
			epoch = now
		}
		lines, err := s.Lines(ctx, "")
		if err != nil && ctx.Err() == nil {
			log.Warn("new SIP phones cannot register yet", "err", err)
		}
		for _, l := range lines {
			if l.Kind == ivr.Phone || pushed[l.ID] {
				continue
			}
			user := string(l.ID)
			if err := asterisk.PushEndpoint(ctx, user, ari.Digest(user, sipPassword(key, user)), l.Kind); err != nil {
				log.Warn("a SIP phone cannot register yet", "line", l.ID, "err", err)
				continue
			}
			pushed[l.ID] = true
		}
		select {
		case <-ctx.Done():
			return
		case <-notices:
		case <-time.After(endpointsEvery):
		}
	}
}

// endpoint is what SIP phones' endpoints need beside what package ari knows.
func (c config) endpoint() map[ivr.LineKind]map[string]string {
	if c.mediaAddress == "" {
		return nil
	}
	own := map[string]string{"media_address": c.mediaAddress, "bind_rtp_to_media_address": "yes"}
	return map[ivr.LineKind]map[string]string{ivr.SIP: own, ivr.App: own}
}

// sipPassword is derived from the key, so that it need not be kept: 120 bits.
func sipPassword(key []byte, user string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("SIP password of " + user))
	return strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil)[:15]))
}
