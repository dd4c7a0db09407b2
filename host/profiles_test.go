package host

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"parley/store"
)

// Profiles are for administrators, and nobody else learns that there are any.
func TestProfilesAreForAdministrators(t *testing.T) {
	w := newTown(t)
	admin, _ := w.token(store.RoleAdmin, "")
	for token, want := range map[string]int{admin.Token: 200, w.site.Token: 403, w.newAdvisorToken(w.advisor).Token: 403, "parley_x": 401, "": 401} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/debug/pprof/heap", nil)
		w.must(err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		w.must(err)
		body, err := io.ReadAll(answer.Body)
		w.must(err)
		answer.Body.Close()
		if profile := bytes.HasPrefix(body, []byte{0x1f, 0x8b}); answer.StatusCode != want || profile != (want == 200) {
			t.Errorf("%d, want %d; a profile: %v", answer.StatusCode, want, profile)
		}
	}
}
