package faults

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// wire is a TCP connection that can be broken on purpose: the program reaches one of its
// servers through it, and nothing else does.
type wire struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	change *sync.Cond
	lines  map[*line]bool
	cut    []string // what connections are about that are refused; "" is all
	frozen bool
	delay  time.Duration
	traps  []*trap
	edit   func(frame []byte) [][]byte // of events on their way to the program
}

// line is one connection through the wire.
type line struct {
	program, server net.Conn
	about           string // the first that the program said
}

// trap is sprung, once, by something that the program says.
type trap struct {
	word   string
	sprung chan struct{}
	do     func() (pass bool)
}

// newWire is a wire to a server at host:port.
func newWire(target string) (*wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{listener: listener, target: target, lines: map[*line]bool{}}
	w.change = sync.NewCond(&w.mu)
	go w.accept()
	return w, nil
}

// Addr is where the program finds the server.
func (w *wire) Addr() string { return w.listener.Addr().String() }

// Close ends the wire and all that goes over it.
func (w *wire) Close() {
	w.listener.Close()
	w.Cut("")
	w.Heal()
}

// Cut closes all connections whose first words hold about, "" for all, and refuses more
// of them.
func (w *wire) Cut(about string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = append(w.cut, about)
	for l := range w.lines {
		if strings.Contains(l.about, about) {
			l.close()
		}
	}
	w.change.Broadcast()
}

// Freeze keeps every connection open and lets nothing through, as a network that
// swallows packets: nobody is told.
func (w *wire) Freeze() { w.set(func() { w.frozen = true }) }

// Delay keeps back every answer for d.
func (w *wire) Delay(d time.Duration) { w.set(func() { w.delay = d }) }

// Heal ends what Cut, Freeze and Delay began.
func (w *wire) Heal() { w.set(func() { w.cut, w.frozen, w.delay = nil, false, 0 }) }

// Edit has each event that goes to the program replaced by what edit makes of it.
func (w *wire) Edit(edit func(frame []byte) [][]byte) { w.set(func() { w.edit = edit }) }

func (w *wire) set(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
	w.change.Broadcast()
}

// When the program says the word for the next time, do decides whether it gets through;
// until it has decided nothing does. The channel is closed after that.
func (w *wire) When(word string, do func() (pass bool)) <-chan struct{} {
	t := &trap{word: word, sprung: make(chan struct{}), do: do}
	w.set(func() { w.traps = append(w.traps, t) })
	return t.sprung
}

func (w *wire) accept() {
	for {
		program, err := w.listener.Accept()
		if err != nil {
			return
		}
		go w.carry(program)
	}
}

// carry is one connection from its first words to its end.
func (w *wire) carry(program net.Conn) {
	first := make([]byte, 64<<10)
	n, err := program.Read(first)
	if err != nil {
		program.Close()
		return
	}
	l := &line{program: program, about: string(first[:n])}
	if w.refused(l.about) {
		program.Close()
		return
	}
	if l.server, err = net.Dial("tcp", w.target); err != nil {
		program.Close()
		return
	}
	w.set(func() { w.lines[l] = true })
	var both sync.WaitGroup
	both.Go(func() {
		defer l.close()
		if w.up(l, first[:n]) {
			w.copy(l.program, func(p []byte) bool { return w.up(l, p) })
		}
	})
	both.Go(func() {
		defer l.close()
		down := func(p []byte) bool { return w.down(l, p) }
		if strings.Contains(l.about, "/events?") {
			down = frames(down, w.edited)
		}
		w.copy(l.server, down)
	})
	both.Wait()
	w.set(func() { delete(w.lines, l) })
}

func (w *wire) copy(from io.Reader, pass func([]byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !pass(buf[:n]) || err != nil {
			return
		}
	}
}

// up passes on what the program says.
func (w *wire) up(l *line, p []byte) bool {
	for _, t := range w.sprung(p) {
		pass := t.do()
		close(t.sprung)
		if !pass {
			return false
		}
	}
	w.thaw()
	_, err := l.server.Write(p)
	return err == nil
}

// down passes on what the server says.
func (w *wire) down(l *line, p []byte) bool {
	if d := w.thaw(); d > 0 {
		time.Sleep(d)
	}
	_, err := l.program.Write(p)
	return err == nil
}

func (w *wire) sprung(p []byte) (sprung []*trap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var kept []*trap
	for _, t := range w.traps {
		if bytes.Contains(p, []byte(t.word)) {
			sprung = append(sprung, t)
		} else {
			kept = append(kept, t)
		}
	}
	w.traps = kept
	return sprung
}

// thaw waits while the wire is frozen, and returns for how long answers are kept back.
func (w *wire) thaw() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.frozen {
		w.change.Wait()
	}
	return w.delay
}

func (w *wire) refused(about string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cut := range w.cut {
		if strings.Contains(about, cut) {
			return true
		}
	}
	return false
}

func (w *wire) edited(frame []byte) [][]byte {
	w.mu.Lock()
	edit := w.edit
	w.mu.Unlock()
	if edit == nil {
		return [][]byte{frame}
	}
	return edit(frame)
}

func (l *line) close() {
	l.program.Close()
	l.server.Close()
}

// frames cuts what a server says on a websocket (RFC 6455 5.2) into the handshake and
// frames, each with its header, and has every frame edited before it passes.
func frames(pass func([]byte) bool, edit func([]byte) [][]byte) func([]byte) bool {
	var kept []byte
	opened := false
	return func(p []byte) bool {
		kept = append(kept, p...)
		if !opened {
			end := bytes.Index(kept, []byte("\r\n\r\n"))
			if end < 0 {
				return true
			}
			opened = true
			if !pass(kept[:end+4]) {
				return false
			}
			kept = kept[end+4:]
		}
		for size := frameSize(kept); size > 0 && size <= len(kept); size = frameSize(kept) {
			for _, frame := range edit(kept[:size:size]) {
				if !pass(frame) {
					return false
				}
			}
			kept = kept[size:]
		}
		return true
	}
}

// frameSize is the length of the frame that begins here, 0 while its header is not all there.
func frameSize(p []byte) int {
	if len(p) < 10 {
		if len(p) >= 2 && p[1] < 126 {
			return 2 + int(p[1])
		}
		return 0
	}
	switch n := int(p[1] & 0x7f); n {
	case 126:
		return 4 + int(p[2])<<8 + int(p[3])
	case 127:
		return 10 + int(p[6])<<24 + int(p[7])<<16 + int(p[8])<<8 + int(p[9])
	default:
		return 2 + n
	}
}
