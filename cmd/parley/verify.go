package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"parley/ivr"
	"parley/store"
)

// verifyLooksEvery is how often a verification's result is looked for where no
// notice tells of it.
const verifyLooksEvery = 500 * time.Millisecond

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify LINE", Short: "Call a line and ask for the code that is shown here", Args: cobra.ExactArgs(1),
		Long: `Call a line and ask for the code that is shown here.

The running program places the call. Whoever answers keys the code and #; then the
line is verified and may be rung for clients. The code is valid for ten minutes and
once.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
				challenge, code, err := s.CreateChallenge(ctx, ivr.LineID(args[0]))
				if err != nil {
					return answer{}, err
				}
				if err := a.print(cmd.OutOrStdout(), say(map[string]string{"challenge": challenge, "code": code}, "code: %s", code)); err != nil {
					return answer{}, err
				}
				return awaitVerification(ctx, s, challenge, args[0])
			})(cmd, args)
		},
	}
}

func awaitVerification(ctx context.Context, s *store.Store, challenge, line string) (answer, error) {
	notices := s.Listen(ctx, store.TopicChallenge(challenge))
	for {
		r, err := s.ChallengeResult(ctx, challenge)
		if err != nil {
			return answer{}, err
		}
		switch r.State {
		case store.ChallengeVerified:
			return say(r, "verified: %s may be rung for clients", line), nil
		case store.ChallengeFailed, store.ChallengeExpired:
			said := say(r, "not verified (%s): nothing has changed; run `parley verify %s` to try again", r.Disposition, line)
			said.bad = true
			return said, nil
		}
		select {
		case <-ctx.Done():
			return answer{}, errors.New("stopped waiting; the call goes on, and `parley line list` shows its result")
		case <-notices:
		case <-time.After(verifyLooksEvery):
		}
	}
}
