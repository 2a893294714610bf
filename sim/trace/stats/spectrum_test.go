package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-6) {
		t.Errorf("%s: %.9g, want %.9g", what, got, want)
	}
}

// TestSpectraOfFewDirections: keys alternate between two directions of energy 4 and 1, values keep to a
// third one with a sign that no key follows, so that every Gram matrix is diagonal.
func TestSpectraOfFewDirections(t *testing.T) {
	tr := handmade(64, 1, func(_ int, kind string, i int) [4]float32 {
		switch {
		case kind == "v":
			return [4]float32{0, 0, float32(1 - i%4/2*2), 0}
		case i%2 == 0:
			return [4]float32{2}
		}
		return [4]float32{0, 1}
	})
	s := statsOf(t, tr, Options{Unbalanced: true})
	spectra := s.Layers[1].Spectra
	tests := []struct {
		name           string
		s              *Spectrum
		dims90, dims99 float64
		ranks          []int
		energy         []float64
	}{
		{"K", spectra.KeyPost, 2, 2, []int{1, 2, 4}, []float64{0.8, 1, 1}},
		{"V", spectra.Value, 1, 1, []int{1, 2, 4}, []float64{1, 1, 1}},
		{"unbalanced", spectra.JointPostUnbalanced, 3, 3, []int{1, 2, 4, 8}, []float64{4. / 7, 6. / 7, 1, 1}},
		// The columns of K have norms 2, 1, 0 and 0 times those of half the tokens: rho is 3/sqrt(2).
		{"balanced", spectra.JointPost, 2, 3, []int{1, 2, 4, 8}, []float64{9. / 14, 13. / 14, 1, 1}},
		{"mean", s.Mean.Spectra.KeyPost, 2, 2, []int{1, 2, 4}, []float64{0.8, 1, 1}},
	}
	for _, tt := range tests {
		if tt.s == nil {
			t.Fatalf("%s: none", tt.name)
		}
		near(t, tt.name+" 90", tt.s.Dims90, tt.dims90)
		near(t, tt.name+" 99", tt.s.Dims99, tt.dims99)
		if !slices.Equal(tt.s.Ranks, tt.ranks) {
			t.Fatalf("%s: ranks %v, want %v", tt.name, tt.s.Ranks, tt.ranks)
		}
		for i, e := range tt.s.Energy {
			near(t, tt.name, e, tt.energy[i])
		}
	}
	if spectra.KeyPre != nil || spectra.JointPre != nil || spectra.JointPreUnbalanced != nil {
		t.Error("a spectrum before a rotary embedding that there is not")
	}
}

// TestSpectraUndoRotation: one key at all positions is one direction before the embedding, four after it.
func TestSpectraUndoRotation(t *testing.T) {
	rope := kernel.Rope{InvFreq: []float64{1, 0.3}}
	tr := handmade(512, 1, func(_ int, kind string, i int) [4]float32 {
		x := [4]float32{1, 2, 3, 4}
		if kind == "k" {
			rope.Rotate(x[:], float64(i+5))
		}
		return x
	})
	tr.Attention[0].Rope, tr.PositionOffset = trace.Rope{Style: "neox", Dims: 4, InvFreq: rope.InvFreq}, 5
	if u := statsOf(t, tr, Options{}).Layers[0].Spectra; u.JointPostUnbalanced != nil || u.JointPreUnbalanced != nil {
		t.Errorf("unbalanced, though not asked for: %+v", u)
	}
	s := statsOf(t, tr, Options{}).Layers[0].Spectra
	near(t, "before", s.KeyPre.Dims99, 1)
	near(t, "after", s.KeyPost.Dims99, 4)
	near(t, "values", s.Value.Dims99, 1)
	near(t, "both before", s.JointPre.Dims99, 1)
	near(t, "both after", s.JointPost.Dims99, 5)
}

// TestSpectraOfZeros: rows without energy have no spectrum, and do not spoil the joint one.
func TestSpectraOfZeros(t *testing.T) {
	tr := handmade(8, 1, func(_ int, kind string, i int) [4]float32 {
		if kind == "k" {
			return [4]float32{}
		}
		return [4]float32{0, 1}
	})
	f := statsOf(t, tr, Options{}).Mean
	if f.Spectra.KeyPost != nil || f.KeyDims != 0 {
		t.Errorf("keys of zeros: %+v, %g dims", f.Spectra.KeyPost, f.KeyDims)
	}
	near(t, "both", f.Spectra.JointPost.Dims99, 1)
}

// TestSpectraAgreeWithSVD holds the spectra against singular values of the rows: of fewer rows than channels, of as many
// as one of keys and values has but not the other or not both, and of more rows than a packed panel.
func TestSpectraAgreeWithSVD(t *testing.T) {
	for _, widths := range [][2]int{{70, 70}, {70, 33}, {24, 70}} {
		for _, rows := range []int{1, 30, 50, 70, 100, 103, 140, 3000} {
			agreeWithSVD(t, rows, widths[0], widths[1])
		}
	}
}

// agreeWithSVD does so for keys and values of some widths.
func agreeWithSVD(t *testing.T, rows, keyWidth, valueWidth int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(width int, fall, size float64) *mat.Dense {
		x := mat.NewDense(rows, width, nil)
		for i := range rows {
			for c := range width {
				x.Set(i, c, size*(rng.NormFloat64()*math.Exp(-fall*float64(c))+0.1))
			}
		}
		return x
	}
	v, k, pre := draw(valueWidth, 0.2, 1), draw(keyWidth, 0.1, 5), draw(keyWidth, 0.3, 7)
	var grams []rowGrams
	for _, x := range []*mat.Dense{v, k, pre} {
		grams = append(grams, gramsOf(x, k, v))
	}
	s, err := measureSpectra(grams, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	joint := func(k *mat.Dense, balanced bool) *mat.Dense {
		var scaled, x mat.Dense
		rho := 1.0
		if balanced {
			rho = columnNorm(k) / columnNorm(v)
		}
		scaled.Scale(1/rho, k)
		x.Augment(&scaled, v)
		return &x
	}
	agrees(t, s.Value, v)
	agrees(t, s.KeyPost, k)
	agrees(t, s.KeyPre, pre)
	agrees(t, s.JointPost, joint(k, true))
	agrees(t, s.JointPre, joint(pre, true))
	agrees(t, s.JointPostUnbalanced, joint(k, false))
	agrees(t, s.JointPreUnbalanced, joint(pre, false))
}

// columnNorm is the mean norm of columns.
func columnNorm(x *mat.Dense) float64 {
	var total float64
	_, width := x.Dims()
	for c := range width {
		total += mat.Norm(x.ColView(c), 2) / float64(width)
	}
	return total
}

// agrees holds a spectrum against the singular values of the rows.
func agrees(t *testing.T, s *Spectrum, x *mat.Dense) {
	t.Helper()
	var svd mat.SVD
	if !svd.Factorize(x, mat.SVDNone) {
		t.Fatal("no decomposition")
	}
	values := svd.Values(nil)
	var total float64
	for i, v := range values {
		values[i] = v * v
		total += v * v
	}
	_, width := x.Dims()
	if s.Ranks[len(s.Ranks)-1] != width {
		t.Errorf("the last of the ranks %d is not the width %d", s.Ranks, width)
	}
	for i, r := range s.Ranks {
		near(t, "energy", s.Energy[i], sum(values[:min(r, len(values))])/total)
	}
	d := int(s.Dims99)
	if sum(values[:d]) < 0.99*total || sum(values[:d-1]) >= 0.99*total {
		t.Errorf("99 %% in %d directions: %g, in one less: %g", d, sum(values[:d])/total, sum(values[:d-1])/total)
	}
}
