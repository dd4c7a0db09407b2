package metrics

import (
	"encoding/json"
	"os"
	"testing"
)

// The dashboard's panels have places and IDs of their own, a unit, and a legend for each
// query: what Grafana takes without a word, and shows wrongly.
func TestTheDashboardIsLaidOut(t *testing.T) {
	type place struct{ X, Y, W, H int }
	var board struct {
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     place
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ RefID, Expr, LegendFormat string }
		}
	}
	text, err := os.ReadFile("../docker/grafana/parley.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	const columns = 24
	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("%q: ID %d is another panel's, or it has no title", p.Title, p.ID)
		}
		ids[p.ID] = true
		at := p.GridPos
		if at.W < 1 || at.H < 1 || at.X < 0 || at.X+at.W > columns {
			t.Errorf("%q is placed at %+v", p.Title, at)
		}
		for x := at.X; x < at.X+at.W; x++ {
			for y := at.Y; y < at.Y+at.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%q is over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		refs := map[string]bool{}
		if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("%q asks nothing, or has no unit", p.Title)
		}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Expr == "" || target.LegendFormat == "" {
				t.Errorf("%q: query %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
	}
	if len(board.Panels) < 30 {
		t.Errorf("%d panels", len(board.Panels))
	}
}
