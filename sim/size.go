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
	total, once, shared, anyApart := c.Trace.StateBytes(), int64(0), false, false
	apart := map[int]bool{}
	owners := c.owners()
	for _, group := range c.Pipeline.Groups(owners, c.Trace.NumLayers) {
		if len(group) > 1 && !c.alike(group) {
			for _, layer := range group {
				apart[layer], anyApart = true, true
			}
		}
	}
	all := c.ofAll(0, nil)
	for _, group := range c.groups() {
		makers := group
		if len(owners) < len(c.Layers) {
			makers = slices.DeleteFunc(slices.Clone(group), func(layer int) bool { return c.Trace.At(layer).Borrows })
		}
		shared = shared || c.merged(group)
		s, err := c.Pipeline.Size(c.ofLayer(all, group[0], apart[group[0]]), makers, l)
		if err != nil {
			return 0, err
		}
		total += s.Bytes()
		once = max(once, s.Once)
	}
	if anyApart && !shared {
		return 0, errNoneAlike
	}
	return total + once, nil
}
