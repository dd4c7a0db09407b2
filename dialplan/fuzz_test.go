package dialplan

import (
	"errors"
	"regexp"
	"testing"
)

// Whatever is written as a number: it is E.164 or none, it is the same when it is read
// again, and it is called only where the plan names its country.
func FuzzNumber(f *testing.F) {
	for _, text := range []string{"0151 12345601", "+49 (151) 123-45601", "0049151123456", "+4990012345", "+1 900 555 0100", "٠١٥١١٢٣٤٥", "tel:+4915112345601;ext=7",
		"+", "", "911", "+49151123456789012345", "\x00+49151", "1800FLOWERS", "+882 13 300655", "+493055500101 or +493055500102", "0000000", "010000AAA000000"} {
		f.Add(text)
	}
	p, err := Parse(Example)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := p.E164(text)
		if ok && !e164Number.MatchString(n) {
			t.Errorf("%q is %q, %v", text, n, ok)
		}
		if again, same := p.E164(n); ok && (!same || again != n) {
			t.Errorf("%q is %q, which is %q", text, n, again)
		}
		for _, number := range []string{text, n} {
			if err := p.MayCall(number); err != nil && !errors.As(err, new(*NotCallable)) {
				t.Errorf("%q: %v", number, err)
			} else if err == nil && !e164Number.MatchString(number) {
				t.Errorf("%q may be called", number)
			}
		}
	})
}

var e164Number = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)
