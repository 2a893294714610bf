package kernel

import "math"

// Shared: products of rows of activations with matrices of weights, as they are stored.

const (
	linearDepth  = 512 // inputs that are multiplied at a time: so much of a panel stays in the second-level cache
	linearPanels = 2   // panels of a task, which read the activations once
	linearRows   = 128 // rows of a task, at least: what a panel is packed for
)

// Term is one matrix that activations are multiplied with, and what the products are added to.
type Term struct {
	W      *Rows     // [outputs][inputs]
	Out    []float32 // [rows][Stride], of which the first outputs are added to
	Stride int
}

// Linear multiplies activations with weights. It holds the memory to do so, and one goroutine uses it at a time.
type Linear struct {
	pool    *Pool
	workers []linearWorker

	terms  []Term
	x      []float32
	rows   int
	stride int
	first  []int // [term] its first group of panels, and how many there are after the last
	parts  int   // of rows
	run    func(worker, i int)
	few    func(worker, i int)
}

// linearWorker is what a thread packs into.
type linearWorker struct {
	panels  []float32 // [panel][depth][columns of a tile]
	rows    []float32 // [packRows][depth] decoded weights
	x       []float32 // [rows of a tile][depth] rows that do not fill a tile
	edge    []float32 // a tile that reaches over the edge of the result
	scratch *Scratch
	few     []float32 // [rows][block] products of few rows
}

// NewLinear multiplies on the threads of a pool.
func NewLinear(pool *Pool) *Linear {
	l := &Linear{pool: pool, workers: make([]linearWorker, pool.Threads())}
	l.run, l.few = l.multiply, l.multiplyFew
	return l
}

// Add adds the products of rows of activations, x [rows][stride], with the matrices of terms, all of the same inputs:
//
//	Out[t][o] += sum over i of x[t][i] * W[o][i]
//
// Weights are decoded once for all rows, or read as they are stored where the rows are few. Results do not depend on the
// number of threads.
func (l *Linear) Add(x []float32, rows, stride int, terms ...Term) {
	if rows == 0 {
		return
	}
	l.terms, l.x, l.rows, l.stride, l.first = terms, x, rows, stride, l.first[:0]
	few := rows < active.linearRows
	group := linearPanels * active.linearCols
	if few {
		group = block
	}
	groups := 0
	for _, t := range terms {
		l.first = append(l.first, groups)
		groups += (t.W.Len() + group - 1) / group
	}
	l.first = append(l.first, groups)
	if few {
		l.pool.Run(groups, l.few)
		return
	}
	l.parts = 1
	for threads := l.pool.Threads(); groups*l.parts < 2*threads && rows >= 2*l.parts*linearRows; {
		l.parts *= 2
	}
	l.pool.Run(groups*l.parts, l.run)
}

// term returns the term of a group, and which of its groups it is.
func (l *Linear) term(group int) (t *Term, of int) {
	i := 0
	for group >= l.first[i+1] {
		i++
	}
	return &l.terms[i], group - l.first[i]
}

// multiply takes one group of panels, for a part of the rows.
func (l *Linear) multiply(worker, i int) {
	w, height, width := &l.workers[worker], active.linearRows, active.linearCols
	t, group := l.term(i / l.parts)
	inputs, lo := t.W.Dim, group*linearPanels*width
	hi := min(lo+linearPanels*width, t.W.Len())
	depth := evenly(inputs, linearDepth)
	w.panels = room32(w.panels, linearPanels*depth*width)
	w.x, w.edge = room32(w.x, height*depth), room32(w.edge, height*width)

	tiles := (l.rows + height - 1) / height
	part := i % l.parts
	from, to := part*tiles/l.parts*height, min((part+1)*tiles/l.parts*height, l.rows)
	for at := 0; at < inputs; at += depth {
		k := min(depth, inputs-at)
		for p := lo; p < hi; p += width {
			w.pack(t.W, p, min(p+width, hi), at, k, w.panels[(p-lo)*depth:])
		}
		for row := from; row < to; row += height {
			x, stride, n := l.x[row*l.stride+at:], l.stride, min(height, to-row)
			if n < height {
				clear(w.x)
				for r := range n {
					copy(w.x[r*k:(r+1)*k], x[r*stride:])
				}
				x, stride = w.x, k
			}
			for p := lo; p < hi; p += width {
				panel, cols := w.panels[(p-lo)*depth:][:k*width], min(width, hi-p)
				if n == height && cols == width {
					active.tileLinear(x, stride, panel, k, t.Out[row*t.Stride+p:], t.Stride)
					continue
				}
				clear(w.edge)
				active.tileLinear(x, stride, panel, k, w.edge, width)
				for r := range n {
					addTo(t.Out[(row+r)*t.Stride+p:][:cols], w.edge[r*width:])
				}
			}
		}
	}
}

// evenly cuts n into parts of equal size, at most most, and returns it: whole groups, as formats have scales for.
func evenly(n, most int) int {
	parts := (n + most - 1) / most
	return ((n+parts-1)/parts + GroupDim - 1) &^ (GroupDim - 1)
}

// addTo adds x to y.
func addTo(y, x []float32) {
	for i := range y {
		y[i] += x[i]
	}
}

// packRows is how many rows of weights are packed side by side, so that what is written of an input lies together.
const packRows = 4

// pack writes k inputs, from one on, of the outputs lo to hi as the tiles read them, with zeros over the edge.
func (w *linearWorker) pack(m *Rows, lo, hi, at, k int, panel []float32) {
	width := active.linearCols
	w.rows = room32(w.rows, packRows*k)
	a, b, c, d := w.rows[:k], w.rows[k:2*k], w.rows[2*k:3*k], w.rows[3*k:4*k]
	for o := lo; o < lo+width; o += packRows {
		for r, row := range [packRows][]float32{a, b, c, d} {
			if o+r < hi {
				m.decode(o+r, at, row)
			} else {
				clear(row)
			}
		}
		to := panel[o-lo:]
		for i := range k {
			four := to[i*width:][:packRows]
			four[0], four[1], four[2], four[3] = a[i], b[i], c[i], d[i]
		}
	}
}

// multiplyFew takes a block of outputs, read once as they are stored.
func (l *Linear) multiplyFew(worker, i int) {
	w := &l.workers[worker]
	t, group := l.term(i)
	inputs, lo := t.W.Dim, group*block
	hi := min(lo+block, t.W.Len())
	if w.scratch == nil || len(w.scratch.rows) < block*inputs {
		w.scratch = NewScratch(active.linearRows, inputs)
	}
	w.few, w.x = room32(w.few, l.rows*block), room32(w.x, l.rows*inputs)
	for r := range l.rows {
		copy(w.x[r*inputs:(r+1)*inputs], l.x[r*l.stride:])
	}
	Scores(w.x[:l.rows*inputs], t.W, lo, hi, w.scratch, w.few, block)
	for r := range l.rows {
		addTo(t.Out[r*t.Stride+lo:][:hi-lo], w.few[r*block:])
	}
}

// room32 returns n numbers of memory, the old one where it is enough.
func room32(old []float32, n int) []float32 {
	if cap(old) < n {
		return make([]float32, n)
	}
	return old[:n]
}

// Sigmoid sets dst to 1/(1+e^-x), of any length that x has; the two may be the same.
func Sigmoid(dst, x []float32) { active.sigmoid(dst[:len(x)], x) }

// sigmoidGeneric is the definition of Sigmoid.
func sigmoidGeneric(dst, xs []float32) {
	for i, x := range xs {
		e := exp(-float32(math.Abs(float64(x))))
		s := 1 / (1 + e)
		if x < 0 {
			s *= e
		}
		dst[i] = s
	}
}
