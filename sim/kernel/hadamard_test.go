package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestHadamard: its own inverse, products kept, and the two-dimensional case by hand.
func TestHadamard(t *testing.T) {
	x := []float32{3, 1}
	if (&Hadamard{Block: 2}).Transform(x); math.Abs(float64(x[0])-4/math.Sqrt2) > 1e-6 || math.Abs(float64(x[1])-math.Sqrt2) > 1e-6 {
		t.Errorf("3, 1 turned to %v", x)
	}
	rapid.Check(t, func(t *rapid.T) {
		block := 1 << rapid.IntRange(0, 8).Draw(t, "log block")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		h := Hadamard{Block: block}
		if rapid.Bool().Draw(t, "signs") {
			for range block {
				h.Signs = append(h.Signs, float32(2*r.IntN(2)-1))
			}
		}
		a, b := make([]float32, 3*block), make([]float32, 3*block)
		for i := range a {
			a[i], b[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
		}
		was, product := slices.Clone(a), dot(a, b)
		h.Transform(a)
		h.Transform(b)
		if got := dot(a, b); math.Abs(float64(got-product)) > 1e-5*float64(3*block) {
			t.Fatalf("block %d: product %g, was %g", block, got, product)
		}
		h.Inverse(a)
		for i := range a {
			if math.Abs(float64(a[i]-was[i])) > 1e-5 {
				t.Fatalf("block %d: %g came back as %g", block, was[i], a[i])
			}
		}
	})
}

// TestRotationOfOutliers: of 128 normal channels one is set to +-A. Rotation helps q4_0 where that is moderate
// and hurts where it is extreme: squared errors per row as simulated over 200 rows.
func TestHadamardOfOutliers(t *testing.T) {
	const dim, rows = 128, 2000
	r := rand.New(rand.NewPCG(5, 6))
	for _, tt := range []struct{ size, off, on float64 }{{0, 0.93, 0.94}, {10, 4.7, 1.5}, {30, 26, 3.9}, {100, 32, 23}, {300, 32, 272}} {
		var got [2]float64
		for range rows {
			row := make([]float32, dim)
			for c := range row {
				row[c] = float32(r.NormFloat64())
			}
			if tt.size > 0 {
				row[r.IntN(dim)] = float32(tt.size * float64(2*r.IntN(2)-1))
			}
			for i := range got {
				x, h := slices.Clone(row), Hadamard{Block: dim}
				if i == 1 {
					h.Transform(x)
				}
				_, _, _, values := stored(t, Q4(), x)
				if i == 1 {
					h.Inverse(values)
				}
				for c := range row {
					got[i] += float64(row[c]-values[c]) * float64(row[c]-values[c]) / rows
				}
			}
		}
		if math.Abs(got[0]-tt.off) > 0.08*tt.off || math.Abs(got[1]-tt.on) > 0.08*tt.on {
			t.Errorf("outlier %g: squared error %.3g off, %.3g on, want %g and %g", tt.size, got[0], got[1], tt.off, tt.on)
		}
	}
}
