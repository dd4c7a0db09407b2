package stage

import (
	"testing"
	"time"

	"parley/lab/phone"
)

// A client's phone vanishes in a talk. Asterisk notices after rtp_timeout; the time
// since the last packet is not charged. Both consent by key, and the same call goes
// on with a second segment.
func TestReconnectByTwoConsents(t *testing.T) {
	stage, anna, ctx := newStageWith(t, Options{RTPTimeout: 3 * time.Second})
	s := newSceneOn(t, ctx, stage, anna, 2000)

	t.Run("yes, yes", func(t *testing.T) {
		s := s.in(t)
		client, advisor := s.talk()
		s.must(stage.Program.Kill()) // the next process knows whom to call, too
		s.must(stage.Program.Start(ctx))
		began, gone := s.began(client), time.Now()
		again := s.vanish(client, advisor, "1")
		s.hears(again, "talk-lost-press-1")
		s.must(again.Keys(s.ctx, "1"))
		again.Tone(clientTone)
		s.must(again.HearsTone(s.ctx, advisorTone, patience))
		s.must(advisor.HearsTone(s.ctx, clientTone, patience))
		s.must(again.Hangup(s.ctx))
		s.ends(advisor)
		call := s.recorded("completed")
		if len(call.Segments) != 2 || call.Charge != perSecond*int64((call.Talk()+time.Second-1)/time.Second) {
			s.Errorf("%d segments, charged %d for %v", len(call.Segments), call.Charge, call.Talk())
		}
		if talk := gone.Sub(began); call.Segments[0].Talk > talk+2*time.Second { // less than rtp_timeout, by which it was noticed
			s.Errorf("the first segment lasted %v; the phone vanished after %v", call.Segments[0].Talk, talk)
		}
		s.says("2 segments", "calls", "show", call.ID)
	})
	t.Run("yes, no", func(t *testing.T) {
		s := s.in(t)
		client, advisor := s.talk()
		again := s.vanish(client, advisor, "1")
		s.hears(again, "talk-lost-press-1")
		_ = again.Keys(s.ctx, "2") // the call may end under the key
		s.ends(again)
		s.ends(advisor)
		if call := s.recorded("completed"); len(call.Segments) != 1 || call.EndedBy != "client" {
			s.Errorf("%d segments, ended by %s", len(call.Segments), call.EndedBy)
		}
	})
	t.Run("no", func(t *testing.T) {
		s := s.in(t)
		client, advisor := s.talk()
		client.Vanish()
		s.hears(advisor, "client-lost-press-1")
		_ = advisor.Keys(s.ctx, "2")
		s.ends(advisor)
		s.recorded("completed")
	})
	s.audit()
}

// in is the scene for a part of a test.
func (s *scene) in(t *testing.T) *scene {
	part := *s
	part.T = t
	return &part
}

// vanish loses the client's phone in a talk; the advisor answers the question with a
// key. It returns the call that the client then gets.
func (s *scene) vanish(client, advisor *phone.Call, answer string) *phone.Call {
	s.Helper()
	client.Vanish()
	s.hears(advisor, "client-lost-press-1")
	s.must(advisor.Keys(s.ctx, answer))
	ringing, err := s.client.Phone.Accept(s.ctx)
	s.must(err)
	if from := ringing.From(); from != CallerID {
		s.Errorf("the client is called from %s, not from a number of ours", from)
	}
	again, err := ringing.Answer(s.ctx)
	s.must(err)
	return again
}
