package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"kvgauge/sim/arch"
	"kvgauge/sim/record"
)

// capacities are two pipelines at two lengths, one of which is not modelled.
func capacities(memory bool) []record.Capacity {
	at := func(pipeline, family string, n int, bytes, full, context, batch int64, perToken float64) record.Capacity {
		constant, one := int64(64), bytes
		c := record.Capacity{
			Model: "m|1", Engine: "ideal", Pipeline: pipeline, Family: family, SeqLen: n, Batch: 1, DType: "f16", Ranks: 1, Source: "these stores",
			CacheBytes: &one, BatchBytes: &bytes, FullBytes: &full, GrowingBytesPerToken: &perToken, ConstantBytes: &constant,
		}
		if memory {
			all, weights := int64(1<<30), int64(1<<29)
			c.MemoryBytes, c.WeightBytes, c.MaxContext, c.MaxBatch = &all, &weights, &context, &batch
		}
		return c
	}
	missing := record.Capacity{Model: "m|1", Engine: "ideal", Pipeline: "z", Family: "eviction", Batch: 1, DType: "f16", Ranks: 1, Reason: "it\ndepends"}
	small, large := missing, missing
	small.SeqLen, large.SeqLen = 1024, 4096
	if memory {
		small.MemoryBytes, large.MemoryBytes = new(int64), new(int64)
		small.WeightBytes, large.WeightBytes = new(int64), new(int64)
	}
	return []record.Capacity{
		at("full", "baseline", 1024, 1<<20, 1<<20, 524288, 400, 1024), small, at("half", "eviction", 1024, 1<<19, 1<<20, 1048576, 900, 512.5),
		at("full", "baseline", 4096, 1<<22, 1<<22, 524288, 100, 1024), large, at("half", "eviction", 4096, 1<<21, 1<<22, 1048576, 200, 512.5),
	}
}

// writePlan writes lines.
func writePlan(t *testing.T, lines []record.Capacity, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteCapacities(&b, lines, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCapacityTable(t *testing.T) {
	golden(t, "capacity.table", []byte(writePlan(t, capacities(false), Options{Format: "table"})))
	golden(t, "capacity_memory.table", []byte(writePlan(t, capacities(true), Options{Format: "table"})))
	golden(t, "capacity.markdown", []byte(writePlan(t, capacities(true), Options{Format: "markdown"})))
}

// TestCapacityTableFits a terminal: the longest length stays.
func TestCapacityTableFits(t *testing.T) {
	text := writePlan(t, capacities(false), Options{Format: "table", Width: 50})
	if header := strings.Split(text, "\n")[1]; strings.Contains(header, "1k") || !strings.Contains(header, "4k") || !strings.Contains(text, "left out to fit 50 columns: 1k") {
		t.Errorf("the table does not fit:\n%s", text)
	}
}

// TestCapacityMachineFormats have every number in full, null where there is none.
func TestCapacityMachineFormats(t *testing.T) {
	var lines []map[string]any
	if err := json.Unmarshal([]byte(writePlan(t, capacities(true), Options{Format: "json"})), &lines); err != nil {
		t.Fatal(err)
	}
	// Sorted by what a pipeline buys.
	if lines[0]["pipeline"] != "half" || lines[1]["pipeline"] != "full" || lines[2]["pipeline"] != "z" || lines[2]["cache_bytes"] != nil || lines[0]["max_batch"] != 900.0 {
		t.Errorf("%v", lines)
	}
	for _, name := range []string{"model", "engine", "pipeline", "seq_len", "batch", "cache_bytes", "growing_bytes_per_token", "constant_bytes", "max_batch", "step_ns", "tokens_per_s"} {
		if _, ok := lines[2][name]; !ok {
			t.Errorf("JSON lacks %s", name)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(writePlan(t, capacities(false), Options{Format: "csv"}))).ReadAll()
	if err != nil || len(rows) != 7 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for i, name := range rows[0] {
		want, ok := map[string]string{"cache_bytes": "524288", "growing_bytes_per_token": "512.5", "max_batch": "", "pipeline": "half"}[name]
		if got := rows[3][i]; ok && got != want {
			t.Errorf("CSV: %s: %q, want %q", name, got, want)
		}
	}
}

// TestCapacityFigure has a curve for each pipeline that is modelled, the memory as a line, and both within its axes.
func TestCapacityFigure(t *testing.T) {
	f, err := capacityFigure(capacities(true))
	if err != nil {
		t.Fatal(err)
	}
	p := f.panels[0]
	if len(p.series) != 3 || len(f.order) != 3 || f.order[2].name != "memory beside the weights, 512 MiB" {
		t.Errorf("%d curves, legend %v", len(p.series), f.order)
	}
	for _, s := range p.series {
		for _, pt := range s.points {
			if pt.y < p.y.low || pt.y > p.y.high || pt.x < p.x.low || pt.x > p.x.high {
				t.Errorf("%s: point %v, %v is outside of the axes", s.style.name, pt.x, pt.y)
			}
		}
	}
	if png, err := f.draw("png"); err != nil || len(png) < 1000 {
		t.Errorf("%d bytes, %v", len(png), err)
	}
	if _, err := capacityFigure(capacities(false)[1:2]); err == nil {
		t.Error("drew a plan without a figure")
	}
}

func TestModelLayers(t *testing.T) {
	var b bytes.Buffer
	for _, name := range []string{"gpt-oss-20b", "qwen3-next-80b-a3b", "gemma-4-e2b"} {
		p, err := arch.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := arch.Read(p.Config)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteModelLayers(&b, name, m); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "layers.table", b.Bytes())
}
