package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"parley/host"
	"parley/ivr"
	"parley/ivr/ari"
	"parley/metrics"
	"parley/store"
)

const (
	httpOff       = "off"            // as http.addr: requests are not served
	requestsDrain = 10 * time.Second // for requests that are under way when the program stops
)

// readiness is what /readyz asks.
type readiness struct {
	owner     atomic.Bool                 // Asterisk is this copy's
	asterisk  atomic.Pointer[ari.Switch]  // once it is open
	service   atomic.Pointer[ivr.Service] // once it answers calls
	recovered atomic.Bool                 // earlier processes' calls are taken over
	draining  atomic.Bool                 // new calls are other nodes'
	deaf      atomic.Bool                 // Asterisk takes no calls
	stopping  context.Context
}

func (r *readiness) check(context.Context) error {
	switch {
	case r.stopping.Err() != nil:
		return errors.New("stopping")
	case !r.owner.Load():
		return errors.New("standing by: another copy serves")
	case !r.connected():
		return errors.New("Asterisk is not connected")
	case r.deaf.Load():
		return errNoCalls
	case !r.recovered.Load():
		return errors.New("calls of an earlier process are being taken over")
	case r.draining.Load():
		return errors.New("draining: other nodes take the calls")
	}
	return nil
}

func (r *readiness) connected() bool {
	asterisk := r.asterisk.Load()
	return asterisk != nil && asterisk.Connected()
}

// trunk says why the carrier cannot be called.
func (r *readiness) trunk(ctx context.Context) error {
	asterisk := r.asterisk.Load()
	if asterisk == nil {
		return errors.New("Asterisk is not connected")
	}
	return asterisk.Trunk(ctx)
}

// standBy is called when Asterisk is another copy's.
func (r *readiness) standBy() {
	r.owner.Store(false)
	r.asterisk.Store(nil)
	r.service.Store(nil)
	r.recovered.Store(false)
	r.draining.Store(false)
}

// startHost serves HTTP until ctx ends or stop is called, which waits for requests that
// are under way.
func startHost(ctx context.Context, c config, s *store.Store, plans *planner, cashier *host.Cashier, ready *readiness, counted *metrics.Metrics, log *slog.Logger) (stop func(), err error) {
	if c.httpAddr == httpOff {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", c.httpAddr)
	if err != nil {
		return nil, fmt.Errorf("http.addr: %w", err)
	}
	listener = netutil.LimitListener(listener, connectionsMost())
	server := host.New(host.Config{
		Store: s, Plan: plans.copied, Ready: ready.check, TopUp: c.topUpURL, Cashier: cashier, Log: log,
		Explain: explainer(s), Running: running{ready}, Asterisk: ready.connected, Trunk: ready.trunk,
		Phones: c.phonesURL(), Origins: c.origins, SMS: c.sms(log), SignInURL: c.signInURL, PushContact: c.pushContact,
		TrustedProxies: c.trustedProxies, AllowPrivate: c.allowPrivate,
	}).Server()
	server.Handler = counted.Requests(server.Handler, "/v1/events", "/ws")
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestsDrain)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Warn("requests were cut off", "err", errors.Join(err, server.Close()))
		}
	}()
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("requests are not served any more", "err", err)
		}
	}()
	log.Info("listening", "http", listener.Addr().String())
	return func() { cancel(); <-done }, nil
}

// connectionsMost bounds the server's connections, so that a flood of them leaves
// descriptors for the database and for Asterisk. Who comes later waits.
func connectionsMost() int {
	const most = 15_000 // the host's bounds on streams and phones, and room for requests
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return most / 15
	}
	return int(min(most, files.Cur/2))
}

func (a *app) tokenCommand() *cobra.Command {
	token := &cobra.Command{Use: "token", Short: "Who may ask the HTTP API"}
	var role, client, advisor, holder string
	var lasts time.Duration
	create := &cobra.Command{
		Use: "create --role site|client|advisor|admin", Short: "Make a token; it is shown here and nowhere else", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			t, secret, err := s.CreateToken(ctx, operator(), store.Token{
				Role: store.Role(role), Client: ivr.ClientID(client), Advisor: ivr.AdvisorID(advisor), Holder: holder,
			}, lasts)
			return say(map[string]any{"id": t.ID, "token": secret, "until": t.Until},
				"%s  until %s\n%s", t.ID, t.Until.Format(time.DateTime), secret), err
		}),
	}
	create.Flags().StringVar(&role, "role", "", "site: the website's server; client: one client's session; advisor: one advisor's app; admin: an administrator")
	create.Flags().StringVar(&client, "client", "", "whose session")
	create.Flags().StringVar(&advisor, "advisor", "", "whose app")
	create.Flags().StringVar(&holder, "holder", "", "who holds it; an administrator must be named")
	create.Flags().DurationVar(&lasts, "for", 24*time.Hour, "how long it is good")
	require(create, "role")
	token.AddCommand(create, &cobra.Command{
		Use: "revoke TOKEN-ID", Short: "End a token for good", Args: cobra.ExactArgs(1),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			err := s.RevokeToken(ctx, operator(), store.TokenID(args[0]))
			return say(map[string]string{"id": args[0]}, "%s is revoked", args[0]), err
		}),
	}, &cobra.Command{
		Use: "list", Short: "List the newest tokens", Args: cobra.NoArgs,
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, _ []string) (answer, error) {
			tokens, err := s.Tokens(ctx, "", listMost)
			var text strings.Builder
			for _, t := range tokens {
				state := "until " + t.Until.Format(time.DateTime)
				if !t.RevokedAt.IsZero() {
					state = "revoked " + t.RevokedAt.Format(time.DateTime)
				}
				fmt.Fprintf(&text, "%s  %-7s %s  %s\n", t.ID, t.Role, t.Who(), state)
			}
			return say(tokens, "%s", strings.TrimRight(text.String(), "\n")), err
		}),
	})
	return token
}

// presenceCommands are those by which an advisor comes and goes.
func (a *app) presenceCommands() []*cobra.Command {
	var commands []*cobra.Command
	for use, onLine := range map[string]bool{"online": true, "offline": false} {
		commands = append(commands, &cobra.Command{
			Use: use + " ADVISOR", Short: "Put an advisor " + strings.Replace(use, "line", " line", 1), Args: cobra.ExactArgs(1),
			RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
				err := s.SetPresence(ctx, ivr.AdvisorID(args[0]), onLine)
				return say(map[string]any{"id": args[0], "on_line": onLine}, "%s is %s", args[0], strings.Replace(use, "line", " line", 1)), err
			}),
		})
	}
	return commands
}

func (a *app) blockCommand() *cobra.Command {
	var by string
	var lift bool
	block := &cobra.Command{
		Use: "block CLIENT ADVISOR --by client|advisor", Short: "Keep a client and an advisor apart", Args: cobra.ExactArgs(2),
		RunE: a.withStore(func(ctx context.Context, s *store.Store, _ config, args []string) (answer, error) {
			err := s.SetBlock(ctx, operator(), store.Side(by), ivr.ClientID(args[0]), ivr.AdvisorID(args[1]), !lift)
			words := map[bool]string{false: "are kept apart", true: "may meet, as far as this side is concerned"}[lift]
			return say(map[string]any{"client": args[0], "advisor": args[1], "blocked": !lift}, "%s and %s %s", args[0], args[1], words), err
		}),
	}
	block.Flags().StringVar(&by, "by", "", "who wants it")
	block.Flags().BoolVar(&lift, "lift", false, "lift it")
	require(block, "by")
	return block
}
