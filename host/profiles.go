package host

import (
	"net/http"
	"net/http/pprof"
)

// profileTakes is for how many seconds a profile is taken where nobody says: fewer than
// writeTakes.
const profileTakes = "10"

// profiles are those of Go's runtime: CPU, memory, goroutines and the rest. They hold
// names of functions, and no data.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	for name, take := range map[string]http.HandlerFunc{"profile": pprof.Profile, "trace": pprof.Trace} {
		mux.HandleFunc("/debug/pprof/"+name, func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); !q.Has("seconds") {
				q.Set("seconds", profileTakes)
				r.URL.RawQuery = q.Encode()
			}
			take(w, r)
		})
	}
	return mux
}
