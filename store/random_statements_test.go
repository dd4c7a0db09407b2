package store

import (
	"context"
	"database/sql/driver"
)

// rememberer makes connections on which Postgres reads and plans each statement once:
// the same few are asked a hundred thousand days long.
type rememberer struct{ driver.Connector }

func (r rememberer) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := r.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &remembering{c.(conn), map[string]driver.Stmt{}}, nil
}

type conn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.QueryerContext
	driver.ExecerContext
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
	driver.Pinger
}

type remembering struct {
	conn
	known map[string]driver.Stmt
}

func (c *remembering) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	stmt, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}

func (c *remembering) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 { // it may be several
		return c.conn.ExecContext(ctx, query, args)
	}
	stmt, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (c *remembering) statement(ctx context.Context, query string) (driver.Stmt, error) {
	if stmt := c.known[query]; stmt != nil {
		return stmt, nil
	}
	stmt, err := c.conn.PrepareContext(ctx, query)
	if err == nil {
		c.known[query] = stmt
	}
	return stmt, err
}
