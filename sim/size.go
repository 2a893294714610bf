package sim

import (
	"slices"

	"kvgauge/sim/kernel"
)

// size is the bytes of the cell's caches after the prompt, in which full is stored in a layout: no row is read. It
// fails with method.ErrContent where they depend on the content, and else with the reason why the pipeline does not apply.
func (c Cell) size(l kernel.Layout) (int64, error) {
	if err := c.fitBorrowed(); err != nil {
		return 0, err
	}
	total, once, shared, apart := c.Trace.StateBytes(), int64(0), false, false
	for _, group := range c.groups() {
		makers := slices.DeleteFunc(slices.Clone(group), func(layer int) bool { return c.Trace.At(layer).Borrows })
		known := c.forMethod(0, nil, group[0])
		shared, apart = shared || c.merged(group), apart || known.Apart
		s, err := c.Pipeline.Size(known, makers, l)
		if err != nil {
			return 0, err
		}
		total += s.Bytes()
		once = max(once, s.Once)
	}
	if apart && !shared {
		return 0, errNoneAlike
	}
	return total + once, nil
}
