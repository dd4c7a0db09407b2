// Package plot is what the pictures of the lab have in common.
package plot

import "math"

// Colours that the colour-blind tell apart (Okabe and Ito's), but for the last, grey.
var Colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555"}

// Step is the next of 1, 2, 5, 10, 20 ..., or of their parts, from least on: how far apart
// the lines of a scale are. It is 1 where there is nothing to scale.
func Step(least float64) float64 {
	if least <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= least {
			return m * power
		}
	}
	return 10 * power
}
