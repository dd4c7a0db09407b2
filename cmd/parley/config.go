package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"
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
	{key: "redis.password", what: "of Redis", secret: true},
	{key: "key", what: "64 hex digits that seal numbers and codes in the database; keep them as long as it: `openssl rand -hex 32`", secret: true},
	{key: "asterisk.url", def: "http://127.0.0.1:8088/ari", what: "Asterisk's ARI"},
	{key: "asterisk.user", def: "parley", what: "of ARI"},
	{key: "asterisk.password", what: "of ARI", secret: true},
	{key: "asterisk.app", def: "parley", what: "the Stasis application of Asterisk's dialplan"},
	{key: "asterisk.trunk", def: "trunk", what: "the PJSIP endpoint of the carrier"},
	{key: "asterisk.rtp_timeout", def: "30s", what: "rtp_timeout in pjsip.conf: a leg that Asterisk ends for silence was gone that long"},
	{key: "asterisk.media_address", what: "media_address of SIP phones' endpoints; empty leaves it to Asterisk"},
	{key: "prompts.dir", def: "/var/lib/parley/prompts", what: "where prompts are kept"},
	{key: "prompts.asterisk_dir", what: "the same directory as Asterisk sees it, where that differs"},
	{key: "prompts.cache", what: "where rendered prompts are kept for other directories; empty keeps none"},
	{key: "http.addr", def: "127.0.0.1:8080", what: "host:port of the HTTP API, behind a proxy that speaks TLS; " + httpOff + " serves none"},
	{key: "http.top_up_url", what: "where clients add money: a URL with {client}, {missing} and {currency} in it"},
	{key: "log.level", def: "info", what: "debug, info, warn or error"},
}

// config is the settings, read and checked.
type config struct {
	postgresDSN, ownerDSN              string
	redisAddr, redisPassword           string
	key                                []byte
	asteriskURL, asteriskUser          string
	asteriskPassword, app, trunk       string
	rtpTimeout                         time.Duration
	mediaAddress                       string
	promptsDir, promptsPath, promptsIn string
	httpAddr, topUpURL                 string
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
	c := config{
		postgresDSN: get("postgres.dsn"), ownerDSN: get("postgres.owner_dsn"),
		redisAddr: get("redis.addr"), redisPassword: get("redis.password"),
		asteriskURL: get("asterisk.url"), asteriskUser: get("asterisk.user"), asteriskPassword: get("asterisk.password"),
		app: get("asterisk.app"), trunk: get("asterisk.trunk"), mediaAddress: get("asterisk.media_address"),
		promptsDir: get("prompts.dir"), promptsPath: get("prompts.asterisk_dir"), promptsIn: get("prompts.cache"),
		httpAddr: get("http.addr"), topUpURL: get("http.top_up_url"),
	}
	if c.promptsPath == "" {
		c.promptsPath = c.promptsDir
	}
	var err error
	if c.key, err = hex.DecodeString(get("key")); err != nil || len(c.key) != 32 {
		bad("key must be 64 hex digits: make them once with `openssl rand -hex 32`, and set PARLEY_KEY or key_file")
	}
	if c.rtpTimeout, err = time.ParseDuration(get("asterisk.rtp_timeout")); err != nil || c.rtpTimeout <= 0 {
		bad("asterisk.rtp_timeout must be a time such as 30s")
	}
	if err := c.logLevel.UnmarshalText([]byte(get("log.level"))); err != nil {
		bad("log.level must be debug, info, warn or error")
	}
	if c.postgresDSN == "" {
		bad("postgres.dsn is not set: set PARLEY_POSTGRES_DSN or postgres.dsn_file")
	}
	return c, errors.Join(faults...)
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
