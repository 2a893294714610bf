package report

import (
	"fmt"

	"kvgauge/sim"
)

// maxShare is far above any error or ratio that a run measures, and far below where an axis overflows.
const maxShare = 1e100

// check says which field of a record no run could have written. JSON has no NaN and no infinity.
func check(r sim.Record) error {
	switch {
	case r.Schema != sim.Schema:
		return fmt.Errorf("schema: %d, want %d", r.Schema, sim.Schema)
	case r.Status != sim.OK && r.Status != sim.Skipped && r.Status != sim.Failed:
		return fmt.Errorf("status: %q, want %s, %s or %s", r.Status, sim.OK, sim.Skipped, sim.Failed)
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
	for _, f := range []struct {
		name  string
		value *int64
	}{
		{"cache_bytes", r.CacheBytes},
		{"cache_bytes_full", r.CacheBytesFull},
		{"metadata_bytes", r.MetadataBytes},
		{"paged_bytes", r.PagedBytes},
		{"weight_bytes", r.WeightBytes},
		{"peak_bytes", r.PeakBytes},
		{"traffic_bytes", r.TrafficBytes},
		{"target_bytes", r.TargetBytes},
	} {
		if f.value != nil && *f.value < 0 {
			return fmt.Errorf("%s: %d, want 0 or more", f.name, *f.value)
		}
	}
	if err := checkError(r.Error); err != nil {
		return err
	}
	if r.Error != nil && r.Error.RelL2Windows != nil && len(r.Error.RelL2Windows) != r.Windows {
		return fmt.Errorf("error.rel_l2_windows: %d errors, want one for each of %d windows", len(r.Error.RelL2Windows), r.Windows)
	}
	return checkLatency(r.Latency)
}

func checkError(e *sim.ErrorStats) error {
	if e == nil {
		return nil
	}
	for _, f := range []struct {
		name   string
		values []float64
	}{
		{"rel_l2", []float64{e.RelL2}},
		{"rel_l2_lo", given(e.RelL2Lo)},
		{"rel_l2_hi", given(e.RelL2Hi)},
		{"rel_l2_windows", e.RelL2Windows},
		{"rel_l2_p95", []float64{e.RelL2P95}},
		{"rel_l2_worst_layer", []float64{e.RelL2WorstLayer}},
		{"rel_l2_layers", e.RelL2Layers},
		{"rel_l2_quarters", e.RelL2Quarters},
		{"max_abs", []float64{e.MaxAbs}},
		{"mass", given(e.Mass)},
		{"late_mass", given(e.LateMass)},
		{"recall", given(e.Recall)},
	} {
		for _, v := range f.values {
			if v < 0 || v > maxShare {
				return fmt.Errorf("error.%s: %v, want 0 to %g", f.name, v, maxShare)
			}
		}
	}
	return nil
}

// given is the value of a field that may be null.
func given(v *float64) []float64 {
	if v == nil {
		return nil
	}
	return []float64{*v}
}

func checkLatency(l *sim.Latency) error {
	switch {
	case l == nil:
		return nil
	case l.MedianNS < 0:
		return fmt.Errorf("latency.median_ns: %d, want 0 or more", l.MedianNS)
	case l.RatioToFull < 0 || l.RatioToFull > maxShare:
		return fmt.Errorf("latency.ratio_to_full: %v, want 0 to %g", l.RatioToFull, maxShare)
	case l.RatioLo != nil && !(*l.RatioLo >= 0 && *l.RatioLo <= l.RatioToFull):
		return fmt.Errorf("latency.ratio_lo: %v, want 0 to the ratio %v", *l.RatioLo, l.RatioToFull)
	case l.RatioHi != nil && !(*l.RatioHi >= l.RatioToFull && *l.RatioHi <= maxShare):
		return fmt.Errorf("latency.ratio_hi: %v, want the ratio %v to %g", *l.RatioHi, l.RatioToFull, maxShare)
	case l.LoNS != nil && (*l.LoNS < 0 || *l.LoNS > l.MedianNS):
		return fmt.Errorf("latency.lo_ns: %d, want 0 to the median %d", *l.LoNS, l.MedianNS)
	case l.HiNS != nil && *l.HiNS < l.MedianNS:
		return fmt.Errorf("latency.hi_ns: %d, want the median %d or more", *l.HiNS, l.MedianNS)
	}
	for _, f := range []struct {
		name  string
		steps []int64
	}{{"step_ns", l.StepNS}, {"full_step_ns", l.FullStepNS}} {
		for i, ns := range f.steps {
			if ns < 0 {
				return fmt.Errorf("latency.%s[%d]: %d, want 0 or more", f.name, i, ns)
			}
		}
	}
	if n := len(l.FullStepNS); n > 0 && n != len(l.StepNS) {
		return fmt.Errorf("latency.full_step_ns: %d samples, want one beside each of the %d of step_ns", n, len(l.StepNS))
	}
	return nil
}
