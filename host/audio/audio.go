// Package audio is the only one to know how a recording that somebody sends becomes one
// that Asterisk plays on the telephone. ffmpeg reads it, in a process of its own that can
// open nothing, takes little and does not last.
package audio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// Limits of a recording.
const (
	Longest  = 60 * time.Second
	Shortest = 500 * time.Millisecond
	Most     = 10 << 20 // bytes, as it is sent
)

// ErrNoFFmpeg: nothing here can read recordings.
var ErrNoFFmpeg = errors.New("ffmpeg is not installed")

// Unusable is a recording that cannot be used, and why.
type Unusable struct{ Why string }

func (e *Unusable) Error() string { return "the recording cannot be used: " + e.Why }

const (
	rate       = 8000 // samples a second
	sampleSize = 2
	slack      = 250 * time.Millisecond // by which encoders make a minute longer
	takes      = 20 * time.Second       // at most
	silence    = 50                     // of 32767: no sample of what is heard is so quiet
)

// What ffmpeg may use of all that it knows. Containers and codecs of pictures and films
// are not among them, nor is any that reads other files or asks the network: it reads
// its standard input, through a cache, since M4A has its index at the end.
const (
	protocols  = "pipe,cache"
	containers = "wav,mp3,ogg,mov,aac,matroska,flac"
	codecs     = "pcm_s16le,pcm_s24le,pcm_s32le,pcm_u8,pcm_f32le,pcm_alaw,pcm_mulaw,mp3,mp3float,vorbis,opus,libopus,aac,alac,flac"

	// loudness of the telephone's prompts, by EBU R 128.
	loudness = "loudnorm=I=-18:TP=-3:LRA=11"
)

// bounds are the process's: bytes of memory, seconds of a processor, blocks of 512 bytes
// in a file, open files. The shell sets them before it becomes ffmpeg.
const bounds = `ulimit -v 1000000; ulimit -t 15; ulimit -f 40000; ulimit -n 32; exec "$@"`

// turn is had by one conversion at a time: the machine is there for calls.
var turn = make(chan struct{}, 1)

// ForTelephone makes a WAV file of 8 kHz, mono, 16 bit, as loud as a prompt, of a
// recording in WAV, MP3, Ogg, FLAC, AAC, M4A or WebM. It returns an [*Unusable] or
// [ErrNoFFmpeg].
func ForTelephone(ctx context.Context, recording []byte) ([]byte, error) {
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return nil, ErrNoFFmpeg
	}
	ctx, cancel := context.WithTimeout(ctx, takes)
	defer cancel()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	samples, err := decode(ctx, ffmpeg, recording)
	if err != nil {
		return nil, err
	}
	length := time.Duration(len(samples)/sampleSize) * time.Second / rate
	switch {
	case length > Longest+slack:
		return nil, &Unusable{fmt.Sprintf("it is longer than %.0f seconds", Longest.Seconds())}
	case length < Shortest:
		return nil, &Unusable{"there is hardly any sound in it"}
	case silent(samples):
		return nil, &Unusable{"nothing is heard in it"}
	}
	return wav(samples), nil
}

// decode gives the samples of the first sound in a recording, and a little more than is
// allowed of one that is too long.
func decode(ctx context.Context, ffmpeg string, recording []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", bounds, "sh", ffmpeg, "-nostdin", "-hide_banner", "-v", "error",
		"-protocol_whitelist", protocols, "-format_whitelist", containers, "-codec_whitelist", codecs,
		"-threads", "1", "-i", "cache:pipe:0",
		"-map", "0:a:0", "-vn", "-sn", "-dn", "-t", fmt.Sprint((Longest + 2*slack).Seconds()),
		"-af", loudness, "-ac", "1", "-ar", fmt.Sprint(rate), "-f", "s16le", "pipe:1")
	var out, complaint bytes.Buffer
	cmd.Env, cmd.Dir = []string{"LC_ALL=C"}, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(recording), &out, &complaint
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("ffmpeg took too long: %w", context.Cause(ctx))
	case errors.As(err, &exit):
		return nil, &Unusable{"it is no sound in a format that is known here, or it is damaged"}
	case err != nil:
		return nil, fmt.Errorf("ffmpeg: %w", err)
	}
	return out.Bytes(), nil
}

func silent(samples []byte) bool {
	for i := 0; i+1 < len(samples); i += sampleSize {
		if s := int16(binary.LittleEndian.Uint16(samples[i:])); s > silence || s < -silence {
			return false
		}
	}
	return true
}

// wav puts the 44 bytes of a WAV file's header before its samples.
func wav(samples []byte) []byte {
	n := uint32(len(samples))
	file := append(make([]byte, 0, 44+len(samples)), "RIFF"...)
	file = binary.LittleEndian.AppendUint32(file, 36+n)
	file = append(file, "WAVEfmt "...)
	for _, field := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(rate * sampleSize), uint16(sampleSize), uint16(16)} {
		file, _ = binary.Append(file, binary.LittleEndian, field) // numbers of a fixed size
	}
	file = append(file, "data"...)
	file = binary.LittleEndian.AppendUint32(file, n)
	return append(file, samples...)
}
