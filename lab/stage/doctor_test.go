package stage

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

type finding struct{ Check, State, Says, Mend string }

// doctor is what `parley doctor` finds with other settings than the stage's.
func (s *scene) doctor(settings ...string) (found map[string][]finding, fails bool) {
	s.Helper()
	cmd := exec.CommandContext(s.ctx, s.stage.bin, "doctor", "--json")
	cmd.Env = append(append(os.Environ(), s.stage.Env...), settings...)
	var out bytes.Buffer
	cmd.Stdout = &out
	err := cmd.Run()
	var list []finding
	s.must(json.Unmarshal(out.Bytes(), &list))
	found = map[string][]finding{}
	for _, f := range list {
		found[f.Check] = append(found[f.Check], f)
	}
	return found, err != nil
}

// The doctor finds a stage well, and each thing that is broken on purpose.
func TestDoctorFindsWhatIsBroken(t *testing.T) {
	s := newScene(t, 0)
	found, fails := s.doctor()
	for _, check := range []string{"settings", "postgres", "rights", "redis", "plan", "asterisk", "modules", "codecs", "trunk", "program", "prompts", "http.addr"} {
		for _, f := range found[check] {
			if f.State != "ok" {
				t.Errorf("nothing is broken, and yet: %+v", f)
			}
		}
		if len(found[check]) == 0 {
			t.Errorf("%s is not looked at", check)
		}
	}
	if fails {
		t.Errorf("it fails: %+v", found)
	}
	for broken, want := range map[string]finding{
		"PARLEY_ASTERISK_PASSWORD=wrong":                {Check: "asterisk", State: "fault"},
		"PARLEY_ASTERISK_TRUNK=nowhere":                 {Check: "trunk", State: "fault"},
		"PARLEY_ASTERISK_APP=another":                   {Check: "program", State: "warning"},
		"PARLEY_REDIS_ADDR=127.0.0.1:1":                 {Check: "redis", State: "warning"},
		"PARLEY_POSTGRES_DSN=" + s.stage.OwnerDSN:       {Check: "rights", State: "fault"},
		"PARLEY_POSTGRES_DSN=" + s.stage.OwnerDSN + "x": {Check: "postgres", State: "fault"},
		"PARLEY_KEY=" + key:                             {Check: "postgres", State: "fault"},
		"PARLEY_HTTP_ADDR=192.0.2.1:80":                 {Check: "http.addr", State: "fault"},
		"PARLEY_PROMPTS_DIR=/nowhere":                   {Check: "prompts", State: "warning"},
	} {
		found, fails := s.doctor(broken)
		f := found[want.Check]
		if len(f) == 0 || f[0].State != want.State || f[0].Mend == "" || fails != (want.State == "fault") {
			t.Errorf("%.30s: %+v, fails %v", broken, f, fails)
		}
	}
}

// key is not the stage's.
const key = "abababababababababababababababababababababababababababababababab"
