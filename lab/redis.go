package lab

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Redis is one Redis server. It keeps its data over Kill and Start.
type Redis struct {
	*Service

	Addr           string // 127.0.0.1:PORT
	User, Password string // the program's; the lab itself is the default user, who may do all
}

// ProgramACL is what the program may do: notices, and nothing that is kept. The compose file
// says the same.
var ProgramACL = []string{
	"resetchannels", "&parley:*", "-@all", "+publish", "+subscribe", "+unsubscribe", "+ping",
	"+hello", "+client|setname",
}

func startRedis(ctx context.Context, inst installation, r *run, o Options) (*Redis, error) {
	fsync := "no"
	if o.Durable {
		fsync = "everysec"
	}
	return startRedisAs(ctx, inst, r, nil, "redis", redisPort, "--appendfsync", fsync)
}

func startRedisAs(ctx context.Context, inst installation, r *run, of *Redis, name string, port int, more ...string) (*Redis, error) {
	data := filepath.Join(r.dir, name)
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chown(data, int(inst.redisUser.Uid), int(inst.redisUser.Gid)); err != nil {
		return nil, err
	}
	red := &Redis{Addr: r.addr(port), User: "parley", Password: rand.Text()}
	if of != nil { // a copy has the same users
		red.User, red.Password = of.User, of.Password
	}
	access := filepath.Join(r.dir, name+".acl")
	rules := fmt.Sprintf("user default on nopass ~* &* +@all\nuser %s on >%s %s\n", red.User, red.Password, strings.Join(ProgramACL, " "))
	if err := os.WriteFile(access, []byte(rules), 0o600); err != nil {
		return nil, err
	}
	if err := os.Chown(access, int(inst.redisUser.Uid), int(inst.redisUser.Gid)); err != nil {
		return nil, err
	}
	red.Service = r.add(&Service{
		name: name,
		path: "/usr/bin/redis-server",
		args: append([]string{
			"--bind", "127.0.0.1", "--port", strconv.Itoa(r.ports + port),
			"--daemonize", "no", "--dir", data, "--aclfile", access,
			"--save", "", "--appendonly", "yes",
		}, more...),
		attr:    syscall.SysProcAttr{Credential: inst.redisUser},
		dir:     r.dir,
		ready:   red.ping,
		closing: syscall.SIGKILL,
	})
	return red, red.Start(ctx)
}

func (r *Redis) ping(ctx context.Context) error { return r.command(ctx, "PING", "+PONG") }

// Flush removes all that Redis holds.
func (r *Redis) Flush(ctx context.Context) error { return r.command(ctx, "FLUSHALL", "+OK") }

func (r *Redis) command(ctx context.Context, command, want string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && answer != want+"\r\n" {
		err = fmt.Errorf("redis answers %q to %s", answer, command)
	}
	return err
}
