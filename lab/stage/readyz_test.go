package stage

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// Where Postgres or Asterisk is away, /readyz says so and which, /livez goes on to answer,
// and so it is until that part is back.
func TestReadyzNamesWhatIsAway(t *testing.T) {
	stage, _, ctx := newStage(t)
	s := &scene{T: t, ctx: ctx, stage: stage}
	asterisk, postgres := stage.Lab.Asterisk, stage.Lab.Postgres
	const well = ""
	noAsterisk, noPostgres := "Asterisk is not connected", "the database does not answer"
	s.readyz("all is well", well)
	s.must(asterisk.Kill())
	s.readyz("Asterisk is away", noAsterisk)
	s.must(asterisk.Start(ctx))
	s.readyz("Asterisk is back", well)
	s.must(postgres.Kill())
	s.readyz("Postgres is away", noPostgres)
	s.must(asterisk.Kill())
	s.readyz("both are away", noPostgres+", and "+noAsterisk)
	// Then this copy owns nothing any more: another may serve, for all that it knows.
	s.logged(patience, 1, "stopping", s.first())
	s.readyz("both are away for longer", noPostgres+", and "+noAsterisk)
	s.must(asterisk.Start(ctx))
	s.readyz("Asterisk alone is back", noPostgres+", and "+noAsterisk)
	s.must(postgres.Start(ctx))
	s.readyz("both are back", well)
}

// readyz waits until the program says at /readyz, and by its command, that it is not ready
// for that reason, or that it is. At /livez it must be well all the while.
func (s *scene) readyz(when, why string) {
	s.Helper()
	type health struct {
		OK  bool
		Why string
	}
	ask := func(path string) (status int, said health) {
		resp, err := http.Get(s.stage.URL + path)
		s.must(err)
		defer resp.Body.Close()
		s.must(json.NewDecoder(resp.Body).Decode(&said))
		return resp.StatusCode, said
	}
	want, status := health{why == "", why}, http.StatusServiceUnavailable
	if want.OK {
		status = http.StatusOK
	}
	var is int
	var said health
	if !eventually(func() bool {
		if alive, answer := ask("/livez"); alive != http.StatusOK || !answer.OK {
			s.Fatalf("%s: /livez says %d %+v", when, alive, answer)
		}
		is, said = ask("/readyz")
		return is == status && said == want
	}) {
		s.Errorf("%s: /readyz says %d %+v, want %d %+v\n%s", when, is, said, status, want, tail(s.stage.Log(), 20))
	}
	command := s.stage.Command(s.ctx, "ready", strings.TrimPrefix(s.stage.URL, "http://"))
	told, err := command.Output()
	if text := strings.TrimSpace(string(told)); (err == nil) != want.OK || text != cmp.Or(why, "ready") {
		s.Errorf("%s: `parley ready` says %q, %v", when, text, err)
	}
}
