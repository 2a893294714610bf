package sim

import (
	"math"
	"testing"

	"kvgauge/sim/trace"
)

func TestFitCurve(t *testing.T) {
	sample := func(of curve, ns ...int) []seen {
		var all []seen
		for _, n := range ns {
			all = append(all, seen{n, of.at(n)})
		}
		return all
	}
	tests := []struct {
		name   string
		all    []seen
		degree int
		at     int
		want   float64
	}{
		{"nothing", nil, 2, 4096, 0},
		{"one point is in proportion", []seen{{128, 0.5}}, 2, 256, 1},
		{"the same length twice", []seen{{128, 0.5}, {128, 0.5}}, 2, 256, 1},
		{"a line", sample(curve{1, 0.5, 0}, 128, 256), 1, 4096, 2049},
		{"a line, though a square was asked for", sample(curve{1, 0.5, 0}, 128, 256, 512), 2, 4096, 2049},
		{"a square", sample(curve{0, 0.25, 0.5}, 128, 256, 512), 2, 1024, 0.25*1024 + 0.5*1024*1024},
		{"all powers", sample(curve{300, 0.25, 0.5}, 128, 256, 512), 2, 1024, 300 + 0.25*1024 + 0.5*1024*1024},
		{"what falls is constant", []seen{{128, 3}, {256, 2}}, 2, 4096, 2.3077},
		{"no time at all", []seen{{128, 0}, {256, 0}}, 1, 512, 0},
	}
	for _, tt := range tests {
		if got := fitCurve(tt.all, tt.degree).at(tt.at); math.Abs(got-tt.want) > 1e-4*tt.want+1e-6 {
			t.Errorf("%s: %g at %d, want %g", tt.name, got, tt.at, tt.want)
		}
	}
}

// TestForecast: every cell that runs has a time, those that are skipped have none, and trials leave no trace in the plan.
func TestForecast(t *testing.T) {
	first, second := golden(t, "tiny"), golden(t, "gqa")
	plan, err := NewPlan(Options{
		Traces: []*trace.Trace{first, second}, Pipelines: parse(t, everything...), Lengths: []int{64, 96}, Decode: -1,
		Calibrate: itself(first), Threads: 2, MaxMemory: 1 << 34, Page: 16, Kept: true, Windows: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	timed(plan, nil)
	f, err := plan.Forecast(t.Context())
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
	if plan.rows != nil || plan.fits != nil || plan.Windows != 2 || !plan.Kept {
		t.Error("a forecast changes the plan")
	}
}
