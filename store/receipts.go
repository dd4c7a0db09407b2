package store

import (
	"context"
	"fmt"

	"parley/ivr"
)

// Receipts are those of a client's calls, the newest first: only of calls older than
// before, unless it is "".
func (s *Store) Receipts(ctx context.Context, client ivr.ClientID, before ivr.CallID, limit int) ([]Receipt, error) {
	var calls []ivr.CallID
	if err := s.list(ctx, &calls, `
		SELECT id FROM calls WHERE client = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`, client, before, limit); err != nil {
		return nil, fmt.Errorf("receipts of client %s: %w", client, err)
	}
	receipts := make([]Receipt, len(calls))
	for i, call := range calls {
		var err error
		if receipts[i], err = s.Receipt(ctx, call); err != nil {
			return nil, err
		}
	}
	return receipts, nil
}
