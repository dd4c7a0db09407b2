package audio

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/lab"
)

func TestMain(m *testing.M) {
	if err := lab.Install(context.Background(), os.Stderr); err != nil { // ffmpeg
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// made has ffmpeg make a file. It can make what it must then read.
func made(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-nostdin"}, args...), file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("make %s: %v: %s", name, err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tone is a source of a tone for ffmpeg.
func tone(hz, seconds string) []string {
	return []string{"-f", "lavfi", "-i", "sine=sample_rate=48000:frequency=" + hz + ":duration=" + seconds}
}

// heard are the samples of a file that Asterisk plays: header and all must be right.
func heard(t *testing.T, file []byte) []int16 {
	t.Helper()
	want := "RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data"
	if len(file) < 44 || string(file[:4])+"...."+string(file[8:40]) != want ||
		binary.LittleEndian.Uint32(file[4:]) != uint32(len(file)-8) || binary.LittleEndian.Uint32(file[40:]) != uint32(len(file)-44) {
		t.Fatalf("not a WAV file of 8 kHz, mono, 16 bit: % x", file[:min(44, len(file))])
	}
	samples := make([]int16, (len(file)-44)/2)
	for i := range samples {
		samples[i] = int16(binary.LittleEndian.Uint16(file[44+2*i:]))
	}
	return samples
}

// share is how much of the samples' power a frequency has, by Goertzel's algorithm: 1
// for a pure tone.
func share(samples []int16, hz float64) float64 {
	w := 2 * math.Cos(2*math.Pi*hz/rate)
	var s1, s2, power float64
	for _, sample := range samples {
		s0 := float64(sample) + w*s1 - s2
		s1, s2 = s0, s1
		power += float64(sample) * float64(sample)
	}
	return 2 * (s1*s1 + s2*s2 - w*s1*s2) / power / float64(len(samples))
}

func loud(samples []int16) float64 { // dB of full scale
	var power float64
	for _, s := range samples {
		power += float64(s) * float64(s)
	}
	return 10 * math.Log10(power/float64(len(samples))/(32768*32768))
}

func TestRecordingsOfEveryFormatAreHeardAsTheyWereSpoken(t *testing.T) {
	film := []string{"-f", "lavfi", "-i", "color=red:size=64x64:duration=3"}
	for name, args := range map[string][]string{
		"a.wav":         nil,
		"a.mp3":         nil,
		"a.ogg":         nil, // Vorbis
		"opus.ogg":      {"-c:a", "libopus"},
		"a.flac":        nil,
		"a.aac":         nil,
		"a.m4a":         nil, // its index at the end, as telephones write it
		"first.m4a":     {"-movflags", "+faststart"},
		"alac.m4a":      {"-c:a", "alac"},
		"a.webm":        nil, // Opus, as browsers record
		"stereo.wav":    {"-ac", "2", "-ar", "44100", "-c:a", "pcm_s24le"},
		"quiet.wav":     {"-af", "volume=-35dB"},
		"cover.mp3":     append(film, "-map", "0", "-map", "1", "-frames:v", "1", "-c:v", "png", "-disposition:v", "attached_pic"),
		"film.webm":     append(film, "-c:v", "libvpx", "-c:a", "libopus"),
		"telephone.wav": {"-ar", "8000", "-c:a", "pcm_alaw"},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := ForTelephone(t.Context(), made(t, name, append(tone("600", "3"), args...)...))
			if err != nil {
				t.Fatal(err)
			}
			samples := heard(t, file)
			if length := float64(len(samples)) / rate; length < 2.9 || length > 3.2 {
				t.Errorf("it lasts %.2f s, not 3", length)
			}
			middle := samples[rate/2 : 5*rate/2]
			if got := share(middle, 600); got < 0.95 {
				t.Errorf("the tone has %.2f of what is heard", got)
			}
			if got := loud(middle); got < -21 || got > -14 {
				t.Errorf("it is heard at %.1f dB", got)
			}
		})
	}
}

// Two tones, one after the other: nothing is cut, doubled or moved.
func TestAMinuteIsHeardWhole(t *testing.T) {
	file, err := ForTelephone(t.Context(), made(t, "a.mp3", "-f", "lavfi", "-i",
		"sine=frequency=500:duration=30[a];sine=frequency=1500:duration=30[b];[a][b]concat=v=0:a=1"))
	if err != nil {
		t.Fatal(err)
	}
	samples := heard(t, file)
	if length := float64(len(samples)) / rate; length < 59.9 || length > 60.3 {
		t.Errorf("it lasts %.2f s, not 60", length)
	}
	if first, second := share(samples[rate:29*rate], 500), share(samples[31*rate:59*rate], 1500); first < 0.9 || second < 0.9 {
		t.Errorf("the tones have %.2f and %.2f of their halves", first, second)
	}
}

func TestWhatIsNoGreetingIsRefused(t *testing.T) {
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	whole := made(t, "a.m4a", tone("600", "3")...)
	for what, c := range map[string]struct {
		recording []byte
		why       string
	}{
		"nothing":      {nil, "no sound"},
		"noise":        {noise, "no sound"},
		"a picture":    {made(t, "a.png", "-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1"), "no sound"},
		"a mute film":  {made(t, "a.webm", "-f", "lavfi", "-i", "color=red:size=64x64:duration=1"), "no sound"},
		"half a file":  {whole[:len(whole)/2], "no sound"},
		"a playlist":   {[]byte("#EXTM3U\n#EXTINF:3,\nfile:///etc/hostname\n"), "no sound"},
		"a list":       {[]byte("ffconcat version 1.0\nfile /etc/hostname\n"), "no sound"},
		"too long":     {made(t, "b.mp3", append(tone("600", "61"), "-b:a", "32k")...), "longer than 60"},
		"far too long": {made(t, "c.mp3", append(tone("600", "900"), "-ar", "8000", "-b:a", "8k")...), "longer than 60"},
		"a click":      {made(t, "a.wav", tone("600", "0.2")...), "hardly any"},
		"silence":      {made(t, "b.wav", "-f", "lavfi", "-i", "anullsrc=duration=3"), "nothing is heard"},
	} {
		file, err := ForTelephone(t.Context(), c.recording)
		var unusable *Unusable
		if !errors.As(err, &unusable) || !strings.Contains(unusable.Why, c.why) || file != nil {
			t.Errorf("%s: %d bytes, %v; want %q", what, len(file), err, c.why)
		}
	}
}

func TestWithoutFFmpegItIsSaid(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := ForTelephone(t.Context(), []byte("RIFF")); !errors.Is(err, ErrNoFFmpeg) {
		t.Errorf("without ffmpeg: %v", err)
	}
}

// What is sent can have ffmpeg open no file: the program reads its input and nothing else.
func TestFFmpegIsBounded(t *testing.T) {
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	fake := "#!/bin/sh\nexec >" + said + "\nulimit -a\necho \"$@\"\nenv\nexit 1\n"
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv("PARLEY_KEY", "secret")
	if _, err := ForTelephone(t.Context(), []byte("RIFF")); err == nil {
		t.Fatal("a program that fails is believed")
	}
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1000000", "-protocol_whitelist pipe,cache"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("ffmpeg was not told %q:\n%s", want, text)
		}
	}
	if bytes.Contains(text, []byte("secret")) {
		t.Error("ffmpeg sees the program's environment")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := ForTelephone(ctx, []byte("RIFF")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a program that hangs: %v", err)
	}
}
