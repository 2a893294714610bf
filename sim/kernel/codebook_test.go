package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestCodebooks: each entry is the mean of a normal variable over what is nearest to it (Lloyd's condition).
func TestCodebooks(t *testing.T) {
	density := func(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
	below := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	for bits, half := range lloydMax {
		lo := 0.0
		for i, x := range half {
			hi := math.Inf(1)
			if i+1 < len(half) {
				hi = float64(x+half[i+1]) / 2
			}
			if mean := (density(lo) - density(hi)) / (below(hi) - below(lo)); math.Abs(mean-float64(x)) > 2e-6 {
				t.Errorf("%d bits: entry %g, mean %g", bits, x, mean)
			}
			lo = hi
		}
	}
}

// TestCodebookError compares the squared error on unit vectors of 128 channels with simulated figures.
func TestCodebookError(t *testing.T) {
	const dim, rows = 128, 4000
	r := rand.New(rand.NewPCG(3, 4))
	for bits, want := range map[int]float64{2: 0.1156, 3: 0.0340, 4: 0.00933} {
		b, row, got := Codebook(bits, dim, false), make([]float32, dim), make([]float32, dim)
		stored := Packed(b).Rows(dim, 1)
		stored.Append(row)
		var sum float64
		for range rows {
			var norm float64
			for c := range row {
				row[c] = float32(r.NormFloat64())
				norm += float64(row[c]) * float64(row[c])
			}
			for c := range row {
				row[c] /= float32(math.Sqrt(norm))
			}
			stored.Set(0, row)
			stored.Row(0, got)
			for c, x := range row {
				sum += float64(x-got[c]) * float64(x-got[c])
			}
		}
		if mse := sum / rows; math.Abs(mse-want) > 0.01*want {
			t.Errorf("%d bits: squared error %g, want %g", bits, mse, want)
		}
	}
}

// TestCodebookKeepsNorm: with the correction a row has the length that it had.
func TestCodebookKeepsNorm(t *testing.T) {
	row := ramp(64, -1, 0.05)
	_, _, _, values := stored(t, Codebook(3, 64, true), row)
	if a, b := Dot(row, row), Dot(values, values); math.Abs(float64(a/b-1)) > 2e-3 {
		t.Errorf("squared norm %g, was %g", b, a)
	}
}
