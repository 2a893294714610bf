package sim

import (
	"math"
	"testing"

	"kvgauge/sim/trace"
)

// TestTaskMemory holds the memory of a task against cells of known size.
func TestTaskMemory(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	small := &trace.Trace{}
	large := &trace.Trace{QHeads: 2, KVHeads: 1, HeadDim: 64} // 1 GiB in 1 << 20 tokens of a layer
	rows := Cell{Trace: large, Layers: []int{0}, SeqLen: 1 << 20}
	tests := []struct {
		name       string
		cells      []Cell
		timed      bool
		allowed    int64
		heap, task int64
	}{
		{"a small heap is the least that the collector is held to", []Cell{{Memory: mib}}, false, 0, gib, gib + 256*mib},
		{"the dearest cell decides", []Cell{{Memory: 5 * gib}, {Memory: 2 * gib}}, false, 0, 5 * gib, 5*gib + 256*mib},
		{"a cell that is skipped does not", []Cell{{Memory: 5 * gib, Skip: "why"}, {Memory: 2 * gib}}, false, 0, 2 * gib, 2*gib + 256*mib},
		{"a quarter GiB is the step", []Cell{{Memory: 2*gib + 1}}, false, 0, 2*gib + 256*mib, 2*gib + 512*mib},
		{"rows are held", []Cell{rows, {Memory: 6 * gib}}, false, 0, 7 * gib, 7*gib + 256*mib},
		{"rows that a quarter does not hold are not", []Cell{rows, {Memory: 3 * gib / 2}}, false, 0, 2 * gib, 2*gib + 256*mib},
		{"latency adds all copies that any cache asks for", []Cell{{Memory: 2 * gib}}, true, 0, 3 * gib, 3*gib + 256*mib},
		{"what is allowed is taken", []Cell{{Memory: 2 * gib}}, true, 7 * gib, 7 * gib, 7*gib + 256*mib},
		{"less than the collector is held to takes that", []Cell{{Memory: mib}}, false, 10 * mib, 10 * mib, gib + 256*mib},
	}
	for _, tt := range tests {
		p := &Plan{Options: Options{NoLatency: !tt.timed, MaxMemory: math.MaxInt64}}
		for _, c := range tt.cells {
			if c.Trace == nil {
				c.Trace = small
			}
			p.Cells = append(p.Cells, c)
		}
		if heap, task := p.TaskMemory(tt.allowed); heap != tt.heap || task != tt.task {
			t.Errorf("%s: heap %d, task %d MiB, want %d, %d", tt.name, heap>>20, task>>20, tt.heap>>20, tt.task>>20)
		}
	}
}
