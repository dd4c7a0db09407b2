package bench

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"parley/lab"
)

// Size is how long money takes in a database of so many clients, each with a closed call.
type Size struct {
	Clients int
	Pair    []time.Duration // a hold and its settlement, sorted
	Bytes   int64           // of the whole database
}

// MeasureSize fills the database further and further.
func (b *Bench) MeasureSize(ctx context.Context) (all []Size, err error) {
	db, err := sql.Open("postgres", b.superuserDSN())
	if err != nil {
		return nil, err
	}
	defer db.Close()
	s, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.Disconnect()
	filled := 0
	for _, clients := range b.Clients {
		if err := lab.Fill(ctx, db, filled, clients); err != nil {
			return all, err
		}
		filled = clients
		size := Size{Clients: clients}
		for began := time.Now(); time.Since(began) < b.Options.Ledger; {
			at := time.Now()
			if err := holdAndSettle(ctx, s, min(b.Pairs, 10)); err != nil {
				return all, err
			}
			size.Pair = append(size.Pair, time.Since(at))
		}
		slices.Sort(size.Pair)
		if err := db.QueryRowContext(ctx, `SELECT pg_database_size(current_database())`).Scan(&size.Bytes); err != nil {
			return all, err
		}
		b.say("%d clients and closed calls: hold and settle %v, p99 %v, one at a time; %d MB", clients,
			quantile(size.Pair, 0.5), quantile(size.Pair, 0.99), size.Bytes>>20)
		all = append(all, size)
	}
	return all, nil
}

// superuserDSN is the server's superuser in the program's database.
func (b *Bench) superuserDSN() string {
	return databaseOf(b.stage.Lab.Postgres.SuperuserDSN, b.stage.OwnerDSN)
}
