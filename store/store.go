// Package store is the only one to know how what must survive is kept: the
// ledger, calls, loans, plans, people and verifications in Postgres. Redis
// carries notices, which may be lost and cost nothing but speed.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/redis/go-redis/v9"

	"parley/ivr"
)

// Config says where things are kept.
type Config struct {
	DSN           string // Postgres, as a member of [ProgramRole]
	Connections   int    // to Postgres at most; 0 is 16
	RedisAddr     string // host:port; without it there are no notices, only polling
	RedisUser     string // of its access list; "" is the default one
	RedisPassword string
	Key           []byte // 32 secret bytes, the same for the life of the database
	Node          string // whose program this is; [DefaultNode] if empty

	// Sentinels know where Redis is, under the name RedisMaster; then RedisAddr is not used.
	Sentinels   []string // host:port
	RedisMaster string
}

// patience is how long Postgres may take over one operation, with its retries and
// the wait for a connection. A caller on the telephone waits that long at most,
// and hears within five seconds that we are sorry.
const patience = 4 * time.Second

// ErrConflict: the same ID came with other content. Nothing was written.
var ErrConflict = ivr.ErrConflict

// Store is safe for concurrent use.
type Store struct {
	// Waited, where it is not nil, is told of each wait on a queue that this copy of the
	// program has brought to its turn, or has ended before that, and how long it was. It is
	// set before the store is used.
	Waited func(until WaitState, long time.Duration)

	db       *sqlx.DB
	prepared *prepared     // on db: what every call asks
	redis    *redis.Client // nil without notices
	vault    *vault
	config   Config
	patience time.Duration

	notices *notifier              // nil without notices
	tenure  atomic.Pointer[tenure] // once this copy has owned Asterisk
}

var (
	_ ivr.Ledger        = (*Store)(nil)
	_ ivr.Directory     = (*Store)(nil)
	_ ivr.Verifications = (*Store)(nil)
	_ ivr.Desk          = (*Store)(nil)
)

// Open connects to a database that [Migrate] has brought to this program's
// version. It refuses a database of another version, and a key that is not the one
// with which the database was first opened. It does not wait for Redis.
func Open(ctx context.Context, c Config) (*Store, error) { return open(ctx, c, patience) }

func open(ctx context.Context, c Config, patience time.Duration) (*Store, error) {
	v, err := newVault(c.Key)
	if err != nil {
		return nil, err
	}
	c.Node = cmp.Or(c.Node, DefaultNode)
	db, err := connect(c.DSN, c.Node, patience)
	if err != nil {
		return nil, err
	}
	c.Connections = cmp.Or(c.Connections, 16)
	db.SetMaxOpenConns(c.Connections)
	db.SetMaxIdleConns(c.Connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	s := &Store{db: db, prepared: &prepared{db: db, byText: map[string]*sqlx.Stmt{}}, vault: v, config: c, patience: patience}
	if c.RedisAddr != "" || len(c.Sentinels) > 0 {
		s.redis = newRedis(c)
		s.notices = &notifier{redis: s.redis, gathered: map[string]bool{}}
	}
	for _, step := range []func(context.Context) error{s.checkVersion, s.checkKey} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, s.Disconnect())
		}
	}
	return s, nil
}

// Ping asks Postgres for a sign of life.
func (s *Store) Ping(ctx context.Context) error {
	return s.retry(ctx, s.db.PingContext)
}

// Disconnect gives the connections back. (Close ends a call, see [ivr.Ledger].)
func (s *Store) Disconnect() error {
	err := s.db.Close()
	if s.notices != nil {
		err = errors.Join(err, s.notices.close())
	}
	return err
}

// readDSN does not say what is wrong in the driver's words: they repeat the password.
func readDSN(dsn string) (pq.Config, error) {
	c, err := pq.NewConfig(dsn)
	if err != nil {
		err = errors.New("the Postgres DSN cannot be read: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, " +
			"and in these what is neither letter nor digit as %XX")
	}
	return c, err
}

// connect makes a pool whose every statement, wait for a lock and wait for a reply
// ends within limit: a slow or frozen Postgres gives an error, never a hang. The server gives
// up first, then the connection, and both before an operation that may take limit: else the
// driver would ask a frozen server to cancel, and wait for that as long again. Calls that
// are opened on it are the node's.
func connect(dsn, node string, limit time.Duration) (*sqlx.DB, error) {
	c, err := connector(dsn, node, limit)
	if err != nil {
		return nil, err
	}
	return sqlx.NewDb(sql.OpenDB(c), "postgres"), nil
}

func connector(dsn, node string, limit time.Duration) (driver.Connector, error) {
	c, err := readDSN(dsn)
	if err != nil {
		return nil, err
	}
	c.ApplicationName = cmp.Or(c.ApplicationName, "parley")
	c.ConnectTimeout = limit
	c.BinaryParameters = true // one round trip for a statement, not two
	if c.Runtime == nil {
		c.Runtime = map[string]string{}
	}
	ms := fmt.Sprint((limit - limit/8).Milliseconds())
	c.Runtime["statement_timeout"] = ms
	c.Runtime["idle_in_transaction_session_timeout"] = ms
	c.Runtime["default_transaction_isolation"] = "read committed"
	c.Runtime["timezone"] = "UTC"
	c.Runtime["parley.node"] = node
	connector, err := pq.NewConnectorConfig(c)
	if err != nil {
		return nil, err
	}
	connector.Dialer(impatientDialer{limit - limit/16})
	return connector, nil
}

// impatientDialer makes connections on which every read ends after a limit. The
// driver alone would wait for ever for a server that is frozen: it answers the end
// of a context by asking that server to cancel.
type impatientDialer struct{ limit time.Duration }

func (d impatientDialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d impatientDialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d impatientDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: d.limit}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return impatientConn{c, d.limit}, nil
}

type impatientConn struct {
	net.Conn
	limit time.Duration
}

func (c impatientConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// inTx commits what fn did, unless it returned an error. fn runs again, whole, when
// Postgres could not serialise it or the connection was lost: also when the commit
// was done and only its reply was lost. So every fn must find what it did before by
// an ID that its caller made, and leave nothing behind outside of tx.
func (s *Store) inTx(ctx context.Context, fn func(ctx context.Context, tx *sqlx.Tx) error) error {
	return s.retry(ctx, func(ctx context.Context) error {
		tx, err := s.db.BeginTxx(ctx, nil) // READ COMMITTED, see connect
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var waits []waited
		if err := fn(context.WithValue(ctx, waitedKey{}, &waits), tx); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		s.tellWaited(waits)
		return nil
	})
}

// retry runs fn until it has an answer, within the store's patience.
func (s *Store) retry(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience, errors.New("Postgres took too long"))
	defer cancel()
	const tries = 6
	pause := 10 * time.Millisecond
	for try := 1; ; try++ {
		err := fn(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), err)
		case lost(err):
			// The other idle connections are likely lost too; each would cost a try.
			s.db.SetMaxIdleConns(0)
			s.db.SetMaxIdleConns(s.config.Connections)
		case !serialisation(err):
			return err
		}
		if try == tries {
			return fmt.Errorf("Postgres failed %d times: %w", tries, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// serialisation tells a failure that another transaction caused by being there.
func serialisation(err error) bool {
	code := sqlState(err)
	return code == "40001" || code == "40P01" // serialization_failure, deadlock_detected
}

// lost tells a connection that broke, or a server that goes down or comes up.
func lost(err error) bool {
	switch code := sqlState(err); code {
	case "57P01", "57P02", "57P03", // admin_shutdown, crash_shutdown, cannot_connect_now
		"25006": // read_only_sql_transaction: a standby, which the DSN leads past the next time
		return true
	case "":
		var network *net.OpError
		return errors.As(err, &network) && !network.Timeout() ||
			errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
			errors.Is(err, syscall.ECONNRESET) || errors.Is(err, net.ErrClosed)
	default:
		return code[:2] == "08" // connection_exception
	}
}

// sqlState is the code of an error that Postgres gave, or "".
func sqlState(err error) string {
	var e *pq.Error
	if errors.As(err, &e) {
		return string(e.Code)
	}
	return ""
}

// violated is the name of the constraint that refused what was written, or "".
func violated(err error) string {
	var e *pq.Error
	if errors.As(err, &e) && e.Code.Class() == "23" {
		return e.Constraint
	}
	return ""
}
