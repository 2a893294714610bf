package method

import (
	"errors"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// side is what a format may know of the rows that it stores: the keys of one group of layers, or the values.
type side struct {
	values   bool
	alone    bool // the other side is in another format
	channels int  // of a row
	count    int  // heads that are stored
	inner    int  // of a latent row, which is key and value at once, the first channels, which are the value; else channels
	// What follows is known once the prompt is.
	entries int         // of the prompt, in the first head; 0 before
	heads   [][]float32 // [head][rows*channels] of the prompt, before the rotation
	makers  []int       // the layers that make the rows
	turn    *kernel.Hadamard
}

// stored are the prompt's rows after the rotation, by head; nil before they are known.
func (s side) stored() [][]float32 {
	if s.turn == nil {
		return s.heads
	}
	var turned [][]float32
	for _, rows := range s.heads {
		rows = slices.Clone(rows)
		s.turn.Transform(rows)
		turned = append(turned, rows)
	}
	return turned
}

// largest are the largest magnitudes of the prompt's rows as they are stored, by head; nil before they are known.
func (s side) largest() (most []float32) {
	for _, rows := range s.stored() {
		most = append(most, kernel.Amax(rows))
	}
	return most
}

// coding is how the rows of one side are stored.
type coding struct {
	layout   kernel.Layout
	left     bool  // in f16, as a layer that the format leaves alone is
	meta     int64 // bytes kept between steps besides
	warnings []cache.Warning
}

// format says how rows are stored, or why a cell's cannot be. Rows are encoded as they are appended, and a step reads the
// codes: it sees its own token encoded too, unless a window of the layout says otherwise.
type format func(c Cell, s side) (coding, error)

// alike is the format of one layout for all rows.
func alike(l kernel.Layout) format {
	return func(Cell, side) (coding, error) { return coding{layout: l}, nil }
}

// sideFormat is one side's format, and the rotation before it.
type sideFormat struct {
	format
	rotation
}

// codec is a Method that stores all rows: keys in one format, values in the same or in another.
type codec struct {
	keys, values sideFormat
	apart        bool // values were given a format of their own
}

// newCodec makes the method of a format whose parameters are given, those of a format of the values among them.
func newCodec(i Info, a Args) (Method, error) {
	keys, err := i.sideFormat(a)
	if err != nil || !a.Given(valueParam.Name) {
		return codec{keys: keys, values: keys}, err
	}
	of, _ := Lookup(a[valueParam.Name])
	values, err := of.sideFormat(a.values(of))
	return codec{keys: keys, values: values, apart: true}, err
}

// sideFormat is the side of a format with its parameters.
func (i Info) sideFormat(a Args) (sideFormat, error) {
	f, err := i.Format(a)
	if err != nil {
		return sideFormat{}, err
	}
	r := rotation{when: a[rotateParam.Name]}
	if i.Rotation != nil {
		if r.engine, err = i.Rotation(a); err != nil {
			return sideFormat{}, err
		}
	}
	return sideFormat{f, r}, nil
}

// errLatentSides is why v= does not apply to latent rows.
var errLatentSides = errors.New("v= gives values a format of their own, but a latent row is key and value at once")

// store is how a cell's rows are stored, those of a prompt where there is one; latent rows as keys alone.
func (m codec) store(c Cell, v *cache.View) (cache.Decision, error) {
	keys, values := m.sides(c)
	latent := c.Latent
	if v != nil {
		latent = v.Latent
		keys.entries, keys.heads, keys.makers = v.Rows(0), v.K, v.Makers()
		values.entries, values.heads, values.makers = keys.entries, v.V, keys.makers
	}
	return m.of(c, keys, values, latent)
}

// sides are the rows of a cell, so far as they are known before the prompt is.
func (m codec) sides(c Cell) (keys, values side) {
	keys = side{count: c.Heads, channels: c.Dim, alone: m.apart}
	values = side{count: c.Heads, channels: c.VDim, alone: m.apart, values: true}
	return keys, values
}

// of is how two sides are stored.
func (m codec) of(c Cell, keys, values side, latent bool) (d cache.Decision, err error) {
	if keys.inner, values.inner = c.Dim, c.VDim; latent {
		keys.inner = c.VDim
	}
	if latent && m.apart {
		return d, errLatentSides
	}
	k, turnK, err := m.keys.code(c, keys)
	if err != nil {
		return d, err
	}
	d.Codec = &cache.Codec{K: k.layout, V: k.layout, HadamardK: turnK, HadamardV: turnK}
	d.MetaPerStore, d.Warnings = k.meta, k.warnings
	if latent {
		return d, nil
	}
	val, turnV, err := m.values.code(c, values)
	if err != nil {
		return d, err
	}
	d.Codec.V, d.Codec.HadamardV = val.layout, turnV
	d.MetaPerStore += val.meta
	d.Warnings = append(d.Warnings, val.warnings...)
	if k.left && val.left {
		return cache.Decision{}, nil
	}
	return d, nil
}

// code is how a side's rows are stored, and what they are rotated by before.
func (m sideFormat) code(c Cell, s side) (coding, *kernel.Hadamard, error) {
	turn, warnings := m.rotation.of(c, s)
	s.turn = turn
	how, err := m.format(c, s)
	if err != nil {
		return how, nil, err
	}
	if how.left {
		how.layout = kernel.Plain(kernel.F16)
		return how, nil, nil
	}
	how.warnings = append(how.warnings, warnings...)
	return how, turn, nil
}

// Fit asks whether the rows can be stored.
func (m codec) Fit(c Cell) (Cell, error) {
	d, err := m.store(c, nil)
	if err != nil {
		return c, err
	}
	c.Grouped = d.Codec.K.Grouped() || d.Codec.V.Grouped()
	return c, encodable(c, d.Codec)
}

// Decide says how.
func (m codec) Decide(c Cell, v *cache.View) (cache.Decision, error) {
	d, err := m.store(c, v)
	if err == nil && d.Codec != nil {
		d.Warnings = append(d.Warnings, allResidual(c, d.Codec)...)
	}
	return d, err
}

// size is that of the codec, whatever the rows are.
func (m codec) size(c Cell, layers []int, s *cache.Size) error {
	keys, values := m.sides(c)
	keys.entries, keys.makers, values.entries, values.makers = s.Rows[0], layers, s.Rows[0], layers
	d, err := m.of(c, keys, values, s.Shape.Latent)
	if err != nil || d.Codec == nil {
		return err
	}
	s.Codec, s.Meta = *d.Codec, s.Meta+d.MetaPerStore
	return nil
}

// allResidual is the warning that no entry leaves the residual windows of keys and of values. A format that keeps sinks
// warns of its own, and one that is quantised anew takes no prompt into its window.
func allResidual(c Cell, d *cache.Codec) []cache.Warning {
	stays := func(w kernel.ResidualWindow) bool {
		return w.Flush > 0 && w.Sinks == 0 && !w.Anew && c.SeqLen < w.Flush+w.Hold
	}
	if !stays(d.K.Residual) || !stays(d.V.Residual) {
		return nil
	}
	return nothingChanged("all %d entries stay in the residual window: nothing is quantised", c.SeqLen)
}
