package abuse

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"parley/lab"
)

// The Asterisk that runs is what its files say: a user of its own, the listed modules and
// no others, ARI for this machine alone, no AMI, and no way from ARI to a shell or a file.
func TestAsteriskMayDoLittle(t *testing.T) {
	s := newScene(t)
	asterisk := shared.Lab.Asterisk
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", asterisk.PID()))
	s.must(err)
	if ids := regexp.MustCompile(`(?m)^Uid:\t([1-9]\d*)\t([1-9]\d*)\t([1-9]\d*)\t([1-9]\d*)$`); !ids.Match(status) {
		s.Errorf("Asterisk runs as root:\n%s", status)
	}
	if !regexp.MustCompile(`(?m)^CapEff:\t0+$`).Match(status) {
		s.Errorf("Asterisk has capabilities:\n%s", status)
	}

	wanted := s.listedModules()
	said, err := asterisk.CLI(s.ctx, "module show")
	s.must(err)
	var running []string
	for _, line := range strings.Split(said, "\n") {
		if fields := strings.Fields(line); len(fields) > 3 && strings.HasSuffix(fields[0], ".so") {
			running = append(running, fields[0])
		}
	}
	slices.Sort(running)
	if !slices.Equal(running, wanted) {
		s.Errorf("these modules run:\n%v\nthese are listed:\n%v", running, wanted)
	}
	for _, command := range []string{"manager show settings", "iax2 show peers", "voicemail show users"} {
		if said, err := asterisk.CLI(s.ctx, command); err != nil || !strings.Contains(said, "No such command") && !strings.Contains(said, "No such") &&
			!regexp.MustCompile(`(?i)manager \(AMI\):\s+no`).MatchString(said) {
			s.Errorf("%s: %v: %s", command, err, said)
		}
	}
	listening := listeners(s, asterisk.PID())
	ari, err := url.Parse(asterisk.URL)
	s.must(err)
	if !slices.Equal(listening, []string{ari.Host}) {
		s.Errorf("Asterisk listens on %v (TCP), want %s alone", listening, ari.Host)
	}

	for what, path := range map[string]string{
		"a command": "/asterisk/variable?variable=" + url.QueryEscape("SHELL(id)"),
		"a file":    "/asterisk/variable?variable=" + url.QueryEscape("FILE(/etc/passwd)"),
		"astdb":     "/asterisk/variable?variable=" + url.QueryEscape("DB(registrar/x)"),
	} {
		answer := s.ari("GET", path)
		if strings.Contains(answer, "uid=") || strings.Contains(answer, "root:") || !strings.Contains(answer, "404") && !strings.Contains(answer, `"value":""`) {
			s.Errorf("ARI gives %s: %s", what, answer)
		}
	}
	settings, err := asterisk.CLI(s.ctx, "core show settings")
	s.must(err)
	if live := regexp.MustCompile(`(?i)live.dangerously.*(yes|enabled)`); live.MatchString(settings) {
		s.Errorf("live_dangerously is on:\n%s", settings)
	}
	config := filepath.Join(filepath.Dir(asterisk.LogDir), "etc", "asterisk.conf")
	text, err := os.ReadFile(config)
	s.must(err)
	if !strings.Contains(string(text), "live_dangerously = no") {
		s.Error("live_dangerously is not off in the files that run")
	}
	record(t, "the running Asterisk's user, capabilities, modules, sockets, and what ARI reads of shell and files",
		"%d modules, all listed; TCP on %v; no AMI", len(running), listening)
}

// listedModules are those of the modules.conf that the running Asterisk was given.
func (s *scene) listedModules() (names []string) {
	s.Helper()
	f, err := os.Open(filepath.Join(filepath.Dir(shared.Lab.Asterisk.LogDir), "etc", "modules.conf"))
	s.must(err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "load = "); found {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *scene) ari(method, path string) string {
	s.Helper()
	r, err := http.NewRequestWithContext(s.ctx, method, shared.Lab.Asterisk.URL+path, nil)
	s.must(err)
	r.SetBasicAuth(shared.Lab.Asterisk.User, shared.Lab.Asterisk.Password)
	answer, err := http.DefaultClient.Do(r)
	s.must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	s.must(err)
	return answer.Status + " " + string(body)
}

// listeners are the TCP addresses that a process listens on, by proc(5).
func listeners(s *scene, pid int) (addresses []string) {
	s.Helper()
	own := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	s.must(err)
	for _, link := range links {
		target, _ := os.Readlink(link) // it may have been closed
		own[target] = true
	}
	for _, file := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, file))
		s.must(err)
		for _, line := range strings.Split(string(text), "\n")[1:] {
			fields := strings.Fields(line)
			const listen = "0A"
			if len(fields) < 10 || fields[3] != listen || !own["socket:["+fields[9]+"]"] {
				continue
			}
			var a, b, c, d byte
			var port uint16
			if _, err := fmt.Sscanf(fields[1], "%02X%02X%02X%02X:%04X", &d, &c, &b, &a, &port); err != nil || file == "tcp6" {
				addresses = append(addresses, fields[1])
				continue
			}
			addresses = append(addresses, fmt.Sprintf("%d.%d.%d.%d:%d", a, b, c, d, port))
		}
	}
	return addresses
}

// Redis lets the program send and hear notices, and nothing else: not read or change a
// key, not list, flush, configure or run anything.
func TestRedisLetsTheProgramSendNoticesAlone(t *testing.T) {
	s := newScene(t)
	server := shared.Lab.Redis
	program := redis.NewClient(&redis.Options{Addr: server.Addr, Username: server.User, Password: server.Password, DisableIdentity: true, Protocol: 2})
	defer program.Close()
	heard := program.Subscribe(s.ctx, "parley:events")
	defer heard.Close()
	_, err := heard.Receive(s.ctx)
	s.must(err)
	s.must(program.Publish(s.ctx, "parley:events", "").Err())
	if _, err := heard.ReceiveMessage(s.ctx); err != nil {
		s.Errorf("a notice is not heard: %v", err)
	}
	forbidden := []string{"GET a", "SET a b", "DEL a", "KEYS *", "SCAN 0", "FLUSHALL", "CONFIG GET *", "ACL LIST", "EVAL return(1) 0", "SHUTDOWN", "SAVE",
		"CLIENT LIST", "MONITOR", "REPLICAOF NO ONE", "MODULE LIST", "PSUBSCRIBE *", "SUBSCRIBE others", "PUBLISH others x", "INFO"}
	for _, command := range forbidden {
		var args []any
		for _, word := range strings.Fields(command) {
			args = append(args, word)
		}
		if err := program.Do(s.ctx, args...).Err(); err == nil || !strings.Contains(err.Error(), "NOPERM") {
			s.Errorf("%s: %v, want NOPERM", command, err)
		}
	}
	stranger := redis.NewClient(&redis.Options{Addr: server.Addr, Username: server.User, Password: "guess", DisableIdentity: true, Protocol: 2})
	defer stranger.Close()
	if err := stranger.Ping(s.ctx).Err(); err == nil {
		s.Error("another password is as good")
	}
	compose, err := os.ReadFile("../../docker/compose.yaml")
	s.must(err)
	if want := "user parley on >%s " + strings.Join(lab.ProgramACL, " "); !strings.Contains(string(compose), want) || !strings.Contains(string(compose), "user default off") {
		s.Errorf("the compose file does not say %q", want)
	}
	record(t, fmt.Sprintf("%d commands of Redis as the program's user", len(forbidden)), "all refused; notices pass")
}

// Who is not on this machine cannot reach ARI, and who is needs the password.
func TestARIAsksForThePassword(t *testing.T) {
	s := newScene(t)
	ari, err := url.Parse(shared.Lab.Asterisk.URL)
	s.must(err)
	for _, password := range []string{"", "parley", "admin"} {
		r, err := http.NewRequestWithContext(s.ctx, "GET", shared.Lab.Asterisk.URL+"/channels", nil)
		s.must(err)
		r.SetBasicAuth(shared.Lab.Asterisk.User, password)
		answer, err := http.DefaultClient.Do(r)
		s.must(err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			s.Errorf("password %q is answered %s", password, answer.Status)
		}
	}
	others := 0
	addresses, err := net.InterfaceAddrs()
	s.must(err)
	for _, address := range addresses {
		network, isNetwork := address.(*net.IPNet)
		if !isNetwork || network.IP.IsLoopback() || network.IP.IsLinkLocalUnicast() {
			continue
		}
		others++
		conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(s.ctx), "tcp", net.JoinHostPort(network.IP.String(), ari.Port()))
		if err == nil {
			conn.Close()
			s.Errorf("ARI answers at %v", network.IP)
		}
	}
	record(t, "ARI with wrong passwords, and by this machine's other addresses", "401; %d other addresses, none answers", others)
}
