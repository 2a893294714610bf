package method

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCORMEqualKeys keeps every entry: each has exactly an equal share, whatever the queries are.
func TestCORMEqualKeys(t *testing.T) {
	const dim, group = 20, 3
	for _, rows := range []int{71, 1001, 4094} { // 1/rows rounds down to float32
		r := rand.New(rand.NewPCG(3, uint64(rows)))
		key := make([]float32, dim)
		for c := range key {
			key[c] = float32(r.NormFloat64())
		}
		v := rowsView(times(key, rows), times([]float32{1}, rows))
		v.Q[0] = nil
		for range group {
			q := make([]float32, rows*dim)
			for i := range q {
				q[i] = float32(r.NormFloat64())
			}
			v.Q[0] = append(v.Q[0], q)
		}
		for _, agg := range []string{"any", "mean"} {
			spec := fmt.Sprintf("corm:agg=%s,recent=1,window=33", agg)
			d := decided(t, spec, v)
			if !slices.Equal(d.Keep[0], span(0, rows)) {
				t.Errorf("%s keeps %d of %d equal keys", spec, len(d.Keep[0]), rows)
			}
			for i, last := range d.Notes[0] {
				if last != uint32(rows) {
					t.Fatalf("%s: row %d of %d was last important to token %d", spec, i, rows, last)
				}
			}
		}
	}
}

// TestLeastShare: equal shares of many query heads are important however their sum rounds, and smaller ones are not.
func TestLeastShare(t *testing.T) {
	for _, heads := range []int{1, 3, 32, 128, 512} {
		for tokens := 1; tokens < 20000; tokens += 7 {
			var sum, less float32
			for range heads {
				sum += 1 / float32(tokens)
				less += 0.9999 / float32(tokens)
			}
			least := leastProbability(heads, tokens)
			if sum < least {
				t.Fatalf("%d heads, %d tokens: %g, the sum of equal shares, is below %g", heads, tokens, sum, least)
			}
			if less >= least {
				t.Fatalf("%d heads, %d tokens: %g, the sum of less than equal shares, is not below %g", heads, tokens, less, least)
			}
		}
	}
}
