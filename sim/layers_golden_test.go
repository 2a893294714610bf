package sim

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kvgauge/sim/record"
)

// layersGolden is what a pipeline gives on a trace of testdata/goldens/layers, by a float64 computation from the
// definitions (expected.py).
type layersGolden struct {
	Trace          string
	Pipeline       string
	RelL2Layers    []float64 `json:"rel_l2_layers"`
	Mass           *float64
	LateMass       *float64   `json:"late_mass"`
	CacheBytes     int64      `json:"cache_bytes"`
	CacheBytesFull int64      `json:"cache_bytes_full"`
	PeakBytes      int64      `json:"peak_bytes"`
	ChangedLayers  int        `json:"changed_layers"`
	Kept           [][]string // [layer][stored head] positions after prefill, as in "0-3 80 92-95"
	NearTies       []int      `json:"near_ties"` // layers whose entries hang on scores that float32 may order otherwise
}

// TestLayersGolden: errors, mass, bytes and kept entries on windows, chunks, sinks, caps, scales, ALiBi, and on heads,
// widths and rotary embeddings that differ by layer, are those that the definitions give.
func TestLayersGolden(t *testing.T) {
	dir := filepath.Join("..", "testdata", "goldens", "layers")
	var all []layersGolden
	readJSON(t, filepath.Join(dir, "expected.json"), &all)
	byTrace := map[string][]layersGolden{}
	for _, g := range all {
		byTrace[g.Trace] = append(byTrace[g.Trace], g)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(files) != len(byTrace) || len(files) == 0 {
		t.Fatalf("%d traces, expectations of %d: %v", len(files), len(byTrace), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".safetensors")
		t.Run(name, func(t *testing.T) { checkLayers(t, file, byTrace[name]) })
	}
}

// checkLayers runs the pipelines of a trace's expectations.
func checkLayers(t *testing.T, file string, goldens []layersGolden) {
	tr := openTrace(t, file)
	if len(tr.Unknown) > 0 {
		t.Errorf("the trace has fields that kvgauge does not read: %q", tr.Unknown)
	}
	var specs []string
	for _, g := range goldens {
		specs = append(specs, g.Pipeline)
	}
	recs := runCells(t, Options{Traces: headers(tr), Pipelines: parse(t, specs...), Lengths: []int{tr.Tokens}, Decode: new(16), Kept: true, Threads: 2})
	if len(recs) != len(goldens) {
		t.Fatalf("%d records, want %d", len(recs), len(goldens))
	}
	for i, g := range goldens {
		g.check(t, recs[i])
	}
}

// check compares a record. Of layers with near ties neither the entries nor what follows from them is compared; as sums and
// means over layers follow from them, too, these are not compared either.
func (g layersGolden) check(t *testing.T, rec record.Record) {
	if rec.Status != record.OK || rec.Pipeline != g.Pipeline {
		t.Errorf("%s: %s: %s is %s: %s", g.Trace, g.Pipeline, rec.Pipeline, rec.Status, rec.Reason)
		return
	}
	g.checkLayers(t, rec)
	g.count(t, "cache_bytes_full", *rec.CacheBytesFull, g.CacheBytesFull)
	g.count(t, "changed_layers", int64(*rec.ChangedLayers), int64(g.ChangedLayers))
	if len(g.NearTies) > 0 {
		return
	}
	g.count(t, "cache_bytes", *rec.CacheBytes, g.CacheBytes)
	g.count(t, "peak_bytes", *rec.PeakBytes, g.PeakBytes)
	g.share(t, "mass", rec.Error.Mass, g.Mass)
	g.share(t, "late_mass", rec.Error.LateMass, g.LateMass)
}

// checkLayers compares kept entries and errors by layer.
func (g layersGolden) checkLayers(t *testing.T, rec record.Record) {
	if len(rec.Kept) != len(g.Kept) || len(rec.Error.RelL2Layers) != len(g.RelL2Layers) {
		t.Errorf("%s: %s: entries of %d and errors of %d layers, want %d", g.Trace, g.Pipeline, len(rec.Kept), len(rec.Error.RelL2Layers), len(g.Kept))
		return
	}
	for i, layer := range rec.Layers {
		if slices.Contains(g.NearTies, layer) {
			continue
		}
		var got []string
		for _, pos := range rec.Kept[i] {
			got = append(got, spans(pos))
		}
		if !slices.Equal(got, g.Kept[i]) {
			t.Errorf("%s: %s: layer %d: kept %q, want %q", g.Trace, g.Pipeline, layer, got, g.Kept[i])
		}
		if e, want := rec.Error.RelL2Layers[i], g.RelL2Layers[i]; !g.close(e, want) {
			t.Errorf("%s: %s: layer %d: rel_l2 %.8g, want %.8g", g.Trace, g.Pipeline, layer, e, want)
		}
	}
}

// count compares whole numbers.
func (g layersGolden) count(t *testing.T, figure string, got, want int64) {
	if got != want {
		t.Errorf("%s: %s: %s %d, want %d", g.Trace, g.Pipeline, figure, got, want)
	}
}

// share compares shares that only some pipelines have.
func (g layersGolden) share(t *testing.T, figure string, got, want *float64) {
	switch {
	case got == nil && want == nil:
	case got == nil || want == nil:
		t.Errorf("%s: %s: %s is there: %t, want %t", g.Trace, g.Pipeline, figure, got != nil, want != nil)
	case !g.close(*got, *want):
		t.Errorf("%s: %s: %s %.8g, want %.8g", g.Trace, g.Pipeline, figure, *got, *want)
	}
}

// close allows for float32 in the kernels. A value near the middle of two steps of a format may be rounded to either, which
// moves errors more.
func (g layersGolden) close(got, want float64) bool {
	tolerance := 3e-5
	for _, format := range []string{"int8", "fp8", "q8_0"} {
		if strings.Contains(g.Pipeline, format) {
			tolerance = 2e-4
		}
	}
	return math.Abs(got-want) <= 2e-6+tolerance*math.Abs(want)
}

// spans are ascending positions as text.
func spans(pos []int32) string {
	var parts []string
	for i := 0; i < len(pos); i++ {
		first := i
		for i+1 < len(pos) && pos[i+1] == pos[i]+1 {
			i++
		}
		part := strconv.Itoa(int(pos[first]))
		if i > first {
			part += "-" + strconv.Itoa(int(pos[i]))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}
