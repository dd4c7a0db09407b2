package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver "postgres"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sync/errgroup"

	"parley/ivr"
	"parley/lab/stage"
	"parley/store"
)

// Each pair has three numbers, as the carrier writes them: without the +.
func did(pair int) string     { return fmt.Sprintf("4930551%05d", pair) }
func ani(pair int) string     { return fmt.Sprintf("491702%06d", pair) }
func advisor(pair int) string { return fmt.Sprintf("491512%07d", pair) }

// usualTalk is longer than any that is measured.
const usualTalk = 30 * time.Minute

// planFor is the stage's plan with a number for every pair, and room for all to talk.
func planFor(pairs int, longest time.Duration) (string, error) {
	var plan map[string]any
	if err := yaml.Unmarshal([]byte(stage.Plan), &plan); err != nil {
		return "", err
	}
	numbers := make([]map[string]string, pairs)
	for i := range numbers {
		numbers[i] = map[string]string{"did": "+" + did(i), "country": "DE"}
	}
	plan["numbers"], plan["waiting"] = numbers, "ringing"
	limits := plan["limits"].(map[string]any)
	limits["concurrent"] = map[string]int{"all": 2 * pairs, "per_client": 1, "per_advisor": 1}
	limits["loan"], limits["longest_talk"] = "12h", longest.String()
	limits["predetermined"] = map[string]string{"default": "5s", "least": "1s", "most": longest.String()}
	text, err := yaml.Marshal(plan)
	return string(text), err
}

// open is the program's own way to its database.
func (b *Bench) open(ctx context.Context) (*store.Store, error) {
	key, err := hex.DecodeString(b.setting("PARLEY_KEY"))
	if err != nil {
		return nil, err
	}
	return store.Open(ctx, store.Config{
		DSN: b.setting("PARLEY_POSTGRES_DSN"), RedisAddr: b.setting("PARLEY_REDIS_ADDR"), Key: key,
	})
}

// setting is one of the program's.
func (b *Bench) setting(name string) (value string) {
	for _, s := range b.stage.Env {
		if v, found := strings.CutPrefix(s, name+"="); found {
			value = v
		}
	}
	return value
}

// settle gives every client money and a number that leads to their advisor.
func (b *Bench) settle(ctx context.Context) error {
	s, err := b.open(ctx)
	if err != nil {
		return err
	}
	defer s.Disconnect()
	var all errgroup.Group
	all.SetLimit(16)
	for i := range b.Pairs {
		all.Go(func() error { return addPair(ctx, s, i) })
	}
	if err := all.Wait(); err != nil {
		return err
	}
	if err := b.asOwner(ctx, `UPDATE lines SET verified_at = now(), verified_how = 'phone'`); err != nil {
		return err
	}
	all.SetLimit(16)
	for i := range b.Pairs {
		all.Go(func() error {
			_, _, err := s.CreateLoan(ctx, store.LoanRequest{
				Client: clientID(i), Advisor: advisorID(i), Line: lineID(i),
				DID: "+" + did(i), For: 12 * time.Hour,
			})
			return err
		})
	}
	return all.Wait()
}

func clientID(pair int) ivr.ClientID   { return ivr.ClientID(fmt.Sprintf("cli_%06d", pair)) }
func advisorID(pair int) ivr.AdvisorID { return ivr.AdvisorID(fmt.Sprintf("adv_%06d", pair)) }
func lineID(pair int) ivr.LineID       { return ivr.LineID(fmt.Sprintf("line_%06d", pair)) }

const riches = 1_000_000 // minor units

func addPair(ctx context.Context, s *store.Store, i int) error {
	if _, err := s.AddClient(ctx, store.Client{
		ID: clientID(i), Alias: fmt.Sprint("Client ", i), Phone: "+" + ani(i), Currency: "EUR",
	}); err != nil {
		return err
	}
	if err := s.Deposit(ctx, "bench", fmt.Sprint("pay-", i), clientID(i), riches); err != nil {
		return err
	}
	if _, err := s.AddAdvisor(ctx, store.Advisor{ID: advisorID(i), Name: fmt.Sprint("Advisor ", i)}); err != nil {
		return err
	}
	_, err := s.AddLine(ctx, "bench", ivr.Line{ID: lineID(i), Advisor: advisorID(i), Kind: ivr.Phone, Address: "+" + advisor(i)})
	return err
}

// writePeople tells SIPp who calls whom, from one pair on.
func (b *Bench) writePeople(file string, from int) error {
	var text bytes.Buffer
	text.WriteString("SEQUENTIAL\n")
	for i := from; i < b.Pairs; i++ {
		fmt.Fprintf(&text, "%s;%s;%s;\n", ani(i), did(i), advisor(i))
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// databaseOf is a DSN with the database of another.
func databaseOf(dsn, other string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn
	}
	if o, err := url.Parse(other); err == nil {
		u.Path = o.Path
	}
	return u.String()
}

// asOwner runs statements as the database's owner, whom the program is not.
func (b *Bench) asOwner(ctx context.Context, statements ...string) error {
	db, err := sql.Open("postgres", b.stage.OwnerDSN)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.60s: %w", s, err)
		}
	}
	return nil
}
