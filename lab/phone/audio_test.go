package phone

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// speech makes audio that is to a correlator what speech is: coloured noise in
// syllables of changing pitch. Each seed is another sentence.
func speech(seed uint64, length time.Duration) []int16 {
	r := rand.New(rand.NewPCG(seed, 1))
	pcm := make([]int16, int(length.Seconds()*sampleRate))
	var low, phase, pitch, loud float64
	for i := range pcm {
		if i%1600 == 0 { // five syllables a second
			pitch, loud = 90+80*r.Float64(), 0.2+r.Float64()
		}
		phase += 2 * math.Pi * pitch / sampleRate
		voiced := math.Sin(phase) + 0.6*math.Sin(3*phase) + 0.4*math.Sin(7*phase)
		low += 0.3 * (r.NormFloat64() - low)
		envelope := loud * math.Sin(math.Pi*float64(i%1600)/1600)
		pcm[i] = int16(4000 * envelope * (voiced + 0.8*low))
	}
	return pcm
}

// coded is what arrives of audio after a gain and a trip through G.711.
func coded(pcm []int16, codec Codec, gain float64) []int16 {
	out := make([]int16, len(pcm))
	for i, sample := range pcm {
		out[i] = codec.pcm()[codec.encode(int16(gain*float64(sample)))]
	}
	return out
}

func mixed(a, b []int16) []int16 {
	out := append([]int16(nil), a...)
	for i := range min(len(a), len(b)) {
		out[i] = int16(max(-32768, min(32767, int(a[i])+int(b[i]))))
	}
	return out
}

func sine(hz int, amplitude float64, length time.Duration) []int16 {
	pcm := make([]int16, int(length.Seconds()*sampleRate))
	for i := range pcm {
		pcm[i] = int16(amplitude * math.Sin(2*math.Pi*float64(hz*i)/sampleRate))
	}
	return pcm
}

func concat(parts ...[]int16) []int16 {
	var all []int16
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func TestPromptIsFoundWhereItIs(t *testing.T) {
	t.Parallel()
	prompt := speech(1, 2500*time.Millisecond)
	short := speech(2, 700*time.Millisecond)
	before := speech(3, 1777*time.Millisecond)
	after := speech(4, time.Second)
	for name, c := range map[string]struct {
		prompt, heard []int16
	}{
		"as it is":         {prompt, concat(before, prompt, after)},
		"mu-law, half":     {prompt, coded(concat(before, prompt, after), ULaw, 0.5)},
		"A-law, half":      {prompt, coded(concat(before, prompt, after), ALaw, 0.5)},
		"quiet":            {prompt, coded(concat(before, prompt, after), ULaw, 0.1)},
		"under a tone":     {prompt, coded(mixed(concat(before, prompt, after), sine(440, toneAmplitude, 6*time.Second)), ALaw, 1)},
		"under other talk": {prompt, coded(mixed(concat(before, prompt, after), coded(speech(5, 6*time.Second), ULaw, 0.5)), ULaw, 0.7)},
		"after silence":    {prompt, concat(make([]int16, len(before)), prompt)},
		"short":            {short, coded(concat(before, short, after), ULaw, 0.5)},
		"start cut off":    {short, coded(concat(before, short[400:], after), ULaw, 0.5)},
		"a frame twice":    {prompt, coded(concat(before, prompt[:9100], prompt[8940:], after), ULaw, 0.5)},
		"a frame less":     {prompt, coded(concat(before, prompt[:9100], prompt[9260:], after), ULaw, 0.5)},
		"silence, early":   {prompt[:8000], coded(concat(before, prompt[:2700], make([]int16, frame), prompt[2700:], after), ULaw, 0.5)},
		"silence, late":    {prompt[:8000], coded(concat(before, prompt[:6300], make([]int16, frame), prompt[6300:], after), ULaw, 0.5)},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := newPattern(c.prompt)
			if err != nil {
				t.Fatal(err)
			}
			at, score := p.find(c.heard)
			want := len(before)
			if name == "start cut off" {
				want -= 400
			}
			slipped := strings.Contains(name, "frame") || strings.Contains(name, "silence,") // by which half it is found
			if at != want && (!slipped || at < want-frame || at > want+frame) {
				t.Errorf("found at %d with likeness %.2f, want at %d", at, score, want)
			}
		})
	}
}

func TestOtherAudioIsNotThePrompt(t *testing.T) {
	t.Parallel()
	p, err := newPattern(speech(1, 2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	noise := rand.New(rand.NewPCG(9, 9))
	hiss := make([]int16, 5*sampleRate)
	for i := range hiss {
		hiss[i] = int16(3000 * noise.NormFloat64())
	}
	for name, heard := range map[string][]int16{
		"silence": make([]int16, 3*sampleRate),
		"tone":    sine(120, 8000, 3*time.Second),
		"hiss":    hiss,
		"nothing": nil,
	} {
		if at, score := p.find(heard); at >= 0 {
			t.Errorf("%s: found at %d with likeness %.2f", name, at, score)
		}
	}
	start, end := speech(1, 1200*time.Millisecond), speech(6, 800*time.Millisecond)
	price := concat(start, end)
	if p, err = newPattern(price); err != nil {
		t.Fatal(err)
	}
	for name, heard := range map[string][]int16{
		"another price": concat(start, speech(7, 800*time.Millisecond)),
		"interrupted":   price[:9600],
	} {
		if at, score := p.find(heard); at >= 0 {
			t.Errorf("%s: found at %d with likeness %.2f", name, at, score)
		}
	}
	for seed := uint64(100); seed < 112; seed++ {
		if at, score := p.find(coded(speech(seed, 3*time.Second), ULaw, 1)); at >= 0 {
			t.Errorf("other speech %d: found at %d with likeness %.2f", seed, at, score)
		}
	}
}

func TestPromptThatProvesNothingIsRefused(t *testing.T) {
	for name, pcm := range map[string][]int16{
		"short":  speech(1, 150*time.Millisecond),
		"silent": make([]int16, 2*sampleRate),
	} {
		if _, err := newPattern(pcm); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want an error that says so", name, err)
		}
	}
}

func TestPromptIsHeardThoughNothingFollowsIt(t *testing.T) {
	t.Parallel()
	call := &Call{media: &media{ear: newEar(keepAudio)}}
	prompt := speech(21, 2*time.Second)
	call.media.ear.addAudio(concat(speech(22, time.Second), prompt))
	if at, err := call.Hear(t.Context(), prompt); err != nil || at.IsZero() {
		t.Errorf("heard at %v, %v", at, err)
	}
}

func TestStartOfAPromptIsHeardBeforeItsEnd(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	hers, his := w.talk(t)
	prompt := speech(23, 10*time.Second)
	saying, stop := context.WithCancel(w.ctx)
	said := make(chan error, 1)
	go func() { said <- his.Say(saying, prompt) }()
	if _, err := hers.HearStart(w.ctx, prompt, time.Second); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-said; !errors.Is(err, context.Canceled) {
		t.Errorf("the start was recognised only after all was said: %v", err)
	}
	if hers.HasHeard(prompt) {
		t.Error("an interrupted prompt counts as heard")
	}
}

func TestPromptsAreHeardInTurn(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	hers, his := w.talk(t)
	welcome, price, unsaid := speech(11, 1200*time.Millisecond), speech(12, 900*time.Millisecond), speech(13, time.Second)
	said := make(chan error, 1)
	began := time.Now()
	go func() {
		said <- errors.Join(his.Say(w.ctx, welcome), his.Say(w.ctx, price), his.Say(w.ctx, welcome))
	}()
	for i, prompt := range [][]int16{welcome, price, welcome} {
		at, err := hers.Hear(w.ctx, prompt)
		if err != nil {
			t.Fatalf("prompt %d: %v", i, err)
		}
		if want := began.Add([]time.Duration{0, 1200, 2100}[i] * time.Millisecond); at.Sub(want).Abs() > time.Second {
			t.Errorf("prompt %d was heard %v off its time", i, at.Sub(want))
		}
	}
	if err := <-said; err != nil {
		t.Fatal(err)
	}
	if !hers.HasHeard(price) || hers.HasHeard(unsaid) || his.HasHeard(welcome) {
		t.Errorf("heard the price %v, the unsaid %v, Bob his own words %v; want true, false, false",
			hers.HasHeard(price), hers.HasHeard(unsaid), his.HasHeard(welcome))
	}
	his.Hangup(w.ctx)
	if _, err := hers.Hear(w.ctx, welcome); !errors.Is(err, errCallOver) {
		t.Errorf("a third welcome: %v, want that the call ended", err)
	}
}

func TestG711KeepsAmplitudes(t *testing.T) {
	for codec, known := range map[Codec]map[byte]int16{
		// ITU-T G.711, tables 1 and 2, scaled to 16 bits.
		ULaw: {0xff: 0, 0x80: 32124, 0x00: -32124, 0xf0: 120, 0x8f: 16764},
		ALaw: {0xd5: 8, 0xaa: 32256, 0x2a: -32256, 0x55: -8, 0xc5: 264},
	} {
		for code, want := range known {
			if got := codec.pcm()[code]; got != want {
				t.Errorf("%s %#x is %d, want %d", codec, code, got, want)
			}
		}
		// Half a step of a segment's sixteen, relative to the segment's start.
		for sample := -32000; sample <= 32000; sample += 7 {
			got := int(codec.pcm()[codec.encode(int16(sample))])
			size := max(sample, -sample)
			if off := max(got-sample, sample-got); off > size/32+16 {
				t.Fatalf("%s: %d became %d", codec, sample, got)
			}
		}
		for code := range 256 {
			sample := codec.pcm()[code]
			if back := codec.pcm()[codec.encode(sample)]; back != sample {
				t.Errorf("%s: %d became %d when coded again", codec, sample, back)
			}
		}
	}
}

func TestEarKeepsTheLastPart(t *testing.T) {
	e := newEar(2 * time.Second)
	const total = 5*sampleRate + 240
	pcm := make([]int16, 240) // packets that do not fit the seconds
	for n := 0; n < total; n += len(pcm) {
		for i := range pcm {
			pcm[i] = int16((n + i) % 30000)
		}
		e.addAudio(pcm)
	}
	kept, from := e.audio(0)
	if from != 4*sampleRate || len(kept) != e.received()-from {
		t.Fatalf("kept %d samples from %d of %d, want from %d", len(kept), from, e.received(), 4*sampleRate)
	}
	for i, sample := range kept {
		if want := int16((from + i) % 30000); sample != want {
			t.Fatalf("sample %d is %d, want %d", from+i, sample, want)
		}
	}
	if at := e.sampleAt(time.Now().Add(time.Hour)); at < e.received()-frame {
		t.Errorf("nothing came in an hour's time, yet sample %d did", at)
	}
	if e.arrival(from).IsZero() || e.arrival(e.received()-1).Before(e.arrival(from)) {
		t.Error("arrival times are not in order")
	}
}

func TestPacketsCostNoAllocation(t *testing.T) {
	m, err := newMedia("127.0.0.1", []Codec{ULaw}, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	m.remote = session{addr: m.local, codec: ULaw}
	m.tone = encodedTone(ULaw, 440)
	pcm := sine(440, 1000, 20*time.Millisecond)
	for range 3 * sampleRate / frame {
		m.ear.addAudio(pcm)
	}
	if n := testing.AllocsPerRun(200, func() { m.sendFrame(); m.ear.addAudio(pcm) }); n != 0 {
		t.Errorf("a packet sent and one received cost %v allocations, want none", n)
	}
}

func TestWAVThatTheExchangePlays(t *testing.T) {
	want := speech(1, 300*time.Millisecond)
	write := func(rate uint32, chunks ...string) string {
		format := binary.LittleEndian.AppendUint16(nil, 1)
		format = binary.LittleEndian.AppendUint16(format, 1)
		format = binary.LittleEndian.AppendUint32(format, rate)
		format = append(format, 0, 0, 0, 0, 2, 0, 16, 0)
		data := make([]byte, 0, 2*len(want))
		for _, sample := range want {
			data = binary.LittleEndian.AppendUint16(data, uint16(sample))
		}
		file := "RIFF\x00\x00\x00\x00WAVE"
		for _, id := range chunks {
			body := map[string]string{"fmt ": string(format), "data": string(data), "LIST": "odd"}[id]
			file += id + string(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + body + strings.Repeat("\x00", len(body)%2)
		}
		path := filepath.Join(t.TempDir(), "prompt.wav")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	got, err := LoadWAV(write(8000, "fmt ", "LIST", "data"))
	if err != nil || len(got) != len(want) || got[100] != want[100] {
		t.Errorf("got %d samples, %v; want %d", len(got), err, len(want))
	}
	for fault, path := range map[string]string{
		"44100 Hz":  write(44100, "fmt ", "data"),
		"no data":   write(8000, "fmt "),
		"no format": write(8000, "data"),
	} {
		if _, err := LoadWAV(path); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("got %v, want an error about %q", err, fault)
		}
	}
}

func TestMalformedPacketsAreNotHeard(t *testing.T) {
	for name, packet := range map[string][]byte{
		"empty":               {},
		"short":               make([]byte, 11),
		"other version":       make([]byte, 20),
		"sources beyond end":  append([]byte{0x8f}, make([]byte, 20)...),
		"padding beyond end":  append([]byte{0xa0}, append(make([]byte, 15), 200)...),
		"extension cut short": append([]byte{0x90}, make([]byte, 12)...),
		"extension too long":  append([]byte{0x90}, append(make([]byte, 13), 0xff, 0xff)...),
	} {
		if p, err := parseRTP(packet); err == nil {
			t.Errorf("%s: taken as RTP with %d bytes", name, len(p.payload))
		}
	}
}
