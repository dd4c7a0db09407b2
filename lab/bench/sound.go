package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// Sound is what talks cost whose two sides both send G.711, 50 packets a second each.
type Sound struct {
	Live          int
	Each          usage   // per second of a talk
	Through       float64 // the part of the packets that came out at the other side
	SentPerSecond float64
}

// MeasureSound has more and more people talk at once.
func (b *Bench) MeasureSound(ctx context.Context) (all []Sound, err error) {
	for _, live := range b.Talks {
		s, err := b.sound(ctx, min(live, b.Pairs))
		if err != nil {
			return all, err
		}
		b.say("%d talks with sound: asterisk %v program %v for a second of each, %.4f of the packets came through", s.Live, s.Each.asterisk, s.Each.program, s.Through)
		all = append(all, s)
	}
	return all, nil
}

func (b *Bench) sound(ctx context.Context, live int) (s Sound, err error) {
	const rate = 40.0
	measured := 10 * time.Second
	if b.Short {
		measured = time.Second
	}
	rising := time.Duration(float64(live) / rate * float64(time.Second))
	talking := make(chan error, 1)
	go func() {
		seen, err := b.run(ctx, load{design: paid, rate: rate, calls: live, talk: rising + measured + 10*time.Second})
		if err == nil && seen.failed > 0 {
			err = fmt.Errorf("%d of %d talks with sound failed", seen.failed, seen.calls)
		}
		talking <- err
	}()
	time.Sleep(rising + time.Second)
	var legs []*net.UDPAddr
	for give := time.Now().Add(5 * time.Second); len(legs) != 2*live; time.Sleep(200 * time.Millisecond) {
		if legs, err = b.legs(); err != nil {
			return s, err
		}
		if time.Now().After(give) {
			return s, fmt.Errorf("%d talks are up, and Asterisk has %d ports for sound", live, len(legs))
		}
	}
	v, err := startVoices(b.stage.Lab.Asterisk.CarrierAddr, legs)
	if err != nil {
		return s, err
	}
	time.Sleep(2 * time.Second) // until Asterisk has learnt from where each leg sends
	began, sent, heard := time.Now(), v.sent.Load(), v.heard.Load()
	used, err := b.usage(paid)
	if err != nil {
		return s, err
	}
	time.Sleep(measured)
	now, err := b.usage(paid)
	if err != nil {
		return s, err
	}
	seconds := time.Since(began).Seconds()
	s.Live = live
	s.Each = now.since(used).per(int(seconds * float64(live)))
	s.SentPerSecond = float64(v.sent.Load()-sent) / seconds
	s.Through = float64(v.heard.Load()-heard) / float64(v.sent.Load()-sent)
	return s, errors.Join(v.stop(), <-talking)
}

// legs are where Asterisk takes sound: its UDP ports but for SIP's, and RTCP's, which are odd.
func (b *Bench) legs() (legs []*net.UDPAddr, err error) {
	sip, err := net.ResolveUDPAddr("udp", b.stage.Lab.Asterisk.SIPAddr)
	if err != nil {
		return nil, err
	}
	ports, err := udpPorts(b.stage.Lab.Asterisk.PID(), sip.IP)
	for _, port := range ports {
		if port != sip.Port && port%2 == 0 {
			legs = append(legs, &net.UDPAddr{IP: sip.IP, Port: port})
		}
	}
	return legs, err
}

// udpPorts are those that a process has at an IPv4 address.
func udpPorts(pid int, at net.IP) (ports []int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return nil, err
	}
	own := map[string]bool{}
	for _, file := range files {
		if to, err := os.Readlink(file); err == nil && strings.HasPrefix(to, "socket:[") { // else it is closed by now
			own[strings.Trim(to, "socket:[]")] = true
		}
	}
	table, err := os.Open("/proc/net/udp")
	if err != nil {
		return nil, err
	}
	defer table.Close()
	// proc_net_udp: sl local_address ... inode is the tenth. The address is written as the
	// processor keeps it.
	address := fmt.Sprintf("%08X", binary.NativeEndian.Uint32(at.To4()))
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || !own[fields[9]] {
			continue
		}
		ip, hex, _ := strings.Cut(fields[1], ":")
		if ip != address {
			continue
		}
		port, err := strconv.ParseInt(hex, 16, 32)
		if err != nil {
			return nil, err
		}
		ports = append(ports, int(port))
	}
	return ports, nil
}

// voices send a packet of sound to each leg every 20 ms, and count what the legs send back:
// the voice of the other.
type voices struct {
	conn        *ipv4.PacketConn
	sent, heard atomic.Int64
	ends, ended chan struct{}
}

func startVoices(from string, legs []*net.UDPAddr) (*voices, error) {
	host, _, err := net.SplitHostPort(from)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenPacket("udp4", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	if err := conn.(*net.UDPConn).SetReadBuffer(8 << 20); err != nil {
		return nil, err
	}
	v := &voices{conn: ipv4.NewPacketConn(conn), ends: make(chan struct{}), ended: make(chan struct{}, 2)}
	go v.speak(legs)
	go v.listen()
	return v, nil
}

const samples = 160 // of 8,000 a second, in 20 ms

func (v *voices) speak(legs []*net.UDPAddr) {
	defer func() { v.ended <- struct{}{} }()
	packets := make([]ipv4.Message, len(legs))
	for i, leg := range legs {
		packet := make([]byte, 12+samples) // RFC 3550's header, then A-law silence
		packet[0], packet[1] = 2<<6, 8
		binary.BigEndian.PutUint32(packet[8:], uint32(leg.Port))
		for at := 12; at < len(packet); at++ {
			packet[at] = 0xd5
		}
		packets[i] = ipv4.Message{Buffers: [][]byte{packet}, Addr: leg}
	}
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for n := uint32(0); ; n++ {
		select {
		case <-v.ends:
			return
		case <-every.C:
		}
		for _, p := range packets {
			binary.BigEndian.PutUint16(p.Buffers[0][2:], uint16(n))
			binary.BigEndian.PutUint32(p.Buffers[0][4:], n*samples)
		}
		for left := packets; len(left) > 0; {
			done, err := v.conn.WriteBatch(left, 0)
			if err != nil {
				return // what is sent and heard no longer grows
			}
			v.sent.Add(int64(done))
			left = left[done:]
		}
	}
}

func (v *voices) listen() {
	defer func() { v.ended <- struct{}{} }()
	packets := make([]ipv4.Message, 64)
	for i := range packets {
		packets[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	for {
		n, err := v.conn.ReadBatch(packets, 0)
		if err != nil {
			return // closed
		}
		v.heard.Add(int64(n))
	}
}

func (v *voices) stop() error {
	close(v.ends)
	err := v.conn.Close()
	<-v.ended
	<-v.ended
	return err
}
