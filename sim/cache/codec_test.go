package cache

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"kvgauge/sim/kernel"
)

// kivi quantises two keys of a head at a time and keeps the last three values.
var kivi = &Codec{
	K: kernel.Layout{Format: kernel.Int4, Tokens: 2, Residual: kernel.ResidualWindow{Flush: 2}},
	V: kernel.Layout{Format: kernel.Blocked, Blocks: kernel.Uniform(4, 2), Residual: kernel.ResidualWindow{Flush: 1, Hold: 3}},
}

// balanced keeps three keys and values and quantises four at a time.
var balanced = &Codec{
	K: kernel.Layout{Format: kernel.Blocked, Blocks: kernel.Balanced(4, true), Tokens: 4, Residual: kernel.ResidualWindow{Sinks: 3, Flush: 4}},
	V: kernel.Layout{Format: kernel.Blocked, Blocks: kernel.Balanced(2, false), Tokens: 4, Residual: kernel.ResidualWindow{Sinks: 3, Flush: 4}},
}

// transformed stores rows of two channels by their Hadamard transform.
var transformed = &Codec{
	K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32),
	HadamardK: &kernel.Hadamard{Block: 2}, HadamardV: &kernel.Hadamard{Block: 2, Signs: []float32{1, -1}},
}

// sketched transforms keys, and keeps of them codes and the signs of what these leave.
var sketched = &Codec{
	K: kernel.Blockwise(kernel.Sketched(4, 2, rand.New(rand.NewPCG(1, 2)))), V: kernel.Plain(kernel.F32),
	HadamardK: &kernel.Hadamard{Block: 2},
}

// oldest is a Policy that evicts a head's first entry at each step after the last layer.
type oldest struct{}

func (oldest) Watches() bool { return true }

func (oldest) After(s *Step) {
	if !s.Last {
		return
	}
	for j := range s.Heads {
		s.Heads[j].Evict = append(s.Heads[j].Evict, 0)
	}
}

// notes are zeros for heads of n rows.
func notes(heads, n int) [][]uint32 {
	words := make([][]uint32, heads)
	for h := range words {
		words[h] = make([]uint32, n)
	}
	return words
}

// TestCodedStepAllocatesNothing covers append, attend and the end of a step where rows are flushed, transformed and
// evicted.
func TestCodedStepAllocatesNothing(t *testing.T) {
	for name, d := range map[string]Decision{
		"kivi":              {Codec: kivi},
		"transformed":       {Codec: transformed},
		"sketched":          {Codec: sketched, Policy: oldest{}, Notes: notes(2, 3000)},
		"balanced":          {Codec: balanced},
		"kivi with a ring":  {Codec: kivi, Ring: &Ring{Sinks: 1, Capacity: 2900}, Keep: [][]int32{span(2900), span(2900)}},
		"kivi that drops":   {Codec: kivi, Policy: oldest{}, Notes: notes(2, 3000)},
		"blocks that drop":  {Codec: &Codec{K: kernel.Blockwise(kernel.Q8()), V: kernel.Blockwise(kernel.MX4(2))}, Policy: oldest{}, Notes: notes(2, 3000)},
		"tokens as they go": {Codec: &Codec{K: kernel.Blockwise(kernel.FP8(false, kernel.HalfScale)), V: kernel.Blockwise(kernel.Tokenwise4())}},
	} {
		t.Run(name, func(t *testing.T) {
			pool := kernel.NewPool(2)
			defer pool.Close()
			v := testView(2, 4, 3000)
			s, err := Build(Spec{View: v.Apply(d), Before: v.Shape(), Decisions: []Decision{d}, Decode: 200, Pool: pool})
			if err != nil {
				t.Fatal(err)
			}
			k, val := tokenRows(2, 3000)
			q, out, pos := make([]float32, 8), make([]float32, 8), 3000
			if allocs := testing.AllocsPerRun(100, func() {
				if err := s.Append(5, pos, k, val); err != nil {
					t.Fatal(err)
				}
				s.Attend(5, pos, q, out)
				s.EndStep(5, pos)
				pos++
			}); allocs != 0 {
				t.Errorf("%g allocations a step", allocs)
			}
		})
	}
}

func span(n int) []int32 {
	s := make([]int32, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

// TestHadamardIsInverted: a store of transformed rows attends as one of rows as they are.
func TestHadamardIsInverted(t *testing.T) {
	v := testView(2, 4, 40)
	q := []float32{1, 2, -1, 0.5, 0.25, 3, -2, 1}
	var outs [2][]float32
	for i, c := range []*Codec{{K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32)}, transformed} {
		s := mustBuild(t, v, Decision{Codec: c}, 1)
		k, val := tokenRows(2, 40)
		if err := s.Append(5, 40, k, val); err != nil {
			t.Fatal(err)
		}
		outs[i] = make([]float32, 8)
		s.Attend(5, 40, q, outs[i])
	}
	for i, want := range outs[0] {
		if d := outs[1][i] - want; d > 2e-4*200 || d < -2e-4*200 {
			t.Errorf("channel %d: %g, want %g", i, outs[1][i], want)
		}
	}
	if slices.Equal(outs[0], make([]float32, 8)) {
		t.Error("nothing was read")
	}
}

// TestSketchIsRead: a store whose keys have a sketch attends as one of the keys that its view shows. It counts the
// products of queries with directions, and of the signs.
func TestSketchIsRead(t *testing.T) {
	v := testView(2, 4, 40)
	q := []float32{1, 2, -1, 0.5, 0.25, 3, -2, 1}
	s := mustBuild(t, v, Decision{Codec: sketched}, 1)
	s.step.store = s
	seen := s.step.View()
	plain := *v
	plain.K = seen.K
	p := mustBuild(t, &plain, Decision{Codec: &Codec{K: kernel.Plain(kernel.F32), V: kernel.Plain(kernel.F32)}}, 1)
	var outs [2][]float32
	for i, s := range []*Store{s, p} {
		outs[i] = make([]float32, 8)
		s.flops = 0
		s.Attend(5, 39, q, outs[i])
	}
	for i, want := range outs[1] {
		if got := outs[0][i]; math.Abs(float64(got-want)) > 1e-4*math.Abs(float64(want)) {
			t.Errorf("channel %d: %g, want %g", i, got, want)
		}
	}
	if slices.Equal(seen.K[0], v.K[0]) {
		t.Error("the keys are as they were")
	}
	if got, want := s.flops, p.flops+2*4*2*2+2*4*40*2; got != want {
		t.Errorf("%d operations, want %d", got, want)
	}
}

// TestRingOfGroups: a ring whose rows are flushed holds the positions that it should, in order, and their rows.
func TestRingOfGroups(t *testing.T) {
	s := mustBuild(t, testView(1, 1, 9), Decision{Codec: kivi, Ring: &Ring{Sinks: 2, Capacity: 7}, Keep: [][]int32{{0, 1, 4, 5, 6, 7, 8}}}, 20)
	for pos := 9; pos < 29; pos++ {
		k, v := tokenRows(1, pos)
		if err := s.Append(5, pos, k, v); err != nil {
			t.Fatal(err)
		}
		want := []int32{0, 1, int32(pos - 4), int32(pos - 3), int32(pos - 2), int32(pos - 1), int32(pos)}
		if !slices.Equal(s.Pos(0), want) {
			t.Fatalf("token %d: holds %v, want %v", pos, s.Pos(0), want)
		}
		for i, p := range want {
			if got := s.stored(0)[2*i]; got < float32(p)-0.1 || got > float32(p)+0.1 {
				t.Errorf("token %d: row %d holds the key of %g, not of %d", pos, i, got, p)
			}
		}
		s.EndStep(5, pos)
	}
}

// TestCloneOfGroups: a clone goes on as its origin would, and a copy of it is the origin.
func TestCloneOfGroups(t *testing.T) {
	d := Decision{Codec: kivi, Policy: oldest{}, Notes: notes(2, 11)}
	s := mustBuild(t, testView(2, 2, 11), d, 40)
	clone := s.Clone()
	out := make([]float32, 4)
	step := func(s *Store, pos int) []float32 {
		k, v := tokenRows(2, pos)
		if err := s.Append(5, pos, k, v); err != nil {
			t.Fatal(err)
		}
		s.Attend(5, pos, []float32{1, 2, 3, 4}, out)
		s.EndStep(5, pos)
		return slices.Clone(out)
	}
	for pos := 11; pos < 30; pos++ {
		if a, b := step(s, pos), step(clone, pos); !slices.Equal(a, b) || s.Bytes() != clone.Bytes() {
			t.Fatalf("token %d: %v and %v, %d and %d bytes", pos, a, b, s.Bytes(), clone.Bytes())
		}
		if pos == 20 {
			other := s.Clone()
			other.CopyFrom(clone)
			clone = other
		}
	}
}
