package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// awkward are values that rounding may go wrong at: halves and their neighbours, zeros, what is beyond all codes.
func awkward() (xs []float32) {
	zero, inf := float32(0), float32(math.Inf(1))
	xs = []float32{zero, -zero, minusZero, math.SmallestNonzeroFloat32, 1e-30, math.MaxFloat32, inf, 1 << 24, 1e9}
	for i := range 4 * 300 {
		x := float32(i) / 4
		xs = append(xs, x, math.Nextafter32(x, -inf), math.Nextafter32(x, inf))
	}
	for e := -20; e < 18; e++ { // what minifloats have in the middle, and beside it
		for m := range 64 {
			x := float32(math.Ldexp(1+float64(m)/64, e))
			xs = append(xs, x, math.Nextafter32(x, 0), math.Nextafter32(x, inf))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		xs = append(xs, float32(r.NormFloat64()*math.Exp(4*r.NormFloat64())))
	}
	for _, x := range slices.Clone(xs) {
		xs = append(xs, -x)
	}
	return xs
}

// TestRounding holds the codes of every path against the definitions, in float64.
func TestRounding(t *testing.T) {
	whole := func(round func(float64) float64, least, most float64) func(x float32) byte {
		return func(x float32) byte { return byte(int(round(max(least, min(most, float64(x)))))) }
	}
	reached := func(x float32, steps []float32) (c byte) {
		for _, s := range steps {
			if x >= s {
				c++
			}
		}
		return c
	}
	sign := func(x float32) byte { return byte(math.Float32bits(x) >> 31) }
	nearest := func(m minifloat) func(x float32) byte {
		return func(x float32) byte {
			table := m.table()
			size := min(math.Abs(float64(x)), 2*float64(table[m.most]))
			best := byte(0)
			for c := range int(m.most) + 1 {
				// Of two that are as near the even one.
				far, least := math.Abs(size-float64(table[c])), math.Abs(size-float64(table[best]))
				if far < least || far == least && c%2 == 0 {
					best = byte(c)
				}
			}
			return best | sign(x)<<7
		}
	}
	middles := middles(iq4NL)
	tests := []struct {
		name string
		rounding
		want func(x float32) byte
	}{
		{"even", rounding{least: -127, most: 127}, whole(math.RoundToEven, -127, 127)},
		{"even, no sign", rounding{most: 255}, whole(math.RoundToEven, 0, 255)},
		{"away", rounding{how: roundAway, least: -127, most: 127}, whole(math.Round, -127, 127)},
		{"down", rounding{how: roundDown, zero: 8, half: 0.5, most: 15}, func(x float32) byte { return byte(max(0, min(15, x+8+0.5))) }},
		{"cut", rounding{how: roundDown, least: -127, most: 127}, whole(math.Trunc, -127, 127)},
		{"steps", rounding{how: roundSteps, steps: stepsOf(middles...)}, func(x float32) byte { return reached(x, middles) }},
		{"few steps", rounding{how: roundSteps, steps: stepsOf(-1, 0, 2)}, func(x float32) byte { return reached(x, []float32{-1, 0, 2}) }},
		{"signed", rounding{how: roundSigned, steps: e2m1Even}, func(x float32) byte { return e2m1.round(x) }},
		{"no minus zero", rounding{how: roundUnsigned, steps: e2m1Steps}, func(x float32) byte {
			return reached(max(x, -x), e2m1Steps[:7]) | sign(x+0)<<3
		}},
		{"e4m3", rounding{how: roundFloat, float: e4m3}, nearest(e4m3)},
		{"e5m2", rounding{how: roundFloat, float: e5m2}, nearest(e5m2)},
	}
	xs := awkward()
	want := make([][]byte, len(tests))
	for i, tt := range tests {
		for _, x := range xs {
			want[i] = append(want[i], tt.want(x))
		}
	}
	eachPath(t, func(t *testing.T) {
		for i, tt := range tests {
			for _, n := range []int{1, 7, 15, 16, 17, 31, 32, 33, 48, len(xs)} {
				for lo := 0; lo+n <= len(xs); lo += n {
					got := slices.Repeat([]byte{0xaa}, n+1)
					if tt.codes(got, xs[lo:lo+n]); got[n] != 0xaa {
						t.Fatalf("%s: %d codes of %d values", tt.name, n+1, n)
					}
					for c := range n {
						if got[c] != want[i][lo+c] {
							t.Fatalf("%s of %g, %d of %d: %d, want %d", tt.name, xs[lo+c], c, n, got[c], want[i][lo+c])
						}
					}
				}
			}
		}
	})
}

// TestExtent: minus zero is below zero, and what is not finite is told.
func TestExtent(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	eachPath(t, func(t *testing.T) {
		for _, tt := range []struct {
			of                [3]float32
			least, most, amax float32
			finite            bool
		}{
			{[3]float32{1, 3, 2}, 1, 3, 3, true},
			{[3]float32{-1, -3, -2}, -3, -1, 3, true},
			{[3]float32{-4, 3, 0}, -4, 3, 4, true},
			{[3]float32{0, minusZero, 0}, minusZero, 0, 0, true},
			{[3]float32{minusZero, minusZero, minusZero}, minusZero, minusZero, 0, true},
			{[3]float32{-math.MaxFloat32, 1, math.MaxFloat32}, -math.MaxFloat32, math.MaxFloat32, math.MaxFloat32, true},
			{[3]float32{1, inf, 2}, 1, inf, inf, false},
			{[3]float32{1, -inf, 2}, -inf, 2, inf, false},
			{[3]float32{1, nan, 2}, 0, 0, 0, false},
			{[3]float32{1, -nan, 2}, 0, 0, 0, false},
		} {
			for _, n := range []int{3, 16, 17, 32, 63} {
				for at := range n - 2 {
					xs := slices.Repeat(tt.of[:1], n)
					copy(xs[at:], tt.of[:])
					least, most, finite := extent(xs, 1)
					if finite != tt.finite || finiteRow(xs) != finite {
						t.Fatalf("%v at %d of %d: finite: %v", tt.of, at, n, finite)
					}
					if amax := Amax(xs); amax == amax && (!same(least, tt.least) || !same(most, tt.most) || amax != tt.amax) {
						t.Fatalf("%v at %d of %d: %g to %g, at most %g", tt.of, at, n, least, most, amax)
					}
				}
			}
		}
	})
}

// same tells the zeros apart.
func same(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

// TestSize holds what brings values to the size of codes against one operation after the other.
func TestSize(t *testing.T) {
	xs := awkward()
	eachPath(t, func(t *testing.T) {
		for _, n := range []int{5, 16, 32, len(xs)} {
			for _, b := range []Blocks{{inverse: true}, {}} {
				got := make([]float32, n)
				b.size(got, xs[:n], 0.3, -1.1, 0)
				for i, x := range xs[:n] {
					want := (x + 1.1) / 0.3
					if b.inverse {
						want = (x + 1.1) * (1 / float32(0.3))
					}
					if got[i] != want {
						t.Fatalf("%g, inverse %v: %g, want %g", x, b.inverse, got[i], want)
					}
				}
			}
		}
	})
}

// TestPutCodes packs rows of every length as single codes are.
func TestPutCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, bits := range []int{2, 3, 4, 5, 8} {
		for dim := 1; dim < 100; dim++ {
			for _, width := range []int{16, 32, 64, dim} {
				codes := make([]byte, dim)
				for i := range codes {
					codes[i] = byte(r.IntN(1 << bits))
				}
				got, want := make([]byte, codeBytes(bits, dim)), make([]byte, codeBytes(bits, dim))
				for lo := 0; lo < dim; lo += width {
					putCodes(got, bits, lo, dim, codes[lo:min(lo+width, dim)])
				}
				for i, c := range codes {
					putCode(want, bits, i, dim, c)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%d codes of %d bits, %d at a time: %x, want %x", dim, bits, width, got, want)
				}
			}
		}
	}
}

// TestHadamardPaths: all paths add in the same order.
func TestHadamardPaths(t *testing.T) {
	xs := make([]float32, 1024)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range xs {
		xs[i] = float32(r.NormFloat64())
	}
	want := map[int][]float32{}
	before := active
	use(&generic)
	for n := 1; n <= len(xs); n *= 2 {
		want[n] = slices.Clone(xs[:n])
		hadamard(want[n])
	}
	use(before)
	eachPath(t, func(t *testing.T) {
		for n, w := range want {
			got := slices.Clone(xs[:n])
			if hadamard(got); !slices.Equal(got, w) {
				t.Errorf("%d channels differ: %s", n, fmt.Sprint(got[:min(n, 8)], w[:min(n, 8)]))
			}
		}
	})
}
