package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// run is the place of one lab: its directories, its ports and its services. Its owner
// holds a lock on the file "owner" for as long as it lives; a run whose lock is free is
// what a dead owner left behind.
type run struct {
	id       string
	dir      string // CACHE/run/ID
	asterisk string // ROOT/run/parley/ID
	owner    *os.File
	ports    int // first of the block

	mu       sync.Mutex
	services []*Service
	closed   bool
}

// The ports of a run are one block, below the range that the kernel gives to outgoing
// connections, and above the last one that browsers refuse.
const firstPort, lastPort = 10100, 32000

// Offsets into the block.
const (
	sipPort = iota
	httpPort
	postgresPort
	redisPort
	carrierPort
	programPort
	proxyPort
	standbyPort // of Postgres
	replicaPort // of Redis
	sentinelPort
	rtpPorts = 10 // and all that follow
)

// newRun sweeps what dead owners left and makes a place for a new lab.
func newRun(ctx context.Context, inst installation, rtp int) (_ *run, err error) {
	runs := filepath.Join(inst.cache, "run")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(ctx, filepath.Join(runs, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	taken, err := sweep(runs)
	if err != nil {
		return nil, err
	}

	id := strings.ToLower(rand.Text()[:8])
	r := &run{
		id:       id,
		dir:      filepath.Join(runs, id),
		asterisk: filepath.Join(inst.asteriskRoot, "run/parley", id),
	}
	if r.ports, err = freeBlock(taken, rtpPorts+rtp); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "work"), 0o755); err != nil {
		return nil, err
	}
	if r.owner, err = os.Create(filepath.Join(r.dir, "owner")); err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(r.owner.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	claim := fmt.Sprintf("ports %d %d\nasterisk %s\n", r.ports, rtpPorts+rtp, r.asterisk)
	if _, err := r.owner.WriteString(claim); err != nil {
		return nil, err
	}
	return r, nil
}

// add makes a service part of the run, so that close ends it.
func (r *run) add(s *Service) *Service {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.services = append(r.services, s)
	return s
}

func (r *run) addr(offset int) string { return r.addrOn("127.0.0.1", offset) }

func (r *run) addrOn(host string, offset int) string {
	return net.JoinHostPort(host, strconv.Itoa(r.ports+offset))
}

func (r *run) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	faults := make([]error, len(r.services))
	var all sync.WaitGroup
	for i, s := range r.services {
		all.Go(func() { faults[i] = s.close() })
	}
	all.Wait()
	unmount(r.dir)
	faults = append(faults, os.RemoveAll(r.asterisk), os.RemoveAll(r.dir), r.owner.Close())
	return errors.Join(faults...)
}

// unmount takes a run's disks away, where it has any.
func unmount(dir string) { syscall.Unmount(filepath.Join(dir, "postgres"), syscall.MNT_DETACH) }

// block is a range of ports.
type block struct{ first, count int }

// sweep ends and removes the runs of dead owners, and returns the ports of the living.
// The caller holds the lock, so that no run is only half made.
func sweep(runs string) (taken []block, err error) {
	entries, err := os.ReadDir(runs)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		dir := filepath.Join(runs, entry.Name())
		ports, alive, err := inspect(dir)
		if err != nil {
			return nil, err
		}
		if alive {
			taken = append(taken, ports)
		}
	}
	return taken, nil
}

// inspect reports whether a run's owner lives, and its ports; a run without is buried.
// One without the file "owner" was being closed.
func inspect(dir string) (ports block, alive bool, err error) {
	owner, err := os.Open(filepath.Join(dir, "owner"))
	if errors.Is(err, os.ErrNotExist) {
		return block{}, false, os.RemoveAll(dir)
	}
	if err != nil {
		return block{}, false, err
	}
	defer owner.Close()
	var asterisk string
	fmt.Fscanf(owner, "ports %d %d\nasterisk %s", &ports.first, &ports.count, &asterisk)
	err = syscall.Flock(int(owner.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ports, true, nil
	}
	if err != nil {
		return block{}, false, err
	}
	return block{}, false, bury(dir, asterisk)
}

// bury ends and removes one run whose owner is dead.
func bury(dir, asterisk string) error {
	pids, err := filepath.Glob(filepath.Join(dir, "*.pid"))
	if err != nil {
		return err
	}
	for _, file := range pids {
		killRecorded(file)
	}
	unmount(dir)
	if asterisk != "" {
		if err := os.RemoveAll(asterisk); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

// freeBlock returns the first port of a block that no lab has claimed and whose servers'
// ports nothing listens on.
func freeBlock(taken []block, count int) (int, error) {
	for first := firstPort; first+count <= lastPort; {
		next := first
		for _, t := range taken {
			if first < t.first+t.count && t.first < first+count {
				next = max(next, t.first+t.count)
			}
		}
		if next == first && !bindable(first) {
			next = first + 100
		}
		if next == first {
			return first, nil
		}
		first = next + next%2 // RTP begins on an even port
	}
	return 0, fmt.Errorf("no %d free ports between %d and %d: other labs hold them", count, firstPort, lastPort)
}

// bindable reports whether the servers' ports of a block are free.
func bindable(first int) bool {
	for port := first; port < first+rtpPorts; port++ {
		for _, host := range []string{"127.0.0.1", carrierHost} {
			addr := net.JoinHostPort(host, strconv.Itoa(port))
			tcp, err := net.Listen("tcp", addr)
			if err != nil {
				return false
			}
			tcp.Close()
			udp, err := net.ListenPacket("udp", addr)
			if err != nil {
				return false
			}
			udp.Close()
		}
	}
	return true
}

// lock takes an exclusive lock that other processes see, and that ends with this one.
func lock(ctx context.Context, name string) (unlock func() error, err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	retry := time.NewTicker(50 * time.Millisecond)
	defer retry.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("wait for %s, which another process holds: %w", name, context.Cause(ctx))
		case <-retry.C:
		}
	}
}
