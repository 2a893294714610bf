package sim

import (
	"fmt"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// calibration returns the text that maps are fitted on for a trace, nil where there is none.
func (p *Plan) calibration(t *trace.Trace) *method.Calibration {
	on := p.Calibrate[t]
	if on == nil {
		return nil
	}
	if c, ok := p.fits[t]; ok {
		return c
	}
	c := calibrate(on, on.Tokens)
	if p.fits == nil {
		p.fits = map[*trace.Trace]*method.Calibration{}
	}
	p.fits[t] = c
	return c
}

// calibrate fits on the first rows of a trace, and on its last queries, up to as many. With all rows these are theirs;
// with fewer they are not, which does for finding out how long a fit takes.
func calibrate(on *trace.Trace, rows int) *method.Calibration {
	return &method.Calibration{View: func(layers []int) (*cache.View, error) {
		var ls []*trace.Layer
		for _, n := range layers {
			l, err := on.Read(n, on.Tokens)
			if err != nil {
				return nil, err
			}
			ls = append(ls, l)
		}
		queries := min(rows, on.Queries)
		v := view(on, layers, ls, 0, rows, on.Tokens-queries, on.Tokens)
		v.FirstQuery = rows - queries
		return v, nil
	}}
}

// Calibrates says why maps fitted on one trace cannot be those of another.
func Calibrates(on, t *trace.Trace) error {
	switch {
	case on.Model != t.Model:
		return fmt.Errorf("%s is of model %s, %s of %s", on.Name, on.Model, t.Name, t.Model)
	case on.QHeads != t.QHeads || on.KVHeads != t.KVHeads || on.HeadDim != t.HeadDim || on.NumLayers != t.NumLayers:
		return fmt.Errorf("%s has another shape than %s", on.Name, t.Name)
	}
	for _, l := range t.Layers {
		if !slices.Contains(on.Layers, l) {
			return fmt.Errorf("%s lacks layer %d of %s", on.Name, l, t.Name)
		}
	}
	return nil
}
