package record

import (
	"fmt"
	"math"
	"slices"
)

// check says which field of a record no run could have written. JSON has no NaN and no infinity.
func check(r Record) error {
	switch {
	case r.Schema != Schema:
		return fmt.Errorf("schema: %d, want %d", r.Schema, Schema)
	case r.Status != OK && r.Status != Skipped && r.Status != Failed:
		return fmt.Errorf("status: %q, want %s, %s or %s", r.Status, OK, Skipped, Failed)
	case r.Trace == "":
		return fmt.Errorf("trace: empty, want a name")
	case r.Pipeline == "":
		return fmt.Errorf("pipeline: empty, want methods joined by +")
	case r.Family == "":
		return fmt.Errorf("family: empty, want the families of the pipeline")
	case r.SeqLen < 1:
		return fmt.Errorf("seq_len: %d, want at least 1", r.SeqLen)
	case r.Decode < 0 || r.Decode > r.SeqLen:
		return fmt.Errorf("decode: %d, want 0 to seq_len %d", r.Decode, r.SeqLen)
	}
	for _, f := range Figures {
		for i, v := range f.Values(r) {
			if v < f.Least || v > f.Most {
				place := ""
				if f.Value(r) == nil {
					place = fmt.Sprintf("[%d]", i)
				}
				return fmt.Errorf("%s%s: %v, want %s", f.Name, place, v, f.wanted())
			}
		}
	}
	if e := r.Error; e != nil && e.RelL2Windows != nil && len(e.RelL2Windows) != r.Windows {
		return fmt.Errorf("error.rel_l2_windows: %d errors, want one for each of %d windows", len(e.RelL2Windows), r.Windows)
	}
	if r.ChangedLayers != nil && *r.ChangedLayers > len(r.Layers) {
		return fmt.Errorf("changed_layers: %d, want no more than the %d layers", *r.ChangedLayers, len(r.Layers))
	}
	if err := checkShapes(r); err != nil {
		return err
	}
	if r.Latency != nil {
		return r.Latency.check()
	}
	return nil
}

// checkShapes says which shape is of no layer of the record, or of none that there could be.
func checkShapes(r Record) error {
	for i, s := range r.Shapes {
		if i > 0 && s.Layer <= r.Shapes[i-1].Layer {
			return fmt.Errorf("shapes[%d].layer: %d, want one after layer %d", i, s.Layer, r.Shapes[i-1].Layer)
		}
		if !slices.Contains(r.Layers, s.Layer) {
			return fmt.Errorf("shapes[%d].layer: %d, want one of the layers %s", i, s.Layer, LayerList(r.Layers))
		}
		for _, f := range []struct {
			name         string
			value, least int
		}{
			{"q_heads", s.QHeads, 1},
			{"kv_heads", s.KVHeads, 1},
			{"qk_dim", s.QKDim, 1},
			{"v_dim", s.VDim, 1},
			{"window", s.Window, 0},
			{"chunk", s.Chunk, 0},
		} {
			if f.value < f.least {
				return fmt.Errorf("shapes[%d].%s: %d, want %d or more", i, f.name, f.value, f.least)
			}
		}
		if s.QHeads%s.KVHeads != 0 {
			return fmt.Errorf("shapes[%d].kv_heads: %d, want a divisor of the %d query heads", i, s.KVHeads, s.QHeads)
		}
	}
	return nil
}

// wanted is the range of the figure.
func (f Figure) wanted() string {
	if math.IsInf(f.Most, 1) {
		return fmt.Sprintf("%g or more", f.Least)
	}
	return fmt.Sprintf("%g to %g", f.Least, f.Most)
}

// check says which figures of a latency contradict each other.
func (l *Latency) check() error {
	switch {
	case l.RatioLo != nil && *l.RatioLo > l.RatioToFull:
		return fmt.Errorf("latency.ratio_lo: %v, want 0 to the ratio %v", *l.RatioLo, l.RatioToFull)
	case l.RatioHi != nil && *l.RatioHi < l.RatioToFull:
		return fmt.Errorf("latency.ratio_hi: %v, want the ratio %v to %g", *l.RatioHi, l.RatioToFull, maxFigure)
	case l.LoNS != nil && *l.LoNS > l.MedianNS:
		return fmt.Errorf("latency.lo_ns: %d, want 0 to the median %d", *l.LoNS, l.MedianNS)
	case l.HiNS != nil && *l.HiNS < l.MedianNS:
		return fmt.Errorf("latency.hi_ns: %d, want the median %d or more", *l.HiNS, l.MedianNS)
	}
	if n := len(l.FullStepNS); n > 0 && n != len(l.StepNS) {
		return fmt.Errorf("latency.full_step_ns: %d samples, want one beside each of the %d of step_ns", n, len(l.StepNS))
	}
	return nil
}
