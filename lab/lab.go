// Package lab is the private exchange: an Asterisk, a Postgres and a Redis of one's own
// on loopback, for the demo, the tests and the benchmarks. It is the only package that
// knows how these are installed, started, broken on purpose and ended. What it starts
// ends with the process that started it, however that process ends.
//
//	l, err := lab.Start(ctx, lab.Options{})
//	if err != nil { ... }
//	defer l.Close()
//	dsn, err := l.NewDatabase(ctx)
//	client := ari.New(l.Asterisk.URL, l.Asterisk.User, l.Asterisk.Password)
//
// A test package starts one in TestMain and shares it. Any number of labs run at once on
// a machine. After Ctrl-C a caller that used signal.NotifyContext calls Close as always;
// services are in process groups of their own, so the terminal's signal does not reach
// them first.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options say what to start. The zero value starts everything, for tests.
type Options struct {
	WithoutAsterisk bool
	WithoutPostgres bool
	WithoutRedis    bool

	// Durable makes Postgres and Redis write to the disk before they answer, as in
	// production: for benchmarks, and for faults that a disk must survive.
	Durable bool
	// PostgresDisk gives Postgres a disk of its own of so many bytes, which can be filled.
	PostgresDisk int64
	// PostgresClock gives Postgres a clock of its own, set by the file that is named as its
	// directory with ".clock" after it: "+1h". Debian's libfaketime must be there.
	PostgresClock bool
	// RTPPorts bounds the calls: four for a bridged one. 400 if zero.
	RTPPorts int
	// RTPTimeout is how long a leg may send nothing before Asterisk ends it; whole
	// seconds, 30 s if zero.
	RTPTimeout time.Duration
	// ShownNumber is what those who are called through the carrier see; "anonymous" if
	// empty.
	ShownNumber string
	// Host is where Asterisk speaks SIP and RTP; 127.0.0.1 if empty.
	Host string
	// Proxy is the SIP proxy between the carrier and Asterisk, host:port: all calls come from
	// there and go there. With the port 0 it is one of this lab's; see [Lab.Proxy].
	Proxy string
	// Nodes are the addresses of the Asterisks of other nodes, comma separated.
	Nodes string
	// Progress is told what [Install] does if something is missing. os.Stderr if nil.
	Progress io.Writer
}

// Lab is one running private exchange. A service that was left out is nil.
type Lab struct {
	Asterisk *Asterisk
	Postgres *Postgres
	Redis    *Redis

	Proxy string // host:port, where there is one

	inst installation
	run  *run
}

// Start installs what is missing, starts the services and waits until all of them serve.
func Start(ctx context.Context, o Options) (_ *Lab, err error) {
	if o.RTPPorts == 0 {
		o.RTPPorts = 400
	}
	if o.RTPTimeout == 0 {
		o.RTPTimeout = 30 * time.Second
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	inst, err := install(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	l := &Lab{inst: inst}
	if l.run, err = newRun(ctx, inst, o.RTPPorts); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if host, own := strings.CutSuffix(o.Proxy, ":0"); own {
		o.Proxy = l.run.addrOn(host, proxyPort)
	}
	l.Proxy = o.Proxy

	var services []func() error
	if !o.WithoutAsterisk {
		services = append(services, func() (err error) { l.Asterisk, err = startAsterisk(ctx, inst, l.run, o); return })
	}
	if !o.WithoutPostgres {
		services = append(services, func() (err error) { l.Postgres, err = startPostgres(ctx, inst, l.run, o); return })
	}
	if !o.WithoutRedis {
		services = append(services, func() (err error) { l.Redis, err = startRedis(ctx, inst, l.run, o); return })
	}
	faults := make([]error, len(services))
	var all sync.WaitGroup
	for i, start := range services {
		all.Go(func() { faults[i] = start() })
	}
	all.Wait()
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("start the private exchange: %w", err)
	}
	return l, nil
}

// Close ends every service and removes everything that the lab wrote. It may be called
// more than once, and on a nil Lab.
func (l *Lab) Close() error {
	if l == nil || l.run == nil {
		return nil
	}
	return l.run.close()
}

// Dir is a directory for the caller's own files, gone with the lab.
func (l *Lab) Dir() string { return filepath.Join(l.run.dir, "work") }

// NewDatabase makes an empty database with an owner of its own, who may also create
// roles, and returns the owner's DSN.
func (l *Lab) NewDatabase(ctx context.Context) (dsn string, err error) {
	if l.Postgres == nil {
		return "", errors.New("this lab was started without Postgres")
	}
	return l.Postgres.newDatabase(ctx)
}
