// Package stage is a whole Parley on a private exchange: the program as it is
// built, run as a process with a database, prompts and a plan of its own, and
// telephones around it. The demo and the tests of the real thing share it; they
// act as people do, by the program's commands and by telephone.
package stage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/lab"
	"parley/lab/phone"
)

// Options say how the stage is set. The zero value is for tests.
type Options struct {
	Plan       string        // the plan's text; the one in plan.yaml if empty
	RTPTimeout time.Duration // see [lab.Options]
	Progress   io.Writer     // is told what is installed; os.Stderr if nil
	Lab        lab.Options   // what else of the exchange is not as usual
	Binary     string        // the program; it is built if empty

	// Settings are more of the program's own, which the commands do not have; called
	// when all that the program needs is up.
	Settings func(*Stage) ([]string, error)
}

// Stage is a running Parley and what is around it.
type Stage struct {
	Lab     *lab.Lab
	Program *lab.Service // `parley serve`
	Carrier *phone.Carrier
	Env     []string // the program's settings

	URL      string // of its HTTP API
	OwnerDSN string // of the database's owner, whom the program is not

	bin    string
	dir    string // where commands run
	served int    // how often the program has said that it serves
}

// Open builds the program and sets everything up, with the plan active and the
// program serving.
func Open(ctx context.Context, o Options) (_ *Stage, err error) {
	s := &Stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	o.Lab.RTPTimeout, o.Lab.ShownNumber, o.Lab.Progress = o.RTPTimeout, CallerID, o.Progress
	if s.Lab, err = lab.Start(ctx, o.Lab); err != nil {
		return nil, err
	}
	s.dir = s.Lab.Dir()
	if s.bin = o.Binary; s.bin == "" {
		s.bin = filepath.Join(s.Lab.Dir(), "parley")
		if err := Build(ctx, s.bin); err != nil {
			return nil, err
		}
	}
	if err := s.settings(ctx, o); err != nil {
		return nil, err
	}
	if _, err := s.Parley(ctx, "migrate"); err != nil {
		return nil, err
	}
	if o.Plan == "" {
		o.Plan = Plan
	}
	if err := s.Activate(ctx, o.Plan); err != nil {
		return nil, err
	}
	exchange := cmp.Or(s.Lab.Proxy, s.Lab.Asterisk.SIPAddr)
	if s.Carrier, err = phone.NewCarrier(ctx, s.Lab.Asterisk.CarrierAddr, exchange); err != nil {
		return nil, err
	}
	own := s.Env
	if o.Settings != nil {
		more, err := o.Settings(s)
		if err != nil {
			return nil, err
		}
		own = slices.Concat(own, more)
	}
	s.Program = s.Lab.Program("program", s.bin, []string{"serve"}, own, s.serving)
	return s, s.Program.Start(ctx)
}

// Build builds the program.
func Build(ctx context.Context, into string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", into, "parley/cmd/parley").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Attach is a stage whose exchange runs elsewhere, such as in containers: the program's
// commands are run in dir, with the settings of the environment, and the carrier is ours.
func Attach(bin, dir string, carrier *phone.Carrier) *Stage {
	return &Stage{bin: bin, dir: dir, Carrier: carrier}
}

// Close ends all of it.
func (s *Stage) Close() error {
	var errs []error
	if s.Carrier != nil {
		errs = append(errs, s.Carrier.Close())
	}
	return errors.Join(append(errs, s.Lab.Close())...) // which is nil-safe
}

func (s *Stage) settings(ctx context.Context, o Options) error {
	owner, err := s.Lab.NewDatabase(ctx)
	if err != nil {
		return err
	}
	s.OwnerDSN = owner
	key := make([]byte, 32)
	rand.Read(key)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	s.URL = "http://" + s.Lab.ProgramAddr()
	asterisk := s.Lab.Asterisk
	s.Env = []string{
		"PARLEY_POSTGRES_OWNER_DSN=" + owner,
		"PARLEY_POSTGRES_DSN=" + programDSN(owner),
		"PARLEY_REDIS_ADDR=" + s.Lab.Redis.Addr,
		"PARLEY_REDIS_USER=" + s.Lab.Redis.User,
		"PARLEY_REDIS_PASSWORD=" + s.Lab.Redis.Password,
		"PARLEY_KEY=" + hex.EncodeToString(key),
		"PARLEY_ASTERISK_URL=" + asterisk.URL,
		"PARLEY_ASTERISK_USER=" + asterisk.User,
		"PARLEY_ASTERISK_PASSWORD=" + asterisk.Password,
		"PARLEY_ASTERISK_MEDIA_ADDRESS=" + cmp.Or(o.Lab.Host, "127.0.0.1"),
		"PARLEY_PROMPTS_DIR=" + asterisk.PromptsDir,
		"PARLEY_PROMPTS_ASTERISK_DIR=" + asterisk.PromptsPath,
		"PARLEY_PROMPTS_CACHE=" + filepath.Join(cache, "parley", "prompts"),
		"PARLEY_HTTP_ADDR=" + s.Lab.ProgramAddr(),
		"PARLEY_METRICS_ADDR=127.0.0.1:0",
		"PARLEY_HTTP_TOP_UP_URL=https://site.example/add?client={client}&amount={missing}",
		"PARLEY_PAYMENT_PROVIDER=test",
		"PARLEY_PUSH_CONTACT=mailto:ops@example.com",
		"PARLEY_WEBHOOKS_ALLOW_PRIVATE=yes", // push services are the tests' own
		"PARLEY_SMS_PROVIDER=console",
		"PARLEY_SMS_CONSOLE_FILE=" + s.SMSFile(),
		"PARLEY_LOG_LEVEL=debug",
	}
	if o.RTPTimeout > 0 {
		s.Env = append(s.Env, "PARLEY_ASTERISK_RTP_TIMEOUT="+o.RTPTimeout.String())
	}
	return nil
}

// Activate saves a plan and makes it hold.
func (s *Stage) Activate(ctx context.Context, plan string) error {
	file := filepath.Join(s.dir, "plan.yaml")
	if err := os.WriteFile(file, []byte(plan), 0o644); err != nil {
		return err
	}
	var saved struct{ Version int64 }
	if err := s.ParleyJSON(ctx, &saved, "plan", "save", file); err != nil {
		return err
	}
	_, err := s.Parley(ctx, "plan", "activate", fmt.Sprint(saved.Version))
	return err
}

// Parley runs one of the program's commands, as an operator does, and returns what
// it says.
func (s *Stage) Parley(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("parley %s: %w\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out), nil
}

// ParleyJSON is [Stage.Parley] for programs.
func (s *Stage) ParleyJSON(ctx context.Context, answer any, args ...string) error {
	out, err := s.Parley(ctx, append(args, "--json")...)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(out), answer)
}

// Command is one of the program's commands that takes its time, not started yet; its
// standard output can be read while it runs.
func (s *Stage) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Env = append(os.Environ(), s.Env...)
	cmd.Dir = s.dir
	return cmd
}

// Copy is one more copy of the program, not started yet, with more settings of its own. It is
// up when it has said something for the first time.
func (s *Stage) Copy(name, says string, more ...string) *lab.Service {
	var made *lab.Service
	own := slices.Concat(s.Env, []string{"PARLEY_HTTP_ADDR=127.0.0.1:0"}, more)
	made = s.Lab.Program(name, s.bin, []string{"serve"}, own, func(context.Context) error {
		text, _ := os.ReadFile(made.LogFile())
		if !bytes.Contains(text, []byte(`"msg":"`+says+`"`)) {
			return fmt.Errorf("it has not said %q", says)
		}
		return nil
	})
	return made
}

// SMSFile is where the messages are that telephones would get.
func (s *Stage) SMSFile() string { return filepath.Join(s.Lab.Dir(), "sms.txt") }

// Another is one more copy of the program, with settings of its own that go before the
// others, not started yet; ready asks once whether it does what it is started for.
func (s *Stage) Another(name string, settings []string, ready func(context.Context) error) *lab.Service {
	return s.Lab.Program(name, s.bin, []string{"serve"}, slices.Concat(s.Env, settings), ready)
}

// Log is what the program has logged.
func (s *Stage) Log() string {
	text, _ := os.ReadFile(s.Program.LogFile())
	return string(text)
}

// serving asks once whether the program that was started last answers calls: it
// says so once.
func (s *Stage) serving(context.Context) error {
	said := strings.Count(s.Log(), `"msg":"serving"`)
	if said <= s.served {
		return errors.New("it has not said that it serves")
	}
	s.served = said
	return nil
}
