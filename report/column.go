package report

import (
	"kvgauge/sim"
)

// direction says which values of a column are the better ones.
type direction int

const (
	unjudged direction = 0
	low      direction = -1
	high     direction = 1
)

// column is one figure of the table.
type column struct {
	name  string
	about string                    // for the notes
	value func(sim.Record) *float64 // nil where it was not measured
	text  func(sim.Record, float64) string
	best  direction
	rank  int                   // a narrow terminal loses the highest first; 0 always stays
	doubt func(sim.Record) bool // the value is too unsure to be the best; nil: never
}

// columns are the figures in the order of the table.
var columns = []column{
	{"cache", "bytes of the whole cache after the last step, metadata included", func(r sim.Record) *float64 { return whole(r.CacheBytes) }, plain(byteText), low, 0, nil},
	{"of full", "cache over the f16 cache of the trace's own heads", ofFull, plain(percentText), unjudged, 0, nil},
	{"weights", "maps that were fitted on another text of the model, beside the cache", weights, plain(byteText), unjudged, 6, nil},
	{"peak", "largest cache while the prompt is reduced layer by layer, and while decoding", func(r sim.Record) *float64 { return whole(r.PeakBytes) }, plain(byteText), low, 5, nil},
	{"traffic", "cache bytes that the last step read", func(r sim.Record) *float64 { return whole(r.TrafficBytes) }, plain(byteText), low, 7, nil},
	{"x full", "time of one decode step's attention over all layers over that of the full cache, sample by sample, with a 95 % interval", ratioToFull, ratioIntervalText, low, 1, noisy},
	{"full step", "median time of the full cache's step, taken beside those of the pipeline", fullStepNS, plain(timeText), unjudged, 6, nil},
	{"rel_l2", "|O'-O| / |O| of attention outputs, mean over layers", errorOf(func(e *sim.ErrorStats) *float64 { return &e.RelL2 }), errorText, low, 0, nil},
	{"worst", "rel_l2 of the worst layer", errorOf(func(e *sim.ErrorStats) *float64 { return &e.RelL2WorstLayer }), plain(percentText), low, 3, nil},
	{"p95", "95th percentile of rel_l2 over output rows", errorOf(func(e *sim.ErrorStats) *float64 { return &e.RelL2P95 }), plain(percentText), low, 6, nil},
	{"mass", "share of the exact softmax mass that was attended", errorOf(func(e *sim.ErrorStats) *float64 { return e.Mass }), plain(percentText), high, 4, nil},
	{"late", "of the mass, lost on keys that recent prompt queries had ignored", errorOf(func(e *sim.ErrorStats) *float64 { return e.LateMass }), plain(percentText), unjudged, 8, nil},
	{"recall", "needles still in the cache when asked for", errorOf(func(e *sim.ErrorStats) *float64 { return e.Recall }), plain(percentText), high, 4, nil},
}

func whole(n *int64) *float64 {
	if n == nil {
		return nil
	}
	v := float64(*n)
	return &v
}

func errorOf(field func(*sim.ErrorStats) *float64) func(sim.Record) *float64 {
	return func(r sim.Record) *float64 {
		if r.Error == nil {
			return nil
		}
		return field(r.Error)
	}
}

func plain(text func(float64) string) func(sim.Record, float64) string {
	return func(_ sim.Record, v float64) string { return text(v) }
}

func ofFull(r sim.Record) *float64 {
	if r.CacheBytes == nil || r.CacheBytesFull == nil || *r.CacheBytesFull == 0 {
		return nil
	}
	v := float64(*r.CacheBytes) / float64(*r.CacheBytesFull)
	return &v
}

// weights has no value where there are none.
func weights(r sim.Record) *float64 {
	if r.WeightBytes == nil || *r.WeightBytes == 0 {
		return nil
	}
	return whole(r.WeightBytes)
}

// fullStepNS is the median of full's steps. Records of earlier versions lack them: there it is the pipeline's over
// the ratio.
func fullStepNS(r sim.Record) *float64 {
	l := r.Latency
	if l == nil || len(l.FullStepNS) == 0 && l.RatioToFull == 0 {
		return nil
	}
	ns := float64(l.MedianNS) / l.RatioToFull
	if len(l.FullStepNS) > 0 {
		ns = median(floats(l.FullStepNS))
	}
	return &ns
}

func floats(ns []int64) []float64 {
	var fs []float64
	for _, n := range ns {
		fs = append(fs, float64(n))
	}
	return fs
}

func noisy(r sim.Record) bool { return r.Latency != nil && r.Latency.Noisy }

func ratioToFull(r sim.Record) *float64 {
	if r.Latency == nil {
		return nil
	}
	return &r.Latency.RatioToFull
}

// errorText writes an error, and over several windows half of its interval: 22.3 ±1.4 %.
func errorText(r sim.Record, e float64) string {
	if r.Error.RelL2Hi == nil {
		return percentText(e)
	}
	return digits(100*e, 3) + " ±" + digits(100*(*r.Error.RelL2Hi-e), 2) + " %"
}

// ratioIntervalText writes a ratio with the wider half of its interval: 0.44x ±3 %.
func ratioIntervalText(r sim.Record, ratio float64) string {
	l := r.Latency
	if l.RatioLo == nil || l.RatioHi == nil || ratio == 0 {
		return ratioText(ratio)
	}
	half := max(ratio-*l.RatioLo, *l.RatioHi-ratio) / ratio
	return ratioText(ratio) + " ±" + digits(100*half, 1) + " %"
}
