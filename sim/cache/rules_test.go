package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
)

// The shape of the stores below, and the window that their rings hold.
const (
	ruledHeads, ruledQHeads = 2, 4
	ruledDim, ruledVDim     = 32, 16
	ruledWindow             = 40
)

// ruledLayers are three layers of one group that attend to its rows each in its own way: a window that the ring is
// made for, one rule a head, and a chunk that starts anew while the ring still holds the one before.
var ruledLayers = [][]kernel.Rule{
	slices.Repeat([]kernel.Rule{{Scale: 0.3, Window: ruledWindow}}, ruledQHeads),
	{
		{Scale: 0.2, Chunk: 16},
		{Scale: 0.4, Softcap: 0.5, Window: 7},
		{Scale: 0.3, Slope: 0.1, HasSink: true, Sink: 1},
		kernel.Scaled(0.3),
	},
	slices.Repeat([]kernel.Rule{{Scale: 0.3, Chunk: ruledWindow, HasSink: true, Sink: -1, Softcap: 3}}, ruledQHeads),
}

// ruledPrompt is a prompt of n tokens of a group of layers with rules of their own; the rows of tokens after it are
// rows n and later of k and v, [head][tokens*channels].
func ruledPrompt(n, tokens int) (v *View, k, val [][]float32) {
	r := rand.New(rand.NewPCG(21, 22))
	draw := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	v = &View{Layers: []int{4, 5, 6}, Dim: ruledDim, VDim: ruledVDim, Rules: ruledLayers, FirstQuery: n - 1}
	for range ruledHeads {
		k, val = append(k, draw(tokens*ruledDim)), append(val, draw(tokens*ruledVDim))
		v.K, v.V, v.Pos = append(v.K, k[len(k)-1][:n*ruledDim]), append(v.V, val[len(val)-1][:n*ruledVDim]), append(v.Pos, span(n))
	}
	for range v.Layers {
		var heads [][]float32
		for range ruledQHeads {
			heads = append(heads, draw(ruledDim))
		}
		v.Q = append(v.Q, heads)
	}
	return v, k, val
}

// ruled is attention of one query by the definition of its rule, in float64, over rows at some positions: the output,
// and the probability of each row.
func ruled(r kernel.Rule, q, k, v []float32, pos []int32, token int) (out, probs []float64) {
	probs, out = make([]float64, len(pos)), make([]float64, ruledVDim)
	largest, sum := math.Inf(-1), 0.0
	if r.HasSink {
		largest = r.Sink
	}
	for i, key := range pos {
		at := int(key)
		probs[i] = math.Inf(-1)
		if r.Window > 0 && at <= token-r.Window || r.Chunk > 0 && at/r.Chunk != token/r.Chunk {
			continue
		}
		var x float64
		for c := range q {
			x += r.Scale * float64(q[c]) * float64(k[i*ruledDim+c])
		}
		if r.Softcap > 0 {
			x = r.Softcap * math.Tanh(x/r.Softcap)
		}
		probs[i] = x + r.Slope*float64(at-token)
		largest = max(largest, probs[i])
	}
	if math.IsInf(largest, -1) {
		clear(probs)
		return out, probs
	}
	if r.HasSink {
		sum = math.Exp(r.Sink - largest)
	}
	for i, x := range probs {
		probs[i] = math.Exp(x - largest)
		sum += probs[i]
	}
	for i := range probs {
		probs[i] /= sum
		for c := range out {
			out[c] += probs[i] * float64(v[i*ruledVDim+c])
		}
	}
	return out, probs
}

// at gathers the rows of some positions.
func at(rows []float32, dim int, pos []int32) (held []float32) {
	for _, p := range pos {
		held = append(held, rows[int(p)*dim:(int(p)+1)*dim]...)
	}
	return held
}

// decoded are a head's rows as they read back, any transform undone.
func (s *Store) decoded(head int) (k, v []float32) {
	e := &s.heads[head]
	n := len(e.pos)
	k, v = make([]float32, n*ruledDim), make([]float32, n*ruledVDim)
	for i := range n {
		e.k.Row(i, k[i*ruledDim:(i+1)*ruledDim])
		e.v.Row(i, v[i*ruledVDim:(i+1)*ruledVDim])
	}
	s.inverseRows(k, v)
	return k, v
}

// reversed is the Fold of rows whose channels stand in reverse; as a Rebuild it makes the keys again.
type reversed struct{}

func (reversed) Shape(before Shape) Shape { return before }

func (reversed) Row(_ int, k, v, dstK, dstV [][]float32) {
	for h := range k {
		reverse(dstK[h], k[h])
		reverse(dstV[h], v[h])
	}
}

func (reversed) Buffers(dst [][]byte) [][]byte { return dst }

func (reversed) Query(_, _, _ int, q, dst []float32) { copy(dst, q) }

func (reversed) Output(_, _ int, u, dst []float32) { reverse(dst, u) }

func (reversed) Keys(_ int, pos []int32, rows []float32, dst [][]float32) {
	for i := range pos {
		reverse(dst[0][i*ruledDim:(i+1)*ruledDim], rows[i*ruledDim:(i+1)*ruledDim])
	}
}

func reverse(dst, row []float32) {
	for i, x := range row {
		dst[len(row)-1-i] = x
	}
}

// folded is reversed as a Linear.
func folded() Linear {
	mirror := func(n int) (m []Matrix) {
		for range ruledHeads {
			m = append(m, NewMatrix(n, n))
			for i := range n {
				m[len(m)-1].Row(i)[n-1-i] = 1
			}
		}
		return m
	}
	l := Linear{Encode: reversed{}, Group: ruledQHeads / ruledHeads, Key: map[int][]Matrix{}, Value: map[int][]Matrix{}}
	for layer := 4; layer < 7; layer++ {
		l.Key[layer], l.Value[layer] = mirror(ruledDim), mirror(ruledVDim)
	}
	return l
}

// third is the Selector of each third entry and the latest.
type third struct{ longest []int }

func (third) Index(heads, _, _, _ int) Index { return &third{make([]int, heads)} }

func (third) PerQueryHead() bool { return false }

func (x *third) Append(head int, _ []float32) { x.longest[head]++ }

func (x *third) Select(r *Reading) {
	for h, n := range x.longest {
		for i := 0; i < n-1; i += 3 {
			r.Selected[h] = append(r.Selected[h], int32(i))
		}
		r.Selected[h] = append(r.Selected[h], int32(n-1))
	}
}

func (*third) Bytes() int64 { return 0 }

func (*third) Buffers(dst [][]byte) [][]byte { return dst }

func (x *third) CopyFrom(o Index) { copy(x.longest, o.(*third).longest) }

// watcher is oldest with a look at the probabilities before.
type watcher struct{ look func(*Step) }

func (watcher) Watches() bool { return true }

func (w watcher) After(s *Step) {
	w.look(s)
	oldest{}.After(s)
}

// ruledStores are decisions for stores of the layers above. Those that code rows coarsely are compared with what the
// rows read back as.
func ruledStores(n int) map[string]Decision {
	ring := func(d Decision) Decision {
		d.Ring = &Ring{Capacity: ruledWindow}
		if n > ruledWindow {
			d.Keep = slices.Repeat([][]int32{span(n)[n-ruledWindow:]}, ruledHeads)
		}
		return d
	}
	hadamard := &Codec{
		K: kernel.Plain(kernel.Int8), V: kernel.Plain(kernel.Int8),
		HadamardK: &kernel.Hadamard{Block: 32}, HadamardV: &kernel.Hadamard{Block: 16},
	}
	fp8 := &Codec{K: kernel.Blockwise(kernel.FP8(false, kernel.HalfScale)), V: kernel.Blockwise(kernel.FP8(false, kernel.HalfScale))}
	sinks := ring(Decision{})
	sinks.Ring.Sinks = 3
	if n > ruledWindow {
		sinks.Keep = slices.Repeat([][]int32{append(span(3), span(n)[n-ruledWindow+3:]...)}, ruledHeads)
	}
	alone := MeanHeads{Of: [][]int{{0}, {1}}}
	return map[string]Decision{
		"grows":                 {},
		"ring":                  ring(Decision{}),
		"ring with sinks":       sinks,
		"ring, int8":            ring(Decision{Codec: &Codec{K: kernel.Plain(kernel.Int8), V: kernel.Plain(kernel.Int8)}}),
		"ring, int4":            ring(Decision{Codec: &Codec{K: kernel.Plain(kernel.Int4), V: kernel.Plain(kernel.Int4)}}),
		"ring, fp8":             ring(Decision{Codec: fp8}),
		"ring, hadamard":        ring(Decision{Codec: hadamard}),
		"ring, kivi":            ring(Decision{Codec: kivi}),
		"ring, balanced":        ring(Decision{Codec: balanced}),
		"ring, mapped":          ring(Decision{Map: alone}),
		"ring, linear":          ring(Decision{Map: folded()}),
		"ring, rebuilt":         ring(Decision{Map: reversed{}}),
		"kivi":                  {Codec: kivi},
		"linear":                {Map: folded()},
		"rebuilt":               {Map: reversed{}},
		"selected":              {Select: third{}},
		"drops":                 {Policy: oldest{}, Notes: notes(ruledHeads, n)},
		"drops, kivi":           {Policy: oldest{}, Notes: notes(ruledHeads, n), Codec: kivi},
		"all but some evicted":  {Keep: [][]int32{{0, int32(n - 2)}, {int32(n / 2)}}},
		"selected, but evicted": {Keep: [][]int32{{0, int32(n - 2)}, {int32(n / 2)}}, Select: third{}},
	}
}

// step appends a token and attends in all layers, which visit sees one by one before the step ends.
func (s *Store) ruledStep(t *testing.T, pos int, k, v [][]float32, visit func(l int, q, out []float32)) {
	t.Helper()
	r := rand.New(rand.NewPCG(23, uint64(pos)))
	q, out := make([]float32, ruledQHeads*ruledDim), make([]float32, ruledQHeads*ruledVDim)
	for l, layer := range s.layers {
		if err := s.Append(layer, pos, cutRows(k, ruledDim, pos, pos+1), cutRows(v, ruledVDim, pos, pos+1)); err != nil {
			t.Fatal(err)
		}
		for i := range q {
			q[i] = float32(r.NormFloat64())
		}
		s.Attend(layer, pos, q, out)
		visit(l, q, out)
		s.EndStep(layer, pos)
	}
}

func mustBuildRuled(t *testing.T, v *View, d Decision, decode int) *Store {
	t.Helper()
	s, err := Build(Spec{View: v.Stored(d), Before: v.Shape(), Decisions: []Decision{d}, Decode: decode})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestRules decodes three times past a window in stores of every kind and compares each layer with float64 attention
// over the rows that its rules let it read.
func TestRules(t *testing.T) {
	const decode = 3*ruledWindow + 7
	prompts := []int{100, 25}
	if testing.Short() {
		prompts = prompts[:1]
	}
	for _, n := range prompts {
		for name, d := range ruledStores(n) {
			t.Run(fmt.Sprintf("%s/%d", name, n), func(t *testing.T) {
				v, k, val := ruledPrompt(n, n+decode)
				s := mustBuildRuled(t, v, d, decode)
				for pos := n; pos < n+decode; pos++ {
					s.ruledStep(t, pos, k, val, func(l int, q, out []float32) {
						if d.Ring != nil {
							checkRing(t, s, d.Ring, pos)
						}
						checkRuled(t, s, v.Rules[l], d.Codec != nil, k, val, pos, q, out)
					})
				}
			})
		}
	}
}

// checkRing wants the positions of a ring: its sinks, and the latest.
func checkRing(t *testing.T, s *Store, r *Ring, pos int) {
	t.Helper()
	var want []int32
	for i := range pos + 1 {
		if i < r.Sinks || i > pos-(r.Capacity-r.Sinks) {
			want = append(want, int32(i))
		}
	}
	for h, kept := range s.Kept() {
		if !slices.Equal(kept, want) {
			t.Fatalf("token %d, head %d: holds %v, want %v", pos, h, kept, want)
		}
	}
}

// checkRuled compares the outputs of a layer's query heads over what their stored heads hold: rows as they came, or
// coded as they read back.
func checkRuled(t *testing.T, s *Store, rules []kernel.Rule, coded bool, k, v [][]float32, token int, q, out []float32) {
	t.Helper()
	for h, rule := range rules {
		j, tol := h*ruledHeads/ruledQHeads, 4e-3
		pos := s.Attended(h, nil)
		rowsK, rowsV := at(k[j], ruledDim, pos), at(v[j], ruledVDim, pos)
		if coded {
			rowsK, rowsV = s.decoded(j)
			tol = 2e-5
		}
		want, _ := ruled(rule, q[h*ruledDim:(h+1)*ruledDim], rowsK, rowsV, pos, token)
		for c, w := range want {
			if got := float64(out[h*ruledVDim+c]); !(math.Abs(got-w) <= tol) {
				t.Fatalf("token %d, query head %d (%+v), channel %d: %g, want %g", token, h, rule, c, got, w)
			}
		}
	}
}

// TestWatchedRules shows a policy the probabilities of what each head reads, the sink's left out.
func TestWatchedRules(t *testing.T) {
	const n, decode = 60, 50
	v, k, val := ruledPrompt(n, n+decode)
	var layer int
	var queries []float32
	look := func(s *Step) {
		for j := range s.Heads {
			held := &s.Heads[j]
			for g, probs := range held.Probs {
				h := j*len(held.Probs) + g
				_, want := ruled(v.Rules[layer][h], queries[h*ruledDim:(h+1)*ruledDim], at(k[j], ruledDim, held.Pos), at(val[j], ruledVDim, held.Pos), held.Pos, s.Token-1)
				for i, w := range want {
					if got := float64(probs[i]); !(math.Abs(got-w) <= 2e-3) || got > 0 != (w > 0) {
						t.Fatalf("token %d, layer %d, query head %d, entry of token %d: %g, want %g", s.Token-1, layer, h, held.Pos[i], got, w)
					}
				}
			}
		}
	}
	s := mustBuildRuled(t, v, Decision{Policy: watcher{look}, Notes: notes(ruledHeads, n)}, decode)
	for pos := n; pos < n+decode; pos++ {
		s.ruledStep(t, pos, k, val, func(l int, q, _ []float32) { layer, queries = l, q })
	}
}

// TestClonedRules: clones and copies go on as their origin does, each by the layers' rules, and so does a store that
// went back.
func TestClonedRules(t *testing.T) {
	const n, decode = 100, 60
	for name, d := range ruledStores(n) {
		t.Run(name, func(t *testing.T) {
			v, k, val := ruledPrompt(n, n+decode)
			s := mustBuildRuled(t, v, d, decode)
			clone, start := s.Clone(), s.Clone()
			decodeAll := func(s *Store) (outs []float32) {
				for pos := n; pos < n+decode; pos++ {
					s.ruledStep(t, pos, k, val, func(_ int, _, out []float32) { outs = append(outs, out...) })
				}
				return outs
			}
			want := decodeAll(s)
			if !slices.Equal(decodeAll(clone), want) {
				t.Error("a clone attends otherwise")
			}
			if clone.CopyFrom(start); !slices.Equal(decodeAll(clone), want) {
				t.Error("a copy attends otherwise")
			}
			if name != "grows" {
				return
			}
			if clone.Rewind(decode); !slices.Equal(decodeAll(clone), want) {
				t.Error("a store that went back attends otherwise")
			}
		})
	}
}

// TestRefilledRules: a store that takes the prompt of a layer with other rules attends by these, and a clone of it from
// before by its own.
func TestRefilledRules(t *testing.T) {
	const n, decode = 100, 60
	layers := append([][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(0.3)}, ruledQHeads)}, ruledLayers...)
	for name, d := range map[string]Decision{"grows": {}, "ring": ruledStores(n)["ring"]} {
		for from, rules := range layers {
			for to, others := range layers {
				t.Run(fmt.Sprintf("%s/%d to %d", name, from, to), func(t *testing.T) {
					v, k, val := ruledPrompt(n, n+decode)
					v.Layers, v.Q = v.Layers[:1], v.Q[:1]
					v.Rules = [][]kernel.Rule{rules}
					s := mustBuildRuled(t, v, d, decode)
					for pos := n; pos < n+5; pos++ {
						s.ruledStep(t, pos, k, val, func(int, []float32, []float32) {})
					}
					before := s.Clone()
					next := *v
					next.Layers, next.Rules = []int{9}, [][]kernel.Rule{others}
					if err := s.Refill(next.Stored(d), nil); err != nil {
						t.Fatal(err)
					}
					for pos := n; pos < n+decode; pos++ {
						s.ruledStep(t, pos, k, val, func(_ int, q, out []float32) { checkRuled(t, s, others, false, k, val, pos, q, out) })
					}
					before.ruledStep(t, n+5, k, val, func(_ int, q, out []float32) { checkRuled(t, before, rules, false, k, val, n+5, q, out) })
				})
			}
		}
	}
}
