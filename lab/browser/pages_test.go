package browser

import (
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// What each page shows to who is not signed in.
func TestTheFirstPages(t *testing.T) {
	for name, path := range map[string]string{"client-sign-in": "/", "app-sign-in": "/app/", "desk-sign-in": "/desk/"} {
		t.Run(name, func(t *testing.T) {
			s := &scene{T: t, ctx: t.Context()}
			var err error
			s.app, err = chrome.Open(s.ctx, shared.URL+path+"#token=parley_not-a-token", Telephone)
			s.must(err)
			defer s.app.Close(s.ctx)
			s.must(s.app.See(s.ctx, "This sign-in is no longer valid"))
			s.looksGood(name)
			var link string
			s.must(s.app.Run(s.ctx, "location.href", &link))
			if strings.Contains(link, "token") {
				t.Errorf("the token stays in the address: %s", link)
			}
			complaints, err := s.app.Complaints(s.ctx)
			s.must(err)
			for _, c := range complaints {
				if !strings.Contains(c, "401") {
					t.Errorf("the console says: %s", c)
				}
			}
		})
	}
}

// The budgets, in bytes as they are sent.
const firstPageMost, withPhoneMost = 150_000, 230_000

var loads = regexp.MustCompile(`(?:src|href)="(/[^"]+\.(?:js|css|svg))"`)

func TestPagesAreQuick(t *testing.T) {
	for _, path := range []string{"/", "/app/", "/desk/"} {
		page, all := sent(t, path)
		for _, file := range loads.FindAllStringSubmatch(page, -1) {
			_, size := sent(t, file[1])
			all += size
		}
		t.Logf("%s: %d bytes", path, all)
		if all > firstPageMost {
			t.Errorf("%s is %d bytes, more than %d", path, all, firstPageMost)
		}
		if path != "/app/" {
			continue
		}
		script, _ := sent(t, regexp.MustCompile(`/assets/app-[\w-]+\.js`).FindString(page))
		phone := regexp.MustCompile(`phone-[\w-]+\.js`).FindString(script)
		if phone == "" {
			t.Fatal("the app does not load a phone")
		}
		_, size := sent(t, "/assets/"+phone)
		t.Logf("with the phone: %d bytes", all+size)
		if all+size > withPhoneMost {
			t.Errorf("with the phone %d bytes, more than %d", all+size, withPhoneMost)
		}
	}
}

// sent is a file of the pages, and how many bytes it is on the way.
func sent(t *testing.T, path string) (text string, size int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, shared.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept-Encoding", "gzip")
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v %v", path, answer, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Header.Get("Content-Encoding") != "gzip" {
		return string(body), len(body)
	}
	z, err := gzip.NewReader(strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain), len(body)
}
