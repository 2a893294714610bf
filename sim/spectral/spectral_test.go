package spectral

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"

	"kvgauge/sim/kernel"
)

// check holds values and vectors of a matrix against their definition and against gonum's solver.
func check(t interface{ Fatalf(string, ...any) }, a *mat.SymDense, k int) {
	n := a.SymmetricDim()
	bound := 1e-14 * float64(n+10)
	_, exponent := math.Frexp(mat.Max(a) - mat.Min(a)) // gonum panics over a small one
	var of mat.SymDense
	of.ScaleSym(1, a)
	for i := range n {
		for j := i; j < n; j++ {
			of.SetSym(i, j, math.Ldexp(a.At(i, j), -exponent))
		}
	}
	var eigen mat.EigenSym
	if !eigen.Factorize(&of, false) {
		t.Fatalf("gonum finds no values")
	}
	want := eigen.Values(nil)
	for i, x := range want {
		want[i] = math.Ldexp(x, exponent)
	}
	size := max(math.Abs(want[0]), math.Abs(want[n-1]))
	values, err := Values(symmetric(a))
	if err != nil || len(values) != n {
		t.Fatalf("%d values: %v", len(values), err)
	}
	leading, vectors, err := Leading(symmetric(a), k)
	if err != nil || len(leading) != k || vectors.Rows != n || vectors.Cols != k {
		t.Fatalf("%d values, vectors %d x %d: %v", len(leading), vectors.Rows, vectors.Cols, err)
	}
	for i, x := range values {
		if !(math.Abs(x-want[n-1-i]) <= bound*size) || i < k && leading[i] != x {
			t.Fatalf("value %d of %d is %g, want %g, off by %g of the norm", i, n, x, want[n-1-i], math.Abs(x-want[n-1-i])/size)
		}
	}
	if k == 0 {
		return
	}
	u := Dense(vectors)
	var residual, gram mat.Dense
	residual.Mul(a, u)
	gram.Mul(u.T(), u)
	for j := range k {
		for i := range n {
			if r := residual.At(i, j) - leading[j]*u.At(i, j); !(math.Abs(r) <= bound*size) {
				t.Fatalf("width %d: residual of vector %d is %g of the norm", n, j, r/size)
			}
		}
		for i := range k {
			one := 0.0
			if i == j {
				one = 1
			}
			if !(math.Abs(gram.At(i, j)-one) <= bound) {
				t.Fatalf("width %d: vectors %d and %d have the product %g", n, i, j, gram.At(i, j))
			}
		}
	}
}

// symmetric copies the upper triangle.
func symmetric(a *mat.SymDense) Symmetric {
	s := NewSymmetric(a.SymmetricDim())
	for i := range s.N {
		row := s.Upper(i)
		for c := range row {
			row[c] = a.At(i, i+c)
		}
	}
	return s
}

// withValues returns a matrix of random directions that has the values.
func withValues(r *rand.Rand, values []float64) *mat.SymDense {
	n := len(values)
	x := mat.NewDense(n, n, nil)
	for i := range n {
		for j := range n {
			x.Set(i, j, r.NormFloat64())
		}
	}
	var qr mat.QR
	qr.Factorize(x)
	var q, scaled, a mat.Dense
	qr.QTo(&q)
	scaled.Apply(func(_, j int, x float64) float64 { return x * values[j] }, &q)
	a.Mul(&scaled, q.T())
	s := mat.NewSymDense(n, nil)
	for i := range n {
		for j := i; j < n; j++ {
			s.SetSym(i, j, (a.At(i, j)+a.At(j, i))/2)
		}
	}
	return s
}

// spectra are the kinds of eigenvalues, of which value i of n is given.
var spectra = map[string]func(r *rand.Rand, i, n int) float64{
	"random":       func(r *rand.Rand, _, _ int) float64 { return r.NormFloat64() },
	"positive":     func(r *rand.Rand, _, _ int) float64 { x := r.NormFloat64(); return x * x },
	"graded":       func(_ *rand.Rand, i, n int) float64 { return math.Pow(10, -20*float64(i)/float64(n)) },
	"two clusters": func(r *rand.Rand, i, _ int) float64 { return float64(1+i%2) + 1e-12*r.Float64() },
	"close":        func(r *rand.Rand, i, _ int) float64 { return 1 + 1e-8*float64(i) },
	"closer":       func(r *rand.Rand, i, _ int) float64 { return 1 + 2e-10*float64(i) },
	"barely apart": func(r *rand.Rand, i, _ int) float64 { return 1 - 1.5e-9*float64(i) },
	"identical":    func(*rand.Rand, int, int) float64 { return 3 },
	"low rank":     func(r *rand.Rand, i, n int) float64 { return max(0, float64(n/3-i)) },
	"one":          func(r *rand.Rand, i, n int) float64 { return float64(min(1, i) ^ 1) },
	"zero":         func(*rand.Rand, int, int) float64 { return 0 },
	"huge":         func(r *rand.Rand, _, _ int) float64 { return 1e300 * r.Float64() },
	"tiny":         func(r *rand.Rand, _, _ int) float64 { return 1e-300 * r.Float64() },
}

func TestSpectra(t *testing.T) {
	widths := []int{1, 2, 3, 8, 9, 31, 32, 33, 64, 70, 150}
	if long() {
		widths = append(widths, 400, 701)
	}
	for name, spectrum := range spectra {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, n := range widths {
				values := make([]float64, n)
				for i := range values {
					values[i] = spectrum(r, i, n)
				}
				for _, k := range []int{1, (n + 1) / 2, n} {
					check(t, withValues(r, values), k)
				}
			}
		})
	}
}

// TestStructured covers matrices that are tridiagonal, or fall apart, as they are.
func TestStructured(t *testing.T) {
	for name, at := range map[string]func(i, j, n int) float64{
		"identity":  func(i, j, _ int) float64 { return float64(min(1, j-i) ^ 1) },
		"diagonal":  func(i, j, n int) float64 { return float64((min(1, j-i) ^ 1) * (i % 5)) },
		"ones":      func(i, j, _ int) float64 { return 1 },
		"Toeplitz":  func(i, j, _ int) float64 { return max(0, float64(2-3*(j-i))) },
		"Wilkinson": func(i, j, n int) float64 { return map[int]float64{0: math.Abs(float64(i - n/2)), 1: 1}[j-i] },
		"glued Wilkinson": func(i, j, _ int) float64 {
			if j-i == 1 && j%21 == 0 {
				return 1e-9
			}
			return map[int]float64{0: math.Abs(float64(i%21 - 10)), 1: 1}[j-i]
		},
		"blocks":  func(i, j, _ int) float64 { return map[bool]float64{true: 1 / float64(1+j%10+i%10)}[i/10 == j/10] },
		"Hilbert": func(i, j, _ int) float64 { return 1 / float64(1+i+j) },
		"swaps":   func(i, j, _ int) float64 { return map[bool]float64{true: 1}[j == i+1 && i%2 == 0] },
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 2, 21, 84, 105, 130} {
				a := mat.NewSymDense(n, nil)
				for i := range n {
					for j := i; j < n; j++ {
						a.SetSym(i, j, at(i, j, n))
					}
				}
				check(t, a, n)
				check(t, a, (n+2)/3)
			}
		})
	}
}

// TestAnySymmetric draws matrices of few different numbers, of any size.
func TestAnySymmetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 45).Draw(t, "width")
		number := rapid.OneOf(rapid.Just(0.), rapid.Just(1.), rapid.SampledFrom([]float64{-1, 1e-8, 1e-16, 3, 1e5}), rapid.Float64Range(-2, 2))
		a := mat.NewSymDense(n, nil)
		for i := range n {
			for j := i; j < n; j++ {
				a.SetSym(i, j, number.Draw(t, "number"))
			}
		}
		check(t, a, rapid.IntRange(0, n).Draw(t, "vectors"))
	})
}

func TestNotFinite(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		s := NewSymmetric(3)
		s.Upper(1)[1] = x
		if _, err := Values(s); err == nil {
			t.Errorf("no error of %g", x)
		}
		if _, _, err := Leading(s, 2); err == nil {
			t.Errorf("no error of %g", x)
		}
	}
}

// TestPrincipal holds bases of rows, more or fewer than channels, against singular vectors.
func TestPrincipal(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, s := range []struct{ n, p, rank int }{{1, 1, 1}, {1, 5, 3}, {5, 1, 2}, {20, 50, 7}, {50, 20, 7}, {40, 40, 90}, {100, 150, 100}} {
		x := kernel.NewMatrix64(s.n, s.p)
		for i := range s.n {
			for c := range s.p {
				x.Row(i)[c] = r.NormFloat64() * math.Exp(-0.05*float64(c))
			}
		}
		basis, err := Principal(x, s.rank)
		if err != nil {
			t.Fatal(err)
		}
		k := min(s.n, s.p, s.rank)
		if basis.Rows != s.p || basis.Cols != k {
			t.Fatalf("%+v: %d x %d", s, basis.Rows, basis.Cols)
		}
		var svd mat.SVD
		if !svd.Factorize(Dense(x), mat.SVDThin) {
			t.Fatal("no decomposition")
		}
		var v mat.Dense
		svd.VTo(&v)
		for c := range k {
			var dot float64
			for i := range s.p {
				dot += v.At(i, c) * basis.Row(i)[c]
			}
			if math.Abs(math.Abs(dot)-1) > 1e-9 {
				t.Errorf("%+v: direction %d has the cosine %g", s, c, dot)
			}
		}
	}
}

// TestPrincipalOfFewDirections leaves out what rows do not hold.
func TestPrincipalOfFewDirections(t *testing.T) {
	x := kernel.NewMatrix64(4, 10)
	for i := range 4 {
		x.Row(i)[i%2] = float64(1 + i)
	}
	basis, err := Principal(x, 4)
	if err != nil || basis.Cols != 2 {
		t.Errorf("%d directions: %v", basis.Cols, err)
	}
	if basis, err = Principal(kernel.NewMatrix64(4, 10), 4); err != nil || basis.Cols != 1 || norm(basis.Data) != 0 {
		t.Errorf("of zeros %+v: %v", basis, err)
	}
}

// TestPrincipalBeyondTheRank: of columns, the directions that no row has are orthonormal to the others, and are the same
// whatever the order of the rows, which rounds otherwise.
func TestPrincipalBeyondTheRank(t *testing.T) {
	const n, p, k = 90, 40, 31
	r := rand.New(rand.NewPCG(5, 6))
	for _, rank := range []int{0, 1, 12, 30} {
		x := kernel.NewMatrix64(n, p)
		for d := range rank {
			direction := make([]float64, p)
			for c := range direction {
				direction[c] = r.NormFloat64()
			}
			for i := range n {
				by := r.NormFloat64() / float64(1+d)
				for c, f := range direction {
					x.Row(i)[c] += by * f
				}
			}
		}
		other := kernel.NewMatrix64(n, p)
		for i, from := range r.Perm(n) {
			copy(other.Row(i), x.Row(from))
		}
		a, err := Principal(x, k)
		b, err2 := Principal(other, k)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for c := range k {
			for d := range c + 1 {
				var dot float64
				for i := range p {
					dot += a.Row(i)[c] * a.Row(i)[d]
				}
				if want := map[bool]float64{true: 1}[c == d]; math.Abs(dot-want) > 1e-12 {
					t.Errorf("rank %d: columns %d and %d: product %g", rank, c, d, dot)
				}
			}
			for i := range p {
				if c >= rank && math.Abs(a.Row(i)[c]-b.Row(i)[c]) > 1e-9 {
					t.Errorf("rank %d: column %d depends on the order of the rows: %g, %g", rank, c, a.Row(i)[c], b.Row(i)[c])
					break
				}
			}
		}
	}
}

// benchmarked is the Gram matrix of rows whose energy falls as that of keys does.
func benchmarked(n int) Symmetric {
	r := rand.New(rand.NewPCG(1, 2))
	x := kernel.NewMatrix64(n, n)
	for i := range n {
		for c := range x.Row(i) {
			x.Row(i)[c] = r.NormFloat64() / (1 + 20*float64(c)/float64(n))
		}
	}
	return Gram(x)
}

func BenchmarkValues(b *testing.B) {
	for _, n := range []int{256, 512, 1024, 2048} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := benchmarked(n)
			for b.Loop() {
				if _, err := Values(s.Clone()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLeading(b *testing.B) {
	for _, n := range []int{256, 512, 1024, 2048} {
		s := benchmarked(n)
		for _, k := range []int{n / 16, n / 4, n} {
			b.Run(fmt.Sprintf("%d/%d", n, k), func(b *testing.B) {
				for b.Loop() {
					if _, _, err := Leading(s.Clone(), k); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
