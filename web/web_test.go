package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

var missing = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func ask(method, path string, headers ...string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	Handler(missing).ServeHTTP(w, r)
	return w
}

// with serves files instead of those that are built.
func with(t *testing.T, files map[string]string) {
	before := pages
	t.Cleanup(func() { pages = before })
	all := map[string]page{}
	for name, body := range files {
		all[name] = newPage(name, []byte(body))
	}
	pages = func() map[string]page { return all }
}

func TestPagesThatAreNotBuiltSayWhatToDo(t *testing.T) {
	with(t, nil)
	if w := ask("GET", "/app/"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "make web") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask("GET", "/v1/nothing"); w.Code != http.StatusTeapot {
		t.Errorf("another path: %d", w.Code)
	}
}

func TestWhatIsServedWhere(t *testing.T) {
	with(t, map[string]string{"index.html": "client", "app/index.html": "app", "app/sw.js": "worker", "assets/a-1.js": "script"})
	for path, want := range map[string]string{"/": "client", "/index.html": "client", "/app/": "app", "/app/sw.js": "worker", "/assets/a-1.js": "script"} {
		if w := ask("GET", path); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask("GET", "/app"); w.Header().Get("Location") != "/app/" {
		t.Errorf("/app leads to %q", w.Header().Get("Location"))
	}
	for _, other := range [][2]string{{"GET", "/nothing"}, {"GET", "/assets/"}, {"GET", "/../web.go"}, {"POST", "/"}, {"GET", "//"}} {
		if w := ask(other[0], other[1]); w.Code != http.StatusTeapot {
			t.Errorf("%v: %d", other, w.Code)
		}
	}
	if w := ask("HEAD", "/"); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestWhatABrowserMayKeep(t *testing.T) {
	with(t, map[string]string{"index.html": "client", "assets/a-1.js": strings.Repeat("script ", 100)})
	page := ask("GET", "/")
	if got := page.Header().Get("Cache-Control"); got != "no-cache" {
		t.Errorf("a page: %q", got)
	}
	if again := ask("GET", "/", "If-None-Match", page.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("the same again: %d", again.Code)
	}
	if got := ask("GET", "/assets/a-1.js").Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("an asset: %q", got)
	}
}

func TestFilesAreZippedForThoseWhoTakeIt(t *testing.T) {
	text := strings.Repeat("script ", 100)
	with(t, map[string]string{"assets/a-1.js": text})
	w := ask("GET", "/assets/a-1.js", "Accept-Encoding", "br, gzip")
	z, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || string(plain) != text || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v: %q", err, plain)
	}
	if w := ask("GET", "/assets/a-1.js"); w.Header().Get("Content-Encoding") != "" || w.Body.String() != text {
		t.Error("zipped for one who does not take it")
	}
}

func TestPagesMayDoNoMoreThanTheyNeed(t *testing.T) {
	with(t, map[string]string{"index.html": "client", "app/index.html": "app", "desk/index.html": "desk"})
	for path, microphone := range map[string]string{"/": "microphone=()", "/app/": "microphone=(self)", "/desk/": "microphone=()"} {
		header := ask("GET", path).Header()
		if csp := header.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: %s", path, csp)
		}
		if got := header.Get("Permissions-Policy"); !strings.Contains(got, microphone) {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// What is built has nothing inline: the policy would stop it.
func TestBuiltPagesHaveNothingInline(t *testing.T) {
	for name, p := range pages() {
		if strings.HasSuffix(name, ".html") {
			text := string(p.body)
			for _, inline := range []string{"<style", " style=", " onclick=", "<script>", "javascript:"} {
				if strings.Contains(text, inline) {
					t.Errorf("%s has %q", name, inline)
				}
			}
		}
		if p.headers["Content-Type"] == "" {
			t.Errorf("%s has no type", name)
		}
	}
}
