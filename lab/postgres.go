package lab

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
)

// Postgres is one database server.
type Postgres struct {
	*Service

	Addr         string // 127.0.0.1:PORT
	SuperuserDSN string // of the database postgres
	Dir          string // where its data is

	superuserPassword string
	settings          []string
}

func startPostgres(ctx context.Context, inst installation, r *run, o Options) (*Postgres, error) {
	data := filepath.Join(r.dir, "postgres")
	if o.PostgresDisk > 0 {
		if err := os.Mkdir(data, 0o700); err != nil {
			return nil, err
		}
		if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%d", o.PostgresDisk)); err != nil {
			return nil, fmt.Errorf("make a disk for Postgres: %w", err)
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", "-T", inst.postgresTemplate, data).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copy the empty Postgres: %w: %s", err, out)
	}
	var env []string
	if o.PostgresClock {
		var err error
		if env, err = ownClock(data + ".clock"); err != nil {
			return nil, err
		}
	}
	settings := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"max_connections=200",
		"log_line_prefix=%m [%p] %u@%d ",
	}
	if !o.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	return startPostgresIn(ctx, inst, r, "postgres", data, postgresPort, env, settings)
}

func startPostgresIn(ctx context.Context, inst installation, r *run, name, data string, port int, env, settings []string) (*Postgres, error) {
	password, err := os.ReadFile(inst.postgresTemplate + ".password")
	if err != nil {
		return nil, err
	}
	p := &Postgres{Addr: r.addr(port), Dir: data, superuserPassword: string(password), settings: settings}
	p.SuperuserDSN = p.dsn("postgres", p.superuserPassword, "postgres")
	args := []string{"-D", data, "-c", "port=" + strconv.Itoa(r.ports+port)}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	p.Service = r.add(&Service{
		name:  name,
		path:  filepath.Join(inst.postgresBin, "postgres"),
		args:  args,
		env:   env,
		attr:  syscall.SysProcAttr{Credential: inst.postgresUser},
		dir:   r.dir,
		ready: p.ping,
		// An immediate shutdown: the kernel's shared memory is given back.
		closing: syscall.SIGQUIT,
	})
	return p, p.Start(ctx)
}

// ownClock is the environment of a process whose clock a file sets.
func ownClock(file string) (env []string, err error) {
	found, err := filepath.Glob("/usr/lib/*/faketime/libfaketime.so.1")
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("libfaketime is not installed: apt-get install libfaketime (%w)", err)
	}
	return []string{
		"LD_PRELOAD=" + found[0], "FAKETIME_TIMESTAMP_FILE=" + file,
		"FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}, os.WriteFile(file, []byte("+0\n"), 0o644)
}

func (p *Postgres) dsn(user, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, password, p.Addr, database)
}

func (p *Postgres) ping(ctx context.Context) error { return p.exec(ctx, time.Second, "SELECT 1") }

// patience is for a server that answers, on a machine that has much else to do.
const patience = time.Minute

// exec runs statements as the superuser, each in a transaction of its own. The driver
// does not heed ctx while it waits for a frozen server's first answer, hence within.
func (p *Postgres) exec(ctx context.Context, within time.Duration, statements ...string) error {
	db, err := sql.Open("postgres", fmt.Sprintf("%s&connect_timeout=%d", p.SuperuserDSN, int(within.Seconds())))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postgres) newDatabase(ctx context.Context) (dsn string, err error) {
	name := "parley_" + strings.ToLower(rand.Text()[:12])
	password := rand.Text()
	err = p.exec(ctx, patience,
		fmt.Sprintf("CREATE ROLE %s LOGIN CREATEROLE PASSWORD '%s'", name, password),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", name, name))
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	return p.dsn(name, password, name), nil
}
