package plot

import "testing"

func TestLinesAreAtRoundNumbers(t *testing.T) {
	for least, want := range map[float64]float64{0: 1, -3: 1, 0.03: 0.05, 1: 1, 1.1: 2, 4: 5, 6: 10, 730: 1000} {
		if got := Step(least); got != want {
			t.Errorf("from %v on it is %v, want %v", least, got, want)
		}
	}
}
