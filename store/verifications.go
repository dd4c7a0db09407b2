package store

import (
	"context"
	"crypto/hmac"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

const (
	challengeLasts  = 10 * time.Minute
	challengeChecks = 5 // of one challenge, and of one line and one address in an hour
	challengeCalls  = 5 // of one line and to one address in an hour
)

// challengesLock is the first half of the advisory locks under which the calls to an
// address, and the checks of their codes, are counted; the second is a hash of it. A number
// can be written down as many lines, and is guessed no oftener for it.
const challengesLock = 0x6368616c // "chal"

// lockAddress is called with the line's row locked, and never before.
func lockAddress(ctx context.Context, tx *sqlx.Tx, addressHash []byte) error {
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1, hashtext($2))`, challengesLock, hex.EncodeToString(addressHash))
	return err
}

// CreateChallenge asks for a verification call to a line, and returns the code to
// show to its advisor, which is kept nowhere. It returns a [*VerifyLater].
func (s *Store) CreateChallenge(ctx context.Context, line ivr.LineID) (challenge, code string, err error) {
	challenge = ivr.NewID("chal")
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return s.createChallenge(ctx, tx, challenge, line) })
	if err != nil {
		return "", "", fmt.Errorf("verify line %s: %w", line, err)
	}
	s.Notify(ctx, TopicChallenges)
	return challenge, s.vault.challengeCode(challenge), nil
}

func (s *Store) createChallenge(ctx context.Context, tx *sqlx.Tx, challenge string, line ivr.LineID) error {
	locked, err := lockLine(ctx, tx, "", line)
	if err == nil && locked.Retired {
		err = ErrNotFound
	}
	if err != nil {
		return err
	}
	if err := lockAddress(ctx, tx, locked.AddressHash); err != nil {
		return err
	}
	var later VerifyLater
	err = tx.GetContext(ctx, &later.At, `
		SELECT made_at + interval '1 hour' FROM challenges
		WHERE (line = $1 OR address_hash = $4) AND made_at > now() - interval '1 hour' AND id <> $2
		ORDER BY made_at DESC OFFSET $3 - 1 LIMIT 1`, line, challenge, challengeCalls, locked.AddressHash)
	if err == nil {
		return &later
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO challenges (id, line, advisor, address_hash, code_hash, until)
		SELECT $2, id, advisor, address_hash, $3, now() + $4 * interval '1 ms' FROM lines WHERE id = $1
		ON CONFLICT (id) DO NOTHING`,
		line, challenge, s.vault.codeHash(challenge, s.vault.challengeCode(challenge)), challengeLasts.Milliseconds())
	return err
}

// ClaimChallenge gives the oldest challenge that waits for its call to exactly one
// caller; found is false when none waits.
func (s *Store) ClaimChallenge(ctx context.Context) (c ivr.Challenge, found bool, err error) {
	claim := ivr.NewID("claim") // finds again what was claimed when the reply is lost
	var r struct {
		ID, Line, Advisor, Kind string
		AddressSealed           []byte `db:"address_sealed"`
		Verified                bool
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if err := s.owns(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `
			UPDATE challenges SET claimed_at = now(), claimed_by = $1, node = $2
			WHERE NOT EXISTS (SELECT FROM challenges WHERE claimed_by = $1) AND id = (
				SELECT id FROM challenges
				WHERE claimed_at IS NULL AND finished_at IS NULL AND until > now()
				ORDER BY made_at LIMIT 1 FOR UPDATE SKIP LOCKED)`, claim, s.config.Node); err != nil {
			return err
		}
		return tx.GetContext(ctx, &r, `
			SELECT c.id, c.line, l.advisor, l.kind, l.address_sealed, l.verified_at IS NOT NULL AS verified
			FROM challenges c JOIN lines l ON l.id = c.line WHERE c.claimed_by = $1`, claim)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("claim a verification call: %w", err)
	}
	address, err := s.vault.open(r.Line, r.AddressSealed)
	if err != nil {
		return c, false, err
	}
	s.Notify(ctx, TopicChallenge(r.ID))
	return ivr.Challenge{ID: r.ID, Line: ivr.Line{ID: ivr.LineID(r.Line), Advisor: ivr.AdvisorID(r.Advisor),
		Kind: ivr.LineKind(r.Kind), Address: address, Verified: r.Verified}}, true, nil
}

// Check implements [ivr.Verifications].
func (s *Store) Check(ctx context.Context, challenge, digits string, call ivr.CallID) error {
	hash, err := s.countCheck(ctx, challenge)
	if err != nil {
		return err
	}
	if !hmac.Equal(hash, s.vault.codeHash(challenge, digits)) {
		return ivr.ErrWrongCode
	}
	how := "verification call " + string(call)
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error { return s.verify(ctx, tx, challenge, how) })
	if err == nil {
		s.Notify(ctx, TopicChallenge(challenge))
		s.Notify(ctx, TopicEvents)
	}
	return err
}

// countCheck writes down that a code is about to be compared, and returns its hash
// when that is on disk. It returns [ivr.ErrChallengeOver].
func (s *Store) countCheck(ctx context.Context, challenge string) (hash []byte, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var c struct {
			Line        string
			AddressHash []byte `db:"address_hash"`
			CodeHash    []byte `db:"code_hash"`
		}
		// The line's row is the lock under which its checks are counted; then its address.
		err := tx.GetContext(ctx, &c, `
			SELECT c.line, c.address_hash, c.code_hash FROM challenges c JOIN lines l ON l.id = c.line
			WHERE c.id = $1 AND c.until > now() AND c.verified_at IS NULL AND c.finished_at IS NULL
			FOR NO KEY UPDATE OF l`, challenge)
		if errors.Is(err, sql.ErrNoRows) {
			return ivr.ErrChallengeOver
		}
		if err != nil {
			return err
		}
		hash = c.CodeHash
		if err := lockAddress(ctx, tx, c.AddressHash); err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, `
			INSERT INTO challenge_checks (challenge, line)
			SELECT $1, $2
			WHERE (SELECT count(*) FROM challenge_checks WHERE challenge = $1) < $3
			  AND (SELECT count(*) FROM challenge_checks WHERE line = $2 AND at > now() - interval '1 hour') < $3
			  AND (SELECT count(*) FROM challenge_checks k JOIN challenges c ON c.id = k.challenge
				WHERE c.address_hash = $4 AND k.at > now() - interval '1 hour') < $3`,
			challenge, c.Line, challengeChecks, c.AddressHash)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ivr.ErrChallengeOver)
		}
		return nil
	})
	if err != nil && !errors.Is(err, ivr.ErrChallengeOver) {
		err = fmt.Errorf("count a check of %s: %w", challenge, err)
	}
	return hash, err
}

// verify uses a challenge up and marks its line, if that still is what the code was
// made for.
func (s *Store) verify(ctx context.Context, tx *sqlx.Tx, challenge, how string) error {
	// Whoever changes a line locks it before its challenges; so does this.
	if _, err := tx.ExecContext(ctx, `
		SELECT FROM challenges c JOIN lines l ON l.id = c.line WHERE c.id = $1 FOR NO KEY UPDATE OF l`, challenge); err != nil {
		return err
	}
	var used struct {
		Line, Advisor string
		AddressHash   []byte `db:"address_hash"`
	}
	err := tx.GetContext(ctx, &used, `
		UPDATE challenges SET verified_at = now(), verified_how = $2
		WHERE id = $1 AND until > now() AND verified_at IS NULL AND finished_at IS NULL
		RETURNING line, advisor, address_hash`, challenge, how)
	if errors.Is(err, sql.ErrNoRows) {
		// Over; or it was this very call, and only the reply was lost.
		var mine bool
		err := tx.GetContext(ctx, &mine, `
			SELECT coalesce(verified_how = $2, false) FROM challenges WHERE id = $1`, challenge, how)
		if err == nil && !mine {
			err = ivr.ErrChallengeOver
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("use up %s: %w", challenge, err)
	}
	done, err := tx.ExecContext(ctx, `
		UPDATE lines SET verified_at = now(), verified_how = $4 WHERE id = $1 AND advisor = $2 AND address_hash = $3`,
		used.Line, used.Advisor, used.AddressHash, how)
	if err != nil {
		return fmt.Errorf("mark line %s verified: %w", used.Line, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ivr.ErrChallengeOver)
	}
	if err := s.emit(ctx, tx, Event{Type: "line.verified", Advisor: ivr.AdvisorID(used.Advisor), Data: map[string]any{"line": used.Line}}); err != nil {
		return err
	}
	return s.log(ctx, tx, Act{Who: how, What: "line verified", Subject: used.Line,
		Detail: map[string]string{"challenge": challenge}})
}

// FinishChallenge records how the call of a challenge ended. Unless the line was
// verified the code is over.
func (s *Store) FinishChallenge(ctx context.Context, challenge string, d ivr.Disposition) error {
	err := s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		var done struct {
			Line     string
			Verified bool
		}
		err := tx.GetContext(ctx, &done, `
			UPDATE challenges SET finished_at = now(), disposition = $2 WHERE id = $1 AND finished_at IS NULL
			RETURNING line, verified_at IS NOT NULL AS verified`, challenge, d)
		if errors.Is(err, sql.ErrNoRows) { // finished before
			return nil
		}
		if err != nil || done.Verified {
			return err
		}
		return s.log(ctx, tx, Act{Who: "parley", What: "line not verified", Subject: done.Line,
			Detail: map[string]string{"challenge": challenge, "disposition": string(d)}})
	})
	if err != nil {
		return fmt.Errorf("finish %s: %w", challenge, err)
	}
	s.Notify(ctx, TopicChallenge(challenge))
	return nil
}

// AbandonChallenges finishes the challenges whose calls an earlier process of this node placed and
// did not live to finish: whoever waits for one hears so now, not when it expires. Call
// it when that process is gone.
func (s *Store) AbandonChallenges(ctx context.Context) error {
	var left []string
	err := s.list(ctx, &left, `
		SELECT id FROM challenges
		WHERE node = $1 AND claimed_at IS NOT NULL AND finished_at IS NULL AND verified_at IS NULL AND until > now()`, s.config.Node)
	if err != nil {
		return fmt.Errorf("list verification calls: %w", err)
	}
	for _, challenge := range left {
		if err := s.FinishChallenge(ctx, challenge, ivr.Interrupted); err != nil {
			return err
		}
	}
	return nil
}

// ChallengeState is how far a challenge has come.
type ChallengeState string

const (
	ChallengeRequested ChallengeState = "requested" // waits for its call
	ChallengeCalling   ChallengeState = "calling"
	ChallengeVerified  ChallengeState = "verified"
	ChallengeFailed    ChallengeState = "failed" // see the disposition
	ChallengeExpired   ChallengeState = "expired"
)

// ChallengeResult is a challenge's state. Disposition is how its call ended, "" until
// it has.
type ChallengeResult struct {
	Line        ivr.LineID
	State       ChallengeState
	Disposition ivr.Disposition
}

// ChallengeResult returns [ErrNotFound] where there is none.
func (s *Store) ChallengeResult(ctx context.Context, challenge string) (r ChallengeResult, err error) {
	return s.ChallengeOf(ctx, "", challenge)
}

const selectChallenges = `
	SELECT line, coalesce(disposition, '') AS disposition, CASE
		WHEN verified_at IS NOT NULL THEN 'verified'
		WHEN finished_at IS NOT NULL THEN 'failed'
		WHEN until <= now() THEN 'expired'
		WHEN claimed_at IS NOT NULL THEN 'calling'
		ELSE 'requested' END AS state
	FROM challenges`
