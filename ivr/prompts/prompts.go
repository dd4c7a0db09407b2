// Package prompts is the catalogue of what callers hear: the words of each prompt
// by name and language, their rendering into audio offline, and where Asterisk
// finds it. Recorded voices replace rendered ones file by file.
package prompts

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"parley/ivr"
)

//go:embed *.yaml
var texts embed.FS

// Texts are the words of all prompts of a language, by name.
func Texts(language string) (map[ivr.Prompt]string, error) {
	text, err := texts.ReadFile(language + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("there are no prompts in language %q", language)
	}
	words := map[ivr.Prompt]string{}
	if err := yaml.Unmarshal(text, &words); err != nil {
		return nil, fmt.Errorf("prompts of language %q: %w", language, err)
	}
	return words, nil
}

// Catalogue finds audio. Its files are 8 kHz, mono, 16 bit WAV.
type Catalogue struct {
	dir  string // LANGUAGE/NAME.wav, as we see it
	path string // the same directory as Asterisk sees it
	voice

	// Greetings has the audio of "greeting:NAME"; nil where there are none. It is set
	// before the first call.
	Greetings func(ctx context.Context, name string) ([]byte, error)

	mu      sync.Mutex
	lengths map[string]time.Duration // of files that are there, by name without .wav
}

// Open renders every prompt of the languages that is not yet in dir and opens the
// catalogue. Asterisk sees dir as path. Renderings are kept in cache, so that the
// next directory needs no rendering.
func Open(ctx context.Context, dir, path, cache string, languages ...string) (*Catalogue, error) {
	c := &Catalogue{dir: dir, path: path, voice: voice{cache: cache}, lengths: map[string]time.Duration{}}
	for _, language := range languages {
		words, err := Texts(language)
		if err != nil {
			return nil, err
		}
		for name, text := range words {
			if _, err := c.ensure(ctx, filepath.Join(language, string(name)), text); err != nil {
				return nil, fmt.Errorf("prompt %s: %w", name, err)
			}
		}
	}
	return c, nil
}

// numberLength is about how long Asterisk's recorded numbers are.
const numberLength = 1500 * time.Millisecond

const (
	// renderTimeout bounds the rendering of words that were never spoken before.
	renderTimeout = 5 * time.Second

	// greetingTimeout bounds the wait for a greeting that is not here yet: the client
	// hears nothing meanwhile.
	greetingTimeout = 2 * time.Second
)

// Media is the URI by which ARI plays a prompt, and about how long it takes.
func (c *Catalogue) Media(language string, p ivr.Prompt) (uri string, length time.Duration, err error) {
	name := filepath.Join(language, string(p))
	if text, ok := strings.CutPrefix(string(p), "text:"); ok {
		ctx, cancel := context.WithTimeout(context.Background(), renderTimeout)
		defer cancel()
		name = filepath.Join(language, TextName(text))
		length, err = c.ensure(ctx, name, text)
	} else if greeting, ok := strings.CutPrefix(string(p), "greeting:"); ok {
		name = filepath.Join("greetings", greeting)
		length, err = c.fetch(name, greeting)
	} else if length, err = c.length(name); errors.Is(err, fs.ErrNotExist) && recorded(p) {
		return "sound:" + string(p), numberLength, nil
	}
	if err != nil {
		return "", 0, err
	}
	return "sound:" + filepath.Join(c.path, name), length, nil
}

// greetingName is how greetings are named: a name that leads nowhere else.
var greetingName = regexp.MustCompile(`^[a-z0-9_]+/[0-9a-f]+$`)

// fetch gets a greeting that is not there. What is there is it: another recording has
// another name.
func (c *Catalogue) fetch(name, greeting string) (time.Duration, error) {
	if c.Greetings == nil || !greetingName.MatchString(greeting) {
		return 0, fmt.Errorf("there is no greeting %q", greeting)
	}
	if length, err := c.length(name); err == nil {
		return length, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), greetingTimeout)
	defer cancel()
	audio, err := c.Greetings(ctx, greeting)
	if err != nil {
		return 0, err
	}
	file := filepath.Join(c.dir, name+".wav")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	if err := writeFile(file, audio); err != nil {
		return 0, err
	}
	return c.length(name)
}

// TextName is the name under which spoken words are kept beside the prompts.
func TextName(words string) string { return "text/" + hash(words) }

// recorded says whether a prompt is one of Asterisk's own recordings.
func recorded(p ivr.Prompt) bool { return strings.HasPrefix(string(p), "digits/") || p == "beep" }

// File is where a prompt's audio is.
func (c *Catalogue) File(language string, p ivr.Prompt) string {
	return filepath.Join(c.dir, language, string(p)+".wav")
}

// ensure has a file rendered unless it is there: then it is kept, whoever made it,
// unless it is our own rendering of other words.
func (c *Catalogue) ensure(ctx context.Context, name, text string) (time.Duration, error) {
	file := filepath.Join(c.dir, name+".wav")
	made := file + ".words" // of which words a rendered file is
	have, err := os.ReadFile(made)
	current := errors.Is(err, fs.ErrNotExist) || string(have) == hash(text)
	if length, err := c.length(name); err == nil && current {
		return length, nil
	}
	audio, err := c.render(ctx, text)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	if err := writeFile(file, audio); err != nil {
		return 0, err
	}
	if err := writeFile(made, []byte(hash(text))); err != nil {
		return 0, err
	}
	c.mu.Lock()
	delete(c.lengths, name)
	c.mu.Unlock()
	return c.length(name)
}

// writeFile writes a file that is whole or not there.
func writeFile(name string, data []byte) error {
	part, err := os.CreateTemp(filepath.Dir(name), ".part-*")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(data)
	if err = errors.Join(err, part.Chmod(0o644), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), name)
}

const (
	wavHeader    = 44    // bytes
	bytesASecond = 16000 // 8 kHz, 16 bit
)

func (c *Catalogue) length(name string) (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if length, known := c.lengths[name]; known {
		return length, nil
	}
	info, err := os.Stat(filepath.Join(c.dir, name+".wav"))
	if err != nil {
		return 0, err
	}
	length := time.Duration(info.Size()-wavHeader) * time.Second / bytesASecond
	c.lengths[name] = length
	return length, nil
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(recipe + text))
	return hex.EncodeToString(sum[:12])
}
