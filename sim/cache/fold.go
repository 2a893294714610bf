package cache

import "kvgauge/sim/kernel"

// turn is a Fold with the memory that it writes to.
type turn struct {
	fold      Fold
	linear    *Linear // the fold, where it is a product with matrices: heads then go in parallel
	pool      *kernel.Pool
	before, k int       // channels of a query before and after
	outBefore int       // channels of a value before
	v         int       // and after
	q         []float32 // [query head][k] queries after
	u         []float32 // [query head][v] what they read

	// Of the products at hand.
	matrices []Matrix  // [KV head before]
	x, y     []float32 // [query head][channels]
	multiply func(worker, j int)
}

// newTurn makes it for queries that are width wide after the fold.
func newTurn(f Fold, qHeads int, before, after Shape, width int, pool *kernel.Pool) *turn {
	t := &turn{
		fold: f, pool: pool, before: before.K, k: width, v: after.V, outBefore: before.V,
		q: make([]float32, qHeads*width), u: make([]float32, qHeads*after.V),
	}
	if l, ok := f.(Linear); ok {
		t.linear, t.multiply = &l, t.group
	}
	return t
}

// flops is what turning the queries and outputs of all heads takes, as dense matrices.
func (t *turn) flops() int64 {
	return 2 * int64(len(t.q)/t.k) * int64(t.before*t.k+t.v*t.outBefore)
}

// queries turns the queries of all heads.
func (t *turn) queries(layer, pos int, q []float32) []float32 {
	if t.linear != nil {
		t.product(t.linear.Key[layer], q, t.q)
		return t.q
	}
	for h := range len(t.q) / t.k {
		t.fold.Query(layer, h, pos, q[h*t.before:(h+1)*t.before], t.q[h*t.k:(h+1)*t.k])
	}
	return t.q
}

// outputs turns what all heads read, u, back into values before the map.
func (t *turn) outputs(layer int, dst []float32) {
	if t.linear != nil {
		t.product(t.linear.Value[layer], t.u, dst)
		return
	}
	for h := range len(t.q) / t.k {
		t.fold.Output(layer, h, t.u[h*t.v:(h+1)*t.v], dst[h*t.outBefore:(h+1)*t.outBefore])
	}
}

// product multiplies the rows of x by their head's matrix into y.
func (t *turn) product(ms []Matrix, x, y []float32) {
	t.matrices, t.x, t.y = ms, x, y
	pool := t.pool
	if len(y)*ms[0].Cols < inlineWork {
		pool = nil
	}
	pool.Run(len(ms), t.multiply)
}

// group multiplies the rows of the query heads that read KV head j, by the matrix that they share.
func (t *turn) group(_, j int) {
	m, g := t.matrices[j], t.linear.Group
	kernel.Multiply(t.x[j*g*m.Cols:(j+1)*g*m.Cols], m.Data, m.Cols, t.y[j*g*m.Rows:(j+1)*g*m.Rows], m.Rows)
}
