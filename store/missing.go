package store

import (
	"context"
	"fmt"

	"github.com/lib/pq"
)

// Missing are those of some IDs of calls and payments of which the books know nothing: after
// a restore, what was written since the backup. The order is theirs.
func (s *Store) Missing(ctx context.Context, ids []string) (missing []string, err error) {
	err = s.list(ctx, &missing, `
		SELECT id FROM unnest($1::text[]) WITH ORDINALITY AS known (id, number)
		WHERE NOT EXISTS (SELECT FROM calls WHERE calls.id = known.id)
			AND NOT EXISTS (SELECT FROM transfers WHERE kind = 'deposit' AND key = known.id)
		ORDER BY number`, pq.Array(ids))
	if err != nil {
		return nil, fmt.Errorf("look for what is missing in the books: %w", err)
	}
	return missing, nil
}
