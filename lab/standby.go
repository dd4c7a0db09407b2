package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Standby makes a second Postgres that follows the lab's, and without whose word that one
// commits nothing from now on: what it has told anybody is on both. It takes the first one's
// place by [Postgres.Promote].
func (l *Lab) Standby(ctx context.Context) (*Postgres, error) {
	first, data := l.Postgres, filepath.Join(l.run.dir, "standby")
	host, port, err := net.SplitHostPort(first.Addr)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chown(data, int(l.inst.postgresUser.Uid), int(l.inst.postgresUser.Gid)); err != nil {
		return nil, err
	}
	copying := exec.CommandContext(ctx, filepath.Join(l.inst.postgresBin, "pg_basebackup"),
		"-D", data, "-h", host, "-p", port, "-U", "postgres", "-R", "-X", "stream", "--checkpoint=fast", "--no-sync")
	copying.Env = []string{"PGPASSWORD=" + first.superuserPassword, "PGAPPNAME=standby"}
	copying.Dir = "/"
	copying.SysProcAttr = &syscall.SysProcAttr{Credential: l.inst.postgresUser}
	if out, err := copying.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy Postgres: %w: %s", err, out)
	}
	second, err := startPostgresIn(ctx, l.inst, l.run, "standby", data, standbyPort, nil, first.settings)
	if err != nil {
		return nil, err
	}
	return second, first.exec(ctx, patience, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
}

// Promote makes a standby the Postgres that is written to. It need not wait for itself.
func (p *Postgres) Promote(ctx context.Context) error {
	return p.exec(ctx, patience, "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()", "SELECT pg_promote()")
}

// Sentinel starts a copy of the lab's Redis and a sentinel that lets it take the first one's
// place when that one dies. It returns the sentinel's address; it knows them as "parley".
func (l *Lab) Sentinel(ctx context.Context) (addr string, err error) {
	host, port, err := net.SplitHostPort(l.Redis.Addr)
	if err != nil {
		return "", err
	}
	if _, err := startRedisAs(ctx, l.inst, l.run, l.Redis, "replica", replicaPort, "--replicaof", host, port); err != nil {
		return "", err
	}
	dir := filepath.Join(l.run.dir, "sentinel-"+strings.ToLower(rand.Text()[:6]))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	text := fmt.Sprintf(`sentinel monitor parley %s %s 1
sentinel down-after-milliseconds parley 1000
sentinel failover-timeout parley 5000
`, host, port)
	file := filepath.Join(dir, "sentinel.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", err
	}
	for _, name := range []string{dir, file} { // which the sentinel rewrites
		if err := os.Chown(name, int(l.inst.redisUser.Uid), int(l.inst.redisUser.Gid)); err != nil {
			return "", err
		}
	}
	sentinel := &Redis{Addr: l.run.addr(sentinelPort)}
	_, port, _ = net.SplitHostPort(sentinel.Addr)
	sentinel.Service = l.run.add(&Service{
		name: "sentinel", path: "/usr/bin/redis-server",
		args: []string{file, "--sentinel", "--bind", "127.0.0.1", "--port", port, "--daemonize", "no", "--dir", dir},
		attr: syscall.SysProcAttr{Credential: l.inst.redisUser}, dir: l.run.dir, ready: sentinel.ping, closing: syscall.SIGKILL,
	})
	return sentinel.Addr, sentinel.Start(ctx)
}
