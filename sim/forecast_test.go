package sim

import (
	"math"
	"testing"
)

func TestFitCurve(t *testing.T) {
	sample := func(of func(n float64) float64, ns ...int) []seen {
		var all []seen
		for _, n := range ns {
			all = append(all, seen{n, of(float64(n))})
		}
		return all
	}
	line := func(n float64) float64 { return 100 + 0.5*n }
	parabola := func(n float64) float64 { return 4e5 + 0.5*n*n }
	cubic := func(n float64) float64 { return n * n * n }
	tests := []struct {
		name  string
		all   []seen
		terms []func(float64) float64
		at    int
		want  float64
	}{
		{"nothing", nil, []func(float64) float64{once, each, square}, 4096, 0},
		{"one point is in proportion", []seen{{128, 0.5}}, []func(float64) float64{once, each, square}, 256, 1},
		{"the same length twice", []seen{{128, 0.5}, {128, 0.5}}, []func(float64) float64{once, each}, 256, 1},
		{"a line", sample(line, 128, 256), []func(float64) float64{once, each}, 4096, 2148},
		{"a line, though it might be a square", sample(line, 128, 256, 512), []func(float64) float64{once, each, square}, 4096, 2148},
		{"a square and a constant", sample(parabola, 128, 256, 512), []func(float64) float64{once, each, square}, 1024, parabola(1024)},
		{"a cube and a line", sample(func(n float64) float64 { return 3*n + 7*cubic(n) }, 64, 128), []func(float64) float64{each, cubic}, 512, 3*512 + 7*cubic(512)},
		{"what falls is in proportion all the same", []seen{{128, 3}, {256, 2}}, []func(float64) float64{once, each}, 512, 4.8},
		{"no time at all", []seen{{128, 0}, {256, 0}}, []func(float64) float64{once, each}, 512, 0},
	}
	for _, tt := range tests {
		if got := fitCurve(tt.all, tt.terms...).at(tt.at); math.Abs(got-tt.want) > 1e-4*tt.want+1e-6 {
			t.Errorf("%s: %g at %d, want %g", tt.name, got, tt.at, tt.want)
		}
	}
}

// TestForecast: every cell that runs has a time, those that are skipped have none, and trials leave no trace in the plan.
func TestForecast(t *testing.T) {
	first, second := golden(t, "tiny"), golden(t, "gqa")
	plan := planned(t, Options{
		Traces: headers(first, second), Pipelines: parse(t, everything...), Lengths: []int{64, 96},
		Calibrate: itself(first), Threads: 2, MaxMemory: 1 << 34, Page: 16, Kept: true, Windows: 2,
	})
	f, err := NewForecast(t.Context(), plan, plan.inputs(), bed(nil))
	if err != nil {
		t.Fatal(err)
	}
	total := f.Load
	for i, c := range plan.Cells {
		if (f.Cells[i] > 0) != (c.Skip == "") {
			t.Errorf("%s on %s at %d (skipped: %q): %v", c.Pipeline.Name, c.Trace.Name, c.SeqLen, c.Skip, f.Cells[i])
		}
		total += f.Cells[i]
	}
	if f.Total != total || f.Load <= 0 {
		t.Errorf("%v to load, %v in all, want the sum %v", f.Load, f.Total, total)
	}
	if plan.Windows != 2 || !plan.Kept {
		t.Error("a forecast changes the plan")
	}
}
