package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// faultKind is a way to break something, and to mend it.
type faultKind struct {
	name string
	do   func(*soak, context.Context) error // returns when it is mended, before all is well again
}

// fault is one that was.
type fault struct {
	name     string
	from     time.Time
	mended   time.Time
	serving  time.Time // a copy of the program serves again; zero: none did in time
	trouble  error
	liveActs int
}

// The faults of the time in which the program is killed, and of the time in which its
// processes live on.
var (
	killing = []faultKind{
		{"kill -9 of the copy that serves, another stands by", (*soak).killOwner},
		{"kill -9 of the copy that stands by", (*soak).killStandby},
		{"kill -9 of both copies, started again after 3 s", (*soak).killBoth},
		{"ARI's connections cut", (*soak).cutARI},
		{"Postgres killed, started again after 2 s", (*soak).restartPostgres},
	}
	sparing = []faultKind{
		{"ARI's connections cut", (*soak).cutARI},
		{"Redis flushed", (*soak).flushRedis},
		{"Postgres killed, started again after 2 s", (*soak).restartPostgres},
		{"Redis killed, started again after 5 s", (*soak).restartRedis},
	}
)

const (
	// servesWithin is how soon after a fault is mended the program must serve again.
	servesWithin = 30 * time.Second
	// settles is how long acts may feel a fault after the program serves again: calls are
	// placed again, a queue's turn comes, a lost leg's timers run out.
	settles = 20 * time.Second

	faultEvery = 150 * time.Second // at most; a short run has them closer
)

// harm does the faults of a list one after the other, evenly, until a time; each of them
// once where the time is too short for more.
func (s *soak) harm(ctx context.Context, until time.Time, list []faultKind) {
	every := min(faultEvery, time.Until(until)/time.Duration(len(list)+1))
	for i := 0; time.Until(until) > every/2; i++ {
		if !pause(ctx, every) {
			return
		}
		s.one(ctx, list[i%len(list)])
	}
}

// one does a fault, and sees to it that the program serves again.
func (s *soak) one(ctx context.Context, kind faultKind) {
	s.mu.Lock()
	s.faults = append(s.faults, fault{name: kind.name, from: time.Now(), liveActs: s.live})
	s.mu.Unlock()
	trouble := kind.do(s, ctx)
	mended := time.Now()
	_, err := s.serves(ctx)
	serving := time.Now()
	trouble = errors.Join(trouble, err)
	if took := serving.Sub(mended); trouble == nil && took > servesWithin {
		trouble = fmt.Errorf("it served again after %v", took)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.faults[len(s.faults)-1] // only this goroutine adds to them
	f.mended, f.serving, f.trouble = mended, serving, trouble
	if trouble != nil {
		s.failures = append(s.failures, kind.name+": "+trouble.Error())
	}
	s.say("%s; serving again after %v", kind.name, serving.Sub(mended).Round(10*time.Millisecond))
}

// disturbed says whether there was a fault between two times, or the end of one.
func (s *soak) disturbed(from, to time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.disturbedLocked(from, to)
}

// disturbedLocked is disturbed where s.mu is held.
func (s *soak) disturbedLocked(from, to time.Time) bool {
	for _, f := range s.faults {
		if f.from.Before(to) && (f.serving.IsZero() || f.serving.Add(settles).After(from)) {
			return true
		}
	}
	return false
}

// which are the copy that serves, and the other.
func (s *soak) which(ctx context.Context) (owner, standby *programCopy, err error) {
	if owner, err = s.serves(ctx); err != nil {
		return nil, nil, err
	}
	standby = s.copies[0]
	if owner == standby {
		standby = s.copies[1]
	}
	return owner, standby, nil
}

func (s *soak) killOwner(ctx context.Context) error {
	owner, _, err := s.which(ctx)
	if err != nil {
		return err
	}
	if err := owner.Kill(); err != nil {
		return err
	}
	_, err = s.serves(ctx) // the other, before this one is there again
	return errors.Join(err, owner.Start(ctx))
}

func (s *soak) killStandby(ctx context.Context) error {
	_, standby, err := s.which(ctx)
	if err != nil {
		return err
	}
	return errors.Join(standby.Kill(), standby.Start(ctx))
}

func (s *soak) killBoth(ctx context.Context) (err error) {
	for _, c := range s.copies {
		err = errors.Join(err, c.Kill())
	}
	pause(ctx, 3*time.Second)
	for _, c := range s.copies {
		err = errors.Join(err, c.Start(ctx))
	}
	return err
}

func (s *soak) cutARI(context.Context) error {
	if n := s.relay.cut(); n == 0 {
		return errors.New("there was no connection to cut")
	}
	return nil
}

func (s *soak) flushRedis(ctx context.Context) error {
	return s.stage.Lab.Redis.Flush(ctx)
}

func (s *soak) restartRedis(ctx context.Context) error {
	redis := s.stage.Lab.Redis
	if err := redis.Kill(); err != nil {
		return err
	}
	pause(ctx, 5*time.Second)
	return redis.Start(ctx)
}

func (s *soak) restartPostgres(ctx context.Context) error {
	postgres := s.stage.Lab.Postgres
	if err := postgres.Kill(); err != nil {
		return err
	}
	pause(ctx, 2*time.Second)
	return postgres.Start(ctx)
}
