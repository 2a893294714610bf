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

// TestCodebookDistortion: the mean squared error on a normal variable that the TurboQuant paper prints for 1 to 4
// bits is 0.36, 0.117, 0.03 and 0.009 (the last two truncated). Under Lloyd's condition it is 1 less the mean square
// of the entries. For inner products with a Sketch, of a bit more, the paper prints pi/2 times that: 1.57 for the sketch
// alone, then 0.56, 0.18 and 0.047, of the truncated figures.
func TestCodebookDistortion(t *testing.T) {
	below := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	for bits, tt := range map[int]struct{ want, product, printed float64 }{1: {0.36338, 0.5708, 0.56}, 2: {0.11748, 0.1845, 0.18}, 3: {0.03455, 0.0543, 0.047}, 4: {0.00950, 0.0149, 0.0149}} {
		if bits >= len(lloydMax) || lloydMax[bits] == nil {
			continue // no method uses it
		}
		half := lloydMax[bits]
		lo, got := 0.0, 1.0
		for i, x := range half {
			hi := math.Inf(1)
			if i+1 < len(half) {
				hi = float64(x+half[i+1]) / 2
			}
			got -= 2 * (below(hi) - below(lo)) * float64(x) * float64(x)
			lo = hi
		}
		if math.Abs(got-tt.want) > 1e-5 {
			t.Errorf("%d bits: distortion %.5f, want %.5f", bits, got, tt.want)
		}
		if p := math.Pi / 2 * got; math.Abs(p-tt.product) > 5e-5 || tt.printed > p || tt.printed < 0.86*p {
			t.Errorf("%d bits and a sketch: distortion %.5f of products, want %.4f, printed %g", bits, p, tt.product, tt.printed)
		}
	}
}

// TestCodebookError compares the squared error on unit vectors of 128 channels with simulated figures.
func TestCodebookError(t *testing.T) {
	const dim, rows = 128, 4000
	r := rand.New(rand.NewPCG(3, 4))
	for bits, want := range map[int]float64{2: 0.1156, 3: 0.0340, 4: 0.00933} {
		b, row, got := Codebook(bits, dim, false), make([]float32, dim), make([]float32, dim)
		stored := Blockwise(b).Rows(dim, 1)
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
	if a, b := active.dot(row, row), active.dot(values, values); math.Abs(float64(a/b-1)) > 2e-3 {
		t.Errorf("squared norm %g, was %g", b, a)
	}
}
