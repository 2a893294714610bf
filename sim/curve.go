package sim

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// seen is how many seconds something took at a length.
type seen struct {
	n       int
	seconds float64
}

// curve is seconds by length, a sum of powers with coefficients of 0 or more.
type curve struct{ constant, linear, square float64 }

// at is the seconds at a length.
func (c curve) at(n int) float64 {
	x := float64(n)
	return c.constant + c.linear*x + c.square*x*x
}

// fitCurve returns the curve nearest to what was seen, by the squares of relative distances, of powers up to the degree,
// 1 or 2. With fewer lengths than it takes it has fewer powers, the linear one first. Nothing seen gives 0.
func fitCurve(all []seen, degree int) curve {
	// Coefficients of 0 or more: the best of the plain fits of each choice of powers that comes out so.
	var best curve
	least := math.Inf(1)
	for _, powers := range [][]int{{1}, {0}, {2}, {0, 1}, {1, 2}, {0, 2}, {0, 1, 2}} {
		if powers[len(powers)-1] > degree || len(powers) > len(all) {
			continue
		}
		a, b := mat.NewDense(len(all), len(powers), nil), mat.NewVecDense(len(all), nil)
		for i, s := range all {
			weight := 1 / max(s.seconds, 1e-9)
			b.SetVec(i, weight*s.seconds)
			for k, p := range powers {
				a.Set(i, k, weight*math.Pow(float64(s.n), float64(p)))
			}
		}
		var x, rest mat.VecDense
		if x.SolveVec(a, b) != nil || mat.Min(&x) < 0 { // lengths that are all the same tell one power
			continue
		}
		rest.MulVec(a, &x)
		rest.SubVec(&rest, b)
		if d := mat.Norm(&rest, 2); d < least-1e-9 {
			least, best = d, curve{}
			for k, p := range powers {
				*[]*float64{&best.constant, &best.linear, &best.square}[p] = x.AtVec(k)
			}
		}
	}
	return best
}
