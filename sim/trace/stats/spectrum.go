package stats

import (
	"cmp"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/spectral"
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

// measureSpectra computes the spectra of rows of a width, from products that are made once: those of values, of keys,
// and of keys before the embedding where they have one.
func measureSpectra(grams []rowGrams, width int, pool *kernel.Pool) (Spectra, error) {
	var s Spectra
	type part struct {
		to    **Spectrum
		width int
		gram  func() spectral.Symmetric
	}
	// The wide ones come first, so that threads finish together.
	var joint, alone []part
	add := func(post, unbalanced, own **Spectrum, i int) {
		k, v := &grams[i], &grams[0]
		joint = append(joint,
			part{post, 2 * width, func() spectral.Symmetric { return jointGram(k, v, balance(k, v)) }},
			part{unbalanced, 2 * width, func() spectral.Symmetric { return jointGram(k, v, 1) }})
		alone = append(alone, part{own, width, k.alone.Clone})
	}
	add(&s.JointPost, &s.JointPostUnbalanced, &s.KeyPost, 1)
	if len(grams) > 2 {
		add(&s.JointPre, &s.JointPreUnbalanced, &s.KeyPre, 2)
	}
	parts := append(append(joint, alone...), part{&s.Value, width, grams[0].alone.Clone})
	errs := make([]error, len(parts))
	pool.Run(len(parts), func(_, i int) {
		p := parts[i]
		values, err := spectral.Values(p.gram())
		*p.to, errs[i] = spectrumOf(values, p.width), err
	})
	return s, cmp.Or(errs...)
}

// rowGrams are Gram matrices of the rows X of keys or of values. The eigenvalues that are not zero are the same of
// X^T X and of X X^T, so that whichever is smaller will do: of X for the spectrum of its own, of [K | V], which is
// twice as wide, for the joint one.
type rowGrams struct {
	alone spectral.Symmetric
	joint spectral.Symmetric // the part of X in the matrix of [K | V]
	cross kernel.Matrix64    // X^T V, which is a part of it too where it is of columns
	norm  float64            // mean of the columns' norms
}

// gramsOf computes them; keys are crossed with values.
func gramsOf(x, v *mat.Dense, keys bool) rowGrams {
	rows, width := x.Dims()
	columns := spectral.Matrix(x)
	g := rowGrams{norm: spectral.MeanNorm(columns)}
	if rows < 2*width {
		g.joint = spectral.Gram(columns.Transposed())
	}
	if rows < width {
		g.alone = g.joint
		return g
	}
	g.alone = spectral.Gram(columns)
	if rows >= 2*width {
		g.joint = g.alone
		if keys {
			g.cross = spectral.Product(columns, spectral.Matrix(v))
		}
	}
	return g
}

// balance is the mean column norm of K over that of V; 1 where either is zero.
func balance(k, v *rowGrams) float64 {
	if k.norm == 0 || v.norm == 0 {
		return 1
	}
	return k.norm / v.norm
}

// jointGram is the Gram matrix of [K/rho | V]: of its rows, the sum of the two of K and V, or of its columns.
func jointGram(k, v *rowGrams, rho float64) spectral.Symmetric {
	n := k.joint.N
	if k.cross.Rows == 0 {
		g := v.joint.Clone()
		for i := range n {
			row := g.Upper(i)
			for c, x := range k.joint.Upper(i) {
				row[c] += x / (rho * rho)
			}
		}
		return g
	}
	g := spectral.NewSymmetric(2 * n)
	for i := range n {
		row := g.Upper(i)
		for c, x := range k.joint.Upper(i) {
			row[c] = x / (rho * rho)
		}
		for c, x := range k.cross.Row(i) {
			row[n-i+c] = x / rho
		}
		copy(g.Upper(n+i), v.joint.Upper(i))
	}
	return g
}

// spectrumOf is the spectrum of rows of a width whose Gram matrix has the eigenvalues, the largest first; those that
// are not given are zero.
func spectrumOf(values []float64, width int) *Spectrum {
	for i, x := range values {
		values[i] = max(0, x) // rounding leaves tiny negative ones
	}
	total := sum(values)
	if total == 0 {
		return nil
	}
	s := &Spectrum{}
	held := 0.0
	for n := 1; n <= width; n++ {
		before := held
		if n <= len(values) {
			held += values[n-1]
		}
		if before < 0.9*total {
			s.Dims90 = float64(n)
		}
		if before < 0.99*total {
			s.Dims99 = float64(n)
		}
		if n&(n-1) == 0 || n == width {
			s.Ranks, s.Energy = append(s.Ranks, n), append(s.Energy, min(1, held/total))
		}
	}
	return s
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
