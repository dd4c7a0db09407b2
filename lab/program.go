package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
)

// Program makes a further service of the lab, such as the program under test: it can be
// killed, stopped and started like the others, and ends with the lab. It is not started
// yet; ready asks once whether it serves. A closing SIGTERM ends it.
func (l *Lab) Program(name, path string, args, env []string, ready func(context.Context) error) *Service {
	s := &Service{
		name: name, path: path, args: args, env: env, dir: l.run.dir,
		ready: ready, closing: syscall.SIGTERM, nice: onThePhone,
	}
	l.run.add(s)
	return s
}

// ProgramAddr is an address of the lab's for a server of the caller's own.
func (l *Lab) ProgramAddr() string { return l.run.addr(programPort) }

// SpareAddr is another, for a second copy of it.
func (l *Lab) SpareAddr() string { return l.run.addr(proxyPort) }

// LogFile is what the service has written to its standard output and error.
func (s *Service) LogFile() string { return filepath.Join(s.dir, s.name+".log") }

// Terminate asks the service to end, and returns when it has.
func (s *Service) Terminate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running() {
		return nil
	}
	if err := syscall.Kill(s.pid, s.closing); err != nil {
		return err
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s (pid %d) does not end: %w\n%s", s.name, s.pid, context.Cause(ctx), s.tail())
	}
}
