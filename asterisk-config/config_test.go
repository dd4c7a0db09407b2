package asteriskconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func complete() Values {
	v := Production()
	v.ARIPassword = "a-long-random-token"
	v.MediaAddress = "192.0.2.10"
	v.CarrierAddresses = "198.51.100.1,198.51.100.2"
	v.CarrierURI = "sip:carrier.example"
	return v
}

// written returns one file as Write leaves it.
func written(t *testing.T, v Values, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := Write(dir, v); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o640 {
		t.Errorf("%s has mode %o", name, info.Mode().Perm())
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "{{") || strings.Contains(string(text), "<no value>") {
		t.Errorf("%s is not filled in:\n%s", name, text)
	}
	return string(text)
}

func TestOptionalPartsAppearOnlyWhenAskedFor(t *testing.T) {
	optional := []string{"external_media_address", "local_net", "outbound_auth", "type = auth", "from_domain", "type = registration"}
	plain := written(t, complete(), "pjsip.conf")
	for _, part := range optional {
		if strings.Contains(plain, part) {
			t.Errorf("%s was not asked for", part)
		}
	}

	v := complete()
	v.ExternalAddress, v.LocalNets = "203.0.113.5", []string{"10.0.0.0/8"}
	v.CarrierUser, v.CarrierPassword, v.CarrierDomain = "account", "secret", "carrier.example"
	v.CarrierRegister = "sip:account@carrier.example"
	full := written(t, v, "pjsip.conf")
	for _, part := range optional {
		if !strings.Contains(full, part) {
			t.Errorf("%s is missing", part)
		}
	}
}

func TestOnlyTheCarriersAddressesMakeTheTrunk(t *testing.T) {
	text := written(t, complete(), "pjsip.conf")
	for _, line := range []string{"identify_by = ip\n", "match = 198.51.100.1,198.51.100.2\n", "from_user = anonymous\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("no line %q", line)
		}
	}
}

func TestBadValuesAreAllReported(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*Values)
		wrong []string
	}{
		"nothing set":       {func(v *Values) { *v = Values{} }, []string{"ARIPassword", "SIPAddr", "MediaAddress", "CarrierAddresses", "CarrierURI", "RTPTimeout"}},
		"a line of its own": {func(v *Values) { v.CarrierURI = "sip:x\nallow_transfer = yes" }, []string{"line break"}},
		"a comment":         {func(v *Values) { v.ARIPassword = "abc;def" }, []string{"semicolon"}},
		"no password":       {func(v *Values) { v.CarrierRegister = "sip:a@b" }, []string{"CarrierUser"}},
		"a refused port":    {func(v *Values) { v.RTPStart, v.RTPEnd = 10000, 20000 }, []string{"10080"}},
		"no RTP ports":      {func(v *Values) { v.RTPStart, v.RTPEnd = 20000, 10000 }, []string{"RTPEnd"}},
	} {
		v := complete()
		test.spoil(&v)
		dir := t.TempDir()
		err := Write(dir, v)
		for _, wrong := range test.wrong {
			if err == nil || !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: %v says nothing of %s", name, err, wrong)
			}
		}
		if files, _ := os.ReadDir(dir); len(files) > 0 {
			t.Errorf("%s: files were written", name)
		}
	}
}
