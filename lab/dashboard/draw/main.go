// Command draw shows docker/grafana/parley.json without Grafana: it asks a Prometheus each of
// its queries, and draws the panels as SVG, where and as large as the dashboard has them.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parley/lab/plot"
)

// board is what is read of a Grafana dashboard.
type board struct {
	Title  string
	Panels []panel
}

type panel struct {
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr, LegendFormat string }
}

// series is a line of a panel. Where Prometheus has no value the line has a gap.
type series struct {
	name   string
	points []point
}

type point struct{ at, value float64 } // at in seconds since 1970

// span is the time that is drawn.
type span struct {
	from, to time.Time
	step     time.Duration
}

func main() {
	prometheus := flag.String("prometheus", "http://127.0.0.1:9090", "whom to ask")
	file := flag.String("board", "docker/grafana/parley.json", "the dashboard")
	last := flag.Duration("last", time.Hour, "how much is drawn, up to now")
	out := flag.String("out", "docs/dashboard.svg", "where the picture goes")
	flag.Parse()
	if err := run(*prometheus, *file, *out, *last); err != nil {
		fmt.Fprintln(os.Stderr, "draw:", err)
		os.Exit(1)
	}
}

func run(prometheus, file, out string, last time.Duration) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	now := time.Now()
	over := span{now.Add(-last), now, max(5*time.Second, last/300)}
	drawn, err := draw(b, over, func(query string) ([]series, error) { return ask(prometheus, query, over) })
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(drawn), 0o644)
}

// The dashboard's grid, in pixels: it is 24 columns wide.
const (
	column, row   = 50, 30
	edge, titleAt = 8, 18
)

// draw draws each panel from what its queries give.
func draw(b board, over span, asked func(query string) ([]series, error)) (string, error) {
	var svg strings.Builder
	high, queries, empty := 0, 0, 0
	for _, p := range b.Panels {
		high = max(high, p.GridPos.Y+p.GridPos.H)
	}
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", 24*column, (high+1)*row)
	fmt.Fprintf(&svg, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="20" font-size="15" font-weight="bold">%s, %s to %s UTC</text>`+"\n", edge,
		html.EscapeString(b.Title), over.from.UTC().Format("2006-01-02 15:04"), over.to.UTC().Format("15:04"))
	for _, p := range b.Panels {
		var lines []series
		for _, t := range p.Targets {
			got, err := asked(strings.ReplaceAll(t.Expr, "$__rate_interval", "1m"))
			if err != nil {
				return "", fmt.Errorf("%s: %w", p.Title, err)
			}
			if queries++; len(got) == 0 {
				empty++
			}
			for _, line := range got {
				line.name = named(t.LegendFormat, line.name)
				lines = append(lines, line)
			}
		}
		fmt.Fprintf(&svg, `<g transform="translate(%d %d)">`+"\n", p.GridPos.X*column, (p.GridPos.Y+1)*row)
		p.draw(&svg, lines, over)
		svg.WriteString("</g>\n")
	}
	svg.WriteString("</svg>\n")
	if queries == 0 || empty == queries {
		return "", errors.New("none of the queries gives anything: is it the Prometheus that scrapes Parley?")
	}
	return svg.String(), nil
}

func (p panel) draw(svg *strings.Builder, lines []series, over span) {
	width, height := float64(p.GridPos.W*column-edge), float64(p.GridPos.H*row-edge)
	say := func(format string, args ...any) { fmt.Fprintf(svg, format+"\n", args...) }
	title := html.EscapeString(p.Title)
	if p.Type == "row" {
		say(`<text x="%d" y="20" font-size="14" font-weight="bold">%s</text>`, edge, title)
		return
	}
	say(`<rect x="%d" width="%.0f" height="%.0f" fill="none" stroke="#ccc"/><text x="%d" y="%d" font-weight="bold">%s</text>`, edge/2, width, height, 2*edge, titleAt, title)
	unit := p.FieldConfig.Defaults.Unit
	switch {
	case len(lines) == 0:
		say(`<text x="%.0f" y="%.0f" text-anchor="middle" fill="#777">nothing in this time</text>`, width/2, height/2)
		return
	case p.Type == "stat":
		for i, line := range lines {
			x := width * (float64(i) + 0.5) / float64(len(lines))
			say(`<text x="%.0f" y="%.0f" font-size="30" text-anchor="middle" fill="%s">%s</text>`, x, height/2+10, plot.Colours[0], written(line.points[len(line.points)-1].value, unit))
			say(`<text x="%.0f" y="%.0f" text-anchor="middle">%s</text>`, x, height/2+32, html.EscapeString(line.name))
		}
		return
	}
	most := 0.0
	for _, line := range lines {
		for _, at := range line.points {
			most = max(most, at.value)
		}
	}
	legend := 14 * float64((len(lines)+2)/3)
	left, right, top, low := 62.0, width-edge, 30.0, height-22-legend
	step := plot.Step(most / 4)
	upper := max(1, math.Ceil(most/step)) * step
	x := func(at float64) float64 {
		return left + (right-left)*(at-float64(over.from.Unix()))/over.to.Sub(over.from).Seconds()
	}
	y := func(v float64) float64 { return low - (low-top)*v/upper }
	for v := 0.0; v <= upper*1.001; v += step {
		say(`<path d="M%.0f %.1fH%.0f" stroke="#ddd"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text>`, left, y(v), right, left-4, y(v)+4, written(v, unit))
	}
	for i := range 4 {
		at := over.from.Add(over.to.Sub(over.from) * time.Duration(2*i+1) / 8)
		say(`<text x="%.0f" y="%.0f" text-anchor="middle" fill="#555">%s</text>`, x(float64(at.Unix())), low+14, at.UTC().Format("15:04"))
	}
	for i, line := range lines {
		colour, path, last := plot.Colours[i%len(plot.Colours)], "", math.Inf(-1)
		for _, at := range line.points {
			letter := "L"
			if at.at-last > 1.5*over.step.Seconds() {
				letter = "M"
			}
			path += fmt.Sprintf("%s%.1f %.1f", letter, x(at.at), y(at.value))
			last = at.at
		}
		say(`<path d="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-linecap="round"/>`, path, colour)
		say(`<text x="%.0f" y="%.0f" fill="%s">%s</text>`, left+float64(i%3)*(right-left)/3, low+28+14*float64(i/3), colour, html.EscapeString(line.name))
	}
}

// written is a value in one of Grafana's units.
func written(v float64, unit string) string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	switch {
	case unit == "percentunit":
		return number(v*100) + " %"
	case unit == "s" && v != 0 && v < 0.0995:
		return number(v*1000) + " ms"
	case unit == "s":
		return number(v) + " s"
	case unit == "bytes":
		return number(v/(1<<20)) + " MiB"
	case v >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return number(v)
}

var labelled = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// named fills a legend in with a series' labels, which are written as JSON.
func named(legend, labels string) string {
	var of map[string]string
	if json.Unmarshal([]byte(labels), &of) != nil {
		return legend
	}
	return labelled.ReplaceAllStringFunc(legend, func(label string) string { return of[labelled.FindStringSubmatch(label)[1]] })
}

// ask asks Prometheus, by its HTTP API's query_range. A series' name is its labels, as JSON.
func ask(prometheus, query string, over span) (lines []series, err error) {
	resp, err := http.Get(prometheus + "/api/v1/query_range?" + url.Values{
		"query": {query}, "step": {strconv.FormatFloat(over.step.Seconds(), 'f', 3, 64)},
		"start": {strconv.FormatInt(over.from.Unix(), 10)}, "end": {strconv.FormatInt(over.to.Unix(), 10)},
	}.Encode())
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric json.RawMessage
				Values [][2]any
			}
		}
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if answer.Status != "success" {
		err = errors.Join(errors.New(cmp.Or(answer.Error, resp.Status)), err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", query, err)
	}
	for _, r := range answer.Data.Result {
		line := series{name: string(r.Metric)}
		for _, v := range r.Values {
			at, _ := v[0].(float64)
			text, _ := v[1].(string)
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", query, err)
			}
			if !math.IsNaN(value) && !math.IsInf(value, 0) {
				line.points = append(line.points, point{at, value})
			}
		}
		if len(line.points) > 0 {
			lines = append(lines, line)
		}
	}
	return lines, nil
}
