// Command demo places one paid call on a Parley that runs in containers: it is the carrier, with
// the client's telephone and the advisor's, and acts as operators and callers do. See
// docker/README.md.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"parley/lab/phone"
	"parley/lab/stage"
)

const (
	clientTone, advisorTone = 440, 1000 // Hz
	patience                = 30 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	asterisk, err := net.ResolveUDPAddr("udp4", os.Getenv("ASTERISK"))
	if err != nil {
		return err
	}
	carrier, err := phone.NewCarrier(ctx, os.Getenv("CARRIER"), asterisk.String())
	if err != nil {
		return err
	}
	defer carrier.Close()
	s := stage.Attach("/usr/bin/parley", os.TempDir(), carrier)
	if err := s.Activate(ctx, stage.Plan); err != nil {
		return err
	}
	// Each demo has people of its own.
	number := fmt.Sprintf("%08d", time.Now().Unix()%100_000_000)
	anna, err := s.NewPhoneAdvisor(ctx, "Anna", "+49172"+number)
	if err != nil {
		return err
	}
	if err := s.Verify(ctx, anna); err != nil {
		return fmt.Errorf("verify the advisor's telephone: %w", err)
	}
	fmt.Println("the advisor's telephone is verified, by a call and the code keyed in it")
	jane, err := s.NewClient(ctx, "Blue Heron", "+49151"+number, 2000)
	if err != nil {
		return err
	}
	if err := talk(ctx, s, jane, anna); err != nil {
		return err
	}
	call, err := s.LastCall(ctx, jane)
	if err != nil {
		return err
	}
	receipt, err := s.Parley(ctx, "calls", "show", call.ID)
	if err != nil {
		return err
	}
	audit, err := s.Parley(ctx, "ledger", "audit")
	fmt.Print(receipt, audit)
	return err
}

// talk is a call in which both hear each other for five seconds.
func talk(ctx context.Context, s *stage.Stage, jane *stage.Client, anna *stage.Advisor) error {
	loan, err := s.Lend(ctx, jane, anna)
	if err != nil {
		return err
	}
	client, err := jane.Phone.Dial(ctx, loan.DID)
	if err != nil {
		return err
	}
	if err := client.Keys(ctx, "#"); err != nil { // the price is told until then
		return err
	}
	ringing, err := anna.Phone.Accept(ctx)
	if err != nil {
		return err
	}
	fmt.Println("the client has called the number that was lent; the advisor's telephone shows", ringing.From())
	advisor, err := ringing.Answer(ctx)
	if err != nil {
		return err
	}
	if err := advisor.Keys(ctx, "1"); err != nil {
		return err
	}
	client.Tone(clientTone)
	advisor.Tone(advisorTone)
	if err := client.HearsTone(ctx, advisorTone, patience); err != nil {
		return err
	}
	if err := advisor.HearsTone(ctx, clientTone, patience); err != nil {
		return err
	}
	fmt.Println("both hear each other")
	select {
	case <-time.After(5 * time.Second):
	case <-client.Ended():
		return fmt.Errorf("the talk ended by itself: %+v", client.EndReason())
	}
	return client.Hangup(ctx)
}
