package stage

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/lab/phone"
)

const perSecond = 10 // minor units, by plan.yaml

// near checks a charge against the talk that the phones saw.
func (s *scene) near(call Call, heard time.Duration) {
	s.Helper()
	if off := call.Talk() - heard; off < -time.Second || off > time.Second {
		s.Errorf("talk of %v recorded, the phones heard each other for %v", call.Talk(), heard)
	}
	if want := perSecond * int64((call.Talk()+time.Second-1)/time.Second); call.Charge != want {
		s.Errorf("charged %d for %v, want %d", call.Charge, call.Talk(), want)
	}
}

func TestTalkIsChargedByTheSecondAndSettledOnce(t *testing.T) {
	s := newScene(t, 2000)
	client := s.dial()
	s.hears(client, "price-you-call", "price-costs", "price-you-can-talk", "price-please-wait")
	advisor := s.rings()
	s.hears(advisor, "advisor-call-from", "advisor-press-1-or-2")
	client.Tone(clientTone)
	advisor.Tone(advisorTone)
	s.must(advisor.Keys(s.ctx, "1"))
	s.must(client.HearsTone(s.ctx, advisorTone, patience))
	s.must(advisor.HearsTone(s.ctx, clientTone, patience))
	time.Sleep(3 * time.Second) // the talk itself
	s.must(client.Hangup(s.ctx))
	heard := time.Since(s.began(client))
	s.ends(advisor)
	call := s.recorded("completed")
	if call.EndedBy != "client" || call.Cause != 16 {
		s.Errorf("ended by %s with cause %d, want the client and 16", call.EndedBy, call.Cause)
	}
	s.near(call, heard)
	s.balance(2000 - call.Charge)
	receipt, err := s.stage.Parley(s.ctx, "calls", "show", call.ID)
	s.must(err)
	if !strings.Contains(receipt, call.ID) || !strings.Contains(receipt, "6.00 EUR") {
		s.Errorf("the receipt does not explain the charge:\n%s", receipt)
	}
	s.audit()
}

func TestAdvisorHangsUp(t *testing.T) {
	s := newScene(t, 2000)
	client, advisor := s.talk()
	s.must(advisor.Hangup(s.ctx))
	s.ends(client)
	if call := s.recorded("completed"); call.EndedBy != "advisor" {
		s.Errorf("ended by %s", call.EndedBy)
	}
}

// cutOff checks that both legs end when the talk's time does.
func (s *scene) cutOff(client, advisor *phone.Call, began time.Time, longest time.Duration) {
	s.Helper()
	s.ends(advisor)
	// began is known to 100 ms only.
	over := advisor.EndedAt().Sub(began) - longest
	if over > 350*time.Millisecond || over < -350*time.Millisecond {
		s.Errorf("cut off %v from the end of the %v allowed", over, longest)
	}
	s.Logf("cut off %v from the end", over.Round(time.Millisecond))
	if last := client.ToneShare(advisorTone, advisor.EndedAt().Add(250*time.Millisecond), time.Now()); last > 0.1 {
		s.Errorf("the client still hears the advisor: %.2f of the time", last)
	}
}

func TestMoneyEndsTheTalkAndOnlyTheClientIsWarned(t *testing.T) {
	s := newScene(t, 90) // nine seconds
	client, advisor := s.talk()
	began := s.began(client)
	s.hears(client, "talk-ends-in")
	if share := advisor.ToneShare(clientTone, began, time.Time{}); share < 0.9 {
		s.Errorf("the advisor heard the client %.2f of the time while the client was warned", share)
	}
	s.cutOff(client, advisor, began, 9*time.Second)
	s.hears(client, "money-spent")
	s.ends(client)
	s.neverHeard(advisor, "talk-ends-in", "money-spent")
	call := s.recorded("money spent")
	if call.Charge != 90 || call.Talk() != 9*time.Second {
		s.Errorf("charged %d for %v", call.Charge, call.Talk())
	}
	s.balance(0)
	s.audit()
}

func TestHangUpAtEachStepIsFree(t *testing.T) {
	t.Run("hearing the price", func(t *testing.T) {
		s := newScene(t, 2000)
		client := s.dial()
		s.hears(client, "price-you-call")
		s.must(client.Hangup(s.ctx))
		s.free(s.recorded("abandoned"), 2000)
		s.neverRung()
	})
	t.Run("while it rings", func(t *testing.T) {
		s := newScene(t, 2000)
		client := s.dial()
		s.must(client.Keys(s.ctx, "#"))
		ringing, err := s.advisor.Phone.Accept(s.ctx)
		s.must(err)
		s.must(ringing.Ring())
		s.must(client.Hangup(s.ctx))
		hungUp := time.Now()
		select {
		case <-ringing.Ended():
		case <-time.After(patience):
			s.Fatal("the advisor's phone rings on")
		}
		if took := time.Since(hungUp); took > time.Second {
			s.Errorf("the advisor's phone rang on for %v", took)
		}
		s.free(s.recorded("abandoned"), 2000)
	})
	t.Run("while the advisor is asked", func(t *testing.T) {
		s := newScene(t, 2000)
		client := s.dial()
		s.must(client.Keys(s.ctx, "#"))
		advisor := s.rings()
		s.hears(advisor, "advisor-call-from")
		s.must(client.Hangup(s.ctx))
		s.ends(advisor)
		s.free(s.recorded("abandoned"), 2000)
	})
	t.Run("the advisor, instead of accepting", func(t *testing.T) {
		s := newScene(t, 2000)
		client := s.dial()
		s.must(client.Keys(s.ctx, "#"))
		s.must(s.rings().Hangup(s.ctx))
		s.hears(client, "advisor-declined")
		s.ends(client)
		s.free(s.recorded("declined"), 2000)
	})
}

func TestAnAdvisorWhoDoesNotTalkCostsNothing(t *testing.T) {
	for _, c := range []struct {
		name, disposition, words string
		policy                   phone.Policy
	}{
		{"busy", "busy", "advisor-busy", phone.Busy()},
		{"declines", "declined", "advisor-declined", phone.Decline()},
		{"does not answer", "no answer", "advisor-no-answer", phone.NeverAnswer()},
		{"is unavailable", "no answer", "advisor-no-answer", phone.Refuse(480)},
		{"is not found", "unreachable", "advisor-unreachable", phone.Refuse(404)},
		{"voicemail", "no answer", "advisor-no-answer", phone.Voicemail(500 * time.Millisecond)},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, 2000)
			s.advisor.Phone.OnCall(c.policy)
			client := s.dial()
			s.must(client.Keys(s.ctx, "#"))
			s.hears(client, c.words)
			s.ends(client)
			s.free(s.recorded(c.disposition), 2000)
		})
	}
	t.Run("declines by key", func(t *testing.T) {
		s := newScene(t, 2000, "--topic", "tarot")
		client := s.dial()
		s.must(client.Keys(s.ctx, "#"))
		advisor := s.rings()
		s.hears(advisor, "advisor-call-from", "advisor-call-about")
		_ = advisor.Keys(s.ctx, "2") // the call may end under the key
		s.hears(client, "advisor-declined")
		s.free(s.recorded("declined"), 2000)
	})
}

func TestTheClientHearsMusicWhileItRings(t *testing.T) {
	s := newScene(t, 2000)
	client := s.dial()
	s.must(client.Keys(s.ctx, "#"))
	ringing, err := s.advisor.Phone.Accept(s.ctx)
	s.must(err)
	s.must(ringing.Ring())
	quiet, began := len(client.Audio()), time.Now()
	if !eventually(func() bool { return loud(client.Audio()[min(quiet, len(client.Audio())):]) }) {
		s.Error("nothing but silence while the advisor's phone rings")
	}
	s.Logf("music after %v", time.Since(began).Round(time.Millisecond))
	s.must(client.Hangup(s.ctx))
}

// loud says whether there is a second of sound in what was heard.
func loud(audio []int16) bool {
	var sounding int
	for _, sample := range audio {
		if sample > 300 || sample < -300 {
			sounding++
		}
	}
	return sounding > 2000
}

// eventually asks again and again what nothing tells of.
func eventually(done func() bool) bool {
	for give := time.Now().Add(patience); time.Now().Before(give); time.Sleep(50 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return false
}

func TestTooLittleMoney(t *testing.T) {
	s := newScene(t, 40) // five seconds must be covered
	client := s.dial()
	s.hears(client, "missing-for-a-talk-of", "missing-you-need", "missing-more", "not-enough-money")
	s.ends(client)
	s.free(s.recorded("no funds"), 40)
	s.neverRung()
}

// accepted has a client who is asked for the PIN key it, and the advisor accept.
func (s *scene) accepted(client *phone.Call, pin string) (advisor *phone.Call) {
	s.Helper()
	s.must(client.Keys(s.ctx, pin))
	s.hears(client, "price-you-call")
	s.must(client.Keys(s.ctx, "#"))
	advisor = s.rings()
	s.must(advisor.Keys(s.ctx, "1"))
	return advisor
}

func TestPIN(t *testing.T) {
	t.Run("a withheld number is asked for it", func(t *testing.T) {
		s := newScene(t, 2000)
		client := s.dial(phone.Withheld())
		s.hears(client, "enter-pin")
		s.must(client.Keys(s.ctx, "000000"))
		s.hears(client, "wrong-pin")
		advisor := s.accepted(client, s.loan.PIN)
		client.Tone(clientTone)
		s.must(advisor.HearsTone(s.ctx, clientTone, patience))
		s.must(client.Hangup(s.ctx))
		s.recorded("completed")
		s.nowhere(s.loan.PIN)
	})
	t.Run("another number fails after three tries", func(t *testing.T) {
		s := newScene(t, 2000)
		client := s.dial(phone.CallerNumber("+4915199999999"))
		for range 3 {
			s.hears(client, "enter-pin")
			s.must(client.Keys(s.ctx, "000000"))
		}
		s.hears(client, "not-identified")
		s.ends(client)
		s.neverRung()
		s.balance(2000)
	})
}

func TestNumbersThatLeadNowhere(t *testing.T) {
	t.Run("not in the plan", func(t *testing.T) {
		s := newScene(t, 2000)
		s.loan.DID = "+493055599999"
		client := s.dial()
		s.hears(client, "unknown-number")
		s.ends(client)
		s.neverRung()
	})
	t.Run("lent to nobody", func(t *testing.T) {
		s := newScene(t, 2000)
		s.loan.DID = "+493055500299" // the last of the plan; numbers are lent from the first
		client := s.dial()
		s.hears(client, "unknown-number")
		s.ends(client)
		s.neverRung()
	})
	t.Run("expired", func(t *testing.T) {
		s := newScene(t, 2000, "--for", "1s")
		time.Sleep(1200 * time.Millisecond) // the loan's own length
		client := s.dial()
		s.hears(client, "expired-number")
		s.ends(client)
		s.neverRung()
	})
}

func TestALineThatIsNotVerifiedIsNotRung(t *testing.T) {
	s := newScene(t, 2000)
	stranger, err := s.stage.NewPhoneAdvisor(s.ctx, "Stranger", newNumber())
	s.must(err)
	s.loan, err = s.stage.Lend(s.ctx, s.client, stranger)
	s.must(err)
	client := s.dial()
	s.hears(client, "advisor-unreachable")
	s.ends(client)
	s.free(s.recorded("unreachable"), 2000)
}

func TestAnAdvisorIsInOneCallAtATime(t *testing.T) {
	s := newScene(t, 2000)
	client, _ := s.talk()
	other := newSceneOn(t, s.ctx, s.stage, s.advisor, 2000)
	second := other.dial()
	other.hears(second, "advisor-busy")
	other.ends(second)
	other.free(other.recorded("busy"), 2000)
	s.must(client.Hangup(s.ctx))
	s.recorded("completed")
}

// Neither side learns the other's number or name from anything in signalling.
func TestSignallingTellsNeitherSideOfTheOther(t *testing.T) {
	s := newScene(t, 2000)
	line, err := s.stage.NewPhoneAdvisor(s.ctx, "Berta Brecht", newNumber())
	s.must(err)
	s.verifyByPhone(line)
	s.advisor = line
	s.loan, err = s.stage.Lend(s.ctx, s.client, line)
	s.must(err)
	client := s.dial(phone.DisplayName("Jane Doe"))
	s.must(client.Keys(s.ctx, "#"))
	advisor := s.rings()
	s.must(advisor.Keys(s.ctx, "1"))
	client.Tone(clientTone)
	s.must(advisor.HearsTone(s.ctx, clientTone, patience))
	s.must(client.Hangup(s.ctx))
	s.ends(advisor)
	for _, side := range []struct {
		name     string
		messages []string
		secrets  []string
	}{
		{"the advisor", advisor.Messages(), []string{s.client.Number, "Jane", "Doe", "Heron", s.client.ID}},
		{"the client", client.Messages(), []string{line.Number, "Berta", "Brecht", line.ID, line.Line}},
	} {
		if len(side.messages) == 0 {
			t.Fatalf("no messages of %s", side.name)
		}
		for _, secret := range side.secrets {
			secret = strings.TrimPrefix(secret, "+")
			for _, message := range side.messages {
				if strings.Contains(message, secret) {
					t.Errorf("%s is told %q:\n%s", side.name, secret, message)
				}
			}
		}
	}
}

func TestStrangeCallersAreTurnedAway(t *testing.T) {
	s := newScene(t, 2000)
	for _, number := range []string{"+4930555001OI", "anonymous", "123;rm", "s"} {
		var rejected *phone.Rejected
		if _, err := s.client.Phone.Dial(s.ctx, number); !errors.As(err, &rejected) {
			s.Errorf("%q: %v, want a rejection", number, err)
		}
	}
	client := s.dial(phone.DisplayName(`"><script>${EXEC(ls)}` + strings.Repeat("A", 200)))
	s.must(client.Keys(s.ctx, "#"))
	advisor := s.rings()
	for _, message := range advisor.Messages() {
		if strings.Contains(message, "script") {
			s.Errorf("the advisor is sent the caller's display name:\n%s", message)
		}
	}
	s.must(client.Hangup(s.ctx))
	s.ends(advisor)
	s.recorded("abandoned")
}

// telephone is a full number in a log.
var telephone = regexp.MustCompile(`\+49151\d{8}`)

func TestNoFullTelephoneNumberIsLogged(t *testing.T) {
	s := newScene(t, 2000)
	client, _ := s.talk()
	s.must(client.Hangup(s.ctx))
	s.recorded("completed")
	if found := telephone.FindString(s.stage.Log()); found != "" {
		s.Errorf("the log has a full telephone number")
	}
}

// Money that the client adds while they talk moves the talk's end, also the one that
// Asterisk itself would make.
func TestMoneyAddedInTheTalkLengthensIt(t *testing.T) {
	s := newScene(t, 90) // nine seconds
	client, advisor := s.talk()
	began := s.began(client)
	_, err := s.stage.Parley(s.ctx, "client", "deposit", s.client.ID, "80", "--payment", "more-"+s.client.ID)
	s.must(err)
	s.cutOff(client, advisor, began, 17*time.Second)
	s.hears(client, "money-spent")
	call := s.recorded("money spent")
	if call.Charge != 170 {
		s.Errorf("charged %d for %v", call.Charge, call.Talk())
	}
	s.balance(0)
	s.audit()
}
