package dialplan

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Currencies and Languages are those for which there are spoken words. The
// amounts of each currency are in hundredths.
var (
	Currencies = []string{"EUR", "USD", "GBP", "CHF"}
	Languages  = []string{"en"}
)

var (
	e164    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	country = regexp.MustCompile(`^[A-Z]{2}$`)
)

// each calls read for each entry of a mapping whose keys are names.
func (r *reader) each(n *yaml.Node, path string, read func(name string, n *yaml.Node, path string)) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, path, "must be a mapping of names")
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if seen[name] {
			r.bad(n.Content[i], join(path, name), "stands here twice; remove one")
		}
		seen[name] = true
		read(name, n.Content[i+1], join(path, name))
	}
}

func (r *reader) oneOf(n *yaml.Node, path string, values ...string) string {
	if !slices.Contains(values, n.Value) {
		r.bad(n, path, "is %q; must be one of %s", n.Value, strings.Join(values, ", "))
	}
	return n.Value
}

func (r *reader) number(n *yaml.Node, path string) string {
	if !e164.MatchString(n.Value) {
		r.bad(n, path, `must be a number in E.164 with its +, in quotes, such as "+493055500101"`)
		return ""
	}
	return n.Value
}

func (r *reader) integer(n *yaml.Node, path string, from, to int) int {
	i, err := strconv.Atoi(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || i < from || i > to {
		r.bad(n, path, "is %q; must be a whole number from %d to %d", n.Value, from, to)
		return from
	}
	return i
}

func (r *reader) duration(n *yaml.Node, path string, from, to time.Duration) time.Duration {
	d, err := time.ParseDuration(n.Value)
	if err != nil || n.Kind != yaml.ScalarNode || d < from || d > to || d%time.Second != 0 {
		r.bad(n, path, "is %q; must be whole seconds or minutes such as 90s or 5m, from %v to %v", n.Value, from, to)
		return from
	}
	return d
}

// child is the value of a mapping's key, or the mapping itself where it has none:
// a place to point at.
func child(n *yaml.Node, key string) *yaml.Node {
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return n
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orPlan(path string) string {
	if path == "" {
		return "the plan"
	}
	return path
}

func names(fields []field) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return strings.Join(all, ", ")
}
