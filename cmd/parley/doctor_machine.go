package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// examinePrompts looks for rendered or recorded prompts. That Asterisk reads the same
// directory is not to be seen from here.
func examinePrompts(c config) finding {
	for _, name := range []string{"service-unavailable", "price-you-call", "enter-pin"} {
		file := filepath.Join(c.promptsDir, "en", name+".wav")
		info, err := os.Stat(file)
		if err != nil || info.Size() == 0 {
			return finding{"prompts", warning, fmt.Sprintf("%s is not there", file),
				"`parley serve` renders them when it starts: is prompts.dir right, may it write there, is flite installed?"}
		}
	}
	return finding{"prompts", fine, "are in " + c.promptsDir, ""}
}

// examinePorts looks whether our own listeners can be had, or are a Parley's already.
func examinePorts(c config) (found []finding) {
	for _, at := range []struct{ check, address, path string }{{"http.addr", c.httpAddr, "/livez"}, {"metrics.addr", c.metricsAddr, "/metrics"}} {
		if at.address == httpOff {
			found = append(found, finding{at.check, fine, "is off", ""})
			continue
		}
		listener, err := net.Listen("tcp", at.address)
		if err == nil {
			listener.Close()
			found = append(found, finding{at.check, fine, at.address + " is free", ""})
			continue
		}
		client := http.Client{Timeout: 10 * time.Second}
		answer, asked := client.Get("http://" + at.address + at.path)
		if asked == nil {
			answer.Body.Close()
		}
		if asked == nil && answer.StatusCode == http.StatusOK {
			found = append(found, finding{at.check, fine, at.address + " is a running copy's", ""})
			continue
		}
		found = append(found, finding{at.check, fault, oneLine(err), "another program has it (`ss -ltnp`), or the address is not this machine's"})
	}
	return found
}

// certificateLeast is how long a certificate must still hold.
const certificateLeast = 14 * 24 * time.Hour

// examineOrigins looks at the names by which browsers come, and their certificates.
func examineOrigins(ctx context.Context, c config) (found []finding) {
	for _, origin := range c.origins {
		u, err := url.Parse(origin)
		if err != nil || u.Hostname() == "" || u.Scheme != "https" {
			found = append(found, finding{"certificate", warning, origin + " is not https://HOST", "browsers give the microphone to https alone: correct http.origins"})
			continue
		}
		port := u.Port()
		if port == "" {
			port = "443"
		}
		found = append(found, certificateOf(ctx, net.JoinHostPort(u.Hostname(), port)))
	}
	return found
}

func certificateOf(ctx context.Context, address string) finding {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := (&tls.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return finding{"certificate", fault, address + ": " + oneLine(err), "does its name lead here, is the proxy up, was the certificate renewed?"}
	}
	defer conn.Close()
	until := conn.(*tls.Conn).ConnectionState().PeerCertificates[0].NotAfter
	if time.Until(until) < certificateLeast {
		return finding{"certificate", warning, address + " holds until " + until.Format(time.DateOnly), "renew it"}
	}
	return finding{"certificate", fine, address + " holds until " + until.Format(time.DateOnly), ""}
}

// What must be free of a disk.
const (
	diskLeast = 200 << 20 // bytes: less is a fault
	diskSpare = 5         // percent: less is a warning
)

func examineDisks(c config) (found []finding) {
	var seen []syscall.Fsid
	for _, dir := range []string{"/", os.TempDir(), "/var/lib", "/var/log", c.promptsDir} {
		var fs syscall.Statfs_t
		if syscall.Statfs(dir, &fs) != nil || fs.Blocks == 0 || slices.Contains(seen, fs.Fsid) {
			continue
		}
		seen = append(seen, fs.Fsid)
		free := fs.Bavail * uint64(fs.Bsize)
		percent := 100 * fs.Bavail / fs.Blocks
		f := finding{"disk", fine, fmt.Sprintf("%d MB are free where %s is", free>>20, dir), ""}
		switch {
		case free < diskLeast:
			f.State, f.Mend = fault, "make room: Postgres stops when its disk is full, and with it all calls"
		case percent < diskSpare:
			f.State, f.Mend = warning, "make room soon"
		}
		found = append(found, f)
	}
	return found
}
