package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A pid alone may be another process's by now; with the time it was started (clock ticks
// since boot) it is one process for ever.

func writePID(file string, pid int) error {
	p, err := stat(pid)
	if err != nil {
		return err
	}
	return os.WriteFile(file, fmt.Appendf(nil, "%d %d\n", pid, p.started), 0o644)
}

// killRecorded kills the process that a pid file names, if it is still that one. A file
// that its owner did not live to finish names none; the kernel has ended that process.
func killRecorded(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	var pid int
	var started uint64
	if _, err := fmt.Sscan(string(text), &pid, &started); err != nil {
		return
	}
	if p, err := stat(pid); err == nil && p.started == started {
		killTree(pid)
	}
}

// process is what proc(5) says of one.
type process struct {
	state   string
	parent  int
	started uint64
}

// stat reads fields 3, 4 and 22 of proc(5)'s stat, counted after the command, which may
// itself hold spaces and parentheses.
func stat(pid int) (process, error) {
	name := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return process{}, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return process{}, fmt.Errorf("%s is too short", name)
	}
	p := process{state: fields[0]}
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return process{}, err
	}
	p.started, err = strconv.ParseUint(fields[19], 10, 64)
	return p, err
}

// children returns the processes whose parent is pid.
func children(pid int) []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var found []int
	for _, name := range names {
		child, _ := strconv.Atoi(filepath.Base(name))
		if p, err := stat(child); err == nil && p.parent == pid {
			found = append(found, child)
		}
	}
	return found
}

// signalTree signals a process, then its descendants. A process that has ended in the
// meantime is no error.
func signalTree(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for _, child := range children(pid) {
		if err := signalTree(child, sig); err != nil {
			return err
		}
	}
	return nil
}

// killTree stops everything first, so that nothing is born while it kills. Children go
// before their parent, since orphans could no longer be found, and are awaited: Postgres
// does not start again while one of them holds its shared memory.
func killTree(pid int) {
	signalTree(pid, syscall.SIGSTOP)
	killChildren(pid)
	syscall.Kill(pid, syscall.SIGKILL)
}

func killChildren(pid int) {
	for _, child := range children(pid) {
		killChildren(child)
		syscall.Kill(child, syscall.SIGKILL)
		for limit := time.Now().Add(5 * time.Second); alive(child) && time.Now().Before(limit); {
			time.Sleep(time.Millisecond)
		}
	}
}

// alive reports whether a process exists and is more than a zombie.
func alive(pid int) bool {
	p, err := stat(pid)
	return err == nil && p.state != "Z" && p.state != "X"
}
