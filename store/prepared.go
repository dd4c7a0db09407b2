package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/jmoiron/sqlx"
)

// prepared are the statements of every call, and those that look for something to do many
// times a second. Postgres reads and plans them once for each connection, where reading and
// planning cost more than doing. Their texts are constants: there are as many as the code has.
type prepared struct {
	db     *sqlx.DB
	mu     sync.Mutex
	byText map[string]*sqlx.Stmt
}

// rowQueryer is a transaction, or the prepared statements.
type rowQueryer interface {
	QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row
}

// QueryRowxContext is as [sqlx.DB.QueryRowxContext].
func (p *prepared) QueryRowxContext(ctx context.Context, query string, args ...any) *sqlx.Row {
	stmt, err := p.statement(ctx, query)
	if err != nil {
		return p.db.QueryRowxContext(ctx, query, args...) // it fails again, as a row
	}
	return stmt.QueryRowxContext(ctx, args...)
}

// GetContext is as [sqlx.DB.GetContext].
func (p *prepared) GetContext(ctx context.Context, dest any, query string, args ...any) error {
	stmt, err := p.statement(ctx, query)
	if err != nil {
		return err
	}
	return stmt.GetContext(ctx, dest, args...)
}

// SelectContext is as [sqlx.DB.SelectContext].
func (p *prepared) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	stmt, err := p.statement(ctx, query)
	if err != nil {
		return err
	}
	return stmt.SelectContext(ctx, dest, args...)
}

// ExecContext is as [sqlx.DB.ExecContext].
func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := p.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// statement is the statement of a text. database/sql prepares it on each connection that
// it is used on, also on those that replace a lost one.
func (p *prepared) statement(ctx context.Context, query string) (*sqlx.Stmt, error) {
	p.mu.Lock()
	stmt := p.byText[query]
	p.mu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := p.db.PreparexContext(ctx, query)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other := p.byText[query]; other != nil {
		stmt.Close()
		return other, nil
	}
	p.byText[query] = stmt
	return stmt, nil
}
