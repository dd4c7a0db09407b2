package prompts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// recipe names how words become audio; a change of it renders all anew.
const recipe = "flite-slt-2\n"

// voice renders words with the programs that are installed, offline.
type voice struct {
	cache string // directory of renderings by their words' hash; "" keeps none
}

// render returns a WAV file: 8 kHz, mono, 16 bit, the loudest sample at -3 dB.
// flite speaks; where it is missing, espeak-ng does. sox converts.
func (v voice) render(ctx context.Context, text string) ([]byte, error) {
	if v.cache == "" {
		return speak(ctx, text)
	}
	kept := filepath.Join(v.cache, hash(text)+".wav")
	if audio, err := os.ReadFile(kept); err == nil {
		return audio, nil
	}
	audio, err := speak(ctx, text)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(v.cache, 0o755); err != nil {
		return nil, err
	}
	return audio, writeFile(kept, audio)
}

func speak(ctx context.Context, text string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "parley-prompt-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	said, out := filepath.Join(dir, "said.wav"), filepath.Join(dir, "out.wav")
	format := []string{"-r", "8000", "-c", "1", "-e", "signed", "-b", "16"}
	if strings.TrimSpace(text) == "" {
		args := append([]string{"-n"}, append(format, out, "trim", "0", "0.3")...)
		if err := run(ctx, "sox", args...); err != nil {
			return nil, err
		}
		return os.ReadFile(out)
	}
	speakers := [][]string{
		{"flite", "-voice", "slt", "-t", text, "-o", said},
		{"espeak-ng", "-v", "en", "-s", "150", "-w", said, "--", text},
	}
	for _, speaker := range speakers {
		if err = run(ctx, speaker[0], speaker[1:]...); err == nil {
			break
		}
		if !errors.Is(err, exec.ErrNotFound) {
			return nil, err
		}
	}
	if err != nil {
		return nil, fmt.Errorf("nothing here can speak; install flite or espeak-ng: %w", err)
	}
	// The speaker's silence around the words goes; a breath of our own follows them.
	args := append([]string{said}, append(format, out,
		"silence", "1", "0.02", "0.5%", "reverse", "silence", "1", "0.02", "0.5%", "reverse",
		"gain", "-n", "-3", "pad", "0", "0.12")...)
	if err := run(ctx, "sox", args...); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// run runs a program; its error names neither the words nor where they are.
func run(ctx context.Context, name string, args ...string) error {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
