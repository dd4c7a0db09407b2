package browser

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/host/client"
)

// visit is a line whose client has the page open: they tap on it and dial with their
// telephone what it shows.
type visit struct {
	*line
	site, session client.Client
}

// newVisit is a client with money on the page, and an advisor who is on line.
func newVisit(t *testing.T, name string, money int) *visit {
	v := &visit{line: newLine(t, name)}
	var err error
	v.site, err = shared.API(v.ctx, "--role", "site")
	v.must(err)
	v.introduce()
	_, err = shared.Parley(v.ctx, "advisor", "online", v.advisor.ID)
	v.must(err)
	v.Cleanup(func() {
		if _, err := shared.Parley(context.WithoutCancel(v.ctx), "advisor", "offline", v.advisor.ID); err != nil {
			v.Error(err)
		}
	})
	v.client, err = shared.NewClient(v.ctx, "Blue Heron", fmt.Sprintf("+49151%08d", 10000000+clients.Add(1)), money)
	v.must(err)
	v.session, err = shared.API(v.ctx, "--role", "client", "--client", v.client.ID)
	v.must(err)
	v.app, err = chrome.Open(v.ctx, shared.URL+"/#token="+v.session.Token, Telephone)
	v.must(err)
	v.Cleanup(func() {
		ctx := context.WithoutCancel(v.ctx)
		if complaints, err := v.app.Complaints(ctx); err == nil {
			for _, c := range complaints {
				if !strings.Contains(c, "402") && !strings.Contains(c, "409") { // what is refused is shown, and tested
					v.Errorf("the page's console says: %q", c)
				}
			}
		}
		_ = v.app.Close(ctx) // it may have crashed
	})
	v.must(v.app.SeeRole(v.ctx, "link", v.advisor.Name))
	return v
}

// introduce gives the advisor what clients like to know.
func (v *visit) introduce() {
	v.Helper()
	own, err := shared.API(v.ctx, "--role", "advisor", "--advisor", v.advisor.ID)
	v.must(err)
	words := "I have worked with cats and their people for twenty years. Tell me what happens at your home, and we find out together what your cat wants to say."
	_, err = own.ChangeAdvisor(v.ctx, v.advisor.ID, client.AdvisorChange{Words: &words, Languages: &[]string{"de", "en"}, Topics: &[]string{"cats", "moving house"}})
	v.must(err)
}

// opens leads to the advisor's own page.
func (v *visit) opens() {
	v.Helper()
	v.clicks("link", v.advisor.Name)
	v.must(v.app.SeeRole(v.ctx, "heading", v.advisor.Name))
	v.must(v.app.SeeRole(v.ctx, "heading", "What it costs"))
}

// dialsWhatIsShown is the client's call to the number on the page.
func (v *visit) dialsWhatIsShown() {
	v.Helper()
	shown, err := v.app.Read(v.ctx, ".dial .number")
	v.must(err)
	v.call, err = v.client.Phone.Dial(v.ctx, strings.ReplaceAll(shown, " ", ""))
	v.must(err)
	v.must(v.call.Keys(v.ctx, "#")) // the price is cut short
}

// left is the time that the page says is left.
func (v *visit) left() time.Duration {
	v.Helper()
	text, err := v.app.Read(v.ctx, ".left")
	v.must(err)
	var seconds int
	for _, part := range strings.Split(text, ":") {
		n, err := strconv.Atoi(part)
		v.must(err)
		seconds = 60*seconds + n
	}
	return time.Duration(seconds) * time.Second
}

// The whole story: a tap, the number that the page shows is dialled, the two talk, money
// is added on the page and the time that is left grows, and the receipt explains it all.
func TestAClientTalksAndAddsMoney(t *testing.T) {
	v := newVisit(t, "Clara Lind", 600) // a minute
	v.must(v.site.SavePaymentMethod(v.ctx, v.client.ID, client.PaymentMethod{Customer: "cus_1", Method: "test_ok", Label: "Visa 4242"}))
	v.looksGood("client-advisors")
	v.opens()
	v.must(v.app.See(v.ctx, "€6.00"))
	v.must(v.app.Fill(v.ctx, "What is it about?", "my cat"))
	v.looksGood("client-advisor")
	v.clicks("button", "Talk now")
	v.must(v.app.See(v.ctx, "Call Clara Lind now"))
	v.must(v.app.See(v.ctx, "Your money buys up to 1 min."))
	v.looksGood("client-number")
	v.must(v.app.Reload(v.ctx)) // the same number is there again
	v.must(v.app.See(v.ctx, "Call Clara Lind now"))
	v.dialsWhatIsShown()
	v.must(v.app.See(v.ctx, "Connecting you to Clara Lind"))
	v.looksGood("client-connecting")
	v.talk()
	v.must(v.app.See(v.ctx, "You are talking to Clara Lind"))
	v.looksGood("client-talks")
	before := v.left()
	if before < 20*time.Second || before > time.Minute {
		v.Errorf("%v are left of a minute", before)
	}
	v.clicks("button", "Add money")
	v.clicks("radio", "€10.00")
	v.looksGood("client-adds-money")
	v.clicks("button", "Add €10.00")
	v.must(v.app.See(v.ctx, "€10.00 added."))
	if grown := v.left() - before; grown < 70*time.Second || grown > 100*time.Second {
		v.Errorf("10.00 EUR made the time left grow by %v, want about 100 s", grown)
	}
	v.must(v.app.Reload(v.ctx)) // the call is still there
	v.must(v.app.See(v.ctx, "You are talking to Clara Lind"))
	v.hearEachOther()
	v.clicks("button", "Hang up")
	v.ends(v.call)
	v.must(v.app.See(v.ctx, "Thank you for your talk"))
	v.must(v.app.See(v.ctx, "You hung up."))
	v.looksGood("client-receipt")
	recorded := v.recorded("completed")
	paid := fmt.Sprintf("€%d.%02d", recorded.Charge/100, recorded.Charge%100)
	v.must(v.app.See(v.ctx, paid))
	v.clicks("button", "Done")
	rest := 1600 - recorded.Charge
	account := fmt.Sprintf("Your account: €%d.%02d", rest/100, rest%100)
	v.clicks("link", account)
	v.must(v.app.SeeRole(v.ctx, "heading", "Your account"))
	v.must(v.app.See(v.ctx, paid))
	v.looksGood("client-account")
	v.must(v.app.Run(v.ctx, "document.querySelector('.list a').click()", nil))
	v.must(v.app.SeeRole(v.ctx, "heading", "Talk with Clara Lind"))
	v.looksGood("client-receipt-page")
}

// Short of money, by the keyboard alone: it is added elsewhere, and the same request goes
// on in the same place.
func TestShortOfMoneyThenTheSameRequestGoesOn(t *testing.T) {
	v := newVisit(t, "Dina Wolf", 30) // five seconds are 50
	v.tabTo("Dina Wolf")
	v.must(v.app.Press(v.ctx, "Enter"))
	v.must(v.app.SeeRole(v.ctx, "heading", "Dina Wolf"))
	v.tabTo("Talk now")
	v.must(v.app.Press(v.ctx, "Enter"))
	v.must(v.app.See(v.ctx, "Add some money first"))
	v.looksGood("client-short")
	v.tabTo("Add €0.20")
	v.must(v.app.Press(v.ctx, "Enter"))
	v.must(v.app.SeeRole(v.ctx, "link", "Pay €0.20"))
	v.looksGood("client-short-pays-elsewhere")
	v.must(v.app.Reload(v.ctx))
	v.must(v.app.See(v.ctx, "Add some money first"))
	_, err := v.site.Deposit(v.ctx, "deposit-"+v.client.ID, client.Deposit{Client: v.client.ID, Payment: "card-" + v.client.ID, Amount: 20, Currency: "EUR"})
	v.must(err)
	v.must(v.app.See(v.ctx, "Call Dina Wolf now"))
	v.must(v.app.See(v.ctx, "Your money buys up to 5 secs."))
	v.tabTo("I do not want to call")
	v.must(v.app.Press(v.ctx, "Enter"))
	v.must(v.app.Gone(v.ctx, "Call Dina Wolf now"))
	v.must(v.app.SeeRole(v.ctx, "button", "Talk now"))
}

// busy has another client reserve the advisor, until the returned function is called.
func (v *visit) busy() (free func()) {
	v.Helper()
	rival, err := shared.NewClient(v.ctx, "Red Fox", fmt.Sprintf("+49151%08d", 10000000+clients.Add(1)), 2000)
	v.must(err)
	other, err := shared.API(v.ctx, "--role", "client", "--client", rival.ID)
	v.must(err)
	theirs, err := other.RequestTalk(v.ctx, "rivals-tap", client.TalkRequest{Advisor: v.advisor.ID})
	v.must(err)
	return func() {
		v.Helper()
		v.must(other.CancelTalk(v.ctx, theirs.ID))
	}
}

// The advisor is busy: the client is called when it is their turn, and the page follows.
func TestBusyThenCalled(t *testing.T) {
	v := newVisit(t, "Hanna Voss", 2000)
	free := v.busy()
	v.opens()
	v.clicks("button", "Wait or be called", "Be called")
	v.must(v.app.See(v.ctx, "Your phone rings when it is your turn. Then press 1."))
	free()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	ringing, err := v.client.Phone.Accept(ctx)
	v.must(err)
	v.call, err = ringing.Answer(v.ctx)
	v.must(err)
	asked, err := shared.Prompt("placed-press-1")
	v.must(err)
	_, err = v.call.Hear(ctx, asked)
	v.must(err)
	v.must(v.app.See(v.ctx, "We are calling you now. Answer, and press 1."))
	v.looksGood("client-is-called")
	v.must(v.call.Keys(v.ctx, "1"))
	v.must(v.call.Keys(v.ctx, "#")) // the price is cut short
	v.talk()
	v.must(v.app.See(v.ctx, "You are talking to Hanna Voss"))
	v.must(v.call.Hangup(v.ctx))
	v.must(v.app.See(v.ctx, "Thank you for your talk"))
	v.recorded("completed")
}

// The advisor is busy: the client waits on the page and is told when it is their turn.
func TestBusyThenWaitThenTurn(t *testing.T) {
	v := newVisit(t, "Elsa Berg", 2000)
	free := v.busy()
	v.opens()
	v.must(v.app.See(v.ctx, "The wait is"))
	v.looksGood("client-advisor-busy")
	v.clicks("button", "Wait or be called")
	v.must(v.app.See(v.ctx, "Elsa Berg is in a call"))
	v.must(v.app.See(v.ctx, "You would be number 1 in line."))
	v.looksGood("client-busy")
	v.clicks("button", "Wait on this page")
	v.must(v.app.See(v.ctx, "You are number 1 in line."))
	v.looksGood("client-waits")
	free()
	v.must(v.app.See(v.ctx, "It is your turn: Elsa Berg is free"))
	v.must(v.app.SeeRole(v.ctx, "button", "I do not want to call"))
	v.looksGood("client-turn")
	v.dialsWhatIsShown()
	v.talk()
	v.must(v.advised.Hangup(v.ctx))
	v.must(v.app.See(v.ctx, "Thank you for your talk"))
	v.must(v.app.See(v.ctx, "Your advisor hung up."))
	v.clicks("button", "Done")
	v.must(v.app.Gone(v.ctx, "Waiting for Elsa Berg"))
	v.recorded("completed")
}

// An appointment is asked for, another time is proposed and accepted, and in the end it is
// cancelled in the account.
func TestAnAppointmentIsAskedForAndCancelled(t *testing.T) {
	v := newVisit(t, "Frida Stein", 30000)
	v.opens()
	v.clicks("link", "Choose a time")
	v.must(v.app.SeeRole(v.ctx, "heading", "A time with Frida Stein"))
	v.must(v.app.SeeRole(v.ctx, "group", "What time?"))
	v.clicks("radio", "20 mins")
	v.must(v.app.Run(v.ctx, "document.querySelector('.scroll input').click()", nil)) // whatever time it is now
	v.looksGood("client-time")
	v.must(v.app.Run(v.ctx, "[...document.querySelectorAll('button')].find(b => b.textContent.startsWith('Ask for')).click()", nil))
	v.must(v.app.See(v.ctx, "You are told here when it is accepted."))
	v.clicks("button", "Your account")
	v.must(v.app.See(v.ctx, "Waiting for the advisor's answer"))
	list, err := v.session.Appointments(v.ctx, nil)
	v.must(err)
	own, err := shared.API(v.ctx, "--role", "advisor", "--advisor", v.advisor.ID)
	v.must(err)
	_, err = own.ProposeAppointment(v.ctx, "another-time", list[0].ID, list[0].StartsAt.Add(time.Hour))
	v.must(err)
	v.must(v.app.See(v.ctx, "Another time was proposed"))
	v.looksGood("client-appointment")
	v.clicks("button", "Accept this time")
	v.must(v.app.See(v.ctx, "Agreed"))
	v.clicks("button", "Cancel the appointment", "Yes, cancel it")
	v.must(v.app.See(v.ctx, "You have no appointments."))
	list, err = v.session.Appointments(v.ctx, nil)
	v.must(err)
	if len(list) != 1 || list[0].State != "cancelled" || list[0].Mode != "host_calls" {
		v.Errorf("the appointments are %+v", list)
	}
	v.must(v.app.Fill(v.ctx, "In 24 hours", "50"))
	v.clicks("button", "Save limits")
	v.must(v.app.See(v.ctx, "Your limits are saved."))
	v.clicks("button", "Sign out")
	v.must(v.app.SeeRole(v.ctx, "heading", "Sign in"))
}

// The host is gone for a while: the page says so, and is right again by itself.
func TestALostConnectionIsShownAndMended(t *testing.T) {
	v := newVisit(t, "Gerda Falk", 2000)
	v.must(shared.Program.Kill())
	v.must(v.app.See(v.ctx, "The connection is lost."))
	v.looksGood("client-lost")
	v.must(shared.Program.Start(v.ctx))
	v.must(v.app.Gone(v.ctx, "The connection is lost."))
	_, err := v.site.Deposit(v.ctx, "deposit-"+v.client.ID, client.Deposit{Client: v.client.ID, Payment: "card-" + v.client.ID, Amount: 500, Currency: "EUR"})
	v.must(err)
	v.must(v.app.SeeRole(v.ctx, "link", "Your account: €25.00"))
	v.forgive("net::ERR_")
}
