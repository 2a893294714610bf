package sim

const (
	// program is what a process needs beside its heap: its code, the built-in traces, stacks.
	program = 256 << 20
	// heapStep is what a heap is rounded up to.
	heapStep = 256 << 20
)

// TaskMemory returns the bytes that a process which runs a part of the plan, on any machine, may need: those of its
// heap, which are its --max-memory, and those of all. allowed is the --max-memory that was asked for; 0 takes what the
// dearest cell needs.
//
// How many copies latency takes depends on the machine's last-level cache: they count as the most that there
// can be. Rows count up to a quarter of the heap: larger ones are read again for each cell.
func (p *Plan) TaskMemory(allowed int64) (heap, task int64) {
	heap = allowed
	if allowed == 0 {
		for _, c := range p.Cells {
			if c.Skip == "" {
				heap = max(heap, c.Memory)
			}
		}
		if !p.NoLatency {
			heap += 2 * mostCopies
		}
		heap = max(heap+min(p.RowBytes(), heap/3), leastMemoryLimit)
		heap = (heap + heapStep - 1) / heapStep * heapStep
	}
	return heap, max(heap, leastMemoryLimit) + program
}
