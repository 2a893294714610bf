package method

import (
	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// codec is a Method that stores all rows alike: it returns how, or why the cell's rows cannot be stored so. Rows
// are encoded as they are appended, and a step reads the codes: it sees its own token encoded too, unless a
// window of the codec says otherwise.
type codec func(c Cell) (cache.Codec, error)

// alike is the codec of one layout for keys and values.
func alike(l kernel.Layout) codec {
	return func(Cell) (cache.Codec, error) { return cache.Codec{K: l, V: l}, nil }
}

// Fit asks whether the rows can be stored.
func (m codec) Fit(c Cell) (Cell, error) {
	if err := encodable(c, m); err != nil {
		return c, err
	}
	d, err := m(c)
	c.Grouped = d.K.Grouped() || d.V.Grouped()
	return c, err
}

// Decide says how.
func (m codec) Decide(c Cell, _ *cache.View) (cache.Decision, error) {
	d, err := m(c)
	return cache.Decision{Codec: &d, Warnings: allResidual(c, d)}, err
}

// allResidual is the warning that no entry leaves the residual windows of keys and of values.
func allResidual(c Cell, d cache.Codec) []cache.Warning {
	stays := func(w kernel.ResidualWindow) bool { return w.Flush > 0 && c.SeqLen < w.Sinks+w.Flush+w.Hold }
	if !stays(d.K.Residual) || !stays(d.V.Residual) {
		return nil
	}
	return nothingChanged("all %d entries stay in the residual window: nothing is quantised", c.SeqLen)
}
