package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// plots are what the report shows over the time.
var plots = []struct {
	file, title, unit string
	lines             []series
}{
	{"memory", "Memory, resident", "MB", []series{
		{"the program", func(s sample) float64 { return s.program.memory }},
		{"of it Go's heap in use", func(s sample) float64 { return s.program.heap }},
		{"Asterisk", func(s sample) float64 { return s.asterisk.memory }}}},
	{"goroutines", "Goroutines and open files", "", []series{
		{"goroutines", func(s sample) float64 { return s.program.goroutines }},
		{"open files of the program", func(s sample) float64 { return s.program.files }},
		{"open files of Asterisk", func(s sample) float64 { return s.asterisk.files }},
		{"sessions of Postgres", func(s sample) float64 { return s.sessions }}}},
	{"calls", "What is up, held and lent", "", []series{
		{"acts", func(s sample) float64 { return s.acts }},
		{"channels", func(s sample) float64 { return s.channels }},
		{"bridges", func(s sample) float64 { return s.bridges }},
		{"open calls", func(s sample) float64 { return s.openCalls }},
		{"holds", func(s sample) float64 { return s.holds }},
		{"loans", func(s sample) float64 { return s.loans }}}},
	{"cores", "Processors", "cores", []series{
		{"the program", func(s sample) float64 { return s.program.cores }},
		{"Asterisk", func(s sample) float64 { return s.asterisk.cores }}}},
}

// write writes the report and its plots.
func (s *soak) write(file, command string) error {
	dir := strings.TrimSuffix(file, filepath.Ext(file))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Soak\n\nWritten by `%s` on %s (%s, %d cores, %s). %s\n\n", command, s.began.UTC().Format("2006-01-02 15:04 MST"),
		runtime.GOARCH, runtime.NumCPU(), runtime.Version(), howItWorks)
	b.WriteString(s.summary())
	for _, p := range plots {
		name := filepath.Join(dir, p.file+".svg")
		if err := os.WriteFile(name, []byte(s.svg(p.title, p.unit, p.lines)), 0o644); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n![%s](%s/%s.svg)\n", p.title, filepath.Base(dir), p.file)
	}
	return os.WriteFile(file, []byte(b.String()), 0o644)
}

const howItWorks = `Real telephones (SIP and RTP), Asterisk, Postgres and Redis, and two
copies of the program, one of which stands by. An act is one thing that people do, from the
tap to the receipt; its charge and its talk are compared with what the phones saw. An act
during a fault, or up to 20 s after the program serves again, may be cut short: then it counts
as disturbed, and all that it used must be free again all the same. In the first third the
program is killed again and again; then its processes live on, and what they need when all is
quiet is compared with what they needed then. The dotted lines of the plots are the faults.`

// summary is the report without its plots.
func (s *soak) summary() string {
	var b strings.Builder
	var all outcome
	b.WriteString("| act | as meant | disturbed | failed | talk | charged |\n|---|--:|--:|--:|--:|--:|\n")
	row := func(name string, o outcome) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %v | %.2f |\n", name, o.asMeant, o.disturbed, o.failed, o.talk.Round(time.Second), float64(o.charged)/100)
	}
	for _, k := range kinds {
		o := s.outcomes[k.name]
		if o == nil {
			o = &outcome{}
		}
		row(k.name, *o)
		all = outcome{all.asMeant + o.asMeant, all.disturbed + o.disturbed, all.failed + o.failed, all.talk + o.talk, all.charged + o.charged}
	}
	row("**all**", all)
	b.WriteString("\n| fault | at | acts then | mended after | serving again after that | |\n|---|--:|--:|--:|--:|---|\n")
	for _, f := range s.faults {
		said := "passed"
		if f.trouble != nil {
			said = f.trouble.Error()
		}
		fmt.Fprintf(&b, "| %s | %v | %d | %v | %v | %s |\n", f.name, f.from.Sub(s.began).Round(time.Second), f.liveActs,
			f.mended.Sub(f.from).Round(10*time.Millisecond), f.serving.Sub(f.mended).Round(10*time.Millisecond), said)
	}
	if len(s.quiet) > 1 {
		first, last := s.quiet[0], s.quiet[len(s.quiet)-1]
		fmt.Fprintf(&b, "\n| when all is quiet | at %v | at %v |\n|---|--:|--:|\n", first.at.Round(time.Second), last.at.Round(time.Second))
		line := func(what string, of func(calm) float64) {
			fmt.Fprintf(&b, "| %s | %.0f | %.0f |\n", what, of(first), of(last))
		}
		for i := range s.copies {
			who := fmt.Sprintf("copy %d of the program: ", i+1)
			line(who+"MB resident", func(c calm) float64 { return c.copies[i].memory })
			line(who+"MB of heap in use", func(c calm) float64 { return c.copies[i].heap })
			line(who+"goroutines", func(c calm) float64 { return c.copies[i].goroutines })
			line(who+"open files", func(c calm) float64 { return c.copies[i].files })
		}
		line("Asterisk: MB resident", func(c calm) float64 { return c.asterisk.memory })
		line("Asterisk: open files", func(c calm) float64 { return c.asterisk.files })
		line("Asterisk: channels and bridges", func(c calm) float64 { return c.channels + c.bridges })
		line("Postgres: sessions", func(c calm) float64 { return c.sessions })
		line("open calls, holds, loans", func(c calm) float64 { return c.openCalls + c.holds + c.loans })
	}
	fmt.Fprintf(&b, "\n%s\n", s.judged())
	return b.String()
}

func (s *soak) judged() string {
	if len(s.failures) == 0 {
		return "Nothing was left behind, nothing leaked, no client had two calls or less than nothing, and the audit finds no fault."
	}
	return "**Not as it must be:**\n\n- " + strings.Join(s.failures, "\n- ")
}
