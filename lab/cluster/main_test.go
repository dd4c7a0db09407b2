// Package cluster proves on one machine that Parley grows past one: two nodes, each an
// Asterisk on an address of its own and a program, behind Kamailio with the configuration of
// docker/kamailio; one Postgres with a synchronous standby; Redis with a sentinel. With -short
// there are the two nodes alone, each with a carrier's trunk of its own: no Kamailio is needed.
package cluster

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"

	"parley/lab"
	"parley/lab/phone"
	"parley/lab/stage"
)

// Where the nodes, and Kamailio before them, speak SIP.
const (
	hostOne, hostTwo, hostProxy = "127.0.0.11", "127.0.0.12", "127.0.0.20"
	bothNodes                   = hostOne + "," + hostTwo
)

// node is an Asterisk and its program.
type node struct {
	name     string
	asterisk *lab.Asterisk
	program  *lab.Service
}

// cluster is all of it. One is the stage's own.
type cluster struct {
	*stage.Stage
	one, two *node
	other    *lab.Lab // of two
	standby  *lab.Postgres
	kamailio *lab.Service
	trunk    *phone.Carrier // of two, where there is no Kamailio before both
	db       *sql.DB        // whichever Postgres is written to
}

var town *cluster

func TestMain(m *testing.M) {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	town = &cluster{}
	code := 1
	if err := town.open(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if err := town.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func (c *cluster) close() error {
	var err error
	if c.db != nil {
		err = c.db.Close()
	}
	if c.trunk != nil {
		err = errors.Join(err, c.trunk.Close())
	}
	if c.Stage != nil {
		err = errors.Join(err, c.Stage.Close())
	}
	return errors.Join(err, c.other.Close())
}

func (c *cluster) open(ctx context.Context) (err error) {
	one := lab.Options{Host: hostOne, Nodes: bothNodes}
	if !testing.Short() {
		one.Proxy = hostProxy + ":0"
	}
	c.Stage, err = stage.Open(ctx, stage.Options{
		Lab: one, RTPTimeout: 10 * time.Second,
		Settings: func(s *stage.Stage) ([]string, error) {
			c.Stage = s
			return c.widen(ctx)
		},
	})
	if err != nil {
		return err
	}
	c.one = &node{"one", c.Lab.Asterisk, c.Program}
	if c.other, err = lab.Start(ctx, lab.Options{
		WithoutPostgres: true, WithoutRedis: true, Host: hostTwo, Proxy: c.Lab.Proxy, Nodes: bothNodes,
		RTPTimeout: 10 * time.Second, ShownNumber: stage.CallerID,
	}); err != nil {
		return err
	}
	if testing.Short() {
		c.trunk, err = phone.NewCarrier(ctx, c.other.Asterisk.CarrierAddr, c.other.Asterisk.SIPAddr)
	} else {
		err = c.startKamailio(ctx)
	}
	if err != nil {
		return err
	}
	return c.startTwo(ctx)
}

// widen makes what the first node shares with the second, and returns the first one's own
// settings.
func (c *cluster) widen(ctx context.Context) (own []string, err error) {
	if !testing.Short() {
		if err := c.doubleStores(ctx); err != nil {
			return nil, err
		}
	}
	if c.db, err = sql.Open("postgres", c.setting("PARLEY_POSTGRES_DSN")); err != nil {
		return nil, err
	}
	return slices.Concat(c.Env, []string{"PARLEY_NODE=one", "PARLEY_NODE_SIP=" + c.Lab.Asterisk.SIPAddr}), nil
}

// doubleStores gives Postgres a standby, and Redis a copy and a sentinel.
func (c *cluster) doubleStores(ctx context.Context) (err error) {
	if c.standby, err = c.Lab.Standby(ctx); err != nil {
		return err
	}
	sentinel, err := c.Lab.Sentinel(ctx)
	if err != nil {
		return err
	}
	dsn, err := c.bothPostgres()
	c.Env = append(c.Env, "PARLEY_POSTGRES_DSN="+dsn, "PARLEY_REDIS_SENTINELS="+sentinel)
	return err
}

// setting is the last that is given of a name: it holds.
func (c *cluster) setting(name string) (value string) {
	for _, one := range c.Env {
		if n, v, _ := strings.Cut(one, "="); n == name {
			value = v
		}
	}
	return value
}

// bothPostgres is the program's DSN with both servers in it: whichever is written to.
func (c *cluster) bothPostgres() (string, error) {
	u, err := url.Parse(c.setting("PARLEY_POSTGRES_DSN"))
	if err != nil {
		return "", err
	}
	_, second, _ := strings.Cut(c.standby.Addr, ":")
	password, _ := u.User.Password()
	return fmt.Sprintf("host=127.0.0.1,127.0.0.1 port=%s,%s user=%s password=%s dbname=%s sslmode=disable target_session_attrs=read-write",
		u.Port(), second, u.User.Username(), password, strings.TrimPrefix(u.Path, "/")), nil
}

func (c *cluster) startKamailio(ctx context.Context) error {
	list := filepath.Join(c.Lab.Dir(), "dispatcher.list")
	text := fmt.Sprintf("1 sip:%s\n1 sip:%s\n2 sip:%s\n", c.Lab.Asterisk.SIPAddr, c.other.Asterisk.SIPAddr, c.Carrier.Addr())
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		return err
	}
	config, err := filepath.Abs("../../docker/kamailio/kamailio.cfg")
	if err != nil {
		return err
	}
	run := filepath.Join(c.Lab.Dir(), "kamailio")
	if err := os.Mkdir(run, 0o755); err != nil {
		return err
	}
	c.kamailio = c.Lab.Program("kamailio", "/usr/sbin/kamailio", []string{
		"-DD", "-E", "-f", config, "-l", "udp:" + c.Lab.Proxy, "-Y", run, "-A", fmt.Sprintf("LIST=%q", list),
	}, nil, func(context.Context) error { return ping(c.Lab.Proxy, hostOne+":0") })
	return c.kamailio.Start(ctx)
}

// startTwo starts the second node's program. Its prompts are its own Asterisk's.
func (c *cluster) startTwo(ctx context.Context) error {
	a := c.other.Asterisk
	c.two = &node{name: "two", asterisk: a}
	c.two.program = c.Copy("two", "serving",
		"PARLEY_NODE=two", "PARLEY_NODE_SIP="+a.SIPAddr, "PARLEY_ASTERISK_MEDIA_ADDRESS="+hostTwo,
		"PARLEY_ASTERISK_URL="+a.URL, "PARLEY_ASTERISK_PASSWORD="+a.Password,
		"PARLEY_PROMPTS_DIR="+a.PromptsDir, "PARLEY_PROMPTS_ASTERISK_DIR="+a.PromptsPath)
	return c.two.program.Start(ctx)
}

// said is how often a node's program has said something.
func (n *node) said(msg string) int {
	text, _ := os.ReadFile(n.program.LogFile())
	return strings.Count(string(text), `"msg":"`+msg+`"`)
}

func (n *node) log() string {
	text, _ := os.ReadFile(n.program.LogFile())
	lines := strings.Split(string(text), "\n")
	return n.name + ":\n" + strings.Join(lines[max(0, len(lines)-15):], "\n")
}
