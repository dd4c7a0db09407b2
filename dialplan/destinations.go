package dialplan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nyaruka/phonenumbers"
	"go.yaml.in/yaml/v3"
)

// Destinations are the numbers that may be called: kinds of numbers, by country
// (ISO 3166-1). What is not listed is refused, so that nobody can have us call a
// number that costs us money and earns them some.
type Destinations map[string][]Destination

// Destination is a kind of number.
type Destination string

const (
	Mobile Destination = "mobile"
	Fixed  Destination = "fixed"
	VoIP   Destination = "voip"
)

// kindsOf says which destinations cover a number of a type. In some countries mobile
// and fixed numbers cannot be told apart: both must be allowed. Premium, shared-cost,
// unknown and all other types are covered by none.
var kindsOf = map[phonenumbers.PhoneNumberType][]Destination{
	phonenumbers.MOBILE:               {Mobile},
	phonenumbers.FIXED_LINE:           {Fixed},
	phonenumbers.FIXED_LINE_OR_MOBILE: {Mobile, Fixed},
	phonenumbers.VOIP:                 {VoIP},
}

// NotCallable is a number that the plan does not let us call.
type NotCallable struct{ Why string }

func (e *NotCallable) Error() string { return "this number cannot be called: " + e.Why }

// MayCall returns a [*NotCallable] where the plan does not allow that we call a number.
func (p Plan) MayCall(number string) error {
	n, err := phonenumbers.Parse(number, "ZZ")
	if err != nil || !strings.HasPrefix(number, "+") || phonenumbers.Format(n, phonenumbers.E164) != number {
		return &NotCallable{"it is not E.164, such as +4915112345601"}
	}
	if !phonenumbers.IsValidNumber(n) {
		return &NotCallable{"there are no numbers like it in its country"}
	}
	country := phonenumbers.GetRegionCodeForNumber(n)
	allowed, listed := p.Destinations[country]
	if !listed {
		return &NotCallable{fmt.Sprintf("the plan's destinations do not name the country %s", country)}
	}
	kinds, known := kindsOf[phonenumbers.GetNumberType(n)]
	for _, kind := range kinds {
		known = known && slices.Contains(allowed, kind)
	}
	if !known {
		return &NotCallable{fmt.Sprintf("the plan's destinations do not name its kind of number in %s", country)}
	}
	return nil
}

// E164 is a number as people of the plan's first country write it: with spaces, with 00,
// or without the country. It is false where that is no number.
func (p Plan) E164(text string) (string, bool) {
	region := "ZZ"
	if len(p.Numbers) > 0 {
		region = p.Numbers[0].Country
	}
	n, err := phonenumbers.Parse(text, region)
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return "", false
	}
	number := phonenumbers.Format(n, phonenumbers.E164)
	// The library lets some through that are too long, or another number when read again.
	if again, err := phonenumbers.Parse(number, "ZZ"); err != nil || phonenumbers.Format(again, phonenumbers.E164) != number || len(number) > len("+")+15 {
		return "", false
	}
	return number, true
}

func (r *reader) destinations(n *yaml.Node, path string) Destinations {
	all := Destinations{}
	r.each(n, path, func(name string, n *yaml.Node, path string) {
		if !country.MatchString(name) {
			r.bad(n, path, "must be two capital letters (ISO 3166-1) such as DE")
		}
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			r.bad(n, path, "must be a list of %s, %s and %s", Mobile, Fixed, VoIP)
			return
		}
		for i, item := range n.Content {
			kind := Destination(r.oneOf(item, fmt.Sprintf("%s[%d]", path, i), string(Mobile), string(Fixed), string(VoIP)))
			all[name] = append(all[name], kind)
		}
	})
	return all
}
