package phone

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// told is a report block as its receiver reads it (RFC 3550 6.4.1).
type told struct {
	source          uint32
	share           byte
	lost            int32
	highest, jitter uint32
	report, delay   uint32
}

func readBlock(t *testing.T, b []byte) told {
	t.Helper()
	if len(b) != reportBlock {
		t.Fatalf("a block of %d bytes", len(b))
	}
	word := func(i int) uint32 { return binary.BigEndian.Uint32(b[4*i:]) }
	return told{word(0), b[4], int32(word(1)<<8) >> 8, word(2), word(3), word(4), word(5)}
}

// listener hears one packet each 20 ms, but those that are lost.
type listener struct {
	reception
	at       time.Time
	sequence uint16
	stamp    uint32
}

func (l *listener) hear(packets int, lost func(i int) bool) {
	for i := range packets {
		if !lost(i) {
			l.packet(rtpPacket{ssrc: 7, sequence: l.sequence, timestamp: l.stamp}, l.at)
		}
		l.at, l.sequence, l.stamp = l.at.Add(frameTime), l.sequence+1, l.stamp+frame
	}
}

func none(int) bool { return false }

// What is lost is counted over the end of the sequence numbers, in all and since the last
// report; a stream with another source begins again.
func TestLossIsReported(t *testing.T) {
	l := &listener{at: time.Unix(1_800_000_000, 0), sequence: 65_500, stamp: 1<<32 - 1000}
	if b := l.block(nil, l.at); len(b) != 0 {
		t.Fatal("a report of nothing")
	}
	l.hear(100, func(i int) bool { return i%4 == 1 })
	if got, want := readBlock(t, l.block(nil, l.at)), (told{source: 7, share: 64, lost: 25, highest: 65_599}); got != want {
		t.Errorf("one in four is lost: %+v, want %+v", got, want)
	}
	l.hear(100, none)
	if got, want := readBlock(t, l.block(nil, l.at)), (told{source: 7, share: 0, lost: 25, highest: 65_699}); got != want {
		t.Errorf("then none: %+v, want %+v", got, want)
	}
	late := rtpPacket{ssrc: 7, sequence: l.sequence - 1, timestamp: l.stamp - frame}
	l.packet(late, l.at.Add(-frameTime)) // the last one, twice
	if got := readBlock(t, l.block(nil, l.at)); got.lost != 24 || got.share != 0 || got.highest != 65_699 {
		t.Errorf("then one twice: %+v", got)
	}
	l.packet(rtpPacket{ssrc: 8, sequence: 5, timestamp: 9}, l.at)
	if got, want := readBlock(t, l.block(nil, l.at)), (told{source: 8, highest: 5}); got != want {
		t.Errorf("another source: %+v, want %+v", got, want)
	}
}

// Jitter is a sixteenth of each change of the time on the way, smoothed (RFC 3550 A.8).
func TestJitterIsReported(t *testing.T) {
	l := &listener{at: time.Unix(1_800_000_000, 0)}
	for i := range 1000 { // 10 ms early and late in turn: a change of 160 samples each time
		way := time.Duration(i%2) * 20 * time.Millisecond
		l.packet(rtpPacket{ssrc: 7, sequence: uint16(i), timestamp: uint32(i * frame)}, l.at.Add(time.Duration(i)*frameTime+way))
	}
	if got := readBlock(t, l.block(nil, l.at)); got.jitter < 155 || got.jitter > 160 {
		t.Errorf("jitter %d samples, want 160", got.jitter)
	}
}

// A report answers the sender's last one, with how long that was ago: the sender needs
// both for the round trip. What is no report is not taken for one.
func TestAReportAnswersTheSenders(t *testing.T) {
	m, err := newMedia("127.0.0.1", []Codec{ULaw}, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	other, err := newMedia("127.0.0.1", []Codec{ULaw}, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if m.reports.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port() != m.local.Port()+1 {
		t.Error("RTCP is not on the port after RTP's")
	}
	sent := time.Unix(1_800_000_000, 250_000_000)
	m.sent, m.octets, m.timestamp = 10, 1600, 77
	m.hears.packet(rtpPacket{ssrc: other.ssrc, sequence: 1}, sent)
	report := m.makeReport(sent)
	if len(report)%4 != 0 || report[0] != 2<<6|1 || report[1] != senderReportType || binary.BigEndian.Uint16(report[2:]) != 12 {
		t.Fatalf("% x", report)
	}
	for at, want := range map[int]uint32{4: m.ssrc, 8: 1_800_000_000 + 2_208_988_800, 12: 1 << 30, 16: 77, 20: 10, 24: 1600, 28: other.ssrc} {
		if got := binary.BigEndian.Uint32(report[at:]); got != want {
			t.Errorf("byte %d: %d, want %d", at, got, want)
		}
	}
	description := report[reportHeader+reportBlock:]
	if description[0] != 2<<6|1 || description[1] != descriptionType || 4*(1+int(binary.BigEndian.Uint16(description[2:]))) != len(description) ||
		description[8] != canonicalName || string(description[10:][:description[9]]) != "127.0.0.1" {
		t.Errorf("the description: % x", description)
	}

	other.hears.packet(rtpPacket{ssrc: m.ssrc}, sent)
	got := sent.Add(time.Hour)
	other.hears.reported(report, got)
	other.hears.reported([]byte{2 << 6, senderReportType, 0xff, 0xff, 0}, got.Add(time.Minute))
	receivers := append([]byte{2 << 6, 201, 0, 7}, make([]byte, 28)...) // a report of who does not send
	other.hears.reported(receivers, got.Add(time.Minute))
	answer := readBlock(t, other.hears.block(nil, got.Add(1500*time.Millisecond)))
	const middle = (1_800_000_000+2_208_988_800)&0xffff<<16 | 1<<14 // of the NTP time
	if answer.report != middle || answer.delay != 3<<15 {
		t.Errorf("the report answers %d, %d/65536 s ago, want %d and %d", answer.report, answer.delay, middle, 3<<15)
	}
}
