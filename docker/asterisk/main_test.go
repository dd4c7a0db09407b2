package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	asteriskconfig "parley/asterisk-config"
)

func TestTheEnvironmentChangesProductionsValues(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a-long-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"PARLEY_ASTERISK_PASSWORD_FILE": secret,
		"RTP_START":                     "20000",
		"CARRIER_URI":                   "sip:carrier.example",
	}
	got, err := values(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	want := asteriskconfig.Production()
	want.ARIPassword, want.RTPStart, want.CarrierURI = "a-long-token", 20000, "sip:carrier.example"
	if got.ARIPassword != want.ARIPassword || got.RTPStart != want.RTPStart || got.CarrierURI != want.CarrierURI ||
		got.RTPEnd != want.RTPEnd || got.App != want.App {
		t.Errorf("values are %+v", got)
	}
}

func TestAllFaultsOfTheEnvironmentAreNamed(t *testing.T) {
	env := map[string]string{"RTP_START": "many", "RTP_END": "more", "CARRIER_PASSWORD_FILE": "/no/such/file"}
	_, err := values(func(name string) string { return env[name] })
	for _, name := range []string{"RTP_START", "RTP_END", "/no/such/file"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}
