// Command asterisk is the entry point of Asterisk's image, and of its unit on a bare machine:
// it writes Asterisk's files from the environment and becomes Asterisk.
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	asteriskconfig "parley/asterisk-config"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "asterisk:", err)
		os.Exit(1)
	}
}

func run() error {
	v, err := values(os.Getenv)
	if err != nil {
		return err
	}
	if v.MediaAddress == "" {
		if v.MediaAddress, err = ownAddress(); err != nil {
			return err
		}
	}
	// Debian keeps modules in a directory named for the processor.
	modules, err := filepath.Glob("/usr/lib/*/asterisk/modules")
	if err != nil || len(modules) != 1 {
		return fmt.Errorf("asterisk's modules: found %q", modules)
	}
	v.ModulesDir = modules[0]
	if err := asteriskconfig.Write(v.EtcDir, v); err != nil {
		return err
	}
	return syscall.Exec("/usr/sbin/asterisk", []string{"asterisk", "-f"}, os.Environ())
}

// values are production's, changed by the environment. NAME_FILE names a file that
// holds NAME, as Docker's secrets do.
func values(getenv func(string) string) (asteriskconfig.Values, error) {
	v := asteriskconfig.Production()
	var faults []error
	text := func(to *string, name string) {
		if value := getenv(name); value != "" {
			*to = value
		}
	}
	secret := func(to *string, name string) {
		text(to, name)
		if file := getenv(name + "_FILE"); file != "" {
			value, err := os.ReadFile(file)
			faults = append(faults, err)
			*to = strings.TrimSpace(string(value))
		}
	}
	number := func(to *int, name string) {
		if value := getenv(name); value != "" {
			n, err := strconv.Atoi(value)
			if err != nil {
				err = fmt.Errorf("%s is %q and must be a whole number", name, value)
			}
			faults, *to = append(faults, err), n
		}
	}
	secret(&v.ARIPassword, "PARLEY_ASTERISK_PASSWORD")
	text(&v.SIPAddr, "SIP_ADDR")
	text(&v.MediaAddress, "MEDIA_ADDRESS")
	text(&v.NodeAddresses, "NODE_ADDRESSES")
	text(&v.SystemName, "SYSTEM_NAME")
	number(&v.HTTPPort, "HTTP_PORT")
	text(&v.ExternalAddress, "EXTERNAL_ADDRESS")
	number(&v.RTPStart, "RTP_START")
	number(&v.RTPEnd, "RTP_END")
	number(&v.RTPTimeout, "RTP_TIMEOUT")
	text(&v.CarrierURI, "CARRIER_URI")
	text(&v.CarrierAddresses, "CARRIER_ADDRESSES")
	text(&v.CarrierUser, "CARRIER_USER")
	secret(&v.CarrierPassword, "CARRIER_PASSWORD")
	text(&v.CarrierDomain, "CARRIER_DOMAIN")
	text(&v.CarrierRegister, "CARRIER_REGISTER")
	text(&v.ShownNumber, "SHOWN_NUMBER")
	text(&v.ToneZone, "TONE_ZONE")
	return v, errors.Join(faults...)
}

// ownAddress is this machine's, or the container's, address on the network that leads out. Nothing is sent:
// connecting UDP only chooses a route.
func ownAddress() (string, error) {
	conn, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return "", fmt.Errorf("find this machine's own address; or set MEDIA_ADDRESS: %w", err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}
