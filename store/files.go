package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"

	"github.com/jmoiron/sqlx"

	"parley/ivr"
)

// FileKind is what an advisor gives us to keep.
type FileKind string

const (
	Picture  FileKind = "picture"
	Greeting FileKind = "greeting" // 8 kHz, mono, 16 bit WAV
)

// AdvisorFile is an advisor's picture or greeting.
type AdvisorFile struct {
	Version   string // the beginning of its SHA-256
	Content   []byte
	ChangedAt time.Time `db:"changed_at"`
}

// versionDigits of a SHA-256 tell one version of a file from another. Some queries have
// them too.
const versionDigits = 16

// SetAdvisorFile keeps a file in the place of the one before; without content it takes
// that back. It returns the new one's version.
func (s *Store) SetAdvisorFile(ctx context.Context, who string, advisor ivr.AdvisorID, kind FileKind, content []byte) (version string, err error) {
	var sum *string
	what := string(kind) + " taken back"
	if content != nil {
		hash := sha256.Sum256(content)
		text := hex.EncodeToString(hash[:])
		sum, version, what = &text, text[:versionDigits], string(kind)+" set"
	}
	err = s.inTx(ctx, func(ctx context.Context, tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, `
			INSERT INTO advisor_files (advisor, kind, sha256, content) VALUES ($1, $2, $3, $4)
			ON CONFLICT (advisor, kind) DO UPDATE SET sha256 = excluded.sha256, content = excluded.content, changed_at = now()`,
			advisor, kind, sum, content); err != nil {
			return err
		}
		return s.log(ctx, tx, Act{Who: who, What: what, Subject: string(advisor), Detail: map[string]string{"version": version}})
	})
	if violated(err) == "advisor_files_advisor_fkey" {
		err = ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("%s of advisor %s: %w", kind, advisor, err)
	}
	return version, nil
}

// AdvisorFile returns [ErrNotFound] where there is none.
func (s *Store) AdvisorFile(ctx context.Context, advisor ivr.AdvisorID, kind FileKind) (f AdvisorFile, err error) {
	err = s.get(ctx, &f, `
		SELECT left(sha256, 16) AS version, content, changed_at FROM advisor_files
		WHERE advisor = $1 AND kind = $2 AND content IS NOT NULL`, advisor, kind)
	if err != nil {
		return f, fmt.Errorf("%s of advisor %s: %w", kind, advisor, err)
	}
	return f, nil
}

// greetingName is how a greeting is named in [ivr.Loan.Greeting], after "greeting:".
var greetingName = regexp.MustCompile(`^([a-z0-9_]+)/([0-9a-f]+)$`)

// GreetingNamed is the audio of the prompt "greeting:NAME", or [ErrNotFound] where it is
// not the advisor's any more.
func (s *Store) GreetingNamed(ctx context.Context, name string) ([]byte, error) {
	parts := greetingName.FindStringSubmatch(name)
	if parts == nil {
		return nil, fmt.Errorf("greeting %q: %w", name, ErrNotFound)
	}
	f, err := s.AdvisorFile(ctx, ivr.AdvisorID(parts[1]), Greeting)
	if err == nil && f.Version != parts[2] {
		err = fmt.Errorf("greeting %q was replaced: %w", name, ErrNotFound)
	}
	return f.Content, err
}
