package phone

import (
	"encoding/binary"
	"fmt"
	"os"
)

// LoadWAV reads a prompt: a RIFF file with 8 kHz, mono, 16-bit PCM, as the
// exchange plays it.
func LoadWAV(path string) ([]int16, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pcm, err := parseWAV(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return pcm, nil
}

func parseWAV(data []byte) ([]int16, error) {
	if len(data) < 12 || string(data[:4]) != "RIFF" || string(data[8:12]) != "WAVE" {
		return nil, fmt.Errorf("not a WAV file")
	}
	formatSeen := false
	for rest := data[12:]; len(rest) >= 8; {
		id, size := string(rest[:4]), int(binary.LittleEndian.Uint32(rest[4:]))
		body := rest[8:]
		body = body[:min(size, len(body))]
		switch id {
		case "fmt ":
			if len(body) < 16 {
				return nil, fmt.Errorf("WAV format chunk cut short")
			}
			le := binary.LittleEndian
			kind, channels, rate, bits := le.Uint16(body), le.Uint16(body[2:]), le.Uint32(body[4:]), le.Uint16(body[14:])
			if kind != 1 || channels != 1 || rate != sampleRate || bits != 16 {
				return nil, fmt.Errorf("WAV has format %d, %d channels, %d Hz, %d bits: convert it to PCM, mono, 8000 Hz, 16 bits",
					kind, channels, rate, bits)
			}
			formatSeen = true
		case "data":
			if !formatSeen {
				return nil, fmt.Errorf("WAV has no format before its data")
			}
			pcm := make([]int16, len(body)/2)
			for i := range pcm {
				pcm[i] = int16(binary.LittleEndian.Uint16(body[2*i:]))
			}
			return pcm, nil
		}
		rest = rest[min(len(rest), 8+size+size&1):]
	}
	return nil, fmt.Errorf("WAV has no data")
}
