package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// architecture is which of our packages each may import: the whole diagram.
// README.md shows the same arrows. What only tests and the demo use is below the
// line.
var architecture = map[string]string{
	"ivr/money":    "",
	"dialplan":     "ivr/money",
	"ivr":          "dialplan ivr/money",
	"ivr/prompts":  "ivr",
	"ivr/ari":      "dialplan ivr",
	"store":        "dialplan ivr ivr/money",
	"web":          "",
	"host/audio":   "",
	"host/payment": "ivr/money",
	"host/picture": "",
	"host/sms":     "",
	"host":         "dialplan host/audio host/payment host/picture ivr ivr/money store web",
	"host/client":  "",
	"metrics":      "ivr ivr/money store",
	"traces":       "ivr",
	"cmd/parley":   "dialplan host host/payment host/sms ivr ivr/ari ivr/money ivr/prompts metrics store traces",

	"ivr/ivrtest":        "dialplan ivr ivr/money",
	"asterisk-config":    "",
	"docker/asterisk":    "asterisk-config",
	"docker":             "",
	"docker/demo":        "lab/phone lab/stage",
	"lab":                "asterisk-config",
	"lab/phone":          "",
	"lab/pushlab":        "",
	"lab/stage":          "dialplan host/client ivr ivr/prompts lab lab/phone",
	"lab/faults":         "",
	"lab/browser":        "",
	"lab/mutant":         "",
	"lab/soak":           "host/client lab lab/phone lab/plot lab/stage",
	"lab/abuse":          "",
	"lab/vuln":           "",
	"lab/cluster":        "",
	"lab/dashboard":      "",
	"lab/dashboard/draw": "lab/plot",
	"lab/plot":           "",
	"packaging":          "",
	"lab/bench":          "dialplan ivr ivr/ari ivr/ivrtest ivr/money lab lab/stage host/client store",
	"cmd/bench":          "lab/bench",
	"cmd/demo":           "host/client lab/stage lab/phone",
}

func TestArchitecture(t *testing.T) {
	const module = "parley/"
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module)
		allowed, listed := architecture[name]
		if !listed {
			t.Errorf("%s is new: say here what it may import", name)
		}
		for _, path := range words[1:] {
			dep, ours := strings.CutPrefix(path, module)
			if ours && !slices.Contains(strings.Fields(allowed), dep) {
				t.Errorf("%s must not import %s", name, dep)
			}
		}
	}
}
