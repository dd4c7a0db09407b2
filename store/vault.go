package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"

	"parley/ivr"
)

// vault keeps secrets out of the tables. Each purpose has a key of its own,
// derived from the one in [Config].
type vault struct {
	seals   cipher.AEAD
	numbers []byte // to find a number without reading it
	codes   []byte // PINs and verification codes
	pins    []byte // from which PINs and codes are made
	tokens  []byte // from which tokens are made
	chain   []byte // the audit log
	proof   []byte // that two vaults have the same key; says nothing of it
}

func newVault(key []byte) (*vault, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("the secret key must have 32 bytes, not %d", len(key))
	}
	derive := func(purpose string) []byte {
		k, err := hkdf.Key(sha256.New, key, nil, "parley store: "+purpose, 32)
		if err != nil {
			panic(err) // only for impossible lengths
		}
		return k
	}
	block, err := aes.NewCipher(derive("seal"))
	if err != nil {
		return nil, err
	}
	seals, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &vault{seals, derive("numbers"), derive("codes"), derive("PINs"), derive("tokens"), derive("audit log"), derive("proof")}, nil
}

// seal encrypts text for one row; no other row opens it.
func (v *vault) seal(row, text string) []byte {
	nonce := make([]byte, v.seals.NonceSize())
	rand.Read(nonce)
	return v.seals.Seal(nonce, nonce, []byte(text), []byte(row))
}

func (v *vault) open(row string, sealed []byte) (string, error) {
	n := v.seals.NonceSize()
	if len(sealed) < n {
		return "", fmt.Errorf("what was sealed for %s is cut short", row)
	}
	text, err := v.seals.Open(nil, sealed[:n], sealed[n:], []byte(row))
	if err != nil {
		return "", fmt.Errorf("what was sealed for %s does not open: it was changed, or moved from another row", row)
	}
	return string(text), nil
}

// numberHash finds a number, or an address of another kind.
func (v *vault) numberHash(kind, number string) []byte { return mac(v.numbers, kind, number) }

// codeHash is compared in place of a PIN or a code. With the row's ID in it, equal
// codes differ and no table of all the million hashes serves two rows.
func (v *vault) codeHash(row, code string) []byte { return mac(v.codes, row, code) }

// pin makes a loan's PIN: derived, not drawn, so that its client can be shown it again
// though it is kept nowhere. A million divides 2^64 so nearly that no PIN is likelier
// than another.
func (v *vault) pin(loan ivr.LoanID) string { return v.sixDigits(string(loan)) }

// challengeCode makes a challenge's code in the same way.
func (v *vault) challengeCode(challenge string) string { return v.sixDigits(challenge) }

// token makes the secret of a token that another token asked for, in the same way. It
// takes both the key and the hash of the other one, which only the database has.
func (v *vault) token(id TokenID, askerHash []byte) string {
	return "parley_" + base64.RawURLEncoding.EncodeToString(mac(v.tokens, string(id), string(askerHash)))
}

func (v *vault) sixDigits(of string) string {
	return fmt.Sprintf("%06d", binary.BigEndian.Uint64(mac(v.pins, of))%1_000_000)
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return h.Sum(nil)
}

// checkKey compares the key with the one of the database's first opening.
func (s *Store) checkKey(ctx context.Context) error {
	var known []byte
	err := s.retry(ctx, func(ctx context.Context) error {
		if _, err := s.db.ExecContext(ctx, `
			INSERT INTO vault_key (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING`, s.vault.proof); err != nil {
			return err
		}
		return s.db.GetContext(ctx, &known, `SELECT fingerprint FROM vault_key`)
	})
	if err != nil {
		return fmt.Errorf("check the secret key: %w", err)
	}
	if !hmac.Equal(known, s.vault.proof) {
		return errors.New("the secret key is not the one with which this database was first opened")
	}
	return nil
}

// e164 is what a telephone number must be, such as +493055501001.
var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
