package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// call is what passed over the wire of one call, by the kernel's clock. Nobody who takes
// part in it is asked, so nobody is slowed down. A zero time: it was not seen.
type call struct {
	id      string       // Call-ID
	invited time.Time    // INVITE from the client
	inHands time.Time    // StasisStart of the client, on its way to the program
	rung    time.Time    // INVITE to the advisor
	picked  time.Time    // 200 from the advisor
	joined  time.Time    // ChannelEnteredBridge of the second of the two
	byes    [2]time.Time // to the client, to the advisor
}

// wire listens to the loopback interface.
type wire struct {
	sip, ari uint16 // Asterisk's ports
	file     *os.File
	done     chan struct{}

	mu      sync.Mutex
	open    map[int]*call // by pair, the last
	bridges map[string]int
	calls   []*call
}

// listen begins to note what passes, until close.
func (b *Bench) listen(ctx context.Context) (*wire, error) {
	w := &wire{open: map[int]*call{}, bridges: map[string]int{}, done: make(chan struct{})}
	for _, p := range []struct {
		addr string
		port *uint16
	}{{b.stage.Lab.Asterisk.SIPAddr, &w.sip}, {strings.TrimSuffix(strings.TrimPrefix(b.stage.Lab.Asterisk.URL, "http://"), "/ari"), &w.ari}} {
		_, port, err := net.SplitHostPort(p.addr)
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return nil, err
		}
		*p.port = uint16(n)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, err
	}
	const ip = 0x0008 // ETH_P_IP in network order
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, ip)
	if err != nil {
		return nil, fmt.Errorf("listen to the wire: %w", err)
	}
	const buffer, timestamps = 64 << 20, 35 // SO_TIMESTAMPNS
	quarter := syscall.Timeval{Usec: 250_000}
	if err := errors.Join(
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, buffer),
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, timestamps, 1),
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &quarter),
		syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: ip, Ifindex: lo.Index}),
	); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("listen to the wire: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	go func() {
		<-w.done
		stop()
	}()
	go w.read(ctx, fd)
	return w, nil
}

// close ends the listening and returns what was noted, once all of it is read.
func (w *wire) close() []*call {
	time.Sleep(time.Second / 2) // what is still on its way to us
	close(w.done)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *wire) read(ctx context.Context, fd int) {
	defer syscall.Close(fd)
	packet, about := make([]byte, 1<<16), make([]byte, 128)
	for ctx.Err() == nil {
		n, oob, _, from, err := syscall.Recvmsg(fd, packet, about, 0)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return
		}
		const outgoing = 4 // PACKET_OUTGOING: on loopback each comes once more
		if l, ok := from.(*syscall.SockaddrLinklayer); !ok || l.Pkttype == outgoing {
			continue
		}
		w.note(packet[:n], stamp(about[:oob]))
	}
}

// stamp is the kernel's time of a packet.
func stamp(about []byte) time.Time {
	messages, err := syscall.ParseSocketControlMessage(about)
	if err != nil || len(messages) == 0 || len(messages[0].Data) < int(unsafe.Sizeof(syscall.Timespec{})) {
		return time.Now()
	}
	d := messages[0].Data
	return time.Unix(int64(binary.NativeEndian.Uint64(d)), int64(binary.NativeEndian.Uint64(d[8:])))
}

// note reads an IPv4 packet.
func (w *wire) note(packet []byte, at time.Time) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return
	}
	header := int(packet[0]&15) * 4
	if len(packet) < header+20 {
		return
	}
	above := packet[header:]
	source, target := binary.BigEndian.Uint16(above), binary.BigEndian.Uint16(above[2:])
	w.mu.Lock()
	defer w.mu.Unlock()
	switch packet[9] {
	case syscall.IPPROTO_UDP:
		if source == w.sip || target == w.sip {
			w.noteSIP(string(above[8:]), target == w.sip, at)
		}
	case syscall.IPPROTO_TCP:
		if data := int(above[12]>>4) * 4; source == w.ari && len(above) > data {
			w.noteEvents(above[data:], at)
		}
	}
}

// noteSIP notes a message to or from Asterisk. w.mu is held.
func (w *wire) noteSIP(message string, toAsterisk bool, at time.Time) {
	start, _, _ := strings.Cut(message, "\r\n")
	switch {
	case strings.HasPrefix(start, "INVITE ") && toAsterisk:
		id := header(message, "Call-ID")
		if pair, ok := pairOf(start, "sip:4930551"); ok && (w.open[pair] == nil || w.open[pair].id != id) { // not sent again
			w.open[pair] = &call{id: id, invited: at}
			w.calls = append(w.calls, w.open[pair])
		}
	case strings.HasPrefix(start, "INVITE "):
		w.first(start, "sip:+491512", at, func(c *call) *time.Time { return &c.rung })
	case strings.HasPrefix(start, "SIP/2.0 200") && toAsterisk && strings.Contains(message, "INVITE\r\n"):
		w.first(header(message, "To"), "sip:+491512", at, func(c *call) *time.Time { return &c.picked })
	case strings.HasPrefix(start, "BYE ") && !toAsterisk:
		w.first(header(message, "To"), "sip:491702", at, func(c *call) *time.Time { return &c.byes[0] })
		w.first(header(message, "To"), "sip:+491512", at, func(c *call) *time.Time { return &c.byes[1] })
	}
}

// first sets a time of the open call whose number stands in text, unless it is set.
func (w *wire) first(text, prefix string, at time.Time, of func(*call) *time.Time) {
	if pair, ok := pairOf(text, prefix); ok && w.open[pair] != nil {
		if t := of(w.open[pair]); t.IsZero() {
			*t = at
		}
	}
}

// pairOf reads the pair's part of a number after its prefix.
func pairOf(text, prefix string) (pair int, ok bool) {
	_, rest, found := strings.Cut(text, prefix)
	if !found {
		return 0, false
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	pair, err := strconv.Atoi(rest[:max(0, end)])
	return pair, err == nil
}

func header(message, name string) string {
	_, rest, _ := strings.Cut(message, "\r\n"+name+":")
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

// noteEvents notes what Asterisk tells the program. w.mu is held.
func (w *wire) noteEvents(segment []byte, at time.Time) {
	for {
		i := bytes.Index(segment, []byte(`{"type":"`))
		if i < 0 {
			return
		}
		segment = segment[i:]
		var ev struct {
			Type    string
			Args    []string
			Channel struct{ Caller struct{ Number string } }
			Bridge  struct {
				ID       string
				Channels []string
			}
		}
		if err := json.NewDecoder(bytes.NewReader(segment)).Decode(&ev); err == nil {
			pair, ofClient := pairOf("sip:"+strings.TrimPrefix(ev.Channel.Caller.Number, "+")+" ", "sip:491702")
			switch {
			case ev.Type == "StasisStart" && ofClient && w.open[pair] != nil:
				w.open[pair].inHands = at
			case ev.Type == "ChannelEnteredBridge":
				w.entered(ev.Bridge.ID, len(ev.Bridge.Channels), pair, ofClient, at)
			}
		}
		segment = segment[1:]
	}
}

// entered notes that one of the two is in the bridge. w.mu is held.
func (w *wire) entered(bridge string, inside, pair int, ofClient bool, at time.Time) {
	if ofClient {
		w.bridges[bridge] = pair
	}
	if known, ok := w.bridges[bridge]; ok && inside == 2 && w.open[known] != nil {
		if c := w.open[known]; c.joined.IsZero() {
			c.joined = at
		}
	}
}
