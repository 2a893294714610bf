package method

import (
	"math"
	"math/cmplx"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/cache"
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
	turns := rotationsAfter(v.Rope, rows)
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
	got := triAttention{}.scores(v, 0, statsOf(v, v.Q[0][0]), rotationsAfter(v.Rope, rows))
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

// TestTriAttentionSets: the sets of all layers are those of the definitions. For the model every query head of every
// layer nominates its best, and the nominees with the highest scores of any head stay.
func TestTriAttentionSets(t *testing.T) {
	const rows, budget = 40, 7
	a, b := randomView(t, rows), randomView(t, rows)
	b.Layers = []int{1}
	slices.Reverse(b.K)
	views := []*cache.View{a, b}
	c := Cell{Layers: []int{0, 1}, NumLayers: 2, SeqLen: rows, Observed: map[int][]float64{}}
	m := triAttention{budget: Entries{Count: budget}}

	nominees, highest := map[int32]bool{}, slices.Repeat([]float64{math.Inf(-1)}, rows)
	mean := [2][rows]float64{} // [KV head] over layers, of the maximum over the two query heads
	for _, v := range views {
		for j := range mean {
			top := slices.Repeat([]float64{math.Inf(-1)}, rows)
			for h := 2 * j; h < 2*j+2; h++ {
				z := standardised(m.scores(v, j, statsOf(v, v.Q[0][h]), rotationsAfter(v.Rope, rows)))
				for _, i := range topK(z, budget) {
					nominees[i] = true
				}
				for i, x := range z {
					highest[i], top[i] = max(highest[i], x), max(top[i], x)
				}
			}
			for i, x := range top {
				mean[j][i] += x / 2
			}
		}
	}
	if len(nominees) <= budget || len(nominees) >= rows {
		t.Fatalf("%d nominees: nothing to choose", len(nominees))
	}
	for i := range highest {
		if !nominees[int32(i)] {
			highest[i] = math.Inf(-1)
		}
	}
	want := map[bool][][]int32{
		true:  {topK(highest, budget), topK(highest, budget)},
		false: {topK(mean[0][:], budget), topK(mean[1][:], budget)},
	}
	for union, keep := range want {
		m := triAttentionShared{m, union}
		var learned []cache.Decision
		for _, v := range views {
			d, err := m.fitMap(c, v)
			if err == nil {
				c.Observed[v.Layers[0]], err = m.observe(c, v, d.Learned)
			}
			if err != nil {
				t.Fatal(err)
			}
			learned = append(learned, d)
		}
		for l, v := range views {
			if d, err := m.apply(c, v, learned[l]); err != nil || !reflect.DeepEqual(d.Keep, keep) {
				t.Errorf("union %t: layer %d keeps %v, %v, want %v", union, l, d.Keep, err, keep)
			}
		}
	}
}

// TestTriAttentionModes: sets of several layers are for the end of the prompt.
func TestTriAttentionModes(t *testing.T) {
	for spec, ok := range map[string]bool{
		"triattention": true, "triattention:interval=0": true, "triattention:mode=union": false, "triattention:mode=per_head": false,
		"triattention:interval=0,mode=union": true, "triattention:interval=64,mode=per_layer_head": true,
	} {
		_, err := Parse([]string{spec}, []Entries{{Count: 9}})
		if (err == nil) != ok || err != nil && !strings.HasSuffix(err.Error(), "all layers together decide at the end of the prompt only, want interval=0") {
			t.Errorf("%s: %v", spec, err)
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
