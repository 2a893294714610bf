package sim

import (
	"cmp"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kvgauge/sim/method"
	"kvgauge/sim/trace"
)

// TestShardsCoverThePlan: every cell is in one shard, and no shard has much more to do than another.
func TestShardsCoverThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		traces := []*trace.Header{{}, {}, {}}
		var cells []Cell
		for range rapid.IntRange(1, 60).Draw(t, "cells") {
			c := Cell{Trace: rapid.SampledFrom(traces).Draw(t, "trace"), SeqLen: rapid.SampledFrom([]int{128, 256}).Draw(t, "length")}
			if rapid.IntRange(0, 5).Draw(t, "skipped") > 0 {
				c.Work, c.Reference = rapid.Int64Range(1, 1000).Draw(t, "work"), 100
			}
			cells = append(cells, c)
		}
		n := rapid.IntRange(1, 8).Draw(t, "shards")
		var all []int
		var loads []int64
		dearest := int64(0)
		for i := range n {
			at := Shard{i, n}.positions(cells)
			if !slices.IsSorted(at) || !reflect.DeepEqual(at, Shard{i, n}.positions(cells)) {
				t.Fatalf("shard %d: %v is not sorted, or not the same again", i, at)
			}
			load := int64(0)
			for _, p := range at {
				load += cells[p].Work
				dearest = max(dearest, cells[p].Work)
			}
			all, loads = append(all, at...), append(loads, load)
		}
		slices.Sort(all)
		for i, p := range all {
			if i != p || len(all) != len(cells) {
				t.Fatalf("positions %v of %d cells, want each once", all, len(cells))
			}
		}
		// Six references of 100 at most are what a shard may have to pay besides.
		if slack := slices.Max(loads) - slices.Min(loads); slack > dearest+600 {
			t.Fatalf("loads %v, the dearest cell %d", loads, dearest)
		}
	})
}

// TestShardsAreThoseOfEveryMachine: threads and memory, which differ between machines, do not move cells.
func TestShardsAreThoseOfEveryMachine(t *testing.T) {
	tr, err := trace.Open("../testdata/goldens/tiny/trace.safetensors", trace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	budgets := []method.Entries{{Count: 24}}
	pipelines, err := method.Parse([]string{"all"}, budgets)
	if err != nil {
		t.Fatal(err)
	}
	plan := func(shard Shard, threads int, memory int64) Plan {
		p, err := NewPlan(Options{
			Traces: headers(tr), Pipelines: pipelines, Lengths: []int{48, 64, 96}, Decode: new(16), Repeats: 4, Seed: 1,
			Threads: threads, MaxMemory: memory, Page: 16, Shard: shard,
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	whole := plan(Shard{}, 1, 1<<40)
	held, dearest := 0, slices.MaxFunc(whole.Cells, func(a, b Cell) int { return cmp.Compare(a.Memory, b.Memory) })
	for i := range 4 {
		p, q := plan(Shard{i, 4}, 1, 1<<40), plan(Shard{i, 4}, 2, dearest.Memory)
		if !slices.Equal(p.Positions, q.Positions) {
			t.Errorf("shard %d: %v here, %v there", i, p.Positions, q.Positions)
		}
		for j, at := range p.Positions {
			if w := whole.Cells[at]; w.Pipeline != p.Cells[j].Pipeline || w.SeqLen != p.Cells[j].SeqLen {
				t.Errorf("shard %d: cell %d is not that of position %d", i, j, at)
			}
		}
		held += len(p.Cells)
	}
	if held != whole.Total {
		t.Errorf("%d cells in shards, %d in the plan", held, whole.Total)
	}
}
