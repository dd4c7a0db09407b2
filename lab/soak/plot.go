package main

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"

	"parley/lab/plot"
)

// series is one line of a plot.
type series struct {
	name string
	of   func(sample) float64
}

// The plot's size and margins, in pixels.
const (
	plotWidth, plotHeight             = 860, 300
	leftEdge, rightEdge, topEdge, low = 60, 850, 40, 260
)

// svg draws lines over the time of the run, and its faults.
func (s *soak) svg(title, unit string, lines []series) string {
	longest, most := s.samples[len(s.samples)-1].at, 0.0
	for _, one := range s.samples {
		for _, line := range lines {
			most = max(most, line.of(one))
		}
	}
	step := plot.Step(most / 4)
	top := max(1, math.Ceil(most/step)) * step
	x := func(at time.Duration) float64 { return leftEdge + (rightEdge-leftEdge)*float64(at)/float64(longest) }
	y := func(v float64) float64 { return low - (low-topEdge)*v/top }

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="16" font-weight="bold">%s</text>`+"\n", leftEdge, html.EscapeString(title))
	for v := 0.0; v <= top; v += step {
		fmt.Fprintf(&b, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g %s</text>`+"\n",
			leftEdge, y(v), rightEdge, leftEdge-4, y(v)+4, v, unit)
	}
	every := time.Duration(plot.Step(longest.Minutes()/8) * float64(time.Minute))
	for at := time.Duration(0); at <= longest; at += every {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle">%g min</text>`+"\n", x(at), low+16, at.Minutes())
	}
	for _, f := range s.faults {
		if at := f.from.Sub(s.began); at <= longest {
			fmt.Fprintf(&b, `<path d="M%.1f %dV%d" stroke="#999" stroke-dasharray="2 3"><title>%s</title></path>`+"\n", x(at), topEdge, low, html.EscapeString(f.name))
		}
	}
	for i, line := range lines {
		var points strings.Builder
		for _, one := range s.samples {
			fmt.Fprintf(&points, "%.1f,%.1f ", x(one.at), y(line.of(one)))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", strings.TrimSpace(points.String()), plot.Colours[i])
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s">%s</text>`+"\n", leftEdge+i*135, plotHeight-8, plot.Colours[i], html.EscapeString(line.name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
