package sim

import (
	"math"
	"testing"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

// TestTaskMemory holds the memory of a task against cells of known size.
func TestTaskMemory(t *testing.T) {
	const mib, gib, before = 1 << 20, 1 << 30, 20 << 20
	const rest = before + waiting
	small := &trace.Header{Layers: []int{0}, Attention: []trace.Attention{{}}}
	large := &trace.Header{Layers: []int{0}, Attention: []trace.Attention{{QHeads: 2, KVHeads: 2, QKDim: 64, VDim: 64}}} // 1 GiB in 1 << 20 tokens of a layer
	pipeline := parse(t, "full")[0]
	rows := Cell{Trace: large, Pipeline: pipeline, Layers: []int{0}, SeqLen: 1 << 20, Memory: 2 * gib}
	tests := []struct {
		name       string
		cells      []Cell
		allowed    int64
		heap, task int64
	}{
		{"a small task", []Cell{{Memory: mib}}, 0, taskStep, stepped(before + taskStep)},
		{"the dearest cell decides", []Cell{{Memory: 5 * gib}, {Memory: 2 * gib}}, 0, 5 * gib, stepped(5*gib + rest)},
		{"a cell that is skipped does not", []Cell{{Memory: 5 * gib, Skip: "why"}, {Memory: 2 * gib}}, 0, 2 * gib, stepped(2*gib + rest)},
		{"heaps have steps", []Cell{{Memory: 2*gib + 1}}, 0, 2*gib + taskStep, stepped(2*gib + taskStep + rest)},
		{"rows are held", []Cell{rows, {Memory: 6 * gib}}, 0, stepped(6*gib + collected(gib)), stepped(stepped(6*gib+collected(gib)) + rest)},
		{"what is allowed is taken", []Cell{{Memory: 2 * gib}}, 7 * gib, 7 * gib, stepped(7*gib + rest)},
	}
	for _, tt := range tests {
		p := &Plan{Options: Options{NoLatency: true, MaxMemory: math.MaxInt64}}
		for _, c := range tt.cells {
			if c.Trace == nil {
				c.Trace, c.Pipeline, c.Layers, c.SeqLen = small, pipeline, []int{0}, 1
			}
			p.Cells = append(p.Cells, c)
			p.Traces = []*trace.Header{small, large}
		}
		if heap, task := p.TaskMemory(tt.allowed, before); heap != tt.heap || task != tt.task {
			t.Errorf("%s: heap %d, task %d MiB, want %d, %d", tt.name, heap>>20, task>>20, tt.heap>>20, tt.task>>20)
		}
	}
}

// TestMemory: the memory of a cell counts the process, what the run holds and itself, once.
func TestMemory(t *testing.T) {
	const before = 1000
	tr := golden(t, "tiny")
	plan := func(change func(*Options)) Plan {
		o := Options{
			Traces: headers(tr), Pipelines: parse(t, "full", "mha", "gqa:heads=3", "mla:rank=40"), Lengths: []int{64, 96},
			Decode: new(16), Threads: 1, MaxMemory: 1 << 40, NoLatency: true,
		}
		change(&o)
		return planned(t, o)
	}
	held := plan(func(*Options) {})
	cells, most := held.Memory(before, 500)
	rows := held.RowBytes()
	if want := int64(4 * 96 * len(tr.Layers) * tr.Attention[0].QKDim * (2*tr.Attention[0].KVHeads + tr.Attention[0].QHeads)); rows != want {
		t.Errorf("%d bytes of rows, want %d", rows, want)
	}
	largest := int64(500)
	for i, c := range held.Cells {
		if c.Skip == "" {
			largest = max(largest, c.memory(held.Options))
		}
		want := before + waiting + collected(rows) + c.memory(held.Options)
		if c.Skip != "" {
			want = 0
		}
		if cells[i] != want {
			t.Errorf("%s at %d: %d bytes, want %d", c.Pipeline.Name, c.SeqLen, cells[i], want)
		}
	}
	if want := before + waiting + collected(rows) + largest; most != want {
		t.Errorf("%d bytes at most, want %d", most, want)
	}

	tight := plan(func(o *Options) { o.MaxMemory = held.Cells[4].Memory }) // no room for rows
	cells, _ = tight.Memory(before, 500)
	for i, c := range tight.Cells {
		if c.Skip == "" && cells[i] != before+waiting+c.Memory {
			t.Errorf("%s at %d, its rows not held: %d bytes, want %d", c.Pipeline.Name, c.SeqLen, cells[i], before+waiting+c.Memory)
		}
	}

	timed := plan(func(o *Options) { o.NoLatency = false })
	if _, more := timed.Memory(before, 500); more < most+kernel.RooflineBytes {
		t.Errorf("timed: %d bytes at most, want %d and the stores more than %d", more, kernel.RooflineBytes, most)
	}
	fitted := plan(func(o *Options) { o.Calibrate = itself(tr) })
	// mla's maps of all layers: 40 latent channels from and to the 2*4*16 of keys and values, in float32.
	if maps, want := fitted.mapBytes(), int64(len(tr.Layers)*2*40*2*4*16*4); maps != want {
		t.Errorf("%d bytes of maps, want %d", maps, want)
	}
}
