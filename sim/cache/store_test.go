package cache

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
)

// Rows are coded in digits that can be read: the key of head 2 at position 37 is [237, 237.5], its value
// the negative.
func row(head, pos int) (k, v []float32) {
	x := float32(100*head + pos)
	return []float32{x, x + 0.5}, []float32{-x, -x - 0.5}
}

// testView is a prompt of n tokens, with one query row (the last token's) for each query head.
func testView(heads, qHeads, n int) *View {
	v := &View{Layers: []int{5}, Dim: 2, VDim: 2, Rules: [][]kernel.Rule{slices.Repeat([]kernel.Rule{kernel.Scaled(0.01)}, qHeads)}, FirstQuery: n - 1, Q: [][][]float32{{}}}
	for h := range heads {
		v.K, v.V, v.Pos = append(v.K, nil), append(v.V, nil), append(v.Pos, nil)
		for pos := range n {
			k, val := row(h, pos)
			v.K[h], v.V[h], v.Pos[h] = append(v.K[h], k...), append(v.V[h], val...), append(v.Pos[h], int32(pos))
		}
	}
	for range qHeads {
		v.Q[0] = append(v.Q[0], []float32{1, 1})
	}
	return v
}

// tokenRows are the rows of all heads at a position.
func tokenRows(heads, pos int) (k, v [][]float32) {
	for h := range heads {
		a, b := row(h, pos)
		k, v = append(k, a), append(v, b)
	}
	return k, v
}

func mustBuild(t *testing.T, v *View, d Decision, decode int) *Store {
	t.Helper()
	s, err := Build(Spec{View: v.Apply(d), Before: v.Shape(), Decisions: []Decision{d}, Decode: decode})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stored reads a head's keys back.
func (s *Store) stored(head int) []float32 {
	k := &s.heads[head].k
	out := make([]float32, k.Len()*k.Dim)
	for i := range k.Len() {
		k.Row(i, out[i*k.Dim:])
	}
	return out
}

func TestStoreKeepsRaggedHeads(t *testing.T) {
	s := mustBuild(t, testView(2, 4, 6), Decision{Keep: [][]int32{{0, 5}, {1, 2, 4}}}, 2)
	k, v := tokenRows(2, 6)
	if err := s.Append(5, 6, k, v); err != nil {
		t.Fatal(err)
	}
	if got := s.Kept(); !slices.Equal(got[0], []int32{0, 5, 6}) || !slices.Equal(got[1], []int32{1, 2, 4, 6}) {
		t.Errorf("kept %v", got)
	}
	if got := s.stored(1); !slices.Equal(got, []float32{101, 101.5, 102, 102.5, 104, 104.5, 106, 106.5}) {
		t.Errorf("keys of head 1: %v", got)
	}
	if got := s.Bytes(); got != (3+4)*2*2*2 {
		t.Errorf("payload %d", got)
	}
	if got := s.Paged(4); got != (4+4)*2*2*2 {
		t.Errorf("paged %d", got)
	}
	out := make([]float32, 8)
	s.Attend(5, 6, make([]float32, 8), out) // zero queries: the mean of the values
	if got := s.Traffic(); got != s.Bytes() {
		t.Errorf("traffic %d, want the payload %d", got, s.Bytes())
	}
	for h, want := range []float32{-(0 + 5 + 6) / 3.0, -(0 + 5 + 6) / 3.0, -(101 + 102 + 104 + 106) / 4.0, -(101 + 102 + 104 + 106) / 4.0} {
		if math.Abs(float64(out[2*h]-want)) > 1e-4 {
			t.Errorf("query head %d: %g, want %g", h, out[2*h], want)
		}
	}
}

func TestStoreOfAnotherLayerIgnoresItsRows(t *testing.T) {
	s := mustBuild(t, testView(1, 1, 2), Decision{}, 1)
	k, v := tokenRows(1, 2)
	if err := s.Append(6, 2, k, v); err != nil || s.Bytes() != 2*2*2*2 {
		t.Errorf("a layer that does not produce the rows appended: %v, %d bytes", err, s.Bytes())
	}
}

func TestMeanHeads(t *testing.T) {
	s := mustBuild(t, testView(4, 4, 2), Decision{Map: MeanHeads{Of: [][]int{{0, 1}, {3}}}}, 1)
	k, v := tokenRows(4, 2)
	if err := s.Append(5, 2, k, v); err != nil {
		t.Fatal(err)
	}
	if got := s.stored(0); !slices.Equal(got, []float32{50, 50.5, 51, 51.5, 52, 52.5}) {
		t.Errorf("mean of heads 0 and 1: %v", got)
	}
	if got := s.stored(1); !slices.Equal(got, []float32{300, 300.5, 301, 301.5, 302, 302.5}) {
		t.Errorf("copy of head 3: %v", got)
	}
}

// TestRing checks which positions a ring holds, from a prompt shorter, as long and longer than it.
func TestRing(t *testing.T) {
	for _, prompt := range []int{1, 3, 6, 7, 12} {
		for _, sinks := range []int{0, 1, 2} {
			const capacity, decode = 6, 20
			d := Decision{Ring: &Ring{Sinks: sinks, Capacity: capacity}}
			if prompt > capacity {
				keep := []int32{}
				for i := range prompt {
					if i < sinks || i >= prompt-(capacity-sinks) {
						keep = append(keep, int32(i))
					}
				}
				d.Keep = [][]int32{keep}
			}
			s := mustBuild(t, testView(1, 1, prompt), d, decode)
			for pos := prompt; pos < prompt+decode; pos++ {
				k, v := tokenRows(1, pos)
				if err := s.Append(5, pos, k, v); err != nil {
					t.Fatal(err)
				}
				var want []int32
				for i := range pos + 1 {
					if i < sinks || i > pos-(capacity-sinks) {
						want = append(want, int32(i))
					}
				}
				if got := s.Kept()[0]; !slices.Equal(got, want) {
					t.Fatalf("prompt %d, sinks %d, token %d: holds %v, want %v", prompt, sinks, pos, got, want)
				}
				for i, p := range s.Pos(0) {
					if s.stored(0)[2*i] != float32(p) {
						t.Fatalf("row %d holds the key of %g, not of %d", i, s.stored(0)[2*i], p)
					}
				}
			}
		}
	}
}

// TestRoll compares a rolled ring with one whose keys were given the cache's own positions outright.
func TestRoll(t *testing.T) {
	rope := kernel.Rope{InvFreq: []float64{0.7}}
	base := func(pos int) []float32 { return []float32{1, float32(pos%3) / 4} }
	view := &View{Layers: []int{0}, Dim: 2, VDim: 2, Rules: [][]kernel.Rule{{kernel.Scaled(1)}}, Rope: rope, FirstQuery: 9, Q: [][][]float32{{{1, 0}}}, K: [][]float32{nil}, V: [][]float32{nil}, Pos: [][]int32{nil}}
	rotated := func(pos, at int) []float32 {
		k := base(pos)
		rope.Rotate(k, float64(at))
		return k
	}
	for pos := range 10 {
		view.K[0] = append(view.K[0], rotated(pos, pos)...)
		view.V[0] = append(view.V[0], float32(pos), 1)
		view.Pos[0] = append(view.Pos[0], int32(pos))
	}
	d := Decision{Keep: [][]int32{{0, 1, 7, 8, 9}}, Ring: &Ring{Sinks: 2, Capacity: 5, Roll: true}}
	s := mustBuild(t, view, d, 3)
	for pos := 10; pos < 13; pos++ {
		if err := s.Append(0, pos, [][]float32{rotated(pos, pos)}, [][]float32{{float32(pos), 1}}); err != nil {
			t.Fatal(err)
		}
		q := []float32{0.5, 0.5}
		rope.Rotate(q, float64(pos))
		got := make([]float32, 2)
		s.Attend(0, pos, q, got)

		slotQ := []float32{0.5, 0.5}
		rope.Rotate(slotQ, 4)
		var sum, want float64
		for slot, p := range []int{0, 1, pos - 2, pos - 1, pos} {
			e := math.Exp(kernel.LogitExact(slotQ, rotated(p, slot), 1))
			sum += e
			want += e * float64(p)
		}
		if want /= sum; math.Abs(float64(got[0])-want) > 5e-3 {
			t.Errorf("token %d: %g, want %g", pos, got[0], want)
		}
	}
}

func TestOverflow(t *testing.T) {
	v := testView(1, 1, 2)
	v.K[0][1] = 70000
	if _, err := Build(Spec{View: v, Before: v.Shape()}); !errors.Is(err, ErrRange) {
		t.Errorf("a prompt beyond f16: %v", err)
	}
	s := mustBuild(t, testView(1, 1, 2), Decision{}, 1)
	if err := s.Append(5, 2, [][]float32{{1, 2}}, [][]float32{{1, -70000}}); !errors.Is(err, ErrRange) {
		t.Errorf("a token beyond f16: %v", err)
	}
}

// TestThreads wants the same bits from any number of threads.
func TestThreads(t *testing.T) {
	v := testView(3, 6, 3000)
	q, want := make([]float32, 12), make([]float32, 12)
	for i := range q {
		q[i] = float32(i) / 7
	}
	for _, threads := range []int{1, 2, 3} {
		pool := kernel.NewPool(threads)
		defer pool.Close()
		s, err := Build(Spec{View: v, Before: v.Shape(), Pool: pool})
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, 12)
		s.Attend(5, 2999, q, out)
		if threads == 1 {
			copy(want, out)
		} else if !slices.Equal(out, want) {
			t.Errorf("%d threads: %v, want %v", threads, out, want)
		}
	}
}

// TestStepAllocatesNothing covers append and attend, with and without a map, on one thread and two.
func TestStepAllocatesNothing(t *testing.T) {
	for _, d := range []Decision{{}, {Map: MeanHeads{Of: [][]int{{0, 1}}}}, {Ring: &Ring{Sinks: 1, Capacity: 4000}}} {
		for _, threads := range []int{1, 2} {
			t.Run(fmt.Sprintf("%+v/%d", d, threads), func(t *testing.T) {
				pool := kernel.NewPool(threads)
				defer pool.Close()
				v := testView(2, 4, 3000)
				s, err := Build(Spec{View: v.Apply(d), Before: v.Shape(), Decisions: []Decision{d}, Decode: 200, Pool: pool})
				if err != nil {
					t.Fatal(err)
				}
				k, val := tokenRows(2, 3000)
				q, out := make([]float32, 8), make([]float32, 8)
				allocs := testing.AllocsPerRun(100, func() {
					if err := s.Append(5, 3000, k, val); err != nil {
						t.Fatal(err)
					}
					s.Attend(5, 3000, q, out)
				})
				if allocs != 0 {
					t.Errorf("%g allocations a step", allocs)
				}
			})
		}
	}
}

func TestCloneAndCopyFrom(t *testing.T) {
	s := mustBuild(t, testView(2, 2, 5), Decision{Ring: &Ring{Sinks: 1, Capacity: 6}}, 9)
	k, v := tokenRows(2, 5)
	before := s.Clone()
	for pos := 5; pos < 12; pos++ {
		if err := s.Append(5, pos, k, v); err != nil {
			t.Fatal(err)
		}
	}
	if got := before.Kept()[0]; len(got) != 5 {
		t.Errorf("a clone follows its origin: %v", got)
	}
	work := before.Clone()
	work.CopyFrom(s)
	q, a, b := []float32{1, 2, 3, 4}, make([]float32, 4), make([]float32, 4)
	s.Attend(5, 11, q, a)
	work.Attend(5, 11, q, b)
	if !slices.Equal(a, b) || !slices.Equal(work.Kept()[1], s.Kept()[1]) {
		t.Errorf("a copy differs: %v, %v", a, b)
	}
}

// TestRewind: a store that grew forgets its last tokens.
func TestRewind(t *testing.T) {
	s := mustBuild(t, testView(2, 2, 5), Decision{}, 3)
	q := []float32{1, 2, 3, 4}
	before, after := make([]float32, 4), make([]float32, 4)
	s.Attend(5, 4, q, before)
	bytes := s.Bytes()
	for pos := 5; pos < 8; pos++ {
		k, v := tokenRows(2, pos)
		if err := s.Append(5, pos, k, v); err != nil {
			t.Fatal(err)
		}
	}
	if s.Attend(5, 7, q, after); slices.Equal(before, after) || len(s.Pos(0)) != 8 {
		t.Errorf("three tokens change nothing: %v", after)
	}
	s.Rewind(3)
	if s.Attend(5, 4, q, after); !slices.Equal(before, after) || s.Bytes() != bytes || len(s.Pos(0)) != 5 {
		t.Errorf("rewound: %v, want %v", after, before)
	}
}

// TestRefill: a store that was filled with another prompt is as one that is built of it, in the same memory.
func TestRefill(t *testing.T) {
	next := testView(2, 2, 5)
	next.Layers = []int{6}
	for _, rows := range slices.Concat(next.K, next.V) {
		for i := range rows {
			rows[i] = -2 * rows[i]
		}
	}
	s, want := mustBuild(t, testView(2, 2, 5), Decision{}, 3), mustBuild(t, next, Decision{}, 3)
	k, v := tokenRows(2, 5)
	if err := s.Append(5, 5, k, v); err != nil {
		t.Fatal(err)
	}
	memory := &s.Buffers(nil)[0][0]
	if err := s.Refill(next, nil); err != nil {
		t.Fatal(err)
	}
	a, b, q := make([]float32, 4), make([]float32, 4), []float32{1, 2, 3, 4}
	if err := errors.Join(s.Append(6, 5, k, v), want.Append(6, 5, k, v)); err != nil {
		t.Fatal(err)
	}
	s.Attend(6, 5, q, a)
	want.Attend(6, 5, q, b)
	if !slices.Equal(a, b) || s.Bytes() != want.Bytes() || s.Traffic() != want.Traffic() || s.FLOPs() != want.FLOPs() || &s.Buffers(nil)[0][0] != memory {
		t.Errorf("refilled %v, built %v", a, b)
	}
}

// TestBuffers: what a step reads is at least what the store's bytes count, matrices and positions besides.
func TestBuffers(t *testing.T) {
	int8s := &Codec{K: kernel.Plain(kernel.Int8), V: kernel.Plain(kernel.Int8)}
	for name, d := range map[string]Decision{"f16": {}, "int8": {Codec: int8s}} {
		s := mustBuild(t, testView(2, 2, 5), d, 3)
		n := int64(0)
		for _, b := range s.Buffers(nil) {
			n += int64(len(b))
		}
		if want := s.Bytes() + 2*5*4; n != want { // a position is 4 bytes
			t.Errorf("%s: buffers of %d bytes, want %d", name, n, want)
		}
	}
}
