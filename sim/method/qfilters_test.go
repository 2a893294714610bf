package method

import (
	"math"
	"slices"
	"testing"
)

// TestMainDirection against power iteration on the rows themselves, with more rows than channels and with fewer,
// most of them on one side or on the other.
func TestMainDirection(t *testing.T) {
	const dim = 6
	for _, n := range []int{1, 3, 40} {
		for _, shift := range []float32{0.7, -0.7} {
			r := stream(3, n, 0, 0)
			rows := make([]float32, n*dim)
			for i := range rows {
				rows[i] = float32(r.NormFloat64())
				if i%dim < 2 { // away from the origin, and so not what centring would leave
					rows[i] += 4 * shift
				}
			}
			want := []float64{1, 1, 1, 1, 1, 1}
			products := make([]float64, n)
			for range 500 {
				next := make([]float64, dim)
				for i := range products {
					products[i] = 0
					for d, x := range row(rows, dim, i) {
						products[i] += float64(x) * want[d]
					}
					for d, x := range row(rows, dim, i) {
						next[d] += float64(x) * products[i]
					}
				}
				var long float64
				for _, x := range next {
					long += x * x
				}
				for d := range next {
					want[d] = next[d] / math.Sqrt(long)
				}
			}
			positive := 0
			for _, p := range products {
				if p > 0 {
					positive++
				}
			}
			sign := 1.0
			if 2*positive < n {
				sign = -1
			}
			for d, x := range mainDirection(rows, dim) {
				if math.Abs(x-sign*want[d]) > 1e-6 {
					t.Errorf("%d rows, shift %g, channel %d: %g, want %g", n, shift, d, x, sign*want[d])
				}
			}
		}
	}
}

// TestMainDirectionBySign: most rows decide, not their length; where they are even, the sum does.
func TestMainDirectionBySign(t *testing.T) {
	tests := []struct {
		rows []float32
		want float64
	}{
		{[]float32{9, 0, -1, 0, -2, 0}, -1},
		{[]float32{-9, 0, 1, 0, 2, 0}, 1},
		{[]float32{5, 0, -1, 0}, 1},
		{[]float32{1, 0, -5, 0}, -1},
		{nil, 0},
	}
	for _, tt := range tests {
		if got := mainDirection(tt.rows, 2); math.Abs(got[0]-tt.want) > 1e-12 || math.Abs(got[1]) > 1e-12 {
			t.Errorf("%v: %v, want %g along the first channel", tt.rows, got, tt.want)
		}
	}
}

// TestQFilters by hand: the queries of a head lie along x, of which its group makes the filter.
func TestQFilters(t *testing.T) {
	keys := [][]float32{{3, -9}, {-1, 5}, {2, 7}, {-4, 0}, {0, 1}}
	v := rowsView(keys, times([]float32{1}, 5))
	along := func(x, y float32) []float32 { return slices.Concat(times([]float32{x, y}, 5)...) }
	tests := []struct {
		spec  string
		group [][]float32 // the queries of each query head
		want  []int32
	}{
		{"qfilters:budget=2", [][]float32{along(2, 0)}, []int32{0, 2}},
		{"qfilters:budget=2", [][]float32{along(-2, 0)}, []int32{1, 3}},
		{"qfilters:budget=2,recent=1", [][]float32{along(2, 0)}, []int32{0, 4}},
		{"qfilters:budget=2", [][]float32{along(2, 0), along(0, 900)}, []int32{1, 2}}, // each head's direction counts once
	}
	for _, tt := range tests {
		v.Q = [][][]float32{tt.group}
		if got := decided(t, tt.spec, v); !slices.Equal(got.Keep[0], tt.want) || got.MetaPerStore != 8 || got.Weights != 0 {
			t.Errorf("%s: %v and %d bytes, want %v and 8", tt.spec, got.Keep[0], got.MetaPerStore, tt.want)
		}
	}
}

// TestFilterOfLayersThatShare is the mean over all of their heads.
func TestFilterOfLayersThatShare(t *testing.T) {
	v := rowsView([][]float32{{1, 0}, {0, 1}}, times([]float32{1}, 2))
	v.Layers = []int{0, 1}
	v.Q = [][][]float32{{{1, 0, 1, 0}}, {{0, 3, 0, 3}}}
	d, err := qFilters{}.fitMap(Cell{}, v)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Learned.([][]float32); len(got) != 1 || !slices.Equal(got[0], []float32{0.5, 0.5}) || d.Weights != 8 {
		t.Errorf("filters %v of %d bytes, want one of [0.5 0.5] and 8", got, d.Weights)
	}
}
