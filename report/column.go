package report

import (
	"kvgauge/sim/record"
)

// column is one figure of the table.
type column struct {
	name  string
	about string                       // for the notes
	value func(record.Record) *float64 // nil where it was not measured
	text  func(record.Record, float64) string
	best  record.Direction
	rank  int                      // a narrow terminal loses the highest first; 0 always stays
	doubt func(record.Record) bool // the value is too unsure to be the best; nil: never
}

// columns are the figures in the order of the table.
var columns = []column{
	figureColumn("cache_bytes", "cache", "bytes of the whole cache after the last step, metadata included", 0),
	{name: "of full", about: "cache over the f16 cache of the trace's own heads", value: ofFull, text: plain(percentText)},
	{name: "weights", about: "maps that were fitted on another text of the model, beside the cache", value: weights, text: plain(byteText), rank: 6},
	figureColumn("peak_bytes", "peak", "largest cache while the prompt is reduced layer by layer, and while decoding", 5),
	figureColumn("traffic_bytes", "traffic", "cache bytes that the last step read", 7),
	ratioColumn(),
	{name: "full step", about: "median time of the full cache's step, taken beside those of the pipeline", value: fullStepNS, text: plain(timeText), rank: 6},
	errorColumn(),
	figureColumn("error.rel_l2_worst_layer", "worst", "rel_l2 of the worst layer", 3),
	figureColumn("error.rel_l2_p95", "p95", "95th percentile of rel_l2 over output rows", 6),
	figureColumn("error.mass", "mass", "share of the exact softmax mass that was attended", 4),
	figureColumn("error.late_mass", "late", "of the mass, lost on keys that recent prompt queries had ignored", 8),
	figureColumn("error.recall", "recall", "needles still in the cache when asked for", 4),
}

// figureColumn shows a figure of the record as it is.
func figureColumn(figure, name, about string, rank int) column {
	f := record.FigureOf(figure)
	return column{name: name, about: about, value: f.Value, text: plain(unitText(f.Unit)), best: f.Better, rank: rank}
}

// errorColumn shows an error with half of its interval over several windows.
func errorColumn() column {
	c := figureColumn("error.rel_l2", "rel_l2", "|O'-O| / |O| of attention outputs, mean over layers", 0)
	c.text = errorText
	return c
}

// ratioColumn shows the latency with its interval; a noisy one is no best.
func ratioColumn() column {
	c := figureColumn("latency.ratio_to_full", "x full", "time of one decode step's attention over all layers over that of the full cache, sample by sample, with a 95 % interval", 1)
	c.text, c.doubt = ratioIntervalText, noisy
	return c
}

func plain(text func(float64) string) func(record.Record, float64) string {
	return func(_ record.Record, v float64) string { return text(v) }
}

func ofFull(r record.Record) *float64 {
	if r.CacheBytes == nil || r.CacheBytesFull == nil || *r.CacheBytesFull == 0 {
		return nil
	}
	v := float64(*r.CacheBytes) / float64(*r.CacheBytesFull)
	return &v
}

// weights has no value where there are none.
func weights(r record.Record) *float64 {
	if r.WeightBytes == nil || *r.WeightBytes == 0 {
		return nil
	}
	return record.FigureOf("weight_bytes").Value(r)
}

// fullStepNS is the median of full's steps. Records of earlier versions lack them: there it is the pipeline's over
// the ratio.
func fullStepNS(r record.Record) *float64 {
	l := r.Latency
	if l == nil || len(l.FullStepNS) == 0 && l.RatioToFull == 0 {
		return nil
	}
	ns := float64(l.MedianNS) / l.RatioToFull
	if len(l.FullStepNS) > 0 {
		ns = median(record.FigureOf("latency.full_step_ns").Values(r))
	}
	return &ns
}

func noisy(r record.Record) bool { return r.Latency != nil && r.Latency.Noisy }

// errorText writes an error, and over several windows half of its interval: 22.3 ±1.4 %.
func errorText(r record.Record, e float64) string {
	if r.Error.RelL2Hi == nil {
		return percentText(e)
	}
	return digits(100*e, 3) + " ±" + digits(100*(*r.Error.RelL2Hi-e), 2) + " %"
}

// ratioIntervalText writes a ratio with the wider half of its interval: 0.44x ±3 %.
func ratioIntervalText(r record.Record, ratio float64) string {
	l := r.Latency
	if l.RatioLo == nil || l.RatioHi == nil || ratio == 0 {
		return ratioText(ratio)
	}
	half := max(ratio-*l.RatioLo, *l.RatioHi-ratio) / ratio
	return ratioText(ratio) + " ±" + digits(100*half, 1) + " %"
}
