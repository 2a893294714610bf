package method

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// oneShots are the pipelines that choose entries by a budget at the end of the prompt, before which nothing is mapped,
// and keep all that follow: their names with each of some budgets. Bounds look elsewhere.
func oneShots(t *testing.T, budgets ...int) []string {
	t.Helper()
	var entries []Entries
	for _, n := range budgets {
		entries = append(entries, Entries{Count: n})
	}
	var specs []string
	for _, i := range All() {
		specs = append(specs, i.Specs()...)
	}
	ps, err := Parse(specs, entries)
	if err != nil {
		t.Fatal(err)
	}
	ps = slices.DeleteFunc(ps, func(p *Pipeline) bool {
		c, err := p.methods[0].Fit(promptCell(randomView(t, 60)))
		r, again := p.methods[0].(repeater)
		if again {
			every, _ := r.every()
			again = every > 0
		}
		return err != nil || len(p.methods) > 1 || p.stages[0].info.Family != Eviction || p.stages[0].open() == "" || c.Moving || again
	})
	if len(ps) < 25*len(budgets) {
		t.Fatalf("only %d pipelines", len(ps))
	}
	return names(ps)
}

// promptCell is that of a view which is the whole prompt.
func promptCell(v *cache.View) Cell {
	return Cell{Layers: v.Layers, NumLayers: 1, QHeads: v.QHeads(), Heads: v.Heads(), Dim: v.Dim, VDim: v.VDim, SeqLen: v.Rows(0), HasRope: true}
}

// decided runs a pipeline of one place on a view that is the whole prompt.
func decided(t *testing.T, spec string, v *cache.View) cache.Decision {
	t.Helper()
	ps, err := Parse([]string{spec}, []Entries{{Count: 20}})
	if err != nil {
		t.Fatal(err)
	}
	c := promptCell(v)
	if err := ps[0].Fit(c); err != nil {
		t.Fatalf("%s: %v", spec, err)
	}
	if ps[0].Observes() {
		seen, err := ps[0].Observe(c, v, make([]*cache.Decision, 1))
		if err != nil {
			t.Fatal(err)
		}
		c.Observed = map[int][]float64{v.Layers[0]: seen}
	}
	d, _, err := ps[0].Decide(c, v, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d[0]
}

// withBudget puts a budget into the first stage of a spec.
func withBudget(spec string, budget int) string {
	for i, r := range spec {
		if r == ':' {
			return fmt.Sprintf("%s:budget=%d,%s", spec[:i], budget, spec[i+1:])
		}
	}
	return fmt.Sprintf("%s:budget=%d", spec, budget)
}

func entriesOf(keep [][]int32) (n int) {
	for _, head := range keep {
		n += len(head)
	}
	return n
}

// TestLargerBudgetKeepsNoFewer, and one above the prompt keeps all. Rounding may cost adakv an entry a head.
func TestLargerBudgetKeepsNoFewer(t *testing.T) {
	v := randomView(t, 60)
	budget := regexp.MustCompile(`budget=\d+`)
	before := map[string]int{}
	for _, spec := range oneShots(t, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 61) {
		d := decided(t, spec, v)
		if strings.Contains(spec, "budget=61") {
			if d.Keep != nil && entriesOf(d.Keep) != len(d.Keep)*60 || len(d.Warnings) != 1 || d.Warnings[0].Code != "budget-above-length" {
				t.Errorf("%s of 60: keeps %v, warnings %v", spec, d.Keep, d.Warnings)
			}
			continue
		}
		n, of := entriesOf(d.Keep), budget.ReplaceAllString(spec, "")
		if n < before[of] {
			t.Errorf("%s keeps %d entries, a smaller budget %d", spec, n, before[of])
		}
		for j, keep := range d.Keep {
			if !slices.IsSorted(keep) || len(slices.Compact(slices.Clone(keep))) != len(keep) || keep[0] < 0 || keep[len(keep)-1] >= 60 {
				t.Errorf("%s: head %d keeps %v", spec, j, keep)
			}
		}
		before[of] = n
	}
}

// TestHeadsAreInterchangeable swaps the KV heads and with them their groups of query heads.
func TestHeadsAreInterchangeable(t *testing.T) {
	v := randomView(t, 60)
	swapped := *v
	swapped.K, swapped.V = [][]float32{v.K[1], v.K[0]}, [][]float32{v.V[1], v.V[0]}
	q := v.Q[0]
	swapped.Q = [][][]float32{{q[2], q[3], q[0], q[1]}}
	half := func(heads [][]int32, n int) [][]int32 { return heads[n*len(heads)/2 : (n+1)*len(heads)/2] } // heads of a KV head
	for _, spec := range oneShots(t, 23) {
		a, b := decided(t, spec, v).Keep, decided(t, spec, &swapped).Keep
		if !slices.EqualFunc(half(a, 0), half(b, 1), slices.Equal) || !slices.EqualFunc(half(a, 1), half(b, 0), slices.Equal) {
			t.Errorf("%s: %v, with the heads swapped %v", spec, a, b)
		}
	}
}

// TestRepeatedHeadsAgree: with one query head a KV head, layout=query decides as layout=kv.
func TestRepeatedHeadsAgree(t *testing.T) {
	v := randomView(t, 60)
	v.Q = [][][]float32{v.Q[0][:2]}
	compared := 0
	for _, spec := range oneShots(t, 23) {
		of, more, _ := strings.Cut(spec, "+")
		if info, _ := Lookup(of[:strings.Index(of, ":")]); more != "" || strings.Contains(spec, "layout") || !slices.ContainsFunc(info.Params, func(p Param) bool { return p.Name == "layout" }) {
			continue
		}
		compared++
		a, b := decided(t, spec, v).Keep, decided(t, spec+",layout=query", v).Keep
		if !slices.EqualFunc(a, b, slices.Equal) {
			t.Errorf("%s: %v, with layout=query %v", spec, a, b)
		}
	}
	if compared < 5 {
		t.Errorf("only %d pipelines know a layout", compared)
	}
}

// TestQueriesDoNotMatter to the methods that take a trace without queries of the prompt.
func TestQueriesDoNotMatter(t *testing.T) {
	v := randomView(t, 60)
	scaled := *v
	scaled.Q = [][][]float32{nil}
	for _, q := range v.Q[0] {
		long := slices.Clone(q)
		for i := range long {
			long[i] *= 7
		}
		scaled.Q[0] = append(scaled.Q[0], long)
	}
	c := promptCell(v)
	c.FirstQuery = c.SeqLen
	compared := 0
	for _, spec := range oneShots(t, 23) {
		if ps, err := Parse([]string{spec}, []Entries{{Count: 23}}); err != nil || ps[0].Fit(c) != nil {
			continue
		}
		compared++
		if a, b := decided(t, spec, v).Keep, decided(t, spec, &scaled).Keep; !slices.EqualFunc(a, b, slices.Equal) {
			t.Errorf("%s: %v, with longer queries %v", spec, a, b)
		}
	}
	if compared < 4 {
		t.Errorf("only %d pipelines need no queries", compared)
	}
}

// rowsView is one KV head and one query head with the given keys and values of as many channels each, and
// queries of zeros.
func rowsView(k, v [][]float32) *cache.View {
	out := &cache.View{Layers: []int{0}, Dim: len(k[0]), VDim: len(v[0]), Rules: [][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(1)}, 8)}, Pos: [][]int32{span(0, len(k))}}
	out.K, out.V = [][]float32{slices.Concat(k...)}, [][]float32{slices.Concat(v...)}
	out.Q = [][][]float32{{make([]float32, len(out.K[0]))}}
	return out
}

// times is n rows of one.
func times(row []float32, n int) [][]float32 { return slices.Repeat([][]float32{row}, n) }

// TestTOVAKeepsTheLastToken: kvpress's variant does, whatever it scores; the other one keeps the best.
func TestTOVAKeepsTheLastToken(t *testing.T) {
	v := rowsView([][]float32{{0, 1}, {2, 0}, {1, 0}, {0, 1}}, times([]float32{1, 1}, 4))
	copy(v.Q[0][0][6:], []float32{1, 0})
	tests := []struct {
		spec string
		want []int32
	}{
		{"tova:budget=1", []int32{1}},
		{"tova:budget=1,variant=kvpress", []int32{3}},
		{"tova:budget=2", []int32{1, 2}},
		{"tova:budget=2,variant=kvpress", []int32{1, 3}},
	}
	for _, tt := range tests {
		if got := decided(t, tt.spec, v).Keep[0]; !slices.Equal(got, tt.want) {
			t.Errorf("%s keeps %v, want %v", tt.spec, got, tt.want)
		}
	}
}

// TestCORMPromptBelowItsWindow is voted on by all its queries.
func TestCORMPromptBelowItsWindow(t *testing.T) {
	keys := times([]float32{0, 0}, 20)
	keys[5], keys[18] = []float32{-5, 0}, []float32{-5, 0}
	v := rowsView(keys, times([]float32{1, 1}, 20))
	for i := range 20 {
		v.Q[0][0][2*i] = 1
	}
	want := slices.Delete(span(0, 20), 5, 6) // 18 is recent
	if got := decided(t, "corm:recent=3,window=100", v).Keep[0]; !slices.Equal(got, want) {
		t.Errorf("keeps %v, want %v", got, want)
	}
}

func TestKnorm(t *testing.T) {
	v := rowsView([][]float32{{3, 4}, {1, 0}, {0, -2}, {1, 1}, {0, 9}}, times([]float32{1, 1}, 5))
	tests := []struct {
		spec string
		want []int32
	}{
		{"knorm:budget=1", []int32{1}},
		{"knorm:budget=3", []int32{1, 2, 3}},
		{"knorm:budget=3,recent=1", []int32{1, 3, 4}},
		{"knorm:budget=3,skip=1/2", []int32{1, 2, 3}},
	}
	for _, tt := range tests {
		if got := decided(t, tt.spec, v).Keep[0]; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.spec, got, tt.want)
		}
	}
	if d := decided(t, "knorm:budget=3,skip=0", v); d.Keep != nil {
		t.Errorf("the skipped layer keeps %v", d.Keep)
	}
}

// TestKeyDiffBlocks: the anchor moves with what is held. By hand: of four keys along x and then two along y,
// blocks of one see the second y as the common one.
func TestKeyDiffBlocks(t *testing.T) {
	v := rowsView([][]float32{{1, 0}, {2, 0}, {0, 1}, {0, 3}, {0, 2}}, times([]float32{1}, 5))
	tests := []struct {
		spec string
		want []int32
	}{
		{"keydiff:budget=2", []int32{0, 1}},           // the mean leans to y
		{"keydiff:budget=2,block=100", []int32{0, 1}}, // as large as the prompt: all at once
		{"keydiff:budget=2,block=1", []int32{0, 2}},   // {0,1}+2: 2 and 0 stay; then y is the common one
	}
	for _, tt := range tests {
		if got := decided(t, tt.spec, v).Keep[0]; !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.spec, got, tt.want)
		}
	}
}

// TestKeyDiffOfZeros divides by nothing.
func TestKeyDiffOfZeros(t *testing.T) {
	for _, s := range distinct(make([]float32, 12), 4, []int32{0, 1, 2}) {
		if s != 0 {
			t.Errorf("score %g, want 0", s)
		}
	}
}

func TestCurShares(t *testing.T) {
	x := []float32{1, 2, 0, 0, 3} // squares 1 4 | 0 0 | 9
	if got, want := (cur{window: 2}).shares(x, 1), []float64{0.2, 0.8, 0, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("shares %v, want %v", got, want)
	}
}

// TestCriticalValuesDecide: of equally attended entries those with large values stay, and the first half of
// the budget goes by score.
func TestCriticalValuesDecide(t *testing.T) {
	scores := []float64{5, 4, 1, 1, 1, 1}
	v := []float32{1, -1, 2, -9, 3, 4}
	if got, want := critical(scores, v, 1, 4, 2), []int32{0, 1, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("keeps %v, want %v", got, want)
	}
}

// TestCriticalOfEqualValuesIsItsBase, methods of all kinds.
func TestCriticalOfEqualValuesIsItsBase(t *testing.T) {
	v := randomView(t, 60)
	for j := range v.V {
		for i, x := range v.V[j] {
			v.V[j][i] = float32(math.Copysign(1, float64(x))) // an L1 norm of 8
		}
	}
	for _, base := range []string{"snapkv", "snapkv:agg=max,pool=avg,window=7", "pyramidkv", "adakv", "adakv:alpha=0.9,variant=kvpress,window=5", "snapkv:layout=query"} {
		for _, budget := range []int{17, 30} {
			base := withBudget(base, budget)
			a, b := decided(t, base, v).Keep, decided(t, base+"+criticalkv", v).Keep
			if !slices.EqualFunc(a, b, slices.Equal) {
				t.Errorf("%s: %v, with criticalkv %v", base, a, b)
			}
		}
	}
}
