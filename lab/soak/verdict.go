package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// calmWithin is how soon after the last act nothing of it may be left: 30 s for calls,
// and for a loan or a verification that a fault left behind a little more.
const calmWithin = 45 * time.Second

// calmDown waits until nothing is up, open, held or lent, and notes what the program and
// Asterisk then need: what grows between two calms is a leak.
func (s *soak) calmDown(ctx context.Context) error {
	var last sample
	waiting, cancel := context.WithTimeout(ctx, calmWithin)
	defer cancel()
	before := map[int]usage{}
	err := s.comes(waiting, func() (_ bool, err error) {
		if last, err = s.sample(waiting, before); err != nil {
			return false, nil // asked again
		}
		return last.channels+last.bridges+last.openCalls+last.holds+last.loans == 0, nil
	})
	if err != nil {
		s.failures = append(s.failures, fmt.Sprintf("half a minute after the last act there were %.0f channels, %.0f bridges, %.0f open calls, %.0f holds, %.0f loans",
			last.channels, last.bridges, last.openCalls, last.holds, last.loans))
	}
	// What is kept for a while after its use (idle connections, a heap that is not yet
	// given back) is not a leak.
	pause(ctx, restFor)
	quiet := calm{}
	if quiet.sample, err = s.sample(ctx, before); err != nil {
		return fmt.Errorf("when all is quiet: %w", err)
	}
	for i, c := range s.copies {
		b, err := s.bodyOf(ctx, c, before)
		if err != nil {
			return fmt.Errorf("when all is quiet: %w", err)
		}
		quiet.copies = append(quiet.copies, b)
		s.say("quiet: copy %d has %.0f MB, %.0f goroutines, %.0f files", i+1, b.memory, b.goroutines, b.files)
	}
	s.quiet = append(s.quiet, quiet)
	return nil
}

// calm is how it is when nothing is up.
type calm struct {
	sample
	copies []body // of each copy of the program
}

// restFor is how long all is quiet before what is left is counted.
const restFor = 20 * time.Second

// What may be more at the second calm than at the first, by the same process: nothing of
// goroutines and files but what comes and goes by itself, of memory what a heap may vary.
// Connections to Postgres are kept once they were needed, up to a copy's pool.
const (
	pool           = 16
	moreGoroutines = 10
	moreFiles      = 10 + pool
	moreMemory     = 24 // MB, and a quarter
)

// verdict compares the calms, audits the books, and returns what is wrong.
func (s *soak) verdict(ctx context.Context) error {
	first, last := s.quiet[0], s.quiet[len(s.quiet)-1]
	for i := range s.copies {
		s.grown(fmt.Sprintf("copy %d of the program", i+1), first.copies[i], last.copies[i])
	}
	s.grown("Asterisk", first.asterisk, last.asterisk)
	s.more("sessions of Postgres", first.sessions, last.sessions, float64(len(s.copies)*pool))
	if _, err := s.stage.Parley(ctx, "ledger", "audit"); err != nil {
		s.failures = append(s.failures, "the audit: "+err.Error())
	}
	for _, k := range kinds {
		if o := s.outcomes[k.name]; o == nil || o.asMeant == 0 {
			s.failures = append(s.failures, "never as it was meant: "+k.name)
		}
	}
	if len(s.failures) == 0 {
		return nil
	}
	return errors.New(fmt.Sprint(len(s.failures), " things were not as they must be; the first: ", s.failures[0]))
}

func (s *soak) grown(who string, first, last body) {
	s.more("goroutines of "+who, first.goroutines, last.goroutines, moreGoroutines)
	s.more("open files of "+who, first.files, last.files, moreFiles)
	s.more("MB of "+who, first.memory, last.memory, moreMemory+first.memory/4)
}

func (s *soak) more(what string, first, last, may float64) {
	if last > first+may {
		s.failures = append(s.failures, fmt.Sprintf("%s: %.0f when all was quiet, later %.0f: a leak", what, first, last))
	}
}
