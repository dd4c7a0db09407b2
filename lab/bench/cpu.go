package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what CPU time each part has used since it began.
type usage struct{ asterisk, program, postgres time.Duration }

func (u usage) since(before usage) usage {
	return usage{u.asterisk - before.asterisk, u.program - before.program, u.postgres - before.postgres}
}

func (u usage) per(calls int) usage {
	n := time.Duration(max(1, calls))
	return usage{u.asterisk / n, u.program / n, u.postgres / n}
}

func (u usage) sum() time.Duration { return u.asterisk + u.program + u.postgres }

// usage reads /proc. The program of the classic design is its FastAGI server.
func (b *Bench) usage(d design) (u usage, err error) {
	program := b.stage.Program.PID()
	if d == classic {
		program = b.agi.Process.Pid
	}
	lab := b.stage.Lab
	for part, pid := range map[*time.Duration]int{&u.asterisk: lab.Asterisk.PID(), &u.program: program, &u.postgres: lab.Postgres.PID()} {
		if *part, err = treeTime(pid); err != nil {
			return u, err
		}
	}
	return u, nil
}

// treeTime is the CPU time of a process, of its children, and of those that have ended.
func treeTime(pid int) (time.Duration, error) {
	own, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	ticks := own.self + own.ended
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	for _, dir := range all {
		child, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if s, err := readStat(child); err == nil && s.parent == pid { // else it has just ended
			ticks += s.self + s.ended
		}
	}
	const perSecond = 100 // USER_HZ, which Linux fixes for /proc
	return time.Duration(ticks) * time.Second / perSecond, nil
}

// stat is what we read of a process: its parent, and ticks of CPU time.
type stat struct{ parent, self, ended int }

// readStat reads /proc/PID/stat, see proc(5). The name may hold spaces and brackets.
func readStat(pid int) (s stat, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 15 {
		return s, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	number := func(field int) (n int) { // as proc(5) counts them, from 1
		n, _ = strconv.Atoi(fields[field-3])
		return n
	}
	return stat{parent: number(4), self: number(14) + number(15), ended: number(16) + number(17)}, nil
}

// resident is the memory of a process that is in RAM, in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
