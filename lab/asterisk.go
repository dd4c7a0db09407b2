package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	asteriskconfig "parley/asterisk-config"
)

// carrierHost is where the pretend carrier's phones are: an address of their own on
// loopback, so that Asterisk tells the carrier from everyone else.
const carrierHost = "127.0.0.2"

// Asterisk is one telephone exchange.
type Asterisk struct {
	*Service

	URL            string // of ARI: http://127.0.0.1:PORT/ari
	User, Password string
	App            string // the Stasis application: parley

	SIPAddr string // where phones send: HOST:PORT, UDP
	// CarrierAddr is 127.0.0.2:PORT, where calls to PJSIP/NUMBER@trunk-N go. Calls that
	// come from any port of 127.0.0.2 are the carrier's.
	CarrierAddr string

	LogDir string // messages.log and security.log
	// Prompts in PromptsDir are played as sound:PromptsPath/NAME.
	PromptsDir  string
	PromptsPath string

	config string // asterisk.conf, as Asterisk sees it
}

// startAsterisk runs Asterisk as the unprivileged user of the chroot. It stays in the
// foreground and gives no privileges up by itself, which would clear Pdeathsig.
func startAsterisk(ctx context.Context, inst installation, r *run, o Options) (*Asterisk, error) {
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(r.asterisk, inst.asteriskRoot), "/")
	a := &Asterisk{
		URL:         "http://" + r.addr(httpPort) + "/ari",
		User:        "parley",
		Password:    rand.Text(),
		App:         "parley",
		SIPAddr:     r.addrOn(o.Host, sipPort),
		CarrierAddr: net.JoinHostPort(carrierHost, strconv.Itoa(r.ports+carrierPort)),
		LogDir:      filepath.Join(r.asterisk, "log"),
		PromptsDir:  filepath.Join(r.asterisk, "prompts"),
		PromptsPath: inside + "/prompts",
		config:      inside + "/etc/asterisk.conf",
	}
	owner, err := ownerIn(inst.asteriskRoot, "asterisk")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(a.PromptsDir, 0o755); err != nil {
		return nil, err
	}
	for _, name := range []string{"etc", "lib", "lib/keys", "spool", "run", "log"} {
		dir := filepath.Join(r.asterisk, name)
		if err := os.Mkdir(dir, 0o750); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return nil, err
		}
	}
	if err := resolveOwnName(inst.asteriskRoot); err != nil {
		return nil, err
	}
	if err := a.configure(inst, r, o, inside, owner); err != nil {
		return nil, err
	}

	a.Service = r.add(&Service{
		name: "asterisk",
		path: "/usr/sbin/asterisk",
		args: []string{"-f", "-C", a.config},
		attr: syscall.SysProcAttr{
			Chroot:     inst.asteriskRoot,
			Credential: owner,
		},
		dir:     r.dir,
		logs:    []string{filepath.Join(a.LogDir, "messages.log")},
		ready:   a.ping,
		closing: syscall.SIGKILL,
		nice:    onThePhone,
	})
	return a, a.Start(ctx)
}

// resolveOwnName puts this machine's name into the root's /etc/hosts. Asterisk looks its
// own name up for calls, and each look-up that goes out to the network stalls one.
func resolveOwnName(root string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	file := filepath.Join(root, "etc/hosts")
	want := fmt.Appendf(nil, "127.0.0.1 localhost %s\n", name)
	if have, err := os.ReadFile(file); err == nil && bytes.Equal(have, want) {
		return nil
	}
	temp := file + "." + rand.Text()
	if err := os.WriteFile(temp, want, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, file)
}

// configure writes Asterisk's files for this run.
func (a *Asterisk) configure(inst installation, r *run, o Options, inside string, owner *syscall.Credential) error {
	modules, err := filepath.Glob(inst.asteriskRoot + "/usr/lib/*/asterisk/modules")
	if err != nil || len(modules) != 1 {
		return fmt.Errorf("asterisk's modules: found %v in %s", modules, inst.asteriskRoot)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}

	v := asteriskconfig.Production()
	v.EtcDir, v.LibDir = inside+"/etc", inside+"/lib"
	v.SpoolDir, v.RunDir, v.LogDir = inside+"/spool", inside+"/run", inside+"/log"
	v.ModulesDir = strings.TrimPrefix(modules[0], inst.asteriskRoot)
	v.SystemName = "lab-" + r.id
	v.EntityID = entityID()
	v.MaxFiles = min(v.MaxFiles, int(limit.Max))
	v.HTTPPort = r.ports + httpPort
	v.App, v.ARIUser, v.ARIPassword = a.App, a.User, a.Password
	v.SIPAddr, v.MediaAddress, v.NodeAddresses = a.SIPAddr, o.Host, o.Nodes
	v.RTPStart, v.RTPEnd = r.ports+rtpPorts, r.ports+rtpPorts+o.RTPPorts-1
	v.RTPTimeout = int(o.RTPTimeout / time.Second)
	if o.ShownNumber != "" {
		v.ShownNumber = o.ShownNumber
	}
	v.CarrierAddresses = carrierHost
	v.CarrierURI = "sip:" + a.CarrierAddr
	if o.Proxy != "" {
		host, _, err := net.SplitHostPort(o.Proxy)
		if err != nil {
			return err
		}
		v.CarrierAddresses, v.CarrierURI = host, "sip:"+o.Proxy
	}
	v.CarrierQualify = 0
	v.UnavailablePrompt = a.PromptsPath + "/en/service-unavailable"

	etc := filepath.Join(r.asterisk, "etc")
	if err := asteriskconfig.Write(etc, v); err != nil {
		return err
	}
	names, err := filepath.Glob(etc + "/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Chown(name, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// ping asks ARI, which answers 503 until Asterisk has fully booted.
func (a *Asterisk) ping(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/asterisk/ping", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(a.User, a.Password)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("ARI answers %s %s", resp.Status, body)
	}
	return nil
}

// CLI runs one command on Asterisk's console and returns what it prints.
func (a *Asterisk) CLI(ctx context.Context, command string) (string, error) {
	cmd := exec.CommandContext(ctx, "/usr/sbin/asterisk", "-C", a.config, "-rx", command)
	cmd.Dir = "/"
	cmd.Env = []string{"TERM=dumb"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: a.attr.Chroot, Credential: a.attr.Credential}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("asterisk -rx %q: %w: %s", command, err, out)
	}
	return string(out), nil
}

// entityID makes a locally administered MAC address.
func entityID() string {
	b := make([]byte, 5)
	rand.Read(b)
	return fmt.Sprintf("02:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4])
}
