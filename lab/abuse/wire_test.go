package abuse

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"parley/host/client"
)

// get asks for a path, and returns what is answered.
func (s *scene) get(by client.Client, path string) (int, string) {
	s.Helper()
	return s.do("GET", by, path, "")
}

func (s *scene) do(method string, by client.Client, path, body string) (int, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.ctx, method, shared.URL+path, strings.NewReader(body))
	s.must(err)
	r.Header.Set("Authorization", "Bearer "+by.Token)
	r.Header.Set("Idempotency-Key", key())
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(r)
	s.must(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	s.must(err)
	return answer.StatusCode, string(text)
}

// sipUser is a SIP phone's user name at Asterisk: the advisor gets a line for it.
func (s *scene) sipUser(a *advisor) string {
	s.Helper()
	line, err := a.app.AddLine(s.ctx, key(), a.ID, "sip", "")
	s.must(err)
	for give := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // the endpoint is made on a notice
		said, err := shared.Lab.Asterisk.CLI(s.ctx, "pjsip show endpoints")
		s.must(err)
		if strings.Contains(said, line.Credentials.User) {
			return line.Credentials.User
		}
		if time.Now().After(give) {
			s.Fatalf("the endpoint was not made:\n%s", said)
		}
	}
}

// registerAnswer is the first line that a stranger's REGISTER as user is answered.
func (s *scene) registerAnswer(user string) string {
	s.Helper()
	conn, err := net.ListenPacket("udp4", strangersHost+":0")
	s.must(err)
	defer conn.Close()
	to, err := net.ResolveUDPAddr("udp4", shared.Lab.Asterisk.SIPAddr)
	s.must(err)
	n := time.Now().UnixNano()
	self := fmt.Sprintf("<sip:%s@%s>", user, to)
	text := strings.NewReplacer(fmt.Sprintf("<sip:u%d@%s>", n, conn.LocalAddr()), self, fmt.Sprintf("<sip:%s>", to), self).
		Replace(string(request("REGISTER", conn.LocalAddr().String(), to.String(), n)))
	_, err = conn.WriteTo([]byte(text), to)
	s.must(err)
	s.must(conn.SetReadDeadline(time.Now().Add(patience)))
	buffer := make([]byte, 4096)
	length, _, err := conn.ReadFrom(buffer)
	s.must(err)
	first, _, _ := strings.Cut(string(buffer[:length]), "\r\n")
	return first
}
