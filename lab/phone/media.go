package phone

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sampleRate = 8000
	frame      = 160 // samples in a packet: 20 ms
	frameTime  = 20 * time.Millisecond
	rtpHeader  = 12
)

// media is the RTP of one call. It always sends: a key's event, else speech,
// else a tone, else silence, so that the exchange does not think the phone lost;
// and every five seconds a report of what it hears.
type media struct {
	conn    *net.UDPConn
	reports *net.UDPConn // RTCP
	local   netip.AddrPort
	codecs  []Codec
	ear     *ear
	hears   reception

	peerPort atomic.Uint32 // port that packets must come from
	event    atomic.Uint32 // payload type of events that we receive
	misses   atomic.Uint32 // one in so many packets is lost on its way here; 0: none

	mu        sync.Mutex // guards what is sent
	silent    bool
	connected bool
	started   bool
	remote    session
	ssrc      uint32
	sequence  uint16
	timestamp uint32
	tone      []byte // one second, encoded; nil for silence
	toneAt    int
	speech    []byte // encoded, still to be sent
	spoken    chan struct{}
	keys      []press
	loses     int // one packet in so many is lost on its way out; 0: none
	frames    int
	sent      uint32        // packets
	octets    uint32        // of payload, in them
	far       time.Duration // how long a report is on its way
	packet    [rtpHeader + frame]byte
}

func newMedia(ip string, codecs []Codec, keep time.Duration) (*media, error) {
	conn, reports, err := listenPair(ip)
	if err != nil {
		return nil, fmt.Errorf("open RTP sockets: %w", err)
	}
	m := &media{
		conn:      conn,
		reports:   reports,
		local:     conn.LocalAddr().(*net.UDPAddr).AddrPort(),
		codecs:    codecs,
		ear:       newEar(keep),
		ssrc:      rand.Uint32(),
		sequence:  uint16(rand.Uint32()),
		timestamp: rand.Uint32(),
	}
	m.event.Store(eventType)
	go m.receive()
	go m.receiveReports()
	return m, nil
}

// connect takes the peer's session: where to send once that starts, and from
// where to hear.
func (m *media) connect(remote session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent {
		return
	}
	m.peerPort.Store(uint32(remote.addr.Port()))
	if remote.event != 0 {
		// The answer takes the offer's number, so that both directions have one
		// (RFC 3264 6.1).
		m.event.Store(uint32(remote.event))
	}
	m.remote, m.connected = remote, true
}

// start begins to send, which then goes on until the call ends.
func (m *media) start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.silent && m.connected && !m.started {
		m.started = true
		pacing.add(m)
	}
}

// session is our SDP. Once the peer's is known it names what was agreed only, so
// that both directions have one codec.
func (m *media) session() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.connected {
		return makeSession(m.local, []Codec{m.remote.codec}, m.remote.event)
	}
	return makeSession(m.local, m.codecs, eventType)
}

// mute stops sending and listening, and keeps the port as a black hole.
func (m *media) mute() {
	m.mu.Lock()
	m.silent = true
	m.mu.Unlock()
	pacing.remove(m)
	m.conn.SetReadDeadline(time.Unix(1, 0))
	m.reports.SetReadDeadline(time.Unix(1, 0))
	m.ear.close()
}

func (m *media) close() {
	m.mute()
	m.conn.Close()
	m.reports.Close()
}

// sendFrame sends what is due every 20 ms. A packet that cannot be sent is lost,
// as on any network.
func (m *media) sendFrame() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.silent {
		return
	}
	if !m.sendKey() {
		m.sendAudio()
	}
	m.timestamp += frame
	if m.frames++; m.frames%reportEvery == reportEvery/2 {
		m.sendReport()
	}
}

func (m *media) sendAudio() {
	payload := m.packet[rtpHeader:]
	n := copy(payload, m.speech)
	m.speech = m.speech[n:]
	if n > 0 && len(m.speech) == 0 {
		close(m.spoken)
	}
	if n == 0 && m.tone != nil {
		n = copy(payload, m.tone[m.toneAt:m.toneAt+frame])
		m.toneAt = (m.toneAt + frame) % len(m.tone)
	}
	for ; n < frame; n++ {
		payload[n] = m.remote.codec.silence()
	}
	m.send(uint8(m.remote.codec), m.timestamp, frame)
}

// send puts the RTP header (RFC 3550 5.1) before the payload in m.packet.
func (m *media) send(payloadType uint8, timestamp uint32, payload int) {
	m.packet[0] = 2 << 6
	m.packet[1] = payloadType
	binary.BigEndian.PutUint16(m.packet[2:], m.sequence)
	binary.BigEndian.PutUint32(m.packet[4:], timestamp)
	binary.BigEndian.PutUint32(m.packet[8:], m.ssrc)
	m.sequence++
	m.sent++
	m.octets += uint32(payload)
	if m.loses > 0 && int(m.sequence)%m.loses == 0 {
		return
	}
	m.conn.WriteToUDPAddrPort(m.packet[:rtpHeader+payload], m.remote.addr)
}

// receive hears what the peer sends, until the socket closes.
func (m *media) receive() {
	var buf [2048]byte
	var pcm [2048]int16
	for {
		n, from, err := m.conn.ReadFromUDPAddrPort(buf[:])
		if err != nil {
			return
		}
		// Ports are reused quickly on one machine: a late packet of another call
		// must not be heard here.
		if uint32(from.Port()) != m.peerPort.Load() {
			continue
		}
		p, err := parseRTP(buf[:n])
		if err != nil {
			continue
		}
		if in := m.misses.Load(); in > 0 && uint32(p.sequence)%in == 0 {
			continue
		}
		m.hears.packet(p, time.Now())
		switch codec := Codec(p.payloadType); {
		case codec == ULaw || codec == ALaw:
			table := codec.pcm()
			for i, code := range p.payload {
				pcm[i] = table[code]
			}
			m.ear.addAudio(pcm[:len(p.payload)])
		case uint32(p.payloadType) == m.event.Load() && len(p.payload) >= 4:
			m.ear.addEvent(p.payload[0], p.timestamp)
		}
	}
}

var errNotRTP = errors.New("not an RTP packet")

type rtpPacket struct {
	payloadType     uint8
	sequence        uint16
	timestamp, ssrc uint32
	payload         []byte
}

func parseRTP(packet []byte) (p rtpPacket, err error) {
	if len(packet) < rtpHeader || packet[0]>>6 != 2 {
		return p, errNotRTP
	}
	start := rtpHeader + 4*int(packet[0]&15) // contributing sources
	if packet[0]&0x10 != 0 {                 // header extension
		if len(packet) < start+4 {
			return p, errNotRTP
		}
		start += 4 + 4*int(binary.BigEndian.Uint16(packet[start+2:]))
	}
	end := len(packet)
	if packet[0]&0x20 != 0 { // padding
		end -= int(packet[end-1])
	}
	if start > end {
		return p, errNotRTP
	}
	return rtpPacket{
		payloadType: packet[1] & 0x7f, sequence: binary.BigEndian.Uint16(packet[2:]),
		timestamp: binary.BigEndian.Uint32(packet[4:]), ssrc: binary.BigEndian.Uint32(packet[8:]), payload: packet[start:end],
	}, nil
}
