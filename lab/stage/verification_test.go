package stage

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/lab/phone"
)

// verifyByPhone verifies a line by keying the code at once.
func (s *scene) verifyByPhone(a *Advisor) {
	s.Helper()
	verify, err := s.stage.StartVerification(s.ctx, a.Line)
	s.must(err)
	ringing, err := a.Phone.Accept(s.ctx)
	s.must(err)
	call, err := ringing.Answer(s.ctx)
	s.must(err)
	s.must(call.Keys(s.ctx, verify.Code+"#"))
	_, err = verify.Wait()
	s.must(err)
	s.must(call.Hangup(s.ctx))
}

// newLine is a scene with an advisor whose line is not verified.
func newLine(t *testing.T) *scene {
	s := newScene(t, 0)
	var err error
	s.advisor, err = s.stage.NewPhoneAdvisor(s.ctx, "Berta", newNumber())
	s.must(err)
	return s
}

func (s *scene) verified() bool {
	s.Helper()
	said, err := s.stage.Parley(s.ctx, "line", "list", s.advisor.ID)
	s.must(err)
	return !strings.Contains(said, "not verified")
}

func TestVerificationWithTheRightCode(t *testing.T) {
	s := newLine(t)
	verify, err := s.stage.StartVerification(s.ctx, s.advisor.Line)
	s.must(err)
	call := s.rings()
	s.hears(call, "verification-intro", "enter-code")
	s.must(call.Keys(s.ctx, wrong(verify.Code)+"#"))
	s.hears(call, "wrong-code", "enter-code")
	s.must(call.Keys(s.ctx, verify.Code+"#"))
	s.hears(call, "verified")
	if _, err := verify.Wait(); err != nil || !s.verified() {
		s.Errorf("not verified: %v", err)
	}
	s.ends(call)
	s.nowhere(verify.Code, wrong(verify.Code))
}

func TestVerificationByINFO(t *testing.T) {
	s := newLine(t)
	verify, err := s.stage.StartVerification(s.ctx, s.advisor.Line)
	s.must(err)
	call := s.rings()
	s.must(call.Keys(s.ctx, verify.Code+"#", phone.ViaINFO()))
	if _, err := verify.Wait(); err != nil || !s.verified() {
		s.Errorf("not verified: %v", err)
	}
}

func TestVerificationWithTheWrongCode(t *testing.T) {
	s := newLine(t)
	verify, err := s.stage.StartVerification(s.ctx, s.advisor.Line)
	s.must(err)
	call := s.rings()
	for range 3 {
		s.hears(call, "enter-code")
		s.must(call.Keys(s.ctx, wrong(verify.Code)+"#"))
	}
	s.hears(call, "not-verified")
	s.ends(call)
	if _, err := verify.Wait(); err == nil || s.verified() {
		s.Error("a wrong code verifies")
	}
}

func TestAVoicemailDoesNotVerify(t *testing.T) {
	s := newLine(t)
	s.advisor.Phone.OnCall(phone.Voicemail(500 * time.Millisecond))
	verify, err := s.stage.StartVerification(s.ctx, s.advisor.Line)
	s.must(err)
	if _, err := verify.Wait(); err == nil || s.verified() {
		s.Error("a voicemail verifies")
	}
}

// wrong is another code.
func wrong(code string) string {
	return code[:5] + string('0'+(code[5]-'0'+1)%10)
}

// nowhere checks that digits that were keyed stand in no log, no table, no notice
// and no file of Asterisk's.
func (s *scene) nowhere(digits ...string) {
	s.Helper()
	places := map[string]string{"the program's log": s.stage.Log()}
	dump, err := exec.CommandContext(s.ctx, "pg_dump", "--data-only", "--inserts", s.stage.OwnerDSN).Output()
	s.must(err)
	places["the database"] = string(dump)
	for _, dir := range []string{s.stage.Lab.Asterisk.LogDir, filepath.Dir(s.stage.Program.LogFile())} {
		s.must(filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || !strings.HasSuffix(name, ".log") {
				return err
			}
			text, err := os.ReadFile(name)
			places[name] = string(text)
			return err
		}))
	}
	if len(places) < 4 || len(dump) < 1000 {
		s.Fatalf("looked in too few places: %d, and %d bytes of database", len(places), len(dump))
	}
	for name, text := range places {
		for _, d := range digits {
			// Standing alone: not within a longer number or a hash, nor the
			// fraction of a second.
			if regexp.MustCompile(`(^|[^0-9A-Za-z.])` + d + `($|[^0-9A-Za-z])`).MatchString(text) {
				s.Errorf("%s has digits that were keyed", name)
			}
		}
	}
}

// The program is killed in a verification call: its phone is hung up, nothing is
// verified, whoever waits is told, and the next call verifies. A line that leads to
// another number is not verified any more.
func TestProgramKilledInAVerificationCall(t *testing.T) {
	stage, _, ctx := newStage(t)
	s := &scene{T: t, ctx: ctx, stage: stage}
	var err error
	s.advisor, err = stage.NewPhoneAdvisor(ctx, "Berta", newNumber())
	s.must(err)
	verify, err := stage.StartVerification(ctx, s.advisor.Line)
	s.must(err)
	call := s.rings()
	s.hears(call, "enter-code")
	s.must(stage.Program.Kill())
	s.must(stage.Program.Start(ctx))
	s.ends(call)
	if said, err := verify.Wait(); err == nil || s.verified() {
		s.Errorf("verified: %s", said)
	}
	s.verifyByPhone(s.advisor)
	if !s.verified() {
		s.Error("not verified by the next call")
	}
	s.says("not verified any more", "line", "change", s.advisor.Line, "--phone", newNumber())
	if s.verified() {
		s.Error("still verified at another number")
	}
}
