package report

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"kvgauge/sim/record"
)

// TestBenchfmtReads reads the output back with the library that benchstat uses.
func TestBenchfmtReads(t *testing.T) {
	records := goldenRecords()
	records[0].Trace, records[0].Pipeline = "my trace/x", "external name:groups=0/1"
	records[1].Latency = nil
	want := map[string]int{} // lines by name
	for _, r := range records {
		if r.Status == record.OK {
			n := 1
			if r.Latency != nil {
				n = len(r.Latency.StepNS)
			}
			want["KV/trace="+benchName(r.Trace)+"/pipeline="+benchName(r.Pipeline)+"/decode="+strconv.Itoa(r.Decode)+"/len="+strconv.Itoa(r.SeqLen)] = n
		}
	}
	reader := benchfmt.NewReader(bytes.NewReader(write(t, records, Options{Format: "benchfmt"})), "records")
	got := map[string]int{}
	for reader.Scan() {
		switch rec := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			t.Error(rec)
		case *benchfmt.Result:
			got[string(rec.Name)]++
			r := records[slices.IndexFunc(records, func(r record.Record) bool {
				return strings.Contains(string(rec.Name), "trace="+benchName(r.Trace)+"/pipeline="+benchName(r.Pipeline)+"/decode="+strconv.Itoa(r.Decode)+"/len="+strconv.Itoa(r.SeqLen))
			})]
			if v, ok := rec.Value("cache-bytes"); !ok || v != float64(*r.CacheBytes) {
				t.Errorf("%s: cache-bytes %v, want %d", rec.Name, v, *r.CacheBytes)
			}
			if v, ok := rec.Value("rel-l2"); !ok || v != r.Error.RelL2 {
				t.Errorf("%s: rel-l2 %v, want %v", rec.Name, v, r.Error.RelL2)
			}
			if rec.GetConfig("seed") != "1" || rec.GetConfig("model") != r.Model || rec.GetConfig("windows") != "1" ||
				rec.GetConfig("trace-sha256") != r.TraceSHA256 || rec.GetConfig("layers") != record.LayerList(r.Layers) {
				t.Errorf("%s: configuration %v", rec.Name, rec.Config)
			}
		}
	}
	if err := reader.Err(); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d benchmarks, want %d", len(got), len(want))
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%s: %d lines, want %d", name, got[name], n)
		}
	}
	if reader.Units().GetBetter("rel-l2") != -1 || reader.Units().Get("cache-bytes", "assume") == nil {
		t.Errorf("units %v", reader.Units())
	}
}

// TestBenchfmtKeepsCellsApart: cells of other content, layers, windows, seed, length or decoded tokens share no benchmark
// under one configuration.
func TestBenchfmtKeepsCellsApart(t *testing.T) {
	first := goldenRecords()[0]
	records := []record.Record{first}
	for _, edit := range []func(*record.Record){
		func(r *record.Record) { r.TraceSHA256 = "other" },
		func(r *record.Record) { r.Model = "other" },
		func(r *record.Record) { r.Layers = []int{1} },
		func(r *record.Record) { r.Windows = 2 },
		func(r *record.Record) { r.Seed++ },
		func(r *record.Record) { r.Decode++ },
		func(r *record.Record) { r.SeqLen++ },
		func(r *record.Record) { r.Pipeline = "other" },
	} {
		r := first
		edit(&r)
		records = append(records, r)
	}
	seen := map[string]bool{}
	reader := benchfmt.NewReader(bytes.NewReader(write(t, records, Options{Format: "benchfmt"})), "records")
	for reader.Scan() {
		if rec, ok := reader.Result().(*benchfmt.Result); ok {
			key := string(rec.Name)
			for _, c := range rec.Config {
				key += " " + c.Key + ":" + string(c.Value)
			}
			seen[key] = true
		}
	}
	if len(seen) != len(records) {
		t.Errorf("%d cells share %d benchmarks: %v", len(records), len(seen), seen)
	}
}
