package stats

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
	"kvgauge/sim/spectral"
)

// Spectra are the spectra of a layer's rows, all KV heads side by side. Joint is [K/rho | V], the rows
// that a latent of keys and values must hold; rho, the mean column norm of K over that of V, balances the
// two (TransMLA, Meng et al. 2025, arXiv:2502.07864). The unbalanced ones have a rho of 1, and are nil unless asked for.
type Spectra struct {
	KeyPost             *Spectrum `json:"key_post"` // after the rotary embedding
	KeyPre              *Spectrum `json:"key_pre"`  // before it; nil where the layer has none
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
	Ranks  []int     `json:"ranks"`  // 1, 2, 4, ... and the width, in a mean that of the widest layer
	Energy []float64 `json:"energy"` // share held by as many directions as Ranks says
}

// measureSpectra computes the spectra of rows from products that are made once: those of values, of keys, and of keys
// before the embedding where they have one. The unbalanced ones, which cost as much as the joint ones, are made on request.
func measureSpectra(grams []rowGrams, unbalanced bool, pool *kernel.Pool) (Spectra, error) {
	var s Spectra
	type part struct {
		to    **Spectrum
		width int
		gram  func() spectral.Symmetric
	}
	// The wide ones come first, so that threads finish together.
	var joint, alone []part
	add := func(balanced, plain, own **Spectrum, i int) {
		k, v := &grams[i], &grams[0]
		joint = append(joint, part{balanced, k.width + v.width, func() spectral.Symmetric { return jointGram(k, v, balance(k, v)) }})
		if unbalanced {
			joint = append(joint, part{plain, k.width + v.width, func() spectral.Symmetric { return jointGram(k, v, 1) }})
		}
		alone = append(alone, part{own, k.width, k.alone.Clone})
	}
	add(&s.JointPost, &s.JointPostUnbalanced, &s.KeyPost, 1)
	if len(grams) > 2 {
		add(&s.JointPre, &s.JointPreUnbalanced, &s.KeyPre, 2)
	}
	parts := append(append(joint, alone...), part{&s.Value, grams[0].width, grams[0].alone.Clone})
	errs := make([]error, len(parts))
	pool.Run(len(parts), func(_, i int) {
		p := parts[i]
		values, err := spectral.Values(p.gram())
		*p.to, errs[i] = spectrumOf(values, p.width), err
	})
	return s, cmp.Or(errs...)
}

// rowGrams are Gram matrices of the rows X of keys or of values. The eigenvalues that are not zero are the same of
// X^T X and of X X^T, so that whichever is smaller will do: of X for the spectrum of its own, of [K | V], which is as
// wide as both together, for the joint one.
type rowGrams struct {
	width int
	alone spectral.Symmetric
	joint spectral.Symmetric // the part of X in the matrix of [K | V]
	cross kernel.Matrix64    // X^T V, which is a part of it too where X are keys and it is of columns
	norm  float64            // mean of the columns' norms
}

// gramsOf computes them for rows x, which are v itself or as wide as the keys k; keys are crossed with values.
func gramsOf(x, k, v *mat.Dense) rowGrams {
	rows, width := x.Dims()
	joint := k.RawMatrix().Cols + v.RawMatrix().Cols
	columns := spectral.Matrix(x)
	g := rowGrams{width: width, norm: spectral.MeanNorm(columns)}
	if rows < joint {
		g.joint = spectral.Gram(columns.Transposed())
	}
	if rows < width {
		g.alone = g.joint
		return g
	}
	g.alone = spectral.Gram(columns)
	if rows >= joint {
		g.joint = g.alone
		if x != v {
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
	if k.cross.Rows == 0 {
		g := v.joint.Clone()
		for i := range g.N {
			row := g.Upper(i)
			for c, x := range k.joint.Upper(i) {
				row[c] += x / (rho * rho)
			}
		}
		return g
	}
	g := spectral.NewSymmetric(k.width + v.width)
	for i := range k.width {
		row := g.Upper(i)
		for c, x := range k.joint.Upper(i) {
			row[c] = x / (rho * rho)
		}
		for c, x := range k.cross.Row(i) {
			row[k.width-i+c] = x / rho
		}
	}
	for i := range v.width {
		copy(g.Upper(k.width+i), v.joint.Upper(i))
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

// width is that of the rows.
func (s *Spectrum) width() int { return s.Ranks[len(s.Ranks)-1] }

// energyAt is the share that so many directions hold: of those that Ranks lists, or of the width and more.
func (s *Spectrum) energyAt(rank int) float64 {
	if i, listed := slices.BinarySearch(s.Ranks, rank); listed {
		return s.Energy[i]
	}
	return s.Energy[len(s.Energy)-1]
}

// meanSpectrum averages a spectrum over the layers that have it, at the ranks of the widest of them: a narrower layer
// holds all of its energy at its own width and beyond.
func meanSpectrum(layers []Layer, of func(*Spectra) **Spectrum) *Spectrum {
	var out Spectrum
	var all []*Spectrum
	for i := range layers {
		if s := *of(&layers[i].Spectra); s != nil {
			all = append(all, s)
		}
	}
	if all == nil {
		return nil
	}
	out.Ranks = slices.MaxFunc(all, func(a, b *Spectrum) int { return cmp.Compare(a.width(), b.width()) }).Ranks
	out.Energy = make([]float64, len(out.Ranks))
	for _, s := range all {
		out.Dims90 += s.Dims90
		out.Dims99 += s.Dims99
		for i, r := range out.Ranks {
			out.Energy[i] += s.energyAt(r)
		}
	}
	n := float64(len(all))
	out.Dims90 /= n
	out.Dims99 /= n
	for i := range out.Energy {
		out.Energy[i] /= n
	}
	return &out
}
