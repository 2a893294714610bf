package record

import (
	"math"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// MeanOverWindows is the mean of the errors of two or more windows, the longest first, as each figure says. The
// worst layer is that of the means; not every window knows its late mass, or asks for a needle.
func MeanOverWindows(all []*ErrorStats) *ErrorStats {
	m := *all[0]
	into := &Record{Error: &m}
	for _, f := range Figures {
		if f.Kind != Error || f.Windows == Apart {
			continue
		}
		var windows [][]float64 // of those that have the figure
		for _, e := range all {
			if vs := f.Values(Record{Error: e}); vs != nil {
				windows = append(windows, vs)
			}
		}
		if windows == nil {
			continue
		}
		means := make([]float64, len(windows[0]))
		for i := range means {
			var xs []float64
			for _, vs := range windows {
				xs = append(xs, vs[i])
			}
			if means[i] = stat.Mean(xs, nil); f.Windows == Largest {
				means[i] = floats.Max(xs)
			}
		}
		switch p := f.field(into).(type) {
		case *float64:
			*p = means[0]
		case **float64:
			*p = &means[0]
		case *[]float64:
			*p = means
		}
	}
	m.RelL2Windows = nil
	for _, e := range all {
		m.RelL2Windows = append(m.RelL2Windows, e.RelL2)
	}
	m.RelL2WorstLayer = new(floats.Max(m.RelL2Layers))
	mid, half := Interval(m.RelL2Windows)
	lo, hi := max(0, mid-half), mid+half
	m.RelL2, m.RelL2Lo, m.RelL2Hi = mid, &lo, &hi
	return &m
}

// Interval is the mean of two or more values and half the width of its 95 % interval by Student's t. Windows of
// one text share most of their prompts: it says how the figure varies along the text, not over texts.
func Interval(xs []float64) (mean, half float64) {
	mean, std := stat.MeanStdDev(xs, nil)
	n := float64(len(xs))
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: n - 1}.Quantile(0.975)
	return mean, t * std / math.Sqrt(n)
}
