package stats

import "math"

// mean is a running mean.
type mean struct {
	total float64
	n     int
}

// add takes a value in, if it is one.
func (m *mean) add(x float64, ok bool) {
	if ok {
		m.total += x
		m.n++
	}
}

// join takes in all values of another mean.
func (m *mean) join(o mean) {
	m.total += o.total
	m.n += o.n
}

// value is nil where nothing was added.
func (m mean) value() *float64 {
	if m.n == 0 {
		return nil
	}
	v := m.total / float64(m.n)
	return &v
}

// cosine of two rows; not ok where one of them is zero.
func cosine[T float32 | float64](a, b []T) (cos float64, ok bool) {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab += x * y
		aa += x * x
		bb += y * y
	}
	if aa == 0 || bb == 0 {
		return 0, false
	}
	return ab / math.Sqrt(aa*bb), true
}

// sum adds up in index order.
func sum(xs []float64) float64 {
	var s float64
	for _, x := range xs {
		s += x
	}
	return s
}

// averaged are the figures that meanFigures averages over the layers that have them.
var averaged = []func(*Figures) **float64{
	func(f *Figures) **float64 { return &f.SinkMass },
	func(f *Figures) **float64 { return &f.Sink4Mass },
	func(f *Figures) **float64 { return &f.EntropyBits },
	func(f *Figures) **float64 { return &f.HeavyMass },
	func(f *Figures) **float64 { return &f.LocalMass },
	func(f *Figures) **float64 { return &f.QueryCosine },
	func(f *Figures) **float64 { return &f.KeyCosine64 },
	func(f *Figures) **float64 { return &f.ValueCosine64 },
	func(f *Figures) **float64 { return &f.AttentionSimilarity },
	func(f *Figures) **float64 { return &f.ValueSimilarity },
	func(f *Figures) **float64 { return &f.KeyCosine },
	func(f *Figures) **float64 { return &f.KeyResidual },
	func(f *Figures) **float64 { return &f.KeyMapResidual },
	func(f *Figures) **float64 { return &f.KeyMapVariance },
	func(f *Figures) **float64 { return &f.ValueCosine },
	func(f *Figures) **float64 { return &f.ValueResidual },
	func(f *Figures) **float64 { return &f.ValueMapResidual },
	func(f *Figures) **float64 { return &f.ValueMapVariance },
	func(f *Figures) **float64 { return &f.NeedleMass },
}

// averagedSpectra are the spectra that meanFigures averages.
var averagedSpectra = []func(*Spectra) **Spectrum{
	func(s *Spectra) **Spectrum { return &s.KeyPost },
	func(s *Spectra) **Spectrum { return &s.KeyPre },
	func(s *Spectra) **Spectrum { return &s.Value },
	func(s *Spectra) **Spectrum { return &s.JointPost },
	func(s *Spectra) **Spectrum { return &s.JointPre },
	func(s *Spectra) **Spectrum { return &s.JointPostUnbalanced },
	func(s *Spectra) **Spectrum { return &s.JointPreUnbalanced },
}

// meanFigures averages each figure over the layers that have it and adds up the needles.
func meanFigures(layers []Layer) Figures {
	var out Figures
	for _, of := range averaged {
		var m mean
		for i := range layers {
			if v := *of(&layers[i].Figures); v != nil {
				m.add(*v, true)
			}
		}
		*of(&out) = m.value()
	}
	for _, of := range averagedSpectra {
		*of(&out.Spectra) = meanSpectrum(layers, of)
	}
	for _, l := range layers {
		out.KeyDims += l.KeyDims / float64(len(layers))
		out.ValueDims += l.ValueDims / float64(len(layers))
		out.Needles += l.Needles
	}
	return out
}
