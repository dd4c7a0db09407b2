// Package asteriskconfig holds Asterisk's own files. They hand every number to the
// program and decide nothing else; what differs between machines is in [Values].
// The files are Go templates, written out by [Write].
package asteriskconfig

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

//go:embed *.conf
var files embed.FS

// Values is what the files need to know about a machine. Begin with [Production] and
// set what has no sensible default: ARIPassword, MediaAddress and the carrier.
type Values struct {
	// Directories as Asterisk sees them.
	EtcDir, ModulesDir, LibDir, SpoolDir, RunDir, LogDir string

	SystemName string // prefix of the channel IDs that Asterisk makes
	EntityID   string // asterisk_id in every event; written as a MAC address
	MaxFiles   int    // descriptors; about ten for a bridged call

	// HTTPHost stays a loopback address: whoever reaches ARI moves calls and money.
	HTTPHost string
	HTTPPort int
	App      string // the Stasis application that is given every call
	ARIUser  string
	// ARIPassword is a long random token, as `openssl rand -hex 32` makes it.
	ARIPassword string

	SIPAddr         string   // UDP address:port that Asterisk listens on
	MediaAddress    string   // this machine's own address for RTP
	ExternalAddress string   // the public address, where NAT stands between; else empty
	LocalNets       []string // networks (CIDR) not behind that NAT
	RTPStart        int      // to RTPEnd: without a port that browsers refuse, such as 10080
	RTPEnd          int
	RTPTimeout      int // seconds without a packet after which a leg has ended

	// CarrierAddresses are the only ones calls are taken from: addresses or CIDR,
	// comma separated. Names would be resolved once, at load.
	CarrierAddresses string
	CarrierURI       string // where calls are sent: sip:host[:port]
	CarrierQualify   int    // seconds between OPTIONS; 0 sends none
	CarrierUser      string // if the carrier asks for a password
	CarrierPassword  string
	CarrierDomain    string // domain of the From header, if the carrier wants its own
	CarrierRegister  string // sip:user@host to register as; empty: do not register
	TrunkCodecs      string // most wanted first
	// ShownNumber is what those who are called through the carrier see: the line's
	// own number, as the carrier wants it written. No party's number is ever shown.
	ShownNumber string

	// NodeAddresses are where the Asterisks of other nodes send from: addresses or CIDR, comma
	// separated; empty where there is one node. They may ring the phones that are registered
	// here, and a call that no program takes is refused, for the proxy before all nodes to
	// try another.
	NodeAddresses string

	ToneZone string // us, uk or de
	// UnavailablePrompt is what callers hear while the program is not there: an
	// absolute path without extension. A recorded sound of Asterisk's own follows
	// where the file is missing.
	UnavailablePrompt string
}

// Production returns the values for Debian's package on a machine of its own.
func Production() Values {
	return Values{
		EtcDir:     "/etc/asterisk",
		ModulesDir: "/usr/lib/x86_64-linux-gnu/asterisk/modules",
		LibDir:     "/var/lib/asterisk",
		SpoolDir:   "/var/spool/asterisk",
		RunDir:     "/run/asterisk",
		LogDir:     "/var/log/asterisk",

		SystemName: "parley",
		EntityID:   "02:00:00:00:00:01",
		MaxFiles:   65536,

		HTTPHost: "127.0.0.1",
		HTTPPort: 8088,
		App:      "parley",
		ARIUser:  "parley",

		SIPAddr:    "0.0.0.0:5060",
		RTPStart:   16384,
		RTPEnd:     24575,
		RTPTimeout: 30,

		CarrierQualify: 60,
		TrunkCodecs:    "alaw,ulaw",
		ShownNumber:    "anonymous",

		ToneZone:          "us",
		UnavailablePrompt: "/var/lib/parley/prompts/en/service-unavailable",
	}
}

// Write puts Asterisk's files into dir, readable by their owner and group alone, since
// they hold passwords.
func Write(dir string, v Values) error {
	if err := v.validate(); err != nil {
		return fmt.Errorf("asterisk's configuration: %w", err)
	}
	all, err := template.ParseFS(files, "*.conf")
	if err != nil {
		return err
	}
	for _, file := range all.Templates() {
		var text bytes.Buffer
		if err := file.Execute(&text, v); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file.Name()), text.Bytes(), 0o640); err != nil {
			return err
		}
	}
	return nil
}

// refusedPorts are those above 1023 to which a browser sends nothing (the Fetch standard's
// bad ports). Chromium keeps them from WebRTC too, and tells nobody: of a call whose sound
// should go there, the app's phone would be answered and silent.
var refusedPorts = []int{1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}

// validate reports everything that is missing or could add a line of its own.
func (v Values) validate() error {
	var faults []error
	required := func(name, value string) {
		if value == "" {
			faults = append(faults, fmt.Errorf("%s is not set", name))
		}
	}
	required("ARIPassword", v.ARIPassword)
	required("SIPAddr", v.SIPAddr)
	required("MediaAddress", v.MediaAddress)
	required("CarrierAddresses", v.CarrierAddresses)
	required("CarrierURI", v.CarrierURI)
	if v.RTPTimeout <= 0 {
		faults = append(faults, errors.New("RTPTimeout must be positive: without it a vanished phone is never noticed"))
	}
	if v.RTPStart < 1024 || v.RTPEnd > 65535 || v.RTPStart >= v.RTPEnd {
		faults = append(faults, fmt.Errorf("RTPStart %d and RTPEnd %d must be ports from 1024 to 65535, in this order", v.RTPStart, v.RTPEnd))
	}
	if i := slices.IndexFunc(refusedPorts, func(port int) bool { return v.RTPStart <= port && port <= v.RTPEnd }); i >= 0 {
		faults = append(faults, fmt.Errorf("RTPStart %d to RTPEnd %d holds port %d, to which browsers send no sound: leave it out",
			v.RTPStart, v.RTPEnd, refusedPorts[i]))
	}
	if v.CarrierRegister != "" && v.CarrierUser == "" {
		faults = append(faults, errors.New("CarrierRegister needs CarrierUser and CarrierPassword"))
	}
	if strings.ContainsAny(fmt.Sprint(v), "\n\r;") {
		faults = append(faults, errors.New("a value holds a line break or a semicolon"))
	}
	return errors.Join(faults...)
}
