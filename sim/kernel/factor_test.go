package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFactor: rows with factors are read as rows that were multiplied by them.
func TestFactor(t *testing.T) {
	const dim, n, heads = 32, 150, 3
	eachPath(t, func(t *testing.T) {
		all := layouts(dim)
		for f := range formats {
			all[f.String()] = Plain(f)
		}
		for f, l := range all {
			r := rand.New(rand.NewPCG(9, 10))
			rows, want := l.Rows(dim, n), NewRows(F32, dim, n)
			row := make([]float32, dim)
			for range n {
				for c := range row {
					row[c] = float32(r.NormFloat64())
				}
				rows.Append(row)
			}
			for i := range n {
				rows.Factor = append(rows.Factor, Half(float32(r.Float64()*3)))
				rows.Row(i, row)
				for c := range row {
					row[c] *= Float(rows.Factor[i])
				}
				want.Append(row)
			}
			q := make([]float32, heads*dim)
			for i := range q {
				q[i] = float32(r.NormFloat64())
			}
			scratch := NewScratch(heads, dim)
			part := func(rows *Rows) []float32 {
				out := make([]Partial, heads)
				for h := range out {
					out[h].Acc = make([]float32, dim)
				}
				later := rows.Slice(10, n)
				Attend(q, &later, &later, 0, n-10, nil, scratch, out)
				merged := make([]float32, 0, heads*dim)
				for h := range out {
					one := make([]float32, dim)
					Merge(out[h:h+1], 0, 1, &Rule{}, one)
					merged = append(merged, one...)
				}
				return merged
			}
			got, exact := part(&rows), part(&want)
			for i := range got {
				if math.Abs(float64(got[i]-exact[i])) > 1e-4 {
					t.Fatalf("%s: value %d: %g, want %g", f, i, got[i], exact[i])
				}
			}
		}
	})
}
