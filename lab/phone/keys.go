package phone

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// eventKeys are the keys by their RFC 4733 event code.
const eventKeys = "0123456789*#ABCD"

// Keys are pressed for 100 ms, 100 ms apart: shorter ones the exchange stretches.
const (
	pressFrames = 5
	gapFrames   = 5
	endPackets  = 3 // an event's last packet is sent three times (RFC 4733 2.5.1.4)
)

// press is a key being or to be pressed.
type press struct {
	code  byte
	batch *batch
	down  int    // frames that it is pressed
	up    int    // frames until the next one
	frame int    // since the key went down
	start uint32 // RTP timestamp at which it did
}

// batch is the keys of one call of Keys.
type batch struct{ done chan struct{} }

// KeyOption changes how keys are sent.
type KeyOption func(*keying)

type keying struct {
	info     bool
	down, up int // frames
}

// Quick presses keys for 20 ms, 20 ms apart, which is shorter than people can.
func Quick() KeyOption { return func(k *keying) { k.down, k.up = 1, endPackets } }

// ZeroLength presses keys for no time at all: each event only ends.
func ZeroLength() KeyOption { return func(k *keying) { k.down, k.up = 0, gapFrames } }

// ViaINFO sends keys as SIP INFO requests (application/dtmf-relay) instead of
// RFC 4733 events.
func ViaINFO() KeyOption { return func(k *keying) { k.info = true } }

// Keys presses keys (0-9, *, #, A-D) one after the other and returns when the
// last has been sent.
func (c *Call) Keys(ctx context.Context, digits string, opts ...KeyOption) error {
	how := keying{down: pressFrames, up: gapFrames}
	for _, opt := range opts {
		opt(&how)
	}
	codes := make([]byte, len(digits))
	for i := range len(digits) {
		code := strings.IndexByte(eventKeys, digits[i])
		if code < 0 {
			return fmt.Errorf("key %d of %d is no telephone key: use 0-9, *, #, A-D", i+1, len(digits))
		}
		codes[i] = byte(code)
	}
	if how.info {
		return c.keysByInfo(ctx, digits)
	}
	sent, err := c.media.press(codes, how)
	if err != nil {
		return err
	}
	select {
	case <-sent.done:
		return nil
	case <-ctx.Done():
		c.media.release(sent)
		return fmt.Errorf("keys not all sent: %w", context.Cause(ctx))
	case <-c.ended:
		return fmt.Errorf("keys not all sent: %w", errCallOver)
	}
}

func (c *Call) keysByInfo(ctx context.Context, digits string) error {
	for i := range len(digits) {
		req := c.request(sip.INFO)
		req.AppendHeader(sip.NewHeader("Content-Type", "application/dtmf-relay"))
		req.SetBody(fmt.Appendf(nil, "Signal=%c\r\nDuration=%d\r\n", digits[i], (pressFrames * frameTime).Milliseconds()))
		res, err := c.agent.client.Do(ctx, req)
		if err != nil {
			return fmt.Errorf("key %d of %d by INFO: %w", i+1, len(digits), err)
		}
		if !res.IsSuccess() {
			return fmt.Errorf("key %d of %d by INFO: answered %d %s", i+1, len(digits), res.StatusCode, res.Reason)
		}
		select {
		case <-time.After((pressFrames + gapFrames) * frameTime):
		case <-ctx.Done():
			return fmt.Errorf("keys not all sent: %w", context.Cause(ctx))
		case <-c.ended:
			return fmt.Errorf("keys not all sent: %w", errCallOver)
		}
	}
	return nil
}

// Digits returns the keys that the other side has sent, by RFC 4733 or INFO.
func (c *Call) Digits() string { return c.media.ear.keyed() }

// AwaitDigits waits until at least n keys have been received, and returns all.
func (c *Call) AwaitDigits(ctx context.Context, n int) (string, error) {
	e := c.media.ear
	if err := e.await(ctx, func() bool { return len(e.digits) >= n }); err != nil {
		return e.keyed(), fmt.Errorf("%d of %d keys received: %w", len(e.keyed()), n, err)
	}
	return e.keyed(), nil
}

func (m *media) press(codes []byte, how keying) (*batch, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.remote.event == 0 {
		return nil, errors.New("the other side takes no telephone-event (RFC 4733): use ViaINFO")
	}
	b := &batch{done: make(chan struct{})}
	if len(codes) == 0 {
		close(b.done)
	}
	for _, code := range codes {
		m.keys = append(m.keys, press{code: code, batch: b, down: how.down, up: how.up})
	}
	return b, nil
}

// release forgets the keys of a batch that are not sent yet.
func (m *media) release(b *batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.keys[:0]
	for _, k := range m.keys {
		if k.batch != b {
			kept = append(kept, k)
		}
	}
	m.keys = kept
}

// sendKey sends the frame of the key that is down (RFC 4733 2.3); false when
// audio is due instead.
func (m *media) sendKey() bool {
	if len(m.keys) == 0 {
		return false
	}
	k := &m.keys[0]
	if k.frame == 0 {
		k.start = m.timestamp
	}
	k.frame++
	if k.frame > k.down+k.up {
		if len(m.keys) == 1 || m.keys[1].batch != k.batch {
			close(k.batch.done)
		}
		m.keys = m.keys[1:]
		return m.sendKey()
	}
	if k.frame >= max(1, k.down)+endPackets {
		return false
	}
	payload := m.packet[rtpHeader:]
	payload[0] = k.code
	payload[1] = 10 // volume in -dBm0
	if k.frame >= k.down {
		payload[1] |= 0x80 // the key is up again
	}
	binary.BigEndian.PutUint16(payload[2:], uint16(frame*min(k.frame, k.down)))
	payloadType := m.remote.event
	if k.frame == 1 {
		payloadType |= 0x80 // marker: an event begins
	}
	m.send(payloadType, k.start, 4)
	return true
}

// infoDigit reads an application/dtmf-relay body.
func infoDigit(body []byte) (byte, bool) {
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		value = strings.TrimSpace(value)
		if strings.EqualFold(strings.TrimSpace(name), "Signal") && len(value) == 1 &&
			strings.Contains(eventKeys, value) {
			return value[0], true
		}
	}
	return 0, false
}
