package phone

import (
	"errors"
	"math"
	"slices"
)

// A prompt is recognised in two steps, by normalised cross-correlation, which
// gain and G.711 do not disturb. Its loudest second, at a quarter of the sample
// rate, finds the places worth a closer look. There each loud piece of the whole
// prompt must be found in its place: so prompts that share words are told apart,
// and other audio at the same time does not hide the prompt.
const (
	partMax   = sampleRate       // samples looked for in the first step
	piece     = sampleRate / 5   // samples compared in the second
	skipped   = sampleRate / 20  // at a prompt's start, which is often cut off
	certain   = 0.5              // correlation of the pieces that counts as heard
	perfect   = 0.9              // the same for a single word: all vowels are a little alike
	wordMax   = 4                // pieces that make more than a word
	likely    = 0.3              // of the part, roughly, that is worth a closer look
	coarse    = 4                // one in four samples is enough for a rough look
	around    = coarse + 2       // samples that a closer look moves
	reach     = len(lowpass) / 2 // samples that filtering needs on each side
	loudness  = 0.25             // of the loudest piece makes a piece loud (-12 dB)
	missing   = 5                // one in so many pieces may be lost or covered
	slips     = 2                // frames that may be too many or too few in a prompt,
	slipCosts = 0.3              // of the likeness
)

// lowpass is a Hann window: it stops what 2 kHz cannot carry.
var lowpass = func() (h [13]float32) {
	var sum float32
	for i := range h {
		h[i] = float32(0.5 - 0.5*math.Cos(2*math.Pi*float64(i+1)/float64(len(h)+1)))
		sum += h[i]
	}
	for i := range h {
		h[i] /= sum
	}
	return h
}()

// pattern is a prompt made ready to be looked for.
type pattern struct {
	prompt []float32
	pieces []int     // offsets of the loud pieces in the prompt
	part   int       // offset of the loudest part
	fine   []float32 // the part
	rough  []float32 // the part at a quarter of the rate
}

func newPattern(pcm []int16) (*pattern, error) {
	p := &pattern{prompt: floats(pcm)}
	start := 0
	for start < len(pcm) && max(pcm[start], -pcm[start]) < quietestRMS {
		start++
	}
	start += skipped
	if len(pcm)-start < piece {
		return nil, errors.New("the prompt is too short or too silent to be recognised")
	}
	var loudest float64
	for at := start; at+piece <= len(pcm); at += piece {
		loudest = max(loudest, power(p.prompt[at:at+piece]))
	}
	if loudest < quietestRMS*quietestRMS*piece {
		return nil, errors.New("the prompt is silent")
	}
	for at := start; at+piece <= len(pcm); at += piece {
		if power(p.prompt[at:at+piece]) >= loudness*loudness*loudest {
			p.pieces = append(p.pieces, at)
		}
	}
	size := min(partMax, len(pcm)-start)
	var most float64
	for at := start; at+size <= len(pcm); at += frame {
		if e := power(p.prompt[at : at+size]); e > most {
			most, p.part = e, at
		}
	}
	p.fine = p.prompt[p.part : p.part+size]
	p.rough = decimate(pcm[p.part : p.part+size])
	return p, nil
}

// needed is the likeness from which on the prompt counts as heard.
func (p *pattern) needed() float64 {
	if len(p.pieces) < wordMax {
		return perfect
	}
	return certain
}

// end is where the last loud piece ends.
func (p *pattern) end() int { return p.pieces[len(p.pieces)-1] + piece }

// latest is where it ends at the latest.
func (p *pattern) latest() int { return p.end() + slips*frame }

// places finds where in the audio the prompt may begin, at most its part's
// offset before the audio's start.
func (p *pattern) places(pcm []int16, fine []float32) []int {
	scores := correlate(p.rough, decimate(pcm))
	var places []int
	for i, score := range scores {
		if score < likely || (i > 0 && scores[i-1] > score) || (i+1 < len(scores) && scores[i+1] > score) {
			continue
		}
		from := max(0, coarse*i-around)
		to := min(len(fine), coarse*i+around+len(p.fine))
		best, at := 0., 0
		for j, score := range correlate(p.fine, fine[from:to]) {
			if score > best {
				best, at = score, from+j
			}
		}
		if best >= likely {
			places = append(places, at-p.part)
		}
	}
	return places
}

// likeness is how well the audio fits the prompt that would begin at a place: the
// correlation that all but one in five of its loud pieces reach. What is not in the audio
// fits not at all. A busy exchange sends a frame too many or too few: all pieces before it,
// or all after it, may lie some frames off, and the one with the frame in it fits nowhere.
// Then the others must fit better: vowels are alike from one period to the next.
func (p *pattern) likeness(fine []float32, place int) (best float64) {
	n := len(p.pieces)
	var scores [2*slips + 1][]float64 // by how far off
	for off := range scores {
		scores[off] = make([]float64, n)
		for i, at := range p.pieces {
			if from := place + at + (off-slips)*frame; from >= 0 && from+piece <= len(fine) {
				scores[off][i] = correlate(p.prompt[at:at+piece], fine[from:from+piece])[0]
			}
		}
	}
	inPlace := scores[slips]
	best = slices.Sorted(slices.Values(inPlace))[n/missing]
	if n < wordMax {
		return best
	}
	for _, off := range scores {
		for change := range n {
			for _, slipped := range [][]float64{
				slices.Concat(inPlace[:change], off[change:]), slices.Concat(off[:change], inPlace[change:]),
			} {
				slices.Sort(slipped)
				best = max(best, slipped[max(1, n/missing)]-slipCosts)
			}
		}
	}
	return best
}

// find looks for the prompt in audio and returns where it begins, or -1, and the
// best likeness seen.
func (p *pattern) find(pcm []int16) (place int, best float64) {
	fine := floats(pcm)
	for _, at := range p.places(pcm, fine) {
		score := p.likeness(fine, at)
		if best = max(best, score); score >= p.needed() {
			return at, best
		}
	}
	return -1, best
}

// correlate is the normalised cross-correlation, -1 to 1, of the pattern with
// each place of the audio.
func correlate(pattern, audio []float32) []float64 {
	n := len(pattern)
	if len(audio) < n {
		return nil
	}
	own, heard := power(pattern), power(audio[:n])
	quiet := quietestRMS * quietestRMS / 16 * float64(n)
	scores := make([]float64, len(audio)-n+1)
	for i := range scores {
		if heard > quiet {
			scores[i] = dot(pattern, audio[i:i+n]) / math.Sqrt(own*heard)
		}
		if i+n < len(audio) {
			out, in := float64(audio[i]), float64(audio[i+n])
			heard += in*in - out*out
		}
	}
	return scores
}

func power(x []float32) float64 { return dot(x, x) }

// dot sums in four parts, which the processor does side by side.
func dot(a, b []float32) float64 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return float64(s0) + float64(s1) + float64(s2) + float64(s3)
}

func floats(pcm []int16) []float32 {
	f := make([]float32, len(pcm))
	for i, sample := range pcm {
		f[i] = float32(sample)
	}
	return f
}

// decimate filters and takes every fourth sample.
func decimate(pcm []int16) []float32 {
	out := make([]float32, len(pcm)/coarse)
	for i := range out {
		var sum float32
		for k, h := range lowpass {
			if at := i*coarse + k - reach; at >= 0 && at < len(pcm) {
				sum += h * float32(pcm[at])
			}
		}
		out[i] = sum
	}
	return out
}
