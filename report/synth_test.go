package report

import (
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"

	"kvgauge/sim/record"
)

// subject is a trace of the synthetic record set.
type subject struct {
	name, model          string
	layers               []int
	numLayers            int
	qHeads, kvHeads, dim int
	lengths              []int
	difficulty           float64 // scales the errors
}

var subjects = []subject{
	{"smollm2", "SmolLM2-135M-Instruct", []int{0, 1, 14, 15, 28, 29}, 30, 9, 3, 64, []int{128, 256, 512, 1024}, 1},
	{"bytelm", "bytelm", []int{0, 1, 2, 3, 4, 5}, 6, 8, 8, 32, []int{128, 256, 512, 1024}, 1.6},
	{"synth", "synth", []int{0, 1, 2, 3}, 4, 8, 4, 64, []int{128, 256, 512, 1024, 2048, 4096}, 0.6},
}

// synthMethod says how a method behaves: the share of the cache that it keeps at a budget, and its error.
type synthMethod struct {
	name, family string
	share        func(s subject, budget float64) float64 // 0 does not apply
	err          func(budget float64) float64
}

func keepsBudget(_ subject, budget float64) float64 { return budget }

func keepsAll(subject, float64) float64 { return 1 }

var synthMethods = []synthMethod{
	{"full", "baseline", keepsAll, func(float64) float64 { return 2e-6 }},
	{"mha", "sharing", keepsAll, func(float64) float64 { return 2e-6 }},
	{"mqa", "sharing", func(s subject, _ float64) float64 { return 1 / float64(s.kvHeads) }, func(float64) float64 { return 0.82 }},
	{"gqa:heads=2", "sharing", func(s subject, _ float64) float64 {
		if s.kvHeads%2 != 0 {
			return 0
		}
		return 2 / float64(s.kvHeads)
	}, func(float64) float64 { return 0.55 }},
	{"pyramidkv", "eviction", keepsBudget, func(b float64) float64 { return 0.03 / b }},
	{"snapkv", "eviction", keepsBudget, func(b float64) float64 { return 0.025 / b }},
	{"streamingllm", "eviction", keepsBudget, func(b float64) float64 { return 0.08 / math.Sqrt(b) }},
	{"oracle", "bound", keepsBudget, func(b float64) float64 { return 0.009 / b }},
	{"random", "bound", keepsBudget, func(b float64) float64 { return 0.2 / math.Sqrt(b) }},
}

// noise is a factor near 1 that depends on its arguments alone.
func noise(scale float64, parts ...string) float64 {
	h := fnv.New64a()
	h.Write([]byte(strings.Join(parts, "|")))
	return 1 + scale*(float64(h.Sum64()%2001)/1000-1)
}

// synthRecords are the records of a run such as the default one, at the budgets given.
func synthRecords(budgets ...string) []record.Record {
	var records []record.Record
	for _, s := range subjects {
		for _, n := range s.lengths {
			for _, m := range synthMethods {
				if m.share(s, 0.25) == 0.25 && m.family != "sharing" {
					for _, b := range budgets {
						records = append(records, synthRecord(s, n, m, ":budget="+b, percentOf(b)))
					}
				} else {
					records = append(records, synthRecord(s, n, m, "", 1))
				}
			}
		}
	}
	return records
}

// percentOf reads 25%.
func percentOf(b string) float64 {
	v := 0.0
	for _, c := range strings.TrimSuffix(b, "%") {
		v = 10*v + float64(c-'0')
	}
	return v / 100
}

func synthRecord(s subject, n int, m synthMethod, params string, budget float64) record.Record {
	r := record.Record{
		Schema: record.Schema, Status: record.OK, Trace: s.name, TraceSHA256: strings.Repeat("ab", 32), Model: s.model,
		Pipeline: m.name + params, Family: m.family, SeqLen: n, Decode: min(max(n/8, 16), 64), Windows: 1,
		Layers: s.layers, NumLayers: s.numLayers, QHeads: new(s.qHeads), KVHeads: new(s.kvHeads), HeadDim: new(s.dim),
		Seed: 1, Warnings: []record.Warning{}, Version: "v0.0.0-test",
	}
	share := m.share(s, budget)
	if share == 0 {
		r.Status, r.Reason = record.Skipped, "2 heads do not divide the trace's 3 KV heads"
		return r
	}
	full := int64(len(s.layers) * s.kvHeads * n * s.dim * 4)
	cache := int64(share * float64(full))
	metadata, weights := int64(0), int64(0)
	peak := cache + (full-cache)/int64(len(s.layers))
	r.CacheBytes, r.CacheBytesFull, r.MetadataBytes, r.PagedBytes = &cache, &full, &metadata, &cache
	r.WeightBytes, r.PeakBytes, r.TrafficBytes = &weights, &peak, &cache

	jitter := noise(0.15, s.name, m.name, lengthText(n))
	e := round(min(1.2, m.err(budget)*s.difficulty*jitter*math.Pow(float64(n)/1024, -0.1)))
	mass := round(max(0, 1-e/2))
	late := round(e / 9)
	r.Error = &record.ErrorStats{
		RelL2: e, RelL2P95: new(round(2.5 * e)), RelL2WorstLayer: new(round(1.7 * e)), Cosine: new(round(max(0, 1-e*e/2))), MaxAbs: new(round(3 * e)),
		RelL2Layers: []float64{round(0.3 * e), round(1.7 * e)}, RelL2Quarters: []float64{e, e, e, e},
	}
	if m.family != "sharing" {
		r.Error.Mass, r.Error.LateMass = &mass, &late
	}
	if n == 128 && m.family == "eviction" {
		r.Warnings = append(r.Warnings, record.Warning{Code: "schedule-uniform", Text: "the budget leaves no room for a schedule"})
	}
	fullNS := 9000 + 0.02*float64(full)
	median := int64(fullNS * (0.15 + 0.85*share) * noise(0.05, m.name, lengthText(n)))
	lo, hi := median-median/20, median+median/12
	r.Latency = &record.Latency{
		StepNS: []int64{lo, median, hi}, MedianNS: median, MeanNS: new(median + median/50), LoNS: &lo, HiNS: &hi,
		RatioToFull: round(float64(median) / fullNS), FullStepNS: []int64{int64(fullNS), int64(fullNS), int64(fullNS)}, CompressNS: new(50 * median), Threads: 2, Kernel: "avx2",
	}
	if m.family == "baseline" {
		r.Latency.RatioToFull = 1
	}
	ratioLo, ratioHi := round(0.95*r.Latency.RatioToFull), round(1.08*r.Latency.RatioToFull)
	r.Latency.RatioLo, r.Latency.RatioHi = &ratioLo, &ratioHi
	return r
}

// round keeps 5 significant digits, on which all machines agree.
func round(v float64) float64 {
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 5, 64), 64)
	return v
}

// goldenRecords are few enough to read: two traces, two lengths.
func goldenRecords() []record.Record {
	return slices.DeleteFunc(synthRecords("25%"), func(r record.Record) bool {
		return r.Trace == "bytelm" || r.SeqLen != 128 && r.SeqLen != 1024
	})
}

// pick returns the records of one pipeline.
func pick(records []record.Record, pipeline string) []record.Record {
	return slices.DeleteFunc(slices.Clone(records), func(r record.Record) bool { return r.Pipeline != pipeline })
}

// crowdRecords are those of many pipelines in six families, more than a panel holds, on two traces, at the lengths
// from 128 on that double.
func crowdRecords(pipelines, lengths int) []record.Record {
	families := []struct {
		name  string
		share float64 // of the pipelines
		least float64 // share of the cache
	}{{"sharing", 0.08, 0.3}, {"latent", 0.06, 0.2}, {"eviction", 0.44, 0.2}, {"merging", 0.04, 0.5}, {"quantisation", 0.3, 0.22}, {"selection", 0.08, 0.9}}
	methods := []synthMethod{
		{"full", "baseline", keepsAll, func(float64) float64 { return 2e-6 }},
		{"oracle", "bound", keepsBudget, func(b float64) float64 { return 0.02 / b }},
		{"random", "bound", keepsBudget, func(b float64) float64 { return 0.2 / math.Sqrt(b) }},
	}
	for _, f := range families {
		for i := range int(math.Ceil(f.share * float64(pipelines))) {
			name := f.name + strconv.Itoa(i)
			share := min(1, f.least*noise(0.4, name)+0.02*float64(i))
			methods = append(methods, synthMethod{name, f.name, func(subject, float64) float64 { return share }, func(float64) float64 {
				return 0.03 * noise(0.95, name, "error") / (share * share)
			}})
		}
	}
	methods = methods[:min(len(methods), pipelines+3)]
	var records []record.Record
	for _, s := range subjects[:2] {
		for i := range lengths {
			for _, m := range methods {
				params, budget := "", 1.0
				if m.share(s, 0.25) == 0.25 {
					params, budget = ":budget=25%", 0.25
				}
				records = append(records, synthRecord(s, 128<<i, m, params, budget))
			}
		}
	}
	return records
}
