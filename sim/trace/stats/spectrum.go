package stats

import (
	"cmp"
	"errors"
	"math"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/lapack"
	"gonum.org/v1/gonum/lapack/lapack64"
	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
)

// Spectra are the spectra of a layer's rows, all KV heads side by side. Joint is [K/rho | V], the rows
// that a latent of keys and values must hold; rho, the mean column norm of K over that of V, balances the
// two (TransMLA, Meng et al. 2025, arXiv:2502.07864). The unbalanced ones have a rho of 1.
type Spectra struct {
	KeyPost             *Spectrum `json:"key_post"` // after the rotary embedding
	KeyPre              *Spectrum `json:"key_pre"`  // before it; nil where the model has none
	Value               *Spectrum `json:"value"`
	JointPost           *Spectrum `json:"joint_post"`
	JointPre            *Spectrum `json:"joint_pre"`
	JointPostUnbalanced *Spectrum `json:"joint_post_unbalanced"`
	JointPreUnbalanced  *Spectrum `json:"joint_pre_unbalanced"`
}

// Spectrum says how much of the energy of rows their strongest directions hold: eigenvectors of the
// uncentred Gram matrix. Rows that are all zero have no spectrum.
type Spectrum struct {
	Dims90 float64   `json:"dims_90"` // directions that hold 90 % of the energy
	Dims99 float64   `json:"dims_99"`
	Ranks  []int     `json:"ranks"`  // 1, 2, 4, ... and the width
	Energy []float64 `json:"energy"` // share held by as many directions as Ranks says
}

// measureSpectra computes the spectra of rows [tokens][heads*dim]; kPre is nil where keys are not rotated.
func measureSpectra(k, kPre, v *mat.Dense, pool *kernel.Pool) (Spectra, error) {
	keys := []*mat.Dense{k}
	if kPre != nil {
		keys = append(keys, kPre)
	}
	grams := make([]blas64.Symmetric, len(keys)) // of [K | V]
	pool.Run(len(grams), func(_, i int) {
		var joint mat.Dense
		joint.Augment(keys[i], v)
		grams[i] = gramOf(&joint)
	})
	var s Spectra
	_, width := k.Dims()
	type part struct {
		to     **Spectrum
		gram   blas64.Symmetric
		lo, hi int
		rho    float64
	}
	parts := []part{
		{&s.KeyPost, grams[0], 0, width, 1},
		{&s.Value, grams[0], width, 2 * width, 1},
		{&s.JointPost, grams[0], 0, 2 * width, balance(grams[0])},
		{&s.JointPostUnbalanced, grams[0], 0, 2 * width, 1},
	}
	if kPre != nil {
		parts = append(parts,
			part{&s.KeyPre, grams[1], 0, width, 1},
			part{&s.JointPre, grams[1], 0, 2 * width, balance(grams[1])},
			part{&s.JointPreUnbalanced, grams[1], 0, 2 * width, 1})
	}
	errs := make([]error, len(parts))
	pool.Run(len(parts), func(_, i int) {
		p := parts[i]
		*p.to, errs[i] = spectrumOf(block(p.gram, p.lo, p.hi, p.rho))
	})
	return s, cmp.Or(errs...)
}

// balance is the mean column norm of K over that of V, from the Gram matrix of [K | V]; 1 where either
// is zero.
func balance(g blas64.Symmetric) float64 {
	var norms [2]float64
	for i := range g.N {
		norms[2*i/g.N] += math.Sqrt(g.Data[i*g.Stride+i])
	}
	if norms[0] == 0 || norms[1] == 0 {
		return 1
	}
	return norms[0] / norms[1]
}

// gramOf returns the upper triangle of X^T X, with rows 8 apart from a power of two: with such a stride
// the decomposition of a 512 x 512 matrix is eight times slower, from cache conflicts. The product reads
// all rows given to it once for each column, so it is given as many as stay in the cache.
func gramOf(x *mat.Dense) blas64.Symmetric {
	const cached = 1 << 17 // values
	rows, n := x.Dims()
	g := symmetric(n)
	step := max(1, cached/n)
	for lo := 0; lo < rows; lo += step {
		part := x.Slice(lo, min(lo+step, rows), 0, n).(*mat.Dense)
		blas64.Syrk(blas.Trans, 1, part.RawMatrix(), 1, g)
	}
	return g
}

// symmetric is a matrix of zeros whose upper triangle is stored.
func symmetric(n int) blas64.Symmetric {
	return blas64.Symmetric{N: n, Stride: n + 8, Data: make([]float64, n*(n+8)), Uplo: blas.Upper}
}

// block copies rows and columns lo to hi of the Gram matrix of [K | V] as if K were divided by rho.
func block(g blas64.Symmetric, lo, hi int, rho float64) blas64.Symmetric {
	b := symmetric(hi - lo)
	scale := func(i int) float64 {
		if i < g.N/2 {
			return 1 / rho
		}
		return 1
	}
	for i := lo; i < hi; i++ {
		for j := i; j < hi; j++ {
			b.Data[(i-lo)*b.Stride+j-lo] = g.Data[i*g.Stride+j] * scale(i) * scale(j)
		}
	}
	return b
}

// spectrumOf decomposes a Gram matrix, which it overwrites.
func spectrumOf(g blas64.Symmetric) (*Spectrum, error) {
	values := make([]float64, g.N) // ascending
	work := make([]float64, 1)
	lapack64.Syev(lapack.EVNone, g, values, work, -1)
	work = make([]float64, int(work[0]))
	if !lapack64.Syev(lapack.EVNone, g, values, work, len(work)) {
		return nil, errors.New("the eigenvalues of the rows' Gram matrix do not converge")
	}
	for i, x := range values {
		values[i] = max(0, x) // rounding leaves tiny negative ones
	}
	total := sum(values)
	if total == 0 {
		return nil, nil
	}
	s := &Spectrum{}
	held := 0.0
	for n := 1; n <= g.N; n++ {
		before := held
		held += values[g.N-n]
		if before < 0.9*total {
			s.Dims90 = float64(n)
		}
		if before < 0.99*total {
			s.Dims99 = float64(n)
		}
		if n&(n-1) == 0 || n == g.N {
			s.Ranks, s.Energy = append(s.Ranks, n), append(s.Energy, min(1, held/total))
		}
	}
	return s, nil
}

// meanSpectrum averages a spectrum over the layers that have it.
func meanSpectrum(layers []Layer, of func(*Spectra) **Spectrum) *Spectrum {
	var out Spectrum
	n := 0.0
	for i := range layers {
		s := *of(&layers[i].Spectra)
		if s == nil {
			continue
		}
		n++
		out.Dims90 += s.Dims90
		out.Dims99 += s.Dims99
		if out.Ranks == nil {
			out.Ranks, out.Energy = s.Ranks, make([]float64, len(s.Energy))
		}
		for r, e := range s.Energy {
			out.Energy[r] += e
		}
	}
	if n == 0 {
		return nil
	}
	out.Dims90 /= n
	out.Dims99 /= n
	for r := range out.Energy {
		out.Energy[r] /= n
	}
	return &out
}
