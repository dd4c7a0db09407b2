package sms

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConsoleWritesMessagesWhereItsUserAloneReads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sms")
	c := NewConsole(path)
	for _, text := range []string{"one", "two"} {
		if err := c.Send(t.Context(), "+4915112345601", text); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	info, errInfo := os.Stat(path)
	if err != nil || errInfo != nil {
		t.Fatal(err, errInfo)
	}
	if strings.Count(string(text), "\n") != 2 || !strings.HasSuffix(string(text), " to +4915112345601: two\n") || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: %s", info.Mode(), text)
	}
	if err := NewConsole(t.TempDir()).Send(t.Context(), "+4915112345601", "three"); err == nil {
		t.Error("a folder was written to")
	}
}

func TestTwilioIsAskedAsItsAPIDescribes(t *testing.T) {
	status := http.StatusCreated
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if r.Method != "POST" || r.URL.Path != "/2010-04-01/Accounts/AC1/Messages.json" || user != "AC1" || password != "secret" ||
			r.FormValue("To") != "+4915112345601" || r.FormValue("From") != "+4930555001" || r.FormValue("Body") != "Your code is 123456." {
			t.Errorf("%s %s by %s: %v", r.Method, r.URL.Path, user, r.Form)
		}
		w.WriteHeader(status)
	}))
	defer server.Close()
	twilio := NewTwilio(server.URL+"/", "AC1", "secret", "+4930555001")
	if err := twilio.Send(t.Context(), "+4915112345601", "Your code is 123456."); err != nil {
		t.Error(err)
	}
	for _, status = range []int{400, 401, 429, 500, 302} {
		err := twilio.Send(t.Context(), "+4915112345601", "Your code is 123456.")
		if err == nil || strings.Contains(err.Error(), "123456") || strings.Contains(err.Error(), "+49") {
			t.Errorf("%d: %v", status, err)
		}
	}
	server.Close()
	if err := twilio.Send(t.Context(), "+4915112345601", "Your code is 123456."); err == nil || strings.Contains(err.Error(), "123456") {
		t.Errorf("no answer: %v", err)
	}
}
