package dialplan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"parley/ivr/money"
)

// Fault is one thing that is wrong with a plan's text.
type Fault struct {
	Line    int    // counted from 1
	Field   string // its path, such as limits.ring
	Problem string // what is wrong, and what to write instead
}

func (f Fault) String() string { return fmt.Sprintf("line %d: %s: %s", f.Line, f.Field, f.Problem) }

// Faults is all that is wrong with a plan's text, in its order.
type Faults []Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a plan's YAML text. A text with anything wrong in it is refused
// whole, and the error is [Faults] with every fault.
func Parse(text []byte) (Plan, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return Plan{}, Faults{syntaxFault(err)}
	}
	if len(doc.Content) == 0 {
		return Plan{}, Faults{{1, "plan", "the text is empty; start from `parley plan example`"}}
	}
	r := &reader{}
	plan := r.plan(doc.Content[0])
	if len(r.faults) > 0 {
		slices.SortStableFunc(r.faults, func(a, b Fault) int { return a.Line - b.Line })
		return Plan{}, r.faults
	}
	return plan, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

func syntaxFault(err error) Fault {
	f := Fault{1, "plan", "not YAML: " + err.Error()}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		fmt.Sscan(m[1], &f.Line)
		f.Problem = "not YAML: " + m[2]
	}
	return f
}

// reader walks the text's nodes, so that every fault has its line, and goes on
// after a fault, so that all are found.
type reader struct{ faults Faults }

func (r *reader) bad(n *yaml.Node, path, format string, args ...any) {
	r.faults = append(r.faults, Fault{n.Line, path, fmt.Sprintf(format, args...)})
}

// field is one entry of a mapping: how to read it, and whether it may be left out.
type field struct {
	name     string
	read     func(n *yaml.Node, path string)
	optional bool
}

// fields reads a mapping. There are no defaults: what is required must be there.
func (r *reader) fields(n *yaml.Node, path string, fields ...field) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, orPlan(path), "must have the fields %s", names(fields))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		switch {
		case seen[key.Value]:
			r.bad(key, join(path, key.Value), "stands here twice; remove one")
		case at < 0:
			r.bad(key, join(path, key.Value), "is not a field of %s; the fields are %s", orPlan(path), names(fields))
		default:
			fields[at].read(value, join(path, key.Value))
		}
		seen[key.Value] = true
	}
	for _, f := range fields {
		if !seen[f.name] && !f.optional {
			r.bad(n, join(path, f.name), "is missing; add it: nothing is unlimited or free by default")
		}
	}
}

func (r *reader) plan(n *yaml.Node) (p Plan) {
	r.fields(n, "",
		field{name: "currency", read: func(n *yaml.Node, at string) {
			p.Currency = r.oneOf(n, at, Currencies...)
		}},
		field{name: "language", read: func(n *yaml.Node, at string) { p.Language = r.oneOf(n, at, Languages...) }},
		field{name: "caller_id", read: func(n *yaml.Node, at string) { p.CallerID = r.number(n, at) }},
		field{name: "waiting", read: func(n *yaml.Node, at string) {
			p.Waiting = Waiting(r.oneOf(n, at, string(Music), string(Ringing)))
		}},
		field{name: "numbers", read: func(n *yaml.Node, at string) { p.Numbers = r.numbers(n, at) }},
		field{name: "rates", read: func(n *yaml.Node, at string) { p.Rates = r.rates(n, at) }},
		field{name: "limits", read: func(n *yaml.Node, at string) { p.Limits = r.limits(n, at) }},
		field{name: "destinations", read: func(n *yaml.Node, at string) { p.Destinations = r.destinations(n, at) }},
		field{name: "top_up", read: func(n *yaml.Node, at string) { p.TopUp = r.topUp(n, at) }},
		field{name: "appointments", read: func(n *yaml.Node, at string) { p.Appointments = r.appointments(n, at) }},
		field{name: "advisors", optional: true, read: func(n *yaml.Node, at string) { p.Advisors = r.advisors(n, at) }},
	)
	r.crossCheck(n, p)
	return p
}

// crossCheck finds what is wrong between fields that are each right.
func (r *reader) crossCheck(n *yaml.Node, p Plan) {
	if _, ok := p.Rates[DefaultRate]; !ok && p.Rates != nil {
		r.bad(child(n, "rates"), "rates", "a rate named %q is missing; it is the rate of advisors of whom the plan says nothing", DefaultRate)
	}
	limits := child(n, "limits")
	pre, l := p.Limits.Predetermined, p.Limits
	if pre.Least > pre.Default || pre.Default > pre.Most {
		r.bad(child(limits, "predetermined"), "limits.predetermined", "must be least <= default <= most")
	}
	if pre.Most > l.LongestTalk {
		r.bad(child(limits, "longest_talk"), "limits.longest_talk", "must be at least limits.predetermined.most (%v)", pre.Most)
	}
	if l.OwnPrice.Least > l.OwnPrice.Most {
		r.bad(child(limits, "own_price"), "limits.own_price", "must be least <= most")
	}
	if a := p.Appointments; a.Hold == AtStart && a.ClientNoShow > 0 {
		r.bad(child(child(n, "appointments"), "client_no_show"), "appointments.client_no_show",
			"must be 0 where hold is %s: there is nothing to take it from", AtStart)
	}
	advisors := child(n, "advisors")
	for id, a := range p.Advisors {
		node, path := child(advisors, id), "advisors."+id
		if _, ok := p.Rates[a.Rate]; a.Rate != "" && !ok {
			r.bad(child(node, "rate"), path+".rate", "there is no rate %q; add it under rates, or name one that is there", a.Rate)
		}
		if longest := p.Terms(id, Wish{}).LongestTalk; a.Predetermined > longest {
			r.bad(child(node, "predetermined"), path+".predetermined", "must not exceed the longest talk (%v)", longest)
		}
	}
}

func (r *reader) numbers(n *yaml.Node, path string) (numbers []Number) {
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.bad(n, path, `must be a list such as - {did: "+493055500101", country: DE}`)
		return nil
	}
	seen := map[string]bool{}
	for i, item := range n.Content {
		var number Number
		at := fmt.Sprintf("%s[%d]", path, i)
		r.fields(item, at,
			field{name: "did", read: func(n *yaml.Node, at string) {
				if number.DID = r.number(n, at); seen[number.DID] && number.DID != "" {
					r.bad(n, at, "%s stands in the list twice; remove one", number.DID)
				}
				seen[number.DID] = true
			}},
			field{name: "country", read: func(n *yaml.Node, at string) {
				if number.Country = n.Value; !country.MatchString(n.Value) {
					r.bad(n, at, "must be two capital letters (ISO 3166-1) such as DE")
				}
			}})
		numbers = append(numbers, number)
	}
	return numbers
}

func (r *reader) rates(n *yaml.Node, path string) map[string]Rate {
	rates := map[string]Rate{}
	r.each(n, path, func(name string, n *yaml.Node, path string) {
		var rate Rate
		before := len(r.faults)
		r.fields(n, path,
			field{name: "per_minute", read: func(n *yaml.Node, at string) {
				rate.PerMinute = r.amount(n, at, 1, money.MaxPerMinute)
			}},
			field{name: "fee", read: func(n *yaml.Node, at string) { rate.Fee = r.amount(n, at, 0, money.MaxFee) }},
			field{name: "increment", read: func(n *yaml.Node, at string) { rate.Increment = r.duration(n, at, time.Second, time.Hour) }},
			field{name: "minimum", read: func(n *yaml.Node, at string) { rate.Minimum = r.duration(n, at, 0, time.Hour) }},
			field{name: "free", read: func(n *yaml.Node, at string) { rate.Free = r.duration(n, at, 0, time.Hour) }},
			field{name: "advisor_percent", read: func(n *yaml.Node, at string) { rate.AdvisorPercent = r.integer(n, at, 0, 100) }},
		)
		if len(r.faults) == before {
			for _, fault := range rate.Validate() {
				r.bad(n, path, "%s", fault)
			}
		}
		rates[name] = rate
	})
	return rates
}

func (r *reader) limits(n *yaml.Node, path string) (l Limits) {
	r.fields(n, path,
		field{name: "ring", read: func(n *yaml.Node, at string) { l.Ring = r.duration(n, at, 5*time.Second, 2*time.Minute) }},
		field{name: "accept", read: func(n *yaml.Node, at string) { l.Accept = r.duration(n, at, 3*time.Second, time.Minute) }},
		field{name: "longest_talk", read: func(n *yaml.Node, at string) { l.LongestTalk = r.duration(n, at, time.Second, 12*time.Hour) }},
		field{name: "predetermined", read: func(n *yaml.Node, at string) {
			r.fields(n, at,
				field{name: "default", read: func(n *yaml.Node, at string) {
					l.Predetermined.Default = r.duration(n, at, time.Second, 12*time.Hour)
				}},
				field{name: "least", read: func(n *yaml.Node, at string) {
					l.Predetermined.Least = r.duration(n, at, time.Second, 12*time.Hour)
				}},
				field{name: "most", read: func(n *yaml.Node, at string) {
					l.Predetermined.Most = r.duration(n, at, time.Second, 12*time.Hour)
				}})
		}},
		field{name: "warnings", read: func(n *yaml.Node, at string) { l.Warnings = r.falling(n, at, leastWarning, time.Hour) }},
		field{name: "entry_tries", read: func(n *yaml.Node, at string) { l.EntryTries = r.integer(n, at, 1, 5) }},
		field{name: "loan", read: func(n *yaml.Node, at string) { l.Loan = r.duration(n, at, time.Minute, 24*time.Hour) }},
		field{name: "quarantine", read: func(n *yaml.Node, at string) { l.Quarantine = r.duration(n, at, 0, 30*24*time.Hour) }},
		field{name: "concurrent", read: func(n *yaml.Node, at string) {
			r.fields(n, at,
				field{name: "all", read: func(n *yaml.Node, at string) { l.Concurrent.All = r.integer(n, at, 1, 100_000) }},
				field{name: "per_client", read: func(n *yaml.Node, at string) { l.Concurrent.PerClient = r.integer(n, at, 1, 100) }},
				field{name: "per_advisor", read: func(n *yaml.Node, at string) { l.Concurrent.PerAdvisor = r.integer(n, at, 1, 100) }})
		}},
		field{name: "own_price", read: func(n *yaml.Node, at string) {
			r.fields(n, at,
				field{name: "least", read: func(n *yaml.Node, at string) { l.OwnPrice.Least = r.amount(n, at, 1, money.MaxPerMinute) }},
				field{name: "most", read: func(n *yaml.Node, at string) { l.OwnPrice.Most = r.amount(n, at, 1, money.MaxPerMinute) }})
		}},
		field{name: "queue", read: func(n *yaml.Node, at string) { l.Queue = r.integer(n, at, 0, 1000) }},
		field{name: "turn", read: func(n *yaml.Node, at string) { l.Turn = r.duration(n, at, 5*time.Second, time.Hour) }},
		field{name: "rated_talk", read: func(n *yaml.Node, at string) { l.RatedTalk = r.duration(n, at, time.Second, 12*time.Hour) }},
		field{name: "live_calls", read: func(n *yaml.Node, at string) {
			l.LiveCalls = LiveCalls(r.oneOf(n, at, string(Keep), string(Follow)))
		}},
		field{name: "second_person", read: func(n *yaml.Node, at string) { l.SecondPerson = r.amount(n, at, 0, maxAmount) }},
	)
	return l
}

// maxAmount is a sum that nobody means to write.
const maxAmount = money.Amount(1_000_000_00)

func (r *reader) topUp(n *yaml.Node, path string) (t TopUp) {
	r.fields(n, path,
		field{name: "amount", read: func(n *yaml.Node, at string) { t.Amount = r.amount(n, at, 1, maxAmount) }},
		field{name: "key_within", read: func(n *yaml.Node, at string) { t.KeyWithin = r.duration(n, at, 3*time.Second, 30*time.Second) }})
	return t
}

func (r *reader) appointments(n *yaml.Node, path string) (a Appointments) {
	r.fields(n, path,
		field{name: "hold", read: func(n *yaml.Node, at string) { a.Hold = HoldAt(r.oneOf(n, at, string(AtBooking), string(AtStart))) }},
		field{name: "ahead", read: func(n *yaml.Node, at string) { a.Ahead = r.duration(n, at, time.Minute, 366*24*time.Hour) }},
		field{name: "early", read: func(n *yaml.Node, at string) { a.Early = r.duration(n, at, 0, 24*time.Hour) }},
		field{name: "late", read: func(n *yaml.Node, at string) { a.Late = r.duration(n, at, time.Second, 24*time.Hour) }},
		field{name: "remind", read: func(n *yaml.Node, at string) { a.Remind = r.falling(n, at, time.Second, 30*24*time.Hour) }},
		field{name: "verify", read: func(n *yaml.Node, at string) { a.Verify = r.duration(n, at, time.Second, time.Hour) }},
		field{name: "client_no_show", read: func(n *yaml.Node, at string) { a.ClientNoShow = r.amount(n, at, 0, maxAmount) }},
		field{name: "advisor_no_show", optional: true, read: func(n *yaml.Node, at string) { a.AdvisorNoShow = r.amount(n, at, 0, maxAmount) }})
	return a
}

func (r *reader) amount(n *yaml.Node, path string, from, to money.Amount) money.Amount {
	return money.Amount(r.integer(n, path, int(from), int(to)))
}

// leastWarning leaves time to speak a warning before the end it warns of.
const leastWarning = 5 * time.Second

// falling reads times before something, the longest first.
func (r *reader) falling(n *yaml.Node, path string, from, to time.Duration) (times []time.Duration) {
	if n.Kind != yaml.SequenceNode {
		r.bad(n, path, "must be a list of times before, such as [2m, 1m, 20s]")
		return nil
	}
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		d := r.duration(item, at, from, to)
		if i > 0 && d >= times[i-1] {
			r.bad(item, at, "must go down: %v comes after %v", d, times[i-1])
		}
		times = append(times, d)
	}
	return times
}

func (r *reader) advisors(n *yaml.Node, path string) map[string]Advisor {
	advisors := map[string]Advisor{}
	r.each(n, path, func(id string, n *yaml.Node, path string) {
		var a Advisor
		if !strings.HasPrefix(id, "adv_") {
			r.bad(n, path, "must be an advisor's ID, such as adv_...; see `parley advisor list`")
		}
		r.fields(n, path,
			field{name: "rate", optional: true, read: func(n *yaml.Node, at string) { a.Rate = n.Value }},
			field{name: "predetermined", optional: true, read: func(n *yaml.Node, at string) {
				a.Predetermined = r.duration(n, at, time.Second, 12*time.Hour)
			}},
			field{name: "longest_talk", optional: true, read: func(n *yaml.Node, at string) {
				a.LongestTalk = r.duration(n, at, time.Second, 12*time.Hour)
			}})
		advisors[id] = a
	})
	return advisors
}
