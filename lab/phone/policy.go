package phone

import (
	"context"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Policy is how a phone behaves when it is called. It may block: each call has
// its own goroutine. See [Phone.OnCall].
type Policy func(*Incoming)

// AnswerAfter rings for d, then answers; [Phone.Answered] gives the call.
func AnswerAfter(d time.Duration) Policy {
	return func(in *Incoming) { in.answerAfter(d) }
}

// Busy refuses with 486.
func Busy() Policy { return Refuse(sip.StatusBusyHere) }

// Decline refuses with 603, as a person does by key.
func Decline() Policy { return Refuse(sip.StatusGlobalDecline) }

// Refuse refuses with any SIP status, 480 or 404 say.
func Refuse(status int) Policy {
	return func(in *Incoming) { in.Reject(status) }
}

// NeverAnswer rings until the caller gives up.
func NeverAnswer() Policy {
	return func(in *Incoming) { in.Ring() }
}

// Dead gives no sign of life at all.
func Dead() Policy { return (*Incoming).ignore }

// The voicemail's greeting and beep stand for speech: steady tones in hertz.
const (
	GreetingTone = 350
	BeepTone     = 1400
	greetingTime = 2 * time.Second
	beepTime     = 400 * time.Millisecond
)

// Voicemail rings for d, answers, plays a greeting and a beep, and then listens
// in silence. It never keys a digit and never hangs up.
func Voicemail(d time.Duration) Policy {
	return func(in *Incoming) {
		call := in.answerAfter(d)
		if call == nil {
			return
		}
		go func() {
			call.Tone(GreetingTone)
			call.pause(greetingTime)
			call.Tone(BeepTone)
			call.pause(beepTime)
			call.Tone(0)
		}()
	}
}

// pause waits, or less if the call ends.
func (c *Call) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-c.ended:
	}
}

// answerAfter is nil when the caller gave up first.
func (in *Incoming) answerAfter(d time.Duration) *Call {
	in.Ring()
	in.call.pause(d)
	call, err := in.Answer(context.Background())
	if err != nil {
		return nil
	}
	select {
	case call.phone.answered <- call:
	default: // nobody collects the calls
	}
	return call
}
