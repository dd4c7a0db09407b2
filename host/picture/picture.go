// Package picture is the only one to know how a photograph that somebody sends becomes
// one that pages show: small, upright, a JPEG of nothing but what is seen in it. Where it
// was taken, and by what, is lost on the way.
package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	_ "image/png" // is read too
	"slices"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp" // is read too
)

const (
	Most = 10 << 20 // bytes, as it is sent
	Side = 512      // no side of what is made is longer

	pixelsMost = 25_000_000 // telephones take 24; a small file may claim any
	quality    = 85
)

// Unusable is a picture that cannot be used, and why.
type Unusable struct{ Why string }

func (e *Unusable) Error() string { return "the picture cannot be used: " + e.Why }

// turn is had by one picture at a time: unpacked, it may take 200 MB.
var turn = make(chan struct{}, 1)

// Portrait makes a JPEG that fits into a square of [Side] of a JPEG, PNG or WebP. It
// returns an [*Unusable].
func Portrait(ctx context.Context, data []byte) ([]byte, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	switch {
	case err != nil || !slices.Contains([]string{"jpeg", "png", "webp"}, format):
		return nil, &Unusable{"it is no JPEG, PNG or WebP, or it is damaged"}
	case config.Width <= 0 || config.Height <= 0 || config.Width > pixelsMost/config.Height:
		return nil, &Unusable{fmt.Sprintf("it has more than %d million pixels", pixelsMost/1_000_000)}
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	whole, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, &Unusable{"it is damaged"}
	}
	small := shrink(whole)
	if format == "jpeg" {
		small = upright(small, orientation(data))
	}
	var out bytes.Buffer
	err = jpeg.Encode(&out, small, &jpeg.Options{Quality: quality})
	return out.Bytes(), err
}

// shrink brings a picture within the square, on white where it is transparent.
func shrink(whole image.Image) *image.RGBA {
	from := whole.Bounds()
	w, h := from.Dx(), from.Dy()
	if longest := max(w, h); longest > Side {
		w, h = max(1, w*Side/longest), max(1, h*Side/longest)
	}
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(small, small.Bounds(), image.NewUniform(color.White), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(small, small.Bounds(), whole, from, draw.Over, nil)
	return small
}

// upright turns a picture as its camera says that it was held: EXIF's orientation, 1 to 8.
func upright(p *image.RGBA, orientation int) *image.RGBA {
	w, h := p.Bounds().Dx(), p.Bounds().Dy()
	// Whence the pixel at (x, y) of the upright picture comes.
	from := map[int]func(x, y int) (int, int){
		2: func(x, y int) (int, int) { return w - 1 - x, y },
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		4: func(x, y int) (int, int) { return x, h - 1 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return y, h - 1 - x },
		7: func(x, y int) (int, int) { return w - 1 - y, h - 1 - x },
		8: func(x, y int) (int, int) { return w - 1 - y, x },
	}[orientation]
	if from == nil {
		return p
	}
	turned := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation >= 5 {
		turned = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range turned.Bounds().Dy() {
		for x := range turned.Bounds().Dx() {
			fx, fy := from(x, y)
			turned.SetRGBA(x, y, p.RGBAAt(fx, fy))
		}
	}
	return turned
}

// orientation is tag 0x0112 of the first directory of a JPEG's EXIF block, or 0.
func orientation(data []byte) int {
	tiff := exif(data)
	if len(tiff) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.BigEndian
	if tiff[0] == 'I' {
		order = binary.LittleEndian
	}
	at := int64(order.Uint32(tiff[4:])) // the directory
	if at+2 > int64(len(tiff)) {
		return 0
	}
	entries := int64(order.Uint16(tiff[at:]))
	for n := range entries {
		entry := at + 2 + 12*n
		if entry+12 > int64(len(tiff)) {
			return 0
		}
		if order.Uint16(tiff[entry:]) == 0x0112 {
			return int(order.Uint16(tiff[entry+8:]))
		}
	}
	return 0
}

// exif finds the block among a JPEG's segments, each of which says how long it is.
func exif(data []byte) []byte {
	const (
		app1 = 0xe1
		scan = 0xda // the picture itself begins
	)
	for at := 2; at+4 <= len(data) && data[at] == 0xff && data[at+1] != scan; {
		length := int(binary.BigEndian.Uint16(data[at+2:]))
		end := at + 2 + length
		if length < 2 || end > len(data) {
			return nil
		}
		if tiff, found := bytes.CutPrefix(data[at+4:end], []byte("Exif\x00\x00")); found && data[at+1] == app1 {
			return tiff
		}
		at = end
	}
	return nil
}
