package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyTimeout bounds a start on a machine that is busy with other things.
const readyTimeout = 60 * time.Second

// onThePhone is the nice of what people on the telephone wait for: it goes before the
// databases, whose work is mostly for later.
const onThePhone = -5

// Service is one server of a lab. Kill, Stop, Cont and Start break and mend it on the
// same ports and the same data; all of them act on the whole tree of its processes.
type Service struct {
	name    string
	path    string
	args    []string
	env     []string // beside PATH, locale and time zone
	attr    syscall.SysProcAttr
	dir     string                      // of the run; holds NAME.log and NAME.pid
	logs    []string                    // further log files, for error messages
	ready   func(context.Context) error // asks once whether the service serves
	closing syscall.Signal              // ends it and frees what the kernel holds for it
	nice    int                         // as in packaging's units; 0: that of whoever starts it

	mu   sync.Mutex
	pid  int
	done chan struct{} // closed when the process has ended
}

// Start starts the service, unless it runs, and waits until it serves.
func (s *Service) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return nil
	}
	if err := s.launch(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ask := time.NewTicker(20 * time.Millisecond)
	defer ask.Stop()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended instead of serving:\n%s", s.name, s.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve: %w: %w\n%s", s.name, context.Cause(ctx), err, s.tail())
		case <-ask.C:
		}
	}
}

// launch starts the process from a goroutine that keeps its thread until the process has
// ended: the kernel sends Pdeathsig when that thread ends, not when the program does.
func (s *Service) launch() error {
	log, err := os.OpenFile(filepath.Join(s.dir, s.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.path, s.args...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}, s.env...)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = log, log
	attr := s.attr
	attr.Setpgid = true
	attr.Pdeathsig = s.closing
	cmd.SysProcAttr = &attr

	started := make(chan error)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		if s.nice != 0 { // who may not say so goes without
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, s.nice) // this thread's, and so the process's
		}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		cmd.Wait() // how it ended is in its log; that it ended is in done
	}()
	if err := <-started; err != nil {
		return err
	}
	s.pid, s.done = cmd.Process.Pid, done
	return writePID(s.pidFile(), s.pid)
}

func (s *Service) pidFile() string { return filepath.Join(s.dir, s.name+".pid") }

func (s *Service) running() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// PID is the process ID of the service, or of its last process if it does not run.
func (s *Service) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid
}

// Done is closed when the process that runs now has ended. The next Start makes another.
func (s *Service) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done
}

// Kill ends the service at once, as a crash does, and returns when it is gone.
func (s *Service) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kill()
}

func (s *Service) kill() error {
	if !s.running() {
		return nil
	}
	killTree(s.pid)
	return s.await(10 * time.Second)
}

// Stop freezes the service: its connections stay up and nothing answers.
func (s *Service) Stop() error { return s.signal(syscall.SIGSTOP) }

// Cont ends a Stop.
func (s *Service) Cont() error { return s.signal(syscall.SIGCONT) }

func (s *Service) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return fmt.Errorf("%s does not run", s.name)
	}
	return signalTree(s.pid, sig)
}

// close ends the service for good.
func (s *Service) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return nil
	}
	if s.closing == syscall.SIGKILL { // whoever is killed ends no child: Asterisk has a canary
		return s.kill()
	}
	signalTree(s.pid, syscall.SIGCONT)
	syscall.Kill(s.pid, s.closing)
	if s.await(5*time.Second) == nil {
		return nil
	}
	return s.kill()
}

func (s *Service) await(limit time.Duration) error {
	select {
	case <-s.done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s (pid %d) does not end", s.name, s.pid)
	}
}

// tail returns the last lines of what the service wrote.
func (s *Service) tail() string {
	var text strings.Builder
	for _, name := range append([]string{filepath.Join(s.dir, s.name+".log")}, s.logs...) {
		end, err := tailFile(name, 4096)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(&text, "--- %s: %v\n", name, err)
		}
		if len(end) > 0 {
			fmt.Fprintf(&text, "--- %s\n%s\n", name, bytes.TrimSpace(end))
		}
	}
	if text.Len() == 0 {
		return "(it wrote no log)"
	}
	return text.String()
}

func tailFile(name string, size int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > size {
		if _, err := f.Seek(-size, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(f)
}
