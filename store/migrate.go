package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// ProgramRole is the group of Postgres logins that may do what the program does,
// and no more: they cannot change or delete a transfer, a hold, its resolution, a
// plan, a call that has ended or a row of the audit log.
const ProgramRole = "parley_program"

//go:embed migrations/*.sql
var embedded embed.FS

const versionTable = "schema_version"

// Migrate brings the database to this program's version, as the database's owner.
// Several may call it at once. It refuses a database that a newer program migrated.
func Migrate(ctx context.Context, ownerDSN string) error {
	db, err := openOwner(ownerDSN)
	if err != nil {
		return err
	}
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
	if err != nil {
		return err
	}
	p, err := migrations(db, goose.WithSessionLocker(locker))
	if err != nil {
		return err
	}
	version, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the database's version: %w", err)
	}
	if version > want {
		return newer(version, want)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	return nil
}

func openOwner(dsn string) (*sql.DB, error) {
	c, err := readDSN(dsn)
	if err != nil {
		return nil, err
	}
	connector, err := pq.NewConnectorConfig(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// GrantProgram makes the login with which the program signs in, or gives it a new
// password, and lets it do what [ProgramRole] may.
func GrantProgram(ctx context.Context, ownerDSN, user, password string) error {
	db, err := openOwner(ownerDSN)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	name, secret := pq.QuoteIdentifier(user), pq.QuoteLiteral(password)
	_, err = db.ExecContext(ctx, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD %s", name, secret))
	if sqlState(err) == "42710" { // duplicate_object
		_, err = db.ExecContext(ctx, fmt.Sprintf("ALTER ROLE %s LOGIN PASSWORD %s", name, secret))
	}
	if err != nil {
		return fmt.Errorf("make the login %s: %w", user, err)
	}
	if _, err := db.ExecContext(ctx, fmt.Sprintf("GRANT %s TO %s", ProgramRole, name)); err != nil {
		return fmt.Errorf("grant %s to %s (migrate first): %w", ProgramRole, user, err)
	}
	return nil
}

func migrations(db *sql.DB, options ...goose.ProviderOption) (*goose.Provider, error) {
	files, err := fs.Sub(embedded, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, files, append(options, goose.WithTableName(versionTable))...)
}

// checkVersion compares the database's version with the program's.
func (s *Store) checkVersion(ctx context.Context) error {
	p, err := migrations(s.db.DB)
	if err != nil {
		return err
	}
	sources := p.ListSources()
	want := sources[len(sources)-1].Version
	var version int64
	err = s.retry(ctx, func(ctx context.Context) error {
		return s.db.GetContext(ctx, &version, `SELECT coalesce(max(version_id), 0) FROM `+versionTable)
	})
	switch {
	case sqlState(err) == "42P01": // undefined_table
		return errors.New("the database is empty: migrate it first")
	case sqlState(err) == "42501": // insufficient_privilege
		return fmt.Errorf("the database refuses this login: grant it %s: %w", ProgramRole, err)
	case err != nil:
		return fmt.Errorf("read the database's version: %w", err)
	case version > want:
		return newer(version, want)
	case version < want:
		return fmt.Errorf("the database is at version %d, this program needs %d: migrate it first", version, want)
	}
	return nil
}

func newer(version, want int64) error {
	return fmt.Errorf("the database is at version %d, this program knows %d: start the newer program", version, want)
}
