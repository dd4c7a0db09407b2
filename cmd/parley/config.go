package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"parley/store"
)

// setting is one thing that an operator can set.
type setting struct {
	key, def, what string
	secret         bool // may also come from the file that KEY_file names
}

var settings = []setting{
	{key: "postgres.dsn", what: "the database, as the program's own login", secret: true},
	{key: "postgres.owner_dsn", what: "the database, as its owner; only `parley migrate` needs it", secret: true},
	{key: "redis.addr", def: "127.0.0.1:6379", what: "host:port; may be flushed or away at any time"},
	{key: "redis.sentinels", what: "host:port of Redis's sentinels, comma separated, instead of redis.addr"},
	{key: "redis.master", def: "parley", what: "by which name the sentinels know Redis"},
	{key: "redis.user", what: "of Redis's access list; empty is its default user"},
	{key: "redis.password", what: "of Redis", secret: true},
	{key: "key", what: "64 hex digits that seal numbers and codes in the database; keep them as long as it: `openssl rand -hex 32`", secret: true},
	{key: "node", def: store.DefaultNode, what: "the name of this Asterisk among several on one database; the same for all copies beside it"},
	{key: "node.sip", what: "host:port where other nodes reach this Asterisk; empty where there are none"},
	{key: "asterisk.url", def: "http://127.0.0.1:8088/ari", what: "Asterisk's ARI: http, on this machine or a private network"},
	{key: "asterisk.user", def: "parley", what: "of ARI"},
	{key: "asterisk.password", what: "of ARI", secret: true},
	{key: "asterisk.app", def: "parley", what: "the Stasis application of Asterisk's dialplan"},
	{key: "asterisk.trunk", def: "trunk", what: "the PJSIP endpoint of the carrier; calls go out by ten more, named after it with -0 to -9"},
	{key: "asterisk.rtp_timeout", def: "30s", what: "rtp_timeout in pjsip.conf: a leg that Asterisk ends for silence was gone that long"},
	{key: "asterisk.media_address", what: "media_address of SIP phones' endpoints; empty leaves it to Asterisk"},
	{key: "prompts.dir", def: "/var/lib/parley/prompts", what: "where prompts are kept"},
	{key: "prompts.asterisk_dir", what: "the same directory as Asterisk sees it, where that differs"},
	{key: "prompts.cache", what: "where rendered prompts are kept for other directories; empty keeps none"},
	{key: "prompts.spoken", def: "yes", what: "no says nothing, and takes an advisor's answer for consent: to measure calls alone"},
	{key: "http.addr", def: "127.0.0.1:8080", what: "host:port of the HTTP API, behind a proxy that speaks TLS; " + httpOff + " serves none"},
	{key: "http.top_up_url", what: "where clients add money: a URL with {client}, {missing} and {currency} in it"},
	{key: "http.origins", what: "https://host of pages, comma separated, where a proxy gives the program another Host than browsers see"},
	{key: "payment.provider", def: paymentsOff, what: "who takes money from clients' saved means of payment: " + paymentsOff + ", " + paymentsStripe + ", or " + paymentsTest + ", where nobody pays"},
	{key: "payment.stripe_key", what: "the secret key of Stripe's API", secret: true},
	{key: "payment.stripe_webhook_secret", what: "of the webhook that Stripe sends to /v1/payments/webhooks/stripe; without it none is believed", secret: true},
	{key: "payment.stripe_url", def: "https://api.stripe.com", what: "Stripe's API"},
	{key: "http.sign_in_url", what: "where your site signs its people in: the clients' page leads there"},
	{key: "sms.provider", def: smsOff, what: "who sends clients their codes to sign in: " + smsOff + ", " + smsTwilio + ", or " + smsConsole + ", which writes them into a file, for trying things out"},
	{key: "sms.console_file", what: "where " + smsConsole + " writes"},
	{key: "sms.twilio_account", what: "the account's SID"},
	{key: "sms.twilio_token", what: "of the account", secret: true},
	{key: "sms.twilio_url", def: "https://api.twilio.com", what: "Twilio's API"},
	{key: "sms.from", what: "the number, or name, that messages come from"},
	{key: "push.contact", what: "mailto: or https: address of yours, for the push services of advisors' browsers; empty pushes nothing"},
	{key: "http.trusted_proxies", def: "127.0.0.1/32 ::1/128", what: "networks of the proxies before the HTTP API, whose X-Forwarded-For is believed"},
	{key: "metrics.addr", def: "127.0.0.1:9464", what: "host:port of /metrics for Prometheus, without a token: keep it inside; " + httpOff + " serves none"},
	{key: "traces.endpoint", what: "an OpenTelemetry collector, told of each call by OTLP/HTTP: http://127.0.0.1:4318/v1/traces; empty tells none"},
	{key: "webhooks.allow_private", def: "no", what: "yes lets webhooks lead to any address, also without TLS: for tests alone"},
	{key: "log.level", def: "info", what: "debug, info, warn or error"},
}

// config is the settings, read and checked.
type config struct {
	postgresDSN, ownerDSN              string
	redisAddr, redisUser               string
	redisPassword                      string
	sentinels                          []string
	redisMaster                        string
	node, nodeSIP                      string
	key                                []byte
	asteriskURL, asteriskUser          string
	asteriskPassword, app, trunk       string
	rtpTimeout                         time.Duration
	mediaAddress                       string
	promptsDir, promptsPath, promptsIn string
	httpAddr, metricsAddr, topUpURL    string
	tracesEndpoint                     string
	origins                            []string
	paymentProvider                    string
	stripeURL, stripeKey               string
	stripeWebhookSecret                string
	signInURL, pushContact             string
	smsProvider, smsFile, smsFrom      string
	twilioURL                          string
	twilioAccount, twilioToken         string
	trustedProxies                     []netip.Prefix
	allowPrivate, unspoken             bool
	logLevel                           slog.Level
}

// config reads the settings. It names all that is wrong with them at once, and
// never a value: it may be a secret.
func (a *app) config() (config, error) {
	v := viper.New()
	v.SetEnvPrefix("PARLEY")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	v.AutomaticEnv()
	if err := a.readConfigFile(v); err != nil {
		return config{}, err
	}
	var faults []error
	bad := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	get := func(key string) string {
		s := find(key)
		value := v.GetString(key)
		if file := v.GetString(key + "_file"); s.secret && file != "" {
			text, err := os.ReadFile(file)
			if err != nil {
				bad("%s_file: %v", key, err)
			}
			value = strings.TrimSpace(string(text))
		}
		if value == "" {
			value = s.def
		}
		return value
	}
	list := func(key string) []string {
		return strings.FieldsFunc(get(key), func(r rune) bool { return r == ',' || r == ' ' })
	}
	c := config{
		node: get("node"), nodeSIP: get("node.sip"), sentinels: list("redis.sentinels"), redisMaster: get("redis.master"),
		postgresDSN: get("postgres.dsn"), ownerDSN: get("postgres.owner_dsn"),
		redisAddr: get("redis.addr"), redisUser: get("redis.user"), redisPassword: get("redis.password"),
		asteriskURL: get("asterisk.url"), asteriskUser: get("asterisk.user"), asteriskPassword: get("asterisk.password"),
		app: get("asterisk.app"), trunk: get("asterisk.trunk"), mediaAddress: get("asterisk.media_address"),
		promptsDir: get("prompts.dir"), promptsPath: get("prompts.asterisk_dir"), promptsIn: get("prompts.cache"),
		httpAddr: get("http.addr"), metricsAddr: get("metrics.addr"), tracesEndpoint: get("traces.endpoint"), topUpURL: get("http.top_up_url"),
		paymentProvider: get("payment.provider"), stripeURL: get("payment.stripe_url"),
		stripeKey: get("payment.stripe_key"), stripeWebhookSecret: get("payment.stripe_webhook_secret"),
		pushContact: get("push.contact"), signInURL: get("http.sign_in_url"), smsProvider: get("sms.provider"), smsFile: get("sms.console_file"), smsFrom: get("sms.from"),
		twilioURL: get("sms.twilio_url"), twilioAccount: get("sms.twilio_account"), twilioToken: get("sms.twilio_token"),
		origins: list("http.origins"),
	}
	if c.promptsPath == "" {
		c.promptsPath = c.promptsDir
	}
	var err error
	if c.key, err = hex.DecodeString(get("key")); err != nil || len(c.key) != 32 {
		bad("key must be 64 hex digits: make them once with `openssl rand -hex 32`, and set PARLEY_KEY or key_file")
	}
	if !regexp.MustCompile(`^[a-z0-9-]{1,32}$`).MatchString(c.node) {
		bad("node must be a short name of a-z, 0-9 and -")
	}
	if _, err := netip.ParseAddrPort(c.nodeSIP); c.nodeSIP != "" && err != nil {
		bad("node.sip must be the address:port of this Asterisk, such as 10.0.0.11:5060")
	}
	if c.rtpTimeout, err = time.ParseDuration(get("asterisk.rtp_timeout")); err != nil || c.rtpTimeout <= 0 {
		bad("asterisk.rtp_timeout must be a time such as 30s")
	}
	if err := c.logLevel.UnmarshalText([]byte(get("log.level"))); err != nil {
		bad("log.level must be debug, info, warn or error")
	}
	switch c.paymentProvider {
	case paymentsOff, paymentsTest:
	case paymentsStripe:
		if c.stripeKey == "" {
			bad("payment.stripe_key is not set: set PARLEY_PAYMENT_STRIPE_KEY or payment.stripe_key_file, or payment.provider to %s", paymentsOff)
		}
	default:
		bad("payment.provider must be %s, %s or %s", paymentsOff, paymentsStripe, paymentsTest)
	}
	switch {
	case c.smsProvider == smsOff:
	case c.smsProvider == smsConsole && c.smsFile == "":
		bad("sms.console_file is not set: say where sms.provider %s writes", smsConsole)
	case c.smsProvider == smsConsole:
	case c.smsProvider == smsTwilio && (c.twilioAccount == "" || c.twilioToken == "" || c.smsFrom == ""):
		bad("sms.twilio_account, sms.twilio_token and sms.from must be set, or sms.provider to %s", smsOff)
	case c.smsProvider == smsTwilio:
	default:
		bad("sms.provider must be %s, %s or %s", smsOff, smsTwilio, smsConsole)
	}
	if c.pushContact != "" && !strings.HasPrefix(c.pushContact, "mailto:") && !strings.HasPrefix(c.pushContact, "https:") {
		bad("push.contact must begin with mailto: or https:")
	}
	for _, text := range list("http.trusted_proxies") {
		proxy, err := netip.ParsePrefix(text)
		if err != nil {
			bad("http.trusted_proxies must be networks such as 10.0.0.0/8 or 192.0.2.1/32")
		}
		c.trustedProxies = append(c.trustedProxies, proxy)
	}
	switch get("webhooks.allow_private") {
	case "yes":
		c.allowPrivate = true
	case "no":
	default:
		bad("webhooks.allow_private must be yes or no")
	}
	switch get("prompts.spoken") {
	case "yes":
	case "no":
		c.unspoken = true
	default:
		bad("prompts.spoken must be yes or no")
	}
	if c.postgresDSN == "" {
		bad("postgres.dsn is not set: set PARLEY_POSTGRES_DSN or postgres.dsn_file")
	}
	return c, errors.Join(faults...)
}

// phonesURL is Asterisk's websocket for SIP, on the server that ARI is on.
func (c config) phonesURL() string {
	return "ws" + strings.TrimPrefix(strings.TrimSuffix(c.asteriskURL, "/ari"), "http") + "/ws"
}

func (a *app) readConfigFile(v *viper.Viper) error {
	if a.configFile != "" {
		v.SetConfigFile(a.configFile)
	} else {
		v.SetConfigName("parley")
		v.AddConfigPath(".")
		v.AddConfigPath("/etc/parley")
	}
	err := v.ReadInConfig()
	if errors.As(err, new(viper.ConfigFileNotFoundError)) && a.configFile == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	for _, key := range v.AllKeys() {
		if known := find(key).key != "" || find(strings.TrimSuffix(key, "_file")).secret; !known {
			return fmt.Errorf("settings: %s in %s is not a setting; `parley settings` lists them", key, v.ConfigFileUsed())
		}
	}
	return nil
}

func find(key string) setting {
	for _, s := range settings {
		if s.key == key {
			return s
		}
	}
	return setting{}
}

func (a *app) settingsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "settings", Short: "List all settings", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var text strings.Builder
			var rows []map[string]string
			for _, s := range settings {
				env := "PARLEY_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
				what := s.what
				if s.secret {
					what += " (or " + s.key + "_file)"
				}
				if s.def != "" {
					what += "; " + s.def + " unless set"
				}
				fmt.Fprintf(&text, "%-24s %-30s %s\n", s.key, env, what)
				rows = append(rows, map[string]string{"key": s.key, "env": env, "what": what})
			}
			return a.print(cmd.OutOrStdout(), say(rows, "%s", strings.TrimSpace(text.String())))
		},
	}
}
