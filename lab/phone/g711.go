package phone

import "math/bits"

// Codec is a G.711 law, by its static RTP payload type (RFC 3551).
type Codec uint8

const (
	ULaw Codec = 0
	ALaw Codec = 8
)

func (c Codec) String() string {
	if c == ALaw {
		return "PCMA"
	}
	return "PCMU"
}

// silence is the code of the smallest positive amplitude.
func (c Codec) silence() byte {
	if c == ALaw {
		return 0xd5
	}
	return 0xff
}

var ulawPCM, alawPCM = decodeTables()

// pcm is the 16-bit amplitude of each code.
func (c Codec) pcm() *[256]int16 {
	if c == ALaw {
		return &alawPCM
	}
	return &ulawPCM
}

// decodeTables follows ITU-T G.711: a sign, three bits of segment, four of step;
// mu-law codes are sent inverted, A-law codes with every second bit inverted.
func decodeTables() (ulaw, alaw [256]int16) {
	signed := func(amplitude int, positive bool) int16 {
		if positive {
			return int16(amplitude)
		}
		return int16(-amplitude)
	}
	for code := range 256 {
		u := code ^ 0xff
		segment, step := u>>4&7, u&15
		ulaw[code] = signed((step<<3+ulawBias)<<segment-ulawBias, u&0x80 == 0)

		a := code ^ 0x55
		segment, step = a>>4&7, a&15
		amplitude := step<<4 + 8
		if segment > 0 {
			amplitude = (amplitude + 0x100) << (segment - 1)
		}
		alaw[code] = signed(amplitude, a&0x80 != 0)
	}
	return ulaw, alaw
}

// The bias makes each mu-law segment begin at a power of two.
const (
	ulawBias = 0x84
	ulawClip = 32635
)

func (c Codec) encode(sample int16) byte {
	amplitude, negative := int(sample), sample < 0
	if negative {
		amplitude = -amplitude
	}
	if c == ALaw {
		return encodeALaw(amplitude, negative)
	}
	amplitude = min(amplitude, ulawClip) + ulawBias
	segment := bits.Len(uint(amplitude)) - 8
	code := byte(segment<<4 | amplitude>>(segment+3)&15)
	if negative {
		code |= 0x80
	}
	return ^code
}

func encodeALaw(amplitude int, negative bool) byte {
	amplitude = min(amplitude, 32767)
	var code byte
	if segment := bits.Len(uint(amplitude)) - 8; segment > 0 {
		code = byte(segment<<4 | amplitude>>(segment+3)&15)
	} else {
		code = byte(amplitude >> 4)
	}
	if !negative {
		code |= 0x80
	}
	return code ^ 0x55
}
