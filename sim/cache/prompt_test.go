package cache

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
)

// pairView is a prompt of n tokens of two layers that have not merged.
func pairView(heads, qHeads, dim, n int) *View {
	r := rand.New(rand.NewPCG(11, 12))
	v, peer := randomView(r, heads, qHeads, dim, n), randomView(r, heads, qHeads, dim, n)
	v.Layers = []int{4, 5}
	v.Peers = []Peer{{peer.K, peer.V}}
	v.Q = append(v.Q, peer.Q[0])
	v.Rules = append(v.Rules, peer.Rules[0])
	return v
}

// layerRows are the keys and values of layer i of the group.
func (v *View) layerRows(i int) (k, val [][]float32) {
	if i == 0 {
		return v.K, v.V
	}
	return v.Peers[i-1].K, v.Peers[i-1].V
}

// identity is a Joint of full rank: the latent rows are the rows themselves, side by side.
func identity(v *View) Joint {
	side := func(rows func(layer int) [][]float32, dim int) Basis {
		var b Basis
		width := len(v.Layers) * v.Heads() * dim
		for i := range v.Rows(0) {
			for l := range v.Layers {
				for _, head := range rows(l) {
					b.Rows = append(b.Rows, head[i*dim:(i+1)*dim]...)
				}
			}
		}
		at := 0
		for range v.Layers {
			var up []Matrix
			for range v.Heads() {
				m := NewMatrix(dim, width)
				for c := range dim {
					m.Row(c)[at+c] = 1
				}
				at += dim
				up = append(up, m)
			}
			b.Up = append(b.Up, up)
		}
		return b
	}
	return Joint{
		K: side(func(l int) [][]float32 { k, _ := v.layerRows(l); return k }, v.Dim),
		V: side(func(l int) [][]float32 { _, val := v.layerRows(l); return val }, v.VDim),
	}
}

// packings are exact but for rounding, over two heads of 200 rows of 24 channels.
func promptStorages(v *View) map[string]PromptStorage {
	every := make([]int32, v.Dim)
	for c := range every {
		every[c] = int32(c)
	}
	some := [][]int32{{0, 3, 50}, {7}}
	all := make([]int32, v.Rows(0))
	for i := range all {
		all[i] = int32(i)
	}
	return map[string]PromptStorage{
		"prune":       Prune{Channels: [][]int32{every, every}, Recent: 30},
		"prune none":  Prune{Channels: [][]int32{every, every}, Recent: 1000},
		"slerp kept":  Slerp{T: 0.6, KeepK: [][]int32{all, all}, KeepV: [][]int32{all, all}},
		"slerp equal": Slerp{T: 0.6, KeepK: some, KeepV: [][]int32{{3}, {7, 8, 199}}},
		"joint":       identity(v),
	}
}

// TestPromptStorageIsRead decodes two tokens in both layers and compares attention with that of float64 over the
// rows of each layer: those of the prompt, which some storages hold exactly, and those appended. Each layer has its
// own rules, or both scale alone.
func TestPromptStorageIsRead(t *testing.T) {
	const heads, qHeads, dim, n = 2, 6, 24, 200 // as in testPromptStorage
	bent := [][]kernel.Rule{slices.Repeat([]kernel.Rule{{Scale: 0.2, Window: 90}}, qHeads), slices.Repeat([]kernel.Rule{{Scale: 0.1, Softcap: 1, Slope: 0.05}}, qHeads)}
	for h := range qHeads / 2 { // of the same stored heads
		bent[0][2*h] = kernel.Rule{Scale: 0.1, Chunk: 64, HasSink: true, Sink: 1}
		bent[1][2*h] = kernel.Rule{Scale: 0.1, Softcap: 1, Chunk: 150}
	}
	for name, p := range promptStorages(pairView(heads, qHeads, dim, n)) {
		for _, rules := range [][][]kernel.Rule{nil, bent} {
			t.Run(fmt.Sprintf("%s/bent=%v", name, rules != nil), func(t *testing.T) { testPromptStorage(t, name, p, rules) })
		}
	}
}

func testPromptStorage(t *testing.T, name string, p PromptStorage, rules [][]kernel.Rule) {
	const heads, qHeads, dim, n = 2, 6, 24, 200
	v := pairView(heads, qHeads, dim, n)
	if rules != nil {
		v.Rules = rules
	}
	switch name {
	case "slerp equal": // layers whose directions agree
		v.Peers = []Peer{scaled(v, 2)}
	case "prune", "prune none": // layers that have merged, if any
		v.Layers, v.Peers = v.Layers[:1], nil
	}
	s, err := Build(Spec{View: v, Before: v.Shape(), Decisions: []Decision{{Prompt: p}}, Decode: 2})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(13, 14))
	k, val := make([][][]float32, 2), make([][][]float32, 2) // [layer][head][rows*dim]
	for l := range v.Layers {
		a, b := v.layerRows(l)
		for h := range heads {
			k[l], val[l] = append(k[l], slices.Clone(a[h])), append(val[l], slices.Clone(b[h]))
		}
	}
	for pos := n; pos < n+2; pos++ {
		token := randomView(r, heads, qHeads, dim, 1)
		var q []float32
		for _, head := range token.Q[0] {
			q = append(q, head...)
		}
		for l, layer := range v.Layers {
			if err := s.Append(layer, pos, token.K, token.V); err != nil {
				t.Fatal(err)
			}
			for h := range heads {
				k[l][h], val[l][h] = append(k[l][h], token.K[h]...), append(val[l][h], token.V[h]...)
			}
			out := make([]float32, qHeads*dim)
			s.Attend(layer, pos, q, out)
			for h := range qHeads {
				j := h / (qHeads / heads)
				logits, lse := kernel.LogitsExact(q[h*dim:(h+1)*dim], dim, v.Rules[l][h], k[l][j], nil, kernel.Sights(pos, 1))
				want := kernel.WeightedSumExact(logits, lse, dim, val[l][j])
				for c, w := range want {
					if got := out[h*dim+c]; math.Abs(float64(got)-w) > 3e-3 {
						t.Fatalf("layer %d, token %d, query head %d, channel %d: %g, want %g", layer, pos, h, c, got, w)
					}
				}
			}
		}
	}
	if got := s.Kept()[0]; len(got) != n+2 || got[0] != 0 || got[n+1] != n+1 {
		t.Errorf("holds %d positions, %d to %d", len(got), got[0], got[len(got)-1])
	}
}

// scaled is a layer whose rows are a multiple of another's.
func scaled(v *View, by float32) Peer {
	times := func(heads [][]float32) (out [][]float32) {
		for _, head := range heads {
			x := make([]float32, len(head))
			for i := range head {
				x[i] = by * head[i]
			}
			out = append(out, x)
		}
		return out
	}
	return Peer{times(v.K), times(v.V)}
}

// TestPackedStepAllocatesNothing, clones go on as their origin would, on any number of threads.
func TestStoredPromptAllocatesNothing(t *testing.T) {
	const heads, qHeads, dim, n = 2, 6, 24, 3000
	v := pairView(heads, qHeads, dim, n)
	q := make([]float32, qHeads*dim)
	for i := range q {
		q[i] = float32(i%7) / 7
	}
	for name, p := range promptStorages(v) {
		var want []float32
		for _, threads := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/%d", name, threads), func(t *testing.T) {
				pool := kernel.NewPool(threads)
				defer pool.Close()
				s, err := Build(Spec{View: v, Before: v.Shape(), Decisions: []Decision{{Prompt: p}}, Decode: 300, Pool: pool})
				if err != nil {
					t.Fatal(err)
				}
				before := s.Clone()
				token, out := pairView(heads, qHeads, dim, 1), make([]float32, qHeads*dim)
				step := func(s *Store) {
					for l, layer := range v.Layers {
						k, val := token.layerRows(l)
						if err := s.Append(layer, n, k, val); err != nil {
							t.Fatal(err)
						}
						s.Attend(layer, n, q, out)
					}
				}
				if allocs := testing.AllocsPerRun(100, func() { step(s) }); allocs != 0 {
					t.Errorf("%g allocations a step", allocs)
				}
				work := before.Clone()
				if work.CopyFrom(before); work.Bytes() != before.Bytes() || work.Metadata() != before.Metadata() {
					t.Errorf("a copy takes %d bytes, its origin %d", work.Bytes(), before.Bytes())
				}
				step(before)
				first := slices.Clone(out)
				if step(work); !slices.Equal(out, first) {
					t.Error("a copy attends to something else than its origin")
				}
				if want == nil {
					want = first
				} else if !slices.Equal(first, want) {
					t.Error("outputs depend on the threads")
				}
			})
		}
	}
}

// TestPackedRefuses entries that go, and rows beyond the format.
func TestPromptStorageRefuses(t *testing.T) {
	v := pairView(1, 1, 4, 5)
	p := Prune{Channels: [][]int32{{0, 2}}, Recent: 1}
	if _, err := Build(Spec{View: v, Before: v.Shape(), Decisions: []Decision{{Prompt: p}, {Ring: &Ring{Capacity: 3}}}}); !errors.Is(err, errPrompt) {
		t.Errorf("with a ring: %v", err)
	}
	v.V[0][1] = 70000
	for _, p := range []PromptStorage{p, Slerp{T: 0.5, KeepK: [][]int32{nil}, KeepV: [][]int32{nil}}, identity(v)} {
		if _, err := Build(Spec{View: v, Before: v.Shape(), Decisions: []Decision{{Prompt: p}}}); !errors.Is(err, ErrRange) {
			t.Errorf("%T: a value beyond f16: %v", p, err)
		}
	}
}

// TestSlerpDirection lies on the arc, at t, and has unit length; opposite and zero rows give numbers.
func TestSlerpDirection(t *testing.T) {
	dst := make([]float32, 2)
	for _, share := range []float64{0, 0.25, 0.6, 1} {
		na, nb := Slerp{T: share}.direction([]float32{3, 0}, []float32{0, 5}, dst)
		if na != 3 || nb != 5 {
			t.Errorf("norms %g and %g", na, nb)
		}
		if angle := math.Atan2(float64(dst[1]), float64(dst[0])); math.Abs(angle-share*math.Pi/2) > 1e-6 {
			t.Errorf("t = %g: the direction is at %g of a right angle", share, angle/(math.Pi/2))
		}
	}
	for _, rows := range [][2][]float32{{{1, 1}, {1, 1}}, {{1, 0}, {-1, 0}}, {{0, 0}, {0, 0}}, {{0, 0}, {1, 0}}} {
		Slerp{T: 0.6}.direction(rows[0], rows[1], dst)
		if n := math.Hypot(float64(dst[0]), float64(dst[1])); math.IsNaN(n) || n > 1+1e-6 {
			t.Errorf("direction of %v: %v", rows, dst)
		}
	}
}
