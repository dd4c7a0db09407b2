package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

var (
	red, green, blue, white = color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}, color.RGBA{0, 0, 255, 255}, color.RGBA{255, 255, 255, 255}
)

// quarters is a picture of four colours, clockwise from the upper left; the last quarter
// is transparent where its colour is.
func quarters(w, h int, colours ...color.Color) image.Image {
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			n := 0
			switch right, low := x >= w/2, y >= h/2; {
			case right && low:
				n = 2
			case right:
				n = 1
			case low:
				n = 3
			}
			p.Set(x, y, colours[n])
		}
	}
	return p
}

func asPNG(t *testing.T, p image.Image) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, p); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// asJPEG has the EXIF of a camera that was held somehow, and of where.
func asJPEG(t *testing.T, p image.Image, orientation uint16, order binary.AppendByteOrder) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := jpeg.Encode(&out, p, nil); err != nil {
		t.Fatal(err)
	}
	tiff := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, tag := range []uint16{0x0100, 0x0112} {
		tiff = order.AppendUint16(tiff, tag)
		tiff = order.AppendUint16(tiff, 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, orientation)
		tiff = order.AppendUint16(tiff, 0)
	}
	block := append([]byte("Exif\x00\x00"), tiff...)
	block = append(block, "at home"...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(block)))
	data := append([]byte{0xff, 0xd8}, segment...)
	return append(append(data, block...), out.Bytes()[2:]...)
}

// seen checks what a page will show.
func seen(t *testing.T, what string, data []byte, w, h int, colours ...color.RGBA) {
	t.Helper()
	p, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Errorf("%s: not a JPEG: %v", what, err)
		return
	}
	if b := p.Bounds(); b.Dx() != w || b.Dy() != h {
		t.Errorf("%s: %d by %d, want %d by %d", what, b.Dx(), b.Dy(), w, h)
	}
	for n, at := range []image.Point{{w / 4, h / 4}, {3 * w / 4, h / 4}, {3 * w / 4, 3 * h / 4}, {w / 4, 3 * h / 4}} {
		r, g, b, _ := p.At(at.X, at.Y).RGBA()
		want := colours[n]
		if off(r, want.R) || off(g, want.G) || off(b, want.B) {
			t.Errorf("%s: at %v it is %d %d %d, want %v", what, at, r>>8, g>>8, b>>8, want)
		}
	}
}

func off(have uint32, want uint8) bool { d := int(have>>8) - int(want); return d > 20 || d < -20 }

func TestPicturesAreSmallAndWhole(t *testing.T) {
	clear := color.NRGBA{0, 0, 0, 0}
	for what, c := range map[string]struct {
		data []byte
		w, h int
		last color.RGBA
	}{
		"wide":        {asPNG(t, quarters(800, 400, red, green, blue, white)), 512, 256, white},
		"high":        {asPNG(t, quarters(600, 1200, red, green, blue, white)), 256, 512, white},
		"small":       {asPNG(t, quarters(100, 80, red, green, blue, white)), 100, 80, white},
		"transparent": {asPNG(t, quarters(600, 600, red, green, blue, clear)), 512, 512, white},
		"JPEG":        {asJPEG(t, quarters(600, 600, red, green, blue, white), 1, binary.BigEndian), 512, 512, white},
	} {
		out, err := Portrait(t.Context(), c.data)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		seen(t, what, out, c.w, c.h, red, green, blue, c.last)
	}
}

func TestWebP(t *testing.T) {
	data, err := base64.StdEncoding.DecodeString("UklGRjgAAABXRUJQVlA4ICwAAACQAQCdASoQABAAAgA0JaACdLoAA5gA/vmTb/+QH/+QH/+QH/8gP+IXeyAwAA==")
	if err != nil {
		t.Fatal(err)
	}
	out, err := Portrait(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	seen(t, "WebP", out, 16, 16, blue, blue, blue, blue)
}

// A telephone writes down how it was held, and where; pages show the picture upright, and
// tell nobody where.
func TestPicturesAreUprightAndTellNothing(t *testing.T) {
	for orientation, want := range map[uint16][]color.RGBA{
		1: {red, green, blue, white},
		2: {green, red, white, blue},
		3: {blue, white, red, green},
		4: {white, blue, green, red},
		5: {red, white, blue, green},
		6: {white, red, green, blue},
		7: {blue, green, red, white},
		8: {green, blue, white, red},
		9: {red, green, blue, white}, // there is no such
	} {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			out, err := Portrait(t.Context(), asJPEG(t, quarters(256, 128, red, green, blue, white), orientation, order))
			if err != nil {
				t.Fatal(err)
			}
			w, h := 256, 128
			if orientation >= 5 && orientation <= 8 {
				w, h = h, w
			}
			seen(t, string(rune('0'+orientation))+" "+order.String(), out, w, h, want...)
			if bytes.Contains(out, []byte("Exif")) || bytes.Contains(out, []byte("at home")) {
				t.Error("it tells where it was taken")
			}
		}
	}
}

func TestWhatIsNoPictureIsRefused(t *testing.T) {
	var animated bytes.Buffer
	if err := gif.Encode(&animated, quarters(10, 10, red, green, blue, white), nil); err != nil {
		t.Fatal(err)
	}
	whole := asPNG(t, quarters(300, 300, red, green, blue, white))
	huge := asPNG(t, quarters(10, 10, red, green, blue, white))
	binary.BigEndian.PutUint32(huge[16:], 60_000) // the header's width and height
	binary.BigEndian.PutUint32(huge[20:], 60_000)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	for what, c := range map[string]struct {
		data []byte
		why  string
	}{
		"nothing":  {nil, "no JPEG"},
		"text":     {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "no JPEG"},
		"a GIF":    {animated.Bytes(), "no JPEG"},
		"half":     {whole[:len(whole)/2], "damaged"},
		"too much": {huge, "million pixels"},
	} {
		out, err := Portrait(t.Context(), c.data)
		var unusable *Unusable
		if !errors.As(err, &unusable) || !strings.Contains(unusable.Why, c.why) || out != nil {
			t.Errorf("%s: %d bytes, %v; want %q", what, len(out), err, c.why)
		}
	}
}
