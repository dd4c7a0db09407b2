package dialplan

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Diff lists what changes from one plan's text to another, by field: order,
// comments and spelling do not count. Both texts must be YAML.
func Diff(from, to []byte) ([]string, error) {
	before, err := flatten(from)
	if err != nil {
		return nil, err
	}
	after, err := flatten(to)
	if err != nil {
		return nil, err
	}
	var changes []string
	for path, value := range after {
		if old, there := before[path]; !there {
			changes = append(changes, fmt.Sprintf("+ %s: %s", path, value))
		} else if old != value {
			changes = append(changes, fmt.Sprintf("~ %s: %s -> %s", path, old, value))
		}
	}
	for path, value := range before {
		if _, there := after[path]; !there {
			changes = append(changes, fmt.Sprintf("- %s: %s", path, value))
		}
	}
	slices.SortFunc(changes, func(a, b string) int { return slices.Compare([]byte(a[2:]), []byte(b[2:])) })
	return changes, nil
}

// flatten lists every value of a text under its path.
func flatten(text []byte) (map[string]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, Faults{syntaxFault(err)}
	}
	values := map[string]string{}
	var walk func(n *yaml.Node, path string)
	walk = func(n *yaml.Node, path string) {
		switch n.Kind {
		case yaml.DocumentNode:
			walk(n.Content[0], path)
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				walk(n.Content[i+1], join(path, n.Content[i].Value))
			}
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(item, fmt.Sprintf("%s[%s]", path, itemName(item, i)))
			}
		default:
			values[path] = n.Value
		}
	}
	walk(&doc, "")
	return values, nil
}

// itemName names a list's item by its number where it is one, so that one added
// number does not read as a change of all that follow.
func itemName(item *yaml.Node, i int) string {
	if did := child(item, "did"); did != item {
		return did.Value
	}
	return fmt.Sprint(i)
}
