package method

import (
	"math"
	"math/cmplx"
	"testing"

	"kvgauge/sim/kernel"
)

// offset is how far after the prompt the n-th score is taken.
func offset(n int) int { return 1 << n }

// TestTriAttentionScores: scores from keys as they are cached are those of the definition, with keys before the
// rotary embedding and the distance to each position to come.
func TestTriAttentionScores(t *testing.T) {
	const rows = 40
	v := randomView(t, rows)
	s := statsOf(v, v.Q[0][1])
	turns := turnsAfter(v.Rope, rows)
	plain := unrotated(v)
	for agg, m := range map[string]triAttention{"mean": {}, "max": {max: true}} {
		got := m.scores(v, 1, s, turns)
		for i := range rows {
			key := plain[1][i*8 : (i+1)*8]
			var sum, beside float64
			largest := math.Inf(-1)
			for n := range offsets {
				var at float64
				for p, w := range v.Rope.InvFreq {
					k := pairOf(v.Rope, key, p)
					distance := float64(rows + offset(n) - i)
					at += cmplx.Abs(s.mean[p]) * cmplx.Abs(k) * math.Cos(distance*w+cmplx.Phase(s.mean[p])-cmplx.Phase(k))
				}
				sum += at / offsets
				largest = max(largest, at)
			}
			for p := range v.Rope.InvFreq {
				beside += (s.length[p] - cmplx.Abs(s.mean[p])) * cmplx.Abs(pairOf(v.Rope, key, p))
			}
			for c, q := range s.still {
				beside += q * float64(key[6+c])
			}
			want := sum + beside
			if m.max {
				want = largest + beside
			}
			if math.Abs(got[i]-want) > 1e-4 {
				t.Errorf("%s: key %d: score %g, want %g", agg, i, got[i], want)
			}
		}
	}
}

// TestTriAttentionOfConstantQueries: where all queries are alike before the rotary embedding, a score is the mean of
// the logits that this query would give at the positions to come.
func TestTriAttentionOfConstantQueries(t *testing.T) {
	const rows = 30
	v := randomView(t, rows)
	still := append([]float32(nil), v.Q[0][0][:8]...)
	for i := range rows {
		q := v.Q[0][0][i*8 : (i+1)*8]
		copy(q, still)
		v.Rope.Rotate(q, float64(i))
	}
	got := triAttention{}.scores(v, 0, statsOf(v, v.Q[0][0]), turnsAfter(v.Rope, rows))
	for i := range rows {
		var want float64
		for n := range offsets {
			q := append([]float32(nil), still...)
			v.Rope.Rotate(q, float64(rows+offset(n)))
			want += kernel.LogitExact(q, v.K[0][i*8:(i+1)*8], 1) / offsets
		}
		if math.Abs(got[i]-want) > 1e-4 {
			t.Errorf("key %d: score %g, want %g", i, got[i], want)
		}
	}
}

// TestStandardised has mean 0 and deviation 1, and 0 where all are equal.
func TestStandardised(t *testing.T) {
	x := standardised([]float64{1, 2, 3, 6})
	var mean, square float64
	for _, a := range x {
		mean, square = mean+a/4, square+a*a/4
	}
	if math.Abs(mean) > 1e-12 || math.Abs(square-1) > 1e-12 {
		t.Errorf("%v: mean %g, square %g", x, mean, square)
	}
	for _, a := range standardised([]float64{5, 5, 5}) {
		if a != 0 {
			t.Errorf("equal scores became %g", a)
		}
	}
}
