package sim

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"kvgauge/sim/record"
	"kvgauge/sim/trace"
)

// TestWindows: errors are means over the prefixes, each measured as a cell of its own with the same number of
// entries; all else is that of the longest.
func TestWindows(t *testing.T) {
	tr := golden(t, "tiny")
	o := Options{Traces: headers(tr), Lengths: []int{96}, Decode: new(16), Kept: true, Windows: 3, Pipelines: parse(t, "full", "snapkv:budget=20%", "mqa+streamingllm:budget=30")}
	got := runCells(t, o)
	o.Windows = 1
	longest := runCells(t, o)
	for i, spec := range []string{"full", "snapkv:budget=19", "mqa+streamingllm:budget=30"} {
		var each []float64
		var layer1, mass float64
		for _, n := range []int{96, 80, 64} {
			r := runCells(t, Options{Traces: o.Traces, Lengths: []int{n}, Decode: new(16), Pipelines: parse(t, spec)})[0]
			each = append(each, r.Error.RelL2)
			layer1 += r.Error.RelL2Layers[1] / 3
			if r.Error.Mass != nil {
				mass += *r.Error.Mass / 3
			}
		}
		e := got[i].Error
		mean := (each[0] + each[1] + each[2]) / 3
		s := math.Sqrt((sq(each[0]-mean) + sq(each[1]-mean) + sq(each[2]-mean)) / 2)
		half := 4.302653 * s / math.Sqrt(3) // the 0.975 quantile of Student's t with 2 degrees of freedom
		if !reflect.DeepEqual(e.RelL2Windows, each) || !near(e.RelL2, mean) || !near(e.RelL2Layers[1], layer1) {
			t.Errorf("%s: rel_l2 %g of %v, layer 1 %g, want %g of %v, %g", spec, e.RelL2, e.RelL2Windows, e.RelL2Layers[1], mean, each, layer1)
		}
		if !near(*e.RelL2Lo, max(0, mean-half)) || !near(*e.RelL2Hi, mean+half) {
			t.Errorf("%s: interval %g to %g, want %g ± %g", spec, *e.RelL2Lo, *e.RelL2Hi, mean, half)
		}
		if e.Mass != nil && !near(*e.Mass, mass) {
			t.Errorf("%s: mass %g, want %g", spec, *e.Mass, mass)
		}
		want := longest[i]
		if got[i].Windows != 3 || want.Windows != 1 || want.Error.RelL2Lo != nil || want.Error.RelL2Windows != nil {
			t.Errorf("%s: %d windows, then %d", spec, got[i].Windows, want.Windows)
		}
		got[i].Windows, got[i].Error, want.Error = 1, nil, nil
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("%s: got %+v, want %+v", spec, got[i], want)
		}
	}
}

func sq(x float64) float64 { return x * x }

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-6*max(1e-6, math.Abs(b)) }

// TestWindowsEnd at half the sequence, where no prompt is left, and where the trace's queries begin; a method
// that does not apply to one of them is skipped.
func TestWindowsEnd(t *testing.T) {
	tr, calib := golden(t, "tiny"), openTrace(t, "bytelm-calib") // 96 tokens; queries of the last 64 of 512
	tests := []struct {
		tr               *trace.Trace
		n, decode, asked int
		want             int
	}{
		{tr, 96, 16, 1, 1},
		{tr, 96, 16, 4, 4},
		{tr, 96, 16, 9, 4}, // 96, 80, 64, 48
		{tr, 96, 24, 9, 3}, // 96, 72, 48
		{tr, 96, 60, 9, 1},
		{tr, 96, 48, 9, 1}, // the second would have no prompt
		{tr, 96, 0, 9, 1},
		{calib, 512, 16, 9, 4},
	}
	for _, tt := range tests {
		c := Cell{Trace: &tt.tr.Header, SeqLen: tt.n, Decode: tt.decode}
		if got := c.windows(tt.asked); got != tt.want {
			t.Errorf("%d tokens, %d decoded, %d asked for: %d, want %d", tt.n, tt.decode, tt.asked, got, tt.want)
		}
	}
	o := Options{Traces: headers(calib), Lengths: []int{512}, Decode: new(16), Windows: 9, Pipelines: parse(t, "full", "snapkv:window=17")}
	recs := runCells(t, o)
	if codes(recs[0]) != "clamped" || recs[0].Windows != 4 {
		t.Errorf("%d windows, warnings %q", recs[0].Windows, codes(recs[0]))
	}
	if want := "window of 480 tokens: needs the last 17 prompt queries"; !strings.HasPrefix(recs[1].Reason, want) {
		t.Errorf("skipped: %q, want %q", recs[1].Reason, want)
	}
}

// TestInterval at sizes whose quantiles are in every table.
func TestInterval(t *testing.T) {
	for n, quantile := range map[int]float64{2: 12.7062, 3: 4.30265, 5: 2.77645, 11: 2.22814} {
		xs := make([]float64, n)
		for i := range xs {
			xs[i] = float64(i)
		}
		mean, half := record.Interval(xs)
		std := math.Sqrt(float64(n*(n+1)) / 12)
		if !near(mean, float64(n-1)/2) || math.Abs(half/(quantile*std/math.Sqrt(float64(n)))-1) > 1e-5 {
			t.Errorf("%d values: %g ± %g", n, mean, half)
		}
	}
}
