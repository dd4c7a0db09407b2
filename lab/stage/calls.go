package stage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Verification is a verification that `parley verify` waits for.
type Verification struct {
	Code string // what the advisor's app would show

	cmd *exec.Cmd
	out *bufio.Reader
	err strings.Builder
}

// StartVerification asks for a verification call, as the advisor does in the app.
func (s *Stage) StartVerification(ctx context.Context, line string) (*Verification, error) {
	v := &Verification{cmd: s.Command(ctx, "verify", line)}
	v.cmd.Stderr = &v.err
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	v.out = bufio.NewReader(out)
	first, err := v.out.ReadString('\n')
	if _, scanErr := fmt.Sscanf(first, "code: %s", &v.Code); err != nil || scanErr != nil {
		return nil, fmt.Errorf("parley verify said %q: %w\n%s", first, errors.Join(err, scanErr, v.cmd.Wait()), v.err.String())
	}
	return v, nil
}

// Wait returns what the command says in the end; an error if the line was not
// verified.
func (v *Verification) Wait() (said string, err error) {
	rest, err := io.ReadAll(v.out)
	if err := errors.Join(err, v.cmd.Wait()); err != nil {
		return string(rest), fmt.Errorf("parley verify: %w\n%s%s", err, rest, v.err.String())
	}
	return strings.TrimSpace(string(rest)), nil
}

// Call is what `parley calls` tells of one.
type Call struct {
	ID, Kind, Disposition, EndedBy string
	Cause                          int
	Charge, Held                   int64
	EndedAt                        time.Time
	Segments                       []struct{ Talk time.Duration }
}

// Talk is all of the call's talk time.
func (c Call) Talk() (sum time.Duration) {
	for _, segment := range c.Segments {
		sum += segment.Talk
	}
	return sum
}

// settleTakes bounds the time from the end of a call at the phones to its record.
const settleTakes = 10 * time.Second

// LastCall is a client's newest call, once it has ended.
func (s *Stage) LastCall(ctx context.Context, client *Client) (Call, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTakes)
	defer cancel()
	for {
		var calls []Call
		if err := s.ParleyJSON(ctx, &calls, "calls", "list", "--limit", "1", "--client", client.ID); err != nil {
			return Call{}, err
		}
		if len(calls) > 0 && !calls[0].EndedAt.IsZero() {
			return calls[0], nil
		}
		select {
		case <-ctx.Done():
			return Call{}, fmt.Errorf("the last call has not ended: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
}
