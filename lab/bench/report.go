package bench

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Write writes the report as Markdown. machine, commit and load say where and how it was
// made.
func (r Report) Write(to io.Writer, about, plot string) {
	say := func(format string, args ...any) { fmt.Fprintf(to, format+"\n", args...) }
	say("# Measured\n\n%s\n", about)
	say("![CPU of a call, and how many a second](%s)\n", plot)
	if len(r.NotMeasured) > 0 {
		say("**Not measured, or not in whole:** %s.\n", strings.Join(r.NotMeasured, "; "))
	}
	r.writeCalls(say)
	r.writeTimes(say)
	r.writeSound(say)
	r.writeLedger(say)
}

func (r Report) writeCalls(say func(string, ...any)) {
	say("## Whole calls\n")
	say("Two legs, %v of talk, no audio; the median of %d rounds, and the least to the most. CPU is measured at %.0f calls a second, %d calls a round.\n",
		r.Options.Talk, r.Options.Rounds, r.Options.Rate, r.Options.Calls)
	say("| design | Asterisk, ms | program, ms | Postgres, ms | sum, ms | sum / Dial() | clean calls/s | / Dial() |")
	say("|---|---|---|---|---|---|---|---|")
	base, baseRate := r.sum(plain).median, spreadOf(r.Capacity.By[plain]).median
	for _, d := range designs {
		part := func(of func(usage) time.Duration) string { return ms(r.part(d, of)) }
		rate := spreadOf(r.Capacity.By[d])
		say("| %s | %s | %s | %s | %s | %.1f | %.0f (%.0f-%.0f) | %.2f |", names[d],
			part(func(u usage) time.Duration { return u.asterisk }), part(func(u usage) time.Duration { return u.program }),
			part(func(u usage) time.Duration { return u.postgres }), ms(r.sum(d)), r.sum(d).median/base,
			rate.median, rate.least, rate.most, rate.median/max(1, baseRate))
	}
	say("\nClean: no failed call, and 99 of 100 callers had their 200 within 100 ms of the INVITE.\n")
	say("| beside live calls | Asterisk, ms | program, ms | Postgres, ms | INVITE to 200, p99 | failed |")
	say("|---|---|---|---|---|---|")
	for _, g := range r.Live {
		say("| %d | %.1f | %.1f | %.1f | %v | %d of %d |", g.Live, milli(g.Each.asterisk), milli(g.Each.program), milli(g.Each.postgres),
			quantile(g.Seen.answered, 0.99), g.Seen.failed, g.Seen.calls)
	}
}

func (r Report) writeSound(say func(string, ...any)) {
	say("\n## Talks with sound\n\nG.711 from both sides to both, through Asterisk.\n")
	say("| talks at once | Asterisk, ms for a second of a talk | program, ms | packets that came through |\n|---|---|---|---|")
	for _, s := range r.Sound {
		say("| %d | %.2f | %.2f | %.3f %% |", s.Live, milli(s.Each.asterisk), milli(s.Each.program), 100*s.Through)
	}
}

var names = map[design]string{
	plain: "`Dial()` in the dialplan, for nothing", classic: "FastAGI looks the balance up, then `Dial()`", paid: "Parley, paid",
}

func (r Report) writeTimes(say func(string, ...any)) {
	say("\n## Times\n")
	say("| | median | p99 |\n|---|---|---|")
	for _, row := range []struct {
		what  string
		times []time.Duration
	}{
		{"StasisStart to the advisor's INVITE", r.Setup.Rung},
		{"the advisor's 200 to both in the bridge", r.Setup.Joined},
		{"limit to BYE at both phones, program alive", r.CutOffs.Alive},
		{"limit to BYE at both phones, program killed", r.CutOffs.Dead},
	} {
		say("| %s | %.1f ms | %.1f ms |", row.what, milli(quantile(row.times, 0.5)), milli(quantile(row.times, 0.99)))
	}
	say("\nRead from the loopback interface, by the kernel's clock. Of %d calls %d were not joined; of the talks that ran into their limit, %d phones got no BYE and %d got it before the limit.\n",
		r.Setup.Calls, r.Setup.Unjoined, r.CutOffs.Uncut, r.CutOffs.Before)
	say("## Memory\n\nWith %d live calls: %.1f kB of the program and %.0f kB of Asterisk for each. %s", r.Memory.Live,
		float64(r.Memory.Program)/1000, float64(r.Memory.Asterisk)/1000, more(r.Memory.WhyNotMore))
}

func more(why string) string {
	if why == "" {
		return ""
	}
	return "No more: " + why + ", and Asterisk takes ten for a call."
}

func (r Report) writeLedger(say func(string, ...any)) {
	say("\n## The ledger\n")
	say("A hold and its settlement, by %d at a time, written to the disk; pgbench runs the same statements as the same login.\n", ledgerWorkers)
	say("| clients | pairs/s | pgbench | ratio |\n|---|---|---|---|")
	for _, w := range r.Ledger.Ways {
		ours, theirs := spreadOf(w.Ours), spreadOf(w.Theirs)
		say("| %d | %.0f (%.0f-%.0f) | %.0f (%.0f-%.0f) | %.2f |", w.Clients, ours.median, ours.least, ours.most,
			theirs.median, theirs.least, theirs.most, ours.median/theirs.median)
	}
	say("\n| clients, each with a closed call | hold and settle, one at a time | p99 | database |\n|---|---|---|---|")
	for _, s := range r.Clients {
		say("| %d | %.2f ms | %.2f ms | %d MB |", s.Clients, milli(quantile(s.Pair, 0.5)), milli(quantile(s.Pair, 0.99)), s.Bytes>>20)
	}
}

func (r Report) part(d design, of func(usage) time.Duration) spread {
	var values []float64
	for _, u := range r.Cost.By[d] {
		values = append(values, milli(of(u)))
	}
	return spreadOf(values)
}

func (r Report) sum(d design) spread { return r.part(d, usage.sum) }

func milli(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func ms(s spread) string { return fmt.Sprintf("%.1f (%.1f-%.1f)", s.median, s.least, s.most) }

// Plot draws what a call costs, and how many a second there can be, as SVG.
func (r Report) Plot() string {
	const width, bar, gap, scale = 760, 26, 16, 24.0 // pixels; of a millisecond
	var svg strings.Builder
	draw := func(format string, args ...any) { fmt.Fprintf(&svg, format+"\n", args...) }
	draw(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`, width, 60+3*(bar+gap))
	draw(`<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="20">CPU of a call, ms: <tspan fill="#35618f">Asterisk</tspan>, <tspan fill="#b5642a">program</tspan>, <tspan fill="#4d7d45">Postgres</tspan></text>`)
	for i, d := range designs {
		y, x := 34+i*(bar+gap), 90.0
		draw(`<text x="10" y="%d">%s</text>`, y+18, d)
		for _, p := range []struct {
			of    func(usage) time.Duration
			color string
		}{
			{func(u usage) time.Duration { return u.asterisk }, "#35618f"}, {func(u usage) time.Duration { return u.program }, "#b5642a"},
			{func(u usage) time.Duration { return u.postgres }, "#4d7d45"},
		} {
			w := r.part(d, p.of).median * scale
			draw(`<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`, x, y, w, bar, p.color)
			x += w
		}
		draw(`<text x="%.1f" y="%d">%.1f ms, %.0f clean calls/s</text>`, x+8, y+18, r.sum(d).median, spreadOf(r.Capacity.By[d]).median)
	}
	draw(`</svg>`)
	return svg.String()
}
