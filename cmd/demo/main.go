// Command demo shows the main job on real parts: it starts a private Asterisk,
// Postgres and Redis, the program, and telephones with real audio; verifies an
// advisor's line by a verification call; lets a client pay for a talk; and lets
// another run out of money. It exits 0 only if all of it was as it should be.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	api "parley/host/client"
	"parley/lab/phone"
	"parley/lab/stage"
)

func main() {
	stay := flag.Bool("stay", false, "leave everything up until Ctrl-C, and show nothing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := demo
	if *stay {
		run = leaveUp
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "\nNOT as it should be:", err)
		os.Exit(1)
	}
}

// demo is the whole show.
func demo(ctx context.Context) (err error) {
	all := newTranscript(os.Stdout)
	all.heading("Starting a private Asterisk, Postgres and Redis, and the program")
	s, err := stage.Open(ctx, stage.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			fmt.Fprintf(os.Stderr, "\nThe program's log:\n%s\n", s.Log())
		}
		err = errors.Join(err, s.Close())
	}()
	all.line("everything is up")

	anna, err := s.NewAdvisor(ctx, "Anna")
	if err != nil {
		return err
	}
	berta, err := s.NewAdvisor(ctx, "Berta")
	if err != nil {
		return err
	}
	if err := sideBySide(
		func(t *transcript) error { return verification(ctx, s, t, anna) },
		func(t *transcript) error { return verification(ctx, s, t, berta) },
	); err != nil {
		return err
	}
	if err := sideBySide(
		func(t *transcript) error { return paidCall(ctx, s, t, anna) },
		func(t *transcript) error { return moneyEnds(ctx, s, t, berta) },
	); err != nil {
		return err
	}

	all.heading("The ledger")
	audit, err := s.Parley(ctx, "ledger", "audit")
	if err != nil {
		return err
	}
	fmt.Print(audit)
	fmt.Printf("\nAll of it was as it should be, in %.0f s. `make run` leaves it all up, with sign-ins for the three pages:\n"+
		"/ the clients', /app/ the advisors', /desk/ the administrators'.\n", time.Since(all.began).Seconds())
	return nil
}

// sideBySide plays two scenes at once. The first is shown as it happens, the second
// after it.
func sideBySide(first, second func(*transcript) error) error {
	var later bytes.Buffer
	done := make(chan error, 1)
	go func() { done <- second(newTranscript(&later)) }()
	err := first(newTranscript(os.Stdout))
	err = errors.Join(err, <-done)
	fmt.Print(later.String())
	return err
}

// verification proves that a line is the advisor's, by a real verification call.
func verification(ctx context.Context, s *stage.Stage, t *transcript, who *stage.Advisor) error {
	t.heading("A verification call: is this phone %s's?", who.Name)
	verify, err := s.StartVerification(ctx, who.Line)
	if err != nil {
		return err
	}
	t.line("%s's app shows the code %s", who.Name, verify.Code)
	ringing, err := who.Phone.Accept(ctx)
	if err != nil {
		return err
	}
	t.line("%s's phone rings; the number it sees is ours: %s", who.Name, ringing.From())
	call, err := ringing.Answer(ctx)
	if err != nil {
		return err
	}
	if err := t.hears(ctx, s, who.Name, call, "verification-intro", "enter-code"); err != nil {
		return err
	}
	t.line("%s keys the code, and #", who.Name)
	if err := call.Keys(ctx, verify.Code+"#"); err != nil {
		return err
	}
	if err := t.hears(ctx, s, who.Name, call, "verified"); err != nil {
		return err
	}
	said, err := verify.Wait()
	if err != nil {
		return err
	}
	t.line("%s", said)
	return nil
}

// paidCall is a talk that the client ends.
func paidCall(ctx context.Context, s *stage.Stage, t *transcript, anna *stage.Advisor) error {
	t.heading("A client with 20.00 EUR calls %s, who costs 6.00 a minute", anna.Name)
	jane, err := s.NewClient(ctx, "Blue Heron", "+4915112345601", 2000)
	if err != nil {
		return err
	}
	client, advisor, err := connect(ctx, s, t, jane, anna, patient)
	if err != nil {
		return err
	}
	joined := time.Now()
	if err := tonesBothWays(ctx, t, client, advisor); err != nil {
		return err
	}
	select {
	case <-time.After(time.Until(joined.Add(3500 * time.Millisecond))):
	case <-client.Ended():
		return errors.New("the talk ended by itself")
	}
	t.line("the client hangs up")
	if err := client.Hangup(ctx); err != nil {
		return err
	}
	return receipt(ctx, s, t, jane, advisor, "completed")
}

// moneyEnds is a talk that the money ends.
func moneyEnds(ctx context.Context, s *stage.Stage, t *transcript, anna *stage.Advisor) error {
	t.heading("At the same time a client with 0.90 EUR, which is nine seconds, calls %s", anna.Name)
	joe, err := s.NewClient(ctx, "Red Fox", "+4915112345602", 90)
	if err != nil {
		return err
	}
	client, advisor, err := connect(ctx, s, t, joe, anna, hurried)
	if err != nil {
		return err
	}
	if err := tonesBothWays(ctx, t, client, advisor); err != nil {
		return err
	}
	if err := t.hears(ctx, s, "the client alone", client, "talk-ends-in"); err != nil {
		return err
	}
	warning, err := s.Prompt("talk-ends-in")
	if err != nil {
		return err
	}
	if advisor.HasHeard(warning) {
		return errors.New("the advisor heard the client's warning")
	}
	if err := t.hears(ctx, s, "the client", client, "money-spent"); err != nil {
		return err
	}
	return receipt(ctx, s, t, joe, advisor, "money spent")
}

// A patient client and advisor hear out what they are told; hurried ones press a key
// as soon as they know what for.
const patient, hurried = false, true

// connect taps talk, dials the number that is lent, and the advisor accepts.
func connect(ctx context.Context, s *stage.Stage, t *transcript, who *stage.Client, anna *stage.Advisor, hurry bool) (client, advisor *phone.Call, err error) {
	if _, err := s.Parley(ctx, "advisor", "online", anna.ID); err != nil {
		return nil, nil, err
	}
	session, err := s.API(ctx, "--role", "client", "--client", who.ID)
	if err != nil {
		return nil, nil, err
	}
	talk, err := session.RequestTalk(ctx, "tap-"+who.ID, api.TalkRequest{Advisor: anna.ID})
	if err != nil {
		return nil, nil, err
	}
	t.line("the client taps talk: %s is lent until %s; the money buys %d s", talk.Number, talk.Until.Format(time.TimeOnly), talk.Seconds)
	if client, err = who.Phone.Dial(ctx, talk.Number); err != nil {
		return nil, nil, err
	}
	t.line("the client dials it")
	price, request := []string{"price-you-call", "price-costs", "price-you-can-talk", "price-please-wait"}, []string{"advisor-call-from", "advisor-press-1-or-2"}
	if hurry {
		price, request = price[:2], request[:1]
	}
	if err := t.hears(ctx, s, "the client", client, price...); err != nil {
		return nil, nil, err
	}
	if hurry {
		t.line("the client presses a key, and need not hear the rest")
		if err := client.Keys(ctx, "5"); err != nil {
			return nil, nil, err
		}
	}
	ringing, err := anna.Phone.Accept(ctx)
	if err != nil {
		return nil, nil, err
	}
	t.line("%s's phone rings; the number it sees is ours: %s", anna.Name, ringing.From())
	if advisor, err = ringing.Answer(ctx); err != nil {
		return nil, nil, err
	}
	if err := t.hears(ctx, s, anna.Name, advisor, request...); err != nil {
		return nil, nil, err
	}
	t.line("%s presses 1", anna.Name)
	return client, advisor, advisor.Keys(ctx, "1")
}

// tonesBothWays proves that each hears the other, and nothing of themselves.
func tonesBothWays(ctx context.Context, t *transcript, client, advisor *phone.Call) error {
	client.Tone(700)
	advisor.Tone(1100)
	if err := advisor.HearsTone(ctx, 700, 5*time.Second); err != nil {
		return fmt.Errorf("the advisor does not hear the client: %w", err)
	}
	if err := client.HearsTone(ctx, 1100, 5*time.Second); err != nil {
		return fmt.Errorf("the client does not hear the advisor: %w", err)
	}
	t.line("they talk: the advisor hears the client's tone (700 Hz), the client the advisor's (1100 Hz)")
	return nil
}

// receipt waits until the advisor's phone is free and shows what was charged.
func receipt(ctx context.Context, s *stage.Stage, t *transcript, client *stage.Client, advisor *phone.Call, disposition string) error {
	select {
	case <-advisor.Ended():
		t.line("the advisor's phone is hung up")
	case <-time.After(5 * time.Second):
		return errors.New("the advisor's phone was left in the call")
	}
	call, err := s.LastCall(ctx, client)
	if err != nil {
		return err
	}
	if call.Disposition != disposition || call.Charge == 0 {
		return fmt.Errorf("the call is recorded as %q with a charge of %d, not as %q", call.Disposition, call.Charge, disposition)
	}
	text, err := s.Parley(ctx, "calls", "show", call.ID)
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "\n%s", indent(text))
	return nil
}

// leaveUp is `make run`.
func leaveUp(ctx context.Context) (err error) {
	s, err := stage.Open(ctx, stage.Options{Progress: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := pages(ctx, s); err != nil {
		return err
	}
	fmt.Printf("To use the program's commands in another shell:\n\n")
	for _, setting := range s.Env {
		fmt.Printf("export %s\n", setting)
	}
	fmt.Printf("export PATH=%s:$PATH\n\nSIP phones call %s at the carrier's side, or register there. The program logs to\n%s\n",
		s.Lab.Dir(), s.Lab.Asterisk.SIPAddr, s.Program.LogFile())
	<-ctx.Done()
	return nil
}

// pages makes somebody for each page, and says where they sign in.
func pages(ctx context.Context, s *stage.Stage) error {
	client, err := s.NewClient(ctx, "Blue Heron", "+4915112345601", 5000)
	if err != nil {
		return err
	}
	advisor := stage.Advisor{}
	if err := s.ParleyJSON(ctx, &advisor, "advisor", "add", "Anna"); err != nil {
		return err
	}
	fmt.Printf("Everything is up until Ctrl-C. Each of these links signs in once:\n\n")
	for _, page := range []struct {
		who, path string
		token     []string
	}{
		{"a client, with 50.00 EUR", "/", []string{"--role", "client", "--client", client.ID}},
		{"an advisor, whose app is her phone", "/app/", []string{"--role", "advisor", "--advisor", advisor.ID}},
		{"an administrator", "/desk/", []string{"--role", "admin", "--holder", "Ada"}},
		{"a second one, to approve", "/desk/", []string{"--role", "admin", "--holder", "Grace"}},
	} {
		session, err := s.API(ctx, page.token...)
		if err != nil {
			return err
		}
		fmt.Printf("  %-36s %s%s#token=%s\n", page.who, s.URL, page.path, session.Token)
	}
	site, err := s.API(ctx, "--role", "site")
	if err != nil {
		return err
	}
	fmt.Printf("\nThe client can also sign in as %s; the code, which is sent to nobody, is written to\n%s\n", client.Number, s.SMSFile())
	fmt.Printf("\nThe API is described at %s/docs\n\n", s.URL)
	return site.SavePaymentMethod(ctx, client.ID, api.PaymentMethod{Customer: "cus_demo", Method: "test_ok", Label: "Visa made up"})
}

// transcript prints what happens, with the seconds since the scene began.
type transcript struct {
	out   io.Writer
	began time.Time
}

func newTranscript(out io.Writer) *transcript { return &transcript{out, time.Now()} }

func (t *transcript) heading(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(t.out, "\n%s\n%s\n", text, strings.Repeat("-", len(text)))
}

func (t *transcript) line(format string, args ...any) {
	fmt.Fprintf(t.out, "%6.1f s  %s\n", time.Since(t.began).Seconds(), fmt.Sprintf(format, args...))
}

// hears waits until a phone has heard the prompts, one after the other.
func (t *transcript) hears(ctx context.Context, s *stage.Stage, who string, call *phone.Call, prompts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, name := range prompts {
		audio, err := s.Prompt(name)
		if err != nil {
			return err
		}
		if _, err := call.Hear(ctx, audio); err != nil {
			return fmt.Errorf("%s does not hear %q: %w", who, name, err)
		}
		t.line("%s hears: %s", who, s.Words(name))
	}
	return nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ") + "\n"
}
