package store

import (
	"context"
	"time"
)

// Examination is what the database says of itself to whoever looks for what is wrong.
type Examination struct {
	Version   string        // of Postgres
	Ahead     time.Duration // its clock, of ours, give or take half of Took
	Took      time.Duration // for its answer
	Superuser bool          // the program's login is one, and nothing guards the records
	TooMuch   []string      // rights on records that the program's login must not have
	TooLittle []string      // tables that it may not read
	Audited   time.Time     // zero: never
	Faults    int           // that the last audit found
}

// Examine asks Postgres about itself and about what the program's login may.
func (s *Store) Examine(ctx context.Context) (e Examination, err error) {
	var row struct {
		Version   string
		At        time.Time
		Superuser bool
	}
	asked := time.Now()
	if err := s.get(ctx, &row, `
		SELECT current_setting('server_version') AS version, clock_timestamp() AS at,
			(SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser`); err != nil {
		return e, err
	}
	e.Took = time.Since(asked)
	e.Version, e.Superuser, e.Ahead = row.Version, row.Superuser, row.At.Sub(asked.Add(e.Took/2))
	if err := s.list(ctx, &e.TooMuch, `
		SELECT what || ' on ' || t FROM unnest(ARRAY['transfers', 'holds', 'hold_resolutions', 'audit_log', 'plans']) AS t,
			unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS what
		WHERE has_table_privilege(t, what) ORDER BY 1`); err != nil {
		return e, err
	}
	if err := s.list(ctx, &e.TooLittle, `
		SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relnamespace = 'public'::regnamespace
			AND NOT has_table_privilege(oid, 'SELECT') ORDER BY 1`); err != nil {
		return e, err
	}
	last, err := s.Audits(ctx, 1, 0)
	if len(last) > 0 {
		e.Audited, e.Faults = last[0].At, last[0].Count
	}
	return e, err
}
