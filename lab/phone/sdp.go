package phone

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// eventType is the payload type that we offer for telephone-event (RFC 4733).
const eventType = 101

// session is what a phone needs of its peer's SDP (RFC 4566).
type session struct {
	addr  netip.AddrPort // where the peer wants RTP
	codec Codec          // the peer's first that we speak too
	event uint8          // the peer's telephone-event payload type, zero when it has none
}

var errNoSession = errors.New("no audio session that the phone can take")

// parseSession reads the first audio stream of an offer or answer.
func parseSession(body []byte, codecs []Codec) (session, error) {
	var s session
	var host string
	var types []string
	audio := false
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "m="):
			if audio {
				continue
			}
			f := strings.Fields(line)
			if len(f) < 4 || f[0] != "m=audio" {
				continue
			}
			port, err := strconv.ParseUint(f[1], 10, 16)
			if err != nil {
				return s, fmt.Errorf("SDP audio port: %w", err)
			}
			s.addr = netip.AddrPortFrom(netip.Addr{}, uint16(port))
			types, audio = f[3:], true
		case strings.HasPrefix(line, "c=IN IP4 "):
			host = strings.TrimPrefix(line, "c=IN IP4 ")
		case strings.HasPrefix(line, "a=rtpmap:") && strings.Contains(line, "telephone-event/8000"):
			number, _, _ := strings.Cut(strings.TrimPrefix(line, "a=rtpmap:"), " ")
			n, _ := strconv.ParseUint(number, 10, 7)
			s.event = uint8(n)
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || s.addr.Port() == 0 {
		return s, errNoSession
	}
	s.addr = netip.AddrPortFrom(ip, s.addr.Port())
	for _, t := range types {
		if n, err := strconv.ParseUint(t, 10, 7); err == nil && slices.Contains(codecs, Codec(n)) {
			s.codec = Codec(n)
			return s, nil
		}
	}
	return s, errNoSession
}

// makeSession writes our SDP: the codecs best first, and telephone-event.
func makeSession(local netip.AddrPort, codecs []Codec, event uint8) []byte {
	var types, maps strings.Builder
	for _, c := range codecs {
		fmt.Fprintf(&types, " %d", c)
		fmt.Fprintf(&maps, "a=rtpmap:%d %s/8000\r\n", c, c)
	}
	if event != 0 {
		fmt.Fprintf(&types, " %d", event)
		fmt.Fprintf(&maps, "a=rtpmap:%d telephone-event/8000\r\na=fmtp:%d 0-16\r\n", event, event)
	}
	return fmt.Appendf(nil, "v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\n"+
		"m=audio %[2]d RTP/AVP%[3]s\r\n%[4]sa=ptime:20\r\na=sendrecv\r\n",
		local.Addr(), local.Port(), types.String(), maps.String())
}

func setSession(m sip.Message, sdp []byte) {
	m.AppendHeader(sip.NewHeader("Content-Type", "application/sdp"))
	m.SetBody(sdp)
}
