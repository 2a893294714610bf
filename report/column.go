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
	rank  int // a narrow terminal loses the highest first; 0 always stays
}

// columns are the figures in the order of the table.
var columns = []column{
	{"cache", "bytes of the whole cache after the last step, metadata included", func(r sim.Record) *float64 { return whole(r.CacheBytes) }, plain(byteText), low, 0},
	{"of full", "cache over the f16 cache of the trace's own heads", ofFull, plain(percentText), unjudged, 0},
	{"weights", "maps that were fitted on another text of the model, beside the cache", weights, plain(byteText), unjudged, 6},
	{"peak", "largest cache while the prompt is reduced layer by layer, and while decoding", func(r sim.Record) *float64 { return whole(r.PeakBytes) }, plain(byteText), low, 5},
	{"traffic", "cache bytes that the last step read", func(r sim.Record) *float64 { return whole(r.TrafficBytes) }, plain(byteText), low, 7},
	{"step", "median time of one decode step's attention over all layers, with a 95 % interval", stepNS, stepText, low, 1},
	{"x full", "step over that of the full cache, sample by sample", ratioToFull, plain(ratioText), low, 2},
	{"rel_l2", "|O'-O| / |O| of attention outputs, mean over layers", errorOf(func(e *sim.ErrorStats) *float64 { return &e.RelL2 }), errorText, low, 0},
	{"worst", "rel_l2 of the worst layer", errorOf(func(e *sim.ErrorStats) *float64 { return &e.RelL2WorstLayer }), plain(percentText), low, 3},
	{"p95", "95th percentile of rel_l2 over output rows", errorOf(func(e *sim.ErrorStats) *float64 { return &e.RelL2P95 }), plain(percentText), low, 6},
	{"mass", "share of the exact softmax mass that was attended", errorOf(func(e *sim.ErrorStats) *float64 { return e.Mass }), plain(percentText), high, 4},
	{"late", "of the mass, lost on keys that recent prompt queries had ignored", errorOf(func(e *sim.ErrorStats) *float64 { return e.LateMass }), plain(percentText), unjudged, 8},
	{"recall", "needles still in the cache when asked for", errorOf(func(e *sim.ErrorStats) *float64 { return e.Recall }), plain(percentText), high, 4},
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

func stepNS(r sim.Record) *float64 {
	if r.Latency == nil {
		return nil
	}
	return whole(&r.Latency.MedianNS)
}

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

// stepText writes a median with the wider half of its interval: 812 µs ±3 %.
func stepText(r sim.Record, ns float64) string {
	l := r.Latency
	if l.LoNS == nil || l.HiNS == nil || ns == 0 {
		return timeText(ns)
	}
	half := max(ns-float64(*l.LoNS), float64(*l.HiNS)-ns) / ns
	return timeText(ns) + " ±" + digits(100*half, 1) + " %"
}
