package faults

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// sorry checks that a new caller hears within 5 s that we are sorry, and nobody is rung.
func (s *scene) sorry() {
	s.Helper()
	p := s.caller(plenty)
	p.sorry()
}

func (p *pair) sorry() {
	p.s.Helper()
	p.dials()
	answered := p.c.AnsweredAt()
	audio, err := p.s.Prompt("call-back-later")
	p.s.must(err)
	began, err := p.c.Hear(p.s.ctx, audio)
	p.s.must(err)
	took := began.Sub(answered)
	p.s.note("sorry after %.1f s", took.Seconds())
	if took > 5*time.Second {
		p.s.Errorf("the caller heard that we are sorry after %v", took)
	}
	p.s.ends(p.c)
	p.neverRung()
}

func redisGone(s *scene) {
	p := s.talk(plenty)
	s.must(s.Lab.Redis.Kill())
	p.hearStill()
	p.hangUp()
	p.recorded("completed")
	without := s.talk(plenty)
	without.hangUp()
	without.recorded("completed")
	s.heal()
	s.must(s.Lab.Redis.Start(s.ctx))
}

func redisFlushed(s *scene) {
	p := s.talk(plenty)
	s.redisSays("FLUSHALL")
	s.redis.Delay(2 * time.Second)
	p.hearStill()
	p.hangUp()
	p.recorded("completed")
	slow := s.talk(plenty)
	slow.hangUp()
	slow.recorded("completed")
	s.heal()
	s.redis.Heal()
}

func (s *scene) redisSays(command string) {
	s.Helper()
	conn, err := net.Dial("tcp", s.Lab.Redis.Addr)
	s.must(err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "%s\r\n", command)
	s.must(err)
	answer := make([]byte, 64)
	n, err := conn.Read(answer)
	s.must(err)
	if got := string(answer[:n]); got != "+OK\r\n" {
		s.Fatalf("Redis answers %q", got)
	}
}

// postgresGone is for longer than an owner's lease lasts.
func postgresGone(s *scene) {
	p, late := s.talk(plenty), s.caller(plenty)
	s.must(s.Lab.Postgres.Kill())
	late.sorry()
	time.Sleep(5 * time.Second)
	p.hearStill()
	p.hangUp()
	s.heal()
	s.must(s.Lab.Postgres.Start(s.ctx))
	p.recorded("completed")
}

func postgresSlow(s *scene) {
	p, late := s.talk(plenty), s.caller(plenty)
	s.postgres.Delay(5 * time.Second)
	late.sorry()
	p.hearStill()
	s.heal()
	s.postgres.Heal()
	p.hangUp()
	p.recorded("completed")
}

// poolUsedUp leaves no connection to Postgres that answers.
func poolUsedUp(s *scene) {
	p, late := s.talk(plenty), s.caller(plenty)
	s.postgres.Freeze()
	late.sorry()
	p.hearStill()
	s.heal()
	s.postgres.Heal()
	p.hangUp()
	p.recorded("completed")
}

func accountLocked(s *scene) {
	p := s.caller(plenty)
	tx, err := s.db.BeginTx(s.ctx, nil)
	s.must(err)
	defer tx.Rollback()
	_, err = tx.ExecContext(s.ctx, `SELECT FROM accounts WHERE client = $1 FOR UPDATE`, p.client.ID)
	s.must(err)
	p.sorry()
	s.heal()
	s.must(tx.Rollback())
}

// diskFull fills the disk that Postgres has for itself.
func diskFull(s *scene) {
	p, late := s.talk(plenty), s.callerOf(s.berta(), plenty)
	filler := filepath.Join(s.Lab.Postgres.Dir, "filler")
	fill(s, filler)
	var err error
	for err == nil { // until it has nowhere to write its log to
		_, err = s.db.ExecContext(s.ctx, `SELECT pg_logical_emit_message(true, 'filler', repeat('x', 1000000))`)
	}
	s.note("Postgres: %v", err)
	late.sorry()
	p.hearStill()
	p.hangUp()
	s.heal()
	s.must(os.Remove(filler))
	s.must(s.Lab.Postgres.Kill())
	s.must(s.Lab.Postgres.Start(s.ctx))
	p.recorded("completed")
}

func fill(s *scene, name string) {
	s.Helper()
	f, err := os.Create(name)
	s.must(err)
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
}

// clockJumps sets the clock of the database an hour ahead, and has the program die and
// adopt the talk by it; then an hour back.
func clockJumps(s *scene) {
	p := s.talk(plenty)
	s.clock("+1h")
	p.hearStill()
	s.kill()
	s.restart()
	s.says("talk adopted", 1)
	p.hearStill()
	s.clock("-1h")
	p.hearStill()
	s.clock("+1s")
	p.hangUp()
	p.recordedWhole()
	s.heal()
}

// clock sets what Postgres takes for the time.
func (s *scene) clock(offset string) {
	s.Helper()
	s.must(os.WriteFile(clockFile(s), []byte(offset+"\n"), 0o644))
	time.Sleep(1100 * time.Millisecond) // it looks once a second
	var off float64
	s.must(s.db.QueryRowContext(s.ctx, `SELECT extract(epoch FROM clock_timestamp())`).Scan(&off))
	s.Logf("the database's clock is %v off", time.Duration((off-float64(time.Now().UnixMicro())/1e6)*float64(time.Second)).Round(time.Second))
}

func clockFile(s *scene) string { return s.Lab.Postgres.Dir + ".clock" }
