package method

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/cache"
)

// TestAdjust: shares, a total and the most that a layer can hold, with what adjust_budgets of antgroup/cakekv
// at c4675ce makes of them.
func TestAdjust(t *testing.T) {
	tests := []struct {
		shares      []int
		total, most int
		want        []int
	}{
		{[]int{10, 20, 30}, 66, 100, []int{12, 22, 32}},
		{[]int{90, 5, 4}, 120, 50, []int{50, 36, 34}},  // cut, spread, and the rest of the total after it
		{[]int{60, 60, 3}, 120, 50, []int{49, 49, 22}}, // more came out than there was
		{[]int{0, 0, 0}, 7, 50, []int{3, 2, 2}},
		{[]int{200, 200, 200}, 120, 30, []int{30, 30, 30}}, // nobody can take what is over
		{[]int{5, 1, 1, 1}, 4, 50, []int{1, 1, 1, 1}},
		{[]int{33, 33, 33}, 100, 40, []int{34, 33, 33}},
		{[]int{70, 45, 2, 1}, 160, 50, []int{50, 52, 30, 28}}, // above the most: Decide cuts it
		{[]int{2, 2, 1}, 3, 9, []int{1, 1, 1}},
	}
	for _, tt := range tests {
		got := slices.Clone(tt.shares)
		if adjust(got, tt.total, tt.most); !slices.Equal(got, tt.want) {
			t.Errorf("%v to %d, at most %d: %v, want %v", tt.shares, tt.total, tt.most, got, tt.want)
		}
	}
}

// TestCakePreference of even attention: two query heads with no variance, whose entropy is that of equal
// probabilities over the 17 to 20 rows that the window's queries see, before the window.
func TestCakePreference(t *testing.T) {
	v := rowsView(times([]float32{1, 2}, 20), times([]float32{1, 2}, 20))
	v.Q[0] = append(v.Q[0], v.Q[0][0])

	m := cake{budget: Entries{Count: 6}, window: 4, kernel: 1, gamma: 0, tau1: 2, tau2: 1e9} // variance to the power 0
	got, err := m.observe(Cell{SeqLen: 20}, v, nil)
	var want float64
	for sees := 17; sees <= 20; sees++ {
		p := 1 / float64(sees)
		want -= 2 * 16 * p * math.Log(p)
	}
	// The variance is that over queries that see one row more each.
	if a := m.attention(v, v.Q[0][0], v.Rules[0][0], 0); math.Abs(2*a.entropy-want) > 1e-6 || a.variance(0) < 1e-6 || a.variance(0) > 1e-4 {
		t.Errorf("entropy %g, want %g; variance %g", 2*a.entropy, want, a.variance(0))
	}
	if err != nil || math.Abs(got[0]-math.Sqrt(want)) > 1e-6 {
		t.Errorf("preference %g, %v, want %g", got, err, math.Sqrt(want))
	}
}

// TestCakePolicy drops, head by head, what was attended to least outside the window, pooled by position
// whatever the order in which entries are stored, and allocates nothing.
func TestCakePolicy(t *testing.T) {
	p := newCakePolicy(4, 3, 3, 12)
	head := cache.StepHead{
		Pos: []int32{9, 1, 30, 4, 2, 31, 7, 32}, // 1 2 4 7 9 before the window
		Probs: [][]float32{
			{0.1, 0.3, 0, 0.0, 0.1, 0, 0.2, 0},
			{0.1, 0.1, 0, 0.1, 0.0, 0, 0.0, 0},
		},
		Evict: make([]int32, 0, 12),
	}
	// By position 0.4 0.1 0.1 0.2 0.2; pooled over three 0.5 0.6 0.4 0.5 0.4: 4 and 9 tie, the later goes.
	step := &cache.Step{Token: 33, Last: true, Heads: []cache.StepHead{head}}
	p.After(step)
	if got := step.Heads[0].Evict; !slices.Equal(got, []int32{0}) {
		t.Errorf("drops %v, want entry 0 at position 9", got)
	}
	step.Last, step.Heads[0].Evict = false, head.Evict
	if p.After(step); len(step.Heads[0].Evict) != 0 {
		t.Error("drops before the last layer of the store")
	}
	step.Last = true
	if n := testing.AllocsPerRun(20, func() { step.Heads[0].Evict = step.Heads[0].Evict[:0]; p.After(step) }); n != 0 {
		t.Errorf("a step allocates %g times", n)
	}
	small := newCakePolicy(5, 3, 3, 12)
	step.Heads[0].Evict = step.Heads[0].Evict[:0]
	if small.After(step); len(step.Heads[0].Evict) != 0 {
		t.Error("drops from a head that holds no more than its share and the window")
	}
}

// TestCakeSharesByPreference: twice the preference is twice the share, and all shares make the total.
func TestCakeSharesByPreference(t *testing.T) {
	m := cake{budget: Entries{Count: 40}, window: 10}
	c := Cell{Layers: []int{0, 1, 2}, SeqLen: 200, Observed: map[int][]float64{0: {1}, 1: {2}, 2: {3}}}
	shares, cut := m.shares(c, 190)
	if cut || shares[0] != 15 || shares[1] != 30 || shares[2] != 45 {
		t.Errorf("shares %v, cut %v", shares, cut)
	}
	if shares, cut = m.shares(c, 40); !cut || shares[0]+shares[1]+shares[2] != 90 || shares[2] != 40 {
		t.Errorf("shares %v of at most 40, cut %v", shares, cut)
	}
	for _, none := range []float64{0, math.Inf(1)} { // a variance of nothing, or one to a power that is too high
		c.Observed = map[int][]float64{0: {none}, 1: {none}, 2: {none}}
		if shares, _ := m.shares(c, 190); shares[0] != 30 || shares[1] != 30 || shares[2] != 30 {
			t.Errorf("preferences of %g: shares %v", none, shares)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c.Observed = map[int][]float64{0: {r.ExpFloat64()}, 1: {r.ExpFloat64()}, 2: {r.ExpFloat64()}}
		shares, _ := m.shares(c, 100)
		if shares[0]+shares[1]+shares[2] > 90 || slices.Max([]int{shares[0], shares[1], shares[2]}) > 100 {
			t.Errorf("preferences %v: shares %v", c.Observed, shares)
		}
	}
}
