package stage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"parley/dialplan"
	"parley/host/client"
	"parley/ivr"
	"parley/ivr/prompts"
	"parley/lab/phone"
)

// Plan is the plan of the demo and the tests: short limits, so that a call that
// runs into one takes seconds.
//
//go:embed plan.yaml
var Plan string

// CallerID is the plan's: all that those who are called learn.
const CallerID = "+493055500100"

// programDSN is the owner's DSN with the program's own login in its place. The
// exchange is private and its database is gone with it: the password guards
// nothing.
func programDSN(owner string) string {
	u, err := url.Parse(owner)
	if err != nil {
		return owner
	}
	u.User = url.UserPassword("program_"+filepath.Base(u.Path), "program")
	return u.String()
}

// Client is someone who pays, with a telephone.
type Client struct {
	ID     string
	Number string       `json:"-"`
	Phone  *phone.Phone `json:"-"`
}

// NewClient adds a client with a number and money.
func (s *Stage) NewClient(ctx context.Context, alias, number string, money int) (*Client, error) {
	c := &Client{Number: number, Phone: s.Carrier.Phone(number)}
	if err := s.ParleyJSON(ctx, c, "client", "add", "--alias", alias, "--phone", number); err != nil {
		return nil, err
	}
	if money == 0 {
		return c, nil
	}
	_, err := s.Parley(ctx, "client", "deposit", c.ID, fmt.Sprint(money), "--payment", "pay-"+c.ID)
	return c, err
}

// Advisor is someone who is paid, with a line.
type Advisor struct {
	ID     string
	Name   string
	Line   string       `json:"-"`
	Number string       `json:"-"` // where the line is a telephone number
	Phone  *phone.Phone `json:"-"`
}

// NewAdvisor adds an advisor with an unverified line: a SIP phone that registers
// with us.
func (s *Stage) NewAdvisor(ctx context.Context, name string) (*Advisor, error) {
	return s.NewAdvisorAt(ctx, name, s.Lab.Asterisk.SIPAddr)
}

// NewAdvisorAt is [Stage.NewAdvisor] for a phone that registers with another node, or
// through a proxy: host:port.
func (s *Stage) NewAdvisorAt(ctx context.Context, name, exchange string) (*Advisor, error) {
	a := &Advisor{}
	if err := s.ParleyJSON(ctx, a, "advisor", "add", name); err != nil {
		return nil, err
	}
	var line struct{ ID, User, Password string }
	if err := s.ParleyJSON(ctx, &line, "line", "add", a.ID, "--sip"); err != nil {
		return nil, err
	}
	a.Line = line.ID
	var err error
	a.Phone, err = s.register(ctx, exchange, line.User, line.Password)
	return a, err
}

// NewVerifiedAdvisor adds an advisor and verifies their line as they would.
func (s *Stage) NewVerifiedAdvisor(ctx context.Context, name string) (*Advisor, error) {
	return s.NewVerifiedAdvisorAt(ctx, name, s.Lab.Asterisk.SIPAddr)
}

// NewVerifiedAdvisorAt is the same for a phone that registers elsewhere.
func (s *Stage) NewVerifiedAdvisorAt(ctx context.Context, name, exchange string) (*Advisor, error) {
	a, err := s.NewAdvisorAt(ctx, name, exchange)
	if err != nil {
		return nil, err
	}
	return a, s.Verify(ctx, a)
}

// Verify verifies an advisor's line, as they would.
func (s *Stage) Verify(ctx context.Context, a *Advisor) error {
	verify, err := s.StartVerification(ctx, a.Line)
	if err != nil {
		return err
	}
	ringing, err := a.Phone.Accept(ctx)
	if err != nil {
		return err
	}
	call, err := ringing.Answer(ctx)
	if err != nil {
		return err
	}
	if err := call.AwaitSound(ctx); err != nil {
		return err
	}
	if err := call.Keys(ctx, verify.Code+"#"); err != nil {
		return err
	}
	if _, err = verify.Wait(); err != nil {
		return err
	}
	return call.Hangup(ctx)
}

// register tries until the program has made the endpoint, which it does on a
// notice. The phone stays registered until ctx ends.
func (s *Stage) register(ctx context.Context, exchange, user, password string) (*phone.Phone, error) {
	const patience = 15 * time.Second
	for give := time.Now().Add(patience); ; {
		p, err := phone.Register(ctx, "127.0.0.1:0", exchange, user, password)
		if err == nil || time.Now().After(give) {
			return p, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// NewPhoneAdvisor adds an advisor whose unverified line is a telephone number.
func (s *Stage) NewPhoneAdvisor(ctx context.Context, name, number string) (*Advisor, error) {
	a := &Advisor{Number: number, Phone: s.Carrier.Phone(number)}
	if err := s.ParleyJSON(ctx, a, "advisor", "add", name); err != nil {
		return nil, err
	}
	var line struct{ ID string }
	if err := s.ParleyJSON(ctx, &line, "line", "add", a.ID, "--phone", number); err != nil {
		return nil, err
	}
	a.Line = line.ID
	return a, nil
}

// Loan is a number lent.
type Loan struct{ ID, DID, PIN string }

// Lend lends a client a number for an advisor.
func (s *Stage) Lend(ctx context.Context, c *Client, a *Advisor, more ...string) (loan Loan, err error) {
	err = s.ParleyJSON(ctx, &loan, append([]string{"loan", c.ID, a.ID}, more...)...)
	return loan, err
}

// API speaks to the program over HTTP with a token that `parley token create` makes
// with the arguments, such as --role site.
func (s *Stage) API(ctx context.Context, args ...string) (client.Client, error) {
	var made struct{ Token string }
	err := s.ParleyJSON(ctx, &made, append([]string{"token", "create"}, args...)...)
	return client.Client{URL: s.URL, Token: made.Token}, err
}

// Prompt is a prompt's audio as callers are to hear it.
func (s *Stage) Prompt(name string) ([]int16, error) {
	return phone.LoadWAV(filepath.Join(s.Lab.Asterisk.PromptsDir, dialplan.Languages[0], name+".wav"))
}

// Text is the audio of spoken words, once the program has rendered them.
func (s *Stage) Text(words string) ([]int16, error) {
	return s.Prompt(prompts.TextName(words))
}

// Words are what a prompt says.
func (s *Stage) Words(name string) string {
	words, err := prompts.Texts(dialplan.Languages[0])
	if err != nil {
		return name
	}
	return words[ivr.Prompt(name)]
}
