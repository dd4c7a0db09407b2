// Package browser is Debian's Chromium with a page in it, for tests: it clicks and sees
// as people do, by role and name, speaks a tone into the microphone and hears what the
// other side sends. Node and playwright-core drive it; `make web browser` installs both.
package browser

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

//go:embed driver.mjs
var driver []byte

// Browser is one Chromium.
type Browser struct {
	in   io.WriteCloser
	cmd  *exec.Cmd
	errs bytes.Buffer

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	ended   error
}

type answer struct {
	ID    int             `json:"id"`
	Value json.RawMessage `json:"value"`
	Error string          `json:"error"`
}

// Start starts a browser whose microphone hears a tone of hz for ever. modules is the
// folder with package.json and node_modules; files are kept in dir.
func Start(ctx context.Context, modules, dir string, hz float64) (*Browser, error) {
	tone, script := filepath.Join(dir, "tone.wav"), filepath.Join(dir, "driver.mjs")
	modules, err := filepath.Abs(modules)
	if err := errors.Join(err, os.WriteFile(tone, wav(hz), 0o644), os.WriteFile(script, driver, 0o644)); err != nil {
		return nil, err
	}
	b := &Browser{waiting: map[int]chan answer{}}
	b.cmd = exec.CommandContext(ctx, "node", script, modules, tone)
	b.cmd.Stderr = &b.errs
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the browser's driver does not start; `make web browser` installs what it needs: %w", err)
	}
	go b.listen(out)
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() error {
	return errors.Join(b.in.Close(), b.cmd.Wait())
}

func (b *Browser) listen(out io.Reader) {
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var a answer
		if err == nil {
			err = json.Unmarshal(line, &a)
		}
		b.mu.Lock()
		if err != nil {
			b.ended = fmt.Errorf("the browser has ended: %w\n%s", err, b.errs.String())
			for id, wait := range b.waiting {
				wait <- answer{Error: b.ended.Error()}
				delete(b.waiting, id)
			}
			b.mu.Unlock()
			return
		}
		if wait := b.waiting[a.ID]; wait != nil {
			wait <- a
			delete(b.waiting, a.ID)
		}
		b.mu.Unlock()
	}
}

// do has the driver do a command, and reads its answer into value unless that is nil.
func (b *Browser) do(ctx context.Context, command string, args map[string]any, value any) error {
	if args == nil {
		args = map[string]any{}
	}
	wait := make(chan answer, 1)
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	b.last++
	args["id"], args["command"] = b.last, command
	b.waiting[b.last] = wait
	line, err := json.Marshal(args)
	if err == nil {
		_, err = b.in.Write(append(line, '\n'))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case a := <-wait:
		if a.Error != "" {
			delete(args, "id")
			return fmt.Errorf("browser: %v: %s", args, a.Error)
		}
		if value == nil {
			return nil
		}
		return json.Unmarshal(a.Value, value)
	case <-ctx.Done():
		return fmt.Errorf("browser: %s: %w", command, context.Cause(ctx))
	}
}

// Look is a size and a colour scheme.
type Look struct {
	Name          string
	Width, Height int
	Dark          bool
}

// The looks that pages must be right in.
var (
	Telephone     = Look{"phone-light", 390, 844, false}
	TelephoneDark = Look{"phone-dark", 390, 844, true}
	Desk          = Look{"desk-light", 1280, 800, false}
	DeskDark      = Look{"desk-dark", 1280, 800, true}
	Looks         = []Look{Telephone, TelephoneDark, Desk, DeskDark}
)

func (l Look) args() map[string]any {
	return map[string]any{"width": l.Width, "height": l.Height, "dark": l.Dark}
}

// Open opens a page in a window of its own, with no memory of others.
func (b *Browser) Open(ctx context.Context, url string, look Look) (*Page, error) {
	args := look.args()
	args["url"] = url
	p := &Page{b: b}
	return p, b.do(ctx, "open", args, &p.id)
}

// OpenBeside opens one more window of the same user.
func (b *Browser) OpenBeside(ctx context.Context, other *Page, url string) (*Page, error) {
	p := &Page{b: b}
	return p, b.do(ctx, "open", map[string]any{"url": url, "beside": other.id}, &p.id)
}

// wav is four seconds of a tone that can be repeated without a click: 48 kHz, mono.
func wav(hz float64) []byte {
	const rate, samples = 48000, 4 * 48000
	header := []any{
		[4]byte{'R', 'I', 'F', 'F'}, uint32(36 + 2*samples), [8]byte{'W', 'A', 'V', 'E', 'f', 'm', 't', ' '},
		uint32(16), uint16(1), uint16(1), uint32(rate), uint32(2 * rate), uint16(2), uint16(16),
		[4]byte{'d', 'a', 't', 'a'}, uint32(2 * samples),
	}
	var file bytes.Buffer
	for _, field := range header {
		_ = binary.Write(&file, binary.LittleEndian, field) // a buffer takes all
	}
	for i := range samples {
		_ = binary.Write(&file, binary.LittleEndian, int16(8000*math.Sin(2*math.Pi*hz*float64(i)/rate)))
	}
	return file.Bytes()
}
