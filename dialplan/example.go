package dialplan

import _ "embed"

// Example is the text of a whole plan, with a word on each field.
//
//go:embed example.yaml
var Example []byte
