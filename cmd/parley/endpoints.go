package main

import (
	"context"
	"log/slog"
	"time"

	"parley/ivr"
	"parley/ivr/ari"
	"parley/store"
)

// endpointsEvery is how often changed lines are looked for where no notice tells of
// them.
const endpointsEvery = 10 * time.Second

// pushEndpoints makes an endpoint in Asterisk for every line that is a phone of ours,
// and takes those away that lines had before they were changed or retired: of all lines
// at the start and on every new connection, since an Asterisk that was killed may have
// lost the last ones; and of those that are changed. What it should have is derived from
// the database alone.
func pushEndpoints(ctx context.Context, asterisk *ari.Switch, s *store.Store, log *slog.Logger) {
	notices := s.Listen(ctx, store.TopicLines)
	var looked store.Cursor                  // all changes of before were read
	todo := map[ivr.LineID]store.Endpoints{} // and these are not done yet
	epoch := asterisk.Epoch()
	for {
		if now := asterisk.Epoch(); now != epoch {
			looked, epoch = store.Cursor{}, now
		}
		changed, next, err := s.Endpoints(ctx, looked)
		if err != nil && ctx.Err() == nil {
			log.Warn("changed SIP phones cannot register yet", "err", err)
		}
		looked = next
		for _, l := range changed {
			todo[l.Line] = l
		}
		for line, l := range todo {
			if err := pushLine(ctx, asterisk, s, l); err != nil {
				log.Warn("a SIP phone cannot register yet, or still can", "line", line, "err", err)
				continue
			}
			delete(todo, line)
		}
		select {
		case <-ctx.Done():
			return
		case <-notices:
		case <-time.After(endpointsEvery):
		}
	}
}

// pushLine gives Asterisk the endpoint that a line has, if any, and takes those that it
// had. That comes first: a device that was replaced may be in the wrong hands.
func pushLine(ctx context.Context, asterisk *ari.Switch, s *store.Store, l store.Endpoints) error {
	had := l.Generation - 1
	gone := l.Retired || l.Kind == ivr.Phone
	if gone {
		had = l.Generation
	}
	for generation := 1; generation <= had; generation++ {
		if err := asterisk.RemoveEndpoint(ctx, store.EndpointName(l.Line, generation)); err != nil {
			return err
		}
	}
	if gone {
		return nil
	}
	user := store.EndpointName(l.Line, l.Generation)
	return asterisk.PushEndpoint(ctx, user, ari.Digest(user, s.EndpointPassword(user)), l.Kind)
}

// endpoint is what SIP phones' endpoints need beside what package ari knows.
func (c config) endpoint() map[ivr.LineKind]map[string]string {
	if c.mediaAddress == "" {
		return nil
	}
	own := map[string]string{"media_address": c.mediaAddress, "bind_rtp_to_media_address": "yes"}
	return map[ivr.LineKind]map[string]string{ivr.SIP: own, ivr.App: own}
}
