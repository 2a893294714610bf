package record

import (
	"fmt"
	"math"
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
	if r.Latency != nil {
		return r.Latency.check()
	}
	return nil
}

// wanted is the range of the figure.
func (f Figure) wanted() string {
	if math.IsInf(f.Most, 1) {
		return "0 or more"
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
