package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/host"
	"parley/host/sms"
	"parley/store"
)

// As sms.provider.
const (
	smsOff     = "off"
	smsConsole = "console"
	smsTwilio  = "twilio"
)

// sms sends clients their codes as the settings say; nil sends none.
func (c config) sms(log *slog.Logger) host.SMS {
	switch c.smsProvider {
	case smsConsole:
		log.Warn("messages are not sent: they are written into a file", "file", c.smsFile)
		return sms.NewConsole(c.smsFile)
	case smsTwilio:
		return sms.NewTwilio(c.twilioURL, c.twilioAccount, c.twilioToken, c.smsFrom)
	}
	return nil
}

// siteKeyCommand is by what a site's assertions are checked.
func (a *app) siteKeyCommand() *cobra.Command {
	keys := &cobra.Command{Use: "site-key", Short: "Whose word is taken for who a client is: see /docs#signing-in"}
	keys.AddCommand(&cobra.Command{
		Use: "add NAME PUBLIC-KEY.pem", Short: "Believe assertions that are signed with a key", Args: cobra.ExactArgs(2),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			pem, err := os.ReadFile(args[1])
			if err != nil {
				return answer{}, err
			}
			if err := host.CheckSiteKey(string(pem)); err != nil {
				return answer{}, fmt.Errorf("%s: %w", args[1], err)
			}
			k, err := s.AddSiteKey(ctx, operator(), args[0], string(pem))
			return say(map[string]any{"id": k.ID}, "%s\nassertions that are signed with it have it as kid", k.ID), err
		}),
	}, &cobra.Command{
		Use: "revoke KEY-ID", Short: "Believe a key no more, and end the sessions that were made by it", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			err := s.RevokeSiteKey(ctx, operator(), store.SiteKeyID(args[0]))
			return say(map[string]string{"id": args[0]}, "%s is revoked", args[0]), err
		}),
	}, &cobra.Command{
		Use: "list", Short: "List the keys", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			list, err := s.SiteKeys(ctx)
			var text strings.Builder
			for _, k := range list {
				state := "since " + k.MadeAt.Format(time.DateTime)
				if !k.RevokedAt.IsZero() {
					state = "revoked " + k.RevokedAt.Format(time.DateTime)
				}
				fmt.Fprintf(&text, "%s  %s  %s\n", k.ID, k.Name, state)
			}
			return say(list, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	})
	return keys
}
