package store

import (
	"context"
	"errors"
	"fmt"
)

// forgottenAtOnce keeps a step of forgetting well within the store's patience.
const forgottenAtOnce = 2000

// ForgetOld forgets answers to requests and sign-ins after 30 days, and events with their
// deliveries after 90; whoever looks for them by then asks anew. Of many copies of the program one
// forgets at a time. It returns how many it forgot.
func (s *Store) ForgetOld(ctx context.Context) (all int, err error) {
	for {
		var n int
		if err := s.get(ctx, &n, `SELECT forget_old($1)`, forgottenAtOnce); err != nil {
			return all, fmt.Errorf("forget what is old: %w", err)
		}
		if all += n; n == 0 {
			return all, nil
		}
	}
}

// EventsForgotten is the last event that was forgotten; the zero Cursor where none was.
func (s *Store) EventsForgotten(ctx context.Context) (Cursor, error) {
	var last struct {
		XID string
		ID  uint64
	}
	err := s.get(ctx, &last, `SELECT xid::text, id FROM events_forgotten`)
	switch {
	case errors.Is(err, ErrNotFound):
		return Cursor{}, nil
	case err != nil:
		return Cursor{}, fmt.Errorf("find the last event that was forgotten: %w", err)
	}
	return cursor(last.XID, last.ID)
}
