package method

import (
	"errors"
	"fmt"
	"strings"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// ErrContent says that what a cache takes depends on the keys, values and queries that it has seen.
var ErrContent = errors.New("its size depends on the content")

// sizer is a method the size of whose stores follows from its parameters and the cell.
type sizer interface {
	// size does to the size of a store of some layers after the prompt what Decide will do to the store. Shapes are as
	// Fit says already; the cell is the one before. It fails with ErrContent where values decide after all.
	size(c Cell, layers []int, s *cache.Size) error
}

// Size is what the store of one group of layers holds after the prompt of a cell, where full is in a layout; the cell is
// that of these layers and Decode is 0. Maps that are fitted count as weights. It fails with ErrContent where the size
// depends on the content, and else with the reason why the pipeline does not apply.
func (p *Pipeline) Size(c Cell, layers []int, l kernel.Layout) (cache.Size, error) {
	s := cache.NewSize(len(layers), c.QHeads, cache.Shape{Heads: c.Heads, K: c.Dim, V: c.VDim, Latent: c.Latent}, c.Prompt(), l)
	for _, i := range p.steps(c) {
		before := c
		var sized sizer
		if i != ring {
			var ok bool
			if sized, ok = p.methods[i].(sizer); !ok {
				return s, fmt.Errorf("%s: %w", p.names[i], ErrContent)
			}
		}
		var err error
		if c, err = p.fit(i, c); err != nil {
			return s, err
		}
		if i == ring {
			s.Keep(c.Ring)
			continue
		}
		s.Reshape(cache.Shape{Heads: c.Heads, K: c.Dim, V: c.VDim, Latent: c.Latent})
		if err := sized.size(p.shown(i, before), layers, &s); err != nil {
			return s, fmt.Errorf("%s: %w", p.names[i], err)
		}
		if r, ok := p.methods[i].(repeater); ok {
			if every, queries := r.every(); every > 0 {
				s.Window = queries
			}
		}
	}
	if s.Uneven && (s.Codec.K.Grouped() || s.Codec.V.Grouped() || s.Index != nil || s.Prompt != nil) {
		return s, fmt.Errorf("%s: %w", p.Name, ErrContent) // by head
	}
	return s, nil
}

// Baseline says whether the pipeline reduces nothing.
func (p *Pipeline) Baseline() bool { return len(p.stages) == 1 && p.stages[0].info.Family == Baseline }

// CodeOf says whether the pipeline is one format of rows whose code is of a repository, such as a serving engine's.
func (p *Pipeline) CodeOf(repository string) bool {
	return len(p.stages) == 1 && p.stages[0].info.codeOf(repository)
}

// codeOf is that of one method.
func (i Info) codeOf(repository string) bool {
	return i.Family == Quantisation && strings.HasPrefix(i.Code, repository+" ")
}

// CodeOf returns the names of the formats of rows whose code is of a repository.
func CodeOf(repository string) (names []string) {
	for _, i := range All() {
		if i.codeOf(repository) {
			names = append(names, i.Name)
		}
	}
	return names
}
