package phone

import (
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"
)

// reportEvery is how many frames of 20 ms are between two reports: five seconds (RFC 3550
// 6.2). The first comes after half of that.
const reportEvery = 250

const (
	senderReportType = 200 // RTCP packet types (RFC 3550 12.1)
	descriptionType  = 202
	canonicalName    = 1 // the item of a description that must be there

	reportHeader = 28 // of a sender report, before its blocks
	reportBlock  = 24
)

// reception is what a phone knows of the stream that it hears, which it reports to the
// sender (RFC 3550 6.4.1, A.1, A.3, A.8).
type reception struct {
	mu     sync.Mutex
	source uint32 // SSRC of the stream
	heard  bool

	first, highest   uint32 // sequence numbers, which go on where those in packets start again
	received         uint32
	expected, before uint32 // by the last report, of which received
	transit          uint32 // of the last packet, in samples, off by a constant
	jitter           float64

	report   uint32 // the time of the sender's last report: its NTP time's middle 32 bits
	reportAt time.Time
}

// packet takes note of an RTP packet that has come. A stream with another SSRC is a new one.
func (r *reception) packet(p rtpPacket, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	transit := uint32(at.UnixNano()/int64(time.Second/sampleRate)) - p.timestamp
	if !r.heard || p.ssrc != r.source {
		r.source, r.heard = p.ssrc, true
		r.first, r.highest, r.received = uint32(p.sequence), uint32(p.sequence), 0
		r.expected, r.before, r.transit, r.jitter = 0, 0, transit, 0
	}
	if ahead := int16(p.sequence - uint16(r.highest)); ahead > 0 {
		r.highest += uint32(ahead)
	}
	r.received++
	r.jitter += (math.Abs(float64(int32(transit-r.transit))) - r.jitter) / 16
	r.transit = transit
}

// reported takes note of what the sender sends at RTCP.
func (r *reception) reported(compound []byte, at time.Time) {
	for len(compound) >= 4 {
		size := 4 * (1 + int(binary.BigEndian.Uint16(compound[2:])))
		if size > len(compound) || compound[0]>>6 != 2 {
			return
		}
		if compound[1] == senderReportType && size >= reportHeader {
			r.mu.Lock()
			r.report, r.reportAt = binary.BigEndian.Uint32(compound[10:]), at
			r.mu.Unlock()
		}
		compound = compound[size:]
	}
}

// block appends the report block of the stream, where one is heard.
func (r *reception) block(to []byte, at time.Time) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.heard {
		return to
	}
	expected := r.highest - r.first + 1
	lost := int32(expected - r.received) // below zero where packets came twice
	var share uint32                     // of those since the last report, in 256ths
	since, came := expected-r.expected, r.received-r.before
	if since > came && since < 1<<24 {
		share = min(255, (since-came)<<8/since)
	}
	r.expected, r.before = expected, r.received
	var delay uint32 // since the sender's last report, in 65536ths of a second
	if !r.reportAt.IsZero() {
		delay = uint32(at.Sub(r.reportAt) * 65536 / time.Second)
	}
	to = binary.BigEndian.AppendUint32(to, r.source)
	to = binary.BigEndian.AppendUint32(to, share<<24|uint32(max(-1<<23, min(1<<23-1, lost)))&0xffffff)
	to = binary.BigEndian.AppendUint32(to, r.highest)
	to = binary.BigEndian.AppendUint32(to, uint32(r.jitter))
	to = binary.BigEndian.AppendUint32(to, r.report)
	return binary.BigEndian.AppendUint32(to, delay)
}

// makeReport is a compound packet: a sender report, since a phone in a call always sends,
// with what it hears, and the name that RFC 3550 6.5 wants, which says nothing of anybody.
func (m *media) makeReport(at time.Time) []byte {
	b := make([]byte, 8, 128)
	binary.BigEndian.PutUint32(b[4:], m.ssrc)
	const ntpToUnix = 2_208_988_800 // seconds from 1900 to 1970
	b = binary.BigEndian.AppendUint32(b, uint32(at.Unix()+ntpToUnix))
	b = binary.BigEndian.AppendUint32(b, uint32(uint64(at.Nanosecond())<<32/1e9))
	b = binary.BigEndian.AppendUint32(b, m.timestamp)
	b = binary.BigEndian.AppendUint32(b, m.sent)
	b = binary.BigEndian.AppendUint32(b, m.octets)
	b = m.hears.block(b, at)
	rtcpHeader(b, (len(b)-reportHeader)/reportBlock, senderReportType)

	name := m.local.Addr().String()
	description := binary.BigEndian.AppendUint32(make([]byte, 4, 32), m.ssrc)
	description = append(append(description, canonicalName, byte(len(name))), name...)
	description = append(description, 0) // the end of the items, then up to a whole word
	for len(description)%4 != 0 {
		description = append(description, 0)
	}
	rtcpHeader(description, 1, descriptionType)
	return append(b, description...)
}

// rtcpHeader fills in a packet's first word: how many blocks it has, its type, its length.
func rtcpHeader(b []byte, blocks int, kind byte) {
	b[0], b[1] = 2<<6|byte(blocks), kind
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)/4-1))
}

// sendReport reports to the port beside the one that gets RTP. It is underway for as long
// as the phone is far away.
func (m *media) sendReport() {
	report := m.makeReport(time.Now())
	to := netip.AddrPortFrom(m.remote.addr.Addr(), m.remote.addr.Port()+1)
	time.AfterFunc(m.far, func() { m.reports.WriteToUDPAddrPort(report, to) })
}

// receiveReports reads what the peer reports, until the socket closes.
func (m *media) receiveReports() {
	var buf [2048]byte
	for {
		n, from, err := m.reports.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			return
		}
		if uint32(from.Port()) == m.peerPort.Load()+1 {
			m.hears.reported(buf[:n], time.Now())
		}
	}
}

// listenPair opens two ports that follow one another, for RTP and RTCP: the second need not
// be told then (RFC 3605).
func listenPair(ip string) (rtp, rtcp *net.UDPConn, err error) {
	const tries = 50
	at := net.UDPAddr{IP: net.ParseIP(ip)}
	for range tries {
		if rtp, err = net.ListenUDP("udp4", &at); err != nil {
			return nil, nil, err
		}
		beside := net.UDPAddr{IP: at.IP, Port: rtp.LocalAddr().(*net.UDPAddr).Port + 1}
		if rtcp, err = net.ListenUDP("udp4", &beside); err == nil {
			return rtp, rtcp, nil
		}
		rtp.Close()
	}
	return nil, nil, err
}
