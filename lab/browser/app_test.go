package browser

import (
	"testing"
	"time"
)

func TestTheAppIsVerifiedByItsOwnKeypad(t *testing.T) {
	s := newScene(t, "Anna", Telephone)
	s.must(s.app.See(s.ctx, "You are off line"))
	s.looksGood("app-new")
	s.must(s.app.Click(s.ctx, "button", "Use this app as my phone"))
	s.must(s.app.SeeRole(s.ctx, "button", "Answer"))
	s.looksGood("app-verification-rings")
	s.must(s.app.Click(s.ctx, "button", "Answer"))
	s.must(s.app.SeeRole(s.ctx, "group", "Keypad"))
	s.looksGood("app-verification-keypad")
	code, err := s.app.Read(s.ctx, ".code")
	s.must(err)
	for _, digit := range code {
		s.must(s.app.Press(s.ctx, string(digit))) // the keyboard's keys are the keypad's
	}
	s.must(s.app.Click(s.ctx, "button", "hash key"))
	s.must(s.app.SeeRole(s.ctx, "heading", "Verified"))
	s.looksGood("app-verified")
	var lines []struct {
		Kind       string
		VerifiedAt time.Time `json:"verifiedAt"`
	}
	s.must(shared.ParleyJSON(s.ctx, &lines, "line", "list", s.advisor.ID))
	if len(lines) != 1 || lines[0].Kind != "app" || lines[0].VerifiedAt.IsZero() {
		t.Errorf("the lines are %+v", lines)
	}
	s.must(s.app.Click(s.ctx, "button", "Go on line"))
	s.must(s.app.See(s.ctx, "You are on line"))
	s.looksGood("app-on-line")
}

// A browser tells its addresses one by one, in any order. Asterisk drops those of a family
// that it does not speak, and without one that is left it answers no connectivity check.
func TestAnAddressOfNoUseComesFirst(t *testing.T) {
	s := newScene(t, "Ada", Telephone)
	s.must(s.app.Run(s.ctx, `{
		const add = RTCPeerConnection.prototype.addEventListener;
		RTCPeerConnection.prototype.addEventListener = function (type, listener, ...rest) {
			add.call(this, type, listener, ...rest);
			if (type !== "icecandidate") return;
			const candidate = new RTCIceCandidate({ candidate: "candidate:1 1 udp 2122267903 2001:db8::1 9 typ host", sdpMid: "0" });
			listener(new RTCPeerConnectionIceEvent(type, { candidate }));
		};
	}`, nil))
	s.verify()
}

func TestAClientsCallInTheApp(t *testing.T) {
	s := onLine(t, "Berta", Telephone)
	call := s.rings()
	s.must(s.app.See(s.ctx, "About: a cat"))
	s.must(s.app.See(s.ctx, "Paid for"))
	s.looksGood("app-rings")
	s.accepts()
	s.hearEachOther(call)
	s.must(s.app.SeeRole(s.ctx, "timer", ""))
	s.looksGood("app-talks")
	_, err := shared.Parley(s.ctx, "client", "deposit", s.client.ID, "6000", "--payment", "more-"+s.client.ID)
	s.must(err)
	s.must(s.app.See(s.ctx, "13:")) // minutes that are left, of 3 before
	s.must(s.app.Click(s.ctx, "button", "Keypad"))
	s.looksGood("app-talks-keypad")
	s.must(s.app.Click(s.ctx, "button", "Hang up"))
	s.ends(call)
	s.must(s.app.See(s.ctx, "You earned"))
	s.looksGood("app-over")
	if recorded := s.recorded("completed"); recorded.EndedBy != "advisor" || recorded.Charge == 0 {
		t.Errorf("recorded as %+v", recorded)
	}
	s.must(s.app.Click(s.ctx, "button", "Done"))
	s.must(s.app.See(s.ctx, "You are on line"))
}
