package method

import (
	"errors"
	"slices"

	"kvgauge/sim/cache"
)

// Layers whose attention has a window or chunks hold no more than a ring of its length anyway. What drops, selects or
// merges entries leaves them as they are, unless it is told otherwise; formats, sharing and latents apply to all layers.

// scopeParam is that of the methods that reduce entries.
var scopeParam = Param{Name: "scope", Kind: Choice, Default: "full", Choices: []string{"full", "all"}, Help: "full leaves layers with a window or chunks as they are; all reduces them too"}

// scoped says whether a family's methods may leave layers alone.
func (f Family) scoped() bool {
	return f == Eviction || f == Selection || f == Merging || f == Channel
}

// ring is the place in a pipeline, before any stage, where the window of a layer drops what left it.
const ring = -1

// leaves says whether a stage does nothing in the layers that the cell is about.
func (p *Pipeline) leaves(stage int, c Cell) bool {
	if _, ok := p.methods[stage].(grouper); ok && c.Apart {
		return true
	}
	return c.Ring > 0 && p.scope[stage] == "full"
}

// steps are what the pipeline does with the layers that a cell is about, in order: its methods, and where the layers have
// a window or chunks the ring of their rows, unless a method with scope=all says what they hold. The ring comes after
// maps of rows and before what stores them; before a method that packs the prompt as a whole, which then keeps what it
// packed.
func (p *Pipeline) steps(c Cell) []int {
	var steps []int
	rings := c.Ring > 0 && !slices.Contains(p.scope, "all")
	for i, m := range p.methods {
		if p.leaves(i, c) {
			continue
		}
		if _, packs := m.(promptPacker); rings && (packs || p.place[i] > Latent.stage()) {
			steps, rings = append(steps, ring), false
		}
		steps = append(steps, i)
	}
	if rings {
		steps = append(steps, ring)
	}
	return steps
}

// promptPacker is a method that stores the prompt apart from what follows, in any layer.
type promptPacker interface{ packsPrompt() }

// packs says whether a method of the pipeline packs the prompt of the layers that a cell is about.
func (p *Pipeline) packs(c Cell) bool {
	for i, m := range p.methods {
		if _, ok := m.(promptPacker); ok && !p.leaves(i, c) {
			return true
		}
	}
	return false
}

// Leaves says whether any stage leaves the layers alone that the cell is about, and so what they take is not the
// pipeline's to say.
func (p *Pipeline) Leaves(c Cell) bool {
	for i := range p.methods {
		if p.leaves(i, c) {
			return true
		}
	}
	return false
}

// errOwnLatents refuses what would make a layer's heads, or layers, share rows, or make latents of them.
var errOwnLatents = errors.New("the model caches latents: one row a token for all heads of a layer, by its own weights")

// fit is the cell after a step, or the reason why it does not apply.
func (p *Pipeline) fit(step int, c Cell) (Cell, error) {
	if step == ring {
		c.Moving = c.Moving || !p.packs(c)
		c.Thinned = true
		return c, nil
	}
	m := p.methods[step]
	if place := p.place[step]; c.Latent && (place == Sharing.stage() || place == Latent.stage()) {
		return c, errOwnLatents
	}
	after, err := m.Fit(p.shown(step, c))
	after.Layers, after.Left = c.Layers, c.Left
	if r, ok := m.(repeater); ok {
		every, _ := r.every()
		after.Moving = after.Moving || every > 0
	}
	after.Thinned = after.Thinned || p.partial[step]
	return after, err
}

// shown is the cell as the method of a stage is shown it: with the layers that it may change, and those that it leaves
// alone.
func (p *Pipeline) shown(stage int, c Cell) Cell {
	if p.scope[stage] != "full" {
		c.Left = nil
	} else if c.Left != nil {
		c.Layers = slices.DeleteFunc(slices.Clone(c.Layers), func(l int) bool { return slices.Contains(c.Left, l) })
	}
	return c
}

// scheduled is how many layers of the model a schedule runs over, and place the place of a layer among them. Of layers
// that the cell does not hold it is not known that they are left alone.
func (c Cell) scheduled() int { return c.NumLayers - len(c.Left) - len(c.Stateful) }

func (c Cell) place(layer int) int {
	below := 0
	for _, layers := range [][]int{c.Left, c.Stateful} {
		for _, l := range layers {
			if l < layer {
				below++
			}
		}
	}
	return layer - below
}

// keepRing is the decision of a layer's own window. A prompt that is packed loses no rows afterwards.
func (p *Pipeline) keepRing(c Cell, v *cache.View) cache.Decision {
	d := cache.WindowOf(v, c.Ring)
	if p.packs(c) {
		d.Ring = nil
	}
	return d
}

// Changes says whether any decision is more than a layer's own window. Sharing is not: what it changes are the layers of a
// group of more than one, and a layer may be left alone in its group.
func Changes(decisions []cache.Decision) bool {
	return slices.ContainsFunc(decisions, func(d cache.Decision) bool {
		return !d.Window && (d.Keep != nil || d.Map != nil || d.Ring != nil || d.Codec != nil || d.Prompt != nil || d.Policy != nil || d.Select != nil)
	})
}
