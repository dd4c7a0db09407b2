package main

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"parley/store"
)

func (a *app) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "migrate", Short: "Bring the database to this program's version", Args: cobra.NoArgs,
		Long: `Bring the database to this program's version, and make the program's own login.

This alone signs in as the database's owner (postgres.owner_dsn). The program signs
in as the user of postgres.dsn, who may not change what has been written.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if c.ownerDSN == "" {
				return errors.New("postgres.owner_dsn is not set: set PARLEY_POSTGRES_OWNER_DSN or postgres.owner_dsn_file")
			}
			u, err := url.Parse(c.postgresDSN)
			if err != nil || u.User == nil {
				return errors.New("postgres.dsn must be a URL with a user, such as postgres://parley:PASSWORD@HOST/DATABASE")
			}
			if err := store.Migrate(cmd.Context(), c.ownerDSN); err != nil {
				return err
			}
			password, _ := u.User.Password()
			if err := store.GrantProgram(cmd.Context(), c.ownerDSN, u.User.Username(), password); err != nil {
				return err
			}
			return a.print(cmd.OutOrStdout(), say(map[string]bool{"migrated": true},
				"%s", fmt.Sprintf("the database is at this program's version; %s may use it", u.User.Username())))
		},
	}
}
