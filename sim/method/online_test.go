package method

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"kvgauge/sim/cache"
	"kvgauge/sim/kernel"
)

// sequence is a sequence of noise in steps of 1/64, which f16 holds exactly, as one view of all its tokens.
func sequence(heads, group, n int) *cache.View {
	v := benchView(heads, group, 16, n)
	round := func(xs []float32) {
		for i, x := range xs {
			xs[i] = float32(math.Round(float64(x)*64) / 64)
		}
	}
	for j := range v.K {
		round(v.K[j])
		round(v.V[j])
	}
	for h := range v.Q[0] {
		round(v.Q[0][h])
	}
	return v
}

// head returns the view of the first n tokens.
func head(v *cache.View, n int) *cache.View {
	p := *v
	p.Pos, p.K, p.V, p.Q = nil, nil, nil, [][][]float32{nil}
	for j := range v.K {
		p.Pos, p.K, p.V = append(p.Pos, v.Pos[j][:n]), append(p.K, v.K[j][:n*v.Dim]), append(p.V, v.V[j][:n*v.Dim])
	}
	for _, q := range v.Q[0] {
		p.Q[0] = append(p.Q[0], q[:n*v.Dim])
	}
	return &p
}

// decoder steps a store through the tokens of a sequence.
type decoder struct {
	*cache.Store
	decisions []cache.Decision
	t         *testing.T
	all       *cache.View
	pos       int
	k         [][]float32
	v         [][]float32
	q         []float32
	out       []float32
}

// prompted builds the store of a pipeline from the first n tokens.
func prompted(t *testing.T, spec string, all *cache.View, n int, pool *kernel.Pool) *decoder {
	t.Helper()
	d, err := tryPrompted(t, spec, all, n, pool)
	if err != nil {
		t.Fatal(spec, err)
	}
	return d
}

// tryPrompted does so where the pipeline applies.
func tryPrompted(t *testing.T, spec string, all *cache.View, n int, pool *kernel.Pool) (*decoder, error) {
	t.Helper()
	ps, err := Parse([]string{spec}, []Entries{{Percent: 25}})
	if err != nil {
		t.Fatal(err)
	}
	decode := all.Rows(0) - n
	c := Cell{
		Layers: all.Layers, NumLayers: 4, QHeads: all.QHeads(), HeadDim: all.Dim, Heads: all.Heads(), Dim: all.Dim, VDim: all.Dim,
		SeqLen: n + decode, Decode: decode, Pool: pool,
	}
	if err := ps[0].Fit(c); err != nil {
		return nil, err
	}
	prompt := head(all, n)
	ds, view, err := ps[0].Decide(c, prompt, prompt, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cache.Build(cache.Spec{View: view, Before: prompt.Shape(), Decisions: ds, Decode: decode, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	d := &decoder{Store: s, decisions: ds, t: t, all: all, pos: n, k: make([][]float32, all.Heads()), v: make([][]float32, all.Heads())}
	d.q, d.out = make([]float32, all.QHeads()*all.Dim), make([]float32, all.QHeads()*all.Dim)
	return d, nil
}

// on goes on with another store.
func (d *decoder) on(s *cache.Store) *decoder {
	e := *d
	e.Store, e.q, e.out = s, slices.Clone(d.q), slices.Clone(d.out)
	e.k, e.v = slices.Clone(d.k), slices.Clone(d.v)
	return &e
}

// step decodes the next token.
func (d *decoder) step() {
	dim := d.all.Dim
	for j := range d.k {
		d.k[j], d.v[j] = d.all.K[j][d.pos*dim:(d.pos+1)*dim], d.all.V[j][d.pos*dim:(d.pos+1)*dim]
	}
	for h, q := range d.all.Q[0] {
		copy(d.q[h*dim:], q[d.pos*dim:(d.pos+1)*dim])
	}
	if err := d.Append(d.all.Layers[0], d.pos, d.k, d.v); err != nil {
		d.t.Fatal(err)
	}
	d.Attend(d.all.Layers[0], d.pos, d.q, d.out)
	d.EndStep(d.all.Layers[0], d.pos)
	d.pos++
}

// probabilities are those of a query head at a token over some positions.
func probabilities(v *cache.View, h, token int, over []int32) map[int32]float64 {
	p := map[int32]float64{}
	var sum float64
	q := v.Q[0][h][token*v.Dim : (token+1)*v.Dim]
	for _, at := range over {
		i := int(at)
		p[at] = math.Exp(kernel.LogitExact(q, v.K[h/v.Group()][i*v.Dim:(i+1)*v.Dim], v.Rules[0][0].Scale))
		sum += p[at]
	}
	for at := range p {
		p[at] /= sum
	}
	return p
}

// best returns the k positions with the highest scores, ascending; of equal ones the lower.
func best(over []int32, score map[int32]float64, k int) []int32 {
	order := slices.Clone(over)
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(score[b], score[a]) })
	order = order[:min(k, len(order))]
	slices.Sort(order)
	return order
}

// TestH2OStepByStep compares every step with the definition, in float64.
func TestH2OStepByStep(t *testing.T) {
	const n, decode, heavy, recent = 60, 40, 13, 9
	all := sequence(2, 3, n+decode)
	for _, agg := range []string{"mean", "sum"} {
		d := prompted(t, fmt.Sprintf("h2o:agg=%s,budget=%d,heavy=%d", agg, heavy+recent, heavy), all, n, nil)
		for j := range 2 {
			scores := map[int32]float64{}
			add := func(token int, over []int32) {
				for h := j * 3; h < j*3+3; h++ {
					for at, p := range probabilities(all, h, token, over) {
						scores[at] += p
					}
				}
			}
			for token := range n {
				add(token, span(0, token+1))
			}
			held := append(best(span(0, n-recent), scores, heavy), span(n-recent, n)...)
			e := d.on(d.Clone())
			for token := n; token < n+decode; token++ {
				if got := e.Kept()[j]; !slices.Equal(got, held) {
					t.Fatalf("agg=%s head %d before token %d: holds %v, want %v", agg, j, token, got, held)
				}
				e.step()
				held = append(held, int32(token))
				add(token, held)
				held = append(best(held[:len(held)-recent], scores, heavy), held[len(held)-recent:]...)
			}
		}
	}
}

// TestTOVAStepByStep compares every step with the definition, in float64.
func TestTOVAStepByStep(t *testing.T) {
	const n, decode, budget = 60, 40, 17
	all := sequence(2, 3, n+decode)
	d := prompted(t, fmt.Sprintf("tova:budget=%d", budget), all, n, nil)
	held := span(0, n)
	for token := n - 1; token < n+decode; token++ {
		if token >= n {
			d.step()
			held = append(held, int32(token))
		}
		mean := map[int32]float64{}
		for h := range all.QHeads() {
			for at, p := range probabilities(all, h, token, held) {
				mean[at] += p
			}
		}
		held = best(held, mean, budget)
		for j, got := range d.Kept() {
			if !slices.Equal(got, held) {
				t.Fatalf("head %d after token %d: holds %v, want %v", j, token, got, held)
			}
		}
	}
}

// TestScissorhandsStepByStep compares every step with the definition, in float64: counts of the steps since the
// last drop, or of the last history prompt queries.
func TestScissorhandsStepByStep(t *testing.T) {
	const n, decode, budget, recent, drop = 30, 70, 33, 6, 14
	all := sequence(2, 2, n+decode)
	for _, history := range []int{5, 12, 50} {
		for _, mode := range []string{"count", "sum"} {
			d := prompted(t, fmt.Sprintf("scissorhands:budget=%d,drop=%d,history=%d,mode=%s,recent=%d", budget, drop, history, mode, recent), all, n, nil)
			for j := range 2 {
				e := d.on(d.Clone())
				held := span(0, n)
				var rows []map[int32]float64 // scores of the queries since the last drop
				see := func(token int) {
					row := map[int32]float64{}
					for h := 2 * j; h < 2*j+2; h++ {
						for at, p := range probabilities(all, h, token, held) {
							row[at] += p / 2
						}
					}
					if mode == "count" {
						for at, p := range row {
							row[at] = 0
							if p*float64(token+1) < equal {
								row[at] = -1
							}
						}
					}
					rows = append(rows, row)
				}
				for token := range n {
					held = span(0, token+1)
					see(token)
				}
				for token := n; token < n+decode; token++ {
					e.step()
					held = append(held, int32(token))
					see(token)
					if len(held) == budget {
						scores := map[int32]float64{}
						for _, row := range rows[max(0, len(rows)-history):] {
							for at, x := range row {
								scores[at] += x
							}
						}
						old := len(held) - recent
						held = append(best(held[:old], scores, budget-drop-recent), held[old:]...)
						rows = nil
					}
					if got := e.Kept()[j]; !slices.Equal(got, held) {
						t.Fatalf("history=%d mode=%s head %d after token %d: holds %v, want %v", history, mode, j, token, got, held)
					}
				}
			}
		}
	}
}

// online are the pipelines that change or choose at every step, or at some, of those that apply to one layer of a model
// without a rotary embedding.
func online(t *testing.T) (specs []string) {
	t.Helper()
	all := sequence(2, 2, 100)
	found := map[string]bool{}
	for _, i := range All() {
		for _, spec := range i.Specs() {
			d, err := tryPrompted(t, spec, all, 60, nil)
			if err == nil && slices.ContainsFunc(d.decisions, func(d cache.Decision) bool { return d.Policy != nil || d.Ring != nil || d.Select != nil }) {
				specs, found[i.Name] = append(specs, spec), true
			}
		}
	}
	if len(found) < 12 {
		t.Fatalf("only %v change or choose", found)
	}
	return specs
}

// decidesAgain says whether a stage does so within the decoded tokens: that allocates memory.
func (d *decoder) decidesAgain() bool {
	return slices.ContainsFunc(d.decisions, func(decision cache.Decision) bool {
		p, ok := decision.Policy.(redecider)
		return ok && d.all.Rows(0)/p.every > d.pos/p.every
	})
}

// TestCopiesGoOn: a clone and a store that copies another go on as the original would, whatever they did before.
func TestCopiesGoOn(t *testing.T) {
	const n, decode = 60, 40
	all := sequence(2, 2, n+decode)
	for _, spec := range online(t) {
		d := prompted(t, spec, all, n, nil)
		other := d.on(d.Clone())
		for range 15 {
			d.step()
		}
		for range 22 {
			other.step()
		}
		clone := d.on(d.Clone())
		other.CopyFrom(d.Store)
		other.pos = d.pos
		for range 20 {
			d.step()
			clone.step()
			other.step()
			for name, e := range map[string]*decoder{"clone": clone, "copy": other} {
				if !slices.Equal(e.out, d.out) || fmt.Sprint(e.Kept()) != fmt.Sprint(d.Kept()) || e.Traffic() != d.Traffic() || e.Bytes() != d.Bytes() {
					t.Fatalf("%s: the %s goes another way at token %d", spec, name, d.pos)
				}
			}
		}
	}
}

// TestStepAllocatesNothing, but where a policy decides again.
func TestStepAllocatesNothing(t *testing.T) {
	const n, decode = 60, 40
	all := sequence(2, 2, n+decode)
	pool := kernel.NewPool(2)
	defer pool.Close()
	for _, spec := range append(online(t), "rkv:budget=20,interval=1000", "cla:factor=1+tova:budget=20") {
		d := prompted(t, spec, all, n, pool)
		if d.decidesAgain() {
			continue
		}
		if allocs := testing.AllocsPerRun(30, d.step); allocs != 0 {
			t.Errorf("%s: %g allocations a step", spec, allocs)
		}
	}
}

// TestHeadsPermute: heads in another order give the results in that order.
func TestHeadsPermute(t *testing.T) {
	const n, decode, group = 60, 40, 2
	all := sequence(3, group, n+decode)
	order := []int{2, 0, 1}
	turned := *all
	turned.K, turned.V, turned.Q = nil, nil, [][][]float32{nil}
	for _, j := range order {
		turned.K, turned.V = append(turned.K, all.K[j]), append(turned.V, all.V[j])
		turned.Q[0] = append(turned.Q[0], all.Q[0][j*group:(j+1)*group]...)
	}
	for _, spec := range online(t) {
		d, e := prompted(t, spec, all, n, nil), prompted(t, spec, &turned, n, nil)
		for range decode {
			d.step()
			e.step()
			stored := len(d.Kept()) / len(order) // of a KV head; none where they are mixed
			for i, j := range order[:min(stored, 1)*len(order)] {
				if got, want := e.Kept()[i*stored:(i+1)*stored], d.Kept()[j*stored:(j+1)*stored]; !slices.EqualFunc(got, want, slices.Equal) {
					t.Fatalf("%s: head %d holds %v, want %v", spec, j, got, want)
				}
				for h := range group {
					got, want := e.Attended(i*group+h, nil), d.Attended(j*group+h, nil)
					slices.Sort(got)
					slices.Sort(want)
					if !slices.Equal(got, want) {
						t.Fatalf("%s: query head %d reads %v, want %v", spec, j*group+h, got, want)
					}
				}
			}
		}
	}
}

// TestAttendedOutputs compares the output of every step with float64 attention over what was attended: what was
// held and the new token, or what the store says that it read.
func TestAttendedOutputs(t *testing.T) {
	const n, decode = 60, 30
	all := sequence(2, 2, n+decode)
	for _, spec := range online(t) {
		d := prompted(t, spec, all, n, nil)
		if slices.ContainsFunc(d.decisions, func(d cache.Decision) bool { return d.Map != nil || d.Codec != nil || d.Prompt != nil }) {
			continue // it attends over other rows
		}
		for range decode {
			held := [][]int32{slices.Clone(d.Pos(0)), slices.Clone(d.Pos(1))}
			d.step()
			for h := range all.QHeads() {
				over := append(held[h/2][:len(held[h/2]):len(held[h/2])], int32(d.pos-1))
				switch {
				case d.Selects():
					over = d.Attended(h, nil)
				case d.decisions[0].Ring != nil: // it makes room before the step
					over = d.Pos(h / 2)
				}
				want := make([]float64, all.Dim)
				for at, p := range probabilities(all, h, d.pos-1, over) {
					for c := range want {
						want[c] += p * float64(all.V[h/2][int(at)*all.Dim+c])
					}
				}
				for c := range want {
					if got := float64(d.out[h*all.Dim+c]); math.Abs(got-want[c]) > 1e-4 {
						t.Fatalf("%s: token %d query head %d: %g, want %g", spec, d.pos-1, h, got, want[c])
					}
				}
			}
		}
	}
}
