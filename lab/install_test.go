package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInstallHasNothingToDoTwice(t *testing.T) {
	var told strings.Builder
	if err := Install(t.Context(), &told); err != nil {
		t.Fatal(err)
	}
	told.Reset()
	began := time.Now()
	if err := Install(t.Context(), &told); err != nil {
		t.Fatal(err)
	}
	if told.Len() > 0 {
		t.Errorf("it did again: %s", &told)
	}
	if took := time.Since(began); took > 300*time.Millisecond {
		t.Errorf("it took %s", took)
	}
}

func TestAMachineThatCannotSaysWhatToDo(t *testing.T) {
	const debian12 = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n"
	for _, test := range []struct {
		name    string
		uid     int
		release string
		wrong   string
	}{
		{"root on Debian 12", 0, debian12, ""},
		{"not root", 1000, debian12, "root"},
		{"another Debian", 0, strings.ReplaceAll(debian12, "12", "13"), "Debian 12"},
		{"a descendant of Debian", 0, "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"12\"\n", "Debian 12"},
		{"something else", 0, "", "Debian 12"},
	} {
		err := supported(test.uid, test.release)
		if test.wrong == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.wrong) || !strings.Contains(err.Error(), "Docker") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestAClosedCacheIsRefused(t *testing.T) {
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.MkdirAll(filepath.Join(closed, "cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	err := reachable(filepath.Join(closed, "cache"))
	if err == nil || !strings.Contains(err.Error(), closed+" is closed") {
		t.Errorf("error: %v", err)
	}
}

func TestVersionsAreComparedByNumber(t *testing.T) {
	for text, want := range map[string]bool{
		"Asterisk 22.10.1+dfsg+~cs6.17.60671434-1": true,
		"Asterisk 22.10.1":                         true,
		"Asterisk 22.11.0-rc1":                     true,
		"Asterisk 23.0.0":                          true,
		"Asterisk 22.10.0":                         false,
		"Asterisk 22.9.4":                          false,
		"Asterisk 20.99.9":                         false,
		"Asterisk":                                 false,
		"":                                         false,
	} {
		if got := atLeast(text, asteriskVersion); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestPortsOfLivingLabsAreNotGivenAgain(t *testing.T) {
	first, err := freeBlock(nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	second, err := freeBlock([]block{{first, 100}}, 100)
	if err != nil {
		t.Fatal(err)
	}
	if second < first+100 {
		t.Errorf("%d is inside the block of %d", second, first)
	}
	if _, err := freeBlock([]block{{firstPort, lastPort - firstPort}}, 100); err == nil {
		t.Error("a port is given although all are taken")
	}
}
