package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"kvgauge/sim"
)

// csvColumns are the fields of a record in its order, nested names joined by an underscore. Kept
// positions, lists of lists, are left to JSON.
var csvColumns = []struct {
	name  string
	value func(sim.Record) string
}{
	{"schema", func(r sim.Record) string { return strconv.Itoa(r.Schema) }},
	{"status", func(r sim.Record) string { return string(r.Status) }},
	{"reason", func(r sim.Record) string { return r.Reason }},
	{"trace", func(r sim.Record) string { return r.Trace }},
	{"trace_sha256", func(r sim.Record) string { return r.TraceSHA256 }},
	{"model", func(r sim.Record) string { return r.Model }},
	{"pipeline", func(r sim.Record) string { return r.Pipeline }},
	{"family", func(r sim.Record) string { return r.Family }},
	{"seq_len", func(r sim.Record) string { return strconv.Itoa(r.SeqLen) }},
	{"decode", func(r sim.Record) string { return strconv.Itoa(r.Decode) }},
	{"windows", func(r sim.Record) string { return strconv.Itoa(r.Windows) }},
	{"layers", func(r sim.Record) string { return list(r.Layers, strconv.Itoa) }},
	{"num_layers", func(r sim.Record) string { return strconv.Itoa(r.NumLayers) }},
	{"q_heads", func(r sim.Record) string { return strconv.Itoa(r.QHeads) }},
	{"kv_heads", func(r sim.Record) string { return strconv.Itoa(r.KVHeads) }},
	{"head_dim", func(r sim.Record) string { return strconv.Itoa(r.HeadDim) }},
	{"seed", func(r sim.Record) string { return strconv.FormatUint(r.Seed, 10) }},

	{"cache_bytes", func(r sim.Record) string { return optional(r.CacheBytes, integer) }},
	{"cache_bytes_full", func(r sim.Record) string { return optional(r.CacheBytesFull, integer) }},
	{"metadata_bytes", func(r sim.Record) string { return optional(r.MetadataBytes, integer) }},
	{"paged_bytes", func(r sim.Record) string { return optional(r.PagedBytes, integer) }},
	{"weight_bytes", func(r sim.Record) string { return optional(r.WeightBytes, integer) }},
	{"peak_bytes", func(r sim.Record) string { return optional(r.PeakBytes, integer) }},
	{"traffic_bytes", func(r sim.Record) string { return optional(r.TrafficBytes, integer) }},
	{"target_bytes", func(r sim.Record) string { return optional(r.TargetBytes, integer) }},
	{"knob", func(r sim.Record) string { return r.Knob }},

	{"error_rel_l2", ofError(func(e sim.ErrorStats) string { return number(e.RelL2) })},
	{"error_rel_l2_lo", ofError(func(e sim.ErrorStats) string { return optional(e.RelL2Lo, number) })},
	{"error_rel_l2_hi", ofError(func(e sim.ErrorStats) string { return optional(e.RelL2Hi, number) })},
	{"error_rel_l2_windows", ofError(func(e sim.ErrorStats) string { return list(e.RelL2Windows, number) })},
	{"error_rel_l2_p95", ofError(func(e sim.ErrorStats) string { return number(e.RelL2P95) })},
	{"error_rel_l2_worst_layer", ofError(func(e sim.ErrorStats) string { return number(e.RelL2WorstLayer) })},
	{"error_rel_l2_layers", ofError(func(e sim.ErrorStats) string { return list(e.RelL2Layers, number) })},
	{"error_rel_l2_quarters", ofError(func(e sim.ErrorStats) string { return list(e.RelL2Quarters, number) })},
	{"error_cosine", ofError(func(e sim.ErrorStats) string { return number(e.Cosine) })},
	{"error_max_abs", ofError(func(e sim.ErrorStats) string { return number(e.MaxAbs) })},
	{"error_mass", ofError(func(e sim.ErrorStats) string { return optional(e.Mass, number) })},
	{"error_late_mass", ofError(func(e sim.ErrorStats) string { return optional(e.LateMass, number) })},
	{"error_recall", ofError(func(e sim.ErrorStats) string { return optional(e.Recall, number) })},

	{"latency_step_ns", ofLatency(func(l sim.Latency) string { return list(l.StepNS, integer) })},
	{"latency_full_step_ns", ofLatency(func(l sim.Latency) string { return list(l.FullStepNS, integer) })},
	{"latency_median_ns", ofLatency(func(l sim.Latency) string { return integer(l.MedianNS) })},
	{"latency_mean_ns", ofLatency(func(l sim.Latency) string { return integer(l.MeanNS) })},
	{"latency_lo_ns", ofLatency(func(l sim.Latency) string { return optional(l.LoNS, integer) })},
	{"latency_hi_ns", ofLatency(func(l sim.Latency) string { return optional(l.HiNS, integer) })},
	{"latency_ratio_to_full", ofLatency(func(l sim.Latency) string { return number(l.RatioToFull) })},
	{"latency_ratio_lo", ofLatency(func(l sim.Latency) string { return optional(l.RatioLo, number) })},
	{"latency_ratio_hi", ofLatency(func(l sim.Latency) string { return optional(l.RatioHi, number) })},
	{"latency_noisy", ofLatency(func(l sim.Latency) string { return strconv.FormatBool(l.Noisy) })},
	{"latency_compress_ns", ofLatency(func(l sim.Latency) string { return integer(l.CompressNS) })},
	{"latency_cold", ofLatency(func(l sim.Latency) string { return strconv.FormatBool(l.Cold) })},
	{"latency_bound", ofLatency(func(l sim.Latency) string { return optional(l.Bound, func(s string) string { return s }) })},
	{"latency_threads", ofLatency(func(l sim.Latency) string { return strconv.Itoa(l.Threads) })},
	{"latency_kernel", ofLatency(func(l sim.Latency) string { return l.Kernel })},

	{"modelled", func(r sim.Record) string { return optional(r.Modelled, number) }},
	{"warnings", func(r sim.Record) string { return list(r.Warnings, func(w sim.Warning) string { return w.Code }) }},
	{"version", func(r sim.Record) string { return r.Version }},
}

// writeCSV writes one row a record: raw numbers, null as an empty field, lists joined by a slash, of
// warnings the codes.
func writeCSV(w io.Writer, records []sim.Record, _ Options) error {
	c := csv.NewWriter(w)
	row := make([]string, len(csvColumns))
	for i, col := range csvColumns {
		row[i] = col.name
	}
	if err := c.Write(row); err != nil {
		return err
	}
	for _, r := range records {
		for i, col := range csvColumns {
			row[i] = col.value(r)
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func integer(n int64) string { return strconv.FormatInt(n, 10) }

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func optional[T any](v *T, text func(T) string) string {
	if v == nil {
		return ""
	}
	return text(*v)
}

func list[T any](vs []T, text func(T) string) string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = text(v)
	}
	return strings.Join(parts, "/")
}

func ofError(text func(sim.ErrorStats) string) func(sim.Record) string {
	return func(r sim.Record) string { return optional(r.Error, text) }
}

func ofLatency(text func(sim.Latency) string) func(sim.Record) string {
	return func(r sim.Record) string { return optional(r.Latency, text) }
}
