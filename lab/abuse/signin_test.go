package abuse

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"parley/host/client"
)

// The budget that SECURITY.md states for codes to sign in.
const (
	triesACode   = 5
	codesANumber = 5  // an hour
	asksAtOnce   = 10 // of an address, and then
	asksEvery    = 30 * time.Second
	openAtOnce   = 60 // requests of an address without a token, and then
	openASecond  = 2
)

var addresses atomic.Int64

// stranger asks without a token, from an address that nobody else asks from: all of
// 127.0.0.0/8 is this machine.
func stranger() client.Client {
	n := addresses.Add(1)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, byte(16+n>>16), byte(n>>8), byte(n))}}
	return client.Client{URL: shared.URL, HTTP: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}}
}

// answers are how often each status was answered.
type answers [600]atomic.Int64

// count takes an answer down, and says whether it was yes.
func (a *answers) count(s *scene, err error) bool {
	s.Helper()
	var no *client.Problem
	switch {
	case err == nil:
		a[200].Add(1)
	case errors.As(err, &no):
		a[no.Status].Add(1)
	default:
		s.Error(err)
	}
	return err == nil
}

func (a *answers) of(status int) int64 { return a[status].Load() }

var textMessage = regexp.MustCompile(`(?m)^\S+ to (\+[0-9]+): ([0-9]{6}) is your code`)

// sent are the codes that telephones were sent, by their numbers.
func (s *scene) sent() map[string][]string {
	s.Helper()
	text, err := os.ReadFile(shared.SMSFile())
	if !errors.Is(err, os.ErrNotExist) {
		s.must(err)
	}
	codes := map[string][]string{}
	for _, m := range textMessage.FindAllStringSubmatch(string(text), -1) {
		codes[m[1]] = append(codes[m[1]], m[2])
	}
	return codes
}

// code waits for the nth that a telephone is sent.
func (s *scene) code(number string, n int) string {
	s.Helper()
	var codes []string
	s.await(fmt.Sprintf("a telephone is sent its code no. %d", n), func() bool {
		codes = s.sent()[number]
		return len(codes) >= n
	})
	return codes[n-1]
}

// Strangers at many addresses ask for codes for clients' numbers, and guess them. Of one
// code five guesses are ever compared, and a number has five codes in an hour; from then on
// the right code is as wrong as any other. At one address the guesser is soon not heard.
func TestGuessingSignInCodes(t *testing.T) {
	s := newSceneBeside(t)
	victims, guesses := amount(2, 20), amount(20, 100)
	var asked, guessed answers
	var late atomic.Int64
	inTurn(victims, 8, func(i int) {
		victim := s.newCaller(fmt.Sprintf("Signs In %d", i), 10_00)
		for n := 1; n <= codesANumber+3; n++ {
			by := stranger()
			in, err := by.AskSignIn(s.ctx, victim.Number)
			if !asked.count(s, err) {
				continue
			}
			right := s.code(victim.Number, n)
			for g := range guesses {
				if g%10 == 0 {
					by = stranger()
				}
				_, err := by.SignIn(s.ctx, in.ID, guess(), false)
				guessed.count(s, err)
			}
			if _, err := by.SignIn(s.ctx, in.ID, right, false); err == nil {
				late.Add(1)
			}
		}
	})
	compared, most := s.count(`SELECT sum(checks) FROM sign_ins`), s.count(`SELECT max(checks) FROM sign_ins`)
	codes := s.count(`SELECT max(n) FROM (SELECT count(*) AS n FROM sign_ins GROUP BY phone_hash) AS numbers`)

	alone, single := s.newCaller("Signs In Alone", 10_00), stranger()
	in, err := single.AskSignIn(s.ctx, alone.Number)
	s.must(err)
	var heard answers
	began := time.Now()
	fromOne := amount(200, 2000)
	inTurn(fromOne, 8, func(int) {
		_, err := single.SignIn(s.ctx, in.ID, guess(), false)
		heard.count(s, err)
	})
	listened := int64(fromOne) - heard.of(429)
	record(t, fmt.Sprintf("%d codes guessed for %d clients from %d addresses, and %d from one; %d codes asked for", victims*codesANumber*guesses, victims, victims*(codesANumber+3+codesANumber*guesses/10), fromOne, victims*(codesANumber+3)),
		"%d compared, at most %d of a code and %d codes of a number; %d right by chance (expected %.4f); the right code afterwards: refused; of one address %d were heard; %d times no further code",
		compared, most, codes, guessed.of(200)+heard.of(200), float64(compared)/1e6, listened, asked.of(429))
	if most != triesACode || codes != codesANumber {
		s.Errorf("%d guesses of a code were compared, and a number had %d codes", most, codes)
	}
	if guessed.of(200)+heard.of(200) > 1 || late.Load() > 0 {
		s.Errorf("%d signed in by chance, %d by the right code of one that is over", guessed.of(200)+heard.of(200), late.Load())
	}
	if want := int64(victims * codesANumber); asked.of(200) != want || asked.of(429) != int64(victims*3) {
		s.Errorf("asked for %d codes: %d, and %d times told to wait", victims*(codesANumber+3), asked.of(200), asked.of(429))
	}
	if may := openAtOnce + openASecond*int64(math.Ceil(time.Since(began).Seconds())); listened > may {
		s.Errorf("of one address %d guesses were heard, %d may be", listened, may)
	}
}

// Strangers have codes sent: to one telephone from everywhere, to everybody's from one
// address, and to who is no client. A number gets five in an hour however it is written, an
// address has ten sent and then one in half a minute, and who is no client gets none; what
// is answered does not say so.
func TestAskingForCodesInMasses(t *testing.T) {
	s := newSceneBeside(t)
	bombed := s.newCaller("Bombed", 0)
	written := []string{bombed.Number, "0" + bombed.Number[3:], "0049 " + bombed.Number[3:6] + " / " + bombed.Number[6:], bombed.Number[:6] + "-" + bombed.Number[6:]}
	var forOne, fromOne, forNobody answers
	asks := amount(60, 3000)
	inTurn(asks, 16, func(i int) {
		_, err := stranger().AskSignIn(s.ctx, written[i%len(written)])
		forOne.count(s, err)
	})

	many := make([]*caller, amount(20, 200))
	inTurn(len(many), 4, func(i int) { many[i] = s.newCaller("Bombed Too", 0) })
	by, began := stranger(), time.Now()
	for _, c := range many {
		_, err := by.AskSignIn(s.ctx, c.Number)
		if fromOne.count(s, err) {
			s.code(c.Number, 1)
		}
	}
	may := asksAtOnce + int64(time.Since(began)/asksEvery)

	nobodys := make([]string, amount(60, 3000))
	inTurn(len(nobodys), 16, func(i int) {
		nobodys[i] = fmt.Sprintf("+491520%07d", i)
		_, err := stranger().AskSignIn(s.ctx, nobodys[i])
		forNobody.count(s, err)
	})

	last := s.newCaller("Asks Last", 0) // and is served meanwhile
	_, err := stranger().AskSignIn(s.ctx, last.Number)
	s.must(err)
	s.code(last.Number, 1)
	s.code(bombed.Number, codesANumber)
	sent := s.sent()
	toMany, toNobody := 0, 0
	for _, c := range many {
		toMany += len(sent[c.Number])
	}
	for _, number := range nobodys {
		toNobody += len(sent[number])
	}
	record(t, fmt.Sprintf("%d codes asked for one telephone from as many addresses, %d for as many clients' from one address, %d for nobody's", asks, len(many), len(nobodys)),
		"%d, %d and %d messages sent; the others were told to wait, but for nobody's number", len(sent[bombed.Number]), toMany, toNobody)
	if len(sent[bombed.Number]) != codesANumber || forOne.of(200) != codesANumber || forOne.of(429) != int64(asks-codesANumber) {
		s.Errorf("one telephone was sent %d messages, for %d that were promised; %d were told to wait", len(sent[bombed.Number]), forOne.of(200), forOne.of(429))
	}
	if toMany < asksAtOnce || int64(toMany) > may || fromOne.of(429) != int64(len(many)-toMany) {
		s.Errorf("an address had %d messages sent, %d may be; %d times it was told to wait", toMany, may, fromOne.of(429))
	}
	if toNobody > 0 || forNobody.of(200) != int64(len(nobodys)) {
		s.Errorf("%d messages were sent to who is no client; %d were promised one", toNobody, forNobody.of(200))
	}
}
