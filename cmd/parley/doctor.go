package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"parley/ivr/ari"
	"parley/store"
)

// finding is what the doctor has to say of one thing.
type finding struct {
	Check string `json:"check"`
	State state  `json:"state"`
	Says  string `json:"says"`
	Mend  string `json:"mend,omitempty"` // what to do; "" where nothing is wrong
}

type state string

const (
	fine    state = "ok"
	warning state = "warning" // calls go on; see to it
	fault   state = "fault"   // something does not work
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look for what is wrong, and say how to mend it", Args: cobra.NoArgs,
		Long: `Look for what is wrong, and say how to mend it.

Checks the settings, Postgres, Redis, Asterisk, the trunk, prompts, clocks, names, ports,
certificates and disks, as this machine sees them, with the settings of "parley serve". It
changes nothing and may be run at any time. It fails if there is a fault; warnings alone
do not make it fail.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			found := a.examine(ctx)
			var text strings.Builder
			said := answer{data: found}
			for _, f := range found {
				fmt.Fprintf(&text, "%-8s %-13s %s\n", f.State, f.Check, f.Says)
				if f.Mend != "" {
					fmt.Fprintf(&text, "%22s %s\n", "->", f.Mend)
				}
				said.bad = said.bad || f.State == fault
			}
			said.text = strings.TrimRight(text.String(), "\n")
			return a.print(cmd.OutOrStdout(), said)
		},
	}
}

// examine goes on after a fault where it can.
func (a *app) examine(ctx context.Context) []finding {
	c, err := a.config()
	if err != nil {
		return []finding{{"settings", fault, oneLine(err), "`parley settings` lists them all; the others are looked at once these are right"}}
	}
	found := []finding{{"settings", fine, "can be read", ""}}
	found = append(found, examineStore(ctx, c)...)
	found = append(found, examineAsterisk(ctx, c)...)
	found = append(found, examinePrompts(c), examineOwnName(ctx))
	found = append(found, examinePorts(c)...)
	found = append(found, examineOrigins(ctx, c)...)
	return append(found, examineDisks(c)...)
}

func examineStore(ctx context.Context, c config) []finding {
	s, err := openStore(ctx, c)
	if err != nil {
		return []finding{{"postgres", fault, oneLine(err), "is it running, is postgres.dsn right, was `parley migrate` run with this version?"}}
	}
	defer s.Disconnect()
	found := []finding{}
	e, err := s.Examine(ctx)
	switch {
	case err != nil:
		found = append(found, finding{"postgres", fault, oneLine(err), "look at Postgres' own log"})
	default:
		found = append(found, finding{"postgres", fine, fmt.Sprintf("%s answers in %v, at this program's version", e.Version, e.Took.Round(time.Millisecond)), ""},
			rightsOf(e), clock("its clock", "postgres", e.Ahead, e.Took), auditOf(e))
	}
	if err := s.PingRedis(ctx); err != nil {
		found = append(found, finding{"redis", warning, oneLine(err), "start it, or correct redis.addr and redis.password; all goes on without it, a little slower"})
	} else {
		found = append(found, finding{"redis", fine, "answers", ""})
	}
	if version, err := s.ActivePlan(ctx); err != nil {
		found = append(found, finding{"plan", fault, oneLine(err), "`parley plan activate VERSION`: without a plan there are no calls"})
	} else if _, err := (&planner{store: s}).version(ctx, version); err != nil {
		found = append(found, finding{"plan", fault, oneLine(err), "`parley plan rollback`, or a newer program"})
	} else {
		found = append(found, finding{"plan", fine, fmt.Sprintf("version %d is active", version), ""})
	}
	return found
}

func rightsOf(e store.Examination) finding {
	const again = "`parley migrate` as the owner, and let the program sign in as the login that it makes"
	switch {
	case e.Superuser:
		return finding{"rights", fault, "the program's login is a superuser: nothing guards the records from it", again}
	case len(e.TooMuch) > 0:
		return finding{"rights", fault, "the program's login may change records: " + strings.Join(e.TooMuch, ", "), again}
	case len(e.TooLittle) > 0:
		return finding{"rights", warning, "the program's login may not read " + strings.Join(e.TooLittle, ", "), again}
	}
	return finding{"rights", fine, "the program's login may what it must, and cannot change records", ""}
}

func auditOf(e store.Examination) finding {
	switch {
	case e.Faults > 0:
		return finding{"audit", fault, fmt.Sprintf("the last audit found %d faults", e.Faults), "`parley ledger audit` names each row"}
	case e.Audited.IsZero():
		return finding{"audit", fine, "none yet: the first is made in the first night", ""}
	case time.Since(e.Audited) > 36*time.Hour:
		return finding{"audit", warning, "the last was " + e.Audited.Format(time.DateTime), "let a copy run at night, or run `parley ledger audit`"}
	}
	return finding{"audit", fine, "no faults, " + e.Audited.Format(time.DateTime), ""}
}

// clocksMost is how far two clocks may be apart: numbers and appointments go by the
// database's, talks by none.
const clocksMost = 2 * time.Second

func clock(what, check string, ahead, took time.Duration) finding {
	if off := ahead.Abs() - took/2; off > clocksMost {
		return finding{check, warning, fmt.Sprintf("%s is %v off this machine's", what, ahead.Round(time.Millisecond)), "keep both by NTP (chrony, systemd-timesyncd)"}
	}
	return finding{check, fine, what + " agrees with this machine's", ""}
}

func examineAsterisk(ctx context.Context, c config) []finding {
	e, err := ari.Examine(ctx, ari.Config{URL: c.asteriskURL, User: c.asteriskUser, Password: c.asteriskPassword, App: c.app, Trunk: c.trunk})
	var refused *ari.Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		return []finding{{"asterisk", fault, oneLine(err), "asterisk.user and asterisk.password must be those of ari.conf"}}
	}
	if err != nil {
		return []finding{{"asterisk", fault, oneLine(err), "is it running, is asterisk.url that of http.conf? `asterisk -rx 'http show status'`"}}
	}
	found := []finding{{"asterisk", fine, fmt.Sprintf("%s answers in %v", e.Version, e.Took.Round(time.Millisecond)), ""}}
	if !e.Recent {
		found[0] = finding{"asterisk", fault, e.Version + " has known faults", "install 22.10.1 or later"}
	}
	found = append(found, clock("its clock", "asterisk", e.Ahead, e.Took))
	modules := finding{"modules", fine, "all that are needed run", ""}
	if len(e.Missing) > 0 {
		modules = finding{"modules", fault, "these do not run: " + strings.Join(e.Missing, " "), "load them: modules.conf of asterisk-config names them, `asterisk -rx 'module load NAME'` says why one does not"}
	}
	codecs := finding{"codecs", fine, "for telephones, SIP phones and browsers", ""}
	if len(e.MissingAudio) > 0 {
		codecs = finding{"codecs", fault, "these do not run: " + strings.Join(e.MissingAudio, " "), "some phones hear nothing: install and load them"}
	}
	app := finding{"program", fine, "a copy of the program is connected to Asterisk", ""}
	if !e.Connected {
		app = finding{"program", warning, "no copy of the program is connected: callers hear an apology", "`parley serve`"}
	}
	return append(found, modules, codecs, app, trunkOf(c.trunk, e))
}

func trunkOf(name string, e ari.Examination) finding {
	switch {
	case len(e.NoEndpoint) > 0:
		return finding{"trunk", fault, "Asterisk has no PJSIP endpoint " + strings.Join(e.NoEndpoint, ", "),
			"asterisk.trunk must be the one of pjsip.conf, and ten are named after it: take asterisk-config's pjsip.conf"}
	case e.Trunk == "online":
		return finding{"trunk", fine, name + " answers", ""}
	case e.Trunk == "offline":
		return finding{"trunk", fault, name + " does not answer OPTIONS", "is the carrier up, are CARRIER_URI, user and password right? `asterisk -rx 'pjsip show registrations'`"}
	}
	return finding{"trunk", warning, "whether " + name + " answers is not known: it is not asked", "set qualify_frequency in pjsip.conf; `asterisk -rx 'pjsip show registrations'` shows a registration"}
}

// examineOwnName looks the machine's name up: Asterisk does so for calls, and each
// look-up that goes unanswered stalls one.
func examineOwnName(ctx context.Context) finding {
	name, err := os.Hostname()
	if err != nil {
		return finding{"own name", fault, oneLine(err), "set it: hostnamectl set-hostname"}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	asked := time.Now()
	_, err = net.DefaultResolver.LookupHost(ctx, name)
	if took := time.Since(asked); err != nil || took > 500*time.Millisecond {
		return finding{"own name", warning, fmt.Sprintf("%s is not found at once (%v)", name, took.Round(time.Millisecond)),
			"put it into /etc/hosts: Asterisk looks it up for calls, and each stalls for that long"}
	}
	return finding{"own name", fine, name + " is found", ""}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
