package main

import (
	"io"
	"net"
	"net/url"
	"sync"
)

// relay stands between the program and Asterisk's ARI, so that what runs between them
// can be cut as a network does: both sides lose their connections, and can connect again.
type relay struct {
	listener net.Listener
	to       string // host:port
	url      string // of ARI, by way of the relay

	mu   sync.Mutex
	open map[net.Conn]bool
}

func newRelay(ari string) (*relay, error) {
	u, err := url.Parse(ari)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, to: u.Host, open: map[net.Conn]bool{}}
	u.Host = listener.Addr().String()
	r.url = u.String()
	go r.serve()
	return r, nil
}

func (r *relay) serve() {
	for {
		from, err := r.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", r.to)
		if err != nil {
			from.Close()
			continue
		}
		r.mu.Lock()
		r.open[from], r.open[to] = true, true
		r.mu.Unlock()
		go r.copy(from, to)
		go r.copy(to, from)
	}
}

// copy ends both connections when one of them does.
func (r *relay) copy(to, from net.Conn) {
	io.Copy(to, from)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		c.Close()
		delete(r.open, c)
	}
}

// cut ends all connections there are, and returns how many.
func (r *relay) cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		c.Close()
	}
	return len(r.open) / 2
}
