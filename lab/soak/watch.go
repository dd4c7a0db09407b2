package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// sample is how everything was at one moment. The program is the copy that serves.
type sample struct {
	at time.Duration

	program                 body
	asterisk                body
	channels, bridges       float64
	sessions                float64 // of Postgres
	openCalls, holds, loans float64
	acts                    float64
}

// body is what a process needs.
type body struct {
	memory     float64 // resident, MB
	heap       float64 // of it in use, MB
	goroutines float64
	files      float64 // open
	cores      float64 // since it was looked at before
}

const watchEvery = 5 * time.Second

// watch samples until ctx ends, and checks what must hold at any moment.
func (s *soak) watch(ctx context.Context) {
	before := map[int]usage{}
	for pause(ctx, watchEvery) {
		one, err := s.sample(ctx, before)
		if err != nil { // in a fault there is nobody to ask
			continue
		}
		s.mu.Lock()
		s.samples = append(s.samples, one)
		s.mu.Unlock()
	}
}

// twice is who has two live calls at once, or holds beyond their balance: nobody, ever.
const twice = `
	SELECT client || ' has two live calls' FROM calls WHERE ended_at IS NULL AND client IS NOT NULL GROUP BY client HAVING count(*) > 1
	UNION ALL
	SELECT advisor || ' has two live calls' FROM calls WHERE ended_at IS NULL AND advisor IS NOT NULL GROUP BY advisor HAVING count(*) > 1
	UNION ALL
	SELECT id || ' is below zero' FROM accounts WHERE kind = 'client' AND (posted < 0 OR held < 0 OR posted < held)`

const counts = `
	SELECT (SELECT count(*) FROM calls WHERE ended_at IS NULL),
		(SELECT count(*) FROM holds h LEFT JOIN hold_resolutions r USING (call, number) WHERE r.call IS NULL),
		(SELECT count(*) FROM loans WHERE reserves AND until > now()),
		(SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())`

func (s *soak) sample(ctx context.Context, before map[int]usage) (one sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	owner, _, err := s.which(ctx)
	if err != nil {
		return one, err
	}
	one.at = time.Since(s.began)
	s.mu.Lock()
	one.acts = float64(s.live)
	s.mu.Unlock()
	var programErr, asteriskErr error
	one.program, programErr = s.bodyOf(ctx, owner, before)
	one.asterisk, asteriskErr = usageSince(s.stage.Lab.Asterisk.PID(), before)
	var problem string
	switch err := s.db.QueryRowContext(ctx, twice).Scan(&problem); {
	case err == nil:
		s.mu.Lock()
		s.failures = append(s.failures, fmt.Sprintf("%v: %s", one.at.Round(time.Second), problem))
		s.mu.Unlock()
	}
	var channelsErr, bridgesErr error
	one.channels, channelsErr = s.listed(ctx, "/channels")
	one.bridges, bridgesErr = s.listed(ctx, "/bridges")
	return one, errors.Join(programErr, asteriskErr, channelsErr, bridgesErr,
		s.db.QueryRowContext(ctx, counts).Scan(&one.openCalls, &one.holds, &one.loans, &one.sessions))
}

// bodyOf is what a copy of the program needs.
func (s *soak) bodyOf(ctx context.Context, c *programCopy, before map[int]usage) (b body, err error) {
	if b, err = usageSince(c.PID(), before); err != nil {
		return b, err
	}
	told, err := c.told(ctx)
	b.goroutines, b.heap = told["go_goroutines"], told["go_memstats_heap_inuse_bytes"]/1e6
	return b, err
}

// usageSince is what a process uses, and of the processors since it was asked before.
func usageSince(pid int, before map[int]usage) (b body, err error) {
	now, err := usageOf(pid)
	if err != nil {
		return b, err
	}
	b.memory, b.files = now.memory, now.files
	if was, known := before[pid]; known {
		b.cores = (now.cpu - was.cpu).Seconds() / now.at.Sub(was.at).Seconds()
	}
	before[pid] = now
	return b, nil
}

// usage is what a process uses, by proc(5).
type usage struct {
	at            time.Time
	memory, files float64
	cpu           time.Duration
}

// clockTick is USER_HZ, which is 100 on every Linux.
const clockTick = 10 * time.Millisecond

func usageOf(pid int) (u usage, err error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return u, err
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 22 {
		return u, errors.New("stat is too short")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	pages, err3 := strconv.Atoi(fields[21])
	return usage{time.Now(), float64(pages*os.Getpagesize()) / 1e6, float64(len(fds)), time.Duration(user+system) * clockTick},
		errors.Join(err1, err2, err3)
}

// listed counts what Asterisk lists.
func (s *soak) listed(ctx context.Context, what string) (float64, error) {
	asterisk := s.stage.Lab.Asterisk
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, asterisk.URL+what, nil)
	if err != nil {
		return 0, err
	}
	r.SetBasicAuth(asterisk.User, asterisk.Password)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var list []json.RawMessage
	err = json.NewDecoder(response.Body).Decode(&list)
	return float64(len(list)), err
}

// told are what a copy of the program tells of itself: the metrics without labels.
func (c *programCopy) told(ctx context.Context) (map[string]float64, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.metrics, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	values := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	if values["go_goroutines"] == 0 {
		return nil, errors.New("the metrics say nothing of goroutines")
	}
	return values, nil
}
