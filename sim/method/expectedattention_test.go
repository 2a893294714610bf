package method

import (
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"

	"kvgauge/sim/kernel"
)

// TestExpectedOfOneQuery: where all queries before the embedding are the same one and one position is to come,
// the expectation is the attention of that query there.
func TestExpectedOfOneQuery(t *testing.T) {
	const rows, sinks = 40, 3
	for _, gptj := range []bool{false, true} {
		v := randomView(t, rows)
		v.Rope.GPTJ = gptj
		still := v.Q[0][0][:8]
		same := make([]float32, 0, rows*8)
		for i := range rows {
			q := append([]float32(nil), still...)
			v.Rope.Rotate(q, float64(i))
			same = append(same, q...)
		}
		next := append([]float32(nil), still...)
		v.Rope.Rotate(next, rows)
		m := expectedAttention{future: 1, sinks: sinks}
		mean, cov := newAngles(v, sinks).queries(v, same, m.meanRotation(v))
		got := expectedLogits(v.K[0][sinks*8:], mean, cov, v.Rules[0][0].Scale)
		softmax(got)
		logits, lse := kernel.LogitsExact(next, 8, v.Rules[0][0], v.K[0][sinks*8:], nil, kernel.Sights(rows-sinks-1, 1))
		for i := range got {
			if want := math.Exp(logits[i] - lse[0]); math.Abs(got[i]-want) > 1e-5 {
				t.Fatalf("gptj %v: key %d: %g, want %g", gptj, i, got[i], want)
			}
		}
	}
}

// TestExpectedQueries compares mean and covariance with products of whole matrices.
func TestExpectedQueries(t *testing.T) {
	const rows, sinks, future, dim = 50, 4, 7, 8
	v := randomView(t, rows)
	m := expectedAttention{future: future, sinks: sinks}
	still := mat.NewDense(rows-sinks, dim, nil)
	for i := range rows - sinks {
		q := append([]float32(nil), v.Q[0][1][(i+sinks)*dim:(i+sinks+1)*dim]...)
		v.Rope.Rotate(q, -float64(i+sinks))
		for d, x := range q {
			still.Set(i, d, float64(x))
		}
	}
	turn := mat.NewDense(dim, dim, nil) // the mean of the rotations
	for d := range dim {
		for n := range future {
			unit := make([]float32, dim)
			unit[d] = 1
			v.Rope.Rotate(unit, float64(rows+n))
			for e, x := range unit {
				turn.Set(e, d, turn.At(e, d)+float64(x)/future)
			}
		}
	}
	var mean, cov, turned mat.Dense
	ones := mat.NewDense(1, rows-sinks, nil)
	for i := range rows - sinks {
		ones.Set(0, i, 1/float64(rows-sinks))
	}
	mean.Mul(ones, still)
	for i := range rows - sinks {
		for d := range dim {
			still.Set(i, d, still.At(i, d)-mean.At(0, d))
		}
	}
	cov.Mul(still.T(), still)
	cov.Scale(1/float64(rows-sinks), &cov)
	turned.Product(turn, &cov, turn.T())
	mean.Mul(&mean, turn.T())
	gotMean, gotCov := newAngles(v, sinks).queries(v, v.Q[0][1], m.meanRotation(v))
	for d := range dim {
		if math.Abs(gotMean[d]-mean.At(0, d)) > 1e-5 {
			t.Errorf("mean %d: %g, want %g", d, gotMean[d], mean.At(0, d))
		}
		for e := range dim {
			if math.Abs(gotCov[d*dim+e]-turned.At(d, e)) > 1e-5 {
				t.Errorf("covariance %d, %d: %g, want %g", d, e, gotCov[d*dim+e], turned.At(d, e))
			}
		}
	}
}
