package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"parley/lab/phone"
)

// invariants are what must hold of the database after every fault: each query names the
// rows that are wrong.
var invariants = []struct{ name, query string }{
	{"M1: all balances add up to zero", `
		SELECT currency FROM balances GROUP BY currency HAVING sum(posted) <> 0`},
	{"M1: each balance equals its transfers", `
		SELECT id FROM accounts a WHERE kind = 'client' AND posted <>
			(SELECT coalesce(sum(amount) FILTER (WHERE credit = a.id), 0) - coalesce(sum(amount) FILTER (WHERE debit = a.id), 0) FROM transfers)`},
	{"M2: no client is below zero", `
		SELECT id FROM accounts WHERE kind = 'client' AND (held < 0 OR posted - held < 0)`},
	{"M2: no client was below zero after any transfer", `
		SELECT account FROM (
			SELECT account, sum(change) OVER (PARTITION BY account ORDER BY id) AS balance
			FROM (SELECT id, credit AS account, amount AS change FROM transfers UNION ALL SELECT id, debit, -amount FROM transfers) AS moved
			WHERE account LIKE 'client/%') AS history
		WHERE balance < 0`},
	{"M3: each hold of a call that is over is resolved, within what was held", `
		SELECT h.call FROM holds h JOIN calls c ON c.id = h.call LEFT JOIN hold_resolutions r USING (call, number)
		WHERE c.ended_at IS NOT NULL AND (r.call IS NULL OR r.captured > h.amount OR r.captured + r.released <> h.amount)`},
	{"M3: nothing is held for nobody", `
		SELECT a.id FROM accounts a WHERE kind = 'client' AND held <>
			(SELECT coalesce(sum(h.amount), 0) FROM holds h LEFT JOIN hold_resolutions r USING (call, number) WHERE h.account = a.id AND r.call IS NULL)`},
	{"M4: each charge is that of the recorded talk", `
		SELECT c.id FROM calls c WHERE ended_at IS NOT NULL AND held > 0 AND charge <>
			least(held, 10 * ceil(coalesce((SELECT sum(talk_ns) FROM segments WHERE call = c.id), 0) / 1e9))`},
	{"A1: no call is open", `SELECT id FROM calls WHERE ended_at IS NULL`},
	{"A2: no client and no advisor was in two calls", `
		SELECT a.id FROM calls a JOIN calls b ON a.id < b.id AND (a.client = b.client OR a.advisor = b.advisor)
			AND tstzrange(least(a.opened_at, a.ended_at), greatest(a.opened_at, a.ended_at))
				&& tstzrange(least(b.opened_at, b.ended_at), greatest(b.opened_at, b.ended_at))`},
	{"D1: a number was lent to one pair at a time", `
		SELECT a.id FROM loans a JOIN loans b ON a.id < b.id AND a.did = b.did
			AND tstzrange(a.made_at, a.kept_until) && tstzrange(b.made_at, b.kept_until)`},
	{"D1: a call was between those whom its number was lent for, in time", `
		SELECT c.id FROM calls c JOIN loans l ON l.id = c.loan
		WHERE (c.did, c.client, c.advisor) IS DISTINCT FROM (l.did, l.client, l.advisor) OR c.opened_at > l.until`},
	{"S1: nothing was held for a caller who was not identified", `
		SELECT h.call FROM holds h JOIN calls c ON c.id = h.call WHERE c.client IS NULL OR c.loan IS NULL`},
}

// check is after every fault: all that must hold, by SQL, by Asterisk's own lists, by
// what the phones saw, and by one more call.
func (s *scene) check(says []string, counted string) {
	s.Helper()
	if s.healed.IsZero() {
		s.heal()
	}
	s.serves()
	s.left()
	s.answered()
	s.left()
	for _, p := range s.pairs {
		p.check()
	}
	for _, must := range invariants {
		if rows := s.rows(must.query); len(rows) > 0 {
			s.Errorf("%s: not so of %v", must.name, rows)
		}
	}
	if _, err := s.Parley(s.ctx, "ledger", "audit"); err != nil {
		s.Errorf("M1, M3: the audit: %v", err)
	}
	s.logged(says)
	if counted != "" && s.counter(counted) == 0 {
		s.Errorf("O1: /metrics does not count %s", counted)
	}
}

// counter is a series of the program's metrics.
func (s *scene) counter(name string) (value float64) {
	s.Helper()
	at := ""
	for line := range strings.Lines(s.Log()) {
		var l struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "metrics" {
			at = l.Addr // of the last that was started
		}
	}
	resp, err := http.Get("http://" + at + "/metrics")
	s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "parley_"+name+" "); ok {
			_, err = fmt.Sscan(rest, &value)
			s.must(err)
		}
	}
	return value
}

// serves is R1: the program serves again.
func (s *scene) serves() {
	s.Helper()
	took, again := <-s.recovered
	if !again || !s.ready() {
		s.Fatalf("R1: not ready %v after the fault was healed\n%s", recovers, s.tail())
	}
	s.saw.recovery = took
}

// left is T2 and A1: nothing is left in Asterisk of calls that are over, and nobody is
// left in a call.
func (s *scene) left() {
	s.Helper()
	var channels, bridges []struct{ ID, Name string }
	gone := eventually(max(time.Second, time.Until(s.healed.Add(recovers))), func() bool {
		return s.list("channels", &channels) && s.list("bridges", &bridges) && len(channels)+len(bridges) == 0
	})
	if !gone {
		s.Errorf("T2: left in Asterisk: channels %v, bridges %v\n%s", channels, bridges, s.tail())
	}
	if !eventually(max(10*time.Second, time.Until(s.healed.Add(recovers))), func() bool {
		return len(s.rows(`SELECT id FROM calls WHERE ended_at IS NULL`)) == 0
	}) {
		s.Errorf("A1: calls are left open\n%s", s.tail())
	}
}

// list asks Asterisk itself, past the wire.
func (s *scene) list(what string, into any) bool {
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, s.Lab.Asterisk.URL+"/"+what, nil)
	s.must(err)
	req.SetBasicAuth(s.Lab.Asterisk.User, s.Lab.Asterisk.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// answered is A1 and R1 once more: another client reaches the same advisor.
func (s *scene) answered() {
	s.Helper()
	s.anna.Phone.OnCall(nil)
	for { // calls that nobody took
		ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
		in, err := s.anna.Phone.Accept(ctx)
		cancel()
		if err != nil {
			break
		}
		if in.EndReason() == (phone.End{}) {
			s.Error("A1: the advisor's phone still rings")
		}
	}
	next := s.talk(plenty)
	next.hangUp()
	next.recorded("completed")
}

func (s *scene) rows(query string) (ids []string) {
	s.Helper()
	rows, err := s.db.QueryContext(s.ctx, query)
	s.must(err)
	defer rows.Close()
	for rows.Next() {
		var id string
		s.must(rows.Scan(&id))
		ids = append(ids, id)
	}
	s.must(rows.Err())
	return ids
}

// check is M4 and T1: nobody paid for what was not heard, or was heard for longer than
// they had paid for.
func (p *pair) check() {
	p.s.Helper()
	r := p.record()
	if p.began.IsZero() {
		if r.charge != 0 {
			p.s.Errorf("M4: charged %d for no talk", r.charge)
		}
		return
	}
	_, last := p.a.ToneTimes(clientTone)
	_, end := p.c.ToneTimes(advisorTone)
	if end.After(last) {
		last = end
	}
	if over := last.Sub(p.began) - time.Duration(p.money/perSecond)*time.Second; over > 2*time.Second {
		p.s.Errorf("T1: they heard each other for %v longer than was paid for", over)
	}
	const noticed = 300 * time.Millisecond
	longest, all := p.c.Silence(advisorTone, p.began, end, noticed)
	heard := end.Sub(p.began) - all
	price := func(d time.Duration) int64 { return perSecond * int64((d+time.Second-1)/time.Second) }
	p.s.saw.silence = max(p.s.saw.silence, longest)
	if more := r.charge - price(heard); max(more, -more) > max(p.s.saw.money, -p.s.saw.money) {
		p.s.saw.money = more
	}
	if r.charge > price(heard+p.allowed) {
		p.s.Errorf("M4: charged %d, they heard each other for %v", r.charge, heard)
	}
	if p.over.IsZero() && heard < time.Duration(p.money/perSecond)*time.Second-time.Second {
		p.s.saw.dropped++
	}
}

// logged is O1: the fault shows in the log, with the call's ID where it concerns one.
func (s *scene) logged(says []string) {
	s.Helper()
	text := s.Log()
	for _, msg := range says {
		msg, ofCall := strings.CutSuffix(msg, " +call")
		found := false
		for line := range strings.Lines(text) {
			found = found || strings.Contains(line, msg) && (!ofCall || strings.Contains(line, `"call":"call_`))
		}
		if !found {
			s.Errorf("O1: the log does not say %q", msg)
		}
	}
}
