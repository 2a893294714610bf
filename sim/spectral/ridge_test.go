package spectral

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
)

// TestRidge holds fits against gonum's, of widths around a panel.
func TestRidge(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range []struct{ n, p, q int }{{1, 1, 1}, {3, 7, 2}, {50, 31, 40}, {90, 32, 1}, {64, 33, 5}, {200, 100, 70}} {
		x, y := mat.NewDense(s.n, s.p, nil), mat.NewDense(s.n, s.q, nil)
		for _, m := range []*mat.Dense{x, y} {
			m.Apply(func(_, _ int, _ float64) float64 { return r.NormFloat64() }, m)
		}
		got, err := Ridge(Matrix(x), Matrix(y), 0.01)
		if err != nil {
			t.Fatal(err)
		}
		var gram, rhs, want mat.Dense
		gram.Mul(x.T(), x)
		rhs.Mul(x.T(), y)
		ridge := 0.01 * mat.Trace(&gram) / float64(s.p)
		for i := range s.p {
			gram.Set(i, i, gram.At(i, i)+ridge)
		}
		if err := want.Solve(&gram, &rhs); err != nil {
			t.Fatal(err)
		}
		for i := range s.p {
			for j, a := range got.Row(i) {
				if !(math.Abs(a-want.At(i, j)) <= 1e-11) {
					t.Fatalf("%+v: element %d, %d is %g, want %g", s, i, j, a, want.At(i, j))
				}
			}
		}
	}
}

// TestRidgeOfNothing: zeros are fitted by zeros, and what is not finite is not fitted.
func TestRidgeOfNothing(t *testing.T) {
	y := kernel.NewMatrix64(3, 2)
	y.Row(1)[1] = 1
	if a, err := Ridge(kernel.NewMatrix64(3, 4), y, 0.01); err != nil || a.Rows != 4 || norm(a.Data) != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, bad := range []float64{math.NaN(), 1e200} {
		x := kernel.NewMatrix64(3, 4)
		x.Row(2)[2] = bad
		if _, err := Ridge(x, y, 0.01); err == nil {
			t.Errorf("a fit on %g", bad)
		}
	}
}
