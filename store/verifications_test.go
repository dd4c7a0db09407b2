package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"parley/ivr"
)

// desk is a town with one line to verify.
type desk struct {
	*town
	line ivr.LineID
}

func newDesk(t *testing.T) desk {
	w := newTown(t)
	return desk{w, w.line(w.advisor(), "+493012345678")}
}

func (d desk) challenge() (id, code, wrong string) {
	d.t.Helper()
	id, code, err := d.CreateChallenge(d.t.Context(), d.line)
	d.must(err)
	if wrong = "000000"; code == wrong {
		wrong = "000001"
	}
	return id, code, wrong
}

func (d desk) state(challenge string, want ChallengeState) {
	d.t.Helper()
	r, err := d.ChallengeResult(d.t.Context(), challenge)
	d.must(err)
	if r.State != want {
		d.t.Errorf("the challenge is %+v, want %s", r, want)
	}
}

func (d desk) verified(want bool) {
	d.t.Helper()
	l, err := d.Line(d.t.Context(), d.line)
	d.must(err)
	if l.VerifiedAt.IsZero() == want || (l.VerifiedHow == "") == want {
		d.t.Errorf("the line is %+v", l)
	}
}

// The right code verifies its line, once, with the time and how.
func TestRightCodeVerifiesTheLine(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	id, code, wrong := d.challenge()
	d.state(id, ChallengeRequested)
	c, found, err := d.ClaimChallenge(ctx)
	d.must(err)
	if !found || c.ID != id || c.Line.ID != d.line || c.Line.Address != "+493012345678" || c.Line.Kind != ivr.Phone || c.Line.Verified {
		t.Errorf("claimed %+v, %v", c, found)
	}
	if c, found, err := d.ClaimChallenge(ctx); found || err != nil {
		t.Errorf("claimed again: %+v, %v", c, err)
	}
	d.state(id, ChallengeCalling)
	if err := d.Check(ctx, id, wrong, "call_1"); !errors.Is(err, ivr.ErrWrongCode) {
		t.Errorf("the wrong code: %v", err)
	}
	d.verified(false)
	d.must(d.Check(ctx, id, code, "call_1"))
	d.verified(true)
	d.state(id, ChallengeVerified)
	if l, _ := d.Line(ctx, d.line); l.VerifiedHow != "verification call call_1" {
		t.Errorf("verified how: %q", l.VerifiedHow)
	}
	if err := d.Check(ctx, id, code, "call_2"); !errors.Is(err, ivr.ErrChallengeOver) {
		t.Errorf("the code again: %v", err)
	}
	d.must(d.FinishChallenge(ctx, id, ivr.Completed))
	d.must(d.FinishChallenge(ctx, id, "another word"))
	if r, err := d.ChallengeResult(ctx, id); err != nil || r != (ChallengeResult{d.line, ChallengeVerified, ivr.Completed}) {
		t.Errorf("the result is %+v, %v", r, err)
	}
	if _, err := d.ChallengeResult(ctx, "chal_none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no challenge: %v", err)
	}
	d.clean()
}

// A code is over when its time is, when its call has ended without it, and when its
// line is changed in any way; a changed line is not verified any more.
func TestCodeIsBoundToItsTimeCallAndLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(d desk, challenge string) error
		state ChallengeState
	}{
		{"time", func(d desk, id string) error {
			_, err := d.superuser().Exec(`UPDATE challenges SET until = now()`)
			return err
		}, ChallengeExpired},
		{"call", func(d desk, id string) error { return d.FinishChallenge(d.t.Context(), id, "no answer") }, ChallengeFailed},
		{"number", func(d desk, id string) error {
			return d.ChangeLine(d.t.Context(), "test", "", d.line, ivr.Phone, "+493087654321")
		}, ChallengeFailed},
		{"device", func(d desk, id string) error {
			return d.ChangeLine(d.t.Context(), "test", "", d.line, ivr.Phone, "+493012345678")
		}, ChallengeFailed},
		{"number, behind our back", func(d desk, id string) error {
			_, err := d.superuser().Exec(`UPDATE lines SET address_hash = 'x'`)
			return err
		}, ChallengeRequested},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t)
			id, code, _ := d.challenge()
			d.must(d.Check(t.Context(), id, code, "call_1"))
			d.verified(true)
			id, code, _ = d.challenge()
			d.must(c.spoil(d, id))
			if err := d.Check(t.Context(), id, code, "call_2"); !errors.Is(err, ivr.ErrChallengeOver) {
				t.Errorf("checked all the same: %v", err)
			}
			d.state(id, c.state)
			if c.name == "time" || c.name == "call" {
				d.verified(true) // by the first call
			} else {
				d.verified(false)
			}
		})
	}
}

// Five codes are compared for a challenge, and five for a line in an hour, however
// many are tried at once; and a line is called five times in an hour.
func TestCodeCanBeGuessedFiveTimes(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	id, code, wrong := d.challenge()
	var compared, refused atomic.Int64
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			switch err := d.Check(ctx, id, wrong, "call_1"); {
			case errors.Is(err, ivr.ErrWrongCode):
				compared.Add(1)
			case errors.Is(err, ivr.ErrChallengeOver):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if compared.Load() != 5 || refused.Load() != 35 {
		t.Errorf("%d codes were compared, %d refused", compared.Load(), refused.Load())
	}
	if err := d.Check(ctx, id, code, "call_1"); !errors.Is(err, ivr.ErrChallengeOver) {
		t.Errorf("the right code after five wrong ones: %v", err)
	}
	next, code, _ := d.challenge()
	if err := d.Check(ctx, next, code, "call_2"); !errors.Is(err, ivr.ErrChallengeOver) {
		t.Errorf("another challenge in the same hour: %v", err)
	}
	for range 3 {
		d.challenge()
	}
	if _, _, err := d.CreateChallenge(ctx, d.line); !errors.Is(err, ivr.ErrTooManyTries) {
		t.Errorf("a sixth call in an hour: %v", err)
	}
	d.verified(false)
	db := d.superuser()
	db.SetMaxOpenConns(1)
	db.MustExec(`SET session_replication_role = replica`)
	db.MustExec(`UPDATE challenge_checks SET at = at - interval '61 minutes'`)
	db.MustExec(`UPDATE challenges SET made_at = made_at - interval '61 minutes'`)
	next, code, _ = d.challenge()
	d.must(d.Check(ctx, next, code, "call_3"))
	d.verified(true)
}

// A number is called, and its codes are compared, no oftener for being many lines of many
// advisors, however many try at once.
func TestANumberIsGuessedAsOneLine(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	lines := make([]ivr.LineID, 8)
	for i := range lines {
		lines[i] = w.line(w.advisor(), "+493012345678")
	}
	var mu sync.Mutex
	var made []string
	var wg sync.WaitGroup
	for _, line := range lines {
		for range 3 {
			wg.Go(func() {
				id, _, err := w.CreateChallenge(ctx, line)
				if err != nil && !errors.Is(err, ivr.ErrTooManyTries) {
					t.Error(err)
				} else if err == nil {
					mu.Lock()
					defer mu.Unlock()
					made = append(made, id)
				}
			})
		}
	}
	wg.Wait()
	var compared atomic.Int64
	for _, challenge := range made {
		for range 4 {
			wg.Go(func() {
				if err := w.Check(ctx, challenge, "no code", "call_1"); errors.Is(err, ivr.ErrWrongCode) {
					compared.Add(1)
				} else if !errors.Is(err, ivr.ErrChallengeOver) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if len(made) != challengeCalls || compared.Load() != challengeChecks {
		t.Errorf("%d calls to a number, and %d codes compared", len(made), compared.Load())
	}
	other := w.line(w.advisor(), "+493087654321")
	if _, _, err := w.CreateChallenge(ctx, other); err != nil {
		t.Errorf("another number: %v", err)
	}
}

// Each challenge is claimed by exactly one of many processes.
func TestChallengeIsClaimedOnce(t *testing.T) {
	w := newTown(t)
	const lines = 15
	advisor := w.advisor()
	for n := range lines {
		if _, _, err := w.CreateChallenge(t.Context(), w.line(advisor, fmt.Sprintf("+4930123456%02d", n))); err != nil {
			t.Fatal(err)
		}
	}
	claimed := sync.Map{}
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			c, found, err := w.ClaimChallenge(t.Context())
			if err != nil {
				t.Error(err)
			}
			if !found {
				return
			}
			n.Add(1)
			if _, twice := claimed.LoadOrStore(c.ID, true); twice {
				t.Errorf("%s was claimed twice", c.ID)
			}
		})
	}
	wg.Wait()
	if n.Load() != lines {
		t.Errorf("%d of %d were claimed", n.Load(), lines)
	}
}

// A process that died in a verification call leaves nobody waiting: its challenge has
// failed and its code is over, while one that waits for its call still does.
func TestChallengesOfADeadProcessAreOver(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	placed, code, _ := d.challenge()
	if _, found, err := d.ClaimChallenge(ctx); err != nil || !found {
		t.Fatal(found, err)
	}
	waiting, _, _ := d.challenge()
	d.must(d.AbandonChallenges(ctx))
	d.state(placed, ChallengeFailed)
	d.state(waiting, ChallengeRequested)
	if err := d.Check(ctx, placed, code, "call_1"); !errors.Is(err, ivr.ErrChallengeOver) {
		t.Errorf("its code: %v", err)
	}
	d.verified(false)
}
