package sim

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/dustin/go-humanize"

	"kvgauge/sim/kernel"
	"kvgauge/sim/trace"
)

const (
	// leastMemoryLimit keeps the collector from running all the time for the sake of a small limit.
	leastMemoryLimit = 1 << 30
	// garbage is the percentage of what lives that may wait for the collector. Most of it is rows, which hold no
	// pointers: collecting often costs little, and lets a run need not much more than it holds.
	garbage = 20
	// ballast lives besides, and is never touched: it takes no memory of the machine, and lets garbage of a small heap
	// wait until it is worth collecting.
	ballast = 128 << 20
	waiting = ballast * garbage / 100
	// pieces is the percentage of what lives that the allocator holds besides, in pieces too small for what is next.
	pieces = 15
	// usualSamples is how many samples of latency a cell takes, where their number is not given.
	usualSamples = 25
	// taskStep is what the memory of a printed task is rounded up to.
	taskStep = 64 << 20
)

// frugal keeps the heap near what lives in it, and within the memory allowed, until restore is called.
func frugal(allowed int64) (restore func()) {
	kept := make([]byte, ballast)
	limit, percent := debug.SetMemoryLimit(max(allowed, leastMemoryLimit)+ballast), debug.SetGCPercent(garbage)
	return func() {
		runtime.KeepAlive(kept)
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	}
}

// collected is what so many live bytes take with the garbage between them.
func collected(live int64) int64 { return live + live*(garbage+pieces)/100 }

// memory bounds the bytes of heap that the cell needs beside the rows that are read: the pipeline's widest view of
// the layers that share a store, in float32; their stores; the logits of one head, of its steps and a batch of late
// queries, in float64 per thread; the reference outputs; what a fit works on; and for latency the copy of the store
// and full's. Layers come one group after the other.
func (c Cell) memory(o Options) int64 {
	t := c.Trace
	n, layers, steps := int64(c.SeqLen), int64(len(c.Layers)), int64(c.steps())
	shared := c.shared()
	widest := n * c.most(o.Seed, c.Pipeline.Channels)
	heads, outputs, rowNumbers := c.widths()
	live := shared*4*widest + 2*widest
	if c.timed(o) {
		live += 2*widest + shared*2*n*rowNumbers
	}
	live += int64(o.Threads) * 8 * n * (steps + lateBatch)
	live += int64(c.Windows) * (8*layers*steps*(outputs+2*heads) + layers*heads*n/8)
	if c.Pipeline.Fits() {
		rows, fits := n, int64(1)
		if on := o.Calibrate[t]; on != nil {
			rows, fits = int64(on.Tokens), int64(min(o.Threads, len(c.groups())))
		} else {
			live += c.groupMaps(o)
		}
		// Keys and values side by side in float64, two more of the kind, and what the smaller Gram matrix is solved in;
		// on a calibration trace for several groups at a time.
		width := shared * rowNumbers
		live += fits * 8 * (3*rows*width + 3*min(rows, width)*min(rows, width))
	}
	return collected(live)
}

// widths are the most query heads, numbers of outputs, and numbers of keys and values that a token has in any layer.
func (c Cell) widths() (heads, outputs, rowNumbers int64) {
	for _, layer := range c.Layers {
		a := c.Trace.At(layer)
		heads, rowNumbers = max(heads, int64(a.QHeads)), max(rowNumbers, int64(a.RowNumbers()))
		outputs = max(outputs, int64(a.QHeads*max(a.KeyDim(), a.QKDim, a.VDim)))
	}
	return heads, outputs, rowNumbers
}

// groupMaps bounds what the fitted maps of one group of layers take, in float32.
func (c Cell) groupMaps(o Options) int64 {
	return 4 * c.most(o.Seed, c.Pipeline.MapNumbers)
}

// mapBytes bounds what a run keeps of maps fitted on calibration traces, for all of its cells.
func (p *Plan) mapBytes() int64 {
	of := map[tried]int64{}
	for _, c := range p.Cells {
		if c.Skip == "" && c.calibrated(p.Options) {
			of[c.tried()] = c.groupMaps(p.Options) * int64(len(c.groups()))
		}
	}
	total := int64(0)
	for _, n := range of {
		total += n
	}
	return total
}

// rowsRange is which rows of a layer are read: keys and values of the first tokens, and the queries of token first and
// later among them.
type rowsRange struct{ tokens, first int }

// with is the range that covers those of another cell, too.
func (r rowsRange) with(tokens, first int) rowsRange {
	if r.tokens == 0 {
		return rowsRange{tokens, first}
	}
	return rowsRange{max(r.tokens, tokens), min(r.first, first)}
}

// bytes is what they take of the widest layer, in float32.
func (r rowsRange) bytes(t *trace.Header) int64 {
	n := 0
	for i := range t.Attention {
		a := &t.Attention[i]
		rows := a.RowNumbers() * r.tokens
		if a.Latent() { // latents stand alone beside the rows, and the weights are read
			rows += a.Rank * (r.tokens + a.QHeads*(a.Nope()+a.VDim))
		}
		n = max(n, rows+a.QHeads*a.QKDim*(r.tokens-r.first))
	}
	return 4 * int64(n)
}

// rowBytes is what the rows of one layer take as they are read, in float32.
func (c Cell) rowBytes(o Options) int64 {
	return rowsRange{c.SeqLen, c.firstQuery(o)}.bytes(c.Trace)
}

// ranges are the rows of each trace that its cells read.
func (p *Plan) ranges() map[*trace.Header]rowsRange {
	of := map[*trace.Header]rowsRange{}
	for _, c := range p.Cells {
		if c.Skip == "" {
			of[c.Trace] = of[c.Trace].with(c.SeqLen, c.firstQuery(p.Options))
		}
	}
	return of
}

// held says how many layers of each trace keep their rows in memory, in float32, and what these take: in the order of the
// traces, as many as leave room for the dearest cell.
func (p *Plan) held() (layers map[*trace.Header]int, bytes int64) {
	left, ranges := p.MaxMemory, p.ranges()
	layers = map[*trace.Header]int{}
	for _, c := range p.Cells {
		if c.Skip == "" {
			left = min(left, p.MaxMemory-c.Memory)
			layers[c.Trace] = len(c.Layers)
		}
	}
	left -= collected(p.mapBytes())
	for _, t := range p.Traces {
		row := ranges[t].bytes(t)
		if layers[t] > 0 {
			layers[t] = int(max(0, min(int64(layers[t]), left/max(1, collected(row)))))
		}
		bytes += row * int64(layers[t])
		left -= collected(row * int64(layers[t]))
	}
	return layers, bytes
}

// RowBytes is what a run holds of rows: those of all traces, as far as the memory allowed goes.
func (p *Plan) RowBytes() int64 {
	_, bytes := p.held()
	return bytes
}

// Memory returns the bytes that the process takes while each cell runs, and at most: what it took before it planned and
// what it takes beside its records after the last cell, which are given, the rows and maps that it holds, what the
// machine is measured with, and the cell's own. A cell that is skipped takes none.
func (p *Plan) Memory(before, after int64) (cells []int64, most int64) {
	held, rows := p.held()
	all := before + waiting + collected(rows+p.mapBytes())
	for _, t := range p.Traces {
		all += t.Embedded
	}
	timed := false
	for _, c := range p.Cells {
		n := int64(0)
		if c.Skip == "" {
			timed = timed || c.timed(p.Options)
			n = c.Memory
			if held[c.Trace] == len(c.Layers) {
				n -= collected(c.shared() * c.rowBytes(p.Options))
			}
			most = max(most, n)
		}
		cells = append(cells, n)
	}
	if timed {
		all += kernel.RooflineBytes
	}
	for i, c := range p.Cells {
		if c.Skip == "" {
			cells[i] += all
		}
	}
	return cells, all + max(most, after)
}

// TaskMemory returns the bytes that a process which runs a part of the plan, on any machine, may need: those of its
// heap, which are its --max-memory, and those of all. allowed is the --max-memory that was asked for; 0 takes what the
// dearest cell needs, with all rows and maps. before is what a process takes before it plans. It draws nothing.
func (p *Plan) TaskMemory(allowed, before int64) (heap, task int64) {
	if heap = allowed; allowed == 0 {
		for _, c := range p.Cells {
			if c.Skip == "" {
				heap = max(heap, c.Memory)
			}
		}
		heap = stepped(heap + collected(p.RowBytes()+p.mapBytes()))
	}
	_, task = p.Memory(before, 0)
	return heap, stepped(max(task, heap+before+waiting))
}

// stepped is a number of bytes rounded up.
func stepped(n int64) int64 { return (n + taskStep - 1) / taskStep * taskStep }

// estimate bounds the memory that the cell needs, and counts its multiplications roughly: those of scoring, decoding
// and latency, and of the reference with its look at the recent prompt queries. Counts depend on the trace and the
// options alone: shards are cut by them, the same way on every machine.
func (c *Cell) estimate(o Options) {
	n, layers, steps := int64(c.SeqLen), int64(len(c.Layers)), int64(c.steps())
	heads, outputs, _ := c.widths()
	h, d, windows := heads, outputs/heads, int64(c.Windows)
	c.Memory = collected(c.shared()*c.rowBytes(o)) + c.memory(o)
	timed := int64(0)
	if c.timed(o) {
		timed = 4 * int64(cmp.Or(o.Repeats, usualSamples))
	}
	c.Work = layers * h * n * d * (windows*2*steps + timed)
	c.Reference = layers * h * n * d * windows * (2*steps + min(lateWindow, n/4))
}

// bytesText writes bytes with an IEC unit: 24 B, 14.96 GiB.
func bytesText(n int64) string {
	if n < 1<<10 {
		return humanize.IBytes(uint64(n))
	}
	return humanize.IBytesN(uint64(n), 4)
}
