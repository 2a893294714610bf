package sim

import (
	"fmt"
	"slices"

	"kvgauge/sim/cache"
	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// calibrations are the texts that maps are fitted on, and what was fitted, by the trace that the maps are for.
type calibrations struct {
	on     map[*trace.Header]*trace.Trace
	fitted map[*trace.Header]*method.Calibration
}

// newCalibrations finds the texts of a plan among the open traces.
func newCalibrations(o Options, open map[*trace.Header]*trace.Trace) calibrations {
	c := calibrations{map[*trace.Header]*trace.Trace{}, map[*trace.Header]*method.Calibration{}}
	for t, on := range o.Calibrate {
		c.on[t] = open[on]
	}
	return c
}

// of returns what is fitted for a trace, nil where there is no text to fit on.
func (c *calibrations) of(t *trace.Header) *method.Calibration {
	on := c.on[t]
	if on == nil {
		return nil
	}
	if c.fitted[t] == nil {
		c.fitted[t] = calibrate(on, on.Tokens)
	}
	return c.fitted[t]
}

// calibrate fits on the first rows of a trace, and on its last queries, up to as many. With all rows these are theirs;
// with fewer they are not, which does for finding out how long a fit takes.
func calibrate(on *trace.Trace, rows int) *method.Calibration {
	return &method.Calibration{View: func(layers []int) (*cache.View, error) {
		var ls []*trace.Layer
		for _, n := range layers {
			l, err := on.Read(n, on.Tokens, 0)
			if err != nil {
				return nil, err
			}
			ls = append(ls, l)
		}
		queries := min(rows, on.Queries)
		v := view(&on.Header, layers, ls, 0, rows, on.Tokens-queries, on.Tokens, nil)
		v.FirstQuery = rows - queries
		return v, nil
	}}
}

// Calibrates says why maps fitted on one trace cannot be those of another. Maps that were fitted on the text itself would have
// seen the tokens that are decoded.
func Calibrates(on, t *trace.Trace) error {
	if err := sameShapes(&on.Header, &t.Header); err != nil {
		return err
	}
	same, err := trace.SameText(on, t)
	if err == nil && same {
		err = fmt.Errorf("%s is the text of %s itself, whose decoded tokens maps must not have seen: want another text of the model", on.Name, t.Name)
	}
	return err
}

// sameShapes says why maps of one shape cannot be those of another.
func sameShapes(on, t *trace.Header) error {
	switch {
	case on.Model != t.Model:
		return fmt.Errorf("%s is of model %s, %s of %s", on.Name, on.Model, t.Name, t.Model)
	case on.NumLayers != t.NumLayers:
		return fmt.Errorf("%s has another shape than %s", on.Name, t.Name)
	}
	for _, l := range t.Layers {
		switch {
		case !slices.Contains(on.Layers, l):
			return fmt.Errorf("%s lacks layer %d of %s", on.Name, l, t.Name)
		case !on.At(l).Same(t.At(l)), on.Owner(l) != t.Owner(l):
			return fmt.Errorf("%s has another shape than %s", on.Name, t.Name)
		}
	}
	return nil
}
