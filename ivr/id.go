package ivr

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// crockford sorts as its values do, and has no letters that read like digits.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID makes an ID such as call_06g3qz1x2m8y4k7v9w0e5r6t8c: 48 bits of
// milliseconds, so that IDs sort by time, then 72 random bits.
func NewID(prefix string) string {
	var b [15]byte
	binary.BigEndian.PutUint64(b[:8], uint64(time.Now().UnixMilli())<<16)
	rand.Read(b[6:]) // never fails, by its documentation
	return prefix + "_" + crockford.EncodeToString(b[:])
}

// Mask hides a number but for its country's first digits and its last two, as it
// may be shown and logged: +49********34.
func Mask(number string) string {
	const before, after = 3, 2
	if len(number) <= before+after+2 {
		return strings.Repeat("*", len(number))
	}
	return number[:before] + strings.Repeat("*", len(number)-before-after) + number[len(number)-after:]
}
