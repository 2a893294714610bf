package method

import (
	"errors"
	"fmt"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// codec is a Method that stores all rows alike: it returns how, or why the cell's rows cannot be stored so. Rows
// are encoded as they are appended, and a step reads the codes: it sees its own token encoded too, unless a
// window of the codec says otherwise.
type codec func(c Cell) (cache.Codec, error)

var _ Method = codec(nil)

// alike is the codec of one layout for keys and values.
func alike(l kernel.Layout) codec {
	return func(Cell) (cache.Codec, error) { return cache.Codec{K: l, V: l}, nil }
}

// Fit asks whether the rows can be stored.
func (m codec) Fit(c Cell) (Cell, error) {
	if err := fits(m, c); err != nil {
		return c, err
	}
	d, err := m(c)
	c.Grouped = d.K.Grouped() || d.V.Grouped()
	return c, err
}

// Decide says how.
func (m codec) Decide(c Cell, _ *cache.View) (cache.Decision, error) {
	d, err := m(c)
	return cache.Decision{Codec: &d}, err
}

// errPackedRows says what prompts that are stored apart are stored in.
var errPackedRows = errors.New("prompt rows that are packed already need a format of single channels, a row at a time")

// fits says why a codec does not go with what the stages before it do.
func fits(m codec, c Cell) error {
	d, err := m(c)
	turned := d.HadamardK != nil || d.HadamardV != nil
	switch {
	case err != nil:
		return err
	case c.Packed && (turned || d.K.Grouped() || d.V.Grouped() || d.K.Format == kernel.Blocked || d.V.Format == kernel.Blocked):
		return errPackedRows
	case c.Rebuilt && (turned || d.K.Grouped() || d.V.Grouped()):
		return errors.New("keys that are rebuilt at every step need latent rows that are stored one by one, as they are")
	case c.Rolled && turned:
		return errors.New("roll=on rotates keys as they are read, which a Hadamard rotation has mixed")
	case turned && c.Dim != c.VDim:
		return fmt.Errorf("a Hadamard rotation of %d channels mixes the %d that are values with the others", c.Dim, c.VDim)
	}
	return nil
}

// whole says why rows are not whole blocks of n channels.
func whole(c Cell, n int) error {
	if c.Packed {
		return errPackedRows
	}
	if c.Dim%n != 0 || c.VDim%n != 0 {
		return fmt.Errorf("rows of %d channels are not whole blocks of %d", max(c.Dim, c.VDim), n)
	}
	return nil
}

// powerOfTwo says why rows cannot be rotated as a whole.
func powerOfTwo(c Cell) error {
	if c.Dim&(c.Dim-1) != 0 {
		return fmt.Errorf("a Hadamard rotation of whole rows needs a power of two, not %d channels", c.Dim)
	}
	return nil
}
