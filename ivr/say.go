package ivr

import (
	"fmt"
	"time"

	"parley/dialplan"
	"parley/ivr/money"
)

// What is said with numbers in it. English grammar: one, or many. A language with
// other rules needs its own functions here.

// sayPrice is what the client hears before anyone is rung.
func sayPrice(t dialplan.Terms, advisor string, longest time.Duration) []Prompt {
	words := []Prompt{"pause", "price-you-call", Text(advisor), "price-costs"}
	words = append(words, sayAmount(t.Rate.PerMinute, t.Currency)...)
	if t.Rate.Fee > 0 {
		words = append(words, "price-fee")
		words = append(words, sayAmount(t.Rate.Fee, t.Currency)...)
	}
	if t.Rate.Free > 0 {
		words = append(words, "price-free")
		words = append(words, sayDuration(t.Rate.Free)...)
	}
	words = append(words, "price-you-can-talk")
	words = append(words, sayDuration(longest)...)
	return append(words, "price-please-wait")
}

// sayMissing is what a client hears whose money does not suffice.
func sayMissing(t dialplan.Terms, poor *NoFunds) []Prompt {
	words := append([]Prompt{"pause", "missing-for-a-talk-of"}, sayDuration(poor.Predetermined)...)
	words = append(words, "missing-you-need")
	words = append(words, sayAmount(poor.Missing, t.Currency)...)
	return append(words, "missing-more")
}

// sayLeft is the warning that only the client hears.
func sayLeft(d time.Duration) []Prompt {
	return append([]Prompt{"beep", "talk-ends-in"}, sayDuration(d)...)
}

// sayDuration says whole minutes where there is at least one, else seconds; what
// is over is not promised.
func sayDuration(d time.Duration) []Prompt {
	if d >= time.Minute {
		n := int64(d / time.Minute)
		return append(sayNumber(n), oneOrMany(n, "minute"))
	}
	n := int64(d / time.Second)
	return append(sayNumber(n), oneOrMany(n, "second"))
}

func sayAmount(a money.Amount, currency string) (words []Prompt) {
	if major := int64(a / 100); major > 0 || a == 0 {
		words = append(sayNumber(major), oneOrMany(major, currency+"-major"))
	}
	if minor := int64(a % 100); minor > 0 {
		words = append(append(words, sayNumber(minor)...), oneOrMany(minor, currency+"-minor"))
	}
	return words
}

func oneOrMany(n int64, word string) Prompt {
	if n == 1 {
		return Prompt(word + "-one")
	}
	return Prompt(word + "-many")
}

// sayNumber spells n with the recorded numbers that every Asterisk brings.
func sayNumber(n int64) []Prompt {
	switch {
	case n <= 20:
		return []Prompt{digit(n)}
	case n < 100:
		if n%10 == 0 {
			return []Prompt{digit(n)}
		}
		return []Prompt{digit(n - n%10), digit(n % 10)}
	case n < 1000:
		return sayParts(n, 100, "digits/hundred")
	case n < 1_000_000:
		return sayParts(n, 1000, "digits/thousand")
	}
	return sayParts(n, 1_000_000, "digits/million")
}

func sayParts(n, unit int64, name Prompt) []Prompt {
	words := append(sayNumber(n/unit), name)
	if n%unit != 0 {
		words = append(words, sayNumber(n%unit)...)
	}
	return words
}

func digit(n int64) Prompt { return Prompt(fmt.Sprintf("digits/%d", n)) }
